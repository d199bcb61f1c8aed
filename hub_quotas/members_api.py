"""Members of groups and their servers, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Page, Refusal, paged

from .access import Who
from .desk import QuotaRest, iso, no_such_group
from .groups_api import GROUP_PART, said
from .history import running
from .members import Member, member_limit, members, with_limits
from .policy import DEFAULT_GROUP
from .quantities import HOUR, RESOURCES
from .sessions import Session
from .stopping import stop_in_group
from .tree import under


class MemberQuery(Page):
    q: str = Field("", max_length=200, description="A part of the name")


class MemberItem(Model):
    """A member and their use."""

    user: str
    used: str = Field(description="Of the limit that the list names")
    amount: str = Field(description="What that limit is for them, with boosts")
    servers: int = Field(description="Running now")
    seen: str | None = Field(
        description="When a server that the group was charged for was started or stopped last; UTC"
    )


class MemberList(Model):
    """Members."""

    limit: str = Field(description="The limit of which 'used' tells; CPU-hours of 30 days if empty")
    amount: str
    members: list[MemberItem]
    count: int
    next_offset: int | None


class ServerItem(Model):
    """A server that runs."""

    session: str
    user: str
    server: str
    group: str
    since: str
    profile: str
    granted: dict[str, str] = Field(description="By resource, in the notation of policies")
    cost_per_hour: str | None


class ServerList(Model):
    """Running servers, the oldest first."""

    servers: list[ServerItem]
    count: int
    next_offset: int | None


def server_item(session: Session) -> ServerItem:
    rate = session.granted.get("cost")
    return ServerItem(
        session=session.id,
        user=session.user,
        server=session.server,
        group=session.group,
        since=iso(session.reserved_at),
        profile=session.profile,
        granted=said(session.granted),
        cost_per_hour=RESOURCES["cost"].format(rate * HOUR) if rate else None,
    )


async def names_below(desk: QuotaRest, name: str) -> list[str]:
    """A group and all below it; raises Refusal where there is no such group."""
    seen, in_hub = await desk.overviews.latest(desk.store), await desk.directory.groups()
    policy = seen.held.policy
    known = {above for one in (*in_hub, *seen.groups, DEFAULT_GROUP) for above in policy.path(one)}
    if name not in known:
        raise Refusal(404, no_such_group())
    return [one for one in known if under(policy, one, name)]


async def _members(desk: QuotaRest, query: MemberQuery, _body: None) -> MemberList:
    name = desk.part["group"]
    below = await names_below(desk, name)
    known = await desk.users_in(name)

    def read() -> tuple[Any, Mapping[str, Member]]:
        limit = member_limit(desk.store.policy().limits(name))
        return limit, members(desk.store, below, limit, known)

    limit, everyone = await desk.ledger(read)
    found = sorted(
        (one for one in everyone.values() if query.q.lower() in one.name.lower()),
        key=lambda one: (-one.used, one.name),
    )
    some, following = paged(found, query.offset, query.limit)
    kind = limit.kind if limit else RESOURCES["cpu-hours"]
    items = [
        MemberItem(
            user=one.name,
            used=kind.format(one.used),
            amount=one.limit.text if one.limit else "",
            servers=one.servers,
            seen=iso(one.seen) if one.seen else None,
        )
        for one in await desk.ledger(with_limits, desk.store, name, some)
    ]
    return MemberList(
        limit=limit.key if limit else "",
        amount=limit.text if limit else "",
        members=items,
        count=len(found),
        next_offset=following,
    )


async def _servers(desk: QuotaRest, query: Page, _body: None) -> ServerList:
    below = await names_below(desk, desk.part["group"])
    some, count = await desk.ledger(running, desk.store, below, query.offset, query.limit)
    following = query.offset + query.limit
    return ServerList(
        servers=[server_item(session) for session in some],
        count=count,
        next_offset=following if following < count else None,
    )


async def _stop(desk: QuotaRest, _query: Nothing, _body: None) -> None:
    await stop_in_group(desk, desk.part["group"], desk.part["session"])


OPERATIONS = (
    Operation(
        "GET",
        "/groups/{group}/members",
        Who.SEES,
        "Its members and what they use",
        _members,
        MemberList,
        query=MemberQuery,
        problems=(404,),
        tag="groups",
        parts=GROUP_PART,
    ),
    Operation(
        "GET",
        "/groups/{group}/servers",
        Who.SEES,
        "What runs in it",
        _servers,
        ServerList,
        query=Page,
        problems=(404,),
        tag="groups",
        parts=GROUP_PART,
    ),
    Operation(
        "DELETE",
        "/groups/{group}/servers/{session}",
        Who.MANAGES,
        "Stop a server",
        _stop,
        problems=(404, 409, 502),
        tag="groups",
        parts={**GROUP_PART, "session": "Its session"},
    ),
)
