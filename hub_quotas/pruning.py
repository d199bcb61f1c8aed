"""Dropping points of the ledger that nobody asks for any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from .ledger import droppable
from .policy import longest_window
from .refusals import forget_refusals
from .storage_looks import forget
from .store import QuotaStore
from .transaction import LedgerError
from .windows import DAY, Calendar, span

log = logging.getLogger("group-quotas")

KEEP = 400 * DAY
"""Microseconds for which every answer stays exact: a year and a month."""

_EVERY_SECONDS = 24 * 3600


def prune(store: QuotaStore, keep: int = KEEP) -> tuple[int, int]:
    """Drop points that no window and no monthly report needs any more, and what agents of file
    systems found, and which starts were refused, so long ago that it is to be forgotten.

    Args:
        keep: microseconds for which every answer stays exact, if no window is longer.

    Returns:
        How many were dropped, and since when all answers are exact.
    """
    policy = store.policy()
    with store.db.read() as tx:
        present = store.present(tx)
        first = tx.one("SELECT min(at) FROM point")
    with store.db.write() as tx:
        forget(tx, present)
        forget_refusals(tx, present)
    exact_since = present - max(keep, longest_window(policy) + DAY)
    oldest = first[0] if first and first[0] is not None else exact_since
    boundaries, at = [exact_since], exact_since
    while at > oldest and (month := span(Calendar("month"), at, store.zone)):
        boundaries.append(month[0])
        at = month[0] - 1
    return thin(store, exact_since, boundaries), exact_since


def thin(store: QuotaStore, exact_since: int, boundaries: Iterable[int]) -> int:
    """Drop points that no answer about what follows `exact_since` needs, nor about the spans
    between `boundaries`. Returns how many. One subject a transaction: nobody waits for long."""
    kept = sorted(boundaries)
    with store.db.read() as tx:
        subjects = [row[0] for row in tx.all("SELECT id FROM subject ORDER BY id")]
    dropped = 0
    for id in subjects:
        with store.db.write() as tx:
            tx.lock([id])
            rows = tx.all("SELECT at FROM point WHERE subject = ? ORDER BY at", id)
            for at in droppable([row[0] for row in rows], exact_since, kept):
                dropped += tx.run("DELETE FROM point WHERE subject = ? AND at = ?", id, at)
    return dropped


async def keep_pruning(store: QuotaStore) -> None:
    """Until cancelled: once a day, points that nobody asks for any more go."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            dropped, _ = await asyncio.to_thread(prune, store)
            log.info("Dropped %d old points of the ledger", dropped)
        except LedgerError as error:
            log.warning("Ledger not pruned, trying again tomorrow: %s", error)
