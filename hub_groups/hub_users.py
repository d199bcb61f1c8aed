"""What the hub does with its users: one that is renamed or deleted in it is so in the store."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from .hub_tables import listen_to_users
from .people import forget_user, rename_user
from .store import GroupStore

log = logging.getLogger("JupyterHub.groups")

_RETRY_SECONDS = 5


class HubUsers:
    """Hears of renames and deletions as the hub writes them, and tells the store off its loop."""

    def __init__(self, store: GroupStore) -> None:
        self._store = store
        self._untold: deque[Callable[[], None]] = deque()
        self._teller: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """To all users of this process, which is one hub's."""
        listen_to_users(
            lambda old, new: self._tell(partial(rename_user, self._store, old, new)),
            lambda name: self._tell(partial(forget_user, self._store, name)),
        )

    def _tell(self, what: Callable[[], None]) -> None:
        self._untold.append(what)
        if self._teller is None or self._teller.done():
            self._teller = asyncio.ensure_future(self._keep_telling())

    async def _keep_telling(self) -> None:
        while self._untold:
            try:
                await asyncio.to_thread(self._untold[0])
                self._untold.popleft()
            except Exception:
                log.exception("The store can't be told of a user now; trying again")
                await asyncio.sleep(_RETRY_SECONDS)
