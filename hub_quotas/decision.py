"""Whether a server may start. Pure: whoever wants to know why reads `decide`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from .limits import SCOPES, SERVER, Limit
from .quantities import DURATION

Amounts = Mapping[str, int]
"""Amounts by resource, in each resource's smallest unit; a resource that is missing is 0."""

MEASURED = ("cpu", "memory")
"""What every server takes: without a limit on it, a server could take all there is."""


@dataclass(frozen=True)
class Use:
    """What is used within a limit's scope, without what is asked for.

    Attributes:
        used: in use now, for a cap; used within the window, for a budget. None where the window
            does not hold now.
        rate: in use now.
        servers: how many servers that are.
    """

    used: int | None = 0
    rate: int = 0
    servers: int = 0


@dataclass(frozen=True)
class Check:
    """One limit that was looked at.

    Attributes:
        asked: what the server asks for at once; None where it has no limit of its own on that,
            and none can be given to it.
    """

    limit: Limit
    use: Use
    asked: int | None

    @property
    def used(self) -> int:
        return self.use.used or 0

    @property
    def left(self) -> int:
        """What is left; never negative."""
        return max(0, self.limit.amount - self.used)

    @property
    def passed(self) -> bool:
        if self.use.used is None or self.asked == 0:
            return True
        if self.limit.window:
            return self.asked is not None and self.left > 0
        return self.asked is not None and self.asked <= self.left

    @property
    def lasts(self) -> int | None:
        """How long a budget lasts with this server running too, at least; in microseconds.

        At least, since what was used long ago leaves a rolling window again. None for a cap.
        """
        rate = self.use.rate + (self.asked or 0)
        if not self.limit.window or self.use.used is None or not rate:
            return None
        return self.left // rate


@dataclass(frozen=True)
class Decision:
    """The answer for one charged group, with every limit that was looked at, nearest first.

    Attributes:
        amounts: what the server gets and is charged for.
    """

    group: str
    amounts: Amounts
    checks: tuple[Check, ...]

    @cached_property
    def allowed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def refusals(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def room(self) -> dict[str, int]:
        """The largest server that would be admitted now; only resources that some cap names, and
        0 of one whose budget is used up."""
        room: dict[str, int] = {}
        for check in self.checks:
            if check.use.used is None or check.limit.window and check.left:
                continue
            name = check.limit.kind.curve
            room[name] = min(check.left, room.get(name, check.left))
        return room

    @property
    def full(self) -> bool:
        """Whether no server at all could start now, however small."""
        return not all(self.room.get(name, 1) for name in ("servers", "cost", *MEASURED))

    @property
    def lasts(self) -> int | None:
        """How long the server could run before a budget is used up, at least; microseconds."""
        return min((c.lasts for c in self.checks if c.lasts is not None), default=None)


@dataclass(frozen=True)
class Answer:
    """What `reserve` came to: the decision that admits, or those that refuse, in their order."""

    decisions: tuple[Decision, ...]

    @property
    def granted(self) -> Decision | None:
        last = self.decisions[-1]
        return last if last.allowed else None


def decide(
    group: str,
    request: Amounts,
    limits: Iterable[Limit],
    use: Callable[[Limit], Use],
    cost_rate: Callable[[Amounts], int] = lambda _amounts: 0,
) -> Decision:
    """Whether `group` can be charged for a server, and for what.

    Slurm's rule: each limit of the group and of each of its ancestors has to hold.

    Args:
        request: what the server asks for; a resource for which it has no limit of its own
            is missing.
        limits: of the group and of its ancestors, nearest first.
        use: what is used within a limit's scope.
        cost_rate: what amounts cost, in micro-currency per hour.

    A server without a limit of its own gets the tightest `server` limit as its limit. Where there
    is none, a cap or budget on that resource can't hold, and refuses it. A budget admits as long
    as something is left of it.
    """
    limits = [limit for limit in limits if _concerns_a_start(limit)]
    amounts = {"servers": 1, **request}
    for name in MEASURED:
        tightest = min(
            (cap.amount for cap in limits if (cap.scope, cap.resource) == (SERVER, name)),
            default=None,
        )
        if name not in amounts and tightest is not None:
            amounts[name] = tightest
    if rate := cost_rate(amounts):
        amounts["cost"] = rate
    checks = []
    for limit in limits:
        curve = limit.kind.curve
        asked = amounts.get(curve, None if curve in MEASURED else 0)
        checks.append(Check(limit, Use() if limit.scope == SERVER else use(limit), asked))
    nearest = list(dict.fromkeys(limit.group for limit in limits))
    checks.sort(key=lambda c: (nearest.index(c.limit.group), SCOPES.index(c.limit.scope)))
    return Decision(group, amounts, tuple(checks))


def _concerns_a_start(limit: Limit) -> bool:
    return limit.kind.kind != DURATION and limit.resource != "storage"
