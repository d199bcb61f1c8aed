"""What the hub has to be told: pairs of user and group that it may not have as the rows say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import sqlalchemy as sa

from .database import reading, writing
from .rows import UNCHANGED, log_event, read, write, write_left
from .schema import archived, leaving, membership, pending
from .store import GroupStore

_here = sa.and_(pending.c.user == sa.bindparam("who"), pending.c.group == sa.bindparam("what"))
_unchanged = pending.c.stamp == sa.bindparam("seen")


@dataclass(frozen=True)
class Pair:
    """A user and a group.

    Attributes:
        wanted: whether the user is to be in it.
        had: whether the hub had them in it by us.
        stamp: of the last change.
    """

    user: str
    group: str
    wanted: bool
    had: bool
    stamp: int


def take(store: GroupStore, limit: int, without: Iterable[str] = ()) -> list[Pair]:
    """Some of what waits, by user; what has ended by now is taken out first.

    Args:
        without: users whose pairs stay.
    """
    lapse(store)
    here = sa.exists().where(
        membership.c.user == pending.c.user,
        membership.c.group == pending.c.group,
        sa.or_(membership.c.until.is_(None), membership.c.until > store.clock()),
    )
    wanted = sa.and_(here, ~sa.exists().where(archived.c.group == pending.c.group))
    query = sa.select(pending, wanted.label("wanted")).where(pending.c.asleep.is_(False))
    query = query.order_by(pending.c.user).limit(limit)
    if skipped := list(without):
        query = query.where(pending.c.user.not_in(skipped))
    with reading(store.engine) as db:
        return [
            Pair(row.user, row.group, bool(row.wanted), bool(row.had), row.stamp)
            for row in db.execute(query)
        ]


def waits(store: GroupStore, user: str, group: str) -> bool:
    """Whether the hub has yet to be told of a user and a group."""
    here = (pending.c.user == user, pending.c.group == group, pending.c.asleep.is_(False))
    with reading(store.engine) as db:
        return db.scalar(sa.select(pending.c.stamp).where(*here)) is not None


def settle(
    store: GroupStore,
    done: Sequence[Pair],
    left: Set[Pair] = frozenset(),
    unknown: Iterable[Pair] = (),
) -> None:
    """The hub has these pairs as they were wanted.

    What has changed again since it was taken goes on waiting.

    Args:
        left: those of them that the hub has just lost.
        unknown: others, of users whom the hub does not know: they wait until it does.
    """
    with writing(store.engine) as db:
        # One by one, in one call: for a list of pairs, SQLite looks at all that waits.
        if _each(db, UNCHANGED, done) < len(done):
            for wanted in (True, False):
                now = sa.update(pending).where(_here).values(had=wanted)
                _each(db, now, [pair for pair in done if pair.wanted == wanted])
        _each(db, sa.update(pending).where(_here, _unchanged).values(asleep=True), unknown)
        # Or has lost before: it may have been killed between its commit and this.
        lost = [p for p in done if p in left or (p.had and not p.wanted)]
        write_left(db, store.clock(), [(pair.user, pair.group) for pair in lost])


def _each(db: sa.Connection, statement: sa.Delete | sa.Update, pairs: Iterable[Pair]) -> int:
    """Returns how many rows there were."""
    rows = [{"who": pair.user, "what": pair.group, "seen": pair.stamp} for pair in pairs]
    return db.execute(statement, rows).rowcount if rows else 0


def lapse(store: GroupStore) -> int:
    """Take out the memberships that have ended; returns how many."""
    at = store.clock()
    ended = sa.and_(membership.c.until.isnot(None), membership.c.until <= at)
    with reading(store.engine) as db:
        if db.scalar(sa.select(membership.c.user).where(ended).limit(1)) is None:
            return 0
    with writing(store.engine) as db:
        rows = read(db, ended)
        write(db, at, gone=rows)
        for one in rows:
            log_event(
                *(db, at, one.source, "sync", "ended"),
                group=one.group,
                user=one.user,
                source=one.source,
                role=one.role,
            )
    return len(rows)


def left_before(store: GroupStore, at: int) -> list[tuple[str, str]]:
    """Who has left which group no later than `at`, and has not come back in the meantime."""
    query = sa.select(leaving.c.user, leaving.c.group).where(leaving.c.at <= at)
    with reading(store.engine) as db:
        return [(row.user, row.group) for row in db.execute(query)]


def forget_leaving(store: GroupStore, pairs: Iterable[tuple[str, str]]) -> None:
    """What was to be done when they had left is done, or they have come back."""
    with writing(store.engine) as db:
        for user, group in pairs:
            db.execute(sa.delete(leaving).where(leaving.c.user == user, leaving.c.group == group))
