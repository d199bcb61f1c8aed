"""The REST API for what runs beside the hub: `/services/quotas/api/reservations`.

For services of the hub with the scope RESERVE, by their token and nothing else: a cookie is never
looked at, so no page of somebody else can make a browser ask for anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote

from tornado import httpclient, web

from hub_groups.store import GroupStore
from hub_groups.web import Context, Routes

from . import reservations
from .access import RESERVE
from .asks import Ask, BadInput, read_ask
from .decision import Answer
from .limits import PolicyError
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


# -- what is answered -------------------------------------------------------------------------


def shown(session: Session, lasts: int, stops_at: int | None) -> dict[str, Any]:
    """A reservation in JSON. Pure.

    Args:
        lasts: microseconds from the last renewal.
        stops_at: when a limit ends it, however often it is renewed.
    """
    ends = min(filter(None, (session.seen_at + lasts, stops_at)))
    until = datetime.fromtimestamp(ends // 10**6, timezone.utc)
    return {
        "id": session.id,
        "user": session.user,
        "group": session.group,
        "name": session.server,
        "granted": _granted(session.granted),
        "until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "lasts_seconds": lasts // 10**6,
    }


def _granted(amounts: Amounts) -> dict[str, str]:
    """What may be used at most, in the notation of policies."""
    found = {}
    for name, amount in amounts.items():
        known = resource(name.removesuffix(BURST))
        if known and known.kind == AMOUNT and known.name == name:
            found[name] = known.format(max(amount, in_use(amounts, name)))
    return found


# -- handlers ---------------------------------------------------------------------------------


class ApiError(web.HTTPError):
    """An answer that is not a success.

    Attributes:
        code: a word for programs, where the status does not say it.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(status, message)
        self.message, self.code = message, code


