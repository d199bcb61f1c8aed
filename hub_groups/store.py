"""The memberships, and the only SQL about them (with `rows`, `pending`, `people` and `record`)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import sqlalchemy as sa

from .database import reading, writing
from .memberships import (
    MANAGER,
    MEMBER,
    Difference,
    Membership,
    Merge,
    Roll,
    difference,
    usable,
)
from .migrate import GROUPS, MigratedDatabase
from .outcome import Said, UserRows, outcome_of
from .rows import log_event, named, write, write_left, write_own, write_pending
from .schema import archived, event, membership, pending, rules

StoreError = sa.exc.OperationalError
"""The database can't be reached, or is locked for too long."""

_ROW, _WAITS, _RULES = range(3)
_EMPTY, _HAD = sa.literal(""), "had"
_USER = sa.union_all(  # of one user, in one look-up: each takes as long as all that it reads
    sa.select(
        sa.literal(_ROW).label("kind"),
        membership.c.group,
        membership.c.source,
        membership.c.role,
        membership.c.until.label("number"),
        sa.exists().where(archived.c.group == membership.c.group).label("closed"),
    ).where(membership.c.user == sa.bindparam("user")),
    sa.select(
        sa.literal(_WAITS),
        pending.c.group,
        *(_EMPTY, sa.case((pending.c.had, _HAD), else_=""), pending.c.stamp, sa.false()),
    ).where(pending.c.user == sa.bindparam("user")),
    sa.select(
        sa.literal(_RULES), *(_EMPTY, _EMPTY, _EMPTY, sa.func.max(rules.c.version), sa.false())
    ),
)
_ARCHIVED = sa.select(archived.c.group).where(
    archived.c.group.in_(sa.bindparam("groups", expanding=True))
)

_BATCH = 20_000
"""Changes in one transaction: others wait no longer than it takes."""


@dataclass(frozen=True)
class Standing:
    """A membership as it stands in the store.

    Attributes:
        since: in seconds since 1970, UTC.
        added_by: who did; empty where the source says it all.
    """

    membership: Membership
    since: int
    added_by: str = ""


@dataclass(frozen=True)
class Member:
    """A user in a group, for all the reasons there are.

    Attributes:
        role: the highest of them.
        standings: one for each source.
    """

    user: str
    role: str
    standings: tuple[Standing, ...] = field(default=())


def now() -> int:
    """In seconds since 1970, UTC."""
    return int(time.time())


