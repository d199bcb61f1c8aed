"""The tables of limits and of the ledger, and the only SQL about them.

One transaction reads, decides and appends, so nothing can be oversubscribed. Points are only ever
appended.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from hub_groups.database import open_engine, reading, writing

from .decision import Amounts, Decision, decide
from .ledger import Point, negative, pack, step, unpack
from .limits import GROUP, Limit, changes, covers, parse_limit, path

metadata = sa.MetaData()

limit_table = sa.Table(
    "limits",
    metadata,
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("amount", sa.Text, nullable=False),  # as written; `8G`
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
)

subject = sa.Table(
    "subject",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),  # '' for the group itself, else one member of it
    sa.UniqueConstraint("user", "group"),
)

point = sa.Table(
    "point",
    metadata,
    sa.Column("subject", sa.ForeignKey("subject.id"), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),  # microseconds since 1970, UTC
    sa.Column("state", sa.Text, nullable=False),  # see ledger.pack
    sqlite_with_rowid=False,
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("server", sa.Text, nullable=False),  # '' is the default server
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("granted", sa.Text, nullable=False),
    sa.Column("subjects", sa.Text, nullable=False),  # charged at the time: groups may move later
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("reason", sa.Text),
)
_open = session.c.closed_at.is_(None)
sa.Index("session_open", session.c.user, sqlite_where=_open, postgresql_where=_open)


@dataclass(frozen=True)
class Session:
    """A server that is charged for.

    Attributes:
        id: its own, as users and servers can be renamed.
        opened_at: microseconds since 1970, UTC.
    """

    id: str
    user: str
    server: str
    group: str
    granted: Amounts
    opened_at: int


@dataclass(frozen=True)
class Answer:
    """What `reserve` came to: the decision that admits, or those that refuse, in their order."""

    decisions: tuple[Decision, ...]

    @property
    def granted(self) -> Decision | None:
        last = self.decisions[-1]
        return last if last.allowed else None


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class QuotaStore:
    """Limits and the ledger, in a database of their own."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        metadata.create_all(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    # -- limits ------------------------------------------------------------------------------

    def limits(self) -> list[Limit]:
        """All limits, by group and key."""
        with reading(self.engine) as db:
            return _limits(db)

    def set_limit(self, group: str, key: str, limit: Limit | None, who: str, via: str) -> None:
        """Set one limit, or remove it (None). Holds from the next start of a server on.

        Args:
            who: the user who does it, for the audit log.
            via: by what means: `page`, `cli`.
        """
        with writing(self.engine) as db:
            before = {old.key: old for old in _limits(db, [group])}.get(key)
            _change(db, before, limit, who, via)

    def apply(self, limits: Iterable[Limit], who: str, via: str) -> None:
        """Make `limits` all that there are."""
        with writing(self.engine) as db:
            for before, after in changes(_limits(db), limits):
                _change(db, before, after, who, via)

    # -- sessions ----------------------------------------------------------------------------

    def reserve(
        self, id: str, user: str, server: str, groups: Iterable[str], request: Amounts
    ) -> Answer:
        """Charge the first of `groups` that admits `request`, and open a session for it.

        Decided and written in one transaction. The same id again gives the same session.

        Args:
            groups: at least one, in the order in which to try them.
        """
        with writing(self.engine) as db:
            decisions = []
            for group in groups:
                limits = _limits(db, path(group))
                decision = decide(
                    group, request, limits, lambda limit: _in_use(db, limit, user).rate
                )
                decisions.append(decision)
                if decision.allowed:
                    _open_session(db, id, user, server, decision)
                    break
            return Answer(tuple(decisions))

    def close_session(self, id: str, reason: str, at: int | None = None) -> bool:
        """End a session; False where it had ended already, or never began.

        Args:
            at: when it ended, if not now; microseconds since 1970, UTC.
        """
        with writing(self.engine) as db:
            row = db.execute(sa.select(session).where(session.c.id == id, _open)).first()
            if row is None:
                return False
            ended = max(row.opened_at, now() if at is None else at)
            _append(db, json.loads(row.subjects), ended, negative(json.loads(row.granted)))
            db.execute(
                sa.update(session).where(session.c.id == id).values(closed_at=ended, reason=reason)
            )
            return True

    def open_sessions(self, user: str | None = None) -> list[Session]:
        """Sessions that have not ended: of one user, or of all."""
        query = sa.select(session).where(_open).order_by(session.c.opened_at)
        if user is not None:
            query = query.where(session.c.user == user)
        with reading(self.engine) as db:
            return [
                Session(r.id, r.user, r.server, r.group, json.loads(r.granted), r.opened_at)
                for r in db.execute(query)
            ]

    def seen(self, ids: Iterable[str]) -> None:
        """These sessions run at this moment."""
        rows = [{"this": id, "at": now()} for id in ids]
        if rows:
            statement = sa.update(session).where(session.c.id == sa.bindparam("this"), _open)
            with writing(self.engine) as db:
                db.execute(statement.values(seen_at=sa.bindparam("at")), rows)

    def last_seen(self, id: str) -> int | None:
        """When a session was last known to run; microseconds since 1970, UTC."""
        with reading(self.engine) as db:
            return db.scalar(sa.select(session.c.seen_at).where(session.c.id == id))

    def explain(self, user: str, group: str, request: Amounts) -> Decision:
        """What `reserve` would say, without reserving."""
        with reading(self.engine) as db:
            limits = _limits(db, path(group))
            return decide(group, request, limits, lambda limit: _in_use(db, limit, user).rate)

    def group_use(self) -> dict[str, Amounts]:
        """What each group that was ever charged has in use now, with what is below it."""
        last = (
            sa.select(point.c.state)
            .where(point.c.subject == subject.c.id)
            .order_by(point.c.at.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = sa.select(subject.c.group, last.label("state")).where(subject.c.user == "")
        with reading(self.engine) as db:
            return {
                row.group: unpack(0, json.loads(row.state)).rate
                for row in db.execute(query)
                if row.state
            }


@lru_cache
def open_store(url: str) -> QuotaStore:
    """The one store of this process for a database."""
    return QuotaStore(url)


def _limits(db: sa.Connection, groups: Iterable[str] | None = None) -> list[Limit]:
    query = sa.select(limit_table).order_by(limit_table.c.group, limit_table.c.key)
    if groups is not None:
        query = query.where(limit_table.c.group.in_(list(groups)))
    return [parse_limit(row.group, row.key, row.amount) for row in db.execute(query)]


def _change(
    db: sa.Connection, before: Limit | None, after: Limit | None, who: str, via: str
) -> None:
    """Write one limit and its line in the audit log; nothing where nothing changes."""
    limit = after or before
    if limit is None or before == after:
        return
    here = (limit_table.c.group == limit.group) & (limit_table.c.key == limit.key)
    db.execute(sa.delete(limit_table).where(here))
    if after:
        values = {"group": after.group, "key": after.key, "amount": after.text}
        db.execute(sa.insert(limit_table).values(values))
    db.execute(
        sa.insert(audit).values(
            at=now(),
            who=who,
            via=via,
            group=limit.group,
            key=limit.key,
            before=before and before.text,
            after=after and after.text,
        )
    )


def _in_use(db: sa.Connection, limit: Limit, user: str) -> Point:
    """The use that counts for a limit: the group's, or the member's in it and below it."""
    if limit.scope == GROUP:
        return _last(db, _subject(db, limit.group, "")) or Point(0)
    mine = db.execute(sa.select(subject).where(subject.c.user == user)).all()
    rate: defaultdict[str, int] = defaultdict(int)
    for row in mine:
        if covers(limit.group, row.group) and (last := _last(db, row.id)):
            for name, amount in last.rate.items():
                rate[name] += amount
    return Point(0, {}, dict(rate))


def _open_session(db: sa.Connection, id: str, user: str, server: str, decision: Decision) -> None:
    if db.scalar(sa.select(session.c.id).where(session.c.id == id)):
        return
    charged = [(decision.group, user), *((group, "") for group in path(decision.group))]
    subjects = [_subject(db, group, member, create=True) for group, member in charged]
    opened = _append(db, subjects, now(), decision.amounts)
    db.execute(
        sa.insert(session).values(
            id=id,
            user=user,
            server=server,
            group=decision.group,
            granted=json.dumps(dict(decision.amounts)),
            subjects=json.dumps(subjects),
            opened_at=opened,
            seen_at=opened,
        )
    )


def _subject(db: sa.Connection, group: str, user: str, create: bool = False) -> Any:
    """The subject's id; None where there is none yet and none is to be made."""
    here = (subject.c.user == user) & (subject.c.group == group)
    id = db.scalar(sa.select(subject.c.id).where(here))
    if id is None and create:
        made = db.execute(sa.insert(subject).values(group=group, user=user))
        return made.inserted_primary_key[0]  # type: ignore[index]
    return id


def _last(db: sa.Connection, id: int | None) -> Point | None:
    query = (
        sa.select(point.c.at, point.c.state)
        .where(point.c.subject == id)
        .order_by(point.c.at.desc())
        .limit(1)
    )
    row = db.execute(query).first() if id is not None else None
    return unpack(row.at, json.loads(row.state)) if row else None


def _append(db: sa.Connection, subjects: list[int], at: int, change: Mapping[str, int]) -> int:
    """A new point for each subject, all at one instant, which is returned.

    It is no earlier than the last point of any of them. Two events at one instant leave one
    point: the piece of the curve between them has no length.
    """
    last = {id: _last(db, id) for id in subjects}
    at = max(at, *(found.at for found in last.values() if found), 0)
    for id, before in last.items():
        after = step(before, at, change)
        if before and before.at == at:
            here = (point.c.subject == id) & (point.c.at == at)
            db.execute(sa.delete(point).where(here))
        values = {"subject": id, "at": at, "state": json.dumps(pack(after))}
        db.execute(sa.insert(point).values(values))
    return at
