"""Asking for more, answers and boosts, for programs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Literal, TypeVar

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Page, Refusal, paged
from hub_groups.words import _

from . import more_desk
from .access import Who
from .asking import Asking
from .desk import QuotaRest, iso, refusal_of
from .limits import PolicyError
from .more import Answered, Ask, NoSuchAsk, TooMany, Wanted
from .more_desk import BoostRow
from .more_forms import explain, number_of

T = TypeVar("T")

_AMOUNT = "In all, without the window, which stays: 80, 16G"
_UNTIL = "A day or a time in the hub's zone: 2026-12-01, 2026-12-01T14:00"
_WINDOW = "Of a budget, such as 7d; needed where the limit has several"
_State = Literal["open", "approved", "declined", "withdrawn"]


class AskModel(Model):
    """What somebody has asked for, and the answer."""

    id: int
    at: str = Field(description="When it was asked (ISO 8601)")
    user: str
    group: str = Field(description="The group that sets the limit")
    limit: str = Field(description="Its key, such as member.cpu-hours")
    amount: str = Field(description="As in a policy: 80 per 7d")
    until: str
    why: str
    state: _State
    answered_at: str | None = None
    answered_by: str = ""
    answer: str = Field("", description="Words of who answered")
    given: str = Field("", description="As in a policy; empty unless approved")
    given_until: str = ""


class Asks(Model):
    """What was asked, newest first."""

    asks: list[AskModel]
    next: int | None = Field(description="The offset of what follows")


class AskQuery(Page):
    of: Literal["me", "managed"] = Field(
        "me", description="Mine; or of the groups that I manage: what waits, or was answered lately"
    )
    state: _State | None = Field(None, description="Only these")


class NewAsk(Model):
    """More of a limit that holds for me."""

    group: str = Field(description="The group that sets the limit")
    limit: str = Field(description="Its key, such as member.cpu-hours")
    window: str = Field("", description=_WINDOW)
    amount: str = Field(description=_AMOUNT)
    until: str = Field(description=_UNTIL)
    why: str = Field(description="What it is needed for")


class Approval(Model):
    """What to give: what was asked for, where nothing else is said."""

    amount: str = Field("", description=_AMOUNT)
    until: str = Field("", description=_UNTIL)
    words: str = Field("", description="To who has asked")


class Refused(Model):
    """Why not."""

    words: str = Field("", description="To who has asked")


class BoostModel(Model):
    """A limit of a group that is another one for a while."""

    number: int = Field(description="From 1 on; holds for one version")
    limit: str
    amount: str = Field(description="As in a policy: 80 per 7d")
    until: str
    ends: str = Field(description="When that is (ISO 8601)")
    holds: bool = Field(description="Whether it has not lapsed")
    member: str = Field(description="Empty for all")
    why: str


class Boosts(Model):
    """The boosts of a group."""

    group: str
    version: int = Field(description="Of what the group has; another after each change")
    boosts: list[BoostModel]


class NewBoost(Model):
    """More of a limit, for one member or for all."""

    limit: str = Field(description="Its key, such as member.cpu-hours")
    window: str = Field("", description=_WINDOW)
    amount: str = Field(description=_AMOUNT)
    until: str = Field(description=_UNTIL)
    member: str = Field("", description="Empty for all")
    why: str = ""
    version: int | None = Field(None, description="Only if the group still has this one")


class Version(Model):
    version: int = Field(description="Of the list that the number is from")


async def _refused(call: Awaitable[T]) -> T:
    try:
        return await call
    except (TooMany, Answered, NoSuchAsk) as error:
        raise Refusal(*explain(error)) from None


# -- asks ------------------------------------------------------------------------------------------


def _ask(ask: Ask) -> AskModel:
    return AskModel(
        id=ask.id,
        at=iso(ask.at),
        user=ask.user,
        group=ask.group,
        limit=ask.key,
        amount=ask.amount,
        until=ask.until,
        why=ask.why,
        state=ask.state,  # type: ignore[arg-type]
        answered_at=iso(ask.answered_at) if ask.answered_at else None,
        answered_by=ask.answered_by,
        answer=ask.answer,
        given=ask.given,
        given_until=ask.given_until,
    )


async def _list(handler: QuotaRest, query: AskQuery, _body: None) -> Asks:
    policy, asking = await handler.policy(), Asking(handler.store)
    access = handler.access
    if query.of == "managed" and not access.may(Who.MANAGES_ANY, policy):
        raise Refusal(403, refusal_of(Who.MANAGES_ANY))

    def read() -> list[Ask]:
        if query.of == "me":
            return asking.of(handler.user)

        def sees(group: str) -> bool:
            return access.sees(policy, group)

        found = [*asking.waiting(sees), *asking.answered(sees)]
        return sorted(found, key=lambda ask: (ask.at, ask.id), reverse=True)

    found = [ask for ask in await handler.ledger(read) if query.state in (None, ask.state)]
    page, following = paged(found, query.offset, query.limit)
    return Asks(asks=[_ask(ask) for ask in page], next=following)


async def _new(handler: QuotaRest, _query: Nothing, body: NewAsk) -> AskModel:
    wanted = Wanted(body.group, body.limit, body.window, body.amount, body.until, body.why)
    return _ask(await _refused(more_desk.ask(handler, wanted)))


async def _approve(handler: QuotaRest, _query: Nothing, body: Approval) -> AskModel:
    answer = (body.amount, body.until, body.words)
    return _ask(await _refused(more_desk.approve(handler, _id(handler), *answer)))


async def _decline(handler: QuotaRest, _query: Nothing, body: Refused) -> AskModel:
    return _ask(await _refused(more_desk.decline(handler, _id(handler), body.words)))


async def _withdraw(handler: QuotaRest, _query: Nothing, _body: None) -> AskModel:
    return _ask(await _refused(more_desk.withdraw(handler, _id(handler))))


def _id(handler: QuotaRest) -> int:
    try:
        return number_of(handler.part["id"])
    except NoSuchAsk as error:
        raise Refusal(*explain(error)) from None


# -- boosts ----------------------------------------------------------------------------------------


def _boost(row: BoostRow) -> BoostModel:
    boost = row.boost
    return BoostModel(
        number=row.number,
        limit=boost.limit.key,
        amount=boost.limit.text,
        until=boost.until.isoformat(),
        ends=iso(row.ends),
        holds=row.holds,
        member=boost.member,
        why=boost.why,
    )


async def _boosts(handler: QuotaRest, _query: Nothing, _body: None) -> Boosts:
    group = handler.part["group"]
    found = await asyncio.to_thread(more_desk.boosts_of, handler.store, handler.access, group)
    rows = sorted(found.rows, key=lambda row: row.number)
    return Boosts(group=group, version=found.version, boosts=[_boost(row) for row in rows])


async def _grant(handler: QuotaRest, query: Nothing, body: NewBoost) -> Boosts:
    group = handler.part["group"]
    wanted = Wanted(group, body.limit, body.window, body.amount, body.until, body.why)
    await more_desk.grant(handler, wanted, body.member, body.version)
    return await _boosts(handler, query, None)


async def _end(handler: QuotaRest, query: Version, _body: None) -> None:
    missing = Refusal(404, _("There is no such boost."))
    try:
        number = number_of(handler.part["number"])
        await more_desk.end(handler, handler.part["group"], number, query.version)
    except NoSuchAsk:
        raise missing from None
    except PolicyError as error:
        raise (missing if error.place == ("boost",) else error) from None


_GROUP = {"group": "Its name, with %2F for a slash"}
_ID = {"id": "Its number"}

OPERATIONS = (
    Operation("GET", "/asks", Who.USER, "Who asked for more", _list, Asks, AskQuery, tag="asks"),
    Operation(
        *("POST", "/asks", Who.USER, "Ask for more", _new, AskModel),
        body=NewAsk,
        status=201,
        tag="asks",
        about="Those who can answer are told. What I asked of that limit before is withdrawn.",
    ),
    Operation(
        *("POST", "/asks/{id}/approve", Who.MANAGES_ANY, "Give what was asked for, or other"),
        *(_approve, AskModel),
        body=Approval,
        problems=(404, 409),
        tag="asks",
        parts=_ID,
        about="As a boost, which lapses by itself. Once: whoever is second is told who was first.",
    ),
    Operation(
        *("POST", "/asks/{id}/decline", Who.MANAGES_ANY, "Say no", _decline, AskModel),
        body=Refused,
        problems=(404, 409),
        tag="asks",
        parts=_ID,
    ),
    Operation(
        *("POST", "/asks/{id}/withdraw", Who.USER, "Take back what I asked", _withdraw, AskModel),
        problems=(404, 409),
        tag="asks",
        parts=_ID,
    ),
    Operation(
        *("GET", "/groups/{group}/boosts", Who.SEES, "Who has more for a while", _boosts, Boosts),
        problems=(404,),
        tag="boosts",
        parts=_GROUP,
    ),
    Operation(
        *("POST", "/groups/{group}/boosts", Who.MANAGES, "Give more for a while", _grant, Boosts),
        body=NewBoost,
        status=201,
        problems=(404, 412),
        tag="boosts",
        parts=_GROUP,
    ),
    Operation(
        *("DELETE", "/groups/{group}/boosts/{number}", Who.MANAGES, "End a boost now", _end),
        query=Version,
        problems=(404, 412),
        tag="boosts",
        parts={**_GROUP, "number": "In the list of that version"},
    ),
)

TAGS = {"asks": "Asking for more", "boosts": "Boosts: more for a while"}