class GroupStore(MigratedDatabase):
    """Memberships by source, in a database of their own."""

    def __init__(self, url: str, clock: Callable[[], int] = now) -> None:
        super().__init__(url, GROUPS)
        self.clock = clock

    # -- what sources say ----------------------------------------------------------------------

    def roll(self, source: str, groups: Collection[str] | None = None) -> dict[str, dict[str, str]]:
        """All that a source said last; of some groups, or of all."""
        with reading(self.engine) as db:
            return _roll(db, source, groups)

    def difference(
        self, source: str, roll: Roll, groups: Collection[str] | None = None
    ) -> Difference:
        """What `replace_source` would change."""
        return difference(self.roll(source, groups), _only(roll, groups), source)

    def replace_source(
        self, source: str, roll: Roll, groups: Collection[str] | None = None, by: str = ""
    ) -> Difference:
        """Make `roll` all that `source` says, of some groups or of all; other sources are left
        alone.

        Memberships that were there before keep their `since`. Written in batches: what was
        interrupted goes on with the next roll.
        """
        found = self.difference(source, roll, groups)
        found = Difference(
            tuple(one for one in found.added if usable(one.user) and usable(one.group)),
            found.removed,
            found.changed,
        )
        self.apply(source, found, by)
        return found

    def apply(self, source: str, change: Difference, by: str = "", via: str = "sync") -> None:
        """Write a difference of what a source says."""
        put = change.added + change.changed
        for start in range(0, max(len(put), len(change.removed)), _BATCH):
            some, gone = (all_[start : start + _BATCH] for all_ in (put, change.removed))
            with writing(self.engine) as db:
                at = self.clock()
                write(db, at, some, gone, by)
                log_event(
                    *(db, at, by or source, via, "synced"),
                    group=_only_group((*some, *gone)),
                    source=source,
                    put=len(some),
                    removed=len(gone),
                    names={"put": named(some), "removed": named(gone)},
                )

    def change_source(
        self, source: str, changes: Iterable[tuple[str, str, str | None]], by: str = ""
    ) -> None:
        """Change some of what a source says.

        Args:
            changes: user, group and role; None where the user is not in it any more.
        """
        put: list[Membership] = []
        gone: list[Membership] = []
        for user, group, role in changes:
            one = Membership(user, group, source, role or MEMBER)
            (gone if role is None else put).append(one)
        self.apply(source, Difference(tuple(put), tuple(gone)), by)

    # -- one user ------------------------------------------------------------------------------

    def known(self, user: str) -> UserRows:
        """What there is of one user, for `outcome_of`."""
        with reading(self.engine) as db:
            return _known(db, user)

    def sync_user(
        self,
        user: str,
        current: Iterable[str],
        source: str = "",
        said: Said | None = None,
        *,
        is_new: bool = False,
    ) -> Merge:
        """Merge all sources into the groups that `user` is to have in the hub: `outcome_of`, with
        what it takes written down.

        Costs what the user's own groups cost, and writes nothing where nothing changes.
        """
        found = outcome_of(user, self.known(user), self.clock(), current, source, said, is_new)
        if not found.writes:
            return found.result
        return self.write_user(user, current, source, said, is_new=is_new)

    def write_user(
        self,
        user: str,
        current: Iterable[str],
        source: str = "",
        said: Said | None = None,
        *,
        is_new: bool = False,
    ) -> Merge:
        """The same where it is known that something changes."""
        with writing(self.engine) as db:
            at, rows = self.clock(), _known(db, user)
            found = outcome_of(user, rows, at, current, source, said, is_new)
            new = {one.group for one in found.put} - {one.group for one in rows.memberships}
            if closed := _archived_of(db, new):
                rows = replace(rows, closed=rows.closed | closed)
                found = outcome_of(user, rows, at, current, source, said, is_new)
            write_own(db, at, found.put, found.gone)
            write_left(db, at, [(user, group) for group in found.left])
            write_pending(db, user, rows.stamps, found.result.pending)
            if found.put or found.gone:
                log_event(
                    *(db, at, source or "hub", "hub", "merged"),
                    user=user,
                    put=sorted(f"{one.group} ({one.source})" for one in found.put),
                    removed=sorted(f"{one.group} ({one.source})" for one in found.gone),
                )
        return found.result

    # -- reading -------------------------------------------------------------------------------

    def standings(
        self,
        user: str | None = None,
        groups: Iterable[str] | None = None,
        role: str | None = None,
    ) -> list[Standing]:
        """Memberships that have not ended, by group and user: of one user, of some groups, of a
        role, or all."""
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
            return _standings(db, query.where(_lives(self.clock())))

    def members(
        self, group: str, search: str = "", offset: int = 0, limit: int = 50
    ) -> tuple[list[Member], int]:
        """Some members of a group by name, and how many there are in all."""
        here = sa.and_(membership.c.group == group, _lives(self.clock()))
        if not search.isprintable():  # such as NUL, of which PostgreSQL would not hear
            return [], 0
        if search:
            here = sa.and_(here, membership.c.user.icontains(search, autoescape=True))
        users = sa.select(membership.c.user).where(here).distinct()
        with reading(self.engine) as db:
            count = db.scalar(sa.select(sa.func.count()).select_from(users.subquery())) or 0
            page = users.order_by(membership.c.user).offset(offset).limit(limit)
            names = list(db.scalars(page))
            query = sa.select(membership).where(here, membership.c.user.in_(names))
            found = _standings(db, query.order_by(membership.c.user, membership.c.source))
        by_user: defaultdict[str, list[Standing]] = defaultdict(list)
        for standing in found:
            by_user[standing.membership.user].append(standing)
        return [member_of(user, by_user[user]) for user in names], count

    def groups(self) -> list[str]:
        """All groups that have had a member: the hub has none yet where all of them have yet to
        log in."""
        query = sa.select(membership.c.group).distinct().order_by(membership.c.group)
        with reading(self.engine) as db:
            return list(db.scalars(query))

    def sizes(self, groups: Sequence[str]) -> dict[str, int]:
        """How many members some groups have; 0 is left out."""
        counted = sa.func.count(membership.c.user.distinct())
        here = sa.and_(membership.c.group.in_(list(groups)), _lives(self.clock()))
        query = sa.select(membership.c.group, counted).where(here).group_by(membership.c.group)
        with reading(self.engine) as db:
            return {row[0]: row[1] for row in db.execute(query)}

    def users(self, group: str) -> list[str]:
        """Who is in a group, also who has yet to log in; nobody where it is archived."""
        closed = sa.exists().where(archived.c.group == membership.c.group)
        here = (membership.c.group == group, _lives(self.clock()), ~closed)
        query = sa.select(membership.c.user).where(*here).distinct()
        with reading(self.engine) as db:
            return list(db.scalars(query.order_by(membership.c.user)))

    def everybody(self) -> dict[str, tuple[str, ...]]:
        """Of all users who are in a group, their groups; without those that are archived."""
        closed = sa.select(archived.c.group)
        query = sa.select(membership.c.user, membership.c.group).distinct()
        query = query.where(_lives(self.clock()), membership.c.group.not_in(closed))
        found: defaultdict[str, list[str]] = defaultdict(list)
        with reading(self.engine) as db:
            for user, group in db.execute(query.order_by(membership.c.user, membership.c.group)):
                found[user].append(group)
        return {user: tuple(groups) for user, groups in found.items()}

    def last_change(self) -> int:
        """A number that goes up with each change of memberships; an end that comes with time is
        none."""
        with reading(self.engine) as db:
            return db.scalar(sa.select(sa.func.max(event.c.id))) or 0

    def managers(self, groups: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The managers of each of `groups`, by name."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for standing in self.standings(groups=groups, role=MANAGER):
            found[standing.membership.group].add(standing.membership.user)
        return {group: tuple(sorted(users)) for group, users in found.items()}

    def managed_by(self, user: str) -> tuple[str, ...]:
        """The groups that `user` manages, without those below them."""
        with reading(self.engine) as db:
            rows = db.execute(_MANAGED_BY, {"who": user, "now": self.clock()})
            return tuple(sorted({row[0] for row in rows}))


@lru_cache
def open_store(url: str) -> GroupStore:
    """The one store of this process for a database."""
    return GroupStore(url)


def member_of(user: str, standings: Sequence[Standing]) -> Member:
    """What a user's standings in one group come to."""
    manages = any(standing.membership.role == MANAGER for standing in standings)
    return Member(user, MANAGER if manages else MEMBER, tuple(standings))


def _lives(at: int | sa.BindParameter[int]) -> sa.ColumnElement[bool]:
    return sa.or_(membership.c.until.is_(None), membership.c.until > at)


# Built once, since it is asked at each click on a launch link.
_MANAGED_BY = sa.select(membership.c.group).where(
    membership.c.user == sa.bindparam("who"),
    membership.c.role == MANAGER,
    _lives(sa.bindparam("now", type_=sa.BigInteger)),
)


def _standings(db: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[Standing]:
    return [
        Standing(
            Membership(row.user, row.group, row.source, row.role, row.until),
            row.since,
            row.added_by,
        )
        for row in db.execute(query)
    ]


def _known(db: sa.Connection, user: str) -> UserRows:
    rows = db.execute(_USER, {"user": user}).all()
    memberships = [row for row in rows if row.kind == _ROW]
    return UserRows(
        tuple(Membership(user, r.group, r.source, r.role, r.number) for r in memberships),
        {row.group: row.role == _HAD for row in rows if row.kind == _WAITS},
        {row.group: row.number for row in rows if row.kind == _WAITS},
        frozenset(row.group for row in memberships if row.closed),
        next(row.number or 0 for row in rows if row.kind == _RULES),
    )


def _archived_of(db: sa.Connection, groups: Collection[str]) -> frozenset[str]:
    if not groups:
        return frozenset()
    return frozenset(db.scalars(_ARCHIVED, {"groups": list(groups)}))


def _roll(
    db: sa.Connection, source: str, groups: Collection[str] | None
) -> dict[str, dict[str, str]]:
    """Read as one text for each group, in the order of the index: a row for each membership takes
    three times as long."""
    here = [membership.c.source == source]
    if groups is not None:
        here.append(membership.c.group.in_(list(groups)))
    users = sa.func.aggregate_strings(membership.c.user, "\n")
    query = sa.select(membership.c.group, users).where(*here).group_by(membership.c.group)
    found = {group: dict.fromkeys(names.split("\n"), MEMBER) for group, names in db.execute(query)}
    others = sa.select(membership.c.group, membership.c.user, membership.c.role)
    for group, user, role in db.execute(others.where(*here, membership.c.role != MEMBER)):
        found.setdefault(group, {})[user] = role
    return found


def _only(roll: Roll, groups: Collection[str] | None) -> Roll:
    return roll if groups is None else {g: roll[g] for g in groups if g in roll}


def _only_group(changes: Sequence[Membership]) -> str:
    """The group that a change is about, where it is about one."""
    groups = {one.group for one in changes}
    return groups.pop() if len(groups) == 1 else ""
