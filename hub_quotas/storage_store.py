"""What agents say of their file systems: how much is used, and which limits hold there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY

USER, GROUP, OTHER = "user", "group", "other"
"""A home, the shared directory of a group, a directory of nobody whom the hub names."""
CLAIMS = "claims of Kubernetes"
"""What an agent calls a mount whose homes are volumes, none of which can shrink."""
_CHUNK = 400
_STALE = 10 * 60 * 10**6
"""Microseconds after which an agent that says nothing is missed."""


@dataclass(frozen=True)
class Directory:
    """A home, or the shared directory of a group.

    Attributes:
        kind: USER, GROUP, whose name it has, or OTHER, whose name is its path.
        used: bytes, as the file system counts them; None where nobody can tell.
        applied: the limit that holds there, in bytes; None for none.
        problem: why it has no limit, in one sentence; else empty.
        mount: whose it is; empty while its agent says so.
        at: when that was said; microseconds since 1970, UTC.
    """

    kind: str
    name: str
    used: int | None
    applied: int | None = None
    problem: str = ""
    mount: str = ""
    at: int = 0

    @property
    def share(self) -> float:
        """Of what it may hold; 1 where it may hold nothing, 0 without a limit or where it is not
        known what it holds."""
        if self.applied is None or self.used is None:
            return 0.0
        return self.used / self.applied if self.applied else 1.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be written because the limit came down below what was there."""
        return self.applied is not None and (self.used or 0) > self.applied


@dataclass(frozen=True)
class Mount:
    """What an agent looks after.

    Attributes:
        backend: how limits are set there: `btrfs, simple quotas`.
        size, free: bytes, of the whole file system.
        problems: sentences.
        at: when its agent was heard last.
        stale: whether that is too long ago.
    """

    name: str
    backend: str
    size: int
    free: int
    problems: tuple[str, ...] = ()
    at: int = 0
    stale: bool = False


def report(
    store: QuotaStore, mount: Mount, directories: Iterable[Directory], gone: Iterable[str] = ()
) -> None:
    """Write down what an agent says; what it does not speak of stays as it was. Blocks.

    Args:
        gone: `kind/name` of directories that are no more.
    """
    with store.db.write() as tx:
        at = store.present(tx)
        tx.run(
            "INSERT INTO storage_mount (name, at, backend, size, free, problems)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at,"
            " backend = excluded.backend, size = excluded.size, free = excluded.free,"
            " problems = excluded.problems",
            *(mount.name, at, mount.backend, mount.size, mount.free),
            json.dumps(list(mount.problems)),
        )
        for one in directories:
            _write(tx, mount.name, one, at)
        for entry in gone:
            kind, _slash, name = entry.partition("/")
            tx.run(
                "DELETE FROM storage_use WHERE kind = ? AND name = ? AND mount = ?",
                *(kind, name, mount.name),
            )


def _write(tx: Transaction, mount: str, one: Directory, at: int) -> None:
    """An agent that can't tell what is used now takes nothing back that it has told."""
    tx.run(
        "INSERT INTO storage_use (kind, name, mount, used, applied, problem, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name, mount) DO UPDATE SET"
        " used = COALESCE(excluded.used, storage_use.used), applied = excluded.applied,"
        " problem = excluded.problem, at = excluded.at",
        *(one.kind, one.name, mount, one.used, one.applied, one.problem, at),
    )
    if one.used is None:
        return
    tx.run(
        "INSERT INTO storage_day (kind, name, mount, day, used) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, name, mount, day) DO UPDATE SET used = excluded.used"
        " WHERE storage_day.used < excluded.used",
        *(one.kind, one.name, mount, at // DAY, one.used),
    )


def directories(store: QuotaStore, kind: str, names: Iterable[str]) -> list[Directory]:
    """Those of some users or groups, by name; the fullest of several mounts first. Blocks."""
    with store.db.read() as tx:
        return read_directories(tx, kind, names)


def read_directories(tx: Transaction, kind: str, names: Iterable[str]) -> list[Directory]:
    """The same, in a transaction."""
    found = []
    wanted = sorted(set(names))
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        marks = ", ".join("?" for _ in some)
        rows = tx.all(
            "SELECT kind, name, used, applied, problem, mount, at FROM storage_use"  # noqa: S608
            f" WHERE kind = ? AND name IN ({marks})",
            *(kind, *some),
        )
        of_some = [Directory(*row) for row in rows]
        found += sorted(of_some, key=lambda one: (one.name, -one.share, one.mount))
    return found


def fullest(store: QuotaStore, kind: str, at_least: float, most: int = 50) -> list[Directory]:
    """Directories of which at least a share is used, the fullest first. Blocks."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT kind, name, used, applied, problem, mount, at FROM storage_use"
            " WHERE kind = ? AND applied IS NOT NULL AND used >= applied * ?"
            " ORDER BY CASE WHEN applied = 0 THEN 1 ELSE used * 1.0 / applied END DESC, name"
            " LIMIT ?",
            *(kind, at_least, most),
        )
        return [Directory(*row) for row in rows]


def mounts(store: QuotaStore) -> list[Mount]:
    """All that agents look after, by name. Blocks."""
    with store.db.read() as tx:
        present = store.present(tx)
        return [
            Mount(*(name, backend, size, free), tuple(json.loads(text)), at, at < present - _STALE)
            for name, backend, size, free, text, at in tx.all(
                "SELECT name, backend, size, free, problems, at FROM storage_mount ORDER BY name"
            )
        ]


def only_grows(tx: Transaction, mount: str) -> bool:
    """Whether what a home there is given can't be taken back."""
    row = tx.one("SELECT backend FROM storage_mount WHERE name = ?", mount)
    return row is not None and row[0] == CLAIMS


def days(store: QuotaStore, kind: str, name: str, most: int) -> list[int]:
    """The most bytes that somebody's directories held on each of the last days, the present one
    last; as far back as is known. Blocks."""
    with store.db.read() as tx:
        today = store.present(tx) // DAY
        rows = tx.all(
            "SELECT mount, day, used FROM storage_day WHERE kind = ? AND name = ? ORDER BY day",
            *(kind, name),
        )
    held: dict[str, int] = {}
    found = []
    by_day: dict[int, list[tuple[str, int]]] = {}
    for mount, day, used in rows:
        by_day.setdefault(day, []).append((mount, used))
    first = min(by_day, default=today)
    for day in range(first, today + 1):
        held.update(by_day.get(day, []))
        found.append(sum(held.values()))
    return found[-most:]
