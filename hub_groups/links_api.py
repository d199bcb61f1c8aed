"""Join links and requests to join, for programs."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Literal, TypeVar

from pydantic import Field

from . import links
from .access import Who
from .desk import GroupsRest, iso
from .group_pages import wanted_link
from .joining import AlreadyAnswered, Joined, JoinRequest, Link, LinkOver, NoSuchLink
from .memberships import MANAGER
from .names import PeopleError
from .people_desk import NotSure, UnknownNames, group_is
from .rest import Model, Nothing, Operation, Page, Refusal, paged
from .roster import RosterError
from .web import TooFast, brake
from .words import _

T = TypeVar("T")

Role = Literal["member", "manager"]
ROLE = "A manager sees and sets the members"
UNTIL = "A day, of which the end counts, or an instant in UTC; empty for never"
GROUP = {"group": "Its name; a slash in it is written %2F"}
_State = Literal["open", "approved", "declined", "withdrawn"]
_Why = Literal["", "revoked", "archived", "expired", "used-up"]


async def refused(call: Awaitable[T]) -> T:
    """What is not done as it was asked is said with a status, and a word where that helps."""
    try:
        return await call
    except NoSuchLink as error:
        raise Refusal(404, str(error)) from None
    except LinkOver as error:
        raise Refusal(410, str(error), error.reason) from None
    except AlreadyAnswered as error:
        raise Refusal(404, str(error)) from None
    except NotSure as error:
        raise Refusal(409, str(error), "not-sure") from None
    except UnknownNames as error:
        raise Refusal(400, str(error), "unknown-names") from None
    except (PeopleError, RosterError) as error:
        raise Refusal(400, str(error)) from None


def part_number(desk: GroupsRest, name: str) -> int:
    """A number in an address; -1 for what is none."""
    text = desk.part[name]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


class LinkModel(Model):
    """A link by which people join a group."""

    id: int
    code: str
    path: str = Field(description="Where it leads, on this hub")
    group: str
    role: Role
    by: str = Field(description="Who has made it")
    at: str
    until: str
    most: int | None = Field(description="How many may join; null for any number")
    used: int = Field(description="How many have, or have asked to")
    asks: bool = Field(description="Whether a manager has to say yes to each")
    member_until: str | None = Field(description="When memberships end; null for never")
    over: _Why = Field(description="Why it works no longer; empty where it does")


class Links(Model):
    links: list[LinkModel]


class NewLink(Model):
    """A link to be made."""

    until: str = Field(max_length=40, description=f"{UNTIL.partition(';')[0]}; a year at most")
    role: Role = Field("member", description="Only admins make links for managers")
    most: int | None = Field(None, ge=1, le=100_000, description="How many may join")
    asks: bool = Field(False, description="A manager has to say yes to each")
    member_until: str = Field("", max_length=40, description=f"When memberships end: {UNTIL}")


class Invitation(Model):
    """What a code is for."""

    group: str
    role: Role
    by: str
    until: str
    asks: bool
    member_until: str | None
    outcome: Literal["joined", "asked", "already"] = Field(
        description="What joining by it has come to, or would"
    )


class RequestModel(Model):
    """Somebody who asks to join."""

    id: int
    group: str
    user: str
    at: str
    state: _State
    answered_at: str | None
    answered_by: str


class Requests(Model):
    requests: list[RequestModel]
    next_offset: int | None


# -- links -----------------------------------------------------------------------------------------


def _link(desk: GroupsRest, link: Link) -> LinkModel:
    end = link.member_until
    return LinkModel(
        id=link.id,
        code=link.code,
        path=f"{desk.context.prefix}join/{link.code}",
        group=link.group,
        role=role_of(link.role),
        by=link.by,
        at=iso(link.at),
        until=iso(link.until),
        most=link.most,
        used=link.used,
        asks=link.asks,
        member_until=None if end is None else iso(end),
        over=link.over(desk.store.clock()),  # type: ignore[arg-type]
    )


def role_of(text: str) -> Role:
    """A role as the store has it."""
    return "manager" if text == MANAGER else "member"


async def there(desk: GroupsRest, by_admin: bool = False) -> str:
    """The group that an address names.

    Args:
        by_admin: an admin may name one that is not there.

    Raises:
        Refusal: there is none.
    """
    group = desk.part["group"]
    if by_admin and desk.access.admin:
        return group
    if not await group_is(desk, group):
        raise Refusal(404, _("There is no such group here."))
    return group


async def _links(desk: GroupsRest, query: Nothing, body: None) -> Links:
    group = await there(desk)
    return Links(
        links=[_link(desk, one) for one in await desk.ask(links.links_of, desk.store, group)]
    )


async def _make(desk: GroupsRest, query: Nothing, body: NewLink) -> LinkModel:
    group = await there(desk)
    if body.role == MANAGER and not desk.access.admin:
        raise Refusal(403, _("Only admins make links for managers."))

    async def make() -> Link:
        typed = {"until": body.until, "role": body.role, "member_until": body.member_until}
        typed |= {"most": "" if body.most is None else str(body.most)}
        typed |= {"asks": "1" if body.asks else ""}
        wanted = wanted_link(typed, desk.store.clock())
        return await desk.ask(links.make_link, desk.store, group, wanted, desk.by())

    return _link(desk, await refused(make()))


async def _revoke(desk: GroupsRest, query: Nothing, body: None) -> None:
    group = await there(desk)
    args = (desk.store, group, part_number(desk, "link"), desk.by())
    if not await desk.ask(links.revoke, *args):
        raise Refusal(404, _("There is no such link, or it works no longer."))


# -- joining ---------------------------------------------------------------------------------------


async def _look(desk: GroupsRest, query: Nothing, body: None) -> Invitation:
    wait = brake.wait(desk.user, time.monotonic())  # or one could try code after code
    if wait:
        raise TooFast(int(wait) + 1)
    return _invitation(
        await refused(desk.ask(links.look_up, desk.store, desk.part["code"], desk.user))
    )


async def _join(desk: GroupsRest, query: Nothing, body: None) -> Invitation:
    if desk.current_user.get("kind", "user") != "user":
        raise Refusal(403, _("Only users join groups."))
    args = (desk.store, desk.part["code"], desk.user, desk.by().via)
    return _invitation(await refused(desk.ask(links.join, *args)))


def _invitation(found: Joined) -> Invitation:
    link = found.link
    return Invitation(
        group=link.group,
        role=role_of(link.role),
        by=link.by,
        until=iso(link.until),
        asks=link.asks,
        member_until=None if link.member_until is None else iso(link.member_until),
        outcome=found.outcome,  # type: ignore[arg-type]
    )


# -- requests --------------------------------------------------------------------------------------


def _request(one: JoinRequest) -> RequestModel:
    return RequestModel(
        id=one.id,
        group=one.group,
        user=one.user,
        at=iso(one.at),
        state=one.state,  # type: ignore[arg-type]
        answered_at=None if one.answered_at is None else iso(one.answered_at),
        answered_by=one.answered_by,
    )


async def _mine(desk: GroupsRest, query: Page, body: None) -> Requests:
    found = await desk.ask(links.requests_of, desk.store, desk.user)
    some, next_offset = paged(found, query.offset, query.limit)
    return Requests(requests=[_request(one) for one in some], next_offset=next_offset)


async def _waiting(desk: GroupsRest, query: Page, body: None) -> Requests:
    found = await desk.ask(links.waiting, desk.store, desk.access.manages)
    some, next_offset = paged(found, query.offset, query.limit)
    return Requests(requests=[_request(one) for one in some], next_offset=next_offset)


async def _withdraw(desk: GroupsRest, query: Nothing, body: None) -> RequestModel:
    call = desk.ask(links.withdraw, desk.store, part_number(desk, "request"), desk.by())
    return _request(await refused(call))


async def _approve(desk: GroupsRest, query: Nothing, body: None) -> RequestModel:
    return await _answer(desk, True)


async def _decline(desk: GroupsRest, query: Nothing, body: None) -> RequestModel:
    return await _answer(desk, False)


async def _answer(desk: GroupsRest, approve: bool) -> RequestModel:
    args = (desk.store, part_number(desk, "request"), approve, desk.by(), desk.access.manages)
    return _request(await refused(desk.ask(links.answer, *args)))


_REQUEST = {"request": "Its id"}
_CODE = {"code": "Of the link"}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/groups/{group}/links",
        Who.MANAGES,
        "Join links, the latest first",
        _links,
        Links,
        tag="links",
        parts=GROUP,
        problems=(404,),
    ),
    Operation(
        "POST",
        "/groups/{group}/links",
        Who.MANAGES,
        "Make a join link",
        _make,
        LinkModel,
        body=NewLink,
        status=201,
        tag="links",
        parts=GROUP,
        problems=(404, 410),
    ),
    Operation(
        "DELETE",
        "/groups/{group}/links/{link}",
        Who.MANAGES,
        "Revoke a join link",
        _revoke,
        tag="links",
        parts={**GROUP, "link": "Its id"},
        problems=(404,),
        about="Who has joined by it stays.",
    ),
    Operation(
        "GET",
        "/join/{code}",
        Who.USER,
        "What a code is for",
        _look,
        Invitation,
        tag="links",
        parts=_CODE,
        problems=(404, 410, 429),
    ),
    Operation(
        "POST",
        "/join/{code}",
        Who.ACTS,
        "Join by a code, or ask to",
        _join,
        Invitation,
        tag="links",
        parts=_CODE,
        problems=(404, 410),
        about="To do it again changes nothing.",
    ),
    Operation(
        "GET",
        "/me/requests",
        Who.USER,
        "What I have asked to join, the latest first",
        _mine,
        Requests,
        Page,
        tag="me",
    ),
    Operation(
        "POST",
        "/me/requests/{request}/withdraw",
        Who.ACTS,
        "Withdraw a request of mine",
        _withdraw,
        RequestModel,
        tag="me",
        parts=_REQUEST,
        problems=(404,),
    ),
    Operation(
        "GET",
        "/requests",
        Who.MANAGES_ANY,
        "Who waits for an answer in groups that I manage, the oldest first",
        _waiting,
        Requests,
        Page,
        tag="links",
    ),
    Operation(
        "POST",
        "/requests/{request}/approve",
        Who.MANAGES_ANY,
        "Let somebody in",
        _approve,
        RequestModel,
        tag="links",
        parts=_REQUEST,
        problems=(404, 410),
    ),
    Operation(
        "POST",
        "/requests/{request}/decline",
        Who.MANAGES_ANY,
        "Say no",
        _decline,
        RequestModel,
        tag="links",
        parts=_REQUEST,
        problems=(404,),
    ),
)
