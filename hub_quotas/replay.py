"""The past, played again through the decision. Pure.

Servers that are refused are taken out; all others start, change and end as they really did. What
ends at an instant makes room for what starts at it. A server is taken to ask for what it was
granted.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from typing import NamedTuple

from .boosts import boosted
from .decision import Check, Decision, Use, decide
from .ledger import Charge, difference, negative
from .limits import MEMBER, SERVER, STOP, Limit
from .policy import Policy
from .requests import BURST, Amounts, Request, in_use
from .windows import Rolling, Window, span

Limits = Mapping[str, tuple[Limit, ...]]
"""By the group that sets them."""

_EVER = -(2**62)
"""Earlier than any instant."""


class Start(NamedTuple):
    """A server that started, and what became of it.

    Attributes:
        at, ended: microseconds since 1970, UTC; None while it runs.
        id: of its session; among those of one instant, they start in the order of their ids.
        charges: what it was charged for, over time.
    """

    at: int
    id: str
    user: str
    server: str
    group: str
    charges: tuple[Charge, ...]
    ended: int | None


@dataclass(frozen=True)
class Refused:
    """A start that would have been refused.

    Attributes:
        checks: of the limits that refuse it, nearest first; at least one.
    """

    start: Start
    checks: tuple[Check, ...]

    @property
    def user(self) -> str:
        return self.start.user

    @property
    def group(self) -> str:
        """To which it was charged."""
        return self.start.group

    @property
    def at(self) -> int:
        """Microseconds since 1970, UTC."""
        return self.start.at

    @property
    def limit(self) -> Limit:
        """The nearest that refuses it."""
        return self.checks[0].limit


def replay(
    policy: Policy, limits: Limits, starts: Iterable[Start], since: int, zone: tzinfo
) -> list[Refused]:
    """The starts that limits would have refused, oldest first.

    Args:
        policy: for the tree, boosts and prices.
        limits: all that hold in this past.
        starts: oldest first.
        since: those before this instant count, and are not refused.
    """
    past = _Past(policy, limits, zone)
    refused = []
    for start in starts:
        past.go_on(start.at)
        if start.at < since:
            past.take(start, start.charges[0].amounts)
            continue
        decision = past.decide(start)
        if checks := decision.refusals:
            refused.append(Refused(start, checks))
        else:
            past.take(start, decision.amounts)
    return refused


def beyond(
    policy: Policy, limits: Limits, starts: Iterable[Start], at: int, zone: tzinfo
) -> list[Start]:
    """What runs at an instant, and a used up budget `then stop` would stop.

    Args:
        starts: oldest first; none is refused.
    """
    past = _Past(policy, limits, zone)
    running = []
    for start in starts:
        past.go_on(start.at)
        past.take(start, start.charges[0].amounts)
        if start.ended is None:
            running.append(start)
    past.go_on(at)
    return [start for start in running if past.stops(start)]


class _Line:
    """Amount x microseconds of one resource: a piecewise-linear curve that grows at its end. A
    piece has used `base + rate * at` up to an instant."""

    def __init__(self) -> None:
        self._since, self._base, self._rate = [_EVER], [0], [0]

    def change(self, at: int, by: int) -> None:
        """The amount in use changes, no earlier than it did last."""
        self._since.append(at)
        self._base.append(self._base[-1] - by * at)
        self._rate.append(self._rate[-1] + by)

    def between(self, begin: int, end: int) -> int:
        """Used from an instant up to another, which is no earlier than the last change."""
        piece = bisect_right(self._since, begin) - 1
        before = self._base[piece] + self._rate[piece] * begin
        return self._base[-1] + self._rate[-1] * end - before


class _Tally:
    """What is in use within a limit's scope, and was used of what its budgets count."""

    def __init__(self, budgets: Iterable[Limit]) -> None:
        self.rates: dict[str, int] = defaultdict(int)
        self.lines = {limit.kind.curve: _Line() for limit in budgets}

    def change(self, at: int, change: Amounts) -> None:
        for name, amount in change.items():
            self.rates[name] += amount
            if name in self.lines:
                self.lines[name].change(at, amount)


_Tallies = Mapping[tuple[str, str], _Tally]
"""Of a member, by scope and group."""


