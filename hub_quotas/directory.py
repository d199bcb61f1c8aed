"""Which groups the hub has, and who is in them, without asking it at each page."""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import quote

from tornado import httpclient

from hub_groups.web import Context

from .limits import PolicyError
from .policy import group_name

log = logging.getLogger("group-quotas")

_GOOD_FOR = 30
"""Seconds for which the hub's list of groups is good; a longer one is asked for meanwhile."""


class Directory:
    """The groups of a hub."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names: tuple[str, ...] | None = None
        self._read_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def groups(self) -> tuple[str, ...]:
        """Their names, as policies have them; what was known last where the hub can't be asked."""
        if self._names is None or time.monotonic() - self._read_at > _GOOD_FOR:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._read())
            if self._names is None:
                await asyncio.shield(self._task)
        return self._names or ()

    async def _read(self) -> None:
        try:
            found = await self._context.hub_list("groups", limit="200")
        except (httpclient.HTTPError, OSError) as error:
            log.warning("The hub can't be asked for its groups: %s", error)
            self._read_at = time.monotonic()
            return
        self._names = tuple(name for group in found if (name := _name(group["name"])))
        self._read_at = time.monotonic()

    async def members(self, group: str) -> tuple[str, ...]:
        """Who is in a group by the hub itself, without those of groups below it."""
        for name in (group, f"/{group}"):
            try:
                model = await self._context.hub_api(f"groups/{quote(name, safe='')}")
            except httpclient.HTTPError as error:
                if error.code == 404:
                    continue
                raise
            return tuple(sorted(model.get("users", ())))
        return ()


def _name(name: str) -> str:
    try:
        return group_name(name)
    except PolicyError:
        return ""
