"""The arithmetic of the ledger. Pure.

What a subject (a member of a group, a group, an ancestor) uses is a piecewise-linear curve: each
point holds, for every resource, the `total` (amount x microseconds) used up to its instant, and
the `rate`, the amount in use from there on. Python's integers hold both exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .requests import BURST

POSITIONS = ("cpu", "memory", "servers", "gpu", "cost")
"""Where the first resources stand in a stored point. For ever; others follow in a table."""


@dataclass(frozen=True)
class Point:
    """A subject's curve from one instant on.

    Attributes:
        at: microseconds since 1970, UTC.
        total: amount x microseconds by resource, up to `at`.
        rate: amount by resource, from `at` on.
    """

    at: int
    total: Mapping[str, int] = field(default_factory=dict)
    rate: Mapping[str, int] = field(default_factory=dict)

    def total_at(self, resource: str, at: int) -> int:
        """Amount x microseconds up to `at`, no earlier than this point."""
        return self.total.get(resource, 0) + self.rate.get(resource, 0) * (at - self.at)


@dataclass(frozen=True)
class Segment:
    """A correction: from `since` until `until`, a subject used `rates` more than its points say.

    A server that ended at one instant, which became known at a later one, leaves a segment with
    its amounts taken off.
    """

    since: int
    until: int
    rates: Mapping[str, int]

    def total_between(self, resource: str, begin: int, end: int) -> int:
        """What it adds within a span; amount x microseconds."""
        overlap = min(self.until, end) - max(self.since, begin)
        return self.rates.get(resource, 0) * max(0, overlap)


@dataclass(frozen=True)
class Charge:
    """What a session was charged for, and to which subjects, from one instant on."""

    since: int
    subjects: tuple[int, ...]
    amounts: Mapping[str, int]


def step(last: Point | None, at: int, change: Mapping[str, int]) -> Point:
    """The next point, at which the amounts in use change by `change`.

    Time never goes back for a subject: a clock that was set back makes the curve wait.
    """
    if last is None:
        return Point(at, {}, dict(change))
    at = max(at, last.at)
    names = dict.fromkeys((*last.rate, *change))
    rate = {name: last.rate.get(name, 0) + change.get(name, 0) for name in names}
    below = [name for name, amount in rate.items() if amount < 0 and not name.endswith(BURST)]
    assert not below, f"more closed than opened: {rate}"
    return Point(at, {name: last.total_at(name, at) for name in (*last.total, *last.rate)}, rate)


def credited(last: Point, at: int, resource: str, amount: int) -> Point:
    """The next point, at which `amount` (x microseconds) of what was used is taken off again."""
    after = step(last, at, {})
    total = {**after.total, resource: after.total.get(resource, 0) - amount}
    return Point(after.at, total, after.rate)


def late(charges: Sequence[Charge], ended: int, known: int) -> dict[int, list[Segment]]:
    """The corrections, by subject, for a session that ended before it was known to have.

    Args:
        charges: all of the session's, oldest first.
        ended: when it ended.
        known: the instant of the points that end it.
    """
    found: dict[int, list[Segment]] = {}
    until = [charge.since for charge in charges[1:]] + [known]
    for charge, end in zip(charges, until, strict=True):
        since, end = max(charge.since, ended), min(end, known)
        if since < end:
            for subject in charge.subjects:
                segment = Segment(since, end, negative(charge.amounts))
                found.setdefault(subject, []).append(segment)
    return found


def pack(point: Point, names: Sequence[str]) -> list[int]:
    """`[total, rate, total, rate, ...]` by position."""
    return [v for name in names for v in (point.total.get(name, 0), point.rate.get(name, 0))]


def unpack(at: int, state: Sequence[int], names: Sequence[str]) -> Point:
    """The point that `pack` made; an older, shorter one reads as zeros."""
    known = names[: len(state) // 2]
    total = dict(zip(known, state[::2], strict=True))
    return Point(at, total, dict(zip(known, state[1::2], strict=True)))


def one_of(state: Sequence[int], place: int | None) -> tuple[int, int]:
    """Total and rate of one resource, of a point that `pack` made; zeros where it has none."""
    if place is None or 2 * place >= len(state):
        return 0, 0
    return state[2 * place], state[2 * place + 1]


def negative(amounts: Mapping[str, int]) -> dict[str, int]:
    """The change that takes `amounts` back."""
    return {name: -amount for name, amount in amounts.items()}


def added(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum, name by name."""
    total: dict[str, int] = {}
    for one in amounts:
        for name, amount in one.items():
            total[name] = total.get(name, 0) + amount
    return total


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The change that makes `before` into `after`."""
    names = dict.fromkeys((*before, *after))
    return {name: after.get(name, 0) - before.get(name, 0) for name in names}


def droppable(instants: Sequence[int], exact_since: int, boundaries: Iterable[int]) -> list[int]:
    """The points of a subject that can go without changing any answer that is still asked for.

    Args:
        instants: of all its points, in order.
        exact_since: no question goes back further, but for
        boundaries: instants at which earlier totals stay exact (the ends of reports).
    """
    kept = sorted(boundaries)
    gone = []
    for at, following in pairwise(instants):
        if following <= exact_since and not any(at <= edge < following for edge in kept):
            gone.append(at)
    return gone
