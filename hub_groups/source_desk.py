"""Where memberships come from, how each source is doing, and what admins do about it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .counts import by_source
from .memberships import LINK, MANUAL, SCIM, UPLOAD, Difference
from .record import Run, forget_run, runs
from .sources import Source, SourceError, look, read_source, sources_of
from .store import GroupStore
from .words import _

log = logging.getLogger("group-quotas")

ROSTER, LDAP, LOGIN, PEOPLE, OTHER = "roster", "ldap", "login", "people", "other"
READ_HERE = (ROSTER, LDAP)
"""Kinds of sources that this process reads again and again."""

LOOK, READ, APPLY, TAKE_OUT = "look", "read", "apply", "take-out"
"""What an admin can do with a source."""

_KEPT = 3600
"""Seconds for which a difference that was looked at is kept."""


class NotNow(ValueError):
    """Something can't be done with a source; the message says why, and what can."""


@dataclass(frozen=True)
class SourceView:
    """A source as it is doing.

    Attributes:
        kind: roster, ldap, login, scim, people, other.
        count: its memberships now.
        run: how its last reading went; None where it is not read, or was not yet.
        configured: whether it is read again and again.
        gone: it is no longer configured, and still has memberships.
    """

    name: str
    kind: str
    count: int
    run: Run | None = None
    configured: bool = False
    gone: bool = False

    @property
    def state(self) -> str:
        """good, failed, held, gone, new; empty for what is not read."""
        if self.gone:
            return "gone"
        if not self.configured:
            return ""
        if self.run is None:
            return "new"
        return "failed" if self.run.problem else "held" if self.run.held else "good"


def kind_of(source: str) -> str:
    kind, colon, _name = source.partition(":")
    if source in (MANUAL, LINK, UPLOAD):
        return PEOPLE
    if source in (SCIM, LDAP):
        return source
    return {"idp": LOGIN, "roster": ROSTER}.get(kind, OTHER) if colon else OTHER


def sources_seen(store: GroupStore, settings: Mapping[str, Any]) -> list[SourceView]:
    """Those that are configured and those that have spoken; what needs somebody first. Blocks."""
    counts, last = by_source(store), runs(store)
    configured = {source.name for source in sources_of(settings)}
    names = configured | counts.keys() | ({SCIM} if settings["scim"] else set())
    found = [
        _view(name, counts.get(name, 0), last.get(name), configured, settings) for name in names
    ]
    order = ("failed", "held", "gone", "new", "good", "")
    return sorted(found, key=lambda one: (order.index(one.state), one.name))


def _view(
    name: str, count: int, run: Run | None, configured: set[str], settings: Mapping[str, Any]
) -> SourceView:
    kind = kind_of(name)
    here = name in configured
    gone = (kind in (*READ_HERE, OTHER) and not here) or (kind == SCIM and not settings["scim"])
    return SourceView(name, kind, count, run if here else None, here, gone)


def may_take_out(view: SourceView) -> bool:
    """Whether all memberships of a source can be taken out: where nothing would bring them back
    by itself. A login that nobody uses any more can't be told from one that is used."""
    return bool(view.count) and (view.gone or view.kind == LOGIN)


# -- what takes long -------------------------------------------------------------------------------


@dataclass
class Work:
    """Something that an admin wants of a source.

    Attributes:
        number: of each one another.
        what: LOOK, READ, APPLY or TAKE_OUT; the difference of the last one is of all memberships.
        by: who wants it.
        at: since when, in seconds since 1970.
        found: the difference that it came to, where it was to look.
        size: how many memberships the source would have.
        problem: why it came to nothing.
    """

    number: int
    source: str
    what: str
    by: str
    at: int
    found: Difference | None = None
    size: int = 0
    problem: str = ""
    run: Run | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()

    @property
    def count(self) -> int:
        found = self.found
        return len(found.added) + len(found.removed) + len(found.changed) if found else 0


class Works:
    """What is going on with each source of a store, in this process; one thing at a time."""

    def __init__(self, store: GroupStore) -> None:
        self._store = store
        self._of: dict[str, Work] = {}
        self._numbers = itertools.count(1)

    def of(self, source: str) -> Work | None:
        """What goes on with a source, or the difference that was looked at last."""
        work = self._of.get(source)
        if work and not work.running and self._store.clock() - work.at > _KEPT:
            del self._of[source]
            return None
        return work

    async def start(
        self, view: SourceView, settings: Mapping[str, Any], what: str, by: str, seen: int = 0
    ) -> Work:
        """Begin something, in a thread.

        Args:
            seen: for APPLY and TAKE_OUT, the number of the look whose difference is meant.

        Raises:
            NotNow
        """
        before = self.of(view.name)
        if before and before.running:
            raise NotNow(_("Something is going on with this source already. Wait a moment."))
        source = next((one for one in sources_of(settings) if one.name == view.name), None)
        takes_out = source is None
        if takes_out and (what == READ or not may_take_out(view)):
            raise NotNow(_("This source is not read here, so there is nothing to be read."))
        looked = before.found if before and before.number == seen else None
        if what in (APPLY, TAKE_OUT) and (looked is None or takes_out != (what == TAKE_OUT)):
            raise NotNow(_("Look at the difference first, or once more: it is not known any more."))
        work = Work(next(self._numbers), view.name, what, by, self._store.clock())
        call = self._call(work, source, looked)
        work.task = asyncio.create_task(self._run(work, call))
        self._of[view.name] = work
        return work

    def forget(self, source: str) -> None:
        """Close a difference."""
        work = self._of.get(source)
        if work and not work.running:
            del self._of[source]

    def _call(
        self, work: Work, source: Source | None, looked: Difference | None
    ) -> Callable[[], None]:
        store = self._store

        def look_at_it() -> None:
            if source is None:
                work.found = store.difference(work.source, {})
            else:
                work.found, work.size = look(store, source)

        def write() -> None:
            if source is None:
                store.replace_source(work.source, {}, by=work.by)
                forget_run(store, work.source)
            else:
                # Without a look, too much at once is held, as it is by the clock.
                by = work.by if work.what == APPLY else ""
                work.run = read_source(store, source, by, looked)

        return look_at_it if work.what == LOOK else write

    async def _run(self, work: Work, call: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(call)
        except SourceError as error:
            work.problem = str(error)
        except Exception:
            log.exception("%s: %s", work.source, work.what)
            work.problem = _("It went wrong. The log of the hub's pages says why.")


async def settle(work: Work, seconds: float) -> bool:
    """Wait a while; whether it is done."""
    if work.task:
        await asyncio.wait({work.task}, timeout=seconds)
    return not work.running


@lru_cache
def works_of(store: GroupStore) -> Works:
    """Those of this process."""
    return Works(store)
