"""Whether a server may start. Pure: whoever wants to know why reads `decide`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from .limits import SCOPES, SERVER, STORAGE, Limit
from .quantities import DURATION
from .requests import MEASURED, Amounts, Request, as_request


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
        small: whether it may start though the budget is used up, since the limit's reaction lets
            servers of its size.
    """

    limit: Limit
    use: Use
    asked: int | None
    small: bool = False

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
        if self.asked is None:
            return False
        if self.limit.window:
            return self.left > 0 or self.small
        return self.asked <= self.left

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
        amounts: what it is charged for.
        checks: of each limit.
        gets: the limits and guarantees that the server gets.
        always: whether it is allowed whatever the limits say (see `rescue`).
    """

    group: str
    amounts: Amounts
    checks: tuple[Check, ...]
    gets: Request = Request({})
    always: bool = False

    @cached_property
    def allowed(self) -> bool:
        return self.always or all(check.passed for check in self.checks)

    @property
    def refusals(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def unsized(self) -> bool:
        """Whether it is refused since it has no limit of its own: waiting does not help."""
        return any(check.asked is None for check in self.refusals)

    @property
    def room(self) -> dict[str, int]:
        """The largest server that would be admitted now; only resources that some cap names, and
        0 of one whose budget is used up."""
        room: dict[str, int] = {}
        for check in self.checks:
            if check.use.used is None or check.limit.window and check.left:
                continue
            least = {check.limit.kind.curve: check.left}
            if check.limit.window and check.limit.reaction.size:
                least = dict(check.limit.reaction.size)
            for name, left in least.items():
                room[name] = min(left, room.get(name, left))
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
    request: Request | Amounts,
    limits: Iterable[Limit],
    use: Callable[[Limit], Use],
    cost_rate: Callable[[Amounts], int] = lambda _amounts: 0,
) -> Decision:
    """Whether `group` can be charged for a server, and for what.

    Slurm's rule: each limit of the group and of each of its ancestors has to hold.

    Args:
        request: what the server asks for; a mapping stands for its limits.
        limits: of the group and of its ancestors, nearest first.
        use: what is used within a limit's scope.
        cost_rate: what amounts cost, in micro-currency per hour.

    A server without a limit of its own gets the tightest `server` limit as its limit. Where there
    is none, a cap or budget on that resource can't hold, and refuses it. A budget admits as long
    as something is left of it.
    """
    limits = [limit for limit in limits if concerns_a_start(limit)]
    caps: dict[str, int] = {}
    for limit in limits:
        if limit.scope == SERVER:
            caps[limit.resource] = min(limit.amount, caps.get(limit.resource, limit.amount))
    gets = as_request(request).held_to(caps)
    amounts = {"servers": 1, **gets.amounts}
    if rate := cost_rate(amounts):
        amounts["cost"] = rate
    checks = []
    for limit in limits:
        curve = limit.kind.curve
        counted = amounts.get(curve) if limit.window else gets.counted(curve)
        if counted is None and curve not in MEASURED:
            counted = amounts.get(curve, 0)
        used = Use() if limit.scope == SERVER else use(limit)
        checks.append(Check(limit, used, counted, _within(limit.reaction.size, gets)))
    nearest = list(dict.fromkeys(limit.group for limit in limits))
    checks.sort(key=lambda c: (nearest.index(c.limit.group), SCOPES.index(c.limit.scope)))
    return Decision(group, amounts, tuple(checks), gets)


def _within(size: tuple[tuple[str, int], ...], gets: Request) -> bool:
    """Whether a server is no larger than a size; without what the size does not name, but for
    CPU and memory, which every server takes, and for being a server."""
    if not size:
        return False
    most = dict(size)
    for name in {*gets.limits, *gets.guarantees, *most}:
        counted = gets.counted(name)
        if counted is None:
            counted = gets.guarantees.get(name)
        if name in most and (counted is None or counted > most[name]):
            return False
        if name not in most and name not in (*MEASURED, "servers") and counted:
            return False
    return True


def concerns_a_start(limit: Limit) -> bool:
    """Whether `decide` looks at a limit."""
    return limit.kind.kind != DURATION and limit.resource != STORAGE
