"""How memberships are written: each change together with what the hub has to be told of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from .memberships import MEMBER, Membership, usable
from .schema import archived, event, leaving, membership, pending

# What a change is about, for as long as it takes: so that the database does it all in one go,
# however much it is.
_delta = sa.Table(
    "delta",
    sa.MetaData(),
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger),
    sa.Column("gone", sa.Boolean, nullable=False),
    prefixes=["TEMPORARY"],
)


def new_stamp() -> int:
    """What no other change of a pair has."""
    return random.getrandbits(62)  # noqa: S311 - no secret


def upsert(db: sa.Connection, table: sa.Table, *takes: str, either: str = "") -> Any:
    """An insert. Of a row with the same key that is there, `takes` become those of the new one, and
    `either` is true where it was or the new one is; without any, it stays as it is."""
    return _upsert(db.dialect.name, table, takes, either)


@lru_cache
def _upsert(dialect: str, table: sa.Table, takes: tuple[str, ...], either: str) -> Any:
    """Kept: it takes longer to make than the database takes for it, and logins wait."""
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if not takes:
        return insert.on_conflict_do_nothing()
    set_: dict[str, Any] = {name: insert.excluded[name] for name in takes}
    if either:
        set_[either] = sa.or_(table.c[either], insert.excluded[either])
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=set_)


def await_hub(db: sa.Connection, found: sa.Select[Any]) -> None:
    """Put pairs on the list of what the hub has to be told.

    Args:
        found: user, group, whether the hub may have had them by us, and a stamp.
    """
    columns = ("user", "group", "had", "stamp")
    # It may have them since they wait: a login writes there too, and is killed like all else.
    put = upsert(db, pending, "stamp", "asleep", either="had")
    db.execute(put.from_select(columns, found))


def write(
    db: sa.Connection,
    at: int,
    put: Iterable[Membership] = (),
    gone: Iterable[Membership] = (),
    by: str = "",
) -> None:
    """Write memberships and delete others, of any sources.

    Those that are there already keep their `since` and who added them.

    Args:
        at: the present, in seconds.
        by: who adds them; empty where the source says it all.
    """
    rows = [_row(one, False) for one in put if usable(one.user) and usable(one.group)]
    rows += [_row(one, True) for one in gone]
    if not rows:
        return
    _delta.create(db, checkfirst=True)
    db.execute(sa.delete(_delta))
    db.execute(sa.insert(_delta), rows)
    _note_pending(db)
    pairs = sa.select(_delta.c.user, _delta.c.group, _delta.c.source).where(_delta.c.gone)
    key = sa.tuple_(membership.c.user, membership.c.group, membership.c.source)
    db.execute(sa.delete(membership).where(key.in_(pairs)))
    columns = ("user", "group", "source", "role", "since", "until", "added_by")
    new = sa.select(
        *(_delta.c[name] for name in columns[:4]),
        sa.literal(at, sa.BigInteger),
        _delta.c.until,
        sa.literal(by),
    ).where(sa.not_(_delta.c.gone))
    db.execute(upsert(db, membership, "role", "until").from_select(columns, new))


def write_own(
    db: sa.Connection, at: int, put: Iterable[Membership], gone: Iterable[Membership]
) -> None:
    """The same of one user, whose pending pairs the caller writes (`write_pending`)."""
    if keys := [{"u": one.user, "g": one.group, "s": one.source} for one in gone]:
        db.execute(_DELETE, keys)
    new = [
        {
            **{"user": one.user, "group": one.group, "source": one.source, "role": one.role},
            **{"until": one.until, "since": at},
        }
        for one in put
        if usable(one.user) and usable(one.group)
    ]
    if new:
        db.execute(upsert(db, membership, "role", "until"), new)


_DELETE = sa.delete(membership).where(
    membership.c.user == sa.bindparam("u"),
    membership.c.group == sa.bindparam("g"),
    membership.c.source == sa.bindparam("s"),
)


def write_pending(
    db: sa.Connection, user: str, seen: Mapping[str, int], after: Mapping[str, bool]
) -> None:
    """Which groups the hub may not have as a user's rows say, and whether it had them by us.

    Args:
        seen: the stamps of what has been taken into account. What somebody else has written since
            (which they can on PostgreSQL) goes on waiting.
    """
    if keys := [{"who": user, "what": group, "seen": stamp} for group, stamp in seen.items()]:
        db.execute(UNCHANGED, keys)
    stamp = new_stamp()
    rows = [{"user": user, "group": g, "had": had, "stamp": stamp} for g, had in after.items()]
    if rows:
        db.execute(upsert(db, pending, "stamp", "asleep"), rows)


UNCHANGED = sa.delete(pending).where(
    pending.c.user == sa.bindparam("who"),
    pending.c.group == sa.bindparam("what"),
    pending.c.stamp == sa.bindparam("seen"),
)
"""Takes a pair off the list that nobody has changed since it was `seen`."""


def _row(one: Membership, gone: bool) -> dict[str, Any]:
    return {
        **{"user": one.user, "group": one.group, "source": one.source},
        **{"role": one.role, "until": one.until, "gone": gone},
    }


def _note_pending(db: sa.Connection) -> None:
    """Before the rows change: whether the hub has had each pair by us can be told from them."""
    pair = (_delta.c.user, _delta.c.group)
    had = sa.and_(
        sa.exists().where(membership.c.user == pair[0], membership.c.group == pair[1]),
        ~sa.exists().where(archived.c.group == pair[1]),
    )
    stamp = sa.literal(new_stamp(), sa.BigInteger)
    await_hub(db, sa.select(*pair, had, stamp).distinct().where(sa.true()))


def write_left(db: sa.Connection, at: int, pairs: Iterable[tuple[str, str]]) -> None:
    """Remember which users have left which groups of the hub, for `pending.left_before`."""
    if rows := [{"user": user, "group": group, "at": at} for user, group in pairs]:
        db.execute(upsert(db, leaving, "at"), rows)


_INSERT_EVENT = sa.insert(event)


def log_event(
    db: sa.Connection,
    at: int,
    who: str,
    via: str,
    what: str,
    *,
    group: str = "",
    user: str = "",
    **detail: Any,
) -> None:
    """Say in the audit log who did what.

    Args:
        who: a user, a service or a source.
        via: page, api, cli, hub or sync.
        detail: more, as JSON.
    """
    row = {"at": at, "who": who, "via": via, "what": what, "group": group, "user": user}
    text = json.dumps(detail, sort_keys=True) if detail else ""
    db.execute(_INSERT_EVENT, {**row, "detail": text})


def read(db: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Membership]:
    """The memberships for which all of that holds, also those that have ended."""
    rows = db.execute(sa.select(membership).where(*where))
    return [Membership(row.user, row.group, row.source, row.role, row.until) for row in rows]


def named(memberships: Sequence[Membership], most: int = 50) -> list[str]:
    """The first of them, for the log."""
    return [
        f"{one.user} in {one.group}" + ("" if one.role == MEMBER else f" ({one.role})")
        for one in memberships[:most]
    ]
