"""Reading a hub's configuration as the hub does: `python -m hub_quotas.doctor_config FILE`.

A configuration is a program, which may hang, exit or print. So it is run in a process of its own,
which has no hub in it and builds nothing. What it comes to is written to standard output as JSON,
with the secrets that are needed to look on: for the process that has started this, and nobody else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from hub_groups.documents import FileError
from hub_groups.migrate import Migrations

from .cgroups import would_hold
from .database_look import Place, whole
from .doctor_facts import Configuration
from .doctor_process import Started

PATIENCE = 30
"""Seconds for a configuration to be read."""

RIVALS = {
    "jupyterhub_usage_quotas": "jupyterhub-usage-quotas",
    "jupyterhub_credit_service": "jupyterhub-credit-service",
    "jupyterhub_storage_usage": "jupyterhub-storage-usage",
}
"""Other packages that decide whether a server may start, by the name of their module."""

_EXTRAS = {"ldap": ("ldap3", "ldap"), "scim": ("scim2_server", "scim")}
_LOCAL = ("127.0.0.1", "localhost", "::1", "", "0.0.0.0", "*", "::")  # noqa: S104
_LONGEST = 300


@dataclass(frozen=True)
class Read:
    """What a configuration comes to.

    Attributes:
        config: what a doctor may tell.
        places: databases.
        hub_urls: where the hub may be asked, the nearest first.
        fronts: where the hub's proxy may be, the likeliest first.
        sure: whether it has to be at one of them.
        host: the name that the hub has there, where its services have others; "" else.
        base_url: of the hub.
        smtp_url: with its password.
        version, jupyterhub: what is installed here of these packages, and of the hub.
        state: below the hub's REST API, where it says what it has of us.
    """

    config: Configuration
    places: tuple[Place, ...] = ()
    hub_urls: tuple[str, ...] = ()
    fronts: tuple[str, ...] = ()
    sure: bool = False
    host: str = ""
    base_url: str = "/"
    smtp_url: str = field(default="", repr=False)
    version: str = ""
    jupyterhub: str = ""
    state: str = ""


def read_config(hub: Started, seconds: float = PATIENCE) -> Read:
    """Read a configuration in a process of its own. Blocks; never raises."""
    file = hub.config
    failed = Configuration(str(file))
    if not file.is_file():
        return Read(replace(failed, problem="there is no such file."))
    command = [sys.executable, "-m", "hub_quotas.doctor_config", str(file.absolute())]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            cwd=hub.folder,
            env=hub.environment,
        )
    except subprocess.TimeoutExpired:
        return Read(replace(failed, problem=f"it was not done after {seconds:g} s."))
    try:
        return _from_document(json.loads(done.stdout))
    except ValueError:
        return Read(replace(failed, problem=f"it ends Python with exit code {done.returncode}."))


def _from_document(told: Mapping[str, Any]) -> Read:
    known = {one.name: told["config"][one.name] for one in fields(Configuration)}
    config = Configuration(**{name: _tuples(value) for name, value in known.items()})
    places = tuple(
        Place(**{**place, "migrations": _migrations(place["migrations"])})
        for place in told["places"]
    )
    rest = {name: _tuples(told[name]) for name in told if name not in ("config", "places")}
    return Read(config, places, **rest)


def _migrations(told: Mapping[str, str]) -> Migrations:
    return Migrations(Path(told["folder"]), told["table"], told["head"])


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


# -- in the process of its own --------------------------------------------------------------------


class _Last(logging.Handler):
    """Keeps what the application says before it exits."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


async def _load(file: Path) -> tuple[Any, str]:
    """The application with its configuration, and why that can't be read. In a running loop, as in
    a hub."""
    from jupyterhub.app import JupyterHub

    app = JupyterHub.instance()
    app.config_file = str(file)
    last = _Last(logging.CRITICAL)
    app.log.addHandler(last)
    try:
        app.load_config_file(str(file))
    except SystemExit:
        return app, last.text.rstrip(".") or "it ends the hub"
    except Exception as error:
        return app, f"{_where(error, file)}{type(error).__name__}: {str(error)[:_LONGEST]}"
    return app, ""


