"""Limits and the ledger in a database. With `transaction` and `schema`, the only SQL.

One transaction reads, decides and appends, so nothing can be oversubscribed, by any number of
hubs that share a ledger. Points are only ever appended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone, tzinfo
from functools import lru_cache

from .decision import Answer, Decision, decide
from .forecast import fits
from .ledger import Charge, Segment, difference, late, negative
from .points import Points, View, encode
from .policy import WHOLE_HUB, Policy
from .policy_store import PolicyStore
from .requests import Amounts, Request, as_request
from .sessions import (
    CLOSED,
    RESERVED,
    RUNNING,
    VOIDED,
    Session,
    find,
    insert,
    print_charges,
    read_charges,
)
from .transaction import Transaction
from .watch import say_place

SEEN = -1
"""For the end of a session: when it was seen running last."""

_OPEN = "id = ? AND closed_at IS NULL"
_A_YEAR = 366 * 24 * 3_600_000_000


class QuotaStore(PolicyStore):
    """Limits and the ledger.

    Args:
        url: an SQLAlchemy URL: SQLite, or PostgreSQL with psycopg 3.
        zone: the hub's time zone, for days, weeks, months and quarters.
        hub: the name of this hub, where several share a ledger.
        clock: microseconds since 1970, UTC. On PostgreSQL the database's own if not given: one
            clock for all hubs.
    """

    def __init__(
        self,
        url: str,
        zone: tzinfo = timezone.utc,
        hub: str = "hub",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.points = Points()
        self.zone, self.hub = zone, hub
        super().__init__(url, self.points.forget_ids, clock)

    def moved(self, tx: Transaction, before: Policy, after: Policy, at: int) -> None:
        """Charge what runs to the ancestors that its group has now."""
        if before.parents == after.parents:
            return
        moved: list[tuple[Session, list[int]]] = []
        for session in find(tx, "closed_at IS NULL", change=True):
            path = after.path(session.group)
            if path != before.path(session.group):
                names = [(session.user, session.group), *(("", group) for group in path)]
                moved.append((session, self.points.subjects(tx, names)))
        # All at once: one by one would be a second order of locks.
        tx.lock(id for s, ids in moved for id in (*s.charges[-1].subjects, *ids))
        for session, ids in moved:
            self._recharge(tx, session, ids, session.granted, at)

    # -- the life of a session -----------------------------------------------------------------

    def reserve(
        self,
        id: str,
        user: str,
        server: str,
        groups: Sequence[str],
        request: Request | Amounts,
        hub: str = "",
        profile: str = "",
        always: bool = False,
    ) -> Answer:
        """Charge the first of `groups` that admits `request`, and open a session for it.

        Decided and written in one transaction. The same id again is answered as the first time,
        and charged once.

        Args:
            groups: at least one, in the order in which to try them.
            hub: who tells how it goes on, if that is not this hub.
            profile: what the user chose it by, for reports.
            always: whether it starts, charged to the first group, also where none admits it.
        """
        if self.db.postgres:
            self._make_subjects(user, groups)
        with self.db.write() as tx:
            tx.hold_policy()
            policy = self.policies.read(tx)
            view = self._lock(tx, policy, user, groups)
            known = tx.one("SELECT group_name, charges FROM session WHERE id = ?", id)
            if known:
                amounts = read_charges(known[1])[0].amounts
                return Answer((Decision(known[0], amounts, (), as_request(request)),))
            decisions = []
            for group in groups:
                decisions.append(self._decide(view, policy, user, group, request))
                if decisions[-1].allowed:
                    break
            if always and not decisions[-1].allowed:
                decisions.append(replace(decisions[0], always=True))
            answer = Answer(tuple(decisions))
            if granted := answer.granted:
                self._open(tx, view, policy, id, user, server, granted, hub or self.hub, profile)
            return answer

    def _make_subjects(self, user: str, groups: Sequence[str]) -> None:
        """Before a reservation, within which it would be a second order of locks. On SQLite a
        writer is alone anyway."""
        with self.db.read() as tx:
            policy = self.policies.read(tx)
        above = [("", name) for group in groups for name in policy.path(group)]
        self.points.make_subjects(self.db, [*((user, group) for group in groups), *above])

    def explain(
        self, user: str, groups: Sequence[str], request: Request | Amounts
    ) -> list[Decision]:
        """What `reserve` would say of each group, without reserving."""
        return [decisions[0] for decisions in self.explain_all(user, groups, [request])]

    def explain_all(
        self,
        user: str,
        groups: Sequence[str],
        requests: Sequence[Request | Amounts],
        without: str = "",
    ) -> list[list[Decision]]:
        """The same of several requests, group by group.

        Args:
            without: the id of a session that would have ended by then.
        """
        with self.db.read() as tx:
            policy = self.policies.read(tx)
            gone = next(iter(find(tx, _OPEN, without)), None) if without else None
            less, where = (gone.granted, gone.path) if gone else ({}, None)
            view = View(self.points, self.zone, tx, self.present(tx), less, where)
            return [[self._decide(view, policy, user, g, r) for r in requests] for g in groups]

    def _decide(
        self, view: View, policy: Policy, user: str, group: str, request: Request | Amounts
    ) -> Decision:
        today = datetime.fromtimestamp(view.at // 10**6, timezone.utc).astimezone(self.zone).date()
        return decide(
            group,
            request,
            policy.limits_for(group, user, view.at, self.zone),
            lambda limit: view.use(policy, limit, user),
            lambda amounts: policy.cost_rate(amounts, today),
        )

    def _lock(self, tx: Transaction, policy: Policy, user: str, groups: Sequence[str]) -> View:
        names = {("", name) for group in groups for name in policy.path(group)}
        ids = self.points.subjects(tx, [*((user, group) for group in groups), *sorted(names)])
        tx.lock(ids)
        return View(self.points, self.zone, tx, self.present(tx))

    def _open(
        self,
        tx: Transaction,
        view: View,
        policy: Policy,
        id: str,
        user: str,
        server: str,
        decision: Decision,
        hub: str,
        profile: str,
    ) -> None:
        path = policy.path(decision.group)
        ids = self.points.subjects(tx, [(user, decision.group), *(("", name) for name in path)])
        at = self.points.append(tx, ids, view.at, decision.amounts, view.last)
        charge = Charge(at, tuple(ids), decision.amounts)
        insert(tx, id, hub, user, server, decision.group, path, RESERVED, charge, at, profile)

    def adopt(
        self, id: str, user: str, server: str, group: str, amounts: Amounts, since: int
    ) -> bool:
        """Charge a server that has been running since an instant, without asking any limit; False
        where its session is known. For what started while the ledger could not be reached."""
        if self.db.postgres:
            self._make_subjects(user, [group])
        with self.db.write() as tx:
            tx.hold_policy()
            policy = self.policies.read(tx)
            view = self._lock(tx, policy, user, [group])
            if tx.one("SELECT id FROM session WHERE id = ?", id):
                return False
            path = policy.path(group)
            ids = self.points.subjects(tx, [(user, group), *(("", name) for name in path)])
            at = self.points.append(tx, ids, view.at, amounts, view.last)
            charge = Charge(min(since, at), tuple(ids), dict(amounts))
            for subject in ids if charge.since < at else []:
                self.lay_over(tx, id, subject, Segment(charge.since, at, dict(amounts)))
            insert(tx, id, self.hub, user, server, group, path, RUNNING, charge, at)
            return True

    def amend(self, id: str, request: Request | Amounts) -> Decision | None:
        """Decide again for a session that asks for something else than it was granted, and charge
        it for that if it is admitted; None where it is over."""
        with self.db.write() as tx:
            tx.hold_policy()
            policy = self.policies.read(tx)
            session = next(iter(find(tx, _OPEN, id, change=True)), None)
            if session is None:
                return None
            tx.lock(session.charges[-1].subjects)
            view = View(self.points, self.zone, tx, self.present(tx), less=session.granted)
            decision = self._decide(view, policy, session.user, session.group, request)
            if decision.allowed and decision.amounts != session.granted:
                ids = list(session.charges[-1].subjects)
                self._recharge(tx, session, ids, decision.amounts, view.at)
            return decision

    def start(self, id: str) -> bool:
        """The server of a reserved session is up; False where it was known, or is over."""
        with self.db.write() as tx:
            count = tx.run(
                "UPDATE session SET state = ?, started_at = ? WHERE id = ? AND state = ?",
                *(RUNNING, self.present(tx), id, RESERVED),
            )
            return count > 0

    def close_session(self, id: str, reason: str, at: int | None = None) -> bool:
        """End a session; False where it had ended already, or never began.

        Args:
            at: when it ended, if that was earlier than now; microseconds since 1970, UTC, or SEEN.
                Exact for every window: what was counted since is taken off again.
        """
        return self._end(id, reason, CLOSED, at)

    def void(self, id: str, reason: str) -> bool:
        """End a session as if it had never been; False where it is over already."""
        return self._end(id, reason, VOIDED, 0)

    def _end(self, id: str, reason: str, state: str, at: int | None) -> bool:
        with self.db.write() as tx:
            session = next(iter(find(tx, _OPEN, id, change=True)), None)
            if session is None:
                return False
            charge = session.charges[-1]
            tx.lock(charge.subjects)
            at = session.seen_at if at == SEEN else at
            last = {subject: self.points.last(tx, subject) for subject in charge.subjects}
            latest = max(self.points.stamp(self.present(tx), last.values()), charge.since)
            ended = latest if at is None else min(max(at, session.reserved_at), latest)
            known = self.points.append(
                *(tx, charge.subjects, max(ended, charge.since), negative(charge.amounts)),
                *(last.__getitem__, latest),
            )
            for subject, segments in late(session.charges, ended, known).items():
                for segment in segments:
                    self.lay_over(tx, id, subject, segment)
            order = tx.one("SELECT why FROM stop_order WHERE session = ? AND at <= ?", id, ended)
            tx.run("DELETE FROM stop_order WHERE session = ?", id)
            tx.run(
                "UPDATE session SET state = ?, closed_at = ?, reason = ? WHERE id = ?",
                *(state, ended, say_place(order[0]) if order else reason, id),
            )
            return True

    def lay_over(self, tx: Transaction, id: str, subject: int, segment: Segment) -> None:
        tx.run(
            "INSERT INTO overlay (subject, since, until, rates, session) VALUES (?, ?, ?, ?, ?)",
            *(subject, segment.since, segment.until, encode(dict(segment.rates)), id),
        )

    def resize(self, id: str, amounts: Amounts) -> bool:
        """Charge a session for other amounts from now on; False where it is over.

        It has been decided elsewhere: this does not look at limits.
        """
        with self.db.write() as tx:
            session = next(iter(find(tx, _OPEN, id, change=True)), None)
            if session is None:
                return False
            subjects = session.charges[-1].subjects
            tx.lock(subjects)
            self._recharge(tx, session, list(subjects), amounts, self.present(tx))
            return True

    def _recharge(
        self, tx: Transaction, session: Session, subjects: list[int], amounts: Amounts, at: int
    ) -> None:
        """From `at` on, charge a session for `amounts` to `subjects`. All that are or were charged
        get a point at one instant, also where nothing changes for them, so that their clocks agree
        when the session ends."""
        charge = session.charges[-1]
        touched = sorted({*charge.subjects, *subjects})
        tx.lock(touched)
        stamp = self.points.stamp(at, [self.points.last(tx, id) for id in touched])
        at = max(stamp, charge.since)
        for id in touched:
            before = charge.amounts if id in charge.subjects else {}
            after = amounts if id in subjects else {}
            self.points.append(tx, [id], at, difference(before, after))
        charges = [*session.charges, Charge(at, tuple(subjects), dict(amounts))]
        tx.run("UPDATE session SET charges = ? WHERE id = ?", print_charges(charges), session.id)

    def seen(self, when: Mapping[str, int], used: Mapping[str, int] | None = None) -> None:
        """These sessions ran at these instants; microseconds since 1970, UTC.

        Args:
            used: when their servers were used last.
        """
        sql = "UPDATE session SET {0} = ? WHERE id = ? AND closed_at IS NULL AND {0} < ?"
        with self.db.write() as tx:
            for column, instants in (("seen_at", when), ("used_at", used or {})):
                for id, at in sorted(instants.items()):
                    tx.run(sql.format(column), at, id, at)

    def again(self, user: str, decision: Decision, horizon: int = _A_YEAR) -> int | None:
        """When a refused server would be admitted, if everything else goes on as now.

        None where that can't be told: a cap waits for somebody to stop a server, and what has no
        size waits for an admin who sets one.
        """
        if decision.unsized or any(check.limit.window is None for check in decision.refusals):
            return None
        with self.db.read() as tx:
            policy, view = (
                self.policies.read(tx),
                View(self.points, self.zone, tx, self.present(tx)),
            )
            budgets = [
                view.budget(policy, check.limit, user)
                for check in decision.checks
                if check.limit.window and check.asked
            ]
        needs = [1] * len(budgets)  # a budget admits as long as something is left of it
        return fits(budgets, needs, view.at, view.at + horizon, self.zone)

    # -- what there is -------------------------------------------------------------------------

    def open_sessions(self, user: str | None = None) -> list[Session]:
        """Sessions that have not ended, oldest first: of one user, or of all."""
        with self.db.read() as tx:
            if user is None:
                return find(tx, "closed_at IS NULL")
            return find(tx, "closed_at IS NULL AND user_name = ?", user)

    def session(self, id: str) -> Session | None:
        """One session, open or not."""
        with self.db.read() as tx:
            return next(iter(find(tx, "id = ?", id)), None)

    def sessions(self, since: int = 0) -> list[Session]:
        """All sessions that were open at `since` or later, oldest first."""
        with self.db.read() as tx:
            return find(tx, "closed_at IS NULL OR closed_at >= ?", since)

    def group_use(self) -> dict[str, Amounts]:
        """What each group that was ever charged has in use now, with what is below it; without
        WHOLE_HUB."""
        with self.db.read() as tx:
            rows = tx.all(
                "SELECT id, group_name FROM subject WHERE user_name = '' AND group_name <> ?",
                WHOLE_HUB,
            )
            return {group: self.points.last(tx, id).rate for id, group in rows}

    def in_use(self, group: str) -> Amounts:
        """What a group, with what is below it, has in use now."""
        with self.db.read() as tx:
            row = tx.one("SELECT id FROM subject WHERE user_name = '' AND group_name = ?", group)
            return self.points.last(tx, row[0]).rate if row else {}

    def course(self, group: str, resource: str, instants: Sequence[int]) -> list[int]:
        """What a group, with all below it, has used from the first of rising instants up to each;
        amount x microseconds."""
        with self.db.read() as tx:
            row = tx.one("SELECT id FROM subject WHERE user_name = '' AND group_name = ?", group)
            if not row:
                return [0 for _ in instants]
            view = View(self.points, self.zone, tx, instants[-1])
            return [view.between(row[0], resource, instants[0], each) for each in instants]

    def used(self, group: str, user: str, resource: str, begin: int, end: int) -> int:
        """What a member of a group, or the group with all below it (user `''`), used within a
        span; amount x microseconds."""
        with self.db.read() as tx:
            view = View(self.points, self.zone, tx, end)
            row = tx.one(
                "SELECT id FROM subject WHERE user_name = ? AND group_name = ?", user, group
            )
            return view.between(row[0], resource, begin, end) if row else 0


@lru_cache
def open_store(url: str, zone: tzinfo = timezone.utc, hub: str = "hub") -> QuotaStore:
    """The one store of this process for a database."""
    return QuotaStore(url, zone, hub)
