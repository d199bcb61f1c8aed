"""Windows as hub admins write them, and where they begin and end."""

from __future__ import annotations

import datetime
from datetime import date
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub_quotas.windows import (
    CALENDAR,
    DAY,
    HOUR,
    MINUTE,
    Calendar,
    Fixed,
    Rolling,
    WindowError,
    format_window,
    parse_window,
    period,
    read_zone,
    say_window,
    span,
    term,
)

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")
CHANGES_AT_MIDNIGHT = [
    "America/St_Johns",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Asuncion",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "America/New_York",
]


def at(zone: ZoneInfo, *when: int, fold: int = 0) -> int:
    """An instant from local time."""
    local = datetime.datetime(*when, tzinfo=zone, fold=fold)
    return (local.astimezone(datetime.timezone.utc) - EPOCH) // datetime.timedelta(microseconds=1)


def shown(zone: ZoneInfo, instant: int) -> datetime.datetime:
    """Local time at an instant."""
    return (EPOCH + datetime.timedelta(microseconds=instant)).astimezone(zone)


@pytest.mark.parametrize(
    ("text", "window", "written", "said"),
    [
        ("7d", Rolling(7 * DAY), "7d", "in any 7 days"),
        ("7 days", Rolling(7 * DAY), "7d", "in any 7 days"),
        ("168h", Rolling(7 * DAY), "7d", "in any 7 days"),
        ("36h", Rolling(36 * HOUR), "36h", "in any 36 hours"),
        ("90m", Rolling(90 * MINUTE), "90m", "in any 90 minutes"),
        ("2w", Rolling(14 * DAY), "14d", "in any 14 days"),
        ("1d", Rolling(DAY), "1d", "in any 24 hours"),
        ("60 minutes", Rolling(HOUR), "1h", "in any hour"),
        ("1m", Rolling(MINUTE), "1m", "in any minute"),
        ("3653d", Rolling(3653 * DAY), "3653d", "in any 3653 days"),
        ("day", Calendar("day"), "day", "a day"),
        (" Week ", Calendar("week"), "week", "a week"),
        ("month", Calendar("month"), "month", "a month"),
        ("quarter", Calendar("quarter"), "quarter", "a quarter"),
        (
            "2026-09-01..2026-12-20",
            Fixed(date(2026, 9, 1), date(2026, 12, 20)),
            "2026-09-01..2026-12-20",
            "from 1 Sep to 20 Dec 2026",
        ),
        (
            "2026-10-01 .. 2027-02-28",
            Fixed(date(2026, 10, 1), date(2027, 2, 28)),
            "2026-10-01..2027-02-28",
            "from 1 Oct 2026 to 28 Feb 2027",
        ),
        (
            "2028-02-29..2028-02-29",
            Fixed(date(2028, 2, 29), date(2028, 2, 29)),
            "2028-02-29..2028-02-29",
            "on 29 Feb 2028",
        ),
        (
            "2020-01-01..2029-12-31",
            Fixed(date(2020, 1, 1), date(2029, 12, 31)),
            "2020-01-01..2029-12-31",
            "from 1 Jan 2020 to 31 Dec 2029",
        ),
    ],
)
def test_windows_are_read_written_and_said(text, window, written, said):
    assert parse_window(text) == window
    assert format_window(window) == written
    assert say_window(window) == said


days = st.dates(date(1970, 1, 1), date(2999, 12, 31))
windows = st.one_of(
    st.integers(1, 3653 * 24 * 60).map(lambda minutes: Rolling(minutes * MINUTE)),
    st.sampled_from(list(CALENDAR)).map(Calendar),
    st.builds(
        lambda first, length: Fixed(
            first, min(date(2999, 12, 31), first + datetime.timedelta(days=length))
        ),
        days,
        st.integers(0, 3652),
    ),
)


@settings(deadline=None, max_examples=300)
@given(windows)
def test_what_is_written_is_read_back(window):
    assert parse_window(format_window(window)) == window


