"""What Prometheus is told of groups and sources.

As many series as the configuration names sources, and `MOST_GROUPS` of groups, however many there
are; never users.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from .access import Who, access_of
from .counts import Sizes, by_source, last_change, sizes, waiting
from .exposition import Body, Family, Samples, ScrapePage, label, packed
from .latest import Latest
from .record import runs
from .sources import sources_of
from .store import GroupStore, StoreError
from .web import Context, Routes

log = logging.getLogger("group-quotas")

MOST_GROUPS = 500
"""So many groups have a series of their own: the largest ones."""
_REST = 100
"""Members are counted again after so many times as long as counting took."""
_PREFIX = "jupyterhub_group"
KINDS = ("idp", "ldap", "roster", "scim", "manual", "link")

MEMBERS = Family(
    f"{_PREFIX}_members",
    f"Members of a group, as all sources together say; of the {MOST_GROUPS} largest groups.",
    ("group",),
)
OTHER_MEMBERS = Family(
    f"{_PREFIX}_members_other", "Members of all other groups together; in two, somebody is twice."
)
GROUPS = Family(f"{_PREFIX}s", "Groups that have members.")
ARCHIVED = Family(f"{_PREFIX}s_archived", "Groups that are over.")
MEMBERSHIPS = Family(
    f"{_PREFIX}_memberships",
    "Memberships by the kind of source that says so: idp (logins), ldap, roster, scim, manual, "
    "link.",
    ("kind",),
)
GOOD_AT = Family(
    f"{_PREFIX}_source_good_timestamp_seconds",
    "When a roster or directory was read well last; a file is read when it changes.",
    ("source",),
)
PROBLEM = Family(
    f"{_PREFIX}_source_problem", "Whether a roster or directory can't be read.", ("source",)
)
HELD = Family(
    f"{_PREFIX}_source_held",
    "Whether what a roster or directory says waits for an admin, as it takes out too many at once.",
    ("source",),
)
PENDING = Family(
    f"{_PREFIX}_pairs_pending", "Pairs of user and group that the hub has still to be told of."
)
ASLEEP = Family(
    f"{_PREFIX}_pairs_asleep", "Those of users who have never logged in; they wait until then."
)
REQUESTS = Family(f"{_PREFIX}_join_requests_open", "Requests to join a group without an answer.")
UP = Family(f"{_PREFIX}_store_up", "Whether the database of the memberships can be reached.")

FAMILIES = (
    *(MEMBERS, OTHER_MEMBERS, GROUPS, ARCHIVED, MEMBERSHIPS),
    *(GOOD_AT, PROBLEM, HELD, PENDING, ASLEEP, REQUESTS, UP),
)


class GroupExposition:
    """The text of one store's metrics."""

    def __init__(self, store: GroupStore, settings: Mapping[str, Any]) -> None:
        self._store, self._settings = store, settings
        self._latest = Latest(self._make)
        self._counted: tuple[Sizes, dict[str, int]] | None = None
        self._counted_of, self._due = -1, 0.0

    async def body(self) -> Body:
        """With the last figures; the first are waited for, and those after a long rest."""
        return await self._latest.get()

    def _make(self) -> Body:
        samples = Samples(FAMILIES)
        try:
            self._say(samples)
            samples.add(UP, "", 1)
        except StoreError as error:
            log.warning("The metrics are without groups, whose database fails: %s", error)
            samples = Samples(FAMILIES)
            samples.add(UP, "", 0)
        return packed(samples.text().encode())

    def _say(self, samples: Samples) -> None:
        found, counts = self._count()
        for group, members in found.largest.items():
            samples.add(MEMBERS, label("group", group), members)
        samples.add(OTHER_MEMBERS, "", found.memberships - sum(found.largest.values()))
        samples.add(GROUPS, "", found.groups)
        for kind, count in _by_kind(counts).items():
            samples.add(MEMBERSHIPS, label("kind", kind), count)
        last = runs(self._store)
        for source in sources_of(self._settings):
            run, labels = last.get(source.name), label("source", source.name)
            if run is None:
                continue
            if run.good_at is not None:
                samples.add(GOOD_AT, labels, run.good_at)
            samples.add(PROBLEM, labels, int(bool(run.problem)))
            samples.add(HELD, labels, int(bool(run.held)))
        rest = waiting(self._store)
        for family, value in (
            (ARCHIVED, rest.archived),
            (PENDING, rest.pairs),
            (ASLEEP, rest.asleep),
            (REQUESTS, rest.requests),
        ):
            samples.add(family, "", value)

    def _count(self) -> tuple[Sizes, dict[str, int]]:
        """Counted anew where something has changed, and not all the time: a million memberships
        take a second."""
        if self._counted and time.monotonic() < self._due:
            return self._counted
        change = last_change(self._store)
        if self._counted and change == self._counted_of:
            return self._counted
        began = time.monotonic()
        self._counted = sizes(self._store, MOST_GROUPS), by_source(self._store)
        self._counted_of, ended = change, time.monotonic()
        self._due = ended + _REST * (ended - began)
        return self._counted


def _by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    found = dict.fromkeys(KINDS, 0)
    for source, count in counts.items():
        kind = source.partition(":")[0]
        kind = kind if kind in KINDS else "other"
        found[kind] = found.get(kind, 0) + count
    return found


class GroupMetricsPage(ScrapePage):
    """The address that Prometheus asks."""

    def initialize(self, context: Context, exposition: GroupExposition) -> None:  # type: ignore[override]
        super().initialize(context)
        self._exposition = exposition

    def may(self, model: Mapping[str, Any]) -> bool:
        return access_of(model, self.by_token, ()).may(Who.SCRAPES)

    async def body(self) -> Body:
        return await self._exposition.body()


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handler, with the text of this process."""
    told = {
        "context": context,
        "exposition": GroupExposition(shared["store"], context.settings),
    }
    return [(f"{context.prefix}metrics", GroupMetricsPage, told)]
