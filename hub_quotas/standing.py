"""What the ledger says of one user: their groups, what runs, what ran. One transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from .decision import Check, Decision, decide
from .limits import Limit
from .points import View
from .policy import Policy
from .requests import Amounts, Request, once_more
from .sessions import CLOSED, RUNNING, find, read_charges
from .store import QuotaStore
from .transaction import Transaction
from .usage import (
    AHEAD,
    SERVICE,
    Choice,
    Ended,
    GroupStanding,
    History,
    Line,
    Outlook,
    Running,
    Standing,
    ends_of,
    largest,
    look_out,
    shortest_ends,
    size,
    used_by,
)
from .watch import Order
from .windows import day_end

DAYS = 30
"""For which there is a history."""
PAGE = 25
"""How many ended servers are shown at once."""

_DAY = 24 * 3600 * 10**6
_FEW_POINTS, _MOST_POINTS = 8, 250
"""How much of what leaves a window is read: to say when it begins to, and also when what is left
runs out, where that can be soon."""
_MOST_CHOICES = 3


def standing(
    store: QuotaStore, user: str, groups: Sequence[str], offset: int = 0, limit: int = PAGE
) -> Standing:
    """Where a user stands now. Blocks.

    Args:
        groups: theirs in the hub.
        offset, limit: of the servers that ended, the last one first.
    """
    with store.db.read() as tx:
        reading = _Reading(store, tx, user)
        history = reading.history(offset, limit)
        lately = reading.history(0, PAGE) if offset or limit < PAGE else history
        running = reading.running()
        choices = _choices([*running, *lately.items])
        order = reading.policy.in_order(groups)
        found = tuple(reading.group(group, choices) for group in order)
        return Standing(reading.at, found, running, history)


def running(store: QuotaStore, user: str) -> tuple[Running, ...]:
    """The servers of a user, oldest first. Blocks."""
    with store.db.read() as tx:
        return _Reading(store, tx, user).running()


def history(store: QuotaStore, user: str, offset: int = 0, limit: int = PAGE) -> History:
    """The servers of a user that ended within the last DAYS. Blocks."""
    with store.db.read() as tx:
        return _Reading(store, tx, user).history(offset, limit)


def tightest(
    store: QuotaStore, user: str, groups: Iterable[str], most: int
) -> list[tuple[str, list[Check]]]:
    """Of each group that limits a user, the few limits of which most is used, the highest share
    first. Blocks."""
    with store.db.read() as tx:
        reading = _Reading(store, tx, user)
        found = []
        for group in reading.policy.in_order(groups):
            checks = reading.decide(group, Request({})).checks
            lines = [
                Line(c) for c in checks if c.limit.scope != "server" and c.use.used is not None
            ]
            lines.sort(key=lambda line: line.share, reverse=True)
            if lines:
                found.append((group, [line.check for line in lines[:most]]))
        return found


class _Reading:
    """One user's, in one transaction."""

    def __init__(self, store: QuotaStore, tx: Transaction, user: str) -> None:
        self._tx, self._user, self._zone = tx, user, store.zone
        self.policy: Policy = store.policies.read(tx)
        self.at = store.present(tx)
        self._view = View(store.points, store.zone, tx, self.at)
        self._outlooks: dict[Limit, Outlook] = {}
        here = datetime.fromtimestamp(self.at // 10**6, timezone.utc).astimezone(store.zone)
        self._today = here.date()

    def group(self, group: str, choices: Sequence[tuple[str, Request]]) -> GroupStanding:
        limits = self.policy.limits_for(group, self._user, self.at, self._zone)
        smallest = self.decide(group, Request({}))
        request = largest(smallest)
        most = self.decide(group, request) if request and not smallest.full else None
        tried = [Choice(name, self.decide(group, asked)) for name, asked in choices]
        if smallest.unsized and not request and not tried:
            tried.append(Choice("", smallest))  # nobody knows what this hub offers
        days_of, days = self._days(group)
        return GroupStanding(
            group=group,
            lines=tuple(Line(check, self._outlook(check.limit)) for check in smallest.checks),
            decision=smallest,
            largest=most if most and most.allowed else None,
            ends=shortest_ends(limits),
            storage=tuple(limit for limit in limits if limit.resource == "storage"),
            days=days,
            days_of=days_of,
            choices=tuple(
                one for one in tried if size(one.decision.amounts) or one.decision.unsized
            ),
        )

    def decide(self, group: str, request: Request) -> Decision:
        return decide(
            group,
            request,
            self.policy.limits_for(group, self._user, self.at, self._zone),
            lambda limit: self._view.use(self.policy, limit, self._user),
            lambda amounts: self.policy.cost_rate(amounts, self._today),
        )

    def _outlook(self, limit: Limit) -> Outlook:
        if limit.window is None:
            return Outlook()
        if limit not in self._outlooks:
            self._outlooks[limit] = self._look_out(limit)
        return self._outlooks[limit]

    def _look_out(self, limit: Limit) -> Outlook:
        use = self._view.use(self.policy, limit, self._user)
        if use.used is None:
            return Outlook()
        soon = limit.amount - use.used <= use.rate * AHEAD
        most = _MOST_POINTS if soon else _FEW_POINTS
        reach = self._view.reach(self.policy, limit, self._user, most)
        budget = self._view.budget(self.policy, limit, self._user, reach)
        return look_out(budget, use.used, use.rate, self.at, reach, self._zone)

    def _days(self, group: str) -> tuple[str, tuple[int, ...]]:
        """What was used on each of the last days, and of what: CPU, or servers where none is
        counted."""
        id = self._view.member(self._user, group)
        if id is None:
            return "cpu", ()
        first = self._today - timedelta(days=DAYS)
        edges = [day_end(first + timedelta(days=day), self._zone) for day in range(DAYS)]
        spans = list(zip(edges, [*edges[1:], self.at], strict=True))
        for name in ("cpu", "servers"):
            days = tuple(self._view.between(id, name, begin, end) for begin, end in spans)
            if any(days):
                return name, days
        return "cpu", ()

    def running(self) -> tuple[Running, ...]:
        sessions = find(self._tx, "closed_at IS NULL AND user_name = ?", self._user)
        if not sessions:
            return ()
        rows = self._tx.all(
            "SELECT s.id, s.used_at, o.at, o.why FROM session s"
            " LEFT JOIN stop_order o ON o.session = s.id"
            " WHERE s.closed_at IS NULL AND s.user_name = ?",
            self._user,
        )
        more = {id: (used, Order(id, at, why) if at else None) for id, used, at, why in rows}
        found = []
        for s in sessions:
            used_at, order = more[s.id]
            since = s.started_at or s.reserved_at
            limits = self.policy.limits_for(s.group, self._user, self.at, self._zone)
            ends = ends_of(
                limits, self._user, s.granted, since, used_at or None, order, self._outlook
            )
            up = s.state == RUNNING or s.hub.startswith(SERVICE)
            found.append(
                Running(s.id, s.hub, s.server, s.group, s.profile, s.granted, since, up, ends)
            )
        return tuple(found)

    def history(self, offset: int, limit: int) -> History:
        mine = (self._user, CLOSED, self.at - DAYS * _DAY)
        rows = self._tx.all(
            "SELECT id, server_name, group_name, profile, charges, reserved_at, closed_at, reason"
            " FROM session WHERE user_name = ? AND state = ? AND closed_at >= ?"
            " ORDER BY closed_at DESC, id DESC LIMIT ? OFFSET ?",
            *(*mine, limit, offset),
        )
        count = self._tx.one(
            "SELECT count(*) FROM session WHERE user_name = ? AND state = ? AND closed_at >= ?",
            *mine,
        )
        items = []
        for id, server, group, profile, text, begin, end, reason in rows:
            charges = read_charges(text)
            used = used_by(charges, end)
            draws: Amounts = charges[-1].amounts
            items.append(Ended(id, server, group, profile, draws, begin, end, reason or "", used))
        return History(tuple(items), offset, count[0] if count else 0)


def _choices(servers: Iterable[Running | Ended]) -> list[tuple[str, Request]]:
    """What was started lately: of each profile the last size, and of each size without one; no
    size is one of them."""
    found: dict[tuple[str, str], tuple[str, Request]] = {}
    for server in servers:
        what = size(server.draws)
        key = (server.profile, "" if server.profile else repr(what))
        if key not in found and len(found) < _MOST_CHOICES:
            found[key] = (server.profile, once_more(server.draws))
    return list(found.values())