GENERAL = "write a length (7d, 36h), day, week, month, quarter, or a term (2026-09-01..2026-12-20)."
UNITS = (
    "has a unit that is not known; write m (minutes), h (hours), d (days) or w (weeks), as in 7d."
)
TERM = "write year-month-day: 2026-09-01..2026-12-20."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"The window is missing; {GENERAL}"),
        ("  ", f"The window is missing; {GENERAL}"),
        ("mnth", f"'mnth' is not a window; {GENERAL} Did you mean 'month'?"),
        ("Monthly", f"'Monthly' is not a window; {GENERAL} Did you mean 'month'?"),
        ("quater", f"'quater' is not a window; {GENERAL} Did you mean 'quarter'?"),
        ("forever", f"'forever' is not a window; {GENERAL}"),
        ("P7D", f"'P7D' is not a window; {GENERAL}"),
        ("٧d", f"'٧d' is not a window; {GENERAL}"),
        ("7", "'7' has no unit; write minutes, hours, days or weeks: 90m, 36h, 7d or 2w."),
        ("7x", f"'7x' {UNITS}"),
        ("60s", f"'60s' {UNITS}"),
        ("3M", f"'3M' {UNITS}"),  # months for some, minutes for others
        ("3 months", f"'3 months' {UNITS} Did you mean 'month'?"),
        ("7 dayz", f"'7 dayz' {UNITS} Did you mean 'days'?"),
        (
            "1.5d",
            "'1.5d' is not a whole number; write a smaller unit, as in 36h for a day and a half.",
        ),
        ("0d", "'0d' is not longer than nothing; write 1d or more."),
        ("-7 hours", "'-7 hours' is not longer than nothing; write 1h or more."),
        ("3654d", "'3654d' is longer than ten years; write 3653d or less."),
        ("9" * 30 + "m", f"'{'9' * 30}m' is longer than ten years; write 3653d or less."),
        (
            "2026-09-01",
            "'2026-09-01' is one date; write the first and the last day: 2026-09-01..2026-12-20.",
        ),
        (
            "2026-12-20..2026-09-01",
            "'2026-12-20..2026-09-01' ends before it starts; write 2026-09-01..2026-12-20.",
        ),
        (
            "2026-02-30..2026-12-20",
            "'2026-02-30..2026-12-20' is not a term: there is no day 2026-02-30; "
            "write a day from 2026-02-01 to 2026-02-28.",
        ),
        (
            "2026-09-01..2026-13-01",
            "'2026-09-01..2026-13-01' is not a term: there is no month 13; "
            "write year-month-day, with a month from 01 to 12.",
        ),
        (
            "0026-09-01..2026-12-20",
            "'0026-09-01..2026-12-20' is not a term: the year 0026 can't be counted; "
            "write one from 1970 to 2999.",
        ),
        (
            "2026-09-01..2036-09-01",
            "'2026-09-01..2036-09-01' is longer than ten years; "
            "write 2026-09-01..2036-08-31 or less.",
        ),
        (
            "2026-09-01..",
            f"'2026-09-01..' is not a term: one of its dates is missing; {TERM}",
        ),
        (
            "1.9.2026..20.12.2026",
            f"'1.9.2026..20.12.2026' is not a term: '1.9.2026' is not a date; {TERM}",
        ),
        (
            "2026-09-01...2026-12-20",
            f"'2026-09-01...2026-12-20' is not a term: '.2026-12-20' is not a date; {TERM}",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text, sentence):
    with pytest.raises(WindowError) as caught:
        parse_window(text)
    assert str(caught.value) == sentence


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=30) | st.from_regex(r"[-0-9.mhdwT ]{0,25}", fullmatch=True))
@example("9" * 5000 + "d")
@example("0" * 5000 + "d")
def test_whatever_is_written_is_read_or_refused(text):
    try:
        window = parse_window(text)
    except WindowError as error:
        assert "\n" not in str(error).replace(text.strip(), "")
    else:
        assert parse_window(format_window(window)) == window


