"""What servers used and cost: cut to a month, added up line by line, and how the month will end.
Pure, in exact integers.

A session keeps the amounts that it was charged for, over time, `cost` at the prices of the day on
which it began among them. So what it cost follows from itself alone, whatever prices and the tree
of groups are today, and a report is a sum over sessions.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta, tzinfo
from decimal import Decimal

from .ledger import Charge
from .policy import PRICED, WHOLE_HUB
from .quantities import HOUR
from .requests import BURST, Amounts
from .windows import DAY, Fixed, WindowError, day_end, term

COST = "cost"

MONEY = 10**6 * HOUR
"""How many of the smallest unit (micro-currency per hour, times microseconds) one of the hub's
currency is."""

WEEK = 7 * DAY
"""How far back a forecast looks: each day of the week counts once."""

_MONTH = re.compile(r"(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])")


# -- months ------------------------------------------------------------------------------------


def parse_month(text: str) -> date:
    """The first day of the month in `2026-10`.

    Raises:
        WindowError: for anything else.
    """
    match = _MONTH.fullmatch(text.strip())
    if not match:
        raise WindowError(f"'{text}' is not a month; write year and month: 2026-10.")
    return date(int(match[1]), int(match[2]), 1)


def print_month(month: date) -> str:
    """`2026-10`."""
    return f"{month:%Y-%m}"


def month_after(month: date) -> date:
    """The first day of the month after one."""
    return (month + timedelta(days=31)).replace(day=1)


def month_before(month: date) -> date:
    """The first day of the month before one."""
    return (month - timedelta(days=1)).replace(day=1)


def month_span(month: date, zone: tzinfo) -> tuple[int, int]:
    """Begin and end of a month in a zone; microseconds since 1970, UTC."""
    return term(Fixed(month, month_after(month) - timedelta(days=1)), zone)


# -- forecast ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spending:
    """What something costs.

    Attributes:
        rate: now; micro-currency per hour.
        so_far: in this month, credits taken off; micro-currency per hour x microseconds.
        forecast: what that is at the end of the month; likewise.
    """

    rate: int = 0
    so_far: int = 0
    forecast: int = 0


def forecast(so_far: int, recent: int, length: int, left: int) -> int:
    """What a month comes to, if it goes on as it went of late; rounded down to the smallest unit.

    Args:
        recent: what was used within the last `length` microseconds, without credits: a credit is
            not a saving that repeats itself.
        length: WEEK, or less where nothing was used before. Taken for a day at least, so that the
            first server of a group does not stand for a whole month of servers.
        left: microseconds until the end of the month.
    """
    return so_far + max(recent, 0) * max(left, 0) // max(length, DAY)


# -- a month, line by line ---------------------------------------------------------------------


def cut(
    charges: Sequence[Charge], ended: int, begin: int, end: int
) -> Iterator[tuple[int, int, Charge]]:
    """The stretches of a session within a span, each with its own charge.

    Args:
        charges: all of the session's, oldest first.
        ended: when it ended, or the present where it goes on.
    """
    last = min(ended, end)
    following = [charge.since for charge in charges[1:]] + [last]
    for charge, until in zip(charges, following, strict=True):
        since, until = max(charge.since, begin), min(until, last)
        if since < until:
            yield since, until, charge


@dataclass(frozen=True)
class Use:
    """A stretch of a session in which it was charged for the same.

    Attributes:
        session: its id.
        group: that is charged.
        below: the group directly below the report's, through which that is charged; the report's
            group itself, where nothing is between.
        begin, end: microseconds since 1970, UTC.
        amounts: by resource, at any instant of it; `cost` is micro-currency per hour.
    """

    session: str
    user: str
    server: str
    group: str
    profile: str
    below: str
    begin: int
    end: int
    amounts: Amounts

    @property
    def used(self) -> dict[str, int]:
        """Amount x microseconds by resource."""
        length = self.end - self.begin
        return {name: amount * length for name, amount in self.amounts.items()}


@dataclass(frozen=True)
class Credit:
    """What was taken off what somebody used.

    Attributes:
        user: empty where it is the group itself that was given it.
        amount: amount x microseconds of `resource`, as on the curve; negative where it was added.
    """

    at: int
    user: str
    group: str
    resource: str
    amount: int
    who: str
    why: str


@dataclass(frozen=True)
class Line:
    """What somebody or something used within a month.

    Attributes:
        used: amount x microseconds by resource.
        credited: what was taken off its cost.
    """

    name: str
    used: Amounts
    credited: int = 0

    @property
    def cost(self) -> int:
        """Without credits."""
        return self.used.get(COST, 0)

    @property
    def net(self) -> int:
        """What is left to pay: what the ledger's curve says of the month, to the smallest unit."""
        return self.cost - self.credited


