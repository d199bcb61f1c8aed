"""Limits that act while servers run: warnings, and stops at the instant that the curve gives.

One process a ledger computes (by a lease), each hub's own stops its servers. Nothing runs at fixed
times: it sleeps until something happens next, or until something in the ledger has changed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

from . import outlook
from .limits import Limit
from .messages import notice
from .notices import Notices
from .store import QuotaStore
from .transaction import LedgerError
from .watch import (
    SOON,
    STOPPED,
    Cache,
    Notice,
    Order,
    Plan,
    Watched,
    budgets,
    place,
    plan,
    read_place,
    warned_of,
    whose,
)

log = logging.getLogger("group-quotas")

TICK_SECONDS = 0.5
"""How soon a change in the ledger is seen."""
_LEAD_SECONDS = 3
_RETRY_SECONDS = 2
_REST = 30
"""The pause after a look at what has changed, as a multiple of the CPU time that it took."""
_LONGEST_REST = 2
"""Seconds; what is due shall not wait long for what was dear."""

Recipients = Callable[[Notice], Iterable[tuple[str, str]]]
"""(channel, address) of those to whom a notice is sent."""


class Enforcer:
    """What happens next, in one ledger.

    Args:
        shares: of budgets, at whose use people are warned.
        send_to: who gets a notice by e-mail or webhook.
    """

    def __init__(
        self,
        store: QuotaStore,
        shares: Sequence[float],
        send_to: Recipients = lambda _: (),
    ) -> None:
        self._store, self._notices = store, Notices(store)
        self._shares = (*sorted({share for share in shares if 0 < share < 1}), 1.0)
        self._send_to = send_to
        self._cache, self._servers = Cache(), dict[str, Watched]()
        self._seen: outlook.Fingerprint | None = None
        self.next = 0

    def step(self) -> Plan | None:
        """Do what is due; None where nothing has changed and nothing is due. Blocks."""
        before, seen = self._seen, outlook.fingerprint(self._store)
        at = outlook.time_of(self._store)
        if seen == before and at < self.next:
            return None
        self._look(before if before and before.policy == seen.policy else None)
        told = self._notices.open_stems()
        needed = budgets(self._servers.values())
        needed |= self._without_servers(warned_of(told) - needed.keys(), at)
        orders = self._notices.orders()
        acting = {order.cause for order in orders.values() if order.at - SOON <= at}
        stale = {name: needed[name] for name in self._cache.stale(needed, acting, at)}
        self._cache.courses |= outlook.courses(self._store, stale, self._shares)
        at = max([at, *(self._cache.courses[name].at for name in stale)])
        found = plan(at, [*self._servers.values()], self._cache.courses, orders, told)
        self._act(found, at, orders)
        self._seen, self.next = seen, found.next
        return found

    def _look(self, since: outlook.Fingerprint | None) -> None:
        """Read what runs, and forget the courses that have changed.

        Args:
            since: when it was looked at last; None where all may have changed.
        """
        before = self._servers
        self._servers = outlook.running(self._store, before)
        if since is None:
            self._cache.courses = {}
            return
        path = self._store.policy().path
        changed = {
            (above, user)
            for group, user in outlook.put_right(self._store, since)
            for above in path(group)
        }
        for id in {*before, *self._servers}:
            old, new = before.get(id), self._servers.get(id)
            if old is not new and not (old and new and old.facts == new.facts):
                for server in filter(None, (old, new)):
                    changed |= {(g, u) for g in path(server.group) for u in ("", server.user)}
        self._cache.forget(changed)

    def _without_servers(self, places: Iterable[str], at: int) -> dict[str, tuple[Limit, str]]:
        """The budgets of warnings that still stand, of whose servers none runs any more."""
        wanted, policy = set(places), self._store.policy()
        found = {}
        for group, _, user in {read_place(name) for name in wanted}:
            for limit in policy.limits_for(group, user, at, self._store.zone):
                name = place(limit, whose(limit, user))
                if limit.window and name in wanted:
                    found[name] = (limit, whose(limit, user))
        return found

    def _act(self, found: Plan, at: int, orders: Mapping[str, Order]) -> None:
        if found.over:
            self._notices.over(found.over)
        for told in found.tell:
            text = notice(told, at, self._store.zone)
            to = list(self._send_to(told))
            if self._notices.tell(told.stem, told.kind, told.user, told.group, text, to):
                log.info("Told %s: %s", told.user or told.group, text)
        self._notices.set_orders(found.orders, orders)


class Executor:
    """Stops a hub's own servers when their orders are due."""

    def __init__(
        self,
        store: QuotaStore,
        stop: Callable[[str, str], Awaitable[None]],
        last_used: Callable[[str, str], Awaitable[int | None]],
        send_to: Recipients = lambda _: (),
    ) -> None:
        """`stop(user, server)` and `last_used(user, server)` ask the hub."""
        self._store, self._notices = store, Notices(store)
        self._stop, self._last_used, self._send_to = stop, last_used, send_to

    async def step(self) -> float:
        """Stop what is due; returns the seconds until the next is."""
        due, following = await asyncio.to_thread(self._notices.due, self._store.hub)
        await asyncio.gather(*(self._carry_out(*each) for each in due))
        if following is None:
            return TICK_SECONDS
        at = await asyncio.to_thread(outlook.time_of, self._store)
        return min(TICK_SECONDS, max(0.0, (following - at) / 10**6))

    async def _carry_out(self, order: Order, user: str, server: str) -> None:
        group, key, _ = read_place(order.cause)
        policy = await asyncio.to_thread(self._store.policy)
        limits = policy.limits_for(group, user, order.at, self._store.zone)
        limit = next((one for one in limits if place(one, whose(one, user)) == order.cause), None)
        if limit is None:
            return
        if limit.resource == "idle":
            used = await self._last_used(user, server)
            if used is not None and used + limit.amount > order.at:
                # It was used since; with that, the next plan has another instant.
                await asyncio.to_thread(self._store.seen, {}, {order.session: used})
                return
        log.info("Stopping %s:%s (%s of %s)", user, server, key, group)
        await self._stop(user, server)
        told = Notice(
            f"{STOPPED} {order.session}",
            STOPPED,
            user,
            group,
            limit,
            stops_at=order.at,
            server=server,
        )
        words = notice(told, order.at, self._store.zone)
        to = await asyncio.to_thread(lambda: list(self._send_to(told)))
        await asyncio.to_thread(self._notices.tell, told.stem, STOPPED, user, group, words, to)


