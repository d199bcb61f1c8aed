"""When budgets run out, and when they have room again. Pure, in exact integers.

From an instant on, what is running is taken to go on as it is. What a window counts is then a
line that turns only where an old point leaves a rolling window, or where a period begins or ends;
so each answer is a walk from turn to turn and one division.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from .windows import Calendar, Rolling, Window, period, span, term

Points = Sequence[tuple[int, int, int]]
"""(at, total, rate) by instant: amount x microseconds up to `at`, and the amount in use from it."""

_at = itemgetter(0)


@dataclass(frozen=True)
class Budget:
    """What one subject may use of one resource within a window.

    Attributes:
        points: its curve, with late closings merged in.
        amount: the budget, in amount x microseconds.
    """

    points: Points
    window: Window
    amount: int


def curve(points: Points, at: int) -> int:
    """Amount x microseconds used up to `at`; a jump of the total at `at` is included."""
    index = bisect_right(points, at, key=_at) - 1
    if index < 0:
        return 0
    since, total, rate = points[index]
    return total + rate * (at - since)


def merged(points: Points, segments: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The curve with `segments` laid over it.

    Args:
        segments: (since, til, rate): from `since` up to `til` the rate was higher by `rate`, or
            lower where negative, as for a server that was found closed late.
    """
    changes: defaultdict[int, int] = defaultdict(int)
    for since, til, rate in segments:
        if since < til:
            changes[since] += rate
            changes[til] -= rate
    found = []
    before = extra = extra_rate = 0
    for at in sorted({_at(point) for point in points} | set(changes)):
        extra += extra_rate * (at - before)
        extra_rate += changes.get(at, 0)
        found.append((at, curve(points, at) + extra, _rate(points, at) + extra_rate))
        before = at
    return found


def used(budget: Budget, at: int, zone: datetime.tzinfo) -> int | None:
    """Amount x microseconds that the window at `at` has counted so far; None outside a term."""
    found = span(budget.window, at, zone)
    return None if found is None else curve(budget.points, at) - curve(budget.points, found[0])


def runs_out(
    budgets: Sequence[Budget], at: int, horizon: int, zone: datetime.tzinfo
) -> tuple[int, int] | None:
    """When the first of the budgets is used up, and which one; None if none is before `horizon`.

    Points after `at` are not looked at.
    """
    best = None
    for index, budget in enumerate(budgets):
        found = _Walk(budget, at, horizon, zone).reaches(budget.amount)
        if found is not None:
            best, horizon = (found, index), found
    return best


def reached(
    budget: Budget, levels: Sequence[int], at: int, horizon: int, zone: datetime.tzinfo
) -> list[int | None]:
    """When each of rising levels of use is reached first; None for one that is not before
    `horizon`. Points after `at` are not looked at."""
    walk = _Walk(budget, at, horizon, zone)
    return [walk.reaches(level) for level in levels]


def returns(budget: Budget, at: int, zone: datetime.tzinfo) -> int | None:
    """When what was used begins to come back: when the oldest of it leaves a rolling window (`at`
    itself where that goes on now), or when the period or the term ends. None where nothing is in
    a rolling window, and outside a term. Points after `at` are not looked at."""
    if isinstance(budget.window, Rolling):
        oldest = _rises(budget.points, at - budget.window.length, at)
        return None if oldest is None else oldest + budget.window.length
    held = span(budget.window, at, zone)
    return held[1] if held else None


def fits(
    budgets: Sequence[Budget],
    needs: Sequence[int],
    at: int,
    horizon: int,
    zone: datetime.tzinfo,
) -> int | None:
    """The first instant at which every budget has room for its need; None if `horizon` comes first.

    It has to be one instant for all, which can be later than the latest of each: what has room
    now may have none any more by then. A term has room for anything before and after it. Points
    after `at` are not looked at.

    Args:
        needs: for each budget, amount x microseconds.
    """
    walks = [
        (_Walk(budget, at, horizon, zone), budget.amount - need)
        for budget, need in zip(budgets, needs, strict=True)
    ]
    instant = at
    while True:
        before = instant
        for walk, most in walks:
            found = walk.falls(most, instant)
            if found is None:
                return None
            instant = found
        if instant == before:
            return instant if instant < horizon else None


