"""What my home and the shared directories of my groups hold, and may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .limits import MEMBER, Limit, Soft
from .rescue import Rescue
from .rescues import read_rescue
from .storage import GROUP, USER, Allowance, allowed_in, enforced, grace_end, home_of, shared_of
from .storage_store import Directory, only_grows, read_days, read_directories
from .storage_trend import full_at
from .store import QuotaStore
from .transaction import Transaction

WARN_SHARE, FULL_SHARE = 0.8, 0.95
DAYS = 30
"""Days of which pages show what was there."""
_MOST = 5
"""Homes that a group's page names."""


@dataclass(frozen=True)
class Shelf:
    """A directory, and the limit that says what it may hold.

    Attributes:
        allowance: as the policy has it; None where nothing limits it, or nobody asked.
        days: the most bytes on each of the last days, the present one last.
        at: when it was looked at; microseconds since 1970, UTC.
        rescue: more room than its limit for a while, since it is full; `directory` has the limit.
    """

    directory: Directory
    allowance: Allowance | None = None
    days: tuple[int, ...] = ()
    at: int = 0
    rescue: Rescue | None = None

    @property
    def left(self) -> int:
        """Bytes that can still be written, where it is known what is used."""
        return max(0, (self.directory.applied or 0) - (self.directory.used or 0))

    @property
    def to_free(self) -> int:
        """Bytes to delete before anything can be written again; 0 where it can be."""
        applied = self.directory.applied
        return 0 if applied is None else max(0, (self.directory.used or 0) - applied)

    @property
    def full_at(self) -> int | None:
        """When it is full at the pace of the last days, where that can be said."""
        used = self.directory.used
        return None if used is None else full_at(self.days, used, self.directory.applied, self.at)

    @property
    def soft(self) -> Soft | None:
        return self.allowance.limit.soft if self.allowance else None

    @property
    def is_held(self) -> bool:
        """Whether nothing more can be written because it has been above its soft limit for too
        long."""
        applied, soft = self.directory.applied, self.soft
        return bool(soft and applied is not None and applied <= soft.amount and self.to_free)

    @property
    def grace_ends(self) -> int | None:
        """The instant up to which it may be above its soft limit; None where it isn't, or where
        nothing more can be written."""
        above = self.directory.above
        if self.allowance is None or above is None or self.to_free:
            return None
        ends = grace_end(self.allowance.limit, above)
        return ends if ends is not None and self.at < ends else None

    @property
    def mark(self) -> float | None:
        """Where the soft limit is, in percent of what the directory may hold."""
        applied, soft = self.directory.applied, self.soft
        if not applied or soft is None or soft.amount >= applied:
            return None
        return round(100 * soft.amount / applied, 1)


def storage_limits(store: QuotaStore, user: str, group: str) -> list[Limit]:
    """What a group and those above it say of a member's home, and of the group's directory.
    Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
    scopes = ((MEMBER, user), (GROUP, ""))
    found = (allowed_in(policy, group, scope, who, at, store.zone) for scope, who in scopes)
    return [limit for limit in found if limit]


def shelves(store: QuotaStore, user: str, groups: Sequence[str]) -> list[Shelf]:
    """Of a user and their groups, as agents have measured them; the home first. Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        home = home_of(policy, user, groups, at, store.zone)
        found = _shelved(tx, read_directories(tx, USER, [user]), at, {user: home})
        if rescue := read_rescue(tx, user, at):
            found = [
                one if only_grows(tx, one.directory.mount) else _rescued(one, rescue)
                for one in found
            ]
        shared = {name: shared_of(policy, name, at, store.zone) for name in groups}
        return found + _shelved(tx, read_directories(tx, GROUP, groups), at, shared)


def _rescued(shelf: Shelf, rescue: Rescue) -> Shelf:
    held = shelf.directory
    if shelf.allowance is None or held.applied != rescue.amount:
        return shelf
    own = enforced(shelf.allowance.limit, held.above, shelf.at)
    return replace(shelf, directory=replace(held, applied=own), rescue=rescue)


def _shelved(
    tx: Transaction,
    some: Sequence[Directory],
    at: int,
    allowances: Mapping[str, Allowance | None] = {},
) -> list[Shelf]:
    """Args:
    some: of one kind.
    allowances: by name.
    """
    days: dict[tuple[str, str], list[int]] = {}
    for kind in {one.kind for one in some}:
        days = read_days(tx, kind, [one.name for one in some], DAYS, at)
    return [
        Shelf(one, allowances.get(one.name), tuple(days.get((one.name, one.mount), ())), at)
        for one in some
    ]


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
    fullest: tuple[Shelf, ...] = ()
    full: int = 0
    measured: int = 0
    mounts: int = 0


def group_storage(store: QuotaStore, group: str, members: Sequence[str]) -> GroupStorage:
    """Of a group and its members, as agents have measured them. Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        shared = {group: shared_of(policy, group, at, store.zone)}
        own = _shelved(tx, read_directories(tx, GROUP, [group]), at, shared)
        homes = read_directories(tx, USER, members)
        homes.sort(key=lambda one: (-one.share, -(one.used or 0), one.name))
        fullest = _shelved(tx, homes[:_MOST], at)
    full = sum(one.share >= WARN_SHARE for one in homes)
    mounts = len({one.mount for one in homes})
    measured = sum(one.used is not None for one in homes)
    return GroupStorage(tuple(own), tuple(fullest), full, measured, mounts)