async def keep_enforcing(enforcer: Enforcer, store: QuotaStore) -> None:
    """Until cancelled, as long as this process leads."""
    notices, holder, leads_until = Notices(store), secrets.token_hex(8), 0.0
    loop = asyncio.get_running_loop()
    try:
        while True:
            pause = TICK_SECONDS
            try:
                if loop.time() >= leads_until:
                    leads = await asyncio.to_thread(notices.lead, holder)
                    leads_until = loop.time() + _LEAD_SECONDS if leads else 0.0
                if leads_until:
                    cost = await asyncio.to_thread(_cost, enforcer.step)
                    at = await asyncio.to_thread(outlook.time_of, store)
                    rest = min(_REST * cost, _LONGEST_REST)
                    pause = max(rest, min(pause, (enforcer.next - at) / 10**6))
            except LedgerError as error:
                log.warning("Limits can't act now, trying again: %s", error)
                leads_until, pause = 0.0, _RETRY_SECONDS
            except Exception:
                log.exception("Limits can't act now, trying again")
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)
    finally:
        with suppress(LedgerError):  # the lease ends by itself too
            notices.step_down(holder)


def _cost(step: Callable[[], object]) -> float:
    """Of a step, in CPU seconds."""
    began = time.thread_time()
    step()
    return time.thread_time() - began


async def keep_stopping(executor: Executor) -> None:
    """Until cancelled."""
    while True:
        try:
            pause = await executor.step()
        except Exception as error:
            log.warning("Servers that are to stop can't be stopped now, trying again: %s", error)
            pause = _RETRY_SECONDS
        await asyncio.sleep(pause)


def server_path(user: str, server: str) -> str:
    """Of a server, in the hub's REST API."""
    name = quote(user, safe="")
    return f"users/{name}/servers/{quote(server, safe='')}" if server else f"users/{name}/server"


def used_at(server: Mapping[str, Any]) -> int | None:
    """When a server was used last, by its model in the hub's REST API; microseconds."""
    text = server.get("last_activity")
    if not text:
        return None
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**6)