@dataclass(frozen=True)
class Report:
    """A group, with all below it, in a month.

    Attributes:
        month: its first day.
        begin, end: of the month; microseconds since 1970, UTC.
        until: up to when it is known: the end, or the present.
        total: of the whole group, with the credits that were given to the group itself.
        sessions: how many were charged.
        members, groups, profiles: what it consists of, dearest first. Of groups, those directly
            below, and the group itself for what is charged to it directly.
        days: in their order, up to `until`; each named as in `2026-10-31`.
        credits: also those given to members and groups below, which count for them alone.
    """

    group: str
    month: date
    begin: int
    end: int
    until: int
    total: Line
    sessions: int
    members: tuple[Line, ...]
    groups: tuple[Line, ...]
    profiles: tuple[Line, ...]
    days: tuple[Line, ...]
    credits: tuple[Credit, ...]

    @property
    def resources(self) -> list[str]:
        """What was used of, but for its cost: those that each server has, then others by name."""
        first = ("cpu", "memory", "gpu", "servers")
        # GPUs count as `gpu` too, and beyond what is charged nothing is used over time.
        others = {name for name in self.total.used if not name.endswith(("/gpu", BURST))}
        shown = [*first, *sorted(others - {*first, COST})]
        return [name for name in shown if self.total.used.get(name) or name in ("cpu", "memory")]


@dataclass
class _Tally:
    """Adds up by name: as large as there are names, however many stretches there are."""

    sums: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, name: str, amounts: Amounts, length: int) -> None:
        total = self.sums.setdefault(name, {})
        for resource, amount in amounts.items():
            total[resource] = total.get(resource, 0) + amount * length

    def lines(self, credited: Mapping[str, int] = {}) -> tuple[Line, ...]:
        names = {*self.sums, *credited}
        found = [Line(name, self.sums.get(name, {}), credited.get(name, 0)) for name in names]
        return tuple(sorted(found, key=_dearest_first))


def _dearest_first(line: Line) -> tuple[int, int, str]:
    return -line.cost, -line.used.get("cpu", 0), line.name


def report(
    group: str,
    month: date,
    until: int,
    zone: tzinfo,
    uses: Iterable[Use],
    credits: Iterable[Credit] = (),
) -> Report:
    """A month of a group.

    Args:
        until: the present, where the month is not over.
        uses: what was charged to it within the month and before `until`, session by session; gone
            through once.
        credits: those given to it, to its members and to groups below.
    """
    begin, end = month_span(month, zone)
    until = max(begin, min(end, until))
    days = _days(month, until, zone)
    edges = [begin, *(day_end(day, zone) for day in days)]
    whole, members, groups, profiles, daily = (_Tally() for _ in range(5))
    sessions, last = 0, ""
    for use in uses:
        sessions, last = sessions + (use.session != last), use.session
        length = use.end - use.begin
        for tally, name in (
            (whole, group),
            (members, use.user),
            (groups, use.below),
            (profiles, use.profile),
        ):
            tally.add(name, use.amounts, length)
        at, since = bisect_right(edges, use.begin), use.begin
        while since < use.end:
            till = min(edges[at], use.end)
            daily.add(days[at - 1].isoformat(), use.amounts, till - since)
            at, since = at + 1, till
    credits = tuple(credits)
    money = [credit for credit in credits if credit.resource == COST]
    to_members, to_groups = _Tally(), _Tally()
    for credit in money:
        tally, name = (to_members, credit.user) if credit.user else (to_groups, credit.group)
        tally.add(name, {COST: credit.amount}, 1)
    given = {name: total[COST] for name, total in to_groups.sums.items()}
    own = given.get(group, 0)
    # What was given to groups further below counts for them, and has no line here.
    below = {
        name: amount for name, amount in given.items() if name in groups.sums and name != group
    }
    return Report(
        *(group, month, begin, end, until),
        total=Line(group, whole.sums.get(group, {}), own),
        sessions=sessions,
        members=members.lines({name: total[COST] for name, total in to_members.sums.items()}),
        groups=groups.lines(below),
        profiles=profiles.lines(),
        days=tuple(Line(str(day), daily.sums.get(str(day), {})) for day in days),
        credits=credits,
    )


