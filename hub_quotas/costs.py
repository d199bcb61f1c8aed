"""What servers and storage used and cost: cut to a month, added up line by line, and how the
month will end. Pure, in exact integers.

A session keeps the amounts that it was charged for, over time, `cost` at the prices of the day on
which it began among them. So what it cost follows from itself alone, whatever prices and the tree
of groups are today, and a report is a sum over sessions.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal

from hub_groups.words import _

from .ledger import Charge, added
from .limits import STORAGE
from .prices import HOURS_OF_STORAGE, PRICED
from .quantities import HOUR
from .requests import BURST, Amounts
from .windows import DAY, Calendar, Fixed, WindowError, day_end, period, term

COST = "cost"

STORAGE_COST = "storage+cost"
"""On curves, what storage is of the cost."""

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
        raise WindowError(
            _("'{text}' is not a month; write year and month: 2026-10.").format(text=text)
        )
    return date(int(match[1]), int(match[2]), 1)


def month_of(at: int, zone: tzinfo) -> date:
    """The first day of the month that holds at an instant."""
    begin, _ = period(Calendar("month"), at, zone)
    return datetime.fromtimestamp(begin // 10**6, zone).date().replace(day=1)


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
        stored: bytes x microseconds in this month, up to the last midnight.
        storage: what that is of `so_far`.
    """

    rate: int = 0
    so_far: int = 0
    forecast: int = 0
    stored: int = 0
    storage: int = 0


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


def used_by(charges: Sequence[Charge], ended: int) -> dict[str, int]:
    """What a whole session used; amount x microseconds by resource."""
    found: Sums = {}
    for begin, end, charge in cut(charges, ended, charges[0].since, ended):
        _add(found, "", charge.amounts, end - begin)
    return found.get("", {})


@dataclass(frozen=True)
class Use:
    """A stretch of a session in which it was charged for the same.

    Attributes:
        session: its id; empty where it is no server, but storage.
        user: empty for a group's shared directory.
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
        storage: what homes and shared directories are of it.
        sessions: how many were charged.
        members, groups, profiles: what it consists of, dearest first. Of groups, those directly
            below, and the group itself for what is charged to it directly; of members, one without
            a name for shared directories. Storage has no profile.
        days: in their order, up to `until`; each named as in `2026-10-31`.
        credits: also those given to members and groups below, which count for them alone.
    """

    group: str
    month: date
    begin: int
    end: int
    until: int
    total: Line
    storage: Line
    sessions: int
    members: tuple[Line, ...]
    groups: tuple[Line, ...]
    profiles: tuple[Line, ...]
    days: tuple[Line, ...]
    credits: tuple[Credit, ...]

    @property
    def resources(self) -> list[str]:
        """What was used of, but for its cost: those that each server has, then others by name. CPU
        and memory where nothing was used."""
        first = ("cpu", "memory", "gpu", "servers")
        # GPUs count as `gpu` too, and beyond what is charged nothing is used over time.
        others = {name for name in self.total.used if not name.endswith(("/gpu", BURST))}
        shown = [*first, *sorted(others - {*first, COST})]
        return [name for name in shown if self.total.used.get(name)] or ["cpu", "memory"]


_STORED = "\0"
"""In the place of a profile: what no profile can be called."""

Sums = dict[str, dict[str, int]]
"""Amount x microseconds by name and resource."""


def _add(sums: Sums, name: str, amounts: Amounts, times: int = 1) -> None:
    total = sums.setdefault(name, {})
    for resource, amount in amounts.items():
        total[resource] = total.get(resource, 0) + amount * times


def _lines(sums: Sums, credited: Mapping[str, int] = {}) -> tuple[Line, ...]:
    found = [Line(name, sums.get(name, {}), credited.get(name, 0)) for name in {*sums, *credited}]
    return tuple(sorted(found, key=_dearest_first))


def _dearest_first(line: Line) -> tuple[int, int, int, str]:
    return -line.cost, -line.used.get("cpu", 0), -line.used.get("servers", 0), line.name


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
    # Added up once by all names together, and by day; what each name has follows from that.
    together: dict[tuple[str, str, str], dict[str, int]] = {}
    daily: Sums = {str(day): {} for day in days}
    sessions, last = 0, ""
    for use in uses:
        sessions, last = sessions + (use.session not in ("", last)), use.session
        profile = use.profile if use.session else _STORED
        total = together.setdefault((use.user, use.below, profile), {})
        for resource, amount in use.used.items():
            total[resource] = total.get(resource, 0) + amount
        at, since = bisect_right(edges, use.begin), use.begin
        while since < use.end:
            till = min(edges[at], use.end)
            _add(daily, str(days[at - 1]), use.amounts, till - since)
            at, since = at + 1, till
    members: Sums = {}
    groups: Sums = {}
    profiles: Sums = {}
    for names, amounts in together.items():
        for sums, name in zip((members, groups, profiles), names, strict=True):
            _add(sums, name, amounts)
    stored = profiles.pop(_STORED, {})
    credits = tuple(credits)
    to_members, to_groups = _credited(credits)
    own = to_groups.pop(group, 0)
    return Report(
        *(group, month, begin, end, until),
        total=Line(group, added(together.values()), own),
        storage=Line(STORAGE, stored),
        sessions=sessions,
        members=_lines(members, to_members),
        # What was given to groups further below counts for them, and has no line here.
        groups=_lines(groups, {name: to_groups[name] for name in groups.keys() & to_groups}),
        profiles=_lines(profiles),
        days=tuple(Line(name, amounts) for name, amounts in daily.items()),
        credits=credits,
    )


def _credited(credits: Iterable[Credit]) -> tuple[dict[str, int], dict[str, int]]:
    """What was taken off the cost of members, and of groups themselves; by name."""
    to_members: dict[str, int] = {}
    to_groups: dict[str, int] = {}
    for credit in credits:
        if credit.resource == COST:
            into, name = (to_members, credit.user) if credit.user else (to_groups, credit.group)
            into[name] = into.get(name, 0) + credit.amount
    return to_members, to_groups


def _days(month: date, until: int, zone: tzinfo) -> list[date]:
    """The days of a month that have begun before an instant; those that there were."""
    found, day, begin = [], month, month_span(month, zone)[0]
    while day.month == month.month and begin < until:
        found.append(day)
        begin, day = day_end(day, zone), day + timedelta(days=1)
    return found


# -- in words ----------------------------------------------------------------------------------


def money(amount: int, currency: str = "", digits: int = 2) -> str:
    """An amount of money (micro-currency per hour x microseconds) for people: `12.34 €`."""
    return f"{about(amount, MONEY, digits)} {currency}".rstrip()


def per_hour(rate: int, currency: str = "") -> str:
    """What something costs an hour (micro-currency) for people: `0.305 €`. Shown with up to four
    decimals, since a small server costs little."""
    text = about(rate, 10**6, 4)
    short = text.rstrip("0")
    return f"{short.ljust(text.index('.') + 3, '0')} {currency}".rstrip()


def hours(name: str, amount: int) -> str:
    """Amount x microseconds of a resource for people: `12.5` core-, GiB- or other hours; of
    storage GiB-months, since its price is for one."""
    length = HOUR * (HOURS_OF_STORAGE if name == STORAGE else 1)
    return about(amount, PRICED.get(name, 1) * length, 1)


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
    whole, parts = divmod((2 * 10**6 * abs(amount) + unit) // (2 * unit), 10**6)
    return f"{'-' if amount < 0 else ''}{whole}.{parts:06}"
