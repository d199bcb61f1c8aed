"""The latest overview of a ledger: dear to compute, and asked for by many."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache

from hub_groups.latest import Latest

from .overview import Overview, overview
from .store import QuotaStore


class Overviews:
    """The latest overview of each ledger."""

    def __init__(self) -> None:
        self._of = lru_cache(lambda store: Latest(lambda: overview(store)))

    def now(self, store: QuotaStore) -> Overview:
        """No older than a few seconds. Blocks."""
        return self._of(store).now()

    async def latest(self, store: QuotaStore) -> Overview:
        """No older than the policy; of what is used, some seconds where there are thousands of
        groups and somebody looks, two minutes at most."""
        asked, latest = time.monotonic(), self._of(store)
        found = await latest.get()
        held = await asyncio.to_thread(store.held)
        if held.version == found.held.version:
            return found
        # Somebody has just saved a limit, and wants to see it.
        return await asyncio.to_thread(latest.now, asked)


overviews = Overviews()
"""One for all pages and addresses of this process."""
