"""What my home and the shared directories of my groups hold, and may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .storage import Allowance, home_of, shared_of
from .storage_store import GROUP, USER, Directory, read_directories
from .store import QuotaStore

WARN_SHARE, FULL_SHARE = 0.8, 0.95
_MOST = 5
"""Homes that a group's page names."""


@dataclass(frozen=True)
class Shelf:
    """A directory, and the limit that says what it may hold.

    Attributes:
        allowance: as the policy has it; None where nothing limits it.
    """

    directory: Directory
    allowance: Allowance | None

    @property
    def left(self) -> int:
        """Bytes that can still be written, where it is known what is used."""
        return max(0, (self.directory.applied or 0) - (self.directory.used or 0))

    @property
    def to_free(self) -> int:
        """Bytes to delete before anything can be written again; 0 where it can be."""
        applied = self.directory.applied
        return 0 if applied is None else max(0, (self.directory.used or 0) - applied)


def shelves(store: QuotaStore, user: str, groups: Sequence[str]) -> list[Shelf]:
    """Of a user and their groups, as agents have measured them; the home first. Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        home = home_of(policy, user, groups, at, store.zone)
        found = [Shelf(one, home) for one in read_directories(tx, USER, [user])]
        for one in read_directories(tx, GROUP, groups):
            found.append(Shelf(one, shared_of(policy, one.name, at, store.zone)))
        return found


@dataclass(frozen=True)
class GroupStorage:
    """What a group's manager looks at.

    Attributes:
        shared: the group's own directory, on each mount that has one.
        fullest: homes of members, those with the least room first.
        full: of how many members' homes at least WARN_SHARE is used.
        measured: of how many it is known.
        mounts: on how many mounts they are.
    """

    shared: tuple[Shelf, ...] = ()
    fullest: tuple[Directory, ...] = ()
    full: int = 0
    measured: int = 0
    mounts: int = 0


def group_storage(store: QuotaStore, group: str, members: Sequence[str]) -> GroupStorage:
    """Of a group and its members, as agents have measured them. Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        allowance = shared_of(policy, group, at, store.zone)
        shared = tuple(Shelf(one, allowance) for one in read_directories(tx, GROUP, [group]))
        homes = read_directories(tx, USER, members)
    homes.sort(key=lambda one: (-one.share, -(one.used or 0), one.name))
    full = sum(one.share >= WARN_SHARE for one in homes)
    mounts = len({one.mount for one in homes})
    measured = sum(one.used is not None for one in homes)
    return GroupStorage(shared, tuple(homes[:_MOST]), full, measured, mounts)
