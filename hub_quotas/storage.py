"""How much each home and each group's shared directory may hold. Pure.

A home is its owner's `member.storage`. All on a group's way up hold, so that the smallest counts;
of several groups an owner has the one that lets them keep most, since they can use any of them. A
shared directory is its group's `group.storage`.

The hard limit is what a file system is told. What has been above the soft limit for longer than its
grace is told the soft one, until it is no longer above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import cached_property

from .limits import GROUP as WHOLE_GROUP
from .limits import MEMBER, STORAGE, Limit
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy

USER, GROUP, OTHER = "user", "group", "other"
"""A home, the shared directory of a group, a directory of nobody whom the hub names."""
Key = tuple[str, str]
"""A directory: USER or GROUP, and whose it is."""


@dataclass(frozen=True)
class Allowance:
    """What a directory may hold, and why.

    Attributes:
        group: the owner's group through which they have it.
        limit: the limit that says so, of that group or one above it; its amount is in bytes.
    """

    group: str
    limit: Limit

    @property
    def amount(self) -> int:
        return self.limit.amount


def allowed_in(
    policy: Policy, group: str, scope: str, user: str, at: int, zone: tzinfo
) -> Limit | None:
    """The smallest of the limits of storage that hold on a group's way up, with the smallest soft
    one and its own grace; None for none."""
    limits = policy.limits_for(group, user, at, zone)
    here = [limit for limit in limits if limit.scope == scope and limit.resource == STORAGE]
    hard = min(here, key=lambda limit: limit.amount, default=None)
    if hard is None:
        return None
    lesser = [limit.soft for limit in here if limit.soft and limit.soft.amount < hard.amount]
    soft = min(lesser, key=lambda soft: (soft.amount, soft.grace), default=None)
    return replace(hard, soft=soft) if soft != hard.soft else hard


def grace_end(limit: Limit, above: int) -> int | None:
    """The instant from which a soft limit holds as a hard one; None without a soft limit.

    Args:
        above: the instant since when more is there.
    """
    return above + limit.soft.grace if limit.soft else None


def enforced(limit: Limit, above: int | None, at: int) -> int:
    """What the file system is told at an instant, in bytes.

    Args:
        above: the instant since when more is there than the soft limit says; None for less.
    """
    ends = None if above is None else grace_end(limit, above)
    return limit.amount if ends is None or at < ends else limit.lasting


def home_of(
    policy: Policy, user: str, groups: Iterable[str], at: int, zone: tzinfo
) -> Allowance | None:
    """What somebody's home may hold; None where no limit says anything.

    Args:
        groups: theirs, without those above; none for somebody in no group.
    """
    mine = policy.in_order(groups) or [DEFAULT_GROUP]
    found = ((group, allowed_in(policy, group, MEMBER, user, at, zone)) for group in mine)
    return max(
        (Allowance(group, limit) for group, limit in found if limit),
        key=lambda allowance: (allowance.limit.lasting, allowance.amount),
        default=None,
    )


def shared_of(policy: Policy, group: str, at: int, zone: tzinfo) -> Allowance | None:
    """What a group's shared directory may hold; None where no limit says anything."""
    limit = allowed_in(policy, group, WHOLE_GROUP, "", at, zone)
    return Allowance(group, limit) if limit else None


@dataclass(frozen=True)
class Limits:
    """All limits of storage there are, in bytes; None for a directory without one.

    Attributes:
        users: by user name, all who are in some group.
        groups: by group name, all that are known.
        otherwise: of the home of anybody else.
    """

    users: Mapping[str, int | None] = field(default_factory=dict)
    groups: Mapping[str, int | None] = field(default_factory=dict)
    otherwise: int | None = None


