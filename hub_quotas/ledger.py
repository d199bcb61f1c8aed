"""The arithmetic of the ledger. Pure.

What a subject (a member of a group, a group, an ancestor) uses is a piecewise-linear curve: each
point holds, for every resource, the `total` (amount x microseconds) used up to its instant, and
the `rate`, the amount in use from there on. Python's integers hold both exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

POSITIONS = ("cpu", "memory", "servers")
"""Where each resource stands in a stored point. For ever: new resources are added at the end."""


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


def step(last: Point | None, at: int, change: Mapping[str, int]) -> Point:
    """The next point, at which the amounts in use change by `change`.

    Time never goes back for a subject: a clock that was set back makes the curve wait.
    """
    if last is None:
        return Point(at, {}, dict(change))
    at = max(at, last.at)
    names = dict.fromkeys((*last.rate, *change))
    rate = {name: last.rate.get(name, 0) + change.get(name, 0) for name in names}
    assert all(amount >= 0 for amount in rate.values()), f"more closed than opened: {rate}"
    return Point(at, {name: last.total_at(name, at) for name in last.rate}, rate)


def pack(point: Point) -> list[int]:
    """`[total, rate, total, rate, ...]` by position."""
    return [
        value for name in POSITIONS for value in (point.total.get(name, 0), point.rate.get(name, 0))
    ]


def unpack(at: int, state: Sequence[int]) -> Point:
    """The point that `pack` made; an older, shorter one reads as zeros."""
    known = POSITIONS[: len(state) // 2]
    return Point(
        at,
        {name: state[2 * position] for position, name in enumerate(known)},
        {name: state[2 * position + 1] for position, name in enumerate(known)},
    )


def negative(amounts: Mapping[str, int]) -> dict[str, int]:
    """The change that takes `amounts` back."""
    return {name: -amount for name, amount in amounts.items()}
