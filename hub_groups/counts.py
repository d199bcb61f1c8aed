"""How many there are of what: for the metrics and the page of the sources."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import sqlalchemy as sa

from .database import reading
from .schema import archived, event, join_request, membership, pending
from .store import GroupStore

# What has ended is taken out within seconds (`pending.lapse`), so that none of these has to look at
# the end of each membership: the indexes alone say it all.


@dataclass(frozen=True)
class Sizes:
    """Members by group.

    Attributes:
        largest: the groups with most members, the largest first.
        groups: how many groups have members.
        memberships: of all groups: who is in two groups counts twice.
    """

    largest: dict[str, int]
    groups: int
    memberships: int


@dataclass(frozen=True)
class Waiting:
    """What is not done yet, or over.

    Attributes:
        pairs: of user and group that the hub has to be told of.
        asleep: those of users whom the hub does not know yet.
        requests: to join a group, which wait for a manager.
        archived: groups that are over.
    """

    pairs: int
    asleep: int
    requests: int
    archived: int


def last_change(store: GroupStore) -> int:
    """The number of the last entry of the audit log: where it is the same, all counts are."""
    with reading(store.engine) as db:
        return db.scalar(sa.select(sa.func.max(event.c.id))) or 0


def by_source(store: GroupStore) -> dict[str, int]:
    """Memberships by source."""
    query = sa.select(membership.c.source, sa.func.count()).group_by(membership.c.source)
    with reading(store.engine) as db:
        return {row[0]: row[1] for row in db.execute(query)}


def sizes(store: GroupStore, most: int) -> Sizes:
    """Members of groups.

    Args:
        most: how many groups are named.
    """
    pairs = sa.select(membership.c.group, membership.c.user).distinct().subquery()
    query = sa.select(pairs.c.group, sa.func.count()).group_by(pairs.c.group)
    with reading(store.engine) as db:
        found = {row[0]: row[1] for row in db.execute(query)}
    largest = heapq.nsmallest(most, found.items(), key=lambda item: (-item[1], item[0]))
    return Sizes(dict(largest), len(found), sum(found.values()))


def waiting(store: GroupStore) -> Waiting:
    """What is not done yet, or over."""

    def count(table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(table).where(*where).scalar_subquery()

    query = sa.select(
        count(pending, pending.c.asleep.is_(False)),
        count(pending, pending.c.asleep.is_(True)),
        count(join_request, join_request.c.state == "open"),
        count(archived),
    )
    with reading(store.engine) as db:
        return Waiting(*db.execute(query).one())
