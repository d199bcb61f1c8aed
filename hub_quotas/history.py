"""What has run: the sessions of groups and users, and what limits would have done to them.

Reservations that came to nothing (voided) are as if they had never been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .limits import STOP
from .policy import WHOLE_HUB, Policy
from .replay import Start, beyond, replay
from .sessions import VOIDED, Session, find, read_charges
from .store import QuotaStore
from .transaction import Row
from .whatif import WhatIf, changed
from .windows import DAY, span

MOST_STARTS = 20_000
"""That a what-if decides again: a second."""
MOST_BEFORE = 40_000
"""Servers that ended before these, and count in windows."""

_AT_ONCE = 500
"""Names in one statement."""


def of_groups(
    store: QuotaStore, groups: Iterable[str], since: int, until: int | None = None
) -> list[Session]:
    """What was charged to these groups, not to those below them, and ran within a span; oldest
    first. Instants in microseconds since 1970, UTC.

    Args:
        until: of the span's end; None for what has begun by now.
    """
    found: list[Session] = []
    with store.db.read() as tx:
        for where, values in _within("group_name", groups, since):
            if until is not None:
                where, values = f"{where} AND reserved_at < ?", [*values, until]
            found += find(tx, where, *values)
    return sorted(found, key=lambda session: (session.reserved_at, session.id))


def of_user(store: QuotaStore, user: str, since: int) -> list[Session]:
    """What of a user ran at an instant or later, oldest first."""
    with store.db.read() as tx:
        found = [
            session
            for where, values in _within("user_name", [user], since)
            for session in find(tx, where, *values)
        ]
    return sorted(found, key=lambda session: (session.reserved_at, session.id))


def below(store: QuotaStore, policy: Policy, *groups: str) -> list[str]:
    """All groups at or below these that the policy names or that were ever charged, by name;
    without WHOLE_HUB, to which nothing is charged."""
    with store.db.read() as tx:
        rows = tx.all("SELECT group_name FROM subject WHERE user_name = ''")
    known = {*policy.groups, *groups, *(row[0] for row in rows)} - {WHOLE_HUB}
    return sorted(name for name in known if not set(groups).isdisjoint(policy.path(name)))


def _within(column: str, names: Iterable[str], since: int) -> Iterator[tuple[str, list[object]]]:
    """Conditions, one after the other, on what ran at `since` or later. The indices have names and
    ends; what is still open is another part of them."""
    wanted = sorted(set(names))
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        where = f"{column} IN ({', '.join('?' * len(some))}) AND state <> '{VOIDED}'"
        yield f"{where} AND closed_at IS NULL", [*some]
        yield f"{where} AND closed_at >= ?", [*some, since]


def _newest(
    store: QuotaStore, groups: Iterable[str], column: str, begin: int, end: int, most: int
) -> int:
    """`begin`; or the later instant from which on there are no more than so many, by the instants
    of a column, before `end`."""
    found: list[int] = []
    with store.db.read() as tx:
        for where, values in _within("group_name", groups, begin):
            rows = tx.all(
                f"SELECT {column} FROM session WHERE {where} AND {column} >= ? AND {column} < ?"  # noqa: S608
                f" ORDER BY {column} DESC LIMIT ?",
                *(*values, begin, end, most + 1),
            )
            found += [row[0] for row in rows]
    return begin if len(found) <= most else sorted(found, reverse=True)[most - 1]


# -- what if -----------------------------------------------------------------------------------


def what_if(store: QuotaStore, before: Policy, after: Policy, days: int = 30) -> WhatIf:
    """What the limits that are new or changed in `after` would have done to what has started in
    the last days, if they alone had held. Blocks, for a second or two where there was much.

    Credits do not count. Servers are taken to ask for what they were granted; those that started
    without being decided, since the ledger was away, are decided here.
    """
    limits = changed(before, after)
    flat = tuple(limit for of_group in limits.values() for limit in of_group)
    with store.db.read() as tx:
        present = store.present(tx)
    since = present - days * DAY
    if not limits:
        return WhatIf(flat, days, since, store.zone)
    groups = below(store, after, *limits)
    asked, since = since, _newest(store, groups, "reserved_at", since, present + 1, MOST_STARTS)
    held = (span(limit.window, since, store.zone) for limit in flat if limit.window)
    counts = min([since, *(window[0] for window in held if window)])
    read = _newest(store, groups, "closed_at", counts, since, MOST_BEFORE)
    rows = _starts(store, groups, read)
    stopping = any(limit.reaction.kind == STOP for limit in flat)
    return WhatIf(
        flat,
        days,
        since,
        store.zone,
        whole=since == asked,
        used_since=read if read > counts else None,
        starts=sum(row[0] >= since for row in rows),
        refused=tuple(replay(after, limits, _read(rows), since, store.zone)),
        stops=len(beyond(after, limits, _read(rows), present, store.zone)) if stopping else 0,
    )


def _starts(store: QuotaStore, groups: Iterable[str], since: int) -> list[Row]:
    """What `of_groups` would give, as rows for `_read`."""
    rows: list[Row] = []
    with store.db.read() as tx:
        for where, values in _within("group_name", groups, since):
            sql = (
                "SELECT reserved_at, id, user_name, server_name, group_name, charges, closed_at"  # noqa: S608
                f" FROM session WHERE {where}"
            )
            rows += tx.all(sql, *values)
    return sorted(rows, key=lambda row: (row[0], row[1]))


def _read(rows: Iterable[Row]) -> Iterator[Start]:
    """One by one: thousands at once keep Python's garbage collector busy."""
    for at, id, user, server, group, charges, ended in rows:
        yield Start(at, id, user, server, group, read_charges(charges), ended)
