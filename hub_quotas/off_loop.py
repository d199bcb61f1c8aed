"""The ledger as the hub uses it: never on its event loop, and never waited for without end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from hub_groups.patience import in_time

from .transaction import LedgerError

log = logging.getLogger("JupyterHub.quotas")

PATIENCE = 8
"""Seconds; less than the 10 after which a hub answers a start with a page that waits."""

_RETRY_SECONDS = 1
_MOST_UNTOLD = 10_000

# Threads of our own: those that hang on a database must not be the ones that the hub needs.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="quota-ledger")

T = TypeVar("T")


async def off_loop(call: Callable[..., T], *values: Any) -> T:
    """`call(*values)` in a thread.

    Raises:
        LedgerError: it took longer than PATIENCE. It may yet be done.
    """
    loop = asyncio.get_running_loop()
    # With the context: a thread speaks the language of whoever it works for.
    work = loop.run_in_executor(_threads, partial(copy_context().run, call, *values))
    try:
        return await in_time(work, PATIENCE)
    except asyncio.TimeoutError:
        raise LedgerError(f"The ledger did not answer within {PATIENCE} seconds.") from None


class Outbox:
    """What the ledger has to be told, in order, as soon as it can be reached."""

    def __init__(self) -> None:
        self._untold: deque[tuple[str, Callable[[], object]]] = deque(maxlen=_MOST_UNTOLD)
        self._sender: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def waits(self) -> bool:
        """Whether there is anything that the ledger has yet to hear."""
        return bool(self._untold)

    async def tell(self, what: str, call: Callable[[], object]) -> None:
        """Now if it can be reached; else later, behind what waits already.

        Args:
            call: may be made twice.
        """
        if not self._untold:
            try:
                await off_loop(call)
                return
            except LedgerError as error:
                log.warning("The ledger can't be told of %s now, but will be: %s", what, error)
        self._untold.append((what, call))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._keep_telling())

    def tell_soon(self, what: str, call: Callable[[], object]) -> None:
        """The same, without waiting."""
        task = asyncio.ensure_future(self.tell(what, call))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _keep_telling(self) -> None:
        while self._untold:
            what, call = self._untold[0]
            try:
                await off_loop(call)
            except LedgerError:
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("The ledger can't be told of %s", what)
                self._untold.popleft()
            else:
                self._untold.popleft()
                log.info("The ledger was told of %s", what)


outbox = Outbox()
"""Of this hub."""
