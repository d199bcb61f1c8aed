"""When budgets run out and have room again, against trying every instant."""

from __future__ import annotations

import datetime
from datetime import date
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_quotas import forecast
from hub_quotas.forecast import Budget, curve, fits, merged, runs_out, used
from hub_quotas.windows import DAY, HOUR, Calendar, Fixed, Rolling, period, span, term

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
END = 200
"""Instants that are tried."""
BOUNDARIES = {"day": range(0, END + 100, 7), "month": (0, 31, 40, 55, 56, 90, 130, 171, END + 99)}


def small_period(window, at, zone):
    """Calendar periods of a few microseconds, of which each instant can be tried."""
    edges = BOUNDARIES[window.unit]
    return max(x for x in edges if x <= at), min(x for x in edges if x > at)


def small_term(window, zone):
    """A term whose days are microseconds."""
    return window.first.toordinal(), window.last.toordinal() + 1


def small_span(window, at, zone):
    if isinstance(window, Rolling):
        return at - window.length, at
    if isinstance(window, Calendar):
        return small_period(window, at, zone)
    begin, end = small_term(window, zone)
    return (begin, end) if begin <= at < end else None


@pytest.fixture(autouse=True, scope="module")
def small():
    """Windows of microseconds for Calendar and Fixed; `large` takes them away again."""
    with mock.patch.multiple(forecast, span=small_span, period=small_period, term=small_term):
        yield


@pytest.fixture
def large():
    with mock.patch.multiple(forecast, span=span, period=period, term=term):
        yield


@st.composite
def curves(draw, credits=True):
    """Points with gaps of 1 to 15, and sometimes a credit (or a debit)."""
    points, at, total, rate = [], draw(st.integers(0, 30)), 0, 0
    for gap in draw(st.lists(st.integers(1, 15), max_size=8)):
        total += draw(st.sampled_from([0, 0, 0, -5, -20, 9])) if credits else 0
        rate = draw(st.integers(0, 4))
        points.append((at, total, rate))
        at, total = at + gap, total + rate * gap
    return points


ordinals = st.integers(1, END).map(date.fromordinal)
windows = st.one_of(
    st.integers(1, 60).map(Rolling),
    st.sampled_from(list(BOUNDARIES)).map(Calendar),
    st.tuples(ordinals, ordinals).map(lambda days: Fixed(min(days), max(days))),
)
budgets = st.builds(Budget, curves(), windows, st.integers(-5, 120))


def slow_curve(points, at):
    """As if nothing changed after the last point, added up step by step from it."""
    now = [point for point in points if point[0] <= at]
    if not now:
        return 0
    since, total, rate = now[-1]
    return total + sum(rate for _ in range(since, at))


def slow_used(budget, at):
    """What is in use when all goes on as it is."""
    found = small_span(budget.window, at, UTC)
    if found is None:
        return None
    return slow_curve(budget.points, at) - slow_curve(budget.points, found[0])


def until(budget, at):
    """The budget as it is known at an instant."""
    return Budget([p for p in budget.points if p[0] <= at], budget.window, budget.amount)


@settings(deadline=None, max_examples=300)
@given(budgets, st.integers(0, END))
def test_used(budget, at):
    assert curve(budget.points, at) == slow_curve(budget.points, at)
    assert used(budget, at, UTC) == slow_used(budget, at)


@settings(deadline=None, max_examples=500)
@given(st.lists(budgets, max_size=3), st.integers(0, 140), st.integers(-5, 100))
def test_runs_out_at_the_first_instant_at_which_one_has_run_out(several, at, ahead):
    expected = None
    known = [until(budget, at) for budget in several]
    for instant in range(at, at + ahead):
        uses = [slow_used(budget, instant) for budget in known]
        out = [n for n, use in enumerate(uses) if use is not None and use >= known[n].amount]
        if out:
            expected = (instant, out[0])
            break
    assert runs_out(several, at, at + ahead, UTC) == expected


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.tuples(budgets, st.integers(0, 60)), max_size=3),
    st.integers(0, 140),
    st.integers(-5, 100),
)
def test_fits_at_the_first_instant_at_which_all_have_room(several, at, ahead):
    known = [(until(budget, at), need) for budget, need in several]
    expected = None
    for instant in range(at, at + ahead):
        uses = [(slow_used(budget, instant), budget.amount - need) for budget, need in known]
        if all(use is None or use <= most for use, most in uses):
            expected = instant
            break
    found = fits([b for b, _ in several], [need for _, need in several], at, at + ahead, UTC)
    assert found == expected


