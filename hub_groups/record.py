"""What was done, how the sources are doing, and the rules as admins wrote them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from .database import reading, writing
from .memberships import MANUAL
from .rows import log_event, upsert
from .schema import event, rules, run
from .store import GroupStore


@dataclass(frozen=True)
class Event:
    """An entry of the audit log.

    Attributes:
        at: seconds since 1970, UTC.
        who: a user, a service or a source.
        via: page, api, cli, hub or sync.
        group, user: whom it is about, where it is about one.
        detail: more of it, depending on `what`.
    """

    id: int
    at: int
    who: str
    via: str
    what: str
    group: str
    user: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """How the last run of a source went.

    Attributes:
        at: when, in seconds since 1970, UTC.
        good_at: when one went well last; None for never.
        problem: why nothing could be read; empty where it could.
        added, removed, changed: the difference that it found.
        size: memberships that the source has in all.
        held: why the difference waits for an admin; empty where it was written.
    """

    source: str
    at: int = 0
    good_at: int | None = None
    took_ms: int = 0
    problem: str = ""
    added: int = 0
    removed: int = 0
    changed: int = 0
    size: int = 0
    held: str = ""


@dataclass(frozen=True)
class RulesText:
    """Rules as they were written last; version 0 where there are none."""

    version: int = 0
    at: int = 0
    by: str = ""
    text: str = ""


class Conflict(RuntimeError):
    """Somebody else has changed it in the meantime."""


def events(
    store: GroupStore,
    groups: Collection[str] | None = None,
    user: str = "",
    before: int | None = None,
    limit: int = 50,
    source: str = "",
    *,
    below: bool = False,
) -> list[Event]:
    """The latest first.

    Args:
        groups: only of these; None for all.
        before: only entries with a lower id.
        source: only what it says, or what was done with what it says.
        below: also of the groups below `groups`.
    """
    query = sa.select(event).order_by(event.c.id.desc()).limit(limit)
    if groups is not None:
        query = query.where(_of_groups(groups, below))
    if source:
        query = query.where(_of_source(source))
    if user:
        query = query.where(event.c.user == user)
    if before is not None:
        query = query.where(event.c.id < before)
    with reading(store.engine) as db:
        return [
            Event(**{**row._mapping, "detail": json.loads(row.detail) if row.detail else {}})
            for row in db.execute(query)
        ]


def _of_groups(groups: Collection[str], below: bool) -> sa.ColumnElement[bool]:
    here = event.c.group.in_(list(groups))
    # Not LIKE, which takes upper and lower case for the same in SQLite.
    under = [sa.func.substr(event.c.group, 1, len(name) + 1) == f"{name}/" for name in groups]
    return sa.or_(here, *under) if below else here


def _of_source(source: str) -> sa.ColumnElement[bool]:
    if source == MANUAL:
        return event.c.what == "put"
    said = json.dumps({"source": source})[1:-1]
    return sa.or_(event.c.who == source, event.c.detail.contains(said, autoescape=True))


def note(store: GroupStore, by: str, via: str, what: str, **detail: Any) -> None:
    """Say in the audit log what somebody did that is no change of a membership."""
    with writing(store.engine) as db:
        log_event(db, store.clock(), by, via, what, **detail)


def save_run(store: GroupStore, one: Run) -> None:
    """Remember how a run went; that of before is forgotten."""
    values = asdict(one)
    with writing(store.engine) as db:
        db.execute(upsert(db, run, *values), values)


def forget_run(store: GroupStore, source: str) -> None:
    """A source is read no more."""
    with writing(store.engine) as db:
        db.execute(sa.delete(run).where(run.c.source == source))


def runs(store: GroupStore) -> dict[str, Run]:
    """The last run of each source."""
    with reading(store.engine) as db:
        return {row.source: Run(**row._mapping) for row in db.execute(sa.select(run))}


def last_login(store: GroupStore, user: str) -> tuple[str, dict[str, str]]:
    """The source of somebody's last login as far as is known, and what it gave; empty for none.
    Blocks."""
    found = [s for s in store.standings(user) if s.membership.source.startswith("idp:")]
    if not found:
        return "", {}
    # Somebody may have come by another login before: the one of the latest membership counts.
    source = max(found, key=lambda s: s.since).membership.source
    mine = [s.membership for s in found if s.membership.source == source]
    return source, {one.group: one.role for one in mine}


def rules_text(store: GroupStore) -> RulesText:
    """The rules that hold."""
    query = sa.select(rules).order_by(rules.c.version.desc()).limit(1)
    with reading(store.engine) as db:
        row = db.execute(query).first()
    return RulesText(**row._mapping) if row else RulesText()


def save_rules(store: GroupStore, text: str, expected: int, by: str, via: str = "page") -> None:
    """Write rules that have been checked.

    Args:
        expected: the version that they were made from.

    Raises:
        Conflict: there is a later one.
    """
    with writing(store.engine) as db:
        latest = db.scalar(sa.select(sa.func.max(rules.c.version))) or 0
        if latest != expected:
            raise Conflict
        at = store.clock()
        db.execute(sa.insert(rules).values(at=at, by=by, text=text))
        log_event(db, at, by, via, "rules", lines=len(text.splitlines()))
