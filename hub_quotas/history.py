"""What has run, and what limits would have done to it.

Reservations that came to nothing (voided) are as if they had never been.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .boosts import boosted
from .limits import GROUP, MEMBER, SERVER, STOP, Limit
from .points import View
from .policy import WHOLE_HUB, Policy
from .replay import Limits, Start, beyond, replay
from .requests import MEASURED, in_use
from .sessions import VOIDED, Session, find, read_charges
from .store import QuotaStore
from .transaction import Row, Transaction
from .whatif import Full, WhatIf, changed, sizes_needed
from .windows import DAY, span

MOST_STARTS = 20_000
"""That a what-if decides again: a second."""
MOST_BEFORE = 40_000
"""Servers that ended before these, and count in windows."""

MOST_SIZES = 200
"""Starts that tell whether servers have limits of their own."""
MOST_CHANGES = 1000
"""Of the policy, that are looked through for where these had them from."""

AT_ONCE = 500
"""Names in one statement."""


def running(
    store: QuotaStore, groups: Iterable[str], offset: int = 0, most: int = 50
) -> tuple[list[Session], int]:
    """What runs, charged to these groups, oldest first: some of it, and how much there is."""
    ids: list[tuple[int, str]] = []
    with store.db.read() as tx:
        for where, values in _within(groups, 0):
            if "closed_at IS NULL" in where:
                rows = tx.all(f"SELECT reserved_at, id FROM session WHERE {where}", *values)  # noqa: S608
                ids += [(row[0], row[1]) for row in rows]
        shown = [id for _, id in sorted(ids)[offset : offset + most]]
        marks = ", ".join("?" * len(shown))
        return find(tx, f"id IN ({marks})", *shown) if shown else [], len(ids)


def below(store: QuotaStore, policy: Policy, *groups: str) -> list[str]:
    """All groups at or below these that the policy names or that were ever charged, by name;
    without WHOLE_HUB, to which nothing is charged."""
    with store.db.read() as tx:
        return names_below(tx, policy, *groups)


def names_below(tx: Transaction, policy: Policy, *groups: str) -> list[str]:
    """The same, within a transaction."""
    rows = tx.all("SELECT group_name FROM subject WHERE user_name = ''")
    tops = set(groups)
    known = {*policy.groups, *tops, *(row[0] for row in rows)} - {WHOLE_HUB}
    return sorted(name for name in known if not tops.isdisjoint(policy.path(name)))


def _within(groups: Iterable[str], since: int) -> Iterator[tuple[str, list[object]]]:
    """Conditions, one after the other, on what was charged to groups and ran at `since` or later.
    The index has groups and ends; what is still open is another part of it."""
    wanted = sorted(set(groups))
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        where = f"group_name IN ({', '.join('?' * len(some))}) AND state <> '{VOIDED}'"
        yield f"{where} AND closed_at IS NULL", [*some]
        yield f"{where} AND closed_at >= ?", [*some, since]


def _newest(
    store: QuotaStore, groups: Iterable[str], column: str, begin: int, end: int, most: int
) -> int:
    """`begin`; or the later instant from which on there are no more than so many, by the instants
    of a column, before `end`."""
    found: list[int] = []
    with store.db.read() as tx:
        for where, values in _within(groups, begin):
            rows = tx.all(
                f"SELECT {column} FROM session WHERE {where} AND {column} >= ? AND {column} < ?"  # noqa: S608
                f" ORDER BY {column} DESC LIMIT ?",
                *(*values, begin, end, most + 1),
            )
            found += [row[0] for row in rows]
    return begin if len(found) <= most else sorted(found, reverse=True)[most - 1]


# -- what if -----------------------------------------------------------------------------------


_one_at_a_time = threading.Lock()
"""Asked at each pause of somebody who types: those who wait don't work against each other."""


def what_if(store: QuotaStore, before: Policy, after: Policy, days: int = 30) -> WhatIf:
    """What the limits that are new or changed in `after` would have done to what has started in
    the last days, if they alone had held. Blocks, for a second or two where there was much.

    Credits do not count. Servers are taken to ask for what they were granted; those that started
    without being decided, since the ledger was away, are decided here.
    """
    with _one_at_a_time:
        return _what_if(store, before, after, days)


