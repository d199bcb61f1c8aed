"""Has a BinderHub make images, each once for all who wait for it, charged to one group."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hub_groups.words import _
from hub_quotas import reservations
from hub_quotas.transaction import LedgerError

from .clicks import Clicks
from .hub_client import HubDown, Tried
from .images import BUILD, build_path, no_answer, no_room, not_made, read_event
from .launch import COMMIT
from .pull_words import Failure
from .store import LinkStore

log = logging.getLogger("group-quotas")

Ask = Callable[[str], AsyncIterator[dict[str, Any]]]
"""With a path below BinderHub's address: its events."""

_OWNER = "launch"
_RENEW_SECONDS = 120
_LINES = 200


@dataclass(frozen=True)
class Wish:
    """An image that somebody needs.

    Attributes:
        ref: a commit where it is known; only the image of such a one is remembered.
        charges: the groups that making it may be charged to.
    """

    user: str
    repository: str
    ref: str
    charges: Sequence[str]


@dataclass
class _Run:
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    task: asyncio.Task[str | Failure] | None = None


class Builder:
    """Of one hub.

    Args:
        url: BinderHub's address, with its base path; ends with `/`.
        takes: what making an image takes, as a server's limits.
    """

    def __init__(
        self, url: str, takes: Mapping[str, int], store: LinkStore, clicks: Clicks
    ) -> None:
        # No server: who may have one has it for what the image is made for.
        self.url, self._size = url, Tried(limits={"servers": 0, **takes})
        self._store, self._clicks = store, clicks
        self._runs: dict[tuple[str, str], _Run] = {}

    async def image(self, wish: Wish, ask: Ask, lines: deque[str]) -> str | Failure:
        """The image of a repository, or why there is none.

        Args:
            lines: gets what is said while it is made.
        """
        if known := await asyncio.to_thread(self._store.built, wish.repository, wish.ref):
            return known
        key = wish.repository, wish.ref
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run()
            run.task = asyncio.ensure_future(self._make(wish, ask, run.lines))
            run.task.add_done_callback(lambda _done: self._runs.pop(key, None))
        assert run.task
        while not run.task.done():
            await asyncio.wait([run.task], timeout=0.3)
            lines.clear()
            lines += run.lines
        return run.task.result()

    async def forget(self, image: str) -> None:
        """Servers do not start with it."""
        await asyncio.to_thread(self._store.forget_built, image)

    async def _make(self, wish: Wish, ask: Ask, lines: deque[str]) -> str | Failure:
        id = f"build-{secrets.token_hex(8)}"
        if refused := await asyncio.to_thread(self._hold, id, wish):
            return refused
        renewing = asyncio.ensure_future(self._keep(id))
        works, found = False, ""
        try:
            async for event in ask(build_path(wish.repository, wish.ref)):
                said = read_event(event)
                lines += [line for line in said.line.splitlines() if line.strip()]
                works |= said.works
                if said.failed:
                    return not_made(wish.repository, said.failed, lines)
                found = said.image or found
            if not found:
                return no_answer(wish.repository)
            if COMMIT.fullmatch(wish.ref):  # what a branch is at changes
                await asyncio.to_thread(self._store.note_built, wish.repository, wish.ref, found)
            return found
        except HubDown as error:
            log.warning("BinderHub does not answer: %s", error)
            return no_answer(wish.repository)
        finally:
            renewing.cancel()
            await asyncio.to_thread(self._release, id, works)

    # -- the ledger, in a thread -------------------------------------------------------------------

    def _hold(self, id: str, wish: Wish) -> Failure | None:
        clicks = self._clicks
        if clicks.ledger is None:
            return None
        name = f"{BUILD}-{wish.repository.rpartition('/')[2]}"
        try:
            store, request = clicks.quotas(), clicks.request(self._size)
            groups = store.policy().in_order(wish.charges)
            answer = reservations.hold(store, _OWNER, id, wish.user, name, groups, request)
        except LedgerError:
            return no_room(_("Quotas can't be checked at the moment, so no server can start."))
        if answer.granted:
            return None
        (said,) = clicks.prospects(wish.user, groups, [self._size])
        return no_room(said.why or _("There was no room for it. Try again."))

    async def _keep(self, id: str) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with suppress(LedgerError, reservations.NoReservation):
                await asyncio.to_thread(self._renew, id)

    def _renew(self, id: str) -> None:
        if self._clicks.ledger is not None:
            reservations.renew(self._clicks.quotas(), _OWNER, id)

    def _release(self, id: str, worked: bool) -> None:
        """What was there already costs nothing."""
        if self._clicks.ledger is None:
            return
        with suppress(LedgerError, reservations.NoReservation):
            store = self._clicks.quotas()
            if worked:
                reservations.release(store, _OWNER, id, "built")
            else:
                store.void(id, "found")
