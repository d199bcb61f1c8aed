"""Who belongs to which group, and how several sources of membership become one set.

Pure: values in, values out. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

MEMBER = "member"
MANAGER = "manager"
ROLES = (MEMBER, MANAGER)

MANUAL = "manual"
"""The source of what somebody set by hand in the hub."""

Roll: TypeAlias = Mapping[str, Mapping[str, str]]
"""What a source says as a whole: group -> user -> role."""


@dataclass(frozen=True, order=True)
class Membership:
    """One user in one group, as one source has it.

    A source is `idp:NAME` (a login), `roster:FILE`, or `manual`; it only ever adds and removes
    its own memberships. A manager of a group is also a member of it.
    """

    user: str
    group: str
    source: str
    role: str = MEMBER


@dataclass(frozen=True)
class Known:
    """What is known about a user's groups apart from what the hub has now.

    Attributes:
        applied: the groups that the previous merge gave the hub.
        sourced: the groups that the sources (login, rosters) give the user now.
        by_hand: the groups that the previous merge found set by hand.
    """

    applied: frozenset[str] = frozenset()
    sourced: frozenset[str] = frozenset()
    by_hand: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Merge:
    """What a user's groups come to: `groups` for the hub, of which `by_hand` no source claims."""

    groups: frozenset[str]
    by_hand: frozenset[str]


def merge(current: Iterable[str], known: Known) -> Merge:
    """The groups that a user is to have in the hub.

    JupyterHub replaces a user's groups as a whole at each login and refresh, so what people set by
    hand survives only if we can tell it from what we put there ourselves.

    Args:
        current: the user's groups in the hub now.

    A group that is in the hub and that we did not put there was set by hand, and stays until
    it is taken away by hand. A group that we put there goes when its last source lets go of it.
    """
    here = frozenset(current)
    kept = (here - known.applied) | (here & known.by_hand)
    return Merge(groups=known.sourced | kept, by_hand=kept - known.sourced)