def _what_if(store: QuotaStore, before: Policy, after: Policy, days: int) -> WhatIf:
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
        begin=_begin(store, asked),
        full=tuple(_full(store, after, limits, rows, present)),
        sizes=sizes_missing(store, after, *limits),
    )


def _begin(store: QuotaStore, since: int) -> int | None:
    """Of all records; None where there are some from before an instant, or none at all."""
    with store.db.read() as tx:
        # In the order of ids, which is about that of time, the first look finds an old one.
        if tx.one("SELECT 1 FROM session WHERE reserved_at < ? ORDER BY id LIMIT 1", since):
            return None
        row = tx.one("SELECT min(reserved_at) FROM session")
        return row[0] if row else None


def _full(
    store: QuotaStore, policy: Policy, limits: Limits, rows: Iterable[Row], present: int
) -> Iterator[Full]:
    """The limits of which nothing is left now, as the ledger has it: with credits."""
    running = list(_read(row for row in rows if row[-1] is None))
    with store.db.read() as tx:
        view = View(store.points, store.zone, tx, present)
        for name, of_group in limits.items():
            for limit in boosted(of_group, policy.boosts(name), "", present, store.zone):
                if not limit.amount or limit.reaction.size:
                    continue  # what allows nothing needs no saying, and small servers start still
                if limit.scope == GROUP:
                    use = view.use(policy, limit, "")
                    if use.used is not None and use.used >= limit.amount:
                        yield Full(limit, use.used)
                elif limit.scope == MEMBER and limit.window is None:
                    members = _members_at(policy, limit, running, present, store)
                    yield from [Full(limit, members=members)] if members else []


def _members_at(
    policy: Policy, limit: Limit, running: Iterable[Start], present: int, store: QuotaStore
) -> int:
    """How many members have all in use that a cap gives each."""
    used: dict[str, int] = defaultdict(int)
    for start in running:
        if limit.group in policy.path(start.group):
            used[start.user] += in_use(start.charges[-1].amounts, limit.kind.curve)
    raised = policy.boosts(limit.group)
    return sum(
        amount >= boosted([limit], raised, user, present, store.zone)[0].amount
        for user, amount in used.items()
    )


def sizes_missing(store: QuotaStore, policy: Policy, *groups: str) -> tuple[str, ...]:
    """`sizes_needed` of some groups, unless the last starts on this ledger show that servers have
    limits of their own on it. Blocks."""
    needed = {name for group in groups for name in sizes_needed(policy, group)}
    return tuple(
        name for name in MEASURED if name in needed and not _servers_have_their_own(store, name)
    )


def _servers_have_their_own(store: QuotaStore, name: str) -> bool:
    with store.db.read() as tx:
        if any(limit.key == f"{SERVER}.{name}" for limit in _all_limits(store.policies.read(tx))):
            return False  # servers may have had theirs from that
        sql = (
            "SELECT 1 FROM (SELECT document FROM policy_entry ORDER BY version DESC LIMIT ?) last"
            " WHERE document LIKE ? LIMIT 1"
        )
        if tx.one(sql, MOST_CHANGES, f'%"{SERVER}.{name}"%'):
            return False  # or from one that does not hold any more
        rows = tx.all(
            "SELECT charges FROM session WHERE state <> ? ORDER BY id DESC LIMIT ?",
            *(VOIDED, MOST_SIZES),
        )
    return bool(rows) and all(read_charges(row[0])[0].amounts.get(name) for row in rows)


def _all_limits(policy: Policy) -> Iterator[Limit]:
    for group in policy.groups.values():
        yield from group.limits
    for plan in policy.plans.values():
        yield from plan.limits


def _starts(store: QuotaStore, groups: Iterable[str], since: int) -> list[Row]:
    """What was charged to groups and ran at an instant or later, oldest first: for `_read`."""
    rows: list[Row] = []
    with store.db.read() as tx:
        for where, values in _within(groups, since):
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
