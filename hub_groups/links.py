"""Join links and what people ask for with them: the tables, and the only SQL about them."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

import sqlalchemy as sa

from .database import reading, writing
from .joining import (
    ALPHABET,
    ALREADY,
    APPROVED,
    ARCHIVED,
    ASKED,
    CODE_LENGTH,
    DECLINED,
    EXPIRED,
    JOINED,
    OPEN,
    WITHDRAWN,
    AlreadyAnswered,
    Joined,
    JoinRequest,
    Link,
    LinkOver,
    NoSuchLink,
    WantedLink,
    check_link,
    clean_code,
)
from .memberships import LINK, MANAGER, MEMBER, Membership
from .names import check_not_reserved
from .people import By
from .rows import log_event, read, write
from .schema import archived, join_link, join_request, membership
from .store import GroupStore

_SHOWN = 100


def make_link(store: GroupStore, group: str, wanted: WantedLink, by: By) -> Link:
    """Make a link to a group.

    Raises:
        PeopleError: for an end, a count or a group that can't be.
    """
    check_not_reserved(group)
    at = store.clock()
    check_link(wanted, at)
    with writing(store.engine) as db:
        if _is_archived(db, group):
            raise LinkOver(ARCHIVED, by.who, group)
        code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        values = {
            **{"code": code, "group": group, "role": wanted.role, "by": by.who, "at": at},
            **{"until": wanted.until, "most": wanted.most, "asks": wanted.asks},
            "member_until": wanted.member_until,
        }
        id = db.execute(sa.insert(join_link).returning(join_link.c.id), values).scalar_one()
        log_event(
            *(db, at, by.who, by.via, "link"),
            group=group,
            id=id,
            role=wanted.role,
            until=wanted.until,
            most=wanted.most,
            asks=wanted.asks,
        )
        return _link(db.execute(sa.select(join_link).where(join_link.c.id == id)).one())


def links_of(store: GroupStore, group: str) -> list[Link]:
    """The latest links to a group first, also those that are over."""
    query = sa.select(join_link).where(join_link.c.group == group)
    with reading(store.engine) as db:
        rows = db.execute(query.order_by(join_link.c.id.desc()).limit(_SHOWN))
        return [_link(row) for row in rows]


def revoke(store: GroupStore, group: str, id: int, by: By) -> bool:
    """Take back a link to a group; returns whether there was one that held."""
    return bool(_revoke(store, by, join_link.c.group == group, join_link.c.id == id))


def revoke_all(store: GroupStore, group: str, by: By) -> int:
    """Take back all links to a group; returns how many held."""
    return _revoke(store, by, join_link.c.group == group)


def _revoke(store: GroupStore, by: By, *where: sa.ColumnElement[bool]) -> int:
    with writing(store.engine) as db:
        at = store.clock()
        held = sa.and_(join_link.c.revoked_at.is_(None), join_link.c.until > at, *where)
        change = sa.update(join_link).where(held).values(revoked_at=at, revoked_by=by.who)
        gone = db.execute(change.returning(join_link.c.id, join_link.c.group)).all()
        for id, group in gone:
            log_event(db, at, by.who, by.via, "revoked", group=group, id=id)
    return len(gone)


# -- joining ---------------------------------------------------------------------------------------


def look_up(store: GroupStore, code: str, user: str) -> Joined:
    """What a code is, and what joining by it would come to, without doing it.

    Raises:
        NoSuchLink, LinkOver: nothing can come of it.
    """
    with reading(store.engine) as db:
        link = _find(db, code)
        outcome, _before = _outcome(db, link, user, store.clock())
    return Joined(link, outcome)


def join(store: GroupStore, code: str, user: str, via: str) -> Joined:
    """Join the group of a link, or ask to. To do it again changes nothing and is no second use.

    Raises:
        NoSuchLink, LinkOver: nothing has come of it.
    """
    with writing(store.engine) as db:
        link = _find(db, code, lock=True)
        at = store.clock()
        outcome, before = _outcome(db, link, user, at)
        if outcome == ALREADY or (outcome == ASKED and _open_of(db, link.group, user)):
            return Joined(link, outcome)
        if not before:
            _count(db, link.id, 1)
        if not before or outcome == ASKED:
            state, answered = (OPEN, None) if outcome == ASKED else (APPROVED, at)
            values = {"link": link.id, "group": link.group, "user": user, "at": at}
            row = {**values, "state": state, "answered_at": answered}
            db.execute(sa.insert(join_request), row)
        if outcome == JOINED:
            _write(db, at, link, user)
        log_event(db, at, user, via, outcome, group=link.group, user=user, link=link.id, by=link.by)
    return Joined(link, outcome)


def join_by_launch(store: GroupStore, group: str, user: str, by: str) -> None:
    """Make somebody a member by a launch link.

    Args:
        by: who made the link: a manager of the group, or an admin, which whoever calls has seen.

    Raises:
        LinkOver: the group is archived.
    """
    with writing(store.engine) as db:
        at = store.clock()
        if _is_archived(db, group):
            raise LinkOver(ARCHIVED, by, group)
        here = read(db, membership.c.group == group, membership.c.user == user)
        if any(one.lives(at) for one in here):
            return
        write(db, at, [Membership(user, group, LINK, MEMBER)], by=by)
        log_event(db, at, user, "page", JOINED, group=group, user=user, by=by)


def _outcome(db: sa.Connection, link: Link, user: str, at: int) -> tuple[str, bool]:
    """What joining comes to, and whether the user has been counted before."""
    here = read(db, membership.c.group == link.group, membership.c.user == user)
    if _is_archived(db, link.group):
        raise LinkOver(ARCHIVED, link.by, link.group)
    if any(one.lives(at) and one.role in (MANAGER, link.role) for one in here):
        return ALREADY, True
    if _open_of(db, link.group, user):
        return ASKED, True
    before = _counted(db, link.id, user)
    if reason := link.over(at, counts=not before):
        raise LinkOver(reason, link.by, link.group)
    return (ASKED if link.asks else JOINED), before


def _find(db: sa.Connection, code: str, lock: bool = False) -> Link:
    """By the unique index, and then compared as a whole: how long it takes says nothing."""
    typed = clean_code(code)
    query = sa.select(join_link).where(join_link.c.code == typed)
    # One after the other, so that no more join than may. SQLite has one writer anyway.
    row = db.execute(query.with_for_update() if lock else query).first()
    right = hmac.compare_digest(
        (row.code if row else "").encode(), typed.encode("utf-8", "replace")
    )
    if row is None or not right:
        raise NoSuchLink
    return _link(row)


def _write(db: sa.Connection, at: int, link: Link, user: str) -> None:
    one = Membership(user, link.group, LINK, link.role, link.member_until)
    write(db, at, [one], by=link.by)


def _count(db: sa.Connection, id: int, more: int) -> None:
    used = join_link.c.used + more
    db.execute(sa.update(join_link).where(join_link.c.id == id).values(used=used))


def _counted(db: sa.Connection, link: int, user: str) -> bool:
    mine = (join_request.c.link == link, join_request.c.user == user)
    query = sa.select(join_request.c.id).where(*mine, join_request.c.state == APPROVED).limit(1)
    return db.scalar(query) is not None


def _open_of(db: sa.Connection, group: str, user: str) -> bool:
    mine = (join_request.c.group == group, join_request.c.user == user)
    query = sa.select(join_request.c.id).where(*mine, join_request.c.state == OPEN).limit(1)
    return db.scalar(query) is not None


# -- requests --------------------------------------------------------------------------------------


def waiting(store: GroupStore, sees: Callable[[str], bool]) -> list[JoinRequest]:
    """What waits for an answer, the oldest first; of groups that are not archived.

    Args:
        sees: whether it is about a group that is asked for.
    """
    query = sa.select(join_request).where(
        join_request.c.state == OPEN,
        ~sa.exists().where(archived.c.group == join_request.c.group),
    )
    with reading(store.engine) as db:
        rows = db.execute(query.order_by(join_request.c.id))
        return [JoinRequest(**row._mapping) for row in rows if sees(row.group)]


def requests_of(store: GroupStore, user: str) -> list[JoinRequest]:
    """What somebody has asked for, the latest first: not what nobody had to answer."""
    asked = sa.or_(join_request.c.state != APPROVED, join_request.c.answered_by != "")
    query = sa.select(join_request).where(join_request.c.user == user, asked)
    with reading(store.engine) as db:
        rows = db.execute(query.order_by(join_request.c.id.desc()).limit(_SHOWN))
        return [JoinRequest(**row._mapping) for row in rows]


def answer(
    store: GroupStore, id: int, approve: bool, by: By, may: Callable[[str], bool]
) -> JoinRequest:
    """Say yes or no to who wants to join.

    Args:
        may: whether they may, for a group; a request of another one is as none.

    Raises:
        AlreadyAnswered: it does not wait, or not for them.
        LinkOver: the group is archived, or the membership would be over.
    """
    with writing(store.engine) as db:
        request, link = _locked(db, id)
        if not may(request.group):
            raise AlreadyAnswered
        at = store.clock()
        if approve:
            if _is_archived(db, request.group):
                raise LinkOver(ARCHIVED, link.by, link.group)
            if link.member_until is not None and link.member_until <= at:
                raise LinkOver(EXPIRED, link.by, link.group)
            _write(db, at, link, request.user)
        return _close(db, at, request, APPROVED if approve else DECLINED, by)


def withdraw(store: GroupStore, id: int, by: By) -> JoinRequest:
    """Take back what one has asked for.

    Raises:
        AlreadyAnswered: it does not wait, or is not theirs.
    """
    with writing(store.engine) as db:
        request, _link_of_it = _locked(db, id)
        if request.user != by.who:
            raise AlreadyAnswered
        return _close(db, store.clock(), request, WITHDRAWN, by)


def _locked(db: sa.Connection, id: int) -> tuple[JoinRequest, Link]:
    """A request that waits, behind the lock of its link."""
    which = sa.select(join_request.c.link).where(join_request.c.id == id).scalar_subquery()
    row = db.execute(sa.select(join_link).where(join_link.c.id == which).with_for_update()).first()
    here = (join_request.c.id == id, join_request.c.state == OPEN)
    asked = db.execute(sa.select(join_request).where(*here)).first()
    if row is None or asked is None:
        raise AlreadyAnswered
    return JoinRequest(**asked._mapping), _link(row)


def _close(db: sa.Connection, at: int, request: JoinRequest, state: str, by: By) -> JoinRequest:
    if state != APPROVED and not _counted(db, request.link, request.user):
        _count(db, request.link, -1)  # somebody else can have the place
    values = {"state": state, "answered_at": at, "answered_by": by.who}
    db.execute(sa.update(join_request).where(join_request.c.id == request.id).values(**values))
    log_event(db, at, by.who, by.via, state, group=request.group, user=request.user)
    return JoinRequest(**{**request.__dict__, **values})


def _is_archived(db: sa.Connection, group: str) -> bool:
    query = sa.select(archived.c.group).where(archived.c.group == group)
    return db.scalar(query) is not None


def _link(row: sa.Row[tuple[object, ...]]) -> Link:
    return Link(**{**row._mapping, "asks": bool(row.asks)})
