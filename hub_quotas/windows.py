"""The windows over which budgets are counted, and how people write them. Pure.

Instants are integer microseconds since 1970, UTC. What is counted runs from the begin of a window
(included) to its end (not included).
"""

from __future__ import annotations

import calendar
import datetime
import re
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache

from hub_groups.words import _, ngettext

from .quantities import did_you_mean, say_hint

MINUTE = 60 * 10**6
HOUR = 60 * MINUTE
DAY = 24 * HOUR
"""Microseconds."""

CALENDAR = {"day": 1, "week": 7, "month": 31, "quarter": 92}
"""Calendar units, and how many days the longest of each has."""

_LENGTHS = {"d": (DAY, "day"), "h": (HOUR, "hour"), "m": (MINUTE, "minute")}
_UNITS = {"w": 7 * DAY, "week": 7 * DAY, "weeks": 7 * DAY} | {
    word: length
    for letter, (length, name) in _LENGTHS.items()
    for word in (letter, name, f"{name}s")
}
_LONGEST = 3653  # days: ten years with three leap days
YEARS = range(1970, 3000)
"""Those that can be counted."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)

_LENGTH = re.compile(
    r"(?P<sign>-?)(?P<number>[0-9]+)(?P<part>[.,][0-9]*)?\s*(?P<unit>[a-z]*)", re.IGNORECASE
)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_EXAMPLE = "2026-09-01..2026-12-20"


class WindowError(ValueError):
    """A window or time zone that can't be read; the message says what would be right."""


@dataclass(frozen=True)
class Rolling:
    """The time up to now.

    Attributes:
        length: microseconds; whole minutes, if it is to be written down.
    """

    length: int


@dataclass(frozen=True)
class Calendar:
    """The present day, week (from Monday), month or quarter in the hub's zone.

    Attributes:
        unit: one of `CALENDAR`.
    """

    unit: str


@dataclass(frozen=True)
class Fixed:
    """A term, from the start of its `first` to the end of its `last` day in the hub's zone."""

    first: datetime.date
    last: datetime.date


Window = Rolling | Calendar | Fixed


def parse_window(text: str) -> Window:
    """The window in `7d`, `36h`, `90m` (minutes), `2w`, `month` or `2026-09-01..2026-12-20`.

    Raises:
        WindowError: for anything else, and for more than ten years.
    """
    word = text.strip()
    if word.lower() in CALENDAR:
        return Calendar(word.lower())
    if ".." in word:
        return _parse_term(word)
    if match := _LENGTH.fullmatch(word):
        return _parse_length(word, match)
    if _DATE.fullmatch(word):
        raise WindowError(
            _("'{word}' is one date; write the first and the last day: {example}.").format(
                word=word, example=_EXAMPLE
            )
        )
    why = _(
        "The window is missing; write a length (7d, 36h), {units}, or a term ({example}).{hint}"
    )
    if word:
        why = _(
            "'{word}' is not a window; write a length (7d, 36h), {units}, "
            "or a term ({example}).{hint}"
        )
    hint = did_you_mean(word.lower(), list(CALENDAR))
    raise WindowError(why.format(word=word, units=", ".join(CALENDAR), example=_EXAMPLE, hint=hint))


def _parse_length(text: str, match: re.Match[str]) -> Rolling:
    number, unit = match["number"].lstrip("0"), match["unit"]
    if not unit:
        raise WindowError(
            _(
                "'{text}' has no unit; write minutes, hours, days or weeks: 90m, 36h, 7d or 2w."
            ).format(text=text)
        )
    if unit not in _UNITS:
        known = ["minutes", "hours", "days", "weeks", "month", "quarter"]
        raise WindowError(
            _(
                "'{text}' has a unit that is not known; write m (minutes), h (hours), d "
                "(days) or w (weeks), as in 7d.{hint}"
            ).format(text=text, hint=did_you_mean(unit.lower(), known))
        )
    if match["part"]:
        raise WindowError(
            _(
                "'{text}' is not a whole number; write a smaller unit, as in 36h for a day "
                "and a half."
            ).format(text=text)
        )
    if match["sign"] or not number:
        raise WindowError(
            _("'{text}' is not longer than nothing; write 1{unit} or more.").format(
                text=text, unit=unit[0]
            )
        )
    # The digits are counted first, because Python refuses to read thousands of them.
    if len(number) > 9 or int(number) * _UNITS[unit] > _LONGEST * DAY:
        raise WindowError(
            _("'{text}' is longer than ten years; write {days}d or less.").format(
                text=text, days=_LONGEST
            )
        )
    return Rolling(int(number) * _UNITS[unit])