@dataclass(frozen=True)
class Allowed:
    """The limit of each directory, as policy and memberships have it; None where there is none.

    Attributes:
        users, groups, otherwise: as in `Limits`.
    """

    users: Mapping[str, Limit | None] = field(default_factory=dict)
    groups: Mapping[str, Limit | None] = field(default_factory=dict)
    otherwise: Limit | None = None

    def get(self, key: Key) -> Limit | None:
        """What holds for a directory that has a name here."""
        kind, name = key
        return (self.users if kind == USER else self.groups).get(name)

    @cached_property
    def softs(self) -> dict[Key, int]:
        """All soft limits, in bytes."""
        kinds = ((USER, self.users), (GROUP, self.groups))
        return {
            (kind, name): limit.soft.amount
            for kind, limits in kinds
            for name, limit in limits.items()
            if limit and limit.soft
        }

    @cached_property
    def hard(self) -> Limits:
        """What holds where nothing is above its soft limit for too long."""
        users, groups = (
            {name: limit.amount if limit else None for name, limit in some.items()}
            for some in (self.users, self.groups)
        )
        return Limits(users, groups, self.otherwise.amount if self.otherwise else None)

    def held(self, above: Mapping[Key, int], at: int) -> dict[Key, int]:
        """What directories are told that have been above their soft limit for too long.

        Args:
            above: the instants since when directories are.
        """
        found = {}
        for key, since in above.items():
            limit = self.get(key)
            if limit and (told := enforced(limit, since, at)) < limit.amount:
                found[key] = told
        return found

    def limits(self, held: Mapping[Key, int] = {}) -> Limits:
        """What a file system is told, where these are held to their soft limit."""
        users = {name: amount for (kind, name), amount in held.items() if kind == USER}
        groups = {name: amount for (kind, name), amount in held.items() if kind == GROUP}
        hard = self.hard
        if not held:
            return hard
        return Limits({**hard.users, **users}, {**hard.groups, **groups}, hard.otherwise)


def by_groups(members: Mapping[str, Iterable[str]]) -> dict[tuple[str, ...], list[str]]:
    """Who is in the same groups: most people are in the same few, and have the same limits."""
    found: dict[tuple[str, ...], list[str]] = {}
    for user, groups in members.items():
        found.setdefault(tuple(groups), []).append(user)
    return found


def all_allowed(
    policy: Policy, members: Mapping[tuple[str, ...], Sequence[str]], at: int, zone: tzinfo
) -> Allowed:
    """What holds at an instant.

    Args:
        members: see `by_groups`; groups are without those above.
        at: microseconds since 1970, UTC.
    """
    groups = {group for some in members for group in some} | policy.groups.keys() - {WHOLE_HUB}
    shared = {group: _limit(shared_of(policy, group, at, zone)) for group in groups}
    special = {boost.member for group in policy.groups.values() for boost in group.boosts} - {""}
    users: dict[str, Limit | None] = {}
    for user in special:
        users[user] = _limit(home_of(policy, user, (), at, zone))
    for mine, names in members.items():
        users.update(dict.fromkeys(names, _limit(home_of(policy, "", mine, at, zone))))
        for user in special.intersection(names):
            users[user] = _limit(home_of(policy, user, mine, at, zone))
    return Allowed(users, shared, _limit(home_of(policy, "", (), at, zone)))


def with_rescues(limits: Limits, rescues: Mapping[str, int]) -> Limits:
    """The same, with more room for whose home is full (see `rescue`).

    Args:
        rescues: bytes that their homes may hold, by user.
    """
    more = {}
    for user, amount in rescues.items():
        limit = limits.users.get(user, limits.otherwise)
        if limit is not None:
            more[user] = max(limit, amount)
    return replace(limits, users={**limits.users, **more})


def _limit(allowance: Allowance | None) -> Limit | None:
    return allowance.limit if allowance else None


class Changes:
    """Limits as they change, so that who has seen some of it gets the rest.

    Numbers go up with each change, and are of one process: another one begins anew.
    """

    def __init__(self) -> None:
        self.number = 0
        self.limits = Limits()
        self._changed: dict[tuple[str, str], int] = {}

    def update(self, limits: Limits) -> bool:
        """Whether anything has changed. Who is gone has what anybody else has."""
        before, gone = self.limits, self.limits.users.keys() - limits.users.keys()
        users = {**limits.users, **dict.fromkeys(gone, limits.otherwise)}
        groups = {**dict.fromkeys(before.groups), **limits.groups}
        self.limits = Limits(users, groups, limits.otherwise)
        changed = [
            *((USER, name) for name in _differences(before.users, users)),
            *((GROUP, name) for name in _differences(before.groups, groups)),
            *([("", "")] if before.otherwise != limits.otherwise else []),
        ]
        if changed or not self.number:
            self._changed.update(dict.fromkeys(changed, self.number + 1))
            self.number += 1  # last: who reads meanwhile, in another thread, asks for it again
            return True
        return False

    def since(self, number: int) -> Limits:
        """What has changed after a number; `otherwise` is always what holds."""
        users, groups = {}, {}
        for (kind, name), changed in list(self._changed.items()):
            if changed > number and kind == USER:
                users[name] = self.limits.users[name]
            elif changed > number and kind == GROUP:
                groups[name] = self.limits.groups[name]
        return Limits(users, groups, self.limits.otherwise)


_MISSING = object()


def _differences(
    before: Mapping[str, int | None], after: Mapping[str, int | None]
) -> Iterator[str]:
    return (name for name, value in after.items() if before.get(name, _MISSING) != value)
