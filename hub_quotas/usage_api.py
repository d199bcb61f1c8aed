"""What I use and may use, for programs."""

from __future__ import annotations

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Page

from .access import Who
from .desk import QuotaRest, iso
from .quantities import HOUR, RESOURCES, resource
from .requests import Amounts
from .standing import history, running, standing
from .stopping import stop_server
from .usage import Choice, Ended, GroupStanding, Line, Running, size
from .windows import say_window


class LimitUse(Model):
    """One limit and what is used of it."""

    group: str = Field(description="The group that sets it")
    limit: str = Field(description="Its key, such as member.cpu-hours")
    amount: str = Field(description="As in a policy: 40 per 7d")
    used: str = Field(description="In the same unit")
    left: str = Field(description="In the same unit")
    window: str = Field("", description="Of a budget, in words")
    comes_back_at: str = Field(
        "", description="When what was used begins to count no more: ISO 8601"
    )
    runs_out_at: str = Field("", description="When nothing is left if what runs goes on")
    runs_out_exactly: bool = Field(True, description="Or else not before then")
    again_at: str = Field("", description="When something is left again, where nothing is")


class CouldStart(Model):
    """Something that I started lately, and whether I could now."""

    profile: str
    size: dict[str, str]
    would_start: bool
    lasts_seconds: int | None = Field(None, description="At least; null where no budget ends it")


class MyGroup(Model):
    """What one of my groups lets me use."""

    group: str
    limits: list[LimitUse]
    full: bool = Field(description="Whether nothing at all could start now")
    room: dict[str, str] = Field(description="The largest server for which there is room")
    room_lasts_seconds: int | None = Field(None, description="For how long one would last")
    could_start: list[CouldStart]
    days: list[str] = Field(description="What I used on each of the last days, today last")
    days_of: str = Field(description="cpu: in CPU-hours; servers: in hours")


class Ends(Model):
    """When a limit ends a server, or its budget."""

    at: str
    limit: str
    group: str
    stops: bool = Field(description="Whether the server stops then")
    exactly: bool = Field(description="Or else not before then")
    unless_used: bool = Field(description="Whether using it puts that off")


class MyServer(Model):
    """A server of mine that runs, or is about to."""

    id: str = Field(description="Of its session")
    server: str = Field(description="Empty for the default server")
    group: str
    profile: str
    draws: dict[str, str]
    cost_per_hour: str = Field("", description="In the hub's currency")
    since: str
    up: bool
    hub: str
    ends: list[Ends]


class MyServers(Model):
    """What runs."""

    servers: list[MyServer]


class Me(Model):
    """What I may use, and have used."""

    user: str
    at: str
    groups: list[MyGroup]
    servers: list[MyServer]


class Past(Model):
    """A server of mine that ended."""

    id: str
    server: str
    group: str
    profile: str
    draws: dict[str, str]
    began: str
    ended: str
    reason: str
    cpu_hours: str
    memory_hours: str = Field(description="GiB-hours")
    gpu_hours: str
    cost: str


class PastServers(Model):
    """Those that ended within the last 30 days, the last one first."""

    items: list[Past]
    total: int
    next_offset: int | None = None


class Stopping(Model):
    """A server that was told to stop."""

    id: str = Field(description="Of its session")
    stopped: bool = Field(description="Or else it is about to be")


def _line(line: Line) -> LimitUse:
    check, seen = line.check, line.outlook
    limit = check.limit
    return LimitUse(
        group=limit.group,
        limit=limit.key,
        amount=limit.text,
        used=limit.kind.format(check.used),
        left=limit.kind.format(check.left),
        window=say_window(limit.window) if limit.window else "",
        comes_back_at=_iso(seen.returns),
        runs_out_at=_iso(seen.runs_out),
        runs_out_exactly=seen.exact,
        again_at=_iso(seen.again),
    )


def _group(found: GroupStanding) -> MyGroup:
    room = found.decision.room
    time = RESOURCES["cpu-hours" if found.days_of == "cpu" else "gpu-hours"]
    return MyGroup(
        group=found.group,
        limits=[_line(line) for line in found.lines],
        full=found.decision.full,
        room=_amounts({name: amount for name, amount in room.items() if name != "cost"}),
        room_lasts_seconds=_seconds(found.largest.lasts) if found.largest else None,
        could_start=[_choice(choice) for choice in found.choices],
        days=[time.format(day) for day in found.days],
        days_of=found.days_of,
    )


