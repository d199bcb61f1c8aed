"""What takes up the room in homes: owners ask, the agents of file systems answer.

The names of files are for their owner, and are forgotten after some days.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from .storage import USER
from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY

KEEP = 3 * DAY
"""Microseconds after which it is forgotten."""


@dataclass(frozen=True)
class Entry:
    """A file, or a directory with all in it.

    Attributes:
        path: below the home.
        size: bytes.
    """

    path: str
    size: int
    is_file: bool = False


@dataclass(frozen=True)
class Largest:
    """What an agent has found in a home.

    Attributes:
        entries: the largest first.
        used: bytes of all that it has seen.
        complete: whether that is all there is.
        problem: why it could not look, in English; empty where it could.
    """

    entries: tuple[Entry, ...] = ()
    used: int = 0
    complete: bool = True
    problem: str = ""


@dataclass(frozen=True)
class Look:
    """That somebody has asked, and what has come of it.

    Attributes:
        asked_at, answered_at: microseconds since 1970, UTC; None for not yet.
        seen: how many files the agent has looked at until now; 0 where it has not begun.
    """

    mount: str
    asked_at: int
    seen: int = 0
    answered_at: int | None = None
    largest: Largest | None = None


@dataclass(frozen=True)
class OpenLook:
    """What an agent is asked. Attributes: kind, name: whose home; number: goes up."""

    kind: str
    name: str
    number: int


def ask_to_look(store: QuotaStore, user: str) -> bool:
    """Ask what takes up the room in somebody's homes, where that is not asked already; whether any
    home of theirs is known. Blocks."""
    with store.db.write() as tx:
        at = store.present(tx)
        forget(tx, at)
        rows = tx.all("SELECT mount FROM storage_use WHERE kind = ? AND name = ?", USER, user)
        for (mount,) in rows:
            tx.run(
                "INSERT INTO storage_look (kind, name, mount, asked_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, name, mount) DO UPDATE SET asked_at = excluded.asked_at,"
                " seen = 0, answered_at = NULL, answer = NULL"
                " WHERE storage_look.answered_at IS NOT NULL",
                *(USER, user, mount, at),
            )
        return bool(rows)


def forget(tx: Transaction, at: int) -> None:
    """What is too long ago."""
    tx.run("DELETE FROM storage_look WHERE asked_at < ?", at - KEEP)


def forget_names_in(tx: Transaction, user: str) -> None:
    """What was found in somebody's homes."""
    tx.run("DELETE FROM storage_look WHERE kind = ? AND name = ?", USER, user)


def looks(store: QuotaStore, user: str) -> list[Look]:
    """What was asked about somebody's homes lately, by mount. Blocks."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT mount, asked_at, seen, answered_at, answer FROM storage_look"
            " WHERE kind = ? AND name = ? AND asked_at >= ? ORDER BY mount",
            *(USER, user, store.present(tx) - KEEP),
        )
    return [
        Look(mount, asked_at, seen, answered_at, _largest(text) if text else None)
        for mount, asked_at, seen, answered_at, text in rows
    ]


def _largest(text: str) -> Largest:
    found = json.loads(text)
    entries = tuple(Entry(**entry) for entry in found.pop("entries"))
    return Largest(entries, **found)


def open_looks(tx: Transaction) -> Mapping[str, Sequence[OpenLook]]:
    """What is not answered yet, by mount; who has asked first comes first."""
    found: dict[str, list[OpenLook]] = {}
    for mount, kind, name, asked_at in tx.all(
        "SELECT mount, kind, name, asked_at FROM storage_look WHERE answered_at IS NULL"
        " ORDER BY asked_at"
    ):
        found.setdefault(mount, []).append(OpenLook(kind, name, asked_at))
    return found


def progress(store: QuotaStore, mount: str, look: OpenLook, seen: int) -> bool:
    """How far an agent has come; whether anybody still asks. Blocks."""
    with store.db.write() as tx:
        return _update(tx, mount, look, "seen = ?", seen)


def answer(store: QuotaStore, mount: str, look: OpenLook, largest: Largest) -> bool:
    """What an agent has found; whether anybody still asks. Blocks."""
    with store.db.write() as tx:
        at, text = store.present(tx), json.dumps(asdict(largest))
        return _update(tx, mount, look, "answered_at = ?, answer = ?", at, text)


def _update(tx: Transaction, mount: str, look: OpenLook, what: str, *values: object) -> bool:
    count = tx.run(
        f"UPDATE storage_look SET {what} WHERE kind = ? AND name = ? AND mount = ?"  # noqa: S608
        " AND asked_at = ? AND answered_at IS NULL",
        *(*values, look.kind, look.name, mount, look.number),
    )
    return count > 0
