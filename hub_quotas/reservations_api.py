"""What runs beside the hub, on the same ledger: `/services/quotas/api/reservations`.

For services of the hub, and users' tokens, with the scope `custom:quotas:reserve`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import Field
from tornado import httpclient

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.store import GroupStore

from . import reservations
from .access import Who
from .decision import Answer
from .desk import QuotaRest, iso
from .holds import BadInput, Hold, read_hold
from .messages import told, tried
from .policy import DEFAULT_GROUP, group_name
from .policy_store import now
from .quantities import AMOUNT, resource
from .requests import BURST, Amounts, Request, in_use
from .reservations import NoReservation, Taken
from .sessions import Session, new_id
from .store import QuotaStore
from .transaction import LedgerError

EXPIRE_SECONDS = 5

log = logging.getLogger("group-quotas")

T = TypeVar("T")
Amount = str | int | float


class Wanted(Model):
    """What is asked for."""

    id: str | None = Field(None, description="A UUID of your choice: asked again, charged once")
    user: str = Field(description="For whom, by the hub's name")
    group: str = Field("", description="Which of their groups to charge; empty for the first")
    name: str = Field("", description="What it is called on pages")
    limits: dict[str, Amount] = Field(description="What it takes at most: {'memory': '4G'}")
    guarantees: dict[str, Amount] | None = Field(None, description="What is kept for it, if less")


class Renewal(Model):
    """Nothing to hold it as it is, or other amounts."""

    limits: dict[str, Amount] | None = None
    guarantees: dict[str, Amount] | None = None


class Reservation(Model):
    """What is held."""

    id: str
    user: str
    group: str = Field(description="The group that is charged")
    name: str
    granted: dict[str, str] = Field(description="What may be used at most")
    until: str = Field(description="When it ends if it is not renewed, or a limit ends it; UTC")
    lasts_seconds: int = Field(description="From a renewal")


class ReservationList(Model):
    """All that you hold."""

    reservations: list[Reservation]


# -- what is answered -------------------------------------------------------------------------


def shown(session: Session, lasts: int, stops_at: int | None) -> Reservation:
    """A reservation in JSON. Pure.

    Args:
        lasts: microseconds from the last renewal.
        stops_at: when a limit ends it, however often it is renewed.
    """
    return Reservation(
        id=session.id,
        user=session.user,
        group=session.group,
        name=session.server,
        granted=_granted(session.granted),
        until=iso(min(filter(None, (session.seen_at + lasts, stops_at)))),
        lasts_seconds=lasts // 10**6,
    )


def _granted(amounts: Amounts) -> dict[str, str]:
    """What may be used at most, in the notation of policies."""
    found = {}
    for name, amount in amounts.items():
        known = resource(name.removesuffix(BURST))
        if known and known.kind == AMOUNT and known.name == name:
            found[name] = known.format(max(amount, in_use(amounts, name)))
    return found


# -- what is asked ----------------------------------------------------------------------------


def read(*keys: str) -> Callable[[bytes], Hold]:
    """How a body is read."""

    def hold_of(body: bytes) -> Hold:
        try:
            return read_hold(body, *keys)
        except BadInput as error:
            raise Refusal(400, str(error)) from None

    return hold_of


async def ledger(desk: QuotaRest, call: Callable[..., T], *values: Any) -> T:
    """`call(store, *values)` in a thread; what can go wrong with it becomes an answer."""
    try:
        return await asyncio.to_thread(call, desk.store, *values)
    except NoReservation as error:
        why = f" It ended: {error.why}." if error.why else ""
        raise Refusal(404, f"You hold no such reservation, or no longer.{why}") from None
    except Taken:
        raise Refusal(409, "id: this one is used up; choose another.") from None


def owner_of(desk: QuotaRest) -> str:
    """Whose the reservations are that this token is about."""
    return desk.user if desk.current_user.get("kind") == "service" else f"user:{desk.user}"


def asked(desk: QuotaRest, hold: Hold) -> Request:
    """Counted as the hub counts its servers."""
    rules = desk.context.settings
    counted = rules["charged"], rules["capped"], rules["clamp"]
    return Request(hold.limits or {}, hold.guarantees or {}, *counted)


async def refusal(desk: QuotaRest, user: str, answer: Answer) -> Refusal:
    """The exception to raise: the words that a spawn would have been refused with."""
    words, code = await ledger(desk, _why, desk.groups, user, answer)
    log.info("Refused %s for %s (%s)", owner_of(desk), user, code)
    return Refusal(403, words, code)


async def _all_shown(desk: QuotaRest, held: list[Session]) -> list[Reservation]:
    lasts = int(desk.context.settings["reservation_lasts"])
    stops = await ledger(desk, reservations.stops, [session.id for session in held])
    return [shown(session, lasts, stops.get(session.id)) for session in held]


async def _shown(desk: QuotaRest, id: str) -> Reservation:
    session = await ledger(desk, reservations.find_held, owner_of(desk), id)
    [found] = await _all_shown(desk, [session])
    return found


async def _list(desk: QuotaRest, _query: Nothing, _body: None) -> ReservationList:
    held = await ledger(desk, reservations.of, owner_of(desk))
    return ReservationList(reservations=await _all_shown(desk, held))


async def _make(desk: QuotaRest, _query: Nothing, hold: Hold) -> Reservation:
    if not hold.user:
        raise Refusal(400, "user: say for whom this is.")
    if hold.limits is None:
        raise Refusal(400, 'limits: say what it takes, such as {"cpu": "2", "memory": "4G"}.')
    user, groups = await _user_and_groups(desk, hold)
    id, owner = hold.id or new_id(now()), owner_of(desk)
    answer = await ledger(desk, _hold, owner, id, user, hold.name, groups, asked(desk, hold))
    if not answer.granted:
        raise await refusal(desk, user, answer)
    desk.set_header("Location", f"{desk.context.prefix}api/reservations/{id}")
    return await _shown(desk, id)


async def _user_and_groups(desk: QuotaRest, hold: Hold) -> tuple[str, list[str]]:
    """Which groups can be charged, as the hub has it."""
    try:
        model = await desk.context.hub_api(f"users/{quote(hold.user, safe='')}")
    except (httpclient.HTTPError, OSError) as error:
        if getattr(error, "code", 0) == 404:
            raise Refusal(400, f"user: this hub has no user '{hold.user}'.") from None
        log.warning("The hub can't be asked about %s: %s", hold.user, error)
        raise Refusal(503, "The hub can't be asked for the user's groups.") from None
    mine = sorted(group_name(name) for name in model["groups"]) or [DEFAULT_GROUP]
    if not hold.group:
        return model["name"], mine
    if hold.group.strip().strip("/") in mine:
        return model["name"], [group_name(hold.group)]
    raise Refusal(
        403,
        f"{model['name']} is not a member of the group '{hold.group}'. "
        f"Choose one of: {', '.join(mine)}.",
        "quota-choice",
    )


async def _one(desk: QuotaRest, _query: Nothing, _body: None) -> Reservation:
    return await _shown(desk, _hex(desk.part["id"]))


async def _renew(desk: QuotaRest, _query: Nothing, hold: Hold) -> Reservation:
    request = None if hold.limits is None and hold.guarantees is None else asked(desk, hold)
    id = _hex(desk.part["id"])
    decision = await ledger(desk, reservations.renew, owner_of(desk), id, request)
    if decision and not decision.allowed:
        session = await ledger(desk, reservations.find_held, owner_of(desk), id)
        raise await refusal(desk, session.user, Answer((decision,)))
    return await _shown(desk, id)


async def _release(desk: QuotaRest, _query: Nothing, _body: None) -> None:
    await ledger(desk, reservations.release, owner_of(desk), _hex(desk.part["id"]))


def _hex(id: str) -> str:
    """As ids are stored; another text is one of no reservation."""
    try:
        return uuid.UUID(id).hex
    except ValueError:
        return id


def _hold(
    store: QuotaStore,
    owner: str,
    id: str,
    user: str,
    name: str,
    groups: list[str],
    request: Request,
) -> Answer:
    in_order = store.policy().in_order(groups)
    return reservations.hold(store, owner, id, user, name, in_order, request)


def _why(store: QuotaStore, groups: GroupStore, user: str, answer: Answer) -> tuple[str, str]:
    policy = store.policy()
    members = groups.managers(tried(policy, answer))
    again = store.again(user, answer.decisions[0])
    return told(policy, answer, members, again, now(), store.zone)


_ID = {"id": "Of the reservation"}
_ONE = "/reservations/{id}"

OPERATIONS = (
    Operation(
        *("GET", "/reservations", Who.RESERVES, "All that I hold", _list, ReservationList),
        tag="reservations",
    ),
    Operation(
        *("POST", "/reservations", Who.RESERVES, "Hold resources for a user", _make, Reservation),
        body=Wanted,
        read=read(),
        status=201,
        problems=(409,),
        tag="reservations",
        about="Refused (403) in the words that a server would be refused with.",
    ),
    Operation(
        *("GET", _ONE, Who.RESERVES, "One reservation", _one, Reservation),
        problems=(404,),
        tag="reservations",
        parts=_ID,
    ),
    Operation(
        *("PUT", _ONE, Who.RESERVES, "Hold it for longer, or other amounts", _renew, Reservation),
        body=Renewal,
        read=read("limits", "guarantees"),
        problems=(404,),
        tag="reservations",
        parts=_ID,
    ),
    Operation(
        *("DELETE", _ONE, Who.RESERVES, "Let it go", _release),
        problems=(404,),
        tag="reservations",
        parts=_ID,
    ),
)


async def keep_expiring(store: QuotaStore, lasts: int) -> None:
    """Until cancelled: what was not renewed in time ends, and what a limit stops."""
    while True:
        try:
            for session in await asyncio.to_thread(reservations.stop_due, store):
                log.info("Stopped reservation %s of %s", session.id, session.user)
            for session in await asyncio.to_thread(reservations.expire, store, lasts):
                log.info("Reservation %s of %s was not renewed", session.id, session.user)
        except LedgerError as error:
            log.warning("Reservations not looked through, trying again: %s", error)
        await asyncio.sleep(EXPIRE_SECONDS)