def _where(error: Exception, file: Path) -> str:
    """Which line of the file it is."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"line {error.lineno}: "
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name == file.name
    ]
    return f"line {lines[-1]}: " if lines else ""


def _read(file: Path) -> dict[str, Any]:
    found = Configuration(str(file), changed_at=file.stat().st_mtime)
    app, problem = asyncio.run(_load(file))
    if problem:
        return asdict(Read(replace(found, problem=problem)))
    import jupyterhub

    from hub_groups.attach import attached_packages
    from hub_groups.config import HubGroups
    from hub_groups.hub_state import HUB_STATE, version

    from .config import HubQuotas

    packages = attached_packages(app)
    used, invalid = {}, []
    for name, uses in packages.items():
        try:
            used[name] = uses(app)
        except Exception as error:  # whatever a setting's own check makes of it
            invalid.append(str(error)[:_LONGEST])
    places = tuple(
        Place(
            name,
            f"c.{one.settings.__name__}.db_url",
            whole(one.db_url),
            not app.config[one.settings.__name__].get("db_url"),
            one.migrations,
        )
        for name, one in used.items()
    )
    quotas = HubQuotas(config=app.config) if "hub_quotas" in used else HubQuotas()
    groups = HubGroups(config=app.config) if "hub_groups" in used else HubGroups()
    mail = urlsplit(quotas.smtp_url)
    proxy_elsewhere = _proxy_elsewhere(app)
    bases = [cls.__module__.partition(".")[0] for cls in app.spawner_class.__mro__]
    config = replace(
        found,
        packages=tuple(packages),
        invalid=tuple(invalid),
        unknown=tuple(_unknown(app, [one.settings for one in used.values()])),
        unreadable=tuple(_unreadable(groups)),
        missing=tuple(_missing(groups)),
        spawner=f"{app.spawner_class.__module__}.{app.spawner_class.__name__}",
        limits_by=would_hold(app.spawner_class),
        on_kubernetes="kubespawner" in bases,
        proxy_elsewhere=proxy_elsewhere,
        service_url=groups.service_url,
        own_files=app.db_url.startswith("sqlite") and ":memory:" not in app.db_url,
        mail=f"{mail.hostname}:{mail.port}" if mail.port else mail.hostname or "",
        public_url=app.public_url or "",
        refreshes=_configured(app, app.authenticator_class, "auth_refresh_age") != 0,
        rivals=tuple(_rivals(app)),
    )
    read = Read(
        config,
        places,
        _hub_urls(app),
        *_fronts(app, proxy_elsewhere),
        urlsplit(app.subdomain_host).netloc,
        app.base_url,
        quotas.smtp_url,
        version(),
        jupyterhub.__version__,
        HUB_STATE,
    )
    return asdict(read)


def _configured(app: Any, cls: Any, name: str) -> Any:
    """What a configuration says of a trait of a class, which is not made for it: that may do
    anything."""
    trait = cls.class_traits().get(name)
    value = trait.default_value if trait else None
    for section in cls.section_names():
        if section in app.config and name in app.config[section]:
            value = app.config[section][name]
    return value


def _unknown(app: Any, ours: list[Any]) -> list[tuple[str, str]]:
    found = []
    names = [cls.__name__ for cls in ours]
    for section in app.config:
        if section in names:
            traits = ours[names.index(section)].class_own_traits(config=True)
            for name in app.config[section]:
                if name not in traits:
                    near = get_close_matches(name, traits, 1)
                    found.append((f"c.{section}.{name}", f"c.{section}.{near[0]}" if near else ""))
        elif near := get_close_matches(section, names, 1, 0.8):
            found += [
                (f"c.{section}.{name}", f"c.{near[0]}.{name}") for name in app.config[section]
            ]
    return found


def _unreadable(groups: Any) -> list[tuple[str, str]]:
    from hub_groups.rule_files import read_rules
    from hub_groups.sources import SourceError, roster_source

    found = []
    for roster in groups.rosters:
        try:
            roster_source(Path(roster)).read()
        except SourceError as error:
            found.append(("c.HubGroups.rosters", str(error)))
    if isinstance(groups.rules, str) and groups.rules:
        try:
            read_rules(Path(groups.rules))
        except FileError as error:
            found.append(("c.HubGroups.rules", str(error)))
    return found


def _missing(groups: Any) -> list[tuple[str, str]]:
    return [
        (f"c.HubGroups.{setting}", extra)
        for setting, (module, extra) in _EXTRAS.items()
        if getattr(groups, setting) and find_spec(module) is None
    ]


def _proxy_elsewhere(app: Any) -> bool:
    """Whether somebody else starts the proxy, and not on this machine."""
    if _configured(app, app.proxy_class, "should_start") is not False:
        return False
    api = _configured(app, app.proxy_class, "api_url")
    host = urlsplit(api).hostname if isinstance(api, str) else ""
    return (host or "") not in _LOCAL


def _rivals(app: Any) -> list[str]:
    """Of what a configuration puts into the hub: classes, hooks and services."""
    classes = [*app.spawner_class.__mro__, *app.authenticator_class.__mro__]
    hooks = [_configured(app, app.spawner_class, name) for name in ("pre_spawn_hook",)]
    modules = {str(getattr(one, "__module__", "")).partition(".")[0] for one in (*classes, *hooks)}
    commands = " ".join(str(part) for one in app.services for part in one.get("command") or ())
    return [said for name, said in RIVALS.items() if name in modules or name in commands]


def _hub_urls(app: Any) -> tuple[str, ...]:
    """Where the hub may be asked; none where it listens at no port, or to its own certificates."""
    if app.internal_ssl:
        return ()
    bound = app.hub_bind_url or f"http://{app.hub_ip}:{app.hub_port}"
    found = [_reached(url) for url in (bound, app.hub_connect_url) if url]
    return tuple(dict.fromkeys(url for url in found if url))


def _fronts(app: Any, proxy_elsewhere: bool) -> tuple[tuple[str, ...], bool]:
    """Where the proxy listens, and whether that is sure: one that the hub does not start listens
    where somebody else has said."""
    bound = _reached(app.bind_url)
    if _configured(app, app.proxy_class, "should_start") is not False:
        return (bound,) if bound else (), bool(bound)
    found = [*_on_kubernetes()] if proxy_elsewhere else [bound, "http://127.0.0.1"]
    found += [] if proxy_elsewhere else ["https://127.0.0.1"]  # The Littlest JupyterHub's
    found.append(_reached(app.public_url or ""))
    return tuple(dict.fromkeys(url for url in found if url)), False


def _on_kubernetes() -> Iterator[str]:
    """Zero to JupyterHub's proxy, as Kubernetes tells its pods of services."""
    for name in ("PROXY_HTTP", "PROXY_PUBLIC"):  # the first is there where the second has TLS
        host, port, tls = (
            os.environ.get(f"{name}_SERVICE_{what}") for what in ("HOST", "PORT", "PORT_HTTPS")
        )
        if host:
            yield f"https://{host}:{tls}" if tls else f"http://{host}:{port or 80}"


def _reached(url: str) -> str:
    """An address that is listened at, from this machine, without its path; "" for a socket."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.hostname or ""
    host = "127.0.0.1" if host in _LOCAL else f"[{host}]" if ":" in host else host
    where = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit((parts.scheme, where, "", "", ""))


def main(file: str) -> None:
    """Standard output is for the answer: whatever a configuration prints goes elsewhere."""
    answer = os.dup(1)
    os.dup2(2, 1)
    document = json.dumps(_read(Path(file)), default=str)
    with os.fdopen(answer, "w") as out:
        out.write(document)
    os._exit(0)  # also where the configuration has started threads


if __name__ == "__main__":
    main(sys.argv[1])
