"""Brings the hub's own groups to what the store says, in slices that nobody notices.

Runs in the hub's process, beside it: what a directory, a roster or somebody on a page has changed
is in the hub within a second, without a login.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from jupyterhub import orm

from . import pending
from .pending import Pair
from .store import GroupStore

log = logging.getLogger("JupyterHub.groups")

_TICK_SECONDS = 1
_BATCH = 400
"""Pairs at a time: a few milliseconds of the hub's event loop."""
_RETRY_SECONDS = 10
_HOLD_SECONDS = 5
"""From a merge to when the hub has made a user's groups what it came to."""

_seats = orm.user_group_map


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
        except Exception:
            log.exception("Groups can't be brought to the hub now; trying again")
            app.db.rollback()
            await asyncio.sleep(_RETRY_SECONDS)


async def write_some(app: Any, store: GroupStore) -> bool:
    """Bring one batch to the hub; returns whether there was any."""
    pairs = await asyncio.to_thread(pending.take, store, _BATCH, merging.users())
    busy = merging.users()
    pairs = [pair for pair in pairs if pair.user not in busy]
    if not pairs:
        return False
    users = _ids(app.db, orm.User, {pair.user for pair in pairs})
    known = [pair for pair in pairs if pair.user in users]
    left = write(app.db, known, users)  # no await in it: the hub uses the same session
    unknown = [pair for pair in pairs if pair.user not in users]
    await asyncio.to_thread(pending.settle, store, known, left, unknown)
    return True


def write(db: Any, pairs: Sequence[Pair], users: Mapping[str, int]) -> list[Pair]:
    """Bring pairs to the hub's database; returns those that were in it and are no more.

    Args:
        users: the hub's ids of their users.
    """
    groups = _ids(db, orm.Group, {pair.group for pair in pairs})
    new = {pair.group for pair in pairs if pair.wanted} - groups.keys()
    if new:
        db.execute(sa.insert(orm.Group), [{"name": name} for name in sorted(new)])
        groups |= _ids(db, orm.Group, new)
    known = [
        (pair, (users[pair.user], groups[pair.group])) for pair in pairs if pair.group in groups
    ]
    here = {
        (row.user_id, row.group_id)
        for row in db.execute(
            sa.select(_seats).where(
                _seats.c.user_id.in_({ids[0] for _pair, ids in known}),
                _seats.c.group_id.in_({ids[1] for _pair, ids in known}),
            )
        )
    }
    put = [ids for pair, ids in known if pair.wanted and ids not in here]
    gone = [(pair, ids) for pair, ids in known if not pair.wanted and ids in here]
    if put:
        db.execute(sa.insert(_seats), [{"user_id": u, "group_id": g} for u, g in put])
    for _pair, (user, group) in gone:
        db.execute(sa.delete(_seats).where(_seats.c.user_id == user, _seats.c.group_id == group))
    changed = [*put, *(ids for _pair, ids in gone)]
    if changed:
        _forget(db, changed)
    db.commit()
    return [pair for pair, _ids_ in gone]


def _ids(db: Any, kind: Any, names: Collection[str]) -> dict[str, int]:
    rows = db.execute(sa.select(kind.name, kind.id).where(kind.name.in_(names)))
    return {row.name: row.id for row in rows}


def _forget(db: Any, changed: Sequence[tuple[int, int]]) -> None:
    """What the hub has of them in memory is read anew when it is needed."""
    for kind, attribute, ids in (
        (orm.User, "groups", {user for user, _group in changed}),
        (orm.Group, "users", {group for _user, group in changed}),
    ):
        for id in ids:
            found = db.identity_map.get(sa.orm.util.identity_key(kind, id))
            if found is not None:
                db.expire(found, [attribute])


async def keep_stopping(app: Any, store: GroupStore, grace: int) -> None:
    """Stop the servers of who has left a group, some time after.

    Args:
        grace: seconds.
    """
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        try:
            due = await asyncio.to_thread(pending.left_before, store, store.clock() - grace)
            for user, group in due:
                _stop(app, user, group)
            if due:
                await asyncio.to_thread(pending.forget_leaving, store, due)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("Servers of who has left a group can't be stopped now; trying again")
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
        charged = getattr(spawner, "charged_group", None)
        # Where servers are charged to no group, they go with the last one.
        concerned = charged == group.strip("/") if charged else not groups
        if spawner.ready and concerned:
            log.warning("Stopping %s: %s is no longer in %s", spawner._log_name, name, group)
            task = asyncio.ensure_future(user.stop(spawner.name))
            _stopping.add(task)
            task.add_done_callback(_stopping.discard)
