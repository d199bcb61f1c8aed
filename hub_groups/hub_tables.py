"""The hub's own tables of users and groups: what is written there, and heard of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from jupyterhub import orm

from .pending import Pair

_seats = orm.user_group_map
_LOOK_UPS = 50
"""Seats in one query. SQLite looks up each of its users in each of its groups; a query for pairs
would have it read the whole table."""
_stand_up = sa.delete(_seats).where(
    _seats.c.user_id == sa.bindparam("u"), _seats.c.group_id == sa.bindparam("g")
)


def write(db: Any, pairs: Sequence[Pair], users: Mapping[str, int]) -> set[Pair]:
    """Bring pairs to the hub's database; returns those that were in it and are no more.

    Args:
        users: the hub's ids of their users.
    """
    groups = ids(db, orm.Group, {pair.group for pair in pairs})
    new = {pair.group for pair in pairs if pair.wanted} - groups.keys()
    if new:
        db.execute(sa.insert(orm.Group), [{"name": name} for name in sorted(new)])
        groups |= ids(db, orm.Group, new)
    known = [
        (pair, (users[pair.user], groups[pair.group])) for pair in pairs if pair.group in groups
    ]
    here = _taken(db, [ids for _pair, ids in known])
    put = [ids for pair, ids in known if pair.wanted and ids not in here]
    gone = [(pair, ids) for pair, ids in known if not pair.wanted and ids in here]
    if put:
        db.execute(sa.insert(_seats), [{"user_id": u, "group_id": g} for u, g in put])
    if gone:  # all in one call; the connection's own, as the session makes a plan for each
        db.connection().execute(_stand_up, [{"u": u, "g": g} for _pair, (u, g) in gone])
    changed = [*put, *(ids for _pair, ids in gone)]
    if changed:
        _forget(db, changed)
    db.commit()
    return {pair for pair, _seat in gone}


def ids(db: Any, kind: Any, names: Collection[str]) -> dict[str, int]:
    """Of users or groups, by name."""
    rows = db.execute(sa.select(kind.name, kind.id).where(kind.name.in_(names)))
    return {row.name: row.id for row in rows}


def active_users(db: Any, since: datetime) -> dict[int, str]:
    """Names by id of users who have a server, or were active since then.

    Args:
        since: UTC, without a time zone, as the hub has it.
    """
    serving = sa.select(orm.Spawner.user_id).where(orm.Spawner.server_id.isnot(None))
    here = sa.or_(orm.User.last_activity > since, orm.User.id.in_(serving))
    rows = db.execute(sa.select(orm.User.id, orm.User.name).where(here))
    return {row.id: row.name for row in rows}


def _taken(db: Any, seats: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these seats that are taken, and some more."""
    found: set[tuple[int, int]] = set()
    for start in range(0, len(seats), _LOOK_UPS):
        users, groups = zip(*seats[start : start + _LOOK_UPS], strict=True)
        query = sa.select(_seats.c.user_id, _seats.c.group_id).where(
            _seats.c.user_id.in_(set(users)), _seats.c.group_id.in_(set(groups))
        )
        found.update(tuple(row) for row in db.connection().execute(query))
    return found


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


def listen_to_users(renamed: Callable[[str, str], None], deleted: Callable[[str], None]) -> None:
    """Hear of the hub's users as it writes them.

    Args:
        renamed: gets the old and the new name.
    """

    def after_update(_mapper: Any, _connection: Any, user: Any) -> None:
        history = sa.inspect(user).attrs.name.history
        if history.deleted and history.added:
            renamed(history.deleted[0], history.added[0])

    def after_delete(_mapper: Any, _connection: Any, user: Any) -> None:
        deleted(user.name)

    sa.event.listen(orm.User, "after_update", after_update)
    sa.event.listen(orm.User, "after_delete", after_delete)