def _days(month: date, until: int, zone: tzinfo) -> list[date]:
    """The days of a month that have begun before an instant; those that there were."""
    found, day, begin = [], month, month_span(month, zone)[0]
    while day.month == month.month and begin < until:
        found.append(day)
        begin, day = day_end(day, zone), day + timedelta(days=1)
    return found


# -- the tree over time ------------------------------------------------------------------------

PARENT, RENAMED = "parent", "renamed"


def ever_below(
    group: str, names: Collection[str], history: Iterable[tuple[str, str, str]]
) -> set[str]:
    """The groups of `names` that may have been below a group at some time, with the group itself.

    Rather too many than too few: sessions say themselves to which groups they were charged, this
    says of which groups to look at the sessions.

    Args:
        names: all groups, as they are called now.
        history: what has ever changed in the tree, oldest first: (PARENT, group, its parent) and
            (RENAMED, old, new).
    """
    if group == WHOLE_HUB:
        return set(names)
    below: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}

    def know(name: str, parent: str) -> None:
        if parent:
            below.setdefault(parent, set()).add(name)
            above.setdefault(name, set()).add(parent)

    for name in names:
        know(name, name.rpartition("/")[0])
    for kind, name, value in history:
        know(name, name.rpartition("/")[0])
        if kind == PARENT:
            know(name, value)
            know(value, value.rpartition("/")[0])
        else:
            for parent in tuple(above.get(name, ())):
                know(value, parent)
            for child in tuple(below.get(name, ())):
                know(child, value)
    found, todo = {group}, [group]
    while todo:
        new = below.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found & {*names, group}


# -- in words ----------------------------------------------------------------------------------


def money(amount: int, currency: str, digits: int = 2) -> str:
    """An amount of money (micro-currency per hour x microseconds) for people: `12.34 €`."""
    return f"{about(amount, MONEY, digits)} {currency}".rstrip()


def per_hour(rate: int, currency: str) -> str:
    """What something costs an hour (micro-currency) for people: `0.305 €`. Shown with up to four
    decimals, since a small server costs little."""
    text = about(rate, 10**6, 4)
    short = text.rstrip("0")
    return f"{short.ljust(text.index('.') + 3, '0')} {currency}".rstrip()


def hours(name: str, amount: int) -> str:
    """Amount x microseconds of a resource for people: `12.5` core-, GiB- or other hours."""
    return about(amount, PRICED.get(name, 1) * HOUR, 1)


def about(amount: int, unit: int, digits: int) -> str:
    """Rounded; what is more than nothing never looks like nothing."""
    rounded = round(Decimal(amount) / unit, digits)
    if amount and not rounded:
        least = Decimal(1).scaleb(-digits)
        return f"< {least:f}" if amount > 0 else f"> -{least:f}"
    return f"{rounded:f}"


def exactly(name: str, amount: int) -> str:
    """Amount x microseconds of a resource for programs, in hours or money: six decimals."""
    unit = MONEY if name == COST else PRICED.get(name, 1) * HOUR
    return f"{round(Decimal(amount) / unit, 6):f}"
