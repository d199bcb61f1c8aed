"""The groups page: who is in which group, and from where."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tornado import web

from .memberships import MANAGER, MANUAL, MEMBER
from .sources import Source, keep_reading, ldap_source, roster_source
from .store import GroupStore, Standing, open_store
from .web import Context, Page, Routes
from .words import _


class GroupsPage(Page):
    """My groups and where each membership comes from; for admins and managers, who else is in."""

    def initialize(self, context: Context, store: GroupStore) -> None:  # type: ignore[override]
        super().initialize(context)
        self.store = store

    @web.authenticated
    async def get(self) -> None:
        mine = await asyncio.to_thread(self.store.standings, self.user)
        if self.is_admin:
            others = await asyncio.to_thread(self.store.standings)
        else:
            managed = await asyncio.to_thread(self.store.managed_by, self.user)
            others = await asyncio.to_thread(self.store.standings, None, managed)
        self.show(
            "groups.html",
            mine=mine,
            by_group=_by_group(others),
            moment=moment,
            say_role=say_role,
            say_source=say_source,
        )


def moment(at: int) -> datetime:
    """A time in seconds since 1970, UTC."""
    return datetime.fromtimestamp(at, timezone.utc)


def say_role(role: str) -> str:
    return {MEMBER: _("member"), MANAGER: _("manager")}.get(role, role)


def say_source(source: str) -> str:
    """Where a membership is from: `manual`, or the name of a login or a roster."""
    return _("manual") if source == MANUAL else source


def _by_group(standings: list[Standing]) -> dict[str, list[Standing]]:
    found: defaultdict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        found[standing.membership.group].append(standing)
    return dict(found)


def sources_of(context: Context) -> list[Source]:
    """Those that are read again and again."""
    found = context.settings
    sources = [roster_source(Path(path)) for path in found["rosters"]]
    if found["ldap"]:
        sources.append(ldap_source(found["ldap"], found["ldap_every"], found["parents"]))
    return sources


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the pages."""
    store = open_store(context.settings["db_url"])
    return [keep_reading(store, sources_of(context))]


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    store = open_store(context.settings["db_url"])
    return [(context.prefix, GroupsPage, {"context": context, "store": store})]
