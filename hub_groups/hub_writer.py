"""Brings the hub's own groups to what the store says, in slices that nobody notices.

Runs in the hub's process, beside it: what a directory, a roster or somebody on a page has changed
is in the hub within a second, without a login.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from jupyterhub import orm

from . import pending
from .hub_tables import ids, write
from .store import GroupStore, StoreError

log = logging.getLogger("JupyterHub.groups")

_TICK_SECONDS = 1
_BATCH = 1000
"""Pairs at a time, of the store."""
_SLICE = 200
"""Of these, so many go to the hub at a time: a few milliseconds of its event loop."""
_RETRY_SECONDS = 10
_FORGET_SECONDS = 600
"""From one time that those who have left are forgotten to the next, where nothing comes of it."""
_HOLD_SECONDS = 5
"""From a merge to when the hub has made a user's groups what it came to."""


class Merging:
    """Users whose groups the hub is about to replace as a whole: nothing else may touch them."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def begin(self, user: str) -> None:
        """Before their groups are read."""
        self._running[user] = self._running.get(user, 0) + 1

    def end(self, user: str) -> None:
        """When it is known what they come to."""
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        self._until[user] = time.monotonic() + _HOLD_SECONDS

    def users(self) -> set[str]:
        at = time.monotonic()
        self._until = {user: until for user, until in self._until.items() if until > at}
        return {*self._running, *self._until}


merging = Merging()
"""Of this hub."""


async def keep_writing(app: Any, store: GroupStore) -> None:
    """For as long as the hub lives. Where its database or ours fails, again a little later."""
    some = False
    while True:
        await asyncio.sleep(0 if some else _TICK_SECONDS)
        if app.http_server is None:  # the hub is still coming up
            continue
        try:
            some = await write_some(app, store)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log("Groups can't be brought to the hub now; trying again", error)
            app.db.rollback()
            await asyncio.sleep(_RETRY_SECONDS)


def _log(what: str, error: Exception) -> None:
    """In a line what admins can see to, with its traceback what we would have to."""
    if isinstance(error, StoreError):
        log.error("%s: %s", what, error.orig)
    else:
        log.error(what, exc_info=error)


async def write_some(app: Any, store: GroupStore) -> bool:
    """Bring one batch to the hub; returns whether there was any."""
    began = time.monotonic()
    pairs = await asyncio.to_thread(pending.take, store, _BATCH, merging.users())
    done: list[pending.Pair] = []
    left: set[pending.Pair] = set()
    unknown: list[pending.Pair] = []
    try:
        for start in range(0, len(pairs), _SLICE):
            if start and time.monotonic() - began > _HOLD_SECONDS / 2:
                break  # whose groups were replaced since is soon no longer known: take anew
            await asyncio.sleep(0)
            busy = merging.users()
            some = [pair for pair in pairs[start : start + _SLICE] if pair.user not in busy]
            if not some:
                continue
            users = ids(app.db, orm.User, {pair.user for pair in some})
            known = [pair for pair in some if pair.user in users]
            left |= write(app.db, known, users)  # no await in it: the hub uses the same session
            done += known
            unknown += [pair for pair in some if pair.user not in users]
    finally:  # what was written is, also where the next slice fails
        if done or unknown:
            await asyncio.to_thread(pending.settle, store, done, left, unknown)
    return bool(done or unknown)


async def keep_stopping(app: Any, store: GroupStore, grace: int, stop: bool) -> None:
    """Stop the servers of who has left a group, some time after.

    Args:
        grace: seconds.
        stop: or let them run, and forget who has left.
    """
    while True:
        await asyncio.sleep(_TICK_SECONDS if stop else _FORGET_SECONDS)
        try:
            due = await asyncio.to_thread(pending.left_before, store, store.clock() - grace)
            for user, group in due if stop else ():
                _stop(app, user, group)
            if due:
                await asyncio.to_thread(pending.forget_leaving, store, due)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log("Servers of who has left a group can't be stopped now; trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)


_stopping: set[asyncio.Task[Any]] = set()


def _stop(app: Any, name: str, group: str) -> None:
    orm_user = orm.User.find(app.db, name)
    if orm_user is None:
        return
    groups = {one.name for one in orm_user.groups}
    if group in groups:
        return  # they have come back
    user = app.users[orm_user]
    for spawner in list(user.spawners.values()):
        charged = getattr(spawner, "charged_group", "")  # by hub_quotas
        # Where servers are charged to no group, they go with the last one.
        concerned = charged == group.strip("/") if charged else not groups
        if spawner.ready and concerned:
            log.warning("Stopping %s: %s is no longer in %s", spawner._log_name, name, group)
            task = asyncio.ensure_future(user.stop(spawner.name))
            _stopping.add(task)
            task.add_done_callback(_stopping.discard)
