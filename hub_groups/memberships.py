"""Who belongs to which group, and how several sources of membership become one set.

Pure: values in, values out. No I/O, no clock. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

MEMBER = "member"
MANAGER = "manager"
ROLES = (MEMBER, MANAGER)

MANUAL = "manual"
"""The source of what somebody set by hand, in the hub or on our pages."""
LINK = "link"
"""The source of who joined by a link."""
SCIM = "scim"
"""The source of what a provider pushes."""
LOGIN = "idp:"
"""What the sources that are logins begin with. A hub has one; what it is called may change."""
UPLOAD = "roster:upload"
"""The source of the rosters that managers upload on the pages of their groups."""
BY_PEOPLE = (MANUAL, LINK)
"""Sources that are people: what they set is taken away by hand, also in the hub itself."""

LONGEST_NAME = 255
"""Of a group or a user, as the hub has them."""

Roll: TypeAlias = Mapping[str, Mapping[str, str]]
"""All that a source says: by group, by user, the role."""


@dataclass(frozen=True, order=True)
class Membership:
    """One user in one group, as one source has it.

    A source is `idp:NAME` (a login), `ldap`, `roster:FILE`, `scim`, `manual` or `link`; it only
    ever adds and removes its own memberships. A manager of a group is also a member of it.

    Attributes:
        until: when it ends; None for never.
    """

    user: str
    group: str
    source: str
    role: str = MEMBER
    until: int | None = None

    def lives(self, at: int) -> bool:
        """Whether it has not ended yet."""
        return self.until is None or self.until > at


def usable(name: str) -> bool:
    """Whether the hub can have a group or a user of that name."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


def above(group: str) -> list[str]:
    """The groups above `a/b/c` by its name: `a`, `a/b`."""
    parts = group.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts)) if all(parts[:n])]


def roll_with_parents(roll: Roll) -> dict[str, dict[str, str]]:
    """The same, with the members of each group in those above it too, as members."""
    found = {group: dict(users) for group, users in roll.items()}
    for group, users in roll.items():
        for parent in above(group):
            here = found.setdefault(parent, {})
            for user in users:
                here.setdefault(user, MEMBER)
    return found


@dataclass(frozen=True)
class Difference:
    """How what a source says now differs from what it said before.

    Attributes:
        added, removed, changed: of the latter, the role is another one; as it is now.
    """

    added: tuple[Membership, ...] = ()
    removed: tuple[Membership, ...] = ()
    changed: tuple[Membership, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(before: Roll, after: Roll, source: str) -> Difference:
    """What has to be done to make `before` what a source says now."""
    added: list[Membership] = []
    removed: list[Membership] = []
    changed: list[Membership] = []
    for group in before.keys() | after.keys():
        old, new = before.get(group, {}), after.get(group, {})
        for user, role in new.items() - old.items():
            (changed if user in old else added).append(Membership(user, group, source, role))
        removed += [Membership(u, group, source, old[u]) for u in old.keys() - new.keys()]
    return Difference(_in_order(added), _in_order(removed), _in_order(changed))


def _in_order(of_one_source: list[Membership]) -> tuple[Membership, ...]:
    """By user, as the store has them. Comparing them whole takes several times as long."""
    return tuple(sorted(of_one_source, key=lambda one: (one.user, one.group)))


@dataclass(frozen=True)
class Known:
    """What is known of one user's groups, apart from what the hub has now.

    Attributes:
        sourced: the groups that logins, directories and rosters give the user now.
        by_people: the groups that people give the user now.
        lapsed: groups that the user was given until some time that has passed.
        pending: groups that the hub may not have as we want yet.
    """

    sourced: frozenset[str] = frozenset()
    by_people: frozenset[str] = frozenset()
    lapsed: frozenset[str] = frozenset()
    pending: Collection[str] = ()


@dataclass(frozen=True)
class Merge:
    """What a user's groups come to.

    Attributes:
        groups: for the hub.
        added_by_hand: of these, those that somebody added in the hub itself.
        removed_by_hand: those that people had set, and somebody took away in the hub itself.
        pending: groups that the hub may not have like that yet, and whether it had them by us
            before; until it is seen to have them.
    """

    groups: frozenset[str]
    added_by_hand: frozenset[str] = frozenset()
    removed_by_hand: frozenset[str] = frozenset()
    pending: Mapping[str, bool] = field(default_factory=dict)


def merge(current: Iterable[str], known: Known, *, is_new: bool = False) -> Merge:
    """The groups that a user is to have in the hub.

    JupyterHub replaces a user's groups as a whole at each login and refresh, so what people set by
    hand survives only if we can tell it from what we put there ourselves.

    Args:
        current: the user's groups in the hub now.
        is_new: the hub has just made this user, so nothing of what we knew has reached it.

    A group that is in the hub and that we did not put there was set by hand. What people set stays
    until it is taken away by hand, there or on our pages; that it is not there counts only where
    nothing waits to be told: a hub that was killed may have done what was wanted before, and not
    what is wanted since. A group that we put there goes when its last source lets go of it.
    """
    here = frozenset(current)
    ours = known.sourced | known.by_people | known.lapsed
    waits = frozenset(known.pending)
    added = here - ours - waits
    reached = frozenset() if is_new else known.by_people - waits
    removed = reached - here
    groups = known.sourced | (known.by_people - removed) | added
    pending = dict.fromkeys(groups - here, False) | dict.fromkeys(here - groups, True)
    return Merge(groups, added, removed, pending)
