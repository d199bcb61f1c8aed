"""The file systems that agents look after, as an admin sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from .home_storage import FULL_SHARE, WARN_SHARE
from .storage import GROUP, OTHER, USER
from .storage_store import Directory, Mount, mounts
from .store import QuotaStore
from .transaction import Transaction

_MOST = 20
"""Directories that are named, of each sort."""
_COLUMNS = "kind, name, used, applied, problem, mount, at"


@dataclass(frozen=True)
class Held:
    """What all directories of one kind come to.

    Attributes:
        used, promised: bytes; what their limits allow together.
        unlimited: how many have no limit.
        nearly, full: of how many WARN_SHARE and FULL_SHARE is used.
    """

    count: int = 0
    used: int = 0
    promised: int = 0
    unlimited: int = 0
    nearly: int = 0
    full: int = 0


@dataclass(frozen=True)
class MountView:
    """One file system.

    Attributes:
        held: by kind.
        found: (at, sentence) of what its agent found lately, the newest first.
        unset: directories whose limit could not be set, some of `unset_count`.
        fullest: homes and shared directories of which at least WARN_SHARE is used, some of them.
        nobody: directories of nobody whom the hub names, the largest first, some of them.
    """

    mount: Mount
    held: Mapping[str, Held] = field(default_factory=dict)
    found: tuple[tuple[int, str], ...] = ()
    unset: tuple[Directory, ...] = ()
    unset_count: int = 0
    fullest: tuple[Directory, ...] = ()
    nobody: tuple[Directory, ...] = ()

    def of(self, kind: str) -> Held:
        return self.held.get(kind, Held())

    @property
    def promised(self) -> int:
        """Bytes that all limits allow together."""
        return sum(one.promised for one in self.held.values())

    @property
    def rest(self) -> int:
        """Bytes in use by what is neither a home nor a shared directory."""
        known = sum(one.used for one in self.held.values())
        return max(0, self.mount.size - self.mount.free - known)

    @property
    def unlimited(self) -> int:
        """How many homes and shared directories have no limit."""
        return sum(self.of(kind).unlimited for kind in (USER, GROUP))

    @property
    def nearly(self) -> int:
        return sum(self.of(kind).nearly for kind in (USER, GROUP))


def mount_views(store: QuotaStore) -> list[MountView]:
    """All there are, by name. Blocks: 20 ms for 10,000 homes."""
    found = mounts(store)
    with store.db.read() as tx:
        held = read_held(tx)
        return [_view(tx, mount, held.get(mount.name, {})) for mount in found]


def _view(tx: Transaction, mount: Mount, held: Mapping[str, Held]) -> MountView:
    row = tx.one("SELECT problems FROM storage_mount WHERE name = ?", mount.name)
    unset = tx.one("SELECT count(*) FROM storage_use WHERE mount = ? AND problem <> ''", mount.name)
    return MountView(
        mount,
        held,
        tuple((at, text) for at, text in (json.loads(row[0]) if row else ())),
        _some(tx, mount, "problem <> ''", "kind, name"),
        unset[0] if unset else 0,
        _some(
            tx,
            mount,
            f"kind <> '{OTHER}' AND used >= applied * {WARN_SHARE}",
            "CASE WHEN applied = 0 THEN 1 ELSE used * 1.0 / applied END DESC, kind, name",
        ),
        _some(tx, mount, f"kind = '{OTHER}'", "used DESC, name"),
    )


def _some(tx: Transaction, mount: Mount, where: str, order: str) -> tuple[Directory, ...]:
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM storage_use WHERE mount = ? AND {where}"  # noqa: S608
        f" ORDER BY {order} LIMIT {_MOST}",
        mount.name,
    )
    return tuple(Directory(*row) for row in rows)


def read_held(tx: Transaction) -> dict[str, dict[str, Held]]:
    """By mount and kind, in a transaction."""
    found: dict[str, dict[str, Held]] = {}
    for mount, kind, *sums in tx.all(
        "SELECT mount, kind, count(*), coalesce(sum(used), 0), sum(applied),"  # noqa: S608
        " sum(CASE WHEN applied IS NULL THEN 1 ELSE 0 END),"
        f" sum(CASE WHEN used >= applied * {WARN_SHARE} THEN 1 ELSE 0 END),"
        f" sum(CASE WHEN used >= applied * {FULL_SHARE} THEN 1 ELSE 0 END)"
        " FROM storage_use GROUP BY mount, kind"
    ):
        found.setdefault(mount, {})[kind] = Held(*(int(one or 0) for one in sums))
    return found


@dataclass(frozen=True)
class StorageVitals:
    """What Prometheus is told of file systems."""

    mounts: tuple[Mount, ...] = ()
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)
    shared: tuple[Directory, ...] = ()


def storage_vitals(store: QuotaStore) -> StorageVitals:
    """Of this moment. Blocks."""
    found = mounts(store)
    with store.db.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM storage_use WHERE kind = ? ORDER BY name, mount",  # noqa: S608
            GROUP,
        )
        return StorageVitals(tuple(found), read_held(tx), tuple(Directory(*row) for row in rows))
