"""Limits and the ledger in a database. With `transaction` and `schema`, the only SQL.

One transaction reads, decides and appends, so nothing can be oversubscribed, by any number of
hubs that share a ledger. Points are only ever appended.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from typing import Any

from . import migrate
from .decision import Amounts, Decision, Use, decide
from .forecast import Budget, fits, merged
from .ledger import (
    POSITIONS,
    Charge,
    Point,
    Segment,
    credited,
    difference,
    droppable,
    late,
    negative,
    pack,
    step,
    unpack,
)
from .limits import GROUP, SERVER, Limit
from .policy import (
    Policy,
    checked,
    edited,
    parse_group,
    parse_plan,
    parse_prices,
    print_group,
    print_plan,
    print_prices,
)
from .transaction import Database, LedgerError, Row, Transaction
from .windows import span

RESERVED, RUNNING, CLOSED, VOIDED = "reserved", "running", "closed", "voided"

CLOCK_AHEAD = 10 * 60 * 10**6
"""Microseconds by which the ledger may be ahead of the clock; beyond it, the clock is wrong."""

_SESSIONS = (
    "SELECT id, hub, user_name, server_name, group_name, path, state, charges, reserved_at,"
    " started_at, seen_at, closed_at, reason FROM session"
)
_FOR_EVER = 2**62
_A_YEAR = 366 * 24 * 3_600_000_000
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps builds one at each call


@dataclass(frozen=True)
class Session:
    """A server that is or was charged for.

    Attributes:
        id: its own, as users and servers can be renamed.
        path: the charged group and its ancestors, when it was reserved.
        charges: what it was charged for, and to which subjects, over time.
        reserved_at, started_at, seen_at, closed_at: microseconds since 1970, UTC.
    """

    id: str
    hub: str
    user: str
    server: str
    group: str
    path: tuple[str, ...]
    state: str
    charges: tuple[Charge, ...]
    reserved_at: int
    started_at: int | None
    seen_at: int
    closed_at: int | None
    reason: str | None

    @property
    def granted(self) -> Amounts:
        """What it holds, or held last."""
        return self.charges[-1].amounts


@dataclass(frozen=True)
class Answer:
    """What `reserve` came to: the decision that admits, or those that refuse, in their order."""

    decisions: tuple[Decision, ...]

    @property
    def granted(self) -> Decision | None:
        last = self.decisions[-1]
        return last if last.allowed else None


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def new_id(at: int) -> str:
    """A session id: UUID version 7 (RFC 9562), so that later ones sort behind earlier ones."""
    random = int.from_bytes(os.urandom(10), "big")
    high = (at // 1000) << 16 | 0x7000 | random >> 68
    low = 0x8000000000000000 | random & 0x3FFFFFFFFFFFFFFF
    return f"{high << 64 | low:032x}"


class QuotaStore:
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
        self.zone, self.hub, self._clock = zone, hub, clock
        self._db = Database(url)
        with self._db.named_errors():
            migrate.upgrade(self._db.engine)
        self._ids: dict[tuple[str, str], int] = {}  # an id is for ever
        self._names: list[str] = list(POSITIONS)
        self._known = (0, Policy())

    def close(self) -> None:
        self._db.close()

    # -- the policy --------------------------------------------------------------------------

    def policy(self) -> Policy:
        """What holds now."""
        with self._db.read() as tx:
            return self._policy(tx)

    def set_limit(self, group: str, key: str, value: object, who: str, via: str) -> None:
        """Set one limit of a group, or remove it (None). Holds from the next start on.

        Args:
            value: as written in a policy.
            who: the user who does it, for the audit log.
            via: by what means: `page`, `cli`.

        Raises:
            PolicyError: for a limit that can't be read; nothing is written.
        """
        with self._db.write() as tx:
            self._replace(tx, edited(self._policy(tx), group, key, value), who, via)

    def apply(self, policy: Policy, who: str, via: str) -> None:
        """Make `policy` all that holds. Open sessions of a group that moves in the tree are charged
        to its new ancestors from now on."""
        with self._db.write() as tx:
            self._replace(tx, policy, who, via)

    def audit(self, group: str | None = None) -> list[dict[str, Any]]:
        """All changes of the policy, newest first: of one group, or all. Each with what the entry
        was before."""
        with self._db.read() as tx:
            rows = tx.all(
                "SELECT version, kind, name, document, at, who, via, why FROM policy_entry"
                " ORDER BY version"
            )
        columns = ("version", "kind", "name", "after", "at", "who", "via", "why")
        last: dict[tuple[str, str], Any] = {}
        found = []
        for row in rows:
            entry = dict(zip(columns, row, strict=True))
            entry["after"] = entry["after"] and json.loads(entry["after"])
            entry["before"] = last.get((entry["kind"], entry["name"]))
            last[entry["kind"], entry["name"]] = entry["after"]
            if group is None or (entry["kind"], entry["name"]) == ("group", group):
                found.append(entry)
        return found[::-1]

    def _policy(self, tx: Transaction) -> Policy:
        """What holds now; only entries that are new are read."""
        version, policy = self._known
        row = tx.one("SELECT max(version) FROM policy_entry")
        latest = (row and row[0]) or 0
        if latest == version:
            return policy
        groups, plans, prices = dict(policy.groups), dict(policy.plans), policy.prices
        for kind, name, document in tx.all(
            "SELECT kind, name, document FROM policy_entry"
            " WHERE version > ? AND version <= ? ORDER BY version",
            version,
            latest,
        ):
            spec = json.loads(document) if document is not None else None
            if kind == "prices":
                prices = parse_prices(spec)
            elif kind == "plan":
                _put(plans, name, None if spec is None else parse_plan(name, spec))
            else:
                _put(groups, name, None if spec is None else parse_group(name, spec))
        policy = checked(Policy(groups, plans, prices))
        self._known = (latest, policy)
        return policy

    def _replace(self, tx: Transaction, policy: Policy, who: str, via: str) -> None:
        before, at = self._policy(tx), self._now(tx)
        old, new = _documents(before), _documents(policy)
        for kind, name in sorted(old.keys() | new.keys()):
            document = new.get((kind, name))
            if document != old.get((kind, name)):
                tx.run(
                    "INSERT INTO policy_entry (kind, name, document, at, who, via)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    *(kind, name, document, at, who, via),
                )
        self._move_sessions(tx, before, policy, at)

    def _move_sessions(self, tx: Transaction, before: Policy, after: Policy, at: int) -> None:
        """Charge what runs to the ancestors that its group has now."""
        for session in self._sessions(tx, "closed_at IS NULL"):
            path = after.path(session.group)
            if path != before.path(session.group):
                names = [(session.user, session.group), *(("", group) for group in path)]
                ids = self._subjects(tx, names)
                self._recharge(tx, session, ids, session.granted, at)

    # -- the life of a session -----------------------------------------------------------------

    def reserve(
        self, id: str, user: str, server: str, groups: Sequence[str], request: Amounts
    ) -> Answer:
        """Charge the first of `groups` that admits `request`, and open a session for it.

        Decided and written in one transaction. The same id again is answered as the first time,
        and charged once.

        Args:
            groups: at least one, in the order in which to try them.
        """
        with self._db.read() as tx:
            policy = self._policy(tx)
        paths = {group: policy.path(group) for group in groups}
        self._make_subjects([(user, group) for group in groups])
        self._make_subjects([("", name) for path in paths.values() for name in path])
        with self._db.write() as tx:
            policy = self._policy(tx)
            known = tx.one("SELECT group_name, charges FROM session WHERE id = ?", id)
            if known:
                return Answer((Decision(known[0], _charges(known[1])[0].amounts, ()),))
            view = self._lock(tx, policy, user, groups)
            decisions = []
            for group in groups:
                decision = self._decide(view, policy, user, group, request)
                decisions.append(decision)
                if decision.allowed:
                    self._open(tx, view, policy, id, user, server, decision)
                    break
            return Answer(tuple(decisions))

    def explain(self, user: str, groups: Sequence[str], request: Amounts) -> list[Decision]:
        """What `reserve` would say of each group, without reserving."""
        with self._db.read() as tx:
            policy = self._policy(tx)
            view = _View(self, tx, self._now(tx))
            return [self._decide(view, policy, user, group, request) for group in groups]

    def _decide(
        self, view: _View, policy: Policy, user: str, group: str, request: Amounts
    ) -> Decision:
        today = datetime.fromtimestamp(view.at // 10**6, timezone.utc).astimezone(self.zone).date()
        return decide(
            group,
            request,
            policy.limits(group),
            lambda limit: view.use(policy, limit, user),
            lambda amounts: policy.cost_rate(amounts, today),
        )

    def _lock(self, tx: Transaction, policy: Policy, user: str, groups: Sequence[str]) -> _View:
        names = {("", name) for group in groups for name in policy.path(group)}
        ids = self._subjects(tx, [*((user, group) for group in groups), *sorted(names)])
        tx.lock(ids)
        return _View(self, tx, self._now(tx))

    def _open(
        self,
        tx: Transaction,
        view: _View,
        policy: Policy,
        id: str,
        user: str,
        server: str,
        decision: Decision,
    ) -> None:
        path = policy.path(decision.group)
        ids = self._subjects(tx, [(user, decision.group), *(("", name) for name in path)])
        at = self._append(tx, ids, view.at, decision.amounts, view.last)
        charge = Charge(at, tuple(ids), decision.amounts)
        tx.run(
            "INSERT INTO session (id, hub, user_name, server_name, group_name, path, state,"
            " charges, reserved_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(id, self.hub, user, server, decision.group, _encode(path), RESERVED),
            *(_print_charges([charge]), at, at),
        )

    def start(self, id: str) -> bool:
        """The server of a reserved session is up; False where it was known, or is over."""
        with self._db.write() as tx:
            count = tx.run(
                "UPDATE session SET state = ?, started_at = ? WHERE id = ? AND state = ?",
                *(RUNNING, self._now(tx), id, RESERVED),
            )
            return count > 0

    def close_session(self, id: str, reason: str, at: int | None = None) -> bool:
        """End a session; False where it had ended already, or never began.

        Args:
            at: when it ended, if that was earlier than now; microseconds since 1970, UTC. What was
                counted since is taken off again, exactly, whatever window is asked for.
        """
        return self._end(id, reason, CLOSED, at)

    def void(self, id: str, reason: str) -> bool:
        """End a session as if it had never been; False where it is over already."""
        return self._end(id, reason, VOIDED, 0)

    def _end(self, id: str, reason: str, state: str, at: int | None) -> bool:
        with self._db.write() as tx:
            session = next(iter(self._sessions(tx, "id = ? AND closed_at IS NULL", id)), None)
            if session is None:
                return False
            charge = session.charges[-1]
            tx.lock(charge.subjects)
            known = self._append(
                tx, charge.subjects, self._now(tx), negative(charge.amounts), charge.since
            )
            ended = known if at is None else min(max(at, session.reserved_at), known)
            for subject, segments in late(session.charges, ended, known).items():
                for segment in segments:
                    tx.run(
                        "INSERT INTO overlay (subject, since, until, rates, session)"
                        " VALUES (?, ?, ?, ?, ?)",
                        *(subject, segment.since, segment.until, _encode(dict(segment.rates)), id),
                    )
            tx.run(
                "UPDATE session SET state = ?, closed_at = ?, reason = ? WHERE id = ?",
                *(state, ended, reason, id),
            )
            return True

    def resize(self, id: str, amounts: Amounts) -> bool:
        """Charge a session for other amounts from now on; False where it is over.

        It has been decided elsewhere: this does not look at limits.
        """
        with self._db.write() as tx:
            session = next(iter(self._sessions(tx, "id = ? AND closed_at IS NULL", id)), None)
            if session is None:
                return False
            subjects = session.charges[-1].subjects
            tx.lock(subjects)
            self._recharge(tx, session, list(subjects), amounts, self._now(tx))
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
        at = max([at, charge.since, *(self._last(tx, id).at for id in touched)])
        for id in touched:
            before = charge.amounts if id in charge.subjects else {}
            after = amounts if id in subjects else {}
            self._append(tx, [id], at, difference(before, after))
        charges = [*session.charges, Charge(at, tuple(subjects), dict(amounts))]
        tx.run("UPDATE session SET charges = ? WHERE id = ?", _print_charges(charges), session.id)

    def adjust(self, group: str, user: str, resource: str, amount: int, who: str, why: str) -> None:
        """Take `amount` off what a member of a group has used, or the group itself (user `''`).

        Args:
            resource: as on the curve: `cpu`, `cost`.
            amount: amount x microseconds; negative to add. Counts in the windows that hold now.
        """
        self._make_subjects([(user, group)])
        with self._db.write() as tx:
            (id,) = self._subjects(tx, [(user, group)])
            tx.lock([id])
            last = self._last(tx, id)
            at = self._stamp(self._now(tx), [last])
            self._write_point(tx, id, last, credited(last, at, resource, amount))
            tx.run(
                "INSERT INTO correction (subject, at, resource, amount, who, why)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                *(id, at, resource, str(amount), who, why),
            )

    def seen(self, ids: Iterable[str]) -> None:
        """These sessions run at this moment."""
        with self._db.write() as tx:
            at = self._now(tx)
            for id in sorted(ids):
                tx.run("UPDATE session SET seen_at = ? WHERE id = ? AND closed_at IS NULL", at, id)

    def again(self, user: str, decision: Decision, horizon: int = _A_YEAR) -> int | None:
        """When a refused server would be admitted, if everything else goes on as now.

        None where that can't be told: a cap waits for somebody to stop a server.
        """
        if any(check.limit.window is None for check in decision.refusals):
            return None
        with self._db.read() as tx:
            policy, view = self._policy(tx), _View(self, tx, self._now(tx))
            budgets = [
                view.budget(policy, check.limit, user)
                for check in decision.checks
                if check.limit.window and check.asked
            ]
        needs = [1] * len(budgets)  # a budget admits as long as something is left of it
        return fits(budgets, needs, view.at, view.at + horizon, self.zone)

    def prune(self, exact_since: int, boundaries: Iterable[int]) -> int:
        """Drop points that no answer about what follows `exact_since` needs, nor about the spans
        between `boundaries`. Returns how many. One subject a transaction: nobody waits for long."""
        kept = sorted(boundaries)
        with self._db.read() as tx:
            subjects = [row[0] for row in tx.all("SELECT id FROM subject ORDER BY id")]
        dropped = 0
        for id in subjects:
            with self._db.write() as tx:
                tx.lock([id])
                rows = tx.all("SELECT at FROM point WHERE subject = ? ORDER BY at", id)
                for at in droppable([row[0] for row in rows], exact_since, kept):
                    dropped += tx.run("DELETE FROM point WHERE subject = ? AND at = ?", id, at)
        return dropped

    # -- what there is -------------------------------------------------------------------------

    def open_sessions(self, user: str | None = None) -> list[Session]:
        """Sessions that have not ended, oldest first: of one user, or of all."""
        with self._db.read() as tx:
            if user is None:
                return self._sessions(tx, "closed_at IS NULL")
            return self._sessions(tx, "closed_at IS NULL AND user_name = ?", user)

    def session(self, id: str) -> Session | None:
        """One session, open or not."""
        with self._db.read() as tx:
            return next(iter(self._sessions(tx, "id = ?", id)), None)

    def sessions(self, since: int = 0) -> list[Session]:
        """All sessions that were open at `since` or later, oldest first."""
        with self._db.read() as tx:
            return self._sessions(tx, "closed_at IS NULL OR closed_at >= ?", since)

    def group_use(self) -> dict[str, Amounts]:
        """What each group that was ever charged has in use now, with what is below it."""
        with self._db.read() as tx:
            rows = tx.all("SELECT id, group_name FROM subject WHERE user_name = ''")
            return {group: self._last(tx, id).rate for id, group in rows}

    def used(self, group: str, user: str, resource: str, begin: int, end: int) -> int:
        """What a member of a group, or the group with all below it (user `''`), used within a
        span; amount x microseconds."""
        with self._db.read() as tx:
            view = _View(self, tx, end)
            row = tx.one(
                "SELECT id FROM subject WHERE user_name = ? AND group_name = ?", user, group
            )
            return view.between(row[0], resource, begin, end) if row else 0

    def curve(self, group: str, user: str, since: int) -> list[Point]:
        """The points of a subject that say what it used from `since` on, oldest first."""
        with self._db.read() as tx:
            row = tx.one(
                "SELECT id FROM subject WHERE user_name = ? AND group_name = ?", user, group
            )
            if row is None:
                return []
            first = self._last(tx, row[0], since)
            rows = tx.all(
                "SELECT at, state FROM point WHERE subject = ? AND at > ? ORDER BY at",
                *(row[0], since),
            )
            return [first, *(self._point(*found) for found in rows)]

    # -- rows ----------------------------------------------------------------------------------

    def _now(self, tx: Transaction) -> int:
        if self._clock:
            return self._clock()
        if not self._db.postgres:
            return now()
        # The start of the transaction would be from before the wait for a lock.
        row = tx.one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        assert row
        return int(row[0])

    def _stamp(self, at: int, last: Iterable[Point]) -> int:
        stamp = max([at, *(point.at for point in last)])
        if stamp - at > CLOCK_AHEAD:
            raise LedgerError(
                f"The clock is {(stamp - at) // 10**6} seconds behind the ledger. Nothing can be "
                "charged until it is right again."
            )
        return stamp

    def _append(
        self,
        tx: Transaction,
        subjects: Iterable[int],
        at: int,
        change: Mapping[str, int],
        known: Callable[[int], Point] | int = 0,
    ) -> int:
        """A new point for each subject, all at one instant, which is returned.

        It is no earlier than the last point of any of them.

        Args:
            known: the last points where they were read already, or an instant not to go before.
        """
        read = known if callable(known) else lambda id: self._last(tx, id)
        last = {id: read(id) for id in subjects}
        stamp = self._stamp(at, last.values())
        if not callable(known):
            stamp = max(stamp, known)
        for id, before in last.items():
            self._write_point(tx, id, before, step(before, stamp, change))
        return stamp

    def _write_point(self, tx: Transaction, id: int, before: Point, after: Point) -> None:
        """Two events at one instant leave one point: the piece between them has no length."""
        state = _encode(pack(after, self._positions(tx, after.rate)))
        tx.run(
            "INSERT INTO point (subject, at, state) VALUES (?, ?, ?)"
            " ON CONFLICT (subject, at) DO UPDATE SET state = excluded.state",
            *(id, after.at, state),
        )

    def _positions(self, tx: Transaction, names: Iterable[str]) -> list[str]:
        """The names of resources by position, with these among them."""
        if not set(names) <= set(self._names):
            self._read_positions(tx)
            for name in sorted(set(names) - set(self._names)):
                tx.run(
                    "INSERT INTO resource (position, name) VALUES (?, ?)", len(self._names), name
                )
                self._names.append(name)
        return self._names

    def _read_positions(self, tx: Transaction) -> None:
        self._names = [row[0] for row in tx.all("SELECT name FROM resource ORDER BY position")]

    def _point(self, at: int, state: str) -> Point:
        return unpack(at, json.loads(state), self._names)

    def _last(self, tx: Transaction, id: int, at: int = _FOR_EVER) -> Point:
        """The last point of a subject at or before an instant; one of zeros where there is none."""
        row = tx.one(
            "SELECT at, state FROM point WHERE subject = ? AND at <= ? ORDER BY at DESC LIMIT 1",
            *(id, at),
        )
        if row is None:
            return Point(0)
        values = json.loads(row[1])
        if len(values) > 2 * len(self._names):  # another hub has a resource that is new to us
            self._read_positions(tx)
        return unpack(row[0], values, self._names)

    def _make_subjects(self, names: Sequence[tuple[str, str]]) -> None:
        """In a transaction of its own: within a reservation it would be a second order of locks."""
        missing = sorted({name for name in names if name not in self._ids})
        if not missing:
            return
        with self._db.write() as tx:
            for user, group in missing:
                tx.run(
                    "INSERT INTO subject (user_name, group_name) VALUES (?, ?)"
                    " ON CONFLICT DO NOTHING",
                    *(user, group),
                )

    def _subjects(self, tx: Transaction, names: Sequence[tuple[str, str]]) -> list[int]:
        """The ids of subjects that `_make_subjects` has made."""
        for name in names:
            if name not in self._ids:
                row = tx.one("SELECT id FROM subject WHERE user_name = ? AND group_name = ?", *name)
                if row is None:
                    tx.run("INSERT INTO subject (user_name, group_name) VALUES (?, ?)", *name)
                    return self._subjects(tx, names)
                self._ids[name] = row[0]
        return [self._ids[name] for name in names]

    def _sessions(self, tx: Transaction, where: str, *values: object) -> list[Session]:
        rows = tx.all(f"{_SESSIONS} WHERE {where} ORDER BY reserved_at, id", *values)
        return [_session(row) for row in rows]


class _View:
    """What one transaction has read of the ledger, at one instant."""

    def __init__(self, store: QuotaStore, tx: Transaction, at: int) -> None:
        self._store, self._tx = store, tx
        self._points: dict[tuple[int, int], Point] = {}
        self._mine: list[Row] | None = None
        self.at = at

    def last(self, id: int, at: int = _FOR_EVER) -> Point:
        if (id, at) not in self._points:
            self._points[id, at] = self._store._last(self._tx, id, at)
        return self._points[id, at]

    def between(self, id: int, resource: str, begin: int, end: int) -> int:
        """Amount x microseconds within a span, late closings taken off."""
        total = self.last(id, end).total_at(resource, end)
        total -= self.last(id, begin).total_at(resource, begin)
        for since, until, rates in self._tx.all(
            "SELECT since, until, rates FROM overlay WHERE subject = ? AND until > ?", id, begin
        ):
            segment = Segment(since, until, json.loads(rates))
            total += segment.total_between(resource, begin, end)
        return total

    def use(self, policy: Policy, limit: Limit, user: str) -> Use:
        """What counts for a limit: the group's use, or the member's in it and below it."""
        if limit.scope == SERVER:
            return Use()
        ids = self._ids(policy, limit, user)
        curve = limit.kind.curve
        rate = sum(self.last(id).rate.get(curve, 0) for id in ids)
        servers = sum(self.last(id).rate.get("servers", 0) for id in ids)
        if limit.window is None:
            return Use(rate, rate, servers)
        held = span(limit.window, self.at, self._store.zone)
        if held is None:
            return Use(None, rate, servers)
        used = sum(self.between(id, curve, held[0], self.at) for id in ids)
        return Use(used, rate, servers)

    def budget(self, policy: Policy, limit: Limit, user: str) -> Budget:
        """A budget with the curve that counts for it, late closings merged in."""
        assert limit.window
        held = span(limit.window, self.at, self._store.zone)
        begin, name = (held or (self.at, self.at))[0], limit.kind.curve
        points: list[tuple[int, int, int]] = []
        segments: list[tuple[int, int, int]] = []
        for id in self._ids(policy, limit, user):
            rows = self._tx.all(
                "SELECT at, state FROM point WHERE subject = ? AND at > ? ORDER BY at", id, begin
            )
            first = self.last(id, begin)
            curve = [first, *(self._store._point(at, state) for at, state in rows)]
            line = [(p.at, p.total.get(name, 0), p.rate.get(name, 0)) for p in curve]
            if not points:
                points = line
            else:  # a member of several groups below the limit's: laid over the first curve
                ends = [at for at, _, _ in line[1:]] + [_FOR_EVER]
                segments += [(at, end, r) for (at, _, r), end in zip(line, ends, strict=True)]
            for since, until, rates in self._tx.all(
                "SELECT since, until, rates FROM overlay WHERE subject = ? AND until > ?", id, begin
            ):
                segments.append((since, until, json.loads(rates).get(name, 0)))
        return Budget(merged(points, segments) if segments else points, limit.window, limit.amount)

    def _ids(self, policy: Policy, limit: Limit, user: str) -> list[int]:
        if limit.scope == GROUP:
            name = ("", limit.group)
            known = self._store._ids.get(name)
            if known is None:
                row = self._tx.one(
                    "SELECT id FROM subject WHERE user_name = ? AND group_name = ?", *name
                )
                known = row[0] if row else None
            return [] if known is None else [known]
        if self._mine is None:
            self._mine = self._tx.all(
                "SELECT id, group_name FROM subject WHERE user_name = ?", user
            )
        return [id for id, group in self._mine if limit.group in policy.path(group)]


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def _documents(policy: Policy) -> dict[tuple[str, str], str]:
    """A policy as entries: JSON by kind and name."""
    found = {("group", name): print_group(group) for name, group in policy.groups.items()}
    found |= {("plan", name): print_plan(plan) for name, plan in policy.plans.items()}
    entries = {entry: json.dumps(document) for entry, document in found.items()}
    if policy.prices:
        entries["prices", ""] = json.dumps(print_prices(policy.prices))
    return entries


def _print_charges(charges: Iterable[Charge]) -> str:
    return _encode([[c.since, c.subjects, dict(c.amounts)] for c in charges])


def _charges(text: str) -> tuple[Charge, ...]:
    return tuple(Charge(since, tuple(ids), amounts) for since, ids, amounts in json.loads(text))


def _session(row: Row) -> Session:
    id, hub, user, server, group, path, state, charges, reserved, started, seen, closed, why = row
    return Session(
        id=id,
        hub=hub,
        user=user,
        server=server,
        group=group,
        path=tuple(json.loads(path)),
        state=state,
        charges=_charges(charges),
        reserved_at=reserved,
        started_at=started,
        seen_at=seen,
        closed_at=closed,
        reason=why,
    )


@lru_cache
def open_store(url: str, zone: tzinfo = timezone.utc, hub: str = "hub") -> QuotaStore:
    """The one store of this process for a database."""
    return QuotaStore(url, zone, hub)
