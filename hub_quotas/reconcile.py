"""Keeping the ledger equal to what runs, whatever happened to the hub.

The hub tells the ledger when a server starts and ends. A hub that is killed tells nobody, so each
hub compares the servers in its memory with the sessions that are open in the ledger, when it has
come up and then again and again: with no request, and no query of the hub's own database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from .corrections import rename
from .off_loop import off_loop, outbox
from .outlook import open_ids
from .sessions import GONE
from .store import SEEN, QuotaStore
from .transaction import LedgerError

log = logging.getLogger("JupyterHub.quotas")

COMPARE_SECONDS = 30
GRACE_SECONDS = 5
"""How long a session may be missing from the hub before it is closed: the hub may be about to say
so itself, and knows better when it ended."""
_TICK_SECONDS = 1
_SLICE_SECONDS = 0.004
"""Of the event loop, at a time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """A server that the hub has in its memory as active.

    Attributes:
        seen_at: when a poll found it running last; microseconds since 1970, UTC. None before that.
        used_at: when it was used last.
        allowed: what it takes, where the ledger has to hear of that yet.
    """

    session: str
    user: str
    name: str
    seen_at: int | None = None
    used_at: int | None = None
    allowed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Difference:
    """Between the ledger and the hub.

    Attributes:
        missing: sessions of the ledger that no server of the hub names.
        unknown: servers that the ledger has to hear of.
        renamed: users, from old to new names.
    """

    missing: frozenset[str]
    unknown: tuple[Server, ...]
    renamed: Mapping[str, str]


def difference(known: Mapping[str, str], servers: Mapping[str, Server]) -> Difference:
    """What the ledger and the hub do not agree on. Pure.

    Args:
        known: sessions that were open in the ledger *before* the servers were looked at, each with
            its user. A server has its session before the ledger has it, so what is missing has
            ended.
        servers: the hub's, by session.
    """
    return Difference(
        frozenset(known.keys() - servers.keys()),
        tuple(s for id, s in servers.items() if id not in known and s.allowed),
        {known[id]: s.user for id, s in servers.items() if known.get(id, s.user) != s.user},
    )


def adopt(store: QuotaStore, id: str, user: str, name: str, allowed: Mapping[str, Any]) -> bool:
    """Record a server that was started without the ledger; False where it is known."""
    return store.adopt(id, user, name, allowed["group"], allowed["amounts"], allowed["since"])


class Servers:
    """Those of this hub, by session."""

    def __init__(self) -> None:
        self._spawners: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._untold: set[str] = set()

    def add(self, session: str, spawner: Any) -> None:
        """It has this session from now on; `spawner.alive_at` says when a poll found it running
        last."""
        self._spawners[session] = spawner
        self._untold.add(session)

    def remove(self, session: str) -> None:
        self._spawners.pop(session, None)
        self._untold.discard(session)

    def get(self, session: str) -> Server | None:
        """None where no active server has this session, any more or again."""
        spawner = self._spawners.get(session)
        if spawner is None or spawner.session_id != session or not spawner.active:
            return None
        used = spawner.orm_spawner.last_activity  # in memory, unless the hub rolled back
        return Server(
            session,
            spawner.user.name,
            spawner.name,
            spawner.alive_at,
            round(used.replace(tzinfo=timezone.utc).timestamp() * 10**6) if used else None,
            spawner.allowed,
        )

    async def all(self) -> dict[str, Server]:
        """All that are active."""
        return {id: one async for id in _sliced(self._spawners) if (one := self.get(id))}

    async def untold(self) -> dict[str, Server]:
        """Those that run and of which the ledger has not heard that yet."""
        found = {}
        async for id in _sliced(self._untold):
            if (one := self.get(id)) and one.seen_at:
                found[id] = one
            if id in found or id not in self._spawners:
                self._untold.discard(id)
        return found

    def tell_again(self, sessions: Iterable[str]) -> None:
        self._untold.update(id for id in sessions if id in self._spawners)


servers = Servers()
"""Of this hub."""