def _choice(choice: Choice) -> CouldStart:
    decision = choice.decision
    return CouldStart(
        profile=choice.name,
        size=_amounts(size(decision.amounts)),
        would_start=decision.allowed,
        lasts_seconds=_seconds(decision.lasts) if decision.allowed else None,
    )


def _server(found: Running) -> MyServer:
    rate = found.draws.get("cost", 0)
    return MyServer(
        id=found.id,
        server=found.server,
        group=found.group,
        profile=found.profile,
        draws=_amounts(size(found.draws)),
        cost_per_hour=RESOURCES["cost"].format(rate * HOUR) if rate else "",
        since=_iso(found.since),
        up=found.up,
        hub=found.hub,
        ends=[
            Ends(
                at=_iso(end.at),
                limit=end.key,
                group=end.group,
                stops=end.stops,
                exactly=end.exact,
                unless_used=end.idle,
            )
            for end in found.ends
        ],
    )


def _past(found: Ended) -> Past:
    def hours(name: str, curve: str) -> str:
        return RESOURCES[name].format(found.used.get(curve, 0))

    return Past(
        id=found.id,
        server=found.server,
        group=found.group,
        profile=found.profile,
        draws=_amounts(size(found.draws)),
        began=_iso(found.begin),
        ended=_iso(found.end),
        reason=found.reason,
        cpu_hours=hours("cpu-hours", "cpu"),
        memory_hours=hours("memory-hours", "memory"),
        gpu_hours=hours("gpu-hours", "gpu"),
        cost=hours("cost", "cost"),
    )


def _amounts(amounts: Amounts) -> dict[str, str]:
    """As in a policy."""
    kinds = ((name, resource(name), amount) for name, amount in amounts.items())
    return {name: kind.format(amount) for name, kind, amount in kinds if kind}


def _iso(at: int | None) -> str:
    return "" if at is None else iso(at)


def _seconds(length: int | None) -> int | None:
    return None if length is None else length // 10**6


async def _me(handler: QuotaRest, _query: Nothing, _body: None) -> Me:
    groups = list(handler.access.groups)
    found = await handler.ledger(standing, handler.store, handler.user, groups, 0, 1)
    return Me(
        user=handler.user,
        at=_iso(found.at),
        groups=[_group(group) for group in found.groups],
        servers=[_server(server) for server in found.running],
    )


async def _servers(handler: QuotaRest, _query: Nothing, _body: None) -> MyServers:
    found = await handler.ledger(running, handler.store, handler.user)
    return MyServers(servers=[_server(server) for server in found])


async def _stop(handler: QuotaRest, _query: Nothing, _body: None) -> Stopping:
    session, over = await stop_server(handler, handler.part.get("server", ""))
    return Stopping(id=session, stopped=over)


async def _history(handler: QuotaRest, query: Page, _body: None) -> PastServers:
    found = await handler.ledger(history, handler.store, handler.user, query.offset, query.limit)
    following = query.offset + len(found.items)
    return PastServers(
        items=[_past(one) for one in found.items],
        total=found.total,
        next_offset=following if following < found.total and found.items else None,
    )


_ABOUT = "Of this hub. A token needs the scope custom:quotas:act."

OPERATIONS = (
    Operation("GET", "/me", Who.USER, "What I may use, and have used", _me, Me, tag="me"),
    Operation("GET", "/me/servers", Who.USER, "What runs for me", _servers, MyServers, tag="me"),
    Operation(
        "DELETE",
        "/me/server",
        Who.USER,
        "Stop my default server",
        _stop,
        Stopping,
        status=202,
        problems=(404, 409, 502),
        tag="me",
        about=_ABOUT,
    ),
    Operation(
        "DELETE",
        "/me/servers/{server}",
        Who.USER,
        "Stop a named server of mine",
        _stop,
        Stopping,
        status=202,
        problems=(404, 409, 502),
        tag="me",
        about=_ABOUT,
        parts={"server": "Its name"},
    ),
    Operation(
        "GET", "/me/history", Who.USER, "What ran for me", _history, PastServers, Page, tag="me"
    ),
)
