"""Keeping the ledger equal to what runs, whatever happened to the hub.

The hub tells the ledger when a server ends. A hub that is killed tells nobody, so the pages'
process compares, at its start and then at each heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from hub_groups.web import Context

from .sessions import Session
from .store import QuotaStore
from .transaction import LedgerError

log = logging.getLogger("group-quotas")

HEARTBEAT_SECONDS = 30
PRUNE_SECONDS = 24 * 3600
_RETRY_SECONDS = 1


def ended(open_sessions: Iterable[Session], running: set[str]) -> list[Session]:
    """The sessions that no server of the hub names any more. Pure.

    A server's session is in the hub's database before it is in the ledger. So one that is open
    in the ledger, looked at first, and is not named by the hub, looked at after that, has ended.
    """
    return [session for session in open_sessions if session.id not in running]


async def reconcile(store: QuotaStore, context: Context) -> None:
    """One comparison: sessions of servers that are gone are closed, the others were seen."""
    ours = [s for s in await asyncio.to_thread(store.open_sessions) if s.hub == store.hub]
    if not ours:
        return
    running = _sessions_of(await context.hub_list("users", state="active"))
    gone = ended(ours, running)
    for session in gone:
        # Nobody saw it end: it is charged for as long as it was known to run.
        if await asyncio.to_thread(store.close_session, session.id, "gone", session.seen_at):
            log.info("Closed session %s of %s, which is gone", session.id, session.user)
    await asyncio.to_thread(store.seen, running)


def _sessions_of(users: Iterable[dict[str, Any]]) -> set[str]:
    found = set()
    for user in users:
        for server in user.get("servers", {}).values():
            session = (server.get("state") or {}).get("quota_session")
            if session:
                found.add(session)
    return found


async def keep_pruning(store: QuotaStore) -> None:
    """Until cancelled: once a day, points that nobody asks for any more go."""
    while True:
        await asyncio.sleep(PRUNE_SECONDS)
        try:
            dropped, _ = await asyncio.to_thread(store.prune)
            log.info("Dropped %d old points of the ledger", dropped)
        except LedgerError as error:
            log.warning("Ledger not pruned, trying again tomorrow: %s", error)


async def keep_reconciling(store: QuotaStore, context: Context) -> None:
    """Until cancelled. What goes wrong is logged, and tried again soon."""
    while True:
        try:
            await reconcile(store, context)
        except Exception as error:
            log.warning("Ledger not compared with the hub, trying again: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            await asyncio.sleep(HEARTBEAT_SECONDS)
