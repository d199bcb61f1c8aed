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
_RETRY_SECONDS = 1

_live: WeakValueDictionary[str, Any] = WeakValueDictionary()
_told: dict[str, int] = {}


def beats(session: str, spawner: Any) -> None:
    """This spawner's server runs, and `spawner.alive_at` says when a poll found it running last."""
    _live[session] = spawner


def ends(session: str) -> None:
    _live.pop(session, None)
    _told.pop(session, None)


async def keep_beating(open_store: Callable[[], QuotaStore]) -> None:
    """Until cancelled."""
    pause: float = HEARTBEAT_SECONDS
    while True:
        await asyncio.sleep(pause)
        began = time.monotonic()
        seen = {
            session: spawner.alive_at
            for session, spawner in list(_live.items())
            if spawner.session_id == session and spawner.alive_at not in (None, _told.get(session))
        }
        try:
            if seen:
                await off_loop(lambda seen=seen: open_store().seen(seen))
                _told.update(seen)
            # What had to wait for the ledger is old by now.
            pause = max(_RETRY_SECONDS, HEARTBEAT_SECONDS - (time.monotonic() - began))
        except Exception as error:
            log.warning("What runs can't be told to the ledger now: %s", error)
            pause = _RETRY_SECONDS
