"""How much each home and each group's shared directory may hold. Pure.

A home is its owner's `member.storage`. All on a group's way up hold, so that the smallest counts;
of several groups an owner has the largest, since they can use any of them. A shared directory is
its group's `group.storage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from .limits import GROUP, MEMBER, Limit
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy

RESOURCE = "storage"


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
    """The smallest of the limits of storage that hold on a group's way up; None for none."""
    limits = policy.limits_for(group, user, at, zone)
    here = (limit for limit in limits if limit.scope == scope and limit.resource == RESOURCE)
    return min(here, key=lambda limit: limit.amount, default=None)


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
        key=lambda allowance: allowance.amount,
        default=None,
    )


def shared_of(policy: Policy, group: str, at: int, zone: tzinfo) -> Allowance | None:
    """What a group's shared directory may hold; None where no limit says anything."""
    limit = allowed_in(policy, group, GROUP, "", at, zone)
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


def by_groups(members: Mapping[str, Iterable[str]]) -> dict[tuple[str, ...], list[str]]:
    """Who is in the same groups: most people are in the same few, and have the same limits."""
    found: dict[tuple[str, ...], list[str]] = {}
    for user, groups in members.items():
        found.setdefault(tuple(groups), []).append(user)
    return found


def all_limits(
    policy: Policy, members: Mapping[tuple[str, ...], Sequence[str]], at: int, zone: tzinfo
) -> Limits:
    """What holds at an instant.

    Args:
        members: see `by_groups`; groups are without those above.
        at: microseconds since 1970, UTC.
    """
    groups = {group for some in members for group in some} | policy.groups.keys() - {WHOLE_HUB}
    shared = {group: _amount(shared_of(policy, group, at, zone)) for group in groups}
    special = {boost.member for group in policy.groups.values() for boost in group.boosts} - {""}
    users: dict[str, int | None] = {}
    for user in special:
        users[user] = _amount(home_of(policy, user, (), at, zone))
    for mine, names in members.items():
        users.update(dict.fromkeys(names, _amount(home_of(policy, "", mine, at, zone))))
        for user in special.intersection(names):
            users[user] = _amount(home_of(policy, user, mine, at, zone))
    return Limits(users, shared, _amount(home_of(policy, "", (), at, zone)))


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


def _amount(allowance: Allowance | None) -> int | None:
    return allowance.amount if allowance else None


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
            *(("user", name) for name in _differences(before.users, users)),
            *(("group", name) for name in _differences(before.groups, groups)),
            *([("", "")] if before.otherwise != limits.otherwise else []),
        ]
        if changed or not self.number:
            self.number += 1
            self._changed.update(dict.fromkeys(changed, self.number))
            return True
        return False

    def since(self, number: int) -> Limits:
        """What has changed after a number; `otherwise` is always what holds."""
        users, groups = {}, {}
        for (kind, name), changed in self._changed.items():
            if changed > number and kind == "user":
                users[name] = self.limits.users[name]
            elif changed > number and kind == "group":
                groups[name] = self.limits.groups[name]
        return Limits(users, groups, self.limits.otherwise)


_MISSING = object()


def _differences(
    before: Mapping[str, int | None], after: Mapping[str, int | None]
) -> Iterator[str]:
    return (name for name, value in after.items() if before.get(name, _MISSING) != value)