def _parse_term(text: str) -> Fixed:
    first, last = (_parse_day(text, part.strip()) for part in text.split("..", 1))
    if last < first:
        raise WindowError(
            _("'{text}' ends before it starts; write {last}..{first}.").format(
                text=text, last=last, first=first
            )
        )
    if (last - first).days >= _LONGEST:
        until = first + datetime.timedelta(days=_LONGEST - 1)
        raise WindowError(
            _("'{text}' is longer than ten years; write {first}..{until} or less.").format(
                text=text, first=first, until=until
            )
        )
    return Fixed(first, last)


def _parse_day(text: str, part: str) -> datetime.date:
    match = _DATE.fullmatch(part)
    if not match:
        why = _(
            "'{text}' is not a term: one of its dates is missing; write year-month-day: {example}."
        )
        if part:
            why = _(
                "'{text}' is not a term: '{part}' is not a date; write year-month-day: {example}."
            )
        raise WindowError(why.format(text=text, part=part, example=_EXAMPLE))
    year, month, day = (int(number) for number in match.groups())
    if year not in YEARS:
        raise WindowError(
            _(
                "'{text}' is not a term: the year {year} can't be counted; write one from "
                "{first} to {last}."
            ).format(text=text, year=match[1], first=YEARS[0], last=YEARS[-1])
        )
    if not 1 <= month <= 12:
        raise WindowError(
            _(
                "'{text}' is not a term: there is no month {month}; write year-month-day, "
                "with a month from 01 to 12."
            ).format(text=text, month=match[2])
        )
    days = calendar.monthrange(year, month)[1]
    if not 1 <= day <= days:
        raise WindowError(
            _(
                "'{text}' is not a term: there is no day {part}; write a day from {month}01 "
                "to {month}{days}."
            ).format(text=text, part=part, month=part[:8], days=days)
        )
    return datetime.date(year, month, day)


def format_window(window: Window) -> str:
    """`7d`, `36h`, `month`, `2026-09-01..2026-12-20`: what `parse_window` reads back."""
    if isinstance(window, Rolling):
        number, unit = _largest(window.length)
        return f"{number}{unit}"
    if isinstance(window, Calendar):
        return window.unit
    return f"{window.first}..{window.last}"


def length(window: Window) -> int:
    """How long the window is at most, in microseconds."""
    if isinstance(window, Rolling):
        return window.length
    if isinstance(window, Calendar):
        return CALENDAR[window.unit] * DAY + HOUR  # the day on which clocks go back has 25
    return ((window.last - window.first).days + 1) * DAY + HOUR


def say_window(window: Window) -> str:
    """The window after an amount in a sentence: 40 CPU-hours `in any 7 days`, `a month`."""
    if isinstance(window, Rolling):
        if window.length == DAY:
            return _("in any 24 hours")  # "in any day" would be from midnight to midnight
        number, unit = _largest(window.length)
        return {
            "d": ngettext("in any day", "in any {n} days", number),
            "h": ngettext("in any hour", "in any {n} hours", number),
            "m": ngettext("in any minute", "in any {n} minutes", number),
        }[unit].format(n=number)
    if isinstance(window, Calendar):
        return {
            "day": _("a day"),
            "week": _("a week"),
            "month": _("a month"),
            "quarter": _("a quarter"),
        }[window.unit]
    first, last = window.first, window.last
    if first == last:
        return _("on {day}").format(day=say_day(first))
    begin = say_short_day(first) if first.year == last.year else say_day(first)
    return _("from {first} to {last}").format(first=begin, last=say_day(last))


def _largest(length: int) -> tuple[int, str]:
    """A length in the largest unit in which it is whole. Not in weeks: people say 7 days."""
    for unit, (size, _name) in _LENGTHS.items():
        if length % size == 0:
            return length // size, unit
    raise AssertionError(f"not whole minutes: {length} microseconds")


