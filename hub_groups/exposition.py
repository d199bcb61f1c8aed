"""What Prometheus reads: families, their text, and who may read it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tornado import web

from .access import METRICS
from .web import Visit
from .words import _

GAUGE, COUNTER = "gauge", "counter"


@dataclass(frozen=True)
class Family:
    """Samples of one name. `about` is what Prometheus shows as help."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
    kind: str = GAUGE


class Samples:
    """Lines of text by family.

    Written here and not by prometheus_client, which takes 0.6 s for the 90,000 lines of 5,000
    groups where this takes 0.15 s (docs/performance.md).
    """

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families
        self._lines: dict[str, list[str]] = {family.name: [] for family in families}

    def add(self, family: Family, labels: str, value: float) -> None:
        """`labels`: `name="value"` with commas between, see `label`."""
        braced = labels and f"{{{labels}}}"
        self._lines[family.name].append(f"{family.name}{braced} {value!r}\n")

    def text(self) -> str:
        """Prometheus' text format."""
        parts = []
        for family in self._families:
            lines = self._lines[family.name]
            if lines:
                about = family.about.replace("\\", "\\\\").replace("\n", "\\n")
                parts.append(f"# HELP {family.name} {about}\n# TYPE {family.name} {family.kind}\n")
                parts += lines
        return "".join(parts)


def label(name: str, value: str) -> str:
    """`name="value"`, with what would end the value escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


@dataclass(frozen=True)
class Body:
    """An answer, ready to be sent: made once, however often it is asked for."""

    plain: bytes
    gzipped: bytes


def packed(plain: bytes) -> Body:
    """A text, once as it is and once compressed."""
    return Body(plain, gzip.compress(plain, compresslevel=1))


class ScrapePage(Visit):
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
        if not self.current_user or not self.may(self.current_user):
            raise web.HTTPError(403, _("This takes a token with the scope read:metrics."))

    def may(self, model: Mapping[str, Any]) -> bool:
        """Whether whoever asks may, by the hub's model of them. For packages to say."""
        raise NotImplementedError

    async def body(self) -> Body:
        """What is told. For packages to say."""
        raise NotImplementedError

    async def get(self) -> None:
        body = await self.body()
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
