"""What one user's memberships, a login and the hub's own groups come to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field

from .memberships import BY_PEOPLE, LOGIN, MANUAL, Known, Membership, Merge, merge, usable

Said = Mapping[str, str] | Callable[[Mapping[str, str]], Mapping[str, str]]
"""What a login says: group and role, or how to come to that from what it said before."""


@dataclass(frozen=True)
class UserRows:
    """What the store has of one user.

    Attributes:
        memberships: also those that have ended.
        waits: groups that the hub may not have as they say yet, and whether it had them by us.
        stamps: of these, which change with each change of them.
        closed: those of their groups that are archived.
        rules: the version of the rules that admins have written.
    """

    memberships: tuple[Membership, ...] = ()
    waits: Mapping[str, bool] = field(default_factory=dict)
    stamps: Mapping[str, int] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    rules: int = 0


@dataclass(frozen=True)
class Outcome:
    """What it comes to.

    Attributes:
        put, gone: the rows that change.
        left: groups that the hub has or had them in, and will not.
        writes: whether anything is to be written.
    """

    result: Merge
    put: tuple[Membership, ...]
    gone: tuple[Membership, ...]
    left: Set[str]
    writes: bool


def outcome_of(
    user: str,
    rows: UserRows,
    at: int,
    current: Iterable[str],
    source: str = "",
    said: Said | None = None,
    is_new: bool = False,
) -> Outcome:
    """Merge all sources into the groups that `user` is to have in the hub.

    Args:
        at: the present, in seconds since 1970, UTC.
        current: the user's groups in the hub now.
        source: the source that has just spoken (a login), if any. A login also speaks for what it
            was called before.
        said: what it says, which replaces what it said before. None for nothing: that stays.
        is_new: the hub has just made this user.
    """
    here = frozenset(current)
    before = {(one.group, one.source): one for one in rows.memberships}
    after = {key: one for key, one in before.items() if one.lives(at)}
    if source and said is not None:
        own = {key: one for key, one in after.items() if _speaks_for(source, one.source)}
        last = {one.group: one.role for one in own.values()}
        after = {key: one for key, one in after.items() if key not in own}
        for group, role in (said(last) if callable(said) else said).items():
            if usable(group):
                after[group, source] = Membership(user, group, source, role)
    # A pair whose rows change is one that the hub may not have as we want from now on.
    had, has = {group for group, _ in before}, {group for group, _ in after}
    unsure = {**dict.fromkeys(has - had, False), **dict.fromkeys(had - has, True), **rows.waits}
    open_ = [one for one in after.values() if one.group not in rows.closed]
    known = Known(
        sourced=frozenset(one.group for one in open_ if one.source not in BY_PEOPLE),
        by_people=frozenset(one.group for one in open_ if one.source in BY_PEOPLE),
        lapsed=rows.closed & has,
        pending=unsure,
    )
    result = merge(here, known, is_new=is_new)
    for group in result.added_by_hand:
        after[group, MANUAL] = Membership(user, group, MANUAL)
    for group in result.removed_by_hand:
        for way in BY_PEOPLE:
            after.pop((group, way), None)
    put = tuple(one for key, one in after.items() if before.get(key) != one)
    gone = tuple(one for key, one in before.items() if key not in after)
    left = here | {group for group, had in unsure.items() if had} | result.removed_by_hand
    # What waits for somebody new has slept, and the hub may be killed before it writes this.
    wakes = is_new and bool(rows.waits)
    writes = bool(put or gone) or wakes or result.pending != rows.waits
    return Outcome(result, put, gone, left - result.groups, writes)


def _speaks_for(source: str, other: str) -> bool:
    return source == other or (source.startswith(LOGIN) and other.startswith(LOGIN))