def _rises(points: Points, begin: int, end: int) -> int | None:
    """The first instant from `begin` on, and before `end`, from which a curve goes up."""
    if _rate(points, begin) > 0:
        return begin
    for index in range(bisect_right(points, begin, key=_at), len(points)):
        instant, total, rate = points[index]
        if instant >= end:
            break
        # What was added by hand is a jump of the total.
        if rate > 0 or total > (curve(points[:index], instant) if index else 0):
            return instant
    return None


class _Piece(NamedTuple):
    """A straight piece of what a window counts: `use` at `begin`, None outside a term."""

    begin: int
    end: int
    use: int | None
    slope: int


class _Walk:
    """Goes once over a budget's pieces from `at` up to `horizon`, only forwards."""

    def __init__(self, budget: Budget, at: int, horizon: int, zone: datetime.tzinfo) -> None:
        self._pieces = _pieces(budget, at, horizon, zone)
        self._piece = next(self._pieces, None)

    def reaches(self, level: int) -> int | None:
        """The first instant with at least `level` in use."""
        while (piece := self._piece) is not None:
            if piece.use is not None:
                steps = _steps(level - piece.use, piece.slope)
                if steps is not None and piece.begin + steps < piece.end:
                    return piece.begin + steps
            self._piece = next(self._pieces, None)
        return None

    def falls(self, level: int, at: int) -> int | None:
        """The first instant from `at` on with at most `level` in use, or outside a term."""
        while (piece := self._piece) is not None:
            begin = max(at, piece.begin)
            if begin < piece.end:
                if piece.use is None:
                    return begin
                use = piece.use + piece.slope * (begin - piece.begin)
                steps = _steps(use - level, -piece.slope)
                if steps is not None and begin + steps < piece.end:
                    return begin + steps
            self._piece = next(self._pieces, None)
        return None


def _steps(gap: int, slope: int) -> int | None:
    """Microseconds in which a line that goes up by `slope` has gone up by `gap`; None if never."""
    if gap <= 0:
        return 0
    return -(-gap // slope) if slope > 0 else None  # rounded up


def _pieces(budget: Budget, at: int, horizon: int, zone: datetime.tzinfo) -> Iterator[_Piece]:
    if at >= horizon:
        return
    turns = _turns(budget, at, zone)
    begin, use, slope = next(turns)
    for turn, use_then, slope_then in turns:
        # Of several turns at one instant the last is the truth: the pieces between have no length.
        yield _Piece(begin, min(turn, horizon), use, slope)
        if turn >= horizon:
            return
        begin, use, slope = turn, use_then, slope_then
    yield _Piece(begin, horizon, use, slope)


def _turns(budget: Budget, at: int, zone: datetime.tzinfo) -> Iterator[tuple[int, int | None, int]]:
    """Where the line turns from `at` on, with its use and slope from there; the first is `at`."""
    points, window = budget.points, budget.window
    total, rate = curve(points, at), _rate(points, at)
    if isinstance(window, Rolling):
        far = at - window.length
        yield at, total - curve(points, far), rate - _rate(points, far)
        old, now = (bisect_right(points, instant, key=_at) for instant in (far, at))
        for index in range(old, now):
            then, total_then, rate_then = points[index]
            turn = then + window.length
            yield turn, total + rate * (turn - at) - total_then, rate - rate_then
    elif isinstance(window, Calendar):
        begin, end = period(window, at, zone)
        yield at, total - curve(points, begin), rate
        yield end, 0, rate
        while rate:  # else it stays at nothing
            _, end = period(window, end, zone)
            yield end, 0, rate
    else:
        begin, end = term(window, zone)
        if at < begin:
            yield at, None, 0
            yield begin, 0, rate
        elif at < end:
            yield at, total - curve(points, begin), rate
        yield max(at, end), None, 0


def _rate(points: Points, at: int) -> int:
    index = bisect_right(points, at, key=_at) - 1
    return points[index][2] if index >= 0 else 0
