"""Where somebody stands: what is used and left, what runs and until when, what ran. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from .decision import Check, Decision
from .forecast import Budget, fits, returns, runs_out
from .ledger import Charge
from .limits import DOWNSIZE, MEMBER, SERVER, STOP, Limit
from .quantities import DURATION
from .requests import Amounts, Request, in_use
from .watch import Order, place, whose

SERVICE = "service:"
"""What stands before the hub and the name of a service that holds something, in place of a hub."""

AHEAD = 60 * 24 * 3600 * 10**6
"""Microseconds for which it is told how budgets go on."""


@dataclass(frozen=True)
class Outlook:
    """How a budget goes on if what runs goes on. Instants are microseconds since 1970, UTC.

    Attributes:
        returns: when what was used begins to come back, see `forecast.returns`.
        runs_out: when nothing is left of it, or, where it is not `exact`, not before then. None
            where that is not to be seen, or nothing is left already.
        again: where nothing is left: when something is again.
    """

    returns: int | None = None
    runs_out: int | None = None
    exact: bool = True
    again: int | None = None


def look_out(
    budget: Budget, used: int, rate: int, at: int, reach: int, zone: tzinfo, ahead: int = AHEAD
) -> Outlook:
    """The outlook of a budget that holds now.

    Args:
        used: amount x microseconds, within the window.
        rate: in use now.
        reach: for how long from now `budget` is right; microseconds.
    """
    horizon = at + min(reach, ahead)
    found = returns(budget, at, zone)
    if found is not None and found > at + reach:  # behind what was read
        found = None
    if used >= budget.amount:
        return Outlook(found, again=fits([budget], [1], at, horizon, zone))
    if not rate:
        return Outlook(found)
    first = runs_out([budget], at, horizon, zone)
    if first:
        return Outlook(found, first[0])
    # No earlier than if nothing came back until then.
    soonest = at + max((budget.amount - used) // rate, reach)
    return Outlook(found, soonest, exact=False) if soonest < at + ahead else Outlook(found)


@dataclass(frozen=True)
class Line:
    """One limit, what is used of it, and, of a budget, how it goes on."""

    check: Check
    outlook: Outlook = Outlook()

    @property
    def share(self) -> float:
        """Of what it allows; 1 where it allows nothing."""
        limit = self.check.limit
        return self.check.used / limit.amount if limit.amount else 1.0


@dataclass(frozen=True)
class Choice:
    """Something to start: by its name, where it has one, and what would be said of it."""

    name: str
    decision: Decision


@dataclass(frozen=True)
class GroupStanding:
    """What one of my groups lets me use.

    Attributes:
        decision: on the smallest server.
        largest: on the largest that would start now; None where its size can't be told.
        ends: of lifetime and idleness, the shortest limit of each.
        storage: limits of it; what is used is not measured.
        days: what I used on each of the last days, the present one last: amount x microseconds.
        days_of: the resource of that.
        choices: what I started lately, and what would be said of it now; what had no size only
            where it would not start.
    """

    group: str
    lines: tuple[Line, ...]
    decision: Decision
    largest: Decision | None
    ends: tuple[Limit, ...]
    storage: tuple[Limit, ...]
    days: tuple[int, ...]
    days_of: str
    choices: tuple[Choice, ...]

    @property
    def shared(self) -> tuple[Line, ...]:
        """What there is a part used of."""
        return tuple(line for line in self.lines if line.check.limit.scope != SERVER)

    @property
    def tried(self) -> tuple[Choice, ...]:
        """The choices, where there is anything to say of them: some limit."""
        return self.choices if self.lines else ()

    @property
    def unsized(self) -> bool:
        """Whether something of it would not start since it has no limit of its own."""
        return any(choice.decision.unsized for choice in self.tried)

    @property
    def each(self) -> tuple[Line, ...]:
        """What each server may have."""
        return tuple(line for line in self.lines if line.check.limit.scope == SERVER)


@dataclass(frozen=True)
class End:
    """When something ends for a server that runs.

    Attributes:
        at: microseconds since 1970, UTC.
        key, group: the limit, and who sets it.
        stops: whether the server stops then, or only its budget is used up.
        exact: else it is not before `at`.
        idle: whether using it puts that off.
        small: whether only smaller servers start from then on.
    """

    at: int
    key: str
    group: str
    stops: bool
    exact: bool = True
    idle: bool = False
    small: bool = False

    @property
    def by_budget(self) -> bool:
        """Whether what is used up ends it; else it is its own time."""
        return self.key.rpartition(".")[2] not in ("lifetime", "idle")

    @property
    def mine(self) -> bool:
        """Whether the limit is one of each member."""
        return self.key.startswith(f"{MEMBER}.")


@dataclass(frozen=True)
class Running:
    """A server of mine.

    Attributes:
        hub: whose it is; a service's that holds it begins with SERVICE.
        draws: what it is charged for.
        since: when it was up, or reserved.
        up: whether it has come up; what a service holds is at once.
        ends: the first stop, and before it the first budget that is used up.
    """

    id: str
    hub: str
    server: str
    group: str
    profile: str
    draws: Amounts
    since: int
    up: bool
    ends: tuple[End, ...] = ()

    @property
    def service(self) -> str:
        """The name of the service that holds it; empty for a server of a hub."""
        return self.hub.rpartition(":")[2] if self.hub.startswith(SERVICE) else ""


@dataclass(frozen=True)
class Ended:
    """A server that I had.

    Attributes:
        reason: as the ledger has it.
        used: amount x microseconds by resource.
    """

    id: str
    server: str
    group: str
    profile: str
    draws: Amounts
    begin: int
    end: int
    reason: str
    used: Mapping[str, int]


@dataclass(frozen=True)
class History:
    """Some of the servers that ended lately, the last one first.

    Attributes:
        total: how many there are.
    """

    items: tuple[Ended, ...]
    offset: int
    total: int


@dataclass(frozen=True)
class Standing:
    """Where somebody stands at an instant; microseconds since 1970, UTC."""

    at: int
    groups: tuple[GroupStanding, ...]
    running: tuple[Running, ...]
    history: History


def used_by(charges: Sequence[Charge], end: int) -> dict[str, int]:
    """What a session used until it ended; amount x microseconds by resource."""
    found: dict[str, int] = {}
    until = [charge.since for charge in charges[1:]] + [end]
    for charge, following in zip(charges, until, strict=True):
        length = max(0, min(following, end) - charge.since)
        for name, amount in charge.amounts.items():
            found[name] = found.get(name, 0) + amount * length
    return found


def ends_of(
    limits: Iterable[Limit],
    user: str,
    draws: Amounts,
    since: int,
    used_at: int | None,
    order: Order | None,
    outlook: Callable[[Limit], Outlook],
) -> tuple[End, ...]:
    """When limits end a server: the first stop, and before it the first budget that is used up.

    Args:
        draws: what it is charged for.
        used_at: when it was used last, where that is known.
        order: to stop it, where one stands.
        outlook: of a budget.
    """
    stops, others = [], []
    for limit in limits:
        ordered = order is not None and order.cause == place(limit, whose(limit, user))
        if limit.kind.kind == DURATION:
            idle = limit.resource == "idle"
            begin = used_at if idle else since
            if begin is None and not ordered:
                continue
            at = order.at if ordered and order else (begin or 0) + limit.amount
            stops.append(End(at, limit.key, limit.group, True, idle=idle))
        elif limit.window and limit.reaction.kind == STOP:
            seen = outlook(limit)
            if ordered and order:
                stops.append(End(order.at, limit.key, limit.group, True))
            elif seen.runs_out is not None:
                at = seen.runs_out + limit.reaction.grace
                stops.append(End(at, limit.key, limit.group, True, seen.exact))
        elif limit.window and draws.get(limit.kind.curve):
            seen = outlook(limit)
            if seen.runs_out is not None:
                small = limit.reaction.kind == DOWNSIZE
                at = seen.runs_out
                others.append(End(at, limit.key, limit.group, False, seen.exact, small=small))
    stop = min(stops, key=lambda end: end.at, default=None)
    other = min(others, key=lambda end: end.at, default=None)
    first = other if other and (stop is None or other.at < stop.at) else None
    return tuple(end for end in (first, stop) if end)


def shortest_ends(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Of lifetime and idleness, the shortest of each."""
    shortest: dict[str, Limit] = {}
    for limit in sorted(limits, key=lambda limit: limit.amount, reverse=True):
        if limit.kind.kind == DURATION:
            shortest[limit.resource] = limit
    return tuple(limit for _, limit in sorted(shortest.items()))


def largest(decision: Decision) -> Request | None:
    """The largest server for which there is room; None where no cap says how large that is."""
    room = {name: amount for name, amount in decision.room.items() if name not in _NO_SIZE}
    return Request(room) if room else None


_NO_SIZE = ("servers", "cost")


def size(draws: Amounts) -> dict[str, int]:
    """What a server has of each resource, in an order for people; without what it has not."""
    names = [n for n in ("cpu", "memory", "gpu") if draws.get(n)]
    more = sorted(n for n in draws if "/" in n and "+" not in n and draws[n])
    return {name: in_use(draws, name) for name in (*names, *more)}
