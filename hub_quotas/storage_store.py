"""What agents say of their file systems: how much is used, and which limits hold there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .storage import Key
from .storage_charges import note
from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY

CLAIMS = "claims of Kubernetes"
"""What an agent calls a mount whose homes are volumes, none of which can shrink."""
_CHUNK = 400
_ANY = 2**63 - 1
"""Bytes; no directory has more."""
_STALE = 10 * 60 * 10**6
"""Microseconds after which an agent that says nothing is missed."""
_KEPT = 7 * DAY
"""Microseconds for which it is remembered what an agent found: it says so once."""
_MOST_KEPT = 50


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
        above: the instant since when more is there than its soft limit says; None for less.
    """

    kind: str
    name: str
    used: int | None
    applied: int | None = None
    problem: str = ""
    mount: str = ""
    at: int = 0
    above: int | None = None

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
class RestoreTest:
    """How the last test that backups can be restored went.

    Attributes:
        at: microseconds since 1970, UTC.
        problems: sentences; empty where it is ok.
    """

    at: int
    ok: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backup:
    """How the backups of a mount are doing, as its agent has them on record.

    Attributes:
        last_ok: when a home was backed up last; microseconds since 1970, UTC; None for never.
        homes: how many have a backup.
        failures: of how many homes the last backup failed.
        failed: some of them, as `HOME: WHY`, in English.
        restore_test: None where there never was one.
    """

    last_ok: int | None = None
    homes: int = 0
    failures: int = 0
    failed: tuple[str, ...] = ()
    restore_test: RestoreTest | None = None


@dataclass(frozen=True)
class Mount:
    """What an agent looks after.

    Attributes:
        backend: how limits are set there: `btrfs, simple quotas`.
        size, free: bytes, of the whole file system.
        problems: sentences; of the last days, the newest first.
        at: when its agent was heard last.
        stale: whether that is too long ago.
        backup: None where its agent knows of none.
    """

    name: str
    backend: str
    size: int
    free: int
    problems: tuple[str, ...] = ()
    at: int = 0
    stale: bool = False
    backup: Backup | None = None


def report(
    store: QuotaStore,
    mount: Mount,
    directories: Iterable[Directory],
    gone: Iterable[str] = (),
    softs: Mapping[Key, int] = {},
) -> None:
    """Write down what an agent says; what it does not speak of stays as it was. Blocks.

    Args:
        gone: `kind/name` of directories that are no more.
        softs: the soft limits that hold now, in bytes.
    """
    with store.db.write() as tx:
        at = store.present(tx)
        tx.run(
            "INSERT INTO storage_mount (name, at, backend, size, free, problems, backup)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at,"
            " backend = excluded.backend, size = excluded.size, free = excluded.free,"
            " problems = excluded.problems, backup = excluded.backup",
            *(mount.name, at, mount.backend, mount.size, mount.free),
            json.dumps(_remembered(tx, mount, at)),
            mount.backup and json.dumps(asdict(mount.backup)),
        )
        directories, gone = list(directories), list(gone)
        uses = [(one.kind, one.name, one.used) for one in directories if one.used is not None]
        ended = [(*entry.partition("/")[::2], 0) for entry in gone]
        note(tx, store.hub, mount.name, [*uses, *ended], at)
        for one in directories:
            _write(tx, mount.name, one, at, softs.get((one.kind, one.name)))
        for entry in gone:
            kind, _slash, name = entry.partition("/")
            tx.run(
                "DELETE FROM storage_use WHERE kind = ? AND name = ? AND mount = ?",
                *(kind, name, mount.name),
            )
            _write_day(tx, mount.name, Directory(kind, name, 0), at)


def _remembered(tx: Transaction, mount: Mount, at: int) -> list[tuple[int, str]]:
    """What an agent says it has found, and what it said before; each once, the newest first."""
    row = tx.one("SELECT problems FROM storage_mount WHERE name = ?", mount.name)
    before = {text: when for when, text in (json.loads(row[0]) if row else []) if when > at - _KEPT}
    said = before | dict.fromkeys(mount.problems, at)
    newest_first = sorted(((when, text) for text, when in said.items()), key=lambda one: -one[0])
    return newest_first[:_MOST_KEPT]


def _write(tx: Transaction, mount: str, one: Directory, at: int, soft: int | None) -> None:
    """An agent that can't tell what is used now takes nothing back that it has told."""
    if one.used is None:
        tx.run(
            "INSERT INTO storage_use (kind, name, mount, used, applied, problem, at)"
            " VALUES (?, ?, ?, NULL, ?, ?, ?) ON CONFLICT (kind, name, mount) DO UPDATE SET"
            " applied = excluded.applied, problem = excluded.problem, at = excluded.at",
            *(one.kind, one.name, mount, one.applied, one.problem, at),
        )
        return
    above = at if soft is not None and one.used > soft else None
    tx.run(
        "INSERT INTO storage_use (kind, name, mount, used, applied, problem, at, above)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name, mount) DO UPDATE SET"
        " used = excluded.used, applied = excluded.applied, problem = excluded.problem,"
        " at = excluded.at, above = CASE WHEN excluded.above IS NOT NULL"
        " THEN coalesce(storage_use.above, excluded.above) END",
        *(one.kind, one.name, mount, one.used, one.applied, one.problem, at, above),
    )
    _write_day(tx, mount, one, at)


