"""Who uses what of a group: its members with what each has used and left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .ledger import Segment, one_of
from .limits import MEMBER, STORAGE, Limit
from .points import FOR_EVER, View, decode
from .requests import BURST
from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY, span

MOST = 5000
"""How many members are computed at once; of larger groups, look at the groups below."""

LATELY = 30 * DAY
"""What is told of members without a limit, in microseconds."""

_CHUNK = 400


@dataclass(frozen=True)
class Member:
    """One member.

    Attributes:
        used: of the limit that the page is about; amount x microseconds, or in use now for a cap.
        servers: running now.
        seen: when something of theirs was started or stopped last that these groups were charged
            for; 0 for never.
        limit: the one that `used` is about, with their boosts; None before `with_limits`, and where
            there is none.
    """

    name: str
    used: int = 0
    servers: int = 0
    seen: int = 0
    limit: Limit | None = None


def members(
    store: QuotaStore,
    below: Iterable[str],
    limit: Limit | None,
    known: Iterable[str] = (),
    counted: str = "cpu",
) -> dict[str, Member]:
    """All who were ever charged to some groups, or are known to be in them, by name. Blocks.

    Args:
        below: the group and all groups below it.
        limit: what of their use is told: a limit for members, or else the last LATELY.
        known: who is in the group, and may have used nothing.
        counted: of which resource, where there is no limit.
    """
    with store.db.read() as tx:
        at = store.present(tx)
        if limit is None:
            held: tuple[int, int] | None = (at - LATELY, at)
        else:
            held = span(limit.window, at, store.zone) if limit.window else None
        begin = held[0] if held else at
        curve = limit.kind.curve if limit else counted
        # Two resources of thousands of points: to make whole points of them costs twice as much.
        place, running = store.points.place(tx, curve), store.points.place(tx, "servers")
        beyond = store.points.place(tx, curve + BURST)
        found: dict[str, Member] = {name: Member(name) for name in known}
        for user, now, before, late in _rows(store, tx, sorted(set(below)), begin):
            used, rate = one_of(now.state, place)
            servers = one_of(now.state, running)[1]
            if limit is not None and limit.window is None:
                used = rate + one_of(now.state, beyond)[1]
            elif held is None:
                used = 0
            else:
                used += rate * (at - now.at)
                if before:
                    total, slope = one_of(before.state, place)
                    used -= total + slope * (begin - before.at)
                used += sum(segment.total_between(curve, begin, at) for segment in late)
            seen = at if servers else now.at
            if user in found:
                so_far = found[user]
                used, servers = so_far.used + used, so_far.servers + servers
                seen = max(so_far.seen, seen)
            found[user] = Member(user, used, servers, seen)
        return found


def with_limits(store: QuotaStore, group: str, some: Iterable[Member]) -> list[Member]:
    """These members of a group, each with the limit that holds for them now, and all that counts
    for it: that of a group above is also used elsewhere. Blocks, for each of them."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        found = []
        for one in some:
            limit = member_limit(policy.limits_for(group, one.name, at, store.zone))
            if limit is None:
                found.append(one)
                continue
            use = View(store.points, store.zone, tx, at).use(policy, limit, one.name)
            found.append(replace(one, used=use.used or 0, limit=limit))
        return found


class _Row(NamedTuple):
    """A point as it is stored."""

    at: int
    state: Sequence[int]


def _rows(
    store: QuotaStore, tx: Transaction, groups: list[str], begin: int
) -> Iterable[tuple[str, _Row, _Row | None, Sequence[Segment]]]:
    """Of each member of each group: the user, the last point, the one at or before an instant, and
    late closings since."""
    for start in range(0, len(groups), _CHUNK):
        names = groups[start : start + _CHUNK]
        marks = ", ".join("?" for _ in names)
        late: dict[int, list[Segment]] = {}
        for id, since, until, rates in tx.all(
            "SELECT o.subject, o.since, o.until, o.rates FROM overlay o"  # noqa: S608
            " JOIN subject s ON s.id = o.subject"
            f" WHERE s.group_name IN ({marks}) AND s.user_name <> '' AND o.until > ?",
            *(*names, begin),
        ):
            late.setdefault(id, []).append(Segment(since, until, decode(rates)))
        sql = (
            "SELECT s.id, s.user_name, p.at, p.state FROM subject s"  # noqa: S608
            " JOIN point p ON p.subject = s.id AND p.at ="
            " (SELECT max(q.at) FROM point q WHERE q.subject = s.id AND q.at <= ?)"
            f" WHERE s.group_name IN ({marks}) AND s.user_name <> '' ORDER BY s.id LIMIT {MOST}"
        )
        last = tx.all(sql, FOR_EVER, *names)
        before: dict[int, _Row] = {}
        if any(at > begin for _, _, at, _ in last):
            rows = tx.all(sql, begin, *names)
            before = {id: _Row(at, decode(state)) for id, _, at, state in rows}
        for id, user, at, state in last:
            now = _Row(at, decode(state))
            yield user, now, now if at <= begin else before.get(id), late.get(id, ())


def member_limit(limits: Iterable[Limit]) -> Limit | None:
    """The limit for each member that says most: a budget before a cap. What homes hold is not in
    the ledger."""
    of_members = [one for one in limits if one.scope == MEMBER and one.resource != STORAGE]
    return min(of_members, key=lambda limit: (limit.window is None, limit.key), default=None)