def test_zones():
    assert read_zone(" Europe/Berlin ") is BERLIN
    assert read_zone("UTC").key == "UTC"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Berlim", "'Europe/Berlim'; write a name such as Europe/Berlin or UTC. Did you"),
        ("europe/berlin", "Did you mean 'Europe/Berlin'?"),
        ("Berlin", "Did you mean 'Europe/Berlin'?"),
        ("new york", "Did you mean 'America/New_York'?"),
        ("utc", "Did you mean 'UTC'?"),
        ("America", "There is no time zone 'America'"),
        ("", "The time zone is missing; write a name such as"),
        ("../../../etc/passwd", "There is no time zone"),
        ("/etc/localtime", "There is no time zone"),
        ("right/Europe/Berlin", "There is no time zone"),
        ("zone.tab", "There is no time zone"),
        ("\0", "There is no time zone"),
        ("x" * 5000, "There is no time zone"),
    ],
)
def test_zones_that_there_are_not(name, said):
    with pytest.raises(WindowError) as caught:
        read_zone(name)
    assert said in str(caught.value)


def test_rolling():
    assert span(Rolling(5), 100, BERLIN) == (95, 100)


def test_a_term_is_in_force_through_its_last_day():
    window = Fixed(date(2026, 9, 1), date(2026, 12, 20))
    begin, end = at(BERLIN, 2026, 9, 1), at(BERLIN, 2026, 12, 21)
    assert term(window, BERLIN) == (begin, end)
    assert end - begin == 111 * DAY + HOUR  # summer time ends in between
    assert span(window, begin - 1, BERLIN) is None
    assert span(window, begin, BERLIN) == (begin, end)
    assert span(window, end - 1, BERLIN) == (begin, end)
    assert span(window, end, BERLIN) is None


@pytest.mark.parametrize(
    ("zone", "when", "unit", "begin", "end"),
    [
        ("UTC", (2026, 5, 20, 12), "day", (2026, 5, 20), (2026, 5, 21)),
        ("UTC", (2026, 5, 20), "week", (2026, 5, 18), (2026, 5, 25)),
        ("UTC", (2026, 5, 24, 23, 59), "week", (2026, 5, 18), (2026, 5, 25)),
        ("UTC", (2026, 5, 20), "month", (2026, 5, 1), (2026, 6, 1)),
        ("UTC", (2026, 12, 31), "month", (2026, 12, 1), (2027, 1, 1)),
        ("UTC", (2026, 5, 20), "quarter", (2026, 4, 1), (2026, 7, 1)),
        ("UTC", (2026, 12, 31), "quarter", (2026, 10, 1), (2027, 1, 1)),
        ("UTC", (2026, 1, 1), "week", (2025, 12, 29), (2026, 1, 5)),
        ("Europe/Berlin", (2026, 3, 29, 5), "day", (2026, 3, 29), (2026, 3, 30)),
    ],
)
def test_periods(zone, when, unit, begin, end):
    zone = ZoneInfo(zone)
    assert span(Calendar(unit), at(zone, *when), zone) == (at(zone, *begin), at(zone, *end))


@pytest.mark.parametrize(
    ("zone", "noon", "begins", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29, 12), "2026-03-29T00:00:00+01:00", 23),
        ("Europe/Berlin", (2026, 10, 25, 12), "2026-10-25T00:00:00+02:00", 25),
        ("America/Sao_Paulo", (2018, 11, 4, 12), "2018-11-04T01:00:00-02:00", 23),
        ("Africa/Cairo", (2024, 4, 26, 12), "2024-04-26T01:00:00+03:00", 23),
        ("America/Havana", (2023, 11, 5, 12), "2023-11-05T00:00:00-04:00", 25),
        ("Pacific/Apia", (2011, 12, 29, 12), "2011-12-29T00:00:00-10:00", 24),
        ("Pacific/Apia", (2011, 12, 31, 12), "2011-12-31T00:00:00+14:00", 24),
        ("America/St_Johns", (2006, 10, 29, 12), "2006-10-29T00:00:00-02:30", 25),
        # Clocks went from 23:30 on the 30th to 00:30 on the 31st: the day began between midnights.
        ("America/Toronto", (1919, 3, 31, 12), "1919-03-31T00:30:00-04:00", 23.5),
    ],
)
def test_days_on_which_clocks_change(zone, noon, begins, hours):
    zone = ZoneInfo(zone)
    begin, end = period(Calendar("day"), at(zone, *noon), zone)
    assert shown(zone, begin).isoformat() == begins
    assert end - begin == hours * HOUR
    check(zone, "day", at(zone, *noon))


