"""Beside the pages: storage is charged, once a day is over."""

from __future__ import annotations

import asyncio
import logging

from hub_groups.store import GroupStore

from .storage import USER
from .storage_charges import AT_ONCE, Payer, charge_some, is_due
from .storage_costs import payers
from .storage_wanted import names_of
from .store import QuotaStore
from .transaction import LedgerError
from .windows import Calendar, period

log = logging.getLogger("group-quotas")

_EVERY_SECONDS = 60
"""So soon after midnight; the time until then counts too."""
_REST_SECONDS = 0.1
"""Between some directories and the next: reservations come first."""


async def keep_charging(store: QuotaStore, groups: GroupStore) -> None:
    """Until cancelled."""
    while True:
        try:
            charged = await charge_due(store, groups)
            if charged:
                log.info("Charged the storage of %d directories", charged)
        except LedgerError as error:
            log.warning("Storage can't be charged now, trying again: %s", error)
        except Exception:
            log.exception("Storage can't be charged now, trying again")
        await asyncio.sleep(_EVERY_SECONDS)


async def charge_due(store: QuotaStore, groups: GroupStore) -> int:
    """Charge all that were not charged since the day began; returns how many."""
    began, present = await asyncio.to_thread(_today, store)
    if not await asyncio.to_thread(is_due, store, began):
        return 0
    payer = await asyncio.to_thread(_payer, store, groups, present)
    charged, some = 0, AT_ONCE
    while some == AT_ONCE:
        some = await asyncio.to_thread(charge_some, store, payer, began, present)
        charged += some
        await asyncio.sleep(_REST_SECONDS)
    return charged


def _today(store: QuotaStore) -> tuple[int, int]:
    with store.db.read() as tx:
        present = store.present(tx)
    return period(Calendar("day"), present, store.zone)[0], present


def _payer(store: QuotaStore, groups: GroupStore, at: int) -> Payer:
    members = {user: names_of(some) for user, some in groups.everybody().items()}
    of_home = payers(store.policy(), members, at, store.zone)

    def payer(kind: str, name: str) -> str:
        return of_home(name) if kind == USER else name

    return payer
