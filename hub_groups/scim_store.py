"""The tables of users and groups that a directory sends by SCIM, and the only SQL about them.

What a change costs depends on what it changes: one more member of a group reads and writes one
row of that group's members, however many there are.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from .database import reading, writing
from .scim_changes import (
    LOCAL_PART,
    LOWER_CASE,
    Change,
    Person,
    hub_name,
    local_part,
    membership_changes,
    pairs,
)
from .scim_rows import (
    USER,
    Both,
    Condition,
    Either,
    GroupRow,
    Missing,
    Refused,
    Taken,
    UserRow,
    check_text,
    columns,
    key,
    plain,
)
from .scim_tables import scim_group, scim_member, scim_user

_ONE_AT_A_TIME = 7_240_632  # any number that nobody else locks on
_AT_ONCE = 500  # names in one statement


class ScimStore:
    """Users and groups of a directory, in the database of the memberships."""

    def __init__(
        self,
        engine: sa.Engine,
        how: str = LOWER_CASE,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Args:
        how: how the hub calls users, one of `scim_changes.HOW`.
        now: the time in microseconds since 1970.
        """
        hub_name("anybody", how)  # which refuses a way that there is not
        self.engine, self.how, self.now = engine, how, now

    @contextmanager
    def session(self, writes: bool) -> Iterator[Session]:
        """One transaction; those that write come one after the other."""
        with (writing if writes else reading)(self.engine) as db:
            if writes and self.engine.dialect.name == "postgresql":
                db.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
            yield Session(db, self.how, self.now)

    def memberships(self) -> Iterator[tuple[str, str]]:
        """All of them, as the hub's names of user and group: for a start, after which only
        changes are told."""
        query = (
            sa.select(scim_user.c.user_name, scim_group.c.display_name)
            .join(scim_member, scim_member.c.user_id == scim_user.c.id)
            .join(scim_group, scim_group.c.id == scim_member.c.group_id)
            .where(scim_user.c.active)
        )
        with reading(self.engine) as db:
            for user_name, group in db.execute(query):
                yield hub_name(user_name, self.how), group


