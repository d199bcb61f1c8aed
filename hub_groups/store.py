"""The membership tables, and the only SQL about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache

import sqlalchemy as sa

from .database import open_engine, reading, writing
from .memberships import MANAGER, MANUAL, Known, Membership, Merge, merge

metadata = sa.MetaData()

membership = sa.Table(
    "membership",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("since", sa.Text, nullable=False),  # UTC, ISO 8601
)
sa.Index("membership_by_source", membership.c.source)
sa.Index("membership_by_group", membership.c.group)

# What the last merge gave the hub: without it, what people set by hand can't be told from ours.
applied = sa.Table(
    "applied",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("group", sa.Text, primary_key=True),
)


@dataclass(frozen=True)
class Standing:
    """A membership as it stands in the store, with the time (UTC, ISO 8601) since when."""

    membership: Membership
    since: str


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class GroupStore:
    """Memberships by source, in a database of their own."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        metadata.create_all(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    def replace_source(self, source: str, memberships: Iterable[Membership]) -> None:
        """Make `memberships` all that `source` says; other sources are left alone.

        Memberships that were there before keep their `since`.
        """
        with writing(self.engine) as db:
            _replace(db, _memberships(db, membership.c.source == source), memberships)

    def sync_user(
        self, user: str, current: Iterable[str], source: str = "", groups: Iterable[str] = ()
    ) -> Merge:
        """Merge all sources into the groups that `user` is to have in the hub, and remember them.

        Args:
            user: the hub's user name.
            current: the user's groups in the hub now.
            source: the source that has just spoken (a login), if any.
            groups: what that source says; it replaces what it said before.
        """
        with writing(self.engine) as db:
            # By user alone: a database may think little of a condition on the source, which
            # almost all memberships can have.
            mine = _memberships(db, membership.c.user == user)
            if source:
                said = {Membership(user, group, source) for group in groups}
                _replace(db, {one for one in mine if one.source == source}, said)
            before = _known(db, user).get(user, Known())
            result = merge(current, before)
            manual = {Membership(user, group, MANUAL) for group in result.by_hand}
            _replace(db, {one for one in mine if one.source == MANUAL}, manual)
            if result.groups != before.applied:
                db.execute(sa.delete(applied).where(applied.c.user == user))
                if result.groups:
                    db.execute(
                        sa.insert(applied), [{"user": user, "group": g} for g in result.groups]
                    )
            return result

    def known(self) -> dict[str, Known]:
        """What is known about each user of whom anything is."""
        with reading(self.engine) as db:
            return _known(db)

    def standings(
        self,
        user: str | None = None,
        groups: Iterable[str] | None = None,
        role: str | None = None,
    ) -> list[Standing]:
        """Memberships, by group and user: of one user, of some groups, of a role, or all."""
        query = sa.select(membership).order_by(
            membership.c.group, membership.c.user, membership.c.source
        )
        if user is not None:
            query = query.where(membership.c.user == user)
        if groups is not None:
            query = query.where(membership.c.group.in_(list(groups)))
        if role is not None:
            query = query.where(membership.c.role == role)
        with reading(self.engine) as db:
            return [
                Standing(Membership(row.user, row.group, row.source, row.role), row.since)
                for row in db.execute(query)
            ]

    def managers(self, groups: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The managers of each of `groups`, by name."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for standing in self.standings(groups=groups, role=MANAGER):
            found[standing.membership.group].add(standing.membership.user)
        return {group: tuple(sorted(users)) for group, users in found.items()}

    def managed_by(self, user: str) -> tuple[str, ...]:
        """The groups that `user` manages, without those below them."""
        return tuple(sorted({s.membership.group for s in self.standings(user, role=MANAGER)}))


@lru_cache
def open_store(url: str) -> GroupStore:
    """The one store of this process for a database."""
    return GroupStore(url)


def _known(db: sa.Connection, user: str | None = None) -> dict[str, Known]:
    """By user; of all users, or of one."""
    found: defaultdict[str, dict[str, set[str]]]
    found = defaultdict(lambda: {"applied": set(), "sourced": set(), "by_hand": set()})
    memberships = sa.select(membership.c.user, membership.c.group, membership.c.source)
    given = sa.select(applied.c.user, applied.c.group)
    if user is not None:
        memberships = memberships.where(membership.c.user == user)
        given = given.where(applied.c.user == user)
    for row in db.execute(memberships):
        found[row.user]["by_hand" if row.source == MANUAL else "sourced"].add(row.group)
    for had in db.execute(given):
        found[had.user]["applied"].add(had.group)
    return {
        name: Known(**{what: frozenset(groups) for what, groups in sets.items()})
        for name, sets in found.items()
    }


def _memberships(db: sa.Connection, scope: sa.ColumnElement[bool]) -> set[Membership]:
    rows = db.execute(sa.select(membership).where(scope))
    return {Membership(row.user, row.group, row.source, row.role) for row in rows}


def _replace(db: sa.Connection, before: set[Membership], after: Iterable[Membership]) -> None:
    """Make rows of `after` of those of `before`, touching only what differs."""
    after = set(after)
    for gone in before - after:
        db.execute(
            sa.delete(membership).where(
                membership.c.user == gone.user,
                membership.c.group == gone.group,
                membership.c.source == gone.source,
            )
        )
    new = [
        {"user": m.user, "group": m.group, "source": m.source, "role": m.role, "since": _now()}
        for m in sorted(after - before)
    ]
    if new:
        db.execute(sa.insert(membership), new)
