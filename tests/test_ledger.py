"""The curve of what a subject uses, against adding up every session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.ledger import Point, negative, pack, step, unpack

spans = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 2**40)),
    min_size=1,
    max_size=12,
)


@given(spans)
def test_totals_and_rates_are_exact(sessions):
    """Each session is (start, length, memory)."""
    events = [(start, {"memory": m, "servers": 1}) for start, _, m in sessions]
    events += [(start + n, negative({"memory": m, "servers": 1})) for start, n, m in sessions]
    point, rates = None, {}
    for at, change in sorted(events, key=lambda event: (event[0], event[1]["servers"] < 0)):
        point = step(point, at, change)
        rates[at] = point.rate["memory"]  # the last of several at one instant is the truth
    for at, rate in rates.items():
        assert rate == sum(m for start, n, m in sessions if start <= at < start + n)
    assert point.rate == {"memory": 0, "servers": 0}
    end = point.at + 12345
    assert point.total_at("memory", end) == sum(n * m for _, n, m in sessions)
    assert point.total_at("servers", end) == sum(n for _, n, _ in sessions)


def test_a_clock_that_goes_back_makes_the_curve_wait():
    first = step(None, 100, {"cpu": 5})
    assert step(first, 40, {"cpu": 1}) == Point(100, {"cpu": 0}, {"cpu": 6})


def test_points_are_packed_by_position_and_old_ones_read_as_zeros():
    names = ("cpu", "memory")
    point = Point(7, {"cpu": 1, "memory": 2**70}, {"cpu": 4, "memory": 5})
    assert pack(point, names) == [1, 4, 2**70, 5]
    assert unpack(7, pack(point, names), names) == point
    assert unpack(7, [1, 4], names) == Point(7, {"cpu": 1}, {"cpu": 4})
