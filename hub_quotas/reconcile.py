"""Keeping the ledger equal to what runs, whatever happened to the hub.

The hub tells the ledger when a server ends. A hub that is killed tells nobody, so the pages'
process compares, at its start and then again and again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from tornado.httpclient import HTTPClientError

from hub_groups.web import Context

from .policy import DEFAULT_GROUP, group_name
from .pruning import prune
from .sessions import ALLOWED, GONE, SESSION, Session
from .store import SEEN, QuotaStore, now
from .transaction import LedgerError

log = logging.getLogger("group-quotas")

COMPARE_SECONDS = 30
PRUNE_SECONDS = 24 * 3600
GRACE_SECONDS = 5
"""How long a session may be missing from the hub before it is closed."""
_PAGE = "10"
"""Users in one answer of the hub, which holds up its event loop for 10 to 15 ms."""
_PAUSE = 2
"""Between answers, for others: times as long as one took."""
_SHARE = 50
"""Of the hub's time, no more than this part is taken up by comparing."""
_RETRY_SECONDS = 1


@dataclass(frozen=True)
class Server:
    """A server that the hub says is active.

    Attributes:
        session: its session.
        made_up: whether that is made of what the hub knows of a server without a session, which
            was started before we were installed.
        allowed: what it takes, where it was started while the ledger could not be reached.
        groups: the user's, where its session has to be made up.
        used_at: when it was used last; microseconds since 1970, UTC.
    """

    user: str
    name: str
    session: str
    allowed: Mapping[str, Any] | None = None
    made_up: bool = False
    groups: tuple[str, ...] = ()
    used_at: int | None = None


def servers_of(users: Iterable[Mapping[str, Any]], hub: str) -> list[Server]:
    """All active servers in the hub's list of users. Pure."""
    found = []
    for user in users:
        for name, server in (user.get("servers") or {}).items():
            state = server.get("state") or {}
            if session := state.get(SESSION):
                used_at = _instant(server.get("last_activity"))
                allowed = state.get(ALLOWED)
                found.append(Server(user["name"], name, session, allowed, used_at=used_at))
            elif server.get("ready") and not server.get("pending"):
                words = f"{hub} {user['name']} {name} {server.get('started')}"
                id = hashlib.sha256(words.encode()).hexdigest()[:32]
                groups = tuple(user.get("groups") or ())
                found.append(Server(user["name"], name, id, None, True, groups))
    return found


class Reconciler:
    """Compares the ledger with the hub, again and again."""

    def __init__(self, store: QuotaStore, context: Context) -> None:
        self._store, self._context = store, context
        self.used_at: dict[str, int] = {}
        """When servers were used last, by session."""

    async def compare(self) -> float:
        """One comparison; returns the seconds until the next.

        A server's session is in the hub's database before it is in the ledger. So one that is open
        in the ledger, looked at first, and is not named by the hub, looked at after that, has
        ended. The hub may be about to say so itself, and knows better when: it is given a moment,
        and then asked for that user alone, as somebody else who stopped a server while the list was
        read has moved others from one of its pages to another.
        """
        known = await asyncio.to_thread(self._ours)
        began = time.monotonic()
        users = await self._context.hub_list("users", _PAUSE, state="active", limit=_PAGE)
        cost = (time.monotonic() - began) / (1 + _PAUSE)
        active = servers_of(users, self._store.hub)
        await asyncio.to_thread(self._take_up, active, known)
        running = {server.session for server in active}
        self.used_at = {s.session: s.used_at for s in active if s.used_at}
        unnamed = {server.session: now() for server in active if server.made_up}
        await asyncio.to_thread(self._store.seen, unnamed)  # all others: by the hub's heartbeat
        if missing := known.keys() - running:
            await asyncio.sleep(min(GRACE_SECONDS, COMPARE_SECONDS))
            await self._close(missing)
        return max(COMPARE_SECONDS, _SHARE * cost)

    async def _close(self, missing: Iterable[str]) -> None:
        """End those of these sessions that are still open, and whose servers are gone."""
        known = await asyncio.to_thread(self._ours)
        for id in sorted(known.keys() & missing):
            user = known[id].user
            if any(server.session == id for server in await self._servers(user)):
                continue
            # Nobody saw it end: it is charged for as long as it was known to run.
            if await asyncio.to_thread(self._store.close_session, id, GONE, SEEN):
                log.info("Closed session %s of %s, which is gone", id, user)

    async def _servers(self, user: str) -> list[Server]:
        try:
            model = await self._context.hub_api(f"users/{quote(user, safe='')}")
        except HTTPClientError as error:
            if error.code != 404:
                raise
            return []
        return servers_of([model], self._store.hub)

    async def last_used(self, user: str, server: str) -> int | None:
        """When a server was used last, as the hub knows at this moment; microseconds."""
        found = next((one for one in await self._servers(user) if one.name == server), None)
        if found is None or found.used_at is None:
            return None
        self.used_at = {**self.used_at, found.session: found.used_at}
        return found.used_at

    def _ours(self) -> dict[str, Session]:
        mine = (s for s in self._store.open_sessions() if s.hub == self._store.hub)
        return {session.id: session for session in mine}

    def _take_up(self, active: Iterable[Server], known: Mapping[str, Session]) -> None:
        """Servers that the ledger does not know, and users who were renamed."""
        for server in active:
            session = known.get(server.session)
            if session is None:
                self._adopt(server)
            elif session.user != server.user:
                try:
                    self._store.rename(session.user, server.user)
                except LedgerError as error:
                    log.warning("%s", error)

    def _adopt(self, server: Server) -> None:
        taken = server.allowed
        if taken is None and not server.made_up:
            return  # being reserved, or closed since we looked
        if taken is None:
            groups = [group_name(name) for name in server.groups] or [DEFAULT_GROUP]
            first = self._store.policy().in_order(groups)[0]
            taken = {"group": first, "amounts": {"servers": 1}, "since": now()}
        what = taken["group"], taken["amounts"], taken["since"]
        if self._store.adopt(server.session, server.user, server.name, *what):
            log.info("Took up the server %s:%s", server.user, server.name)


async def keep_pruning(store: QuotaStore) -> None:
    """Until cancelled: once a day, points that nobody asks for any more go."""
    while True:
        await asyncio.sleep(PRUNE_SECONDS)
        try:
            dropped, _ = await asyncio.to_thread(prune, store)
            log.info("Dropped %d old points of the ledger", dropped)
        except LedgerError as error:
            log.warning("Ledger not pruned, trying again tomorrow: %s", error)


async def keep_reconciling(reconciler: Reconciler) -> None:
    """Until cancelled. What goes wrong is logged, and tried again soon."""
    while True:
        try:
            pause = await reconciler.compare()
        except Exception as error:
            log.warning("Ledger not compared with the hub, trying again: %s", error)
            pause = _RETRY_SECONDS
        await asyncio.sleep(pause)


def _instant(text: str | None) -> int | None:
    if not text:
        return None
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**6)
