"""Stopping servers, from pages and by the API: one's own, or one of a group that one manages."""

from __future__ import annotations

import asyncio
import json
import logging

from tornado import httpclient

from hub_groups.rest import Refusal
from hub_groups.words import _

from .access import check_acts
from .desk import Desk
from .enforcer import server_path
from .usage_words import say_server

log = logging.getLogger("group-quotas")


async def stop_server(desk: Desk, name: str) -> tuple[str, bool]:
    """Have the hub stop a server of who asks; returns its session, and whether it has stopped
    already.

    Args:
        name: empty for the default server.

    Raises:
        NotAllowed: their token may only look.
        Refusal: 404 where no such server of theirs runs on this hub, 409 where the hub can't stop
            it, 502 where the hub does not answer.
    """
    check_acts(desk.access)
    store = desk.store
    mine = await asyncio.to_thread(store.open_sessions, desk.user)
    session = next((s.id for s in reversed(mine) if (s.server, s.hub) == (name, store.hub)), "")
    if not session:
        text = _("{server}: no such server of yours is running on this hub.")
        raise Refusal(404, text.format(server=say_server(name)))
    await _stop(desk, desk.user, name)
    found = await asyncio.to_thread(store.session, session)
    return session, found is None or found.closed_at is not None


async def stop_in_group(desk: Desk, group: str, id: str) -> str:
    """Have the hub stop a server that is charged to a group or below it; returns whose it is.

    Args:
        id: of its session.

    Raises:
        Refusal: 404 where there is none, 409 where the hub can't stop it, or another hub has it,
            502 where the hub does not answer.
    """
    session = await asyncio.to_thread(desk.store.session, id)
    policy = await desk.policy()
    if session is None or session.closed_at or group not in policy.path(session.group):
        raise Refusal(404, _("No such server runs in this group."))
    if session.hub != desk.store.hub:
        raise Refusal(409, _("This server is not one of this hub."))
    await _stop(desk, session.user, session.server)
    return session.user


async def _stop(desk: Desk, user: str, name: str) -> None:
    try:
        await desk.context.hub_api(server_path(user, name), "DELETE")
    except httpclient.HTTPError as error:
        log.warning("%s:%s can't be stopped: %s", user, name, error)
        if error.code == 599:  # of tornado, for no answer at all
            raise Refusal(502, _no_answer()) from None
        text = _("{server} can't be stopped now: {why}")
        raise Refusal(409, text.format(server=say_server(name), why=_why(error))) from None
    except OSError as error:
        log.warning("%s:%s can't be stopped: %s", user, name, error)
        raise Refusal(502, _no_answer()) from None


def _no_answer() -> str:
    return _("The hub does not answer now, so nothing was stopped. Try again in a minute.")


def _why(error: httpclient.HTTPError) -> str:
    """What the hub says."""
    try:
        return str(json.loads(error.response.body)["message"])  # type: ignore[union-attr]
    except (AttributeError, ValueError, KeyError, TypeError):
        return str(error)
