"""Stopping a server of one's own, from the page and by the API."""

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
    try:
        await desk.context.hub_api(server_path(desk.user, name), "DELETE")
    except httpclient.HTTPError as error:
        log.warning("%s:%s can't be stopped: %s", desk.user, name, error)
        if error.code == 599:  # of tornado, for no answer at all
            raise Refusal(502, _no_answer()) from None
        text = _("{server} can't be stopped now: {why}")
        raise Refusal(409, text.format(server=say_server(name), why=_why(error))) from None
    except OSError as error:
        log.warning("%s:%s can't be stopped: %s", desk.user, name, error)
        raise Refusal(502, _no_answer()) from None
    found = await asyncio.to_thread(store.session, session)
    return session, found is None or found.closed_at is not None


def _no_answer() -> str:
    return _("The hub does not answer now, so nothing was stopped. Try again in a minute.")


def _why(error: httpclient.HTTPError) -> str:
    """What the hub says."""
    try:
        return str(json.loads(error.response.body)["message"])  # type: ignore[union-attr]
    except (AttributeError, ValueError, KeyError, TypeError):
        return str(error)
