"""Whether a server may start. Pure: whoever wants to know why reads `decide`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .limits import SCOPES, SERVER, Limit, path
from .quantities import RESOURCES

Amounts = Mapping[str, int]
"""Amounts by resource, in each resource's smallest unit; a resource that is missing is 0."""


@dataclass(frozen=True)
class Check:
    """One limit that was looked at.

    Attributes:
        used: what is in use within the limit's scope, without what is asked for.
        asked: what the server asks for; None where it has no limit of its own, and none can be
            given to it.
    """

    limit: Limit
    used: int
    asked: int | None
    servers: int

    @property
    def left(self) -> int:
        """What is left for one more server; never negative."""
        return max(0, self.limit.amount - self.used)

    @property
    def passed(self) -> bool:
        return self.asked is not None and self.asked <= self.left


@dataclass(frozen=True)
class Decision:
    """The answer for one charged group, with every limit that was looked at, nearest first.

    Attributes:
        amounts: what the server gets and is charged for.
    """

    group: str
    amounts: Amounts
    checks: tuple[Check, ...]

    @property
    def allowed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def refusals(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def room(self) -> dict[str, int]:
        """The largest server that would be admitted now; only resources that some limit names."""
        room: dict[str, int] = {}
        for check in self.checks:
            name = check.limit.resource
            room[name] = min(check.left, room.get(name, check.left))
        return room


def decide(
    group: str,
    request: Amounts,
    limits: Iterable[Limit],
    use: Callable[[Limit], Amounts],
) -> Decision:
    """Whether `group` can be charged for a server, and for what.

    Slurm's rule: each limit of the group and of each of its ancestors has to hold.

    Args:
        request: what the server asks for; a resource for which it has no limit of its own
            is missing.
        limits: of the group and of its ancestors.
        use: what is in use within a limit's scope.

    A server without a limit of its own gets the tightest `server` limit as its limit.
    Where there is none, a cap on that resource can't hold, and refuses it.
    """
    nearest = path(group)
    limits = sorted(
        limits, key=lambda cap: (nearest.index(cap.group), SCOPES.index(cap.scope), cap.resource)
    )
    amounts = {"servers": 1, **request}
    for name in RESOURCES:
        tightest = min(
            (cap.amount for cap in limits if (cap.scope, cap.resource) == (SERVER, name)),
            default=None,
        )
        if name not in amounts and tightest is not None:
            amounts[name] = tightest
    checks = []
    for limit in limits:
        now = {} if limit.scope == SERVER else use(limit)
        checks.append(
            Check(
                limit=limit,
                used=now.get(limit.resource, 0),
                asked=amounts.get(limit.resource),
                servers=now.get("servers", 0),
            )
        )
    return Decision(group, amounts, tuple(checks))