class Api(web.RequestHandler):
    """What all addresses of the API share."""

    def initialize(
        self, context: Context, groups: GroupStore, open_ledger: Callable[[], QuotaStore]
    ) -> None:
        self.context, self.groups, self.open_ledger = context, groups, open_ledger
        self.lasts = int(context.settings["reservation_lasts"])

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Nothing here goes by cookies."""

    async def prepare(self) -> None:
        auth = self.context.auth
        header = self.request.headers.get("Authorization", "")
        token = auth.auth_header_pat.fullmatch(header)
        try:
            model = token and await auth.user_for_token(token[1], sync=False)
        except web.HTTPError:  # which says why in the log
            raise ApiError(503, "The hub can't be asked whose token this is.") from None
        if not model:
            raise ApiError(401, "Send a token of this hub as 'Authorization: token ...'.")
        scopes = set(model["scopes"])
        if RESERVE not in scopes or not auth.check_scopes(auth.access_scopes, model):
            raise ApiError(
                403,
                f"This takes a token with the scopes {RESERVE} and "
                f"access:services!service={self.context.name}.",
            )
        service = model.get("kind") == "service"
        self.owner = model["name"] if service else f"user:{model['name']}"

    async def ledger(self, call: Callable[..., T], *values: Any) -> T:
        """`call(store, *values)` in a thread; what can go wrong with it becomes an answer."""
        try:
            return await asyncio.to_thread(lambda: call(self.open_ledger(), *values))
        except NoReservation as error:
            why = f" It ended: {error.why}." if error.why else ""
            raise ApiError(404, f"You hold no such reservation, or no longer.{why}") from None
        except Taken:
            raise ApiError(409, "id: this one is used up; choose another.") from None
        except (LedgerError, PolicyError) as error:
            log.error("The quota ledger can't be used by %s: %s", self.owner, error)
            raise ApiError(
                503, "Quotas can't be checked at the moment. Try again in a minute."
            ) from None

    def read(self, *keys: str) -> Ask:
        try:
            return read_ask(self.request.body, *keys)
        except BadInput as error:
            raise ApiError(400, str(error)) from None

    def asked(self, ask: Ask) -> Request:
        """Counted as the hub counts its servers."""
        rules = self.context.settings
        return Request(
            ask.limits or {},
            ask.guarantees or {},
            rules["charged"],
            rules["capped"],
            rules["clamp"],
        )

    async def refuse(self, user: str, answer: Answer) -> ApiError:
        """The exception to raise: the words that a spawn would have been refused with."""
        words, code = await self.ledger(_why, self.groups, user, answer)
        log.info("Refused %s for %s (%s)", self.owner, user, code)
        return ApiError(403, words, code)

    async def shown(self, held: list[Session]) -> list[dict[str, Any]]:
        stops = await self.ledger(reservations.stops, [session.id for session in held])
        return [shown(session, self.lasts, stops.get(session.id)) for session in held]

    async def answer_with(self, session: Session, status: int = 200) -> None:
        [content] = await self.shown([session])
        self.answer(content, status)

    def answer(self, content: object, status: int = 200) -> None:
        self.set_status(status)
        self.finish(json.dumps(content))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        content = {"status": status_code, "message": getattr(error, "message", self._reason)}
        if code := getattr(error, "code", ""):
            content["reason"] = code
        if status_code == 401:
            self.set_header("WWW-Authenticate", "token")
        if status_code == 405:
            ours = (m for m in self.SUPPORTED_METHODS if m.lower() in type(self).__dict__)
            self.set_header("Allow", ", ".join(ours))
        self.finish(json.dumps(content))


class ReservationsApi(Api):
    """All that the owner of a token holds."""

    async def get(self) -> None:
        held = await self.ledger(reservations.of, self.owner)
        self.answer({"reservations": await self.shown(held)})

    async def post(self) -> None:
        ask = self.read()
        if not ask.user:
            raise ApiError(400, "user: say for whom this is.")
        if ask.limits is None:
            raise ApiError(400, 'limits: say what it takes, such as {"cpu": "2", "memory": "4G"}.')
        user, groups = await self._user_and_groups(ask)
        id, request = ask.id or new_id(now()), self.asked(ask)
        answer = await self.ledger(_hold, self.owner, id, user, ask.name, groups, request)
        if not answer.granted:
            raise await self.refuse(user, answer)
        session = await self.ledger(reservations.find_held, self.owner, id)
        self.set_header("Location", f"{self.context.prefix}api/reservations/{id}")
        await self.answer_with(session, 201)

    async def _user_and_groups(self, ask: Ask) -> tuple[str, list[str]]:
        """Which groups can be charged, as the hub has it."""
        try:
            model = await self.context.hub_api(f"users/{quote(ask.user, safe='')}")
        except (httpclient.HTTPError, OSError) as error:
            if getattr(error, "code", 0) == 404:
                raise ApiError(400, f"user: this hub has no user '{ask.user}'.") from None
            log.warning("The hub can't be asked about %s: %s", ask.user, error)
            raise ApiError(503, "The hub can't be asked for the user's groups.") from None
        mine = sorted(group_name(name) for name in model["groups"]) or [DEFAULT_GROUP]
        if not ask.group:
            return model["name"], mine
        if ask.group.strip().strip("/") in mine:
            return model["name"], [group_name(ask.group)]
        raise ApiError(
            403,
            f"{model['name']} is not a member of the group '{ask.group}'. "
            f"Choose one of: {', '.join(mine)}.",
            "quota-choice",
        )


class ReservationApi(Api):
    """One reservation."""

    async def get(self, id: str) -> None:
        session = await self.ledger(reservations.find_held, self.owner, _hex(id))
        await self.answer_with(session)

    async def put(self, id: str) -> None:
        ask = self.read("limits", "guarantees")
        request = None if ask.limits is None and ask.guarantees is None else self.asked(ask)
        decision = await self.ledger(reservations.renew, self.owner, _hex(id), request)
        session = await self.ledger(reservations.find_held, self.owner, _hex(id))
        if decision and not decision.allowed:
            raise await self.refuse(session.user, Answer((decision,)))
        await self.answer_with(session)

    async def delete(self, id: str) -> None:
        await self.ledger(reservations.release, self.owner, _hex(id))
        self.set_status(204)
        self.clear_header("Content-Type")


class NoSuchAddress(Api):
    """Any other address of the API."""

    async def prepare(self) -> None:
        raise ApiError(404, "There is nothing at this address.")


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


def routes(context: Context, groups: GroupStore, open_ledger: Callable[[], QuotaStore]) -> Routes:
    """The handlers of the API."""
    shared = {"context": context, "groups": groups, "open_ledger": open_ledger}
    return [
        (f"{context.prefix}api/reservations", ReservationsApi, shared),
        (f"{context.prefix}api/reservations/([^/]+)", ReservationApi, shared),
        (f"{context.prefix}api/.*", NoSuchAddress, shared),
    ]


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