def say_instant(at: int, present: int, zone: datetime.tzinfo) -> str:
    """`at 15:10`, `on Tue 24 Nov at 08:00`: an instant (microseconds), to the next full minute."""
    when, here = (
        datetime.datetime.fromtimestamp(instant, datetime.timezone.utc).astimezone(zone)
        for instant in (-(-at // 60_000_000) * 60, present // 10**6)
    )
    time, name = f"{when:%H:%M}", f"{when:%Z}"
    if when.date() == here.date():
        return _("at {time} ({zone})").format(time=time, zone=name)
    weekday = _("Mon Tue Wed Thu Fri Sat Sun").split()[when.weekday()]
    month = short_months()[when.month - 1]
    return _("on {weekday} {day} {month} at {time} ({zone})").format(
        weekday=weekday, day=when.day, month=month, time=time, zone=name
    )


def say_day(day: datetime.date) -> str:
    """`24 Dec 2026`."""
    month = short_months()[day.month - 1]
    return _("{day} {month} {year}").format(day=day.day, month=month, year=day.year)


def say_short_day(day: datetime.date) -> str:
    """`24 Dec`."""
    return _("{day} {month}").format(day=day.day, month=short_months()[day.month - 1])


def short_months() -> list[str]:
    """As in `24 Dec`."""
    return _("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split()


@lru_cache(maxsize=64)
def read_zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone of that name, as in `Europe/Berlin`.

    Looks through the whole time zone database the first time, which takes 10 ms. Only names of the
    list are taken: ZoneInfo would also open `right/Europe/Berlin`, which counts leap seconds and so
    puts midnight half a minute off.

    Raises:
        WindowError: for a name that the database does not have.
    """
    word, known = name.strip(), zoneinfo.available_timezones()
    if word in known:
        return zoneinfo.ZoneInfo(word)
    city = word.lower().replace(" ", "_")
    cities = [zone for zone in known if zone.lower().rpartition("/")[2] == city]
    hint = (
        say_hint(min(cities, key=lambda zone: (len(zone), zone)))
        if cities
        else did_you_mean(word, sorted(known))
    )
    why = _("The time zone is missing; write a name such as Europe/Berlin or UTC.{hint}")
    if word:
        why = _("There is no time zone '{word}'; write a name such as Europe/Berlin or UTC.{hint}")
    raise WindowError(why.format(word=word, hint=hint))


def span(window: Window, at: int, zone: datetime.tzinfo) -> tuple[int, int] | None:
    """Begin and end of the window that holds at `at`; None when a fixed term does not."""
    if isinstance(window, Rolling):
        return at - window.length, at
    if isinstance(window, Calendar):
        return period(window, at, zone)
    begin, end = term(window, zone)
    return (begin, end) if begin <= at < end else None


def period(window: Calendar, at: int, zone: datetime.tzinfo) -> tuple[int, int]:
    """Begin and end of the calendar period that holds at `at`."""
    first = _period_start(window.unit, _local_date(at, zone))
    begin = _day_begin(first, zone)
    while True:
        first = _period_start(window.unit, first + datetime.timedelta(days=CALENDAR[window.unit]))
        end = _day_begin(first, zone)
        if at < end:
            return begin, end
        # Clocks went back over midnight: the date is yesterday's again, the period stays.
        begin = end


def term(window: Fixed, zone: datetime.tzinfo) -> tuple[int, int]:
    """Begin and end of a fixed term."""
    after = window.last + datetime.timedelta(days=1)
    return _day_begin(window.first, zone), _day_begin(after, zone)


def day_end(day: datetime.date, zone: datetime.tzinfo) -> int:
    """The instant at which a day is over."""
    return _day_begin(day + datetime.timedelta(days=1), zone)


def instant(when: datetime.datetime, zone: datetime.tzinfo) -> int:
    """Microseconds since 1970, UTC; of a time in the zone, where it names none itself."""
    aware = when if when.tzinfo else when.replace(tzinfo=zone)
    return (aware.astimezone(datetime.timezone.utc) - _EPOCH) // _MICROSECOND


def _period_start(unit: str, day: datetime.date) -> datetime.date:
    if unit == "week":
        return day - datetime.timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    if unit == "quarter":
        return day.replace(month=day.month - (day.month - 1) % 3, day=1)
    return day


def _local_date(at: int, zone: datetime.tzinfo) -> datetime.date:
    return (_EPOCH + at * _MICROSECOND).astimezone(zone).date()


@lru_cache(maxsize=4096)
def _day_begin(day: datetime.date, zone: datetime.tzinfo) -> int:
    """The first instant at which clocks in the zone show that day or a later one.

    That is midnight; the first of two, where clocks go back over it; the instant of the change,
    where they skip it (with the whole day, when a zone moves over the date line).
    """
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=zone)
    # Through UTC: the difference of two datetimes of one zone would ignore its offsets.
    before, end = sorted(
        (midnight.replace(fold=fold).astimezone(datetime.timezone.utc) - _EPOCH) // _MICROSECOND
        for fold in (0, 1)
    )
    if _local_date(before, zone) >= day:
        return before
    while end - before > 1:
        middle = (before + end) // 2
        if _local_date(middle, zone) >= day:
            end = middle
        else:
            before = middle
    return end
