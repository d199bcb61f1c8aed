"""What the hub has seen running, told to the ledger in one go: no request, no query of the hub."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from .off_loop import off_loop
from .store import QuotaStore

log = logging.getLogger("JupyterHub.quotas")

HEARTBEAT_SECONDS = 30
_TICK_SECONDS = 1

_live: WeakValueDictionary[str, Any] = WeakValueDictionary()
_told: dict[str, int] = {}


def beats(session: str, spawner: Any) -> None:
    """This spawner's server runs, and `spawner.alive_at` says when a poll found it running last."""
    _live[session] = spawner


def ends(session: str) -> None:
    _live.pop(session, None)
    _told.pop(session, None)


async def keep_beating(open_store: Callable[[], QuotaStore]) -> None:
    """Until cancelled. A server that this hub has not told of yet is told of within a second: the
    hub may be killed again soon after it came up."""
    next_beat = time.monotonic() + HEARTBEAT_SECONDS
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        began = time.monotonic()
        seen = {
            session: spawner.alive_at
            for session, spawner in list(_live.items())
            if (session not in _told or began >= next_beat)
            and spawner.session_id == session
            and spawner.alive_at not in (None, _told.get(session))
        }
        try:
            if seen:
                await off_loop(lambda seen=seen: open_store().seen(seen))
                _told.update({id: at for id, at in seen.items() if id in _live})
            if began >= next_beat:  # what had to wait for the ledger is old by now
                next_beat = began + HEARTBEAT_SECONDS - _TICK_SECONDS
        except Exception as error:
            log.warning("What runs can't be told to the ledger now: %s", error)
