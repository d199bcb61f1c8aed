"""What a directory's users and groups (SCIM) come to as memberships of the hub.

Pure: values in, values out. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .memberships import MEMBER

AS_SENT = "userName"
LOWER_CASE = "lowercase"
LOCAL_PART = "localpart"
HOW = (AS_SENT, LOWER_CASE, LOCAL_PART)
"""How the hub calls a user of the directory: as their userName, or in lower case (what JupyterHub
itself makes of a name at a login), or that without the @ and what follows."""

Pair = tuple[str, str]
"""The hub's names of a user and of a group that they are in."""


class Change(NamedTuple):
    """One user in one group from now on, with a role, or no longer (None)."""

    user: str
    group: str
    role: str | None


@dataclass(frozen=True)
class Person:
    """A user of the directory, as far as memberships go."""

    user_name: str
    active: bool = True


def local_part(user_name: str) -> str:
    """What is before the last @, or all where there is none."""
    return user_name.rpartition("@")[0] if "@" in user_name else user_name


def hub_name(user_name: str, how: str) -> str:
    """What the hub calls a user of the directory.

    Args:
        how: one of `HOW`.

    Raises:
        ValueError: nothing is left of the name, or there is no such way.
    """
    if how not in HOW:
        raise ValueError(f"There is no way {how!r} to name users: use one of {', '.join(HOW)}.")
    name = local_part(user_name) if how == LOCAL_PART else user_name
    if not name.strip():
        raise ValueError("The userName leaves the user without a name in the hub.")
    return name if how == AS_SENT else name.lower()


def pairs(people: Iterable[Person], groups: Iterable[str], how: str) -> set[Pair]:
    """The memberships of each of `people` in each of `groups`; who is not active has none."""
    names = [hub_name(person.user_name, how) for person in people if person.active]
    return {(name, group) for group in groups for name in names}


def membership_changes(before: Iterable[Pair], after: Iterable[Pair]) -> list[Change]:
    """What leads from the memberships of before to those of after; first what is taken away."""
    had, has = set(before), set(after)
    gone = [Change(user, group, None) for user, group in sorted(had - has)]
    return gone + [Change(user, group, MEMBER) for user, group in sorted(has - had)]


def compacted(changes: Iterable[Change]) -> list[Change]:
    """The last change of each membership, in the order in which these were made."""
    last: dict[Pair, Change] = {}
    for change in changes:
        last.pop(change[:2], None)
        last[change[:2]] = change
    return list(last.values())
