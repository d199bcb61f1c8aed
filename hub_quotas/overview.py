"""What all groups use, at one instant: a few queries, however many groups there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .ledger import Point, Segment
from .limits import GROUP, STORAGE, Limit
from .points import FOR_EVER, decode
from .policies import Held
from .policy import DEFAULT_GROUP, WHOLE_HUB
from .requests import Amounts, in_use
from .store import QuotaStore
from .transaction import Transaction
from .tree import Branch, branches
from .trend import LATELY, runs_out
from .windows import Calendar, Window, span


@dataclass(frozen=True)
class Used:
    """A limit of a whole group, and what is used of it.

    Attributes:
        used: in use now, of a cap; amount x microseconds, of a budget: 0 where its term does not
            hold now.
        runs_out: of a budget, at the pace of the last days; microseconds since 1970, UTC.
    """

    limit: Limit
    used: int
    runs_out: int | None = None

    @property
    def share(self) -> float:
        return self.used / self.limit.amount if self.limit.amount else 1.0


@dataclass(frozen=True)
class GroupUse:
    """What one group uses, with all below it.

    Attributes:
        use: amounts in use now.
        limits: those for the whole group, in their order, without storage: it is not in the ledger.
        total: amount x microseconds used ever.
        month_cost: of this calendar month; cost units.
    """

    name: str
    use: Amounts = field(default_factory=dict)
    total: Amounts = field(default_factory=dict)
    limits: tuple[Used, ...] = ()
    month_cost: int = 0

    @property
    def tightest(self) -> Used | None:
        """The limit of which the largest share is used."""
        return max(self.limits, key=lambda one: one.share, default=None)

    @property
    def first_out(self) -> Used | None:
        """The budget that runs out first, or has."""
        ends = [one for one in self.limits if one.runs_out is not None]
        return min(ends, key=lambda one: one.runs_out or 0, default=None)


@dataclass(frozen=True)
class Overview:
    """All groups that have a limit or were ever charged, with WHOLE_HUB.

    Attributes:
        at: microseconds since 1970, UTC.
        held: the policy that held then.
    """

    at: int
    held: Held
    groups: Mapping[str, GroupUse]
    _trees: dict[tuple[str, ...], list[Branch]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, group: str) -> GroupUse:
        return self.groups.get(group) or GroupUse(group)

    @property
    def charged(self) -> list[str]:
        """The groups that anything was ever charged to."""
        return [name for name, use in self.groups.items() if use.total]

    def tree(self, in_hub: tuple[str, ...]) -> list[Branch]:
        """All groups that there are, with those of the hub, as a tree; computed once."""
        if in_hub not in self._trees:
            names = {*in_hub, *self.groups, DEFAULT_GROUP} - {WHOLE_HUB}
            self._trees[in_hub] = branches(self.held.policy, names)
        return self._trees[in_hub]


def overview(store: QuotaStore) -> Overview:
    """Of this moment. Blocks."""
    with store.db.read() as tx:
        held, at = store.policies.held(tx), store.present(tx)
        month = span(Calendar("month"), at, store.zone)
        assert month
        reading = _Reading(store, tx, at)
        now = reading.points(FOR_EVER)
        groups = {}
        for name in {*now, *held.policy.groups}:
            last = now.get(name, Point(at))
            limits = held.policy.limits_for(name, "", at, store.zone)
            own = [
                one
                for one in limits
                if (one.scope, one.group) == (GROUP, name) and one.resource != STORAGE
            ]
            groups[name] = GroupUse(
                name,
                last.rate,
                {curve: last.total_at(curve, at) for curve in last.rate},
                tuple(reading.of(one, last) for one in own),
                reading.used(name, "cost", month[0]),
            )
        return Overview(at, held, groups)


class _Reading:
    """The points of all groups at a few instants, each read in one query."""

    def __init__(self, store: QuotaStore, tx: Transaction, at: int) -> None:
        self._store, self._tx, self.at = store, tx, at
        self._points: dict[int, dict[str, Point]] = {}
        self._late: dict[str, list[Segment]] = {}
        self._late_since = FOR_EVER
        self._spans: dict[Window, tuple[int, int] | None] = {}

    def points(self, at: int) -> dict[str, Point]:
        """The last point of each group at or before an instant."""
        if at not in self._points:
            rows = self._tx.all(
                "SELECT s.group_name, p.at, p.state FROM subject s JOIN point p ON p.subject = s.id"
                " AND p.at = (SELECT max(q.at) FROM point q WHERE q.subject = s.id AND q.at <= ?)"
                " WHERE s.user_name = ''",
                at,
            )
            read = self._store.points.point
            self._points[at] = {name: read(self._tx, when, state) for name, when, state in rows}
        return self._points[at]

    def used(self, group: str, curve: str, begin: int) -> int:
        """Amount x microseconds from an instant up to now, late closings taken off."""
        last = self.points(FOR_EVER).get(group)
        if last is None:
            return 0
        first = last if last.at <= begin else self.points(begin).get(group, Point(begin))
        total = last.total_at(curve, self.at) - first.total_at(curve, begin)
        for segment in self._segments(begin).get(group, ()):
            total += segment.total_between(curve, begin, self.at)
        return total

    def _segments(self, begin: int) -> dict[str, list[Segment]]:
        if begin < self._late_since:
            self._late, self._late_since = {}, begin
            for name, since, until, rates in self._tx.all(
                "SELECT s.group_name, o.since, o.until, o.rates FROM overlay o"
                " JOIN subject s ON s.id = o.subject WHERE s.user_name = '' AND o.until > ?",
                begin,
            ):
                self._late.setdefault(name, []).append(Segment(since, until, decode(rates)))
        return self._late

    def of(self, limit: Limit, last: Point) -> Used:
        """Args:
        last: the last point of the limit's group.
        """
        window = limit.window
        if window is None:
            return Used(limit, in_use(last.rate, limit.resource))
        if window not in self._spans:
            self._spans[window] = span(window, self.at, self._store.zone)
        held = self._spans[window]
        if held is None:
            return Used(limit, 0)
        curve = limit.kind.curve
        used = self.used(limit.group, curve, held[0])
        lately = self.used(limit.group, curve, self.at - LATELY)
        when = runs_out(window, limit.amount, used, lately, self.at, self._store.zone)
        return Used(limit, used, when)