def _write_day(tx: Transaction, mount: str, one: Directory, at: int) -> None:
    tx.run(
        "INSERT INTO storage_day (kind, name, mount, day, used, last) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, name, mount, day) DO UPDATE SET last = excluded.last, used ="
        " CASE WHEN storage_day.used < excluded.used THEN excluded.used ELSE storage_day.used END",
        *(one.kind, one.name, mount, at // DAY, one.used, one.used),
    )


def weigh(store: QuotaStore, mount: str, softs: Mapping[Key, int], keys: Iterable[Key]) -> bool:
    """Write down anew which directories of a mount are above their soft limit, after soft limits
    have changed. One that was above the old one and is above the new one has been since then.
    Blocks.

    Args:
        softs: all that hold now, in bytes.
        keys: the directories of which it has changed.

    Returns:
        Whether any is now that was not, or is no more.
    """
    names: dict[str, list[str]] = {}
    for kind, name in keys:
        names.setdefault(kind, []).append(name)
    with store.db.read() as tx:
        held = [one for kind, some in names.items() for one in read_directories(tx, kind, some)]
    moved = [
        one
        for one in held
        if one.mount == mount
        and one.used is not None
        and (one.used > softs.get((one.kind, one.name), one.used)) != (one.above is not None)
    ]
    if not moved:
        return False
    with store.db.write() as tx:
        at = store.present(tx)
        for one in moved:
            soft = softs.get((one.kind, one.name))
            tx.run(
                "UPDATE storage_use SET above = CASE WHEN used > ? THEN coalesce(above, ?) END"
                " WHERE kind = ? AND name = ? AND mount = ?",
                *(_ANY if soft is None else soft, at, one.kind, one.name, mount),
            )
    return True


def read_above(tx: Transaction, mount: str) -> dict[Key, int]:
    """The instants since when directories of a mount are above their soft limit."""
    rows = tx.all(
        "SELECT kind, name, above FROM storage_use WHERE mount = ? AND above IS NOT NULL", mount
    )
    return {(kind, name): above for kind, name, above in rows}


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
            "SELECT kind, name, used, applied, problem, mount, at, above FROM storage_use"  # noqa: S608
            f" WHERE kind = ? AND name IN ({marks})",
            *(kind, *some),
        )
        of_some = [Directory(*row) for row in rows]
        found += sorted(of_some, key=lambda one: (one.name, -one.share, one.mount))
    return found


def agents_report(store: QuotaStore) -> bool:
    """Whether any agent has said something lately. Blocks."""
    return any(not mount.stale for mount in mounts(store))


def mounts(store: QuotaStore) -> list[Mount]:
    """All that agents look after, by name. Blocks."""
    with store.db.read() as tx:
        present = store.present(tx)
        return [
            Mount(
                *(name, backend, size, free),
                tuple(sentence for _at, sentence in json.loads(problems)),
                at,
                at < present - _STALE,
                _backup(json.loads(backup)) if backup else None,
            )
            for name, backend, size, free, problems, at, backup in tx.all(
                "SELECT name, backend, size, free, problems, at, backup FROM storage_mount"
                " ORDER BY name"
            )
        ]


def _backup(found: dict[str, Any]) -> Backup:
    test = found.pop("restore_test")
    if test:
        test = RestoreTest(test["at"], test["ok"], tuple(test["problems"]))
    return Backup(**{**found, "failed": tuple(found["failed"])}, restore_test=test)


def only_grows(tx: Transaction, mount: str) -> bool:
    """Whether what a home there is given can't be taken back."""
    row = tx.one("SELECT backend FROM storage_mount WHERE name = ?", mount)
    return row is not None and row[0] == CLAIMS


def read_days(
    tx: Transaction, kind: str, names: Iterable[str], most: int, present: int
) -> dict[tuple[str, str], list[int]]:
    """The same of some, by name and mount, in a transaction."""
    today = present // DAY
    first = today - most + 1
    rows: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    for name in sorted(set(names)):
        for mount, day, used, last in tx.all(
            "SELECT mount, day, used, last FROM storage_day d WHERE kind = ? AND name = ?"
            # What was there on the first day was perhaps written long before: rows are changes.
            " AND day >= coalesce((SELECT max(day) FROM storage_day b WHERE b.kind = d.kind"
            " AND b.name = d.name AND b.mount = d.mount AND b.day < ?), 0)",
            *(kind, name, first),
        ):
            rows.setdefault((name, mount), {})[day] = used, last
    return {key: _by_day(some, first, today) for key, some in rows.items()}


def _by_day(changes: dict[int, tuple[int, int]], first: int, today: int) -> list[int]:
    """Args:
    changes: by day, the most, and what was there at its end.
    """
    found, held = [], 0
    for day in range(min(changes), today + 1):
        used, held_then = changes.get(day, (held, held))
        if day >= first:
            found.append(max(used, held))
        held = held_then
    return found
