"""Which groups the hub has, and who is in them, without asking it at each page."""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import quote

from tornado import httpclient

from hub_groups.access import GROUP_NAMES
from hub_groups.memberships import usable
from hub_groups.store import GroupStore
from hub_groups.web import Context

from .limits import PolicyError
from .policy import group_name

log = logging.getLogger("group-quotas")

_GOOD_FOR = 30
"""Seconds for which what the hub said is good."""
_PATIENCE = 1
"""Seconds for which a page waits for the first list; else it shows what the ledger knows."""
_MOST_GROUPS = 200
"""Whose members are remembered."""


class Directory:
    """The groups of a hub."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names: tuple[str, ...] | None = None
        self._new: dict[str, float] = {}
        self._good_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._members: dict[str, tuple[tuple[str, ...], float]] = {}

    async def groups(self) -> tuple[str, ...]:
        """Their names, as policies have them; what was known last where the hub can't be asked."""
        if time.monotonic() > self._good_until:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._read())
            if self._names is None:
                self._names = ()  # the next page does not wait
                await asyncio.wait([self._task], timeout=_PATIENCE)
        names = self._names or ()
        new = self._new.keys() - names if self._new else ()
        return (*names, *sorted(new))

    async def look_for(self, name: str, memberships: GroupStore) -> None:
        """Know a group from now on that has members and is not in the hub: it was made just now, or
        nobody in it has logged in yet."""
        present = time.monotonic()
        self._new = {one: until for one, until in self._new.items() if until > present}
        if name in await self.groups() or not usable(name):
            return
        if await asyncio.to_thread(memberships.sizes, [name]):
            self._new[name] = present + _GOOD_FOR

    async def _read(self) -> None:
        try:
            found = await self._context.hub_api(GROUP_NAMES)
        except (httpclient.HTTPError, OSError) as error:
            log.warning("The hub can't be asked for its groups: %s", error)
        else:
            self._names = tuple(name for name in map(_name, found) if name)
        self._good_until = time.monotonic() + _GOOD_FOR

    async def members(self, group: str) -> tuple[str, ...]:
        """Who is in a group by the hub itself, without those of groups below it; nobody where the
        hub can't say so soon."""
        known, good_until = self._members.pop(group, ((), 0.0))
        self._members[group] = known, good_until  # the last one used goes last
        if time.monotonic() > good_until:
            task = asyncio.create_task(self._read_members(group))
            if not known:
                await asyncio.wait([task], timeout=_PATIENCE / 5)
        return self._members.get(group, (known, 0.0))[0]

    async def _read_members(self, group: str) -> None:
        users = self._members.get(group, ((), 0.0))[0]
        self._members[group] = users, time.monotonic() + _GOOD_FOR
        for name in (group, f"/{group}"):
            try:
                found = await self._context.hub_api(f"{GROUP_NAMES}/{quote(name, safe='')}")
                users = tuple(found)
                break
            except httpclient.HTTPError as error:
                if error.code != 404:
                    log.warning("The hub can't be asked who is in %s: %s", group, error)
            except OSError as error:
                log.warning("The hub can't be asked who is in %s: %s", group, error)
        self._members[group] = users, time.monotonic() + _GOOD_FOR
        while len(self._members) > _MOST_GROUPS:
            self._members.pop(next(iter(self._members)))


def _name(name: str) -> str:
    try:
        return group_name(name)
    except PolicyError:
        return ""
