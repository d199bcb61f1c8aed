"""The pages for members and managers: my groups, a group's members, joining by a link."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .desk import GroupsPage
from .store import Standing
from .web import Context, Routes


class MyGroupsPage(GroupsPage):
    """My groups and where each membership comes from; for admins and managers, who else is in."""

    async def get(self) -> None:
        mine = await self.ask(self.store.standings, self.user)
        groups = None if self.access.reads else self.access.managed
        others = await self.ask(self.store.standings, None, groups)
        self.show("groups.html", mine=mine, by_group=_by_group(others))


def _by_group(standings: list[Standing]) -> dict[str, list[Standing]]:
    found: defaultdict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        found[standing.membership.group].append(standing)
    return dict(found)


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [(context.prefix, MyGroupsPage, shared)]