class _Past:
    """What is in use and was used, as the past goes on."""

    def __init__(self, policy: Policy, limits: Limits, zone: tzinfo) -> None:
        self._policy, self._limits, self._zone = policy, limits, zone
        self._at = 0
        curves = {limit.kind.curve for of_group in limits.values() for limit in of_group}
        self._names = {"servers", *curves, *(curve + BURST for curve in curves)}
        self._held: dict[str, tuple[Limit, ...]] = {}
        self._tallies: dict[tuple[str, str, str], _Tally] = {}
        self._by_user: dict[tuple[str, str], _Tallies] = {}
        self._spans: dict[Window, tuple[int, int]] = {}
        self._coming: list[tuple[int, int, Iterable[_Tally], Amounts]] = []
        self._count = 0

    def go_on(self, at: int) -> None:
        """Up to an instant: what changes or ends by then does."""
        while self._coming and self._coming[0][0] <= at:
            when, _, tallies, change = heapq.heappop(self._coming)
            for tally in tallies:
                tally.change(when, change)
        self._at = at

    def decide(self, start: Start) -> Decision:
        """Whether it may start now."""
        granted, tallies = start.charges[0].amounts, self._tallies_of(start)
        return decide(
            start.group,
            request_of(granted),
            self._limits_for(start),
            lambda limit: self._use(limit, tallies),
            lambda amounts: self._cost(granted, amounts),
        )

    def take(self, start: Start, amounts: Amounts) -> None:
        """It starts now with these amounts, and goes on as it did."""
        tallies, held = self._tallies_of(start).values(), self._counted(amounts)
        for tally in tallies:
            tally.change(self._at, held)
        for charge in start.charges[1:]:
            if start.ended is None or charge.since < start.ended:
                after = self._counted(charge.amounts)
                self._later(charge.since, tallies, difference(held, after))
                held = after
        if start.ended is not None:
            self._later(start.ended, tallies, negative(held))

    def stops(self, start: Start) -> bool:
        """Whether a budget `then stop` that it runs under is used up."""
        tallies = self._tallies_of(start)
        uses = (
            (limit.amount, self._use(limit, tallies).used)
            for limit in self._limits_for(start)
            if limit.reaction.kind == STOP
        )
        return any(used is not None and used >= amount for amount, used in uses)

    def _counted(self, amounts: Amounts) -> Amounts:
        """Without what no limit is about."""
        return {name: amount for name, amount in amounts.items() if name in self._names}

    def _later(self, at: int, tallies: Iterable[_Tally], change: Amounts) -> None:
        self._count += 1  # or two at one instant would be compared by what changes
        heapq.heappush(self._coming, (at, self._count, tallies, change))

    def _of_group(self, group: str) -> tuple[Limit, ...]:
        if group not in self._held:
            names = self._policy.path(group)
            held = (limit for name in names for limit in self._limits.get(name, ()))
            self._held[group] = tuple(held)
        return self._held[group]

    def _limits_for(self, start: Start) -> tuple[Limit, ...]:
        limits, raised = self._of_group(start.group), self._policy.boosts(start.group)
        return boosted(limits, raised, start.user, self._at, self._zone) if raised else limits

    def _tallies_of(self, start: Start) -> _Tallies:
        whose = start.user, start.group
        if whose not in self._by_user:
            self._by_user[whose] = {
                (limit.scope, limit.group): self._tally(limit, start.user)
                for limit in self._of_group(start.group)
                if limit.scope != SERVER
            }
        return self._by_user[whose]

    def _tally(self, limit: Limit, user: str) -> _Tally:
        place = limit.scope, limit.group, user if limit.scope == MEMBER else ""
        if place not in self._tallies:
            budgets = [
                one for one in self._limits[limit.group] if one.window and one.scope == limit.scope
            ]
            self._tallies[place] = _Tally(budgets)
        return self._tallies[place]

    def _use(self, limit: Limit, tallies: _Tallies) -> Use:
        tally, curve = tallies[limit.scope, limit.group], limit.kind.curve
        servers = tally.rates["servers"]
        if limit.window is None:
            rate = in_use(tally.rates, curve)
            return Use(rate, rate, servers)
        begin, line = self._begin(limit.window), tally.lines[curve]
        used = None if begin is None else line.between(begin, self._at)
        return Use(used, tally.rates[curve], servers)

    def _begin(self, window: Window) -> int | None:
        """Of the window that holds now; None where none does."""
        if isinstance(window, Rolling):
            return self._at - window.length
        known = self._spans.get(window)
        if known is None or not known[0] <= self._at < known[1]:
            known = span(window, self._at, self._zone)
            if known is None:
                return None
            self._spans[window] = known
        return known[0]

    def _cost(self, granted: Amounts, amounts: Amounts) -> int:
        """What it cost at its start, and what a limit gives it in addition."""
        more = {name: amount for name, amount in amounts.items() if name not in granted}
        if not more:
            return granted.get("cost", 0)
        day = datetime.fromtimestamp(self._at // 10**6, timezone.utc).astimezone(self._zone).date()
        return granted.get("cost", 0) + self._policy.cost_rate(more, day)


def request_of(granted: Amounts) -> Request:
    """A request that counts for caps and budgets as what was granted does.

    A server that had a guarantee and no limit is taken to have had it as its limit too.
    """
    limits, guarantees = {}, {}
    for name, amount in granted.items():
        if name != "cost" and not name.endswith(BURST):
            limits[name] = in_use(granted, name)
            if name + BURST in granted:
                guarantees[name] = amount
    return Request(limits, guarantees)