@dataclass
class Reconciler:
    """Compares, and puts right.

    Args:
        app: the hub.
        open_store: blocks.
    """

    app: Any
    open_store: Callable[[], QuotaStore]
    _missing_since: dict[str, float] = field(default_factory=dict)
    _took_up: bool = False

    async def compare(self) -> None:
        """One comparison, and a heartbeat of all that runs."""
        if not self._took_up:
            await self._take_up()
        known = await off_loop(lambda: open_ids(self.open_store()))
        running = await servers.all()
        found = difference(known, running)
        for old, new in found.renamed.items():
            await self._rename(old, new)
        for server in found.unknown:
            if await off_loop(self._adopt, server):
                log.info("Took up the server %s:%s", server.user, server.name)
        await self.beat(running)
        began = time.monotonic()
        self._missing_since = {id: self._missing_since.get(id, began) for id in found.missing}

    async def beat(self, running: Mapping[str, Server]) -> None:
        """Tell when these were seen running last, and used."""
        seen = {id: server.seen_at for id, server in running.items() if server.seen_at}
        used = {id: server.used_at for id, server in running.items() if server.used_at}
        if seen or used:
            await off_loop(lambda: self.open_store().seen(seen, used))

    async def close_missing(self) -> None:
        """End the sessions that have been missing for long enough, and still are."""
        late = time.monotonic() - GRACE_SECONDS
        for id in [id for id, since in self._missing_since.items() if since <= late]:
            if outbox.waits:  # the hub knows of ends that the ledger has yet to hear of
                return
            del self._missing_since[id]
            # Nobody saw it end: it is charged for as long as it was known to run.
            if servers.get(id) is None and await off_loop(self._close, id):
                log.info("Closed session %s, which is gone", id)

    async def _take_up(self) -> None:
        """Servers that were started before this package was there get a session too."""
        policy = await off_loop(lambda: self.open_store().policy())
        spawners = [s for user in list(self.app.users.values()) for s in user.spawners.values()]
        async for spawner in _sliced(spawners):
            if spawner.ready and not spawner.session_id:
                spawner.take_up(policy.in_order(spawner.groups())[0])
        # Those that the hub still checks after its start come up later.
        self._took_up = all(spawner.pending != "check" for spawner in spawners)

    def _close(self, id: str) -> bool:
        return self.open_store().close_session(id, GONE, SEEN)

    def _adopt(self, server: Server) -> bool:
        assert server.allowed
        of = (server.session, server.user, server.name)
        return adopt(self.open_store(), *of, server.allowed)

    async def _rename(self, old: str, new: str) -> None:
        try:
            await off_loop(lambda: rename(self.open_store(), old, new))
        except LedgerError as error:
            log.warning("%s", error)


async def keep_reconciling(app: Any, open_store: Callable[[], QuotaStore]) -> None:
    """Until cancelled. What goes wrong is logged once, and tried again each second.

    A server of which the ledger has not heard that it runs is told of within a second: the hub may
    be killed again soon after it came up.
    """
    reconciler, next_comparison, failed = Reconciler(app, open_store), 0.0, False
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        untold: dict[str, Server] = {}
        try:
            untold = await servers.untold()
            # Before it serves, the hub may not have made all of its servers' objects yet.
            if app.http_server is not None and time.monotonic() >= next_comparison:
                began = time.monotonic()
                await reconciler.compare()
                # What had to wait for the ledger is old by now.
                next_comparison = began + COMPARE_SECONDS - _TICK_SECONDS
            elif untold:
                await reconciler.beat(untold)
            await reconciler.close_missing()
        except Exception as error:
            servers.tell_again(untold)
            if not failed:
                unknown = not isinstance(error, LedgerError)
                log.warning("The ledger can't be told what runs: %s", error, exc_info=unknown)
            failed = True
        else:
            if failed:
                log.info("The ledger is told again what runs")
            failed = False


async def _sliced(items: Iterable[T]) -> AsyncIterator[T]:
    """Each, with pauses in which the event loop serves others."""
    began = time.perf_counter()
    for item in list(items):
        yield item
        if time.perf_counter() - began > _SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
