"""Subjects and their curves in the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import tzinfo

from .decision import Use
from .forecast import Budget, merged, reached
from .ledger import POSITIONS, Point, Segment, added, negative, pack, step, unpack
from .limits import GROUP, SERVER, Limit
from .policy import Policy
from .requests import in_use
from .transaction import Database, LedgerError, Row, Transaction
from .watch import HORIZON, Course
from .windows import Rolling, Window, span

CLOCK_AHEAD = 10 * 60 * 10**6
"""Microseconds by which the ledger may be ahead of the clock; beyond it, the clock is wrong."""

FOR_EVER = 2**62
"""Later than any instant."""

# json.dumps builds an encoder at each call; json.loads looks at what it was given first.
encode = json.JSONEncoder(separators=(",", ":")).encode
decode = json.JSONDecoder().decode


_SUBJECT = "SELECT id FROM subject WHERE user_name = ? AND group_name = ?"


class Points:
    """Reads and appends points.

    Remembers what is for ever, once it is committed: ids, and the places of resources.
    """

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], int] = {}
        self._names: list[str] = list(POSITIONS)

    def forget_ids(self) -> None:
        """A subject goes by another name."""
        self.ids = {}

    def stamp(self, at: int, last: Iterable[Point], present: int | None = None) -> int:
        stamp = max([at, *(point.at for point in last)])
        behind = stamp - (at if present is None else present)
        if behind > CLOCK_AHEAD:
            raise LedgerError(
                f"The clock is {behind // 10**6} seconds behind the ledger. Nothing can be "
                "charged until it is right again."
            )
        return stamp

    def append(
        self,
        tx: Transaction,
        subjects: Iterable[int],
        at: int,
        change: Mapping[str, int],
        known: Callable[[int], Point] | int = 0,
        present: int | None = None,
    ) -> int:
        """A new point for each subject, all at one instant, which is returned.

        It is no earlier than the last point of any of them.

        Args:
            known: the last points where they were read already, or an instant not to go before.
            present: the clock's instant, where `at` is an earlier one.
        """
        read = known if callable(known) else lambda id: self.last(tx, id)
        last = {id: read(id) for id in subjects}
        stamp = self.stamp(at, last.values(), present)
        if not callable(known):
            stamp = max(stamp, known)
        for id, before in last.items():
            self.write(tx, id, before, step(before, stamp, change))
        return stamp

    def write(self, tx: Transaction, id: int, before: Point, after: Point) -> None:
        """Two events at one instant leave one point: the piece between them has no length."""
        state = encode(pack(after, self._positions(tx, after.rate)))
        tx.run(
            "INSERT INTO point (subject, at, state) VALUES (?, ?, ?)"
            " ON CONFLICT (subject, at) DO UPDATE SET state = excluded.state",
            *(id, after.at, state),
        )

    def _positions(self, tx: Transaction, needed: Iterable[str]) -> list[str]:
        """The names of resources by position, with these among them."""
        missing = set(needed) - set(self._names)
        if not missing:
            return self._names
        names = self._read_names(tx)
        for name in sorted(missing - set(names)):
            tx.run("INSERT INTO resource (position, name) VALUES (?, ?)", len(names), name)
            tx.adds = True
            names = [*names, name]
        return names

    def _read_names(self, tx: Transaction) -> list[str]:
        names = [row[0] for row in tx.all("SELECT name FROM resource ORDER BY position")]
        if not tx.adds:
            self._names = names
        return names

    def place(self, tx: Transaction, name: str) -> int | None:
        """Where a resource stands in points, for `one_of`; None where none has it."""
        names = self._names if name in self._names else self._read_names(tx)
        return names.index(name) if name in names else None

    def point(self, tx: Transaction, at: int, state: str) -> Point:
        """A point from its row."""
        values, names = decode(state), self._names
        if len(values) > 2 * len(names):  # another hub has a resource that is new to us
            names = self._read_names(tx)
        return unpack(at, values, names)

    def last(self, tx: Transaction, id: int, at: int = FOR_EVER) -> Point:
        """The last point of a subject at or before an instant; one of zeros where there is none."""
        row = tx.one(
            "SELECT at, state FROM point WHERE subject = ? AND at <= ? ORDER BY at DESC LIMIT 1",
            *(id, at),
        )
        return self.point(tx, *row) if row else Point(0)

    def make_subjects(self, db: Database, names: Sequence[tuple[str, str]]) -> None:
        """In a transaction of its own: within a reservation it would be a second order of locks."""
        missing = sorted({name for name in names if name not in self.ids})
        if not missing:
            return
        with db.write() as tx:
            for user, group in missing:
                tx.run(
                    "INSERT INTO subject (user_name, group_name) VALUES (?, ?)"
                    " ON CONFLICT DO NOTHING",
                    *(user, group),
                )

    def subjects(self, tx: Transaction, names: Sequence[tuple[str, str]]) -> list[int]:
        """The ids of subjects, most of which `make_subjects` has made."""
        found = []
        for name in names:
            id = self.ids.get(name)
            if id is None:
                row = tx.one(_SUBJECT, *name)
                if row is None:
                    tx.run("INSERT INTO subject (user_name, group_name) VALUES (?, ?)", *name)
                    tx.adds = True
                    row = tx.one(_SUBJECT, *name)
                assert row
                id = row[0]
                if not tx.adds:
                    self.ids[name] = id
            found.append(id)
        return found


class View:
    """What one transaction has read of the ledger, at one instant."""

    def __init__(
        self,
        points: Points,
        zone: tzinfo,
        tx: Transaction,
        at: int,
        less: Mapping[str, int] = {},
        where: Collection[str] | None = None,
    ) -> None:
        """`less`: what is charged to each that is asked about, and does not count; of the groups
        `where`, or of all."""
        self._where = where
        self._points, self._zone, self._tx = points, zone, tx
        self._less = negative(less)
        self._read: dict[tuple[int, int], Point] = {}
        self._running: dict[tuple[str, str], tuple[list[int], Mapping[str, int]]] = {}
        self._spans: dict[Window, tuple[int, int] | None] = {}
        self._late: dict[int, tuple[int, list[Segment]]] = {}
        self._mine: list[Row] | None = None
        self.at = at

    def last(self, id: int, at: int = FOR_EVER) -> Point:
        known = self._read.get((id, at))
        if known is None:
            newest = self.last(id) if at < FOR_EVER else None
            if newest and newest.at <= at:
                return newest
            known = self._read[id, at] = self._points.last(self._tx, id, at)
        return known

    def between(self, id: int, resource: str, begin: int, end: int) -> int:
        """Amount x microseconds within a span, late closings taken off."""
        total = self.last(id, end).total_at(resource, end)
        total -= self.last(id, begin).total_at(resource, begin)
        for segment in self.late(id, begin):
            total += segment.total_between(resource, begin, end)
        return total

    def late(self, id: int, begin: int) -> list[Segment]:
        """Late closings of a subject: all that reach beyond an instant, perhaps earlier ones."""
        known = self._late.get(id)
        if known is None or known[0] > begin:
            begin = min([begin, *(held[0] for held in self._spans.values() if held)])
            rows = self._tx.all(
                "SELECT since, until, rates FROM overlay WHERE subject = ? AND until > ?", id, begin
            )
            known = (begin, [Segment(since, until, decode(rates)) for since, until, rates in rows])
            self._late[id] = known
        return known[1]

    def span(self, window: Window) -> tuple[int, int] | None:
        """Begin and end of a window at the view's instant; None when a fixed term does not hold."""
        if window not in self._spans:
            self._spans[window] = span(window, self.at, self._zone)
        return self._spans[window]

    def use(self, policy: Policy, limit: Limit, user: str) -> Use:
        """What counts for a limit: the group's use, or the member's in it and below it."""
        if limit.scope == SERVER:
            return Use()
        scope = (limit.scope, limit.group)
        if scope not in self._running:
            ids = self._ids(policy, limit, user)
            less = self._less if self._where is None or limit.group in self._where else {}
            rates: Mapping[str, int] = added([less, *(self.last(id).rate for id in ids)])
            self._running[scope] = (ids, rates)
        ids, rates = self._running[scope]
        curve = limit.kind.curve
        rate, servers = rates.get(curve, 0), rates.get("servers", 0)
        if limit.window is None:
            rate = in_use(rates, curve)
            return Use(rate, rate, servers)
        held = self.span(limit.window)
        if held is None:
            return Use(None, rate, servers)
        used = sum([self.between(id, curve, held[0], self.at) for id in ids])
        return Use(used, rate, servers)

    def course(self, policy: Policy, limit: Limit, user: str, shares: Sequence[float]) -> Course:
        """How the use of a budget goes on from now."""
        use = self.use(policy, limit, user)
        amounts = [round(share * limit.amount) for share in shares]
        used = use.used or 0
        when: list[int | None] = [None] * len(shares)
        if use.used is not None:
            when = [self.at if used >= amount else None for amount in amounts]
            first = next((a for a, at in zip(amounts, when, strict=True) if at is None), None)
            # Old use leaves a rolling window, so none is reached before this line would.
            if first is not None and used + use.rate * HORIZON >= first:
                budget = self.budget(policy, limit, user, HORIZON)
                when = [
                    at or later
                    for at, later in zip(
                        when,
                        reached(budget, amounts, self.at, self.at + HORIZON, self._zone),
                        strict=True,
                    )
                ]
        return Course(limit, user, self.at, used, tuple(zip(shares, when, strict=True)))

    def budget(self, policy: Policy, limit: Limit, user: str, horizon: int = FOR_EVER) -> Budget:
        """A budget with the curve that counts for it, late closings merged in.

        Args:
            horizon: for how long from now it has to be right, in microseconds: of a window, only
                that much of its begin is read, and its end.
        """
        assert limit.window
        held = self.span(limit.window)
        begin, name = (held or (self.at, self.at))[0], limit.kind.curve
        points: list[tuple[int, int, int]] = []
        segments: list[tuple[int, int, int]] = []
        ids = self._ids(policy, limit, user)
        if len(ids) > 1:  # laid over each other, they have to be whole
            horizon = FOR_EVER
        elif not isinstance(limit.window, Rolling):  # its begin stays where it is
            horizon = 0
        for id in ids:
            rows = self._tx.all(
                "SELECT at, state FROM point WHERE subject = ? AND at > ? AND at <= ? ORDER BY at",
                *(id, begin, min(begin + horizon, FOR_EVER)),
            )
            first, last = self.last(id, begin), self.last(id)
            curve = [first, *(self._points.point(self._tx, at, state) for at, state in rows)]
            curve += [last] if last.at > curve[-1].at else []
            line = [(p.at, p.total.get(name, 0), p.rate.get(name, 0)) for p in curve]
            if not points:
                points = line
            else:  # a member of several groups below the limit's: laid over the first curve
                ends = [at for at, _, _ in line[1:]] + [FOR_EVER]
                segments += [(at, end, r) for (at, _, r), end in zip(line, ends, strict=True)]
            late = [segment for segment in self.late(id, begin) if segment.until > begin]
            segments += [(s.since, s.until, s.rates.get(name, 0)) for s in late]
        return Budget(merged(points, segments) if segments else points, limit.window, limit.amount)

    def reach(self, policy: Policy, limit: Limit, user: str, most: int) -> int:
        """For how long from now `budget` is right if it reads no more than `most` points of what
        leaves a window, in microseconds."""
        ids = self._ids(policy, limit, user)
        if not isinstance(limit.window, Rolling) or len(ids) != 1:
            return FOR_EVER
        begin = self.at - limit.window.length
        row = self._tx.one(
            "SELECT at FROM point WHERE subject = ? AND at > ? ORDER BY at LIMIT 1 OFFSET ?",
            *(ids[0], begin, most),
        )
        return row[0] - begin - 1 if row else FOR_EVER

    def member(self, user: str, group: str) -> int | None:
        """The subject that a member of a group is, without what is below it; None for one that
        was never charged."""
        return next((id for id, name in self._of(user) if name == group), None)

    def _of(self, user: str) -> list[Row]:
        if self._mine is None:
            self._mine = self._tx.all(
                "SELECT id, group_name FROM subject WHERE user_name = ?", user
            )
        return self._mine

    def _ids(self, policy: Policy, limit: Limit, user: str) -> list[int]:
        if limit.scope == GROUP:
            name = ("", limit.group)
            known = self._points.ids.get(name)
            if known is None:
                row = self._tx.one(_SUBJECT, *name)
                known = row[0] if row else None
            return [] if known is None else [known]
        return [id for id, group in self._of(user) if limit.group in policy.path(group)]
