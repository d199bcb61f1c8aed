"""Costs and forecasts: cut, added up, looked ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from ledgers import START, clock, store, url

from hub_quotas.corrections import adjust
from hub_quotas.costs import (
    MONEY,
    WEEK,
    Credit,
    Spending,
    Use,
    cut,
    exactly,
    forecast,
    hours,
    money,
    month_after,
    month_before,
    month_of,
    month_span,
    parse_month,
    per_hour,
    report,
    used_by,
)
from hub_quotas.ledger import Charge
from hub_quotas.lineage import PARENT, RENAMED, ever_below
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.reports_page import LINES, plot, table
from hub_quotas.spending import member_spending, members_of, running_costs, spending_of
from hub_quotas.windows import DAY, WindowError

__all__ = ["clock", "store", "url"]

BERLIN = ZoneInfo("Europe/Berlin")
OCTOBER = date(2026, 10, 1)


def at(text: str, zone=BERLIN) -> int:
    when = datetime.fromisoformat(text).replace(tzinfo=zone)
    return int(when.timestamp()) * 10**6


def use(begin: str, end: str, user: str = "sam", cost: int = 1, **more: str) -> Use:
    about = {"session": f"{user} {begin}", "server": "", "group": "a", "profile": "", "below": "a"}
    amounts = {"cost": cost, "cpu": 1000}
    return Use(**{**about, **more}, user=user, begin=at(begin), end=at(end), amounts=amounts)


def october(*uses: Use, until: str = "2026-12-01", credits: tuple[Credit, ...] = ()):
    return report("a", OCTOBER, at(until), BERLIN, uses, credits)


# -- months


def test_months_begin_and_end_in_the_hubs_zone():
    begin, end = month_span(OCTOBER, BERLIN)
    assert (begin, end) == (at("2026-10-01"), at("2026-11-01"))
    assert end - begin == 31 * DAY + HOUR, "clocks go back"
    assert month_of(begin, BERLIN) == OCTOBER == month_of(end - 1, BERLIN)
    assert month_of(begin - 1, BERLIN) == date(2026, 9, 1)
    assert month_after(date(2026, 12, 1)) == date(2027, 1, 1)
    assert month_before(date(2026, 1, 1)) == date(2025, 12, 1)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "26-10", "2026-1", "1969-12", "", "x"])
def test_what_is_not_a_month(text):
    with pytest.raises(WindowError, match="is not a month; write year and month: 2026-10"):
        parse_month(text)
    assert parse_month(" 2026-10 ") == OCTOBER


# -- sessions


CHARGES = (Charge(10, (1, 2), {"cost": 5}), Charge(30, (1, 3), {"cost": 7}))


def test_a_session_is_cut_to_a_span_and_keeps_what_it_was_charged_when():
    def lengths(ended: int, begin: int, end: int) -> list[tuple[int, int, int]]:
        return [(s, e, c.amounts["cost"]) for s, e, c in cut(CHARGES, ended, begin, end)]

    assert lengths(50, 0, 100) == [(10, 30, 5), (30, 50, 7)]
    assert lengths(50, 20, 40) == [(20, 30, 5), (30, 40, 7)]
    assert lengths(25, 0, 100) == [(10, 25, 5)], "it ended before it was charged anew"
    assert lengths(50, 50, 100) == lengths(10, 0, 100) == []
    assert used_by(CHARGES, 50) == {"cost": 5 * 20 + 7 * 20}
    assert used_by(CHARGES, 10) == {}


def test_where_no_server_has_a_limit_of_cpu_a_report_is_about_the_hours_of_servers():
    begin = at("2026-10-02T10:00")
    one = use("2026-10-02T10:00", "2026-10-02T11:00")
    found = october(
        replace(one, amounts={"servers": 1}),
        replace(one, user="kim", end=begin + 3 * HOUR, amounts={"servers": 1}),
    )
    assert found.resources == ["servers"]
    assert [line.name for line in found.members] == ["kim", "sam"]
    picture = plot(found, priced=False, currency="")
    assert "<title>Server-hours of each day</title>" in picture
    assert "<desc>Most on 2026-10-02: 4.0 server-hours.</desc>" in picture
    assert "CPU" not in picture
    both = october(replace(one, amounts={"servers": 1, "cpu": 1000}))
    assert both.resources == ["cpu", "servers"]
    assert "<desc>Most on 2026-10-02: 1.0 CPU-hours.</desc>" in plot(both, False, "")
    assert october().resources == ["cpu", "memory"], "nothing was used"


def test_a_stretch_over_midnight_counts_for_both_days_and_that_of_25_hours_for_all_of_them():
    found = october(use("2026-10-24T23:00", "2026-10-26T01:00"))
    used = {line.name: line.used["cpu"] / 1000 / HOUR for line in found.days if line.used}
    assert used == {"2026-10-24": 1, "2026-10-25": 25, "2026-10-26": 1}
    assert len(found.days) == 31
    assert found.total.used["cpu"] == 27_000 * HOUR


def test_lines_are_by_member_group_and_profile_dearest_first():
    found = october(
        use("2026-10-02T10:00", "2026-10-02T11:00", "sam", 5),
        use("2026-10-03T10:00", "2026-10-03T11:00", "kim", 7, below="a/b", profile="large"),
        use("2026-10-04T10:00", "2026-10-04T11:00", "kim", 1, session="one"),
        use("2026-10-04T11:00", "2026-10-04T12:00", "kim", 2, session="one"),
    )
    assert found.sessions == 3
    for lines, expected in (
        (found.members, [("kim", 10), ("sam", 5)]),
        (found.groups, [("a", 8), ("a/b", 7)]),
        (found.profiles, [("", 8), ("large", 7)]),
    ):
        assert [(line.name, line.cost) for line in lines] == [(n, c * HOUR) for n, c in expected]
    assert found.total.cost == 15 * HOUR
    assert found.resources == ["cpu"]


def test_credits_count_for_whom_they_were_given_to():
    def credit(user: str, group: str, amount: int, resource: str = "cost") -> Credit:
        return Credit(at("2026-10-05"), user, group, resource, amount, "root", "why")

    found = october(
        use("2026-10-02T10:00", "2026-10-02T12:00", "sam", 5),
        use("2026-10-02T10:00", "2026-10-02T11:00", "kim", 5, below="a/b"),
        credits=(
            *(credit("", "a", 3), credit("sam", "a", 2), credit("sam", "a/b", 2)),
            *(credit("", "a/b", 1), credit("", "a/b/c", 9), credit("", "a", 8, "cpu")),
            credit("bo", "a", 4),
        ),
    )
    assert (found.total.cost, found.total.credited, found.total.net) == (
        *(15 * HOUR, 3, 15 * HOUR - 3),
    )
    assert {line.name: line.credited for line in found.members} == {"sam": 4, "kim": 0, "bo": 4}
    assert {line.name: line.credited for line in found.groups} == {"a": 0, "a/b": 1}
    assert len(found.credits) == 7


def test_a_month_that_lasts_has_the_days_that_there_were():
    found = october(use("2026-10-01", "2026-10-02T12:00"), until="2026-10-02T12:00")
    assert [line.name for line in found.days] == ["2026-10-01", "2026-10-02"]
    assert found.until < found.end
    to_come = october(until="2026-09-03")
    assert to_come.days == () and to_come.until == to_come.begin


def test_a_page_has_the_dearest_lines_and_the_sum_of_the_others():
    many = [use("2026-10-02T10:00", "2026-10-02T11:00", f"u{n}", n + 1) for n in range(LINES + 5)]
    found = october(*many)
    shown = table(found.members)
    assert len(shown.lines) == LINES and shown.rest.name == "5 others"
    assert sum(line.cost for line in shown.lines) + shown.rest.cost == found.total.cost
    assert shown.rest.cost == (1 + 2 + 3 + 4 + 5) * HOUR
    assert table(found.members[:LINES]).rest is None


# -- words


def test_money_and_hours_for_people_and_for_programs():
    assert money(1234 * MONEY // 100, "€") == "12.34 €"
    assert money(MONEY) == "1.00"
    assert money(1, "€") == "< 0.01 €" and money(0, "€") == "0.00 €"
    assert money(-1) == "> -0.01" and money(-MONEY // 2) == "-0.50"
    assert per_hour(305_000, "€") == "0.305 €" and per_hour(2_000_000) == "2.00"
    assert per_hour(1) == "< 0.0001"
    assert hours("cpu", 2_500 * HOUR) == "2.5" and hours("gpu", 1) == "< 0.1"
    assert hours("memory", 2**31 * HOUR) == "2.0"
    assert exactly("cost", MONEY // 3) == "0.333333"
    assert exactly("cost", -3 * MONEY // 2) == "-1.500000"
    assert exactly("cpu", 1_999_999_999 * HOUR // 10**6) == "2.000000", "rounded"


# -- the tree over time


def test_which_groups_were_ever_below_one():
    names = {"a", "a/b", "a/b/c", "d", "e", "new", "other"}
    history = [
        (PARENT, "d", "a/b"),
        (PARENT, "d", "other"),
        (PARENT, "x/y", "d"),
        (RENAMED, "x/y", "e"),
        (RENAMED, "a/z", "new"),
        (RENAMED, "sam", "samantha"),
    ]
    assert ever_below("a", names, history) == {"a", "a/b", "a/b/c", "d", "e", "new"}
    assert ever_below("other", names, history) == {"other", "d", "e"}
    assert ever_below("a/b/c", names, history) == {"a/b/c"}
    assert ever_below("*", names, history) == names
    assert ever_below("never", names, history) == {"never"}


def test_what_was_below_a_group_is_below_its_new_name():
    history = [(RENAMED, "old", "a"), (PARENT, "c", "old/b")]
    assert ever_below("a", {"a", "old/b", "c"}, history) == {"a", "old/b", "c"}


# -- forecast


def test_a_forecast_goes_on_as_the_last_week_went():
    assert forecast(100, 70, WEEK, 10 * DAY) == 200
    assert forecast(100, 20, 2 * DAY, 10 * DAY) == 200, "there was nothing before"
    assert forecast(100, 5, HOUR, 10 * DAY) == 150, "an hour is not taken for a day's pace"
    assert forecast(100, -70, WEEK, 10 * DAY) == 100
    assert forecast(100, 70, WEEK, 0) == 100


def prices(store, **parents: str) -> None:
    groups = {parent: {} for parent in parents.values()}
    groups |= {name: {"parent": parent} for name, parent in parents.items()}
    document = {"prices": [{"since": "2026-01-01", "cpu": "0.1"}], "groups": groups}
    store.apply(parse_policy(document), "tests", "tests")


def start(store, id: str, user: str, group: str, cores: int = 1) -> None:
    assert store.reserve(id, user, "", [group], {"cpu": 1000 * cores}).granted


def test_spending_now_this_month_and_at_its_end(store, clock):
    """START is 21 September: nine and a bit days are left of the month."""
    prices(store)
    assert spending_of(store, ["a", "*", "none"]) == {g: Spending() for g in ("a", "*", "none")}
    clock.now -= 30 * DAY
    start(store, "1", "sam", "a/b")
    start(store, "2", "kim", "a")
    clock.now = START
    found = spending_of(store, ["a", "a/b", "*"])
    begin = month_span(date(2026, 9, 1), timezone.utc)[0]
    end = month_span(date(2026, 9, 1), timezone.utc)[1]
    for group, rate in (("a", 200_000), ("a/b", 100_000), ("*", 200_000)):
        spending = found[group]
        assert spending == Spending(rate, rate * (START - begin), rate * (end - begin)), group
    assert member_spending(store, "a", ["sam", "kim", "bo"]) == {
        "sam": found["a/b"],
        "kim": found["a/b"],
        "bo": Spending(),
    }
    assert member_spending(store, "a/b", ["kim"])["kim"] == Spending()
    assert members_of(store, "a") == ["kim", "sam"] and members_of(store, "a/b") == ["sam"]
    assert members_of(store, "*") == ["kim", "sam"]


def test_a_forecast_of_what_has_just_begun_is_by_the_time_since_then(store, clock):
    prices(store)
    start(store, "1", "sam", "a")
    clock.now += 2 * DAY
    end = month_span(date(2026, 9, 1), timezone.utc)[1]
    assert spending_of(store, ["a"])["a"].forecast == 100_000 * (end - START)


def test_a_credit_is_taken_off_once_and_is_no_saving_that_goes_on(store, clock):
    prices(store)
    clock.now -= 8 * DAY
    start(store, "1", "sam", "a")
    clock.now = START
    before = spending_of(store, ["a"])["a"]
    adjust(store, "a", "", "cost", MONEY, "root", "down")
    after = spending_of(store, ["a"])["a"]
    assert before.so_far - after.so_far == before.forecast - after.forecast == MONEY


def test_what_was_taken_up_late_counts_since_it_began(store, clock):
    """As after an outage: its points are of now, what it used before is laid over them."""
    prices(store)
    amounts = {"servers": 1, "cpu": 1000, "cost": 100_000}
    store.adopt("1", "sam", "", "a", amounts, START - 4 * DAY)
    end = month_span(date(2026, 9, 1), timezone.utc)[1]
    assert spending_of(store, ["a"])["a"].forecast == 100_000 * (end - START + 4 * DAY)


def test_what_each_running_server_costs(store):
    prices(store, b="a")
    start(store, "1", "sam", "b")
    start(store, "2", "kim", "c", cores=3)
    start(store, "3", "bo", "a", cores=2)
    store.close_session("2", "stopped")
    assert [(r.session.user, r.rate) for r in running_costs(store, "a")] == [
        ("bo", 200_000),
        ("sam", 100_000),
    ]
    assert [r.session.user for r in running_costs(store, "*")] == ["bo", "sam"]
    assert running_costs(store, "c") == []