segments = st.lists(
    st.tuples(st.integers(0, 120), st.integers(-2, 40), st.integers(-4, 4)).map(
        lambda s: (s[0], s[0] + s[1], s[2])
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=300)
@given(curves(), segments)
def test_merged(points, laid):
    both = merged(points, laid)
    assert [at for at, _, _ in both] == sorted({at for at, _, _ in both})
    for at in range(-1, END):
        extra = sum(rate for since, til, rate in laid for t in range(since, til) if t < at)
        assert curve(both, at) == curve(points, at) + extra


def test_a_server_found_closed_late_counts_in_no_window_after_it_died():
    points = [(0, 0, 2), (100, 200, 0)]  # found at 100
    both = merged(points, [(40, 100, -2)])  # died at 40
    assert both == [(0, 0, 2), (40, 80, 0), (100, 80, 0)]
    assert used(Budget(both, Rolling(50), 0), 100, UTC) == 0
    assert used(Budget(both, Rolling(70), 0), 100, UTC) == 20


def test_what_has_room_now_may_have_none_when_the_other_has():
    waits = Budget([(0, 0, 10), (10, 100, 0)], Rolling(50), 40)  # room for 30 from 59 on
    goes_on = Budget([(0, 0, 1)], Calendar("month"), 45)  # room for 30 up to 15, and from 31 on
    assert fits([waits], [30], 12, 300, UTC) == 59
    assert fits([goes_on], [30], 12, 300, UTC) == 12
    assert fits([goes_on], [30], 17, 300, UTC) == 31
    assert fits([waits, goes_on], [30, 30], 12, 300, UTC) == 59
    assert fits([waits, goes_on], [30, 43], 12, 300, UTC) == 90  # a month has begun at 56
    assert fits([waits, goes_on], [41, 0], 12, 300, UTC) is None


def test_a_tie_is_the_first_budgets():
    one = Budget([(0, 0, 1)], Rolling(50), 20)
    assert runs_out([one, one], 5, 100, UTC) == (20, 0)


def test_needs_and_budgets_come_in_pairs():
    with pytest.raises(ValueError, match="argument"):
        fits([], [1], 0, 10, UTC)


def test_totals_of_any_size_are_exact(large):
    """A TiB for ten years, to the byte and microsecond."""
    rate, at = 2**40 + 1, 3653 * DAY
    budget = Budget([(0, 0, rate)], Rolling(at), rate * at)
    assert used(budget, at - 1, UTC) == rate * (at - 1)
    assert runs_out([budget], 5, 2 * at, UTC) == (at, 0)
    one_less = Budget(budget.points, budget.window, rate * at - 1)
    assert runs_out([one_less], 5, 2 * at, UTC) == (at, 0)
    assert runs_out([Budget(budget.points, budget.window, rate * at + 1)], 5, 2 * at, UTC) is None


def instant(zone, *when):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    local = datetime.datetime(*when, tzinfo=zone).astimezone(datetime.timezone.utc)
    return (local - epoch) // datetime.timedelta(microseconds=1)


def test_days_of_a_real_calendar(large):
    """One core since March: 24 hours are over at midnight, but for the day that has 25."""
    points = [(instant(BERLIN, 2026, 3, 1), 0, 1)]
    start = instant(BERLIN, 2026, 3, 20)
    horizon = instant(BERLIN, 2027, 1, 1)
    budget = Budget(points, Calendar("day"), 24 * HOUR)
    found = instant(BERLIN, 2026, 10, 25) + 24 * HOUR
    assert runs_out([budget], start, horizon, BERLIN) == (found, 0)
    assert fits([budget], [1], found, horizon, BERLIN) == instant(BERLIN, 2026, 10, 26)
    assert runs_out([budget], start, horizon, UTC) is None


def test_a_real_term(large):
    zone = ZoneInfo("America/New_York")
    begin, end = instant(zone, 2026, 9, 1), instant(zone, 2026, 12, 21)
    window = Fixed(date(2026, 9, 1), date(2026, 12, 20))
    budget = Budget([(begin - DAY, 0, 4)], window, 200 * HOUR)
    assert used(budget, begin - 1, zone) is None
    assert used(budget, begin + HOUR, zone) == 4 * HOUR
    assert runs_out([budget], begin - DAY, end, zone) == (begin + 50 * HOUR, 0)
    assert fits([budget], [100 * HOUR], begin, end, zone) == begin
    assert fits([budget], [1], begin + 50 * HOUR, end, zone) is None
    assert fits([budget], [1], begin + 50 * HOUR, end + 1, zone) == end


def test_a_walk_over_a_long_history_looks_at_each_point_once(large):
    """Ten times the points take about ten times the steps, not a hundred."""

    def steps(count):
        budget = Budget([(n * 10, n * 10, 1) for n in range(count)], Rolling(count * 10), 10**9)
        with mock.patch.object(forecast, "_steps", wraps=forecast._steps) as counted:
            assert fits([budget, budget], [10**9, 10**9 + 1], count * 10, count * 30, UTC) is None
        return counted.call_count

    assert steps(1000) < 11 * steps(100)
