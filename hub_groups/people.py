"""What people set by hand on our pages: members, their role and end, and groups that are over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from .database import reading, writing
from .memberships import BY_PEOPLE, MANAGER, MANUAL, MEMBER, Membership
from .rows import await_hub, log_event, new_stamp, read, upsert, write
from .schema import archived, join_link, join_request, membership, pending
from .store import GroupStore


@dataclass(frozen=True)
class By:
    """Who does something, and where: page, api or cli."""

    who: str
    via: str


@dataclass(frozen=True)
class Archived:
    """A group that is over.

    Attributes:
        at: since when, in seconds since 1970, UTC.
        by: who has done it.
    """

    group: str
    at: int
    by: str


def put_members(
    store: GroupStore,
    group: str,
    users: Iterable[str],
    by: By,
    role: str = MEMBER,
    until: int | None = None,
) -> None:
    """Set members by hand; who is set by hand already gets this role and end.

    Args:
        until: when it ends, in seconds since 1970, UTC; None for never.
    """
    found = [Membership(user, group, MANUAL, role, until) for user in sorted(set(users))]
    with writing(store.engine) as db:
        at = store.clock()
        write(db, at, found, by=by.who)
        for one in found:
            log_event(
                *(db, at, by.who, by.via, "put"),
                group=group,
                user=one.user,
                role=role,
                until=until,
            )


def remove_members(store: GroupStore, group: str, users: Iterable[str], by: By) -> tuple[str, ...]:
    """Take out what people have set; returns those of `users` whom another source still has in it.

    What a login, a roster or a directory says is theirs to take back.
    """
    names = sorted(set(users))
    with writing(store.engine) as db:
        here = (membership.c.group == group, membership.c.user.in_(names))
        rows = read(db, *here)
        gone = [one for one in rows if one.source in BY_PEOPLE]
        at = store.clock()
        write(db, at, gone=gone)
        for one in gone:
            log_event(
                *(db, at, by.who, by.via, "removed"), group=group, user=one.user, source=one.source
            )
    stay = {one.user for one in rows if one.source not in BY_PEOPLE and one.lives(at)}
    return tuple(sorted(stay))


def change_members(
    store: GroupStore,
    group: str,
    users: Iterable[str],
    by: By,
    *,
    role: str | None = None,
    end: tuple[int | None] | None = None,
) -> tuple[str, ...]:
    """Give members another role or end, as far as people have set it; returns those of `users`
    for whom another source has the last word.

    Args:
        role: None for the one that they have. Who becomes a manager is one by hand from now on.
        end: the new end in seconds since 1970, UTC, or `(None,)` for none; None for the one that
            they have.
    """
    names = sorted(set(users))
    with writing(store.engine) as db:
        at = store.clock()
        here = (membership.c.group == group, membership.c.user.in_(names))
        rows = [one for one in read(db, *here) if one.lives(at)]
        put: list[Membership] = []
        for user in dict.fromkeys(one.user for one in rows):
            mine = [one for one in rows if one.user == user and one.source in BY_PEOPLE]
            if not mine and role == MANAGER:
                mine = [Membership(user, group, MANUAL)]
            put += [
                replace(one, role=role or one.role, until=end[0] if end else one.until)
                for one in mine
            ]
        before = {(one.user, one.source): one for one in rows}
        changed = [one for one in put if before.get((one.user, one.source)) != one]
        write(db, at, changed, by=by.who)
        for one in changed:
            detail = {"role": one.role, "until": one.until}
            log_event(db, at, by.who, by.via, "put", group=group, user=one.user, **detail)
    others = [one for one in rows if one.source not in BY_PEOPLE]
    stay = {one.user for one in others if end or (role == MEMBER and one.role == MANAGER)}
    return tuple(sorted(stay))


def rename_user(store: GroupStore, old: str, new: str) -> None:
    """The hub calls a user by another name from now on: what people have set goes along."""
    with writing(store.engine) as db:
        at = store.clock()
        rows = read(db, membership.c.user == old)
        theirs = {one.group: False for one in read(db, membership.c.user == new)}
        waits = {row.group: row.had for row in db.execute(_pending_of(old))}
        mine = [one for one in rows if one.source in BY_PEOPLE]
        put = [Membership(new, o.group, o.source, o.role, o.until) for o in mine]
        write(db, at, put, mine)
        # The hub has the user in these groups by us, whatever they are called, and has nobody of
        # the old name.
        _set_pending(db, new, theirs | {one.group: True for one in rows} | waits)
        _set_pending(db, old, {one.group: False for one in rows if one not in mine})
        mine_too = sa.update(join_request).where(join_request.c.user == old)
        db.execute(mine_too.values(user=new))
        log_event(db, at, "hub", "hub", "renamed", user=new, old=old)


def _pending_of(user: str) -> sa.Select[tuple[str, bool]]:
    return sa.select(pending.c.group, pending.c.had).where(pending.c.user == user)


def _set_pending(db: sa.Connection, user: str, had: Mapping[str, bool]) -> None:
    db.execute(sa.delete(pending).where(pending.c.user == user))
    stamp = new_stamp()
    rows = [{"user": user, "group": g, "had": h, "stamp": stamp} for g, h in had.items()]
    if rows:
        db.execute(sa.insert(pending), rows)


def forget_user(store: GroupStore, user: str) -> None:
    """The hub has deleted a user: another person of that name does not get what people gave them.

    What sources say stays with them.
    """
    with writing(store.engine) as db:
        at = store.clock()
        mine = read(db, membership.c.user == user, membership.c.source.in_(BY_PEOPLE))
        write(db, at, gone=mine)
        # In the hub there is nothing any more that we could have put there.
        db.execute(sa.update(pending).where(pending.c.user == user).values(had=False))
        _forget_requests(db, user)
        log_event(db, at, "hub", "hub", "deleted", user=user, removed=[o.group for o in mine])


def _forget_requests(db: sa.Connection, user: str) -> None:
    """What they have asked for waits no longer, and leaves its place to others."""
    here = join_request.c.user == user
    asked = sa.select(join_request.c.link).where(here, join_request.c.state == "open")
    for link in db.scalars(asked).all():
        used = join_link.c.used - 1
        db.execute(sa.update(join_link).where(join_link.c.id == link).values(used=used))
    db.execute(sa.delete(join_request).where(here))


def archive(store: GroupStore, group: str, by: By) -> None:
    """Nobody is in the group any more as far as the hub is concerned; nothing of it is lost."""
    with writing(store.engine) as db:
        at = store.clock()
        _all_pending(db, group, had=True)
        db.execute(upsert(db, archived), {"group": group, "at": at, "by": by.who})
        log_event(db, at, by.who, by.via, "archived", group=group)


def restore(store: GroupStore, group: str, by: By) -> None:
    """Take a group out of the archive: all who are in it by now are in it again."""
    with writing(store.engine) as db:
        _all_pending(db, group, had=False)
        db.execute(sa.delete(archived).where(archived.c.group == group))
        log_event(db, store.clock(), by.who, by.via, "restored", group=group)


def _all_pending(db: sa.Connection, group: str, had: bool) -> None:
    users = sa.select(membership.c.user).where(membership.c.group == group).distinct()
    stamp = sa.literal(new_stamp(), sa.BigInteger)
    await_hub(db, users.add_columns(sa.literal(group), sa.literal(had), stamp))


def archive_of(store: GroupStore) -> dict[str, Archived]:
    """The groups that are over."""
    with reading(store.engine) as db:
        return {row.group: Archived(**row._mapping) for row in db.execute(sa.select(archived))}