class Session:
    """What can be asked and done within one transaction.

    Attributes:
        changes: what the memberships of the hub are to follow, once this is committed.
    """

    def __init__(self, db: sa.Connection, how: str, now: Callable[[], int]) -> None:
        self._db, self._how, self._now = db, how, now
        self.changes: list[Change] = []

    # -- reading --------------------------------------------------------------------------------

    def user(self, id: str) -> UserRow:
        """Raises:
        Missing: there is none.
        """
        return self._users([id])[0]

    def group(self, id: str) -> GroupRow:
        """Raises:
        Missing: there is none.
        """
        return self._groups([id])[0]

    def count(self, kind: str, condition: Condition | None = None) -> int:
        table = _table(kind)
        query = sa.select(sa.func.count()).select_from(table)
        return self._db.scalar(_where(query, kind, condition)) or 0

    def ids(
        self,
        kind: str,
        condition: Condition | None = None,
        after: str = "",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[str]:
        """In the order in which they came to be."""
        table = _table(kind)
        query = _where(sa.select(table.c.id), kind, condition).order_by(table.c.id)
        if after:
            query = query.where(table.c.id > after)
        return list(self._db.scalars(query.offset(offset).limit(limit)))

    def rows(self, kind: str, ids: Collection[str]) -> list[UserRow] | list[GroupRow]:
        """In the order of `ids`."""
        return self._users(ids) if kind == USER else self._groups(ids)

    def _users(self, ids: Collection[str]) -> list[UserRow]:
        found = {
            row.id: UserRow(
                row.id, row.user_name, row.external_id, row.active, json.loads(row.document),
                row.version, row.created, row.modified,
            )
            for row in self._by_id(sa.select(scim_user), scim_user.c.id, ids)
        }  # fmt: skip
        return _in_order(found, ids)

    def _groups(self, ids: Collection[str]) -> list[GroupRow]:
        found = {
            row.id: GroupRow(
                row.id, row.display_name, row.external_id, json.loads(row.document),
                row.version, row.created, row.modified,
            )
            for row in self._by_id(sa.select(scim_group), scim_group.c.id, ids)
        }  # fmt: skip
        return _in_order(found, ids)

    def members(
        self, groups: Collection[str], users: Collection[str] | None = None
    ) -> dict[str, list[str]]:
        """Of each of `groups`, the ids of its members: of all, or of those among `users`."""
        query, column, ids = sa.select(scim_member), scim_member.c.group_id, groups
        if users is not None:
            query, column, ids = query.where(column.in_(groups)), scim_member.c.user_id, users
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in self._by_id(query.order_by(scim_member.c.user_id), column, ids):
            found[row.group_id].append(row.user_id)
        return found

    def groups_of(self, users: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """Of each of `users`, the ids and displayNames of their groups."""
        query = sa.select(scim_member, scim_group.c.display_name).join(
            scim_group, scim_group.c.id == scim_member.c.group_id
        )
        found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in self._by_id(
            query.order_by(scim_member.c.group_id), scim_member.c.user_id, users
        ):
            found[row.user_id].append((row.group_id, row.display_name))
        return found

    # -- users ----------------------------------------------------------------------------------

    def add_user(self, user: UserRow) -> UserRow:
        """Raises:
        Refused, Taken: their name can't be stored, or is somebody else's.
        """
        now = self._now()
        new = replace(user, id=_new_id(now), created=now, modified=now)
        self._check_user(new)
        self._db.execute(sa.insert(scim_user).values(columns(new)))
        return new

    def change_user(self, user: UserRow) -> UserRow:
        """Raises:
        Missing, Refused, Taken: there is none; or as in `add_user`.
        """
        old = self.user(user.id)
        new = replace(
            user, version=old.version + 1, created=old.created,
            modified=max(self._now(), old.modified),
        )  # fmt: skip
        self._check_user(new)
        where = scim_user.c.id == new.id
        self._db.execute(sa.update(scim_user).where(where).values(columns(new)))
        was, is_ = Person(old.user_name, old.active), Person(new.user_name, new.active)
        if was != is_:
            groups = [name for _id, name in self.groups_of([new.id])[new.id]]
            self._tell([was], groups, [is_], groups)
        return new

    def remove_user(self, id: str) -> None:
        """Raises:
        Missing: there is none.
        """
        old = self.user(id)
        groups = [name for _id, name in self.groups_of([id])[id]]
        self._tell([Person(old.user_name, old.active)], groups, [], [])
        self._touch_groups_of(id)
        self._db.execute(sa.delete(scim_member).where(scim_member.c.user_id == id))
        self._db.execute(sa.delete(scim_user).where(scim_user.c.id == id))

    def _check_user(self, user: UserRow) -> None:
        check_text("userName", user.user_name)
        check_text("externalId", user.external_id)
        try:
            hub_name(user.user_name, self._how)
        except ValueError as error:
            raise Refused(str(error)) from None
        by_name = scim_user.c.name_key == key(user.user_name)
        if self._how == LOCAL_PART:  # else one could be given somebody else's memberships
            by_name = scim_user.c.local_key == key(local_part(user.user_name))
        if self._others(scim_user, by_name, user.id):
            raise Taken("Another user has that userName.")

    # -- groups ---------------------------------------------------------------------------------

    def add_group(self, group: GroupRow, members: Collection[str]) -> GroupRow:
        """Args:
            members: ids of users.

        Raises:
            Refused, Taken: its name can't be stored, or is another group's; no such member.
        """
        now = self._now()
        new = replace(group, id=_new_id(now), created=now, modified=now)
        self._check_group(new)
        self._db.execute(sa.insert(scim_group).values(columns(new)))
        people = self._put_in(new.id, set(members))
        self._tell([], [], people, [new.display_name])
        return new

    def change_group(
        self,
        group: GroupRow,
        members: Collection[str] | None = None,
        within: Collection[str] | None = None,
    ) -> GroupRow:
        """Args:
            members: ids of users who are to be all of its members; None leaves them alone.
            within: of whom alone `members` is to be true; all others stay what they are.

        Raises:
            Missing, Refused, Taken: there is no such group; or as in `add_group`.
        """
        old = self.group(group.id)
        new = replace(
            group, version=old.version + 1, created=old.created,
            modified=max(self._now(), old.modified),
        )  # fmt: skip
        self._check_group(new)
        where = scim_group.c.id == new.id
        self._db.execute(sa.update(scim_group).where(where).values(columns(new)))
        renamed = old.display_name != new.display_name
        before = self._people_in(new.id) if renamed else []
        had: set[str] = set()
        if members is not None:
            had = set(self.members([new.id], within)[new.id])
        has = set(members or ())
        lost, got = self._put_out(new.id, had - has), self._put_in(new.id, has - had)
        if renamed:
            everybody = self._people_in(new.id)
            self._tell(before, [old.display_name], everybody, [new.display_name])
            self._touch_users_in(new.id)
        else:
            self._tell(lost, [new.display_name], got, [new.display_name])
        return new

    def remove_group(self, id: str) -> None:
        """Raises:
        Missing: there is none.
        """
        old = self.group(id)
        self._tell(self._people_in(id), [old.display_name], [], [])
        self._touch_users_in(id)
        self._db.execute(sa.delete(scim_member).where(scim_member.c.group_id == id))
        self._db.execute(sa.delete(scim_group).where(scim_group.c.id == id))

    def _check_group(self, group: GroupRow) -> None:
        check_text("displayName", group.display_name)
        check_text("externalId", group.external_id)
        if self._others(scim_group, scim_group.c.name_key == key(group.display_name), group.id):
            raise Taken("Another group has that displayName.")

    def _put_in(self, group: str, users: set[str]) -> list[Person]:
        people = self._people(users)
        if missing := sorted(users - people.keys()):
            raise Refused(f"There is no user {missing[0][:40]!r} to be a member.")
        if people:
            rows = [{"group_id": group, "user_id": user} for user in sorted(people)]
            self._db.execute(sa.insert(scim_member), rows)
            self._touch_users(people)
        return list(people.values())

    def _put_out(self, group: str, users: set[str]) -> list[Person]:
        people = self._people(users)
        for some in _portions(people):
            self._db.execute(
                sa.delete(scim_member).where(
                    scim_member.c.group_id == group, scim_member.c.user_id.in_(some)
                )
            )
        self._touch_users(people)
        return list(people.values())

    # -- what both need -------------------------------------------------------------------------

    def _tell(
        self,
        people: Iterable[Person],
        groups: list[str],
        then: Iterable[Person],
        then_in: list[str],
    ) -> None:
        before, after = pairs(people, groups, self._how), pairs(then, then_in, self._how)
        self.changes += membership_changes(before, after)

    def _people(self, ids: Collection[str]) -> dict[str, Person]:
        query = sa.select(scim_user.c.id, scim_user.c.user_name, scim_user.c.active)
        rows = self._by_id(query, scim_user.c.id, ids)
        return {row.id: Person(row.user_name, row.active) for row in rows}

    def _people_in(self, group: str) -> list[Person]:
        query = (
            sa.select(scim_user.c.user_name, scim_user.c.active)
            .join(scim_member, scim_member.c.user_id == scim_user.c.id)
            .where(scim_member.c.group_id == group)
        )
        return [Person(row.user_name, row.active) for row in self._db.execute(query)]

    def _touch_users(self, ids: Iterable[str]) -> None:
        # A user says in which groups they are: another version of them, then.
        for some in _portions(ids):
            self._touch(scim_user, scim_user.c.id.in_(some))

    def _touch_users_in(self, group: str) -> None:
        members = sa.select(scim_member.c.user_id).where(scim_member.c.group_id == group)
        self._touch(scim_user, scim_user.c.id.in_(members))

    def _touch_groups_of(self, user: str) -> None:
        groups = sa.select(scim_member.c.group_id).where(scim_member.c.user_id == user)
        self._touch(scim_group, scim_group.c.id.in_(groups))

    def _touch(self, table: sa.Table, where: sa.ColumnElement[bool]) -> None:
        values = {"version": table.c.version + 1, "modified": self._now()}
        self._db.execute(sa.update(table).where(where).values(values))

    def _others(self, table: sa.Table, where: sa.ColumnElement[bool], id: str) -> bool:
        query = sa.select(table.c.id).where(where, table.c.id != id).limit(1)
        return self._db.execute(query).first() is not None

    def _by_id(
        self, query: sa.Select[Any], column: sa.ColumnElement[Any], ids: Iterable[str]
    ) -> Iterator[sa.Row[Any]]:
        for some in _portions(ids):
            yield from self._db.execute(query.where(column.in_(some)))


def _table(kind: str) -> sa.Table:
    return scim_user if kind == USER else scim_group


def _where(query: sa.Select[Any], kind: str, condition: Condition | None) -> sa.Select[Any]:
    return query if condition is None else query.where(_clause(kind, condition))


def _clause(kind: str, condition: Condition) -> sa.ColumnElement[bool]:
    if isinstance(condition, Both):
        return sa.and_(*(_clause(kind, term) for term in condition.terms))
    if isinstance(condition, Either):
        return sa.or_(*(_clause(kind, term) for term in condition.terms))
    if "\0" in condition.value:  # which PostgreSQL has no texts with
        return sa.false()
    table = _table(kind)
    if condition.column == "member":
        groups = sa.select(scim_member.c.group_id)
        return table.c.id.in_(groups.where(scim_member.c.user_id == condition.value))
    if condition.column == "name":
        return table.c.name_key == key(condition.value)
    return table.c[condition.column] == plain(condition.value)


def _in_order(found: dict[str, Any], ids: Iterable[str]) -> list[Any]:
    try:
        return [found[id] for id in ids]
    except KeyError as error:
        raise Missing(error.args[0]) from None


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    known = [id for id in ids if "\0" not in id]
    for start in range(0, len(known), _AT_ONCE):
        yield known[start : start + _AT_ONCE]


def _new_id(now: int) -> str:
    """In the order of time, so that pages of a list stay what they are while users come in."""
    return f"{now:016x}{secrets.token_hex(8)}"