def test_the_day_stays_when_clocks_go_back_over_midnight():
    zone = ZoneInfo("America/St_Johns")
    again = at(zone, 2006, 10, 28, 23, 30, fold=1)  # for the second time, after 00:00:30
    assert period(Calendar("day"), again, zone)[0] == at(zone, 2006, 10, 29)
    assert at(zone, 2006, 10, 29) < again


@pytest.mark.parametrize("unit", list(CALENDAR))
def test_a_day_that_a_zone_lived_through_twice(unit):
    zone = ZoneInfo("America/Juneau")  # became American on 18 October 1867
    for hours in range(0, 96, 3):
        check(zone, unit, at(UTC, 1867, 10, 16) + hours * HOUR)


def test_a_term_on_a_day_that_a_zone_skipped_is_never_in_force():
    zone = ZoneInfo("Pacific/Apia")
    begin, end = term(Fixed(date(2011, 12, 30), date(2011, 12, 30)), zone)
    assert begin == end
    assert span(Fixed(date(2011, 12, 30), date(2011, 12, 30)), begin, zone) is None


def number(unit: str, day: date) -> tuple[int, int]:
    """Which day, week, month or quarter a date is in; later ones are greater."""
    if unit == "day":
        return (day.toordinal(), 0)
    if unit == "week":
        return day.isocalendar()[:2]
    return (day.year, day.month if unit == "month" else (day.month + 2) // 3)


def check(zone: ZoneInfo, unit: str, instant: int) -> None:
    """The period at an instant, by looking at the clock, step by step."""
    begin, end = period(Calendar(unit), instant, zone)
    assert begin <= instant < end

    def of(moment: int) -> tuple[int, int]:
        return number(unit, shown(zone, moment).date())

    this = of(begin)
    assert this < of(end)
    moments = set(range(begin, end, HOUR if unit == "day" else 6 * HOUR)) | {instant, end - 1}
    for edge in (begin, end):
        moments |= set(range(edge - 2 * HOUR, edge + 2 * HOUR, 5 * MINUTE))
        moments |= set(range(edge - 27 * HOUR, edge + 27 * HOUR, HOUR)) | {edge - 1}
    for moment in moments:
        if moment < begin:
            assert of(moment) < this, "the period began before"
        elif moment < end:
            assert of(moment) <= this, "the period ended before"


@cache
def clock_changes(zone: ZoneInfo) -> list[int]:
    """Instants, to the day, before which clocks changed since 1990."""
    steps = range(at(UTC, 1990, 1, 1), at(UTC, 2037, 1, 1), DAY)
    offsets = [shown(zone, step).utcoffset() for step in steps]
    return [
        step for step, old, new in zip(steps[1:], offsets, offsets[1:], strict=False) if old != new
    ]


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_periods_around_clock_changes(data):
    zone = ZoneInfo(data.draw(st.sampled_from(CHANGES_AT_MIDNIGHT)))
    change = data.draw(st.sampled_from(clock_changes(zone)))
    unit = data.draw(st.sampled_from(list(CALENDAR)))
    check(zone, unit, change + data.draw(st.integers(-2 * DAY, 2 * DAY)))


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(sorted(available_timezones())),
    st.sampled_from(list(CALENDAR)),
    st.integers(at(UTC, 1910, 1, 1), at(UTC, 2100, 1, 1)),
)
def test_periods_everywhere(zone, unit, instant):
    check(ZoneInfo(zone), unit, instant)


@pytest.mark.parametrize("unit", list(CALENDAR))
@pytest.mark.parametrize("zone", CHANGES_AT_MIDNIGHT)
def test_periods_follow_each_other(zone, unit):
    zone = ZoneInfo(zone)
    _, end = period(Calendar(unit), at(UTC, 2005, 6, 1), zone)
    for _ in range(400):
        begin, after = period(Calendar(unit), end, zone)
        assert (begin, after) == (end, period(Calendar(unit), after - 1, zone)[1])
        end = after
