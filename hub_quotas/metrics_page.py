"""The address that Prometheus asks: the last text, while a newer one is made."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tornado import web

from hub_groups.web import Context, Visit
from hub_groups.words import _

from .access import METRICS, Who, access_of
from .desk import refusal_of
from .latest import Latest, overviews
from .metrics import (
    COMPUTED,
    LEDGER_UP,
    Growth,
    Samples,
    say_groups,
    say_members,
    say_vitals,
)
from .policy import Policy
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .vitals import member_use, vitals
from .windows import read_zone

log = logging.getLogger("group-quotas")

_SHOWN = 300
"""Seconds for which the last figures of a ledger are told that can't be reached: as long as
Prometheus itself goes on with the last one that it has."""


@dataclass(frozen=True)
class Body:
    """An answer, ready to be sent: made once, however often it is asked for."""

    plain: bytes
    gzipped: bytes


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
        return Body(plain, gzip.compress(plain, compresslevel=1))

    def _read(self) -> str:
        store, samples = self._open_store(), Samples()
        seen = overviews.now(store)
        self._growth.add(seen.groups)
        say_groups(samples, seen, self._growth)
        say_members(samples, member_use(store) if self._per_user else ())
        say_vitals(samples, vitals(store))
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


class MetricsPage(Visit):
    """For Prometheus. Who may read the hub's own metrics may read these, with the same token."""

    @property
    def hub_scopes(self) -> set[str]:
        """Any of these: a token for Prometheus need not open our pages."""
        return {*self.hub_auth.access_scopes, METRICS}

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        await super().prepare()
        if await self.hub_auth.get_user(self, sync=False) is None:
            raise web.HTTPError(401, _("Send a token of this hub as 'Authorization: token ...'."))
        model = self.current_user
        if not model or not access_of(model, self.by_token, (), ()).may(Who.SCRAPES, Policy()):
            raise web.HTTPError(403, refusal_of(Who.SCRAPES))

    async def get(self) -> None:
        body = await exposition_of(self.context).body()
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.finish(body.gzipped)
        else:
            self.finish(body.plain)

    def compute_etag(self) -> None:
        """Nobody has these already, and a hash of megabytes takes time."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        ours = isinstance(error, web.HTTPError) and status_code in (401, 403)
        self.finish(f"{error.log_message if ours else self._reason}\n")
