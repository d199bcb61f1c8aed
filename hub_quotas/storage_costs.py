"""What storage is charged: bytes over time, averaged over a stretch, at the price of its days.
Pure, in exact integers.

A directory is charged for a stretch of time as a server is: so many bytes, and so much an hour.
Both are whole numbers; what they leave over of what it really held and cost is kept, and is in the
next stretch. So nothing is lost, however a time is cut up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from .costs import COST, month_after, month_of, month_span
from .limits import STORAGE
from .policy import DEFAULT_GROUP, Policy
from .prices import HOURS_OF_STORAGE, Price, price_on
from .storage import home_of
from .windows import day_end

_PER_BYTE = 2**30 * HOURS_OF_STORAGE
"""A byte at a price of one costs that part of a micro-currency an hour."""


@dataclass(frozen=True)
class Held:
    """What a directory has held since it was charged last.

    Attributes:
        used: bytes, from `at` on.
        at: microseconds since 1970, UTC.
        since: up to when it has been charged.
        held: bytes x microseconds from `since` up to `at`, and what was left over.
        owed: what was left over of its cost: micro-currency per hour x microseconds, divided by
            _PER_BYTE.
    """

    used: int
    at: int
    since: int
    held: int = 0
    owed: int = 0

    def grown(self, at: int, used: int) -> Held:
        """The same, when it holds something else from an instant on. Time does not go back."""
        at = max(at, self.at)
        return replace(self, used=used, at=at, held=self.held_at(at))

    def held_at(self, at: int) -> int:
        """Bytes x microseconds up to an instant, no earlier than `at`."""
        return self.held + self.used * (at - self.at)


@dataclass(frozen=True)
class Stretch:
    """A directory is charged for the same.

    Attributes:
        begin, end: microseconds since 1970, UTC.
        used: bytes, on average.
        cost: micro-currency per hour.
    """

    begin: int
    end: int
    used: int
    cost: int

    @property
    def amounts(self) -> dict[str, int]:
        """At any instant of it, as of a server."""
        return {STORAGE: self.used, COST: self.cost}

    @property
    def total(self) -> dict[str, int]:
        """Amount x microseconds."""
        return {name: amount * (self.end - self.begin) for name, amount in self.amounts.items()}


def charge(
    held: Held, edges: Sequence[int], price_at: Callable[[int], int]
) -> tuple[tuple[Stretch, ...], Held]:
    """What a directory is charged for the time since it was charged last, and what it holds then.

    Args:
        edges: rising instants at which the time is cut: from `since` to no earlier than `at`.
        price_at: micro-currency for a GiB for HOURS_OF_STORAGE, for what begins at an instant.
    """
    since, until = edges[0], edges[-1]
    if since == until:
        return (), held
    used, left = divmod(held.held_at(until), until - since)
    owed, found = held.owed, []
    for begin, end in zip(edges, edges[1:], strict=False):
        due = used * price_at(begin) * (end - begin) + owed
        cost, owed = divmod(due, _PER_BYTE * (end - begin))
        found.append(Stretch(begin, end, used, cost))
    return tuple(found), Held(held.used, until, until, left, owed)


def edges_between(since: int, until: int, prices: Iterable[Price], zone: tzinfo) -> list[int]:
    """A span's begin and end, and between them where months begin and prices change."""
    inner = {day_end(price.since - timedelta(days=1), zone) for price in prices}
    month = month_of(since, zone)
    while (begin := month_span(month, zone)[0]) < until:
        inner.add(begin)
        month = month_after(month)
    return [since, *sorted(at for at in inner if since < at < until), until]


def price_of(prices: Iterable[Price], zone: tzinfo) -> Callable[[int], int]:
    """The price of storage at an instant."""

    def at(instant: int) -> int:
        return price_on(prices, datetime.fromtimestamp(instant // 10**6, zone).date()).storage

    return at


def payers(
    policy: Policy, members: Mapping[str, Sequence[str]], at: int, zone: tzinfo
) -> Callable[[str], str]:
    """Which group is charged for somebody's home: the one that gives them their limit; where
    nothing limits them, the first of their groups.

    Args:
        members: of all who are in a group, their groups, without those above.
    """
    special = {boost.member for group in policy.groups.values() for boost in group.boosts}
    known: dict[tuple[str, tuple[str, ...]], str] = {}

    def payer(user: str) -> str:
        mine = tuple(members.get(user, ()))
        key = (user if user in special else "", mine)
        if key not in known:
            found = home_of(policy, key[0], mine, at, zone)
            first = (policy.in_order(mine) or [DEFAULT_GROUP])[0]
            known[key] = found.group if found else first
        return known[key]

    return payer
