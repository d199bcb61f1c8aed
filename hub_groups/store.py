"""The memberships, and the only SQL about them (with `rows`, `pending`, `people` and `record`)."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

import sqlalchemy as sa

from .database import open_engine, reading, writing
from .memberships import (
    BY_PEOPLE,
    LOGIN,
    MANAGER,
    MANUAL,
    MEMBER,
    Difference,
    Known,
    Membership,
    Merge,
    Roll,
    difference,
    merge,
)
from .migrate import GROUPS
from .rows import log_event, named, new_stamp, read, usable, write, write_left
from .schema import archived, membership, pending

Said = Mapping[str, str] | Callable[[Mapping[str, str]], Mapping[str, str]]

StoreError = sa.exc.OperationalError
"""The database can't be reached, or is locked for too long."""

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


@dataclass(frozen=True)
class _Merged:
    """What a user's groups come to.

    Attributes:
        put, gone: the rows that change.
        left: groups that the hub has or had them in, and will not.
        writes: whether anything is to be written.
    """

    result: Merge
    put: list[Membership]
    gone: list[Membership]
    left: Set[str]
    writes: bool


class GroupStore:
    """Memberships by source, in a database of their own."""

    def __init__(self, url: str, clock: Callable[[], int] = now) -> None:
        self._engine, self.clock = open_engine(url), clock
        self._opening = threading.Lock()
        self._is_open = False

    def open(self) -> None:
        """Ask for the database, and bring it up to date. Every use does, so that nothing that is
        not there now keeps a hub from coming up.

        Raises:
            StoreError: it can't be reached. The next use tries again.
        """
        with self._opening:
            if not self._is_open:
                GROUPS.upgrade(self._engine)
                self._is_open = True

    @property
    def engine(self) -> sa.Engine:
        """Of the database. Raises as `open`."""
        if not self._is_open:
            self.open()
        return self._engine

    def close(self) -> None:
        self._engine.dispose()

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

    def sync_user(
        self,
        user: str,
        current: Iterable[str],
        source: str = "",
        said: Said | None = None,
        *,
        is_new: bool = False,
    ) -> Merge:
        """Merge all sources into the groups that `user` is to have in the hub.

        Costs what the user's own groups cost, and writes nothing where nothing changes.

        Args:
            user: the hub's user name.
            current: the user's groups in the hub now.
            source: the source that has just spoken (a login), if any. A login also speaks for
                what it was called before.
            said: what it says, group and role, or how to come to that from what it said before,
                which is replaced. None for nothing: what it said before stays.
            is_new: the hub has just made this user.
        """
        here = frozenset(current)
        with reading(self.engine) as db:
            found = self._merged(db, user, here, source, said, is_new)
        if not found.writes:
            return found.result
        with writing(self.engine) as db:
            found = self._merged(db, user, here, source, said, is_new)
            result, at = found.result, self.clock()
            write(db, at, found.put, found.gone)
            write_left(db, at, [(user, group) for group in found.left])
            db.execute(sa.delete(pending).where(pending.c.user == user))
            if result.pending:
                stamp = new_stamp()
                db.execute(
                    sa.insert(pending),
                    [
                        {"user": user, "group": group, "had": had, "stamp": stamp}
                        for group, had in result.pending.items()
                    ],
                )
            if found.put or found.gone:
                log_event(
                    *(db, at, source or "hub", "hub", "merged"),
                    user=user,
                    put=sorted(f"{one.group} ({one.source})" for one in found.put),
                    removed=sorted(f"{one.group} ({one.source})" for one in found.gone),
                )
        return result

    def _merged(
        self,
        db: sa.Connection,
        user: str,
        here: frozenset[str],
        source: str,
        said: Said | None,
        is_new: bool,
    ) -> _Merged:
        at = self.clock()
        before = {(one.group, one.source): one for one in read(db, membership.c.user == user)}
        waits = {
            row.group: bool(row.had)
            for row in db.execute(
                sa.select(pending.c.group, pending.c.had).where(pending.c.user == user)
            )
        }
        after = {key: one for key, one in before.items() if one.lives(at)}
        if source and said is not None:
            own = {key: one for key, one in after.items() if _speaks_for(source, one.source)}
            last = {one.group: one.role for one in own.values()}
            after = {key: one for key, one in after.items() if key not in own}
            for group, role in (said(last) if callable(said) else said).items():
                if usable(group):
                    after[group, source] = Membership(user, group, source, role)
        closed = _archived_of(db, {group for group, _source in (*before, *after)})
        # A pair whose rows change is one that the hub may not have as we want from now on.
        unsure = dict(waits)
        had, has = {group for group, _ in before}, {group for group, _ in after}
        for group in has - had:
            unsure.setdefault(group, False)
        for group in had - has:
            unsure.setdefault(group, True)
        open_ = {key: one for key, one in after.items() if one.group not in closed}
        known = Known(
            sourced=frozenset(o.group for o in open_.values() if o.source not in BY_PEOPLE),
            by_people=frozenset(o.group for o in open_.values() if o.source in BY_PEOPLE),
            lapsed=frozenset(closed & has),
            pending=unsure,
        )
        result = merge(here, known, is_new=is_new)
        for group in result.added_by_hand:
            after[group, MANUAL] = Membership(user, group, MANUAL)
        for group in result.removed_by_hand:
            for way in BY_PEOPLE:
                after.pop((group, way), None)
        put = [one for key, one in after.items() if before.get(key) != one]
        gone = [one for key, one in before.items() if key not in after]
        left = here | {group for group, had in unsure.items() if had} | result.removed_by_hand
        writes = bool(put or gone) or result.pending != waits
        return _Merged(result, put, gone, left - result.groups, writes)

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


def _speaks_for(source: str, other: str) -> bool:
    return source == other or (source.startswith(LOGIN) and other.startswith(LOGIN))


def member_of(user: str, standings: Sequence[Standing]) -> Member:
    """What a user's standings in one group come to."""
    manages = any(standing.membership.role == MANAGER for standing in standings)
    return Member(user, MANAGER if manages else MEMBER, tuple(standings))


def _lives(at: int) -> sa.ColumnElement[bool]:
    return sa.or_(membership.c.until.is_(None), membership.c.until > at)


def _standings(db: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[Standing]:
    return [
        Standing(
            Membership(row.user, row.group, row.source, row.role, row.until),
            row.since,
            row.added_by,
        )
        for row in db.execute(query)
    ]


def _archived_of(db: sa.Connection, groups: Collection[str]) -> frozenset[str]:
    if not groups:
        return frozenset()
    return frozenset(db.scalars(sa.select(archived.c.group).where(archived.c.group.in_(groups))))


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
