"""Which ledger a command is about: the hub's, and never one that the command makes by accident."""

from __future__ import annotations

from pathlib import Path

from hub_groups.database import default_url, with_driver, without_password
from hub_groups.store import GroupStore
from hub_groups.store import open_store as open_group_store

from .database_look import Place, look, tables, whole
from .doctor_config import read_config
from .doctor_facts import NEW, NO_FOLDER, Database
from .doctor_process import running_hubs
from .files import FileError
from .migrate import LEDGER

BESIDE_THE_HUB = "sqlite:///hub_quotas.sqlite"
"""Where a hub has its ledger by default, for who is in its folder."""

_PACKAGE, _SETTING = "hub_quotas", "c.HubQuotas.db_url"


def is_missing(url: str) -> bool:
    """Whether there is no ledger yet: no file, or a database without our tables. Makes none.

    Raises:
        FileError: this is no URL of a database, or one in a folder that is not there.
    """
    found = _look(url)
    if found.state == NO_FOLDER:
        folder = _file(found.url).parent
        four = url.startswith("sqlite:///") and not url.startswith("sqlite:////")
        hint = " A whole path has four slashes: sqlite:////PATH." if four else ""
        raise FileError(
            f"--db: there is no folder {folder}.{hint} The hub's log names its ledger when it "
            "starts."
        )
    return found.state == NEW


def check_makes(url: str) -> None:
    """That a ledger which is to be made is not one by a mistake in its name.

    Raises:
        FileError: the file is another program's, or there is a ledger of another name beside it.
    """
    url = whole(url)
    if not url.startswith("sqlite:///"):
        return
    file = _file(url)
    if file.exists() and tables(file):
        raise FileError(
            f"--db: {file} is a database of something else, and has no ledger. A hub makes one "
            "there if c.HubQuotas.db_url says so; nothing else does."
        )
    for beside in sorted(file.parent.glob("*.sqlite")):
        if LEDGER.table in tables(beside):
            raise FileError(
                f"--db: there is no ledger {file}, and none was made: beside it is "
                f"{beside.name}, which is one. A second one needs a folder of its own."
            )


def _look(url: str) -> Database:
    try:
        known = with_driver(url).render_as_string(hide_password=False)
    except ValueError as error:
        raise FileError(f"--db: {error}.") from None
    return look(Place(_PACKAGE, _SETTING, whole(known), False, LEDGER))


def _file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def groups_beside(url: str) -> GroupStore | None:
    """The memberships, where hub_groups has them beside a ledger."""
    beside = default_url(url, "hub_groups.sqlite")
    there = _file(beside).exists()
    return open_group_store(beside) if there else None


def no_ledger(url: str, may_make: bool = False) -> str:
    """The sentence for who asks for a ledger that is not there: where it was looked for, and which
    the hub of this user that runs has.

    Args:
        may_make: whether the command makes one that is named.
    """
    looked = without_password(whole(url))
    config, used = _used()
    if used not in ("", looked):
        return (
            f"There is no ledger at {looked}, and none was made: the hub of {config} has "
            f"--db {used}."
        )
    more = ", also to make one before the hub's first start" if may_make else ""
    return (
        f"There is no ledger at {looked}, and none was made: run this in the hub's folder, or "
        f"name its database, --db sqlite:////PATH/hub_quotas.sqlite{more}."
    )


def _used() -> tuple[str, str]:
    """The configuration of the one hub of this user that runs, and its ledger without a password;
    empty where none or several run."""
    running = running_hubs()
    if len(running) != 1:
        return "", ""
    read = read_config(running[0])
    urls = [place.url for place in read.places if place.package == _PACKAGE]
    return read.config.file, without_password(urls[0]) if urls else ""
