"""What my home and the shared directories of my groups hold, and may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .limits import MEMBER, Limit, Soft
from .storage import Allowance, allowed_in, grace_end, home_of, shared_of
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
        at: the instant of which this is; microseconds since 1970, UTC.
    """

    directory: Directory
    allowance: Allowance | None
    at: int = 0

    @property
    def left(self) -> int:
        """Bytes that can still be written."""
        return max(0, (self.directory.applied or 0) - self.directory.used)

    @property
    def to_free(self) -> int:
        """Bytes to delete before anything can be written again; 0 where it can be."""
        applied = self.directory.applied
        return 0 if applied is None else max(0, self.directory.used - applied)

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
        found = [Shelf(one, home, at) for one in read_directories(tx, USER, [user])]
        for one in read_directories(tx, GROUP, groups):
            found.append(Shelf(one, shared_of(policy, one.name, at, store.zone), at))
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
        shared = tuple(Shelf(one, allowance, at) for one in read_directories(tx, GROUP, [group]))
        homes = read_directories(tx, USER, members)
    homes.sort(key=lambda one: (-one.share, -one.used, one.name))
    full = sum(one.share >= WARN_SHARE for one in homes)
    mounts = len({one.mount for one in homes})
    return GroupStorage(shared, tuple(homes[:_MOST]), full, len(homes), mounts)
