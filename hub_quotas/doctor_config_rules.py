"""What can be wrong with a configuration and the databases that it names."""

from __future__ import annotations

from collections.abc import Iterator

from .doctor_facts import (
    BAD_URL,
    FOREIGN,
    HINT,
    NEW,
    NEWER,
    NO_DRIVER,
    NO_FOLDER,
    OLDER,
    PROBLEM,
    READ_ONLY,
    UNREACHABLE,
    WARNING,
    Database,
    Facts,
    Finding,
)
from .doctor_words import (
    GROUPS,
    MOST_SKEW,
    PORTS,
    QUOTAS,
    RESTART,
    apart,
    ended,
    is_too_local,
    place,
)

_LOAD = """Load them in jupyterhub_config.py:

import sys
from pathlib import Path

for drop_in in sorted(Path(sys.prefix, "etc/jupyterhub/jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(drop_in))"""

# -- the configuration ----------------------------------------------------------------------------


def configuration(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if config.problem:
        yield Finding(
            "config-unreadable",
            PROBLEM,
            ended(f"The hub's configuration can't be read: {config.problem}"),
            config.file,
            "Put that right; or run this as the hub runs: as its user, in its folder, with its "
            "environment variables.",
        )
        return
    for text in config.invalid:
        fix = "Write what the sentence says; a hub does not start with this."
        yield Finding("setting-invalid", PROBLEM, ended(text), config.file, fix)
    for name, meant in config.unknown:
        fix = f"Write {meant}." if meant else "Take it out; the reference lists all settings."
        what = f"There is no setting {name}; it does nothing."
        yield Finding("setting-unknown", PROBLEM, what, config.file, fix)
    for setting, why in config.unreadable:
        what = ended(f"A file that {setting} names can't be used: {why}")
        fix = "Put the file there, readable by the hub's user, or take it out of the setting."
        yield Finding("file-unreadable", PROBLEM, what, config.file, fix)
    for setting, extra in config.missing:
        what = f"{setting} is set, and what it needs is not installed."
        fix = f"pip install 'jupyterhub-group-quotas[{extra}]' in the hub's environment."
        yield Finding("extra-missing", PROBLEM, what, config.file, fix)


def drop_ins(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if config.problem:
        return
    if not config.packages:
        what = "The configuration loads none of the drop-ins: the hub knows nothing of quotas."
        yield Finding("drop-ins-missing", PROBLEM, what, config.file, _LOAD)
    elif GROUPS not in config.packages:
        what = "The configuration loads hub_quotas or share_links, but not hub_groups."
        fix = f"Load 10-hub-groups.py too, or groups come from the hub alone. {_LOAD}"
        yield Finding("drop-ins-partial", WARNING, what, config.file, fix)


def settings_that_do_little(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if GROUPS in config.packages and not config.refreshes:
        yield Finding(
            "refresh-off",
            WARNING,
            "c.Authenticator.auth_refresh_age is 0: groups change at logins alone, and "
            "refresh_pre_spawn does nothing.",
            config.file,
            "Set it to some seconds, such as 300, or take it out.",
        )
    if config.mail and not config.public_url:
        yield Finding(
            "public-url-unset",
            WARNING,
            "Notices go out by e-mail, without links: the hub does not know its own address.",
            config.file,
            'c.JupyterHub.public_url = "https://hub.example.org/"',
        )
    if config.mail_problem:
        yield Finding(
            "mail-unreachable",
            WARNING,
            ended(f"The mail server can't be used: {config.mail_problem}"),
            f"c.HubQuotas.smtp_url ({config.mail})",
            "Set the host and port of a mail server that this machine may reach.",
        )
    for rival in config.rivals if QUOTAS in config.packages else ():
        yield Finding(
            "rival",
            WARNING,
            f"{rival} limits servers on this hub too: a start needs both to allow it.",
            config.file,
            "Move its limits here, and take it out of the configuration.",
        )


def advisory_limits(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if config.limits_by and QUOTAS in config.packages:
        yield Finding(
            "limits-advisory",
            HINT,
            f"Memory and CPU of servers are counted, but nothing holds a server to them: "
            f"{config.spawner} does not.",
            config.file,
            f"Set {config.limits_by}",
        )


def pages_for_a_proxy_elsewhere(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if is_too_local(facts):
        steps = f", and {PORTS.format(port=10101)}" if config.on_kubernetes else ""
        yield Finding(
            "pages-local",
            PROBLEM,
            "The proxy is on another machine, where the pages' address leads to itself.",
            f"c.HubGroups.service_url = {config.service_url}",
            f'Set an address that the proxy reaches, such as "http://hub:10101"{steps}.',
        )


# -- databases ------------------------------------------------------------------------------------

_UNUSABLE = {
    BAD_URL: ("database-url", "is no address of a database", "Write sqlite:////PATH/FILE or "
              "postgresql+psycopg://USER:PASSWORD@HOST/NAME."),
    NO_DRIVER: ("database-driver", "needs a driver that is not installed", "pip install "
                "'jupyterhub-group-quotas[postgres]' in the hub's environment, and write "
                "postgresql+psycopg://."),
    NO_FOLDER: ("database-folder", "is in a folder that is not there", "Make the folder, and give "
                "it to the hub's user."),
    UNREACHABLE: ("database-unreachable", "can't be reached", "Start it, or put its address, user "
                  "and password right."),
    READ_ONLY: ("database-read-only", "can't be written to", "Give the file and its folder to the "
                "hub's user; of a cluster, name the primary."),
    FOREIGN: ("database-foreign", "is something else", "Restore it from a backup, or move it away: "
              "the hub makes a new one."),
}  # fmt: skip
"""By state: the code, what is said, and what to do."""


def databases(facts: Facts) -> Iterator[Finding]:
    for one in facts.databases:
        said = f"The database of {one.package}"
        where = place(one)
        if one.state in _UNUSABLE:
            code, what, fix = _UNUSABLE[one.state]
            why = f": {one.why}" if one.why else ""
            yield Finding(code, PROBLEM, ended(f"{said} {what}{why}"), where, fix)
        elif one.state == NEWER:
            yield Finding(
                "database-newer",
                PROBLEM,
                f"{said} is of a later release (schema {one.schema}, this one knows {one.wanted}).",
                where,
                "pip install --upgrade jupyterhub-group-quotas, or restore the backup that was "
                "made before the upgrade.",
            )
        elif one.state == OLDER:
            yield Finding(
                "database-older",
                WARNING,
                f"{said} is of an earlier release (schema {one.schema or 'none'}, this one has "
                f"{one.wanted}).",
                where,
                f"{RESTART} It brings its database up to date.",
            )
        elif one.state == NEW and facts.running and one.package in (GROUPS, QUOTAS):
            yield Finding(
                "database-missing",
                PROBLEM,
                f"{said} is not there, and the hub runs: it uses another one, or lost this.",
                where,
                "Run this in the folder that the hub runs in, from which relative paths go; if the "
                f"file is gone, restore it. Name it by a whole path in {one.setting}.",
            )
        yield from _about(facts, one, said, where)


def _about(facts: Facts, one: Database, said: str, where: str) -> Iterator[Finding]:
    if one.by_default and not facts.config.own_files:
        yield Finding(
            "database-in-working-folder",
            WARNING,
            f"{said} is a file in the folder that the hub runs in, as the hub's own is no file: "
            "where that is a container's, all is gone with it.",
            where,
            f"Set {one.setting}, to PostgreSQL or a file on a volume.",
        )
    if one.ahead is not None and abs(one.ahead) > MOST_SKEW:
        yield Finding(
            "clock-database",
            WARNING,
            f"The clock of the database of {one.package} is {apart(one.ahead)} this machine's.",
            where,
            "Set both by NTP: budgets count by these clocks.",
        )
    if one.network:
        yield Finding(
            "database-on-network",
            HINT,
            f"{said} is a SQLite file on {one.network}, whose locks may not hold.",
            where,
            f"Put it on a disk of its own, or set {one.setting} to PostgreSQL.",
        )
