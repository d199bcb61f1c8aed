"""When a directory is full at the pace of the last days."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.storage_trend import full_at

DAY = 24 * 3600 * 10**6
NOW = 20_000 * DAY
GIB = 2**30
LIMIT = 100 * GIB


def in_days(days: list[int], limit: int | None = LIMIT) -> float | None:
    found = full_at([one * GIB for one in days], days[-1] * GIB, limit, NOW)
    return None if found is None else (found - NOW) / DAY


def test_steady_growth_goes_on():
    assert in_days([*range(40, 60)]) == pytest.approx(41)


@pytest.mark.parametrize(
    "days",
    [
        [50] * 20,
        [*range(60, 40, -1)],
        [10, 20, 30, 40],  # too few
        [40, 40, 40, 40, 40, 40, 40, 40, 90],  # once, all that came
        [90, 95, 100, 100, 100, 100],  # full already
        [150, 151, 152, 153, 154, 155],
    ],
)
def test_nothing_is_said_where_it_would_be_a_guess(days):
    assert in_days(days) is None


def test_nor_of_what_is_years_ahead_or_has_no_limit():
    crumbs = [day * GIB // 100 for day in range(20)]
    assert full_at(crumbs, crumbs[-1], LIMIT, NOW) is None
    assert in_days([*range(40, 60)], limit=None) is None


def test_only_the_last_days_count():
    assert in_days([*range(0, 80, 4), *([80] * 14)]) is None


def test_one_day_that_differs_changes_little():
    days = [*range(40, 54)]
    days[7] = 95
    assert in_days(days) == pytest.approx(47, rel=0.2)


@given(st.lists(st.integers(0, 2 * LIMIT), min_size=1, max_size=40), st.integers(0, 2**62))
def test_it_is_always_ahead_and_within_a_year(days, limit):
    found = full_at(days, days[-1], limit, NOW)
    assert found is None or (days[-1] < limit and NOW <= found <= NOW + 365 * DAY)
