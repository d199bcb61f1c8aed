"""The address that Prometheus asks: the last text, while a newer one is made."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from hub_groups.exposition import Body, ScrapePage, packed
from hub_groups.latest import Latest
from hub_groups.web import Context

from .access import Who, access_of
from .latest import overviews
from .metrics import (
    COMPUTED,
    LEDGER_UP,
    Growth,
    Samples,
    say_groups,
    say_members,
    say_storage,
    say_vitals,
)
from .policy import Policy
from .storage_view import storage_vitals
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .vitals import member_use, vitals
from .windows import read_zone

log = logging.getLogger("group-quotas")

_SHOWN = 300
"""Seconds for which the last figures of a ledger are told that can't be reached: as long as
Prometheus itself goes on with the last one that it has."""


class Exposition:
    """The text of one ledger's metrics."""

    def __init__(self, open_store: Callable[[], QuotaStore], per_user: bool) -> None:
        self._open_store, self._per_user = open_store, per_user
        self._growth = Growth()
        self._figures, self._read_at = "", 0.0
        self._seen_at = 0
        self._latest = Latest(self._make)

    async def body(self) -> Body:
        """With the last figures. The first are waited for, and those after a long rest."""
        return await self._latest.get()

    def _make(self) -> Body:
        try:
            self._figures, self._read_at = self._read(), time.monotonic()
            up = True
        except LedgerError as error:
            log.warning("The metrics are without the ledger, which can't be reached: %s", error)
            up = False
        shown = up or time.monotonic() - self._read_at < _SHOWN
        samples = Samples()
        samples.add(LEDGER_UP, "", int(up))
        if self._seen_at:
            samples.add(COMPUTED, "", self._seen_at / 10**6)
        plain = ((self._figures if shown else "") + samples.text()).encode()
        return packed(plain)

    def _read(self) -> str:
        store, samples = self._open_store(), Samples()
        seen = overviews.now(store)
        self._growth.add(seen.groups)
        say_groups(samples, seen, self._growth)
        say_members(samples, member_use(store) if self._per_user else ())
        say_vitals(samples, vitals(store))
        say_storage(samples, storage_vitals(store))
        self._seen_at = seen.at
        return samples.text()


def exposition_of(context: Context) -> Exposition:
    """The one of this process for the ledger of some pages."""
    found = context.settings
    return _exposition(
        *(found["db_url"], found["time_zone"], found["hub_name"], found["metrics_per_user"])
    )


@lru_cache
def _exposition(db_url: str, time_zone: str, hub_name: str, per_user: bool) -> Exposition:
    return Exposition(lambda: open_store(db_url, read_zone(time_zone), hub_name), per_user)


class MetricsPage(ScrapePage):
    """The address."""

    def may(self, model: Mapping[str, Any]) -> bool:
        return access_of(model, self.by_token, (), ()).may(Who.SCRAPES, Policy())

    async def body(self) -> Body:
        return await exposition_of(self.context).body()
