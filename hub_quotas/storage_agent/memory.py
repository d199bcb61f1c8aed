"""The limits that the agent was told last, on disk: they hold while the hub is away."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .backend import StorageError

USER, GROUP, OTHER = "user", "group", "other"
"""A home, the shared directory of a group, a directory of nobody whom the hub names."""

_TABLES = """
CREATE TABLE IF NOT EXISTS limits (
    kind TEXT NOT NULL, name TEXT NOT NULL, amount INTEGER, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Ask:
    """Somebody wants to know what takes up the room in a home.

    Attributes:
        number: goes up; where the same is asked for again, it is another one.
    """

    kind: str
    name: str
    number: int


@dataclass(frozen=True)
class Heard:
    """What the quotas service says. Amounts are bytes; None for no limit.

    Attributes:
        epoch, number: up to which change this is.
        whole: whether it is all there is, else what has changed.
        limits: by kind (USER or GROUP) and name.
        otherwise: of the home of anybody else.
        asks: all that stand.
    """

    epoch: str
    number: int
    whole: bool
    limits: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    otherwise: int | None = None
    asks: tuple[Ask, ...] = ()


class Memory:
    """In a folder of the agent's own. What is written there survives a kill at any moment."""

    def __init__(self, folder: Path | None) -> None:
        """Args:
            folder: None to keep nothing, for who only looks.

        Raises:
            StorageError: nothing can be kept there.
        """
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = folder / "limits.sqlite" if folder else ":memory:"
            self.measured = folder / "measured.json" if folder else None
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{folder}: nothing can be kept here: {error}.") from None

    def read(self) -> Heard:
        """All that was heard; an empty epoch for never."""
        state = dict(self._db.execute("SELECT key, value FROM state"))
        rows = self._db.execute("SELECT kind, name, amount FROM limits")
        otherwise = state.get("otherwise")
        return Heard(
            state.get("epoch", ""),
            int(state.get("number", 0)),
            True,
            {(kind, name): amount for kind, name, amount in rows},
            int(otherwise) if otherwise else None,
        )

    def write(self, heard: Heard) -> None:
        """Add what was heard, or, where it is whole, put it in the place of what there is.

        Raises:
            StorageError: it can't be kept; what was there is there still.
        """
        rows = [(kind, name, amount) for (kind, name), amount in heard.limits.items()]
        otherwise = None if heard.otherwise is None else str(heard.otherwise)
        state = (("epoch", heard.epoch), ("number", str(heard.number)), ("otherwise", otherwise))
        try:
            with self._db:  # all of it or nothing
                self._db.execute("BEGIN IMMEDIATE")
                if heard.whole:
                    self._db.execute("DELETE FROM limits")
                self._db.executemany("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", rows)
                self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state)
        except sqlite3.Error as error:
            raise StorageError(f"What was heard can't be kept on disk: {error}.") from None

    def close(self) -> None:
        self._db.close()
