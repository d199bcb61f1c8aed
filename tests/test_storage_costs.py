"""What homes and shared directories cost: exact, once, whatever happens between."""

from __future__ import annotations

import multiprocessing
import random
import time
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from ledgers import START, clock, store, url

from hub_quotas.corrections import rename
from hub_quotas.costs import MONEY, month_span
from hub_quotas.policy import WHOLE_HUB, parse_policy
from hub_quotas.prices import HOURS_OF_STORAGE, print_prices
from hub_quotas.quantities import HOUR
from hub_quotas.reports import read_report
from hub_quotas.spending import spending_of, spending_of_user
from hub_quotas.storage_charges import charge_some, is_due
from hub_quotas.storage_costs import Held, charge, edges_between, payers
from hub_quotas.storage_store import Directory, Mount, report
from hub_quotas.store import QuotaStore
from hub_quotas.windows import DAY, Calendar, period

__all__ = ["clock", "store", "url"]

GIB = 2**30
BERLIN = ZoneInfo("Europe/Berlin")
UTC = timezone.utc
SEPTEMBER = date(2026, 9, 1)
PRICED = [{"since": "2026-01-01", "storage": "0.10"}]
PER_BYTE = GIB * HOURS_OF_STORAGE


def at(text: str, zone=BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 10**6


# -- arithmetic

EVENTS = st.lists(
    st.tuples(st.integers(1, 3 * DAY), st.integers(0, 2**50), st.booleans()), min_size=1
)


@given(EVENTS, st.integers(0, 10**7))
def test_stretches_add_up_to_what_was_held_whenever_it_is_charged(events, price):
    """Each event is a while, what is held after it, and whether it is charged then."""
    held, whole, used, due = Held(0, 0, 0), 0, 0, 0
    now = before = 0
    for length, amount, is_charged in [*events, (1, 0, True)]:
        now += length
        whole += before * length
        held = held.grown(now, amount)
        before = amount
        if is_charged:
            middle = (held.since + now) // 2
            edges = sorted({held.since, middle, now})
            stretches, held = charge(held, edges, lambda _at: price)
            assert [stretches[0].begin, *(one.end for one in stretches)] == edges
            used += sum(one.used * (one.end - one.begin) for one in stretches)
            due += sum(one.cost * (one.end - one.begin) for one in stretches)
            assert 0 <= held.held < now - edges[0], "less than a byte is left over"
            assert due * PER_BYTE + held.owed == used * price, "of the cost, nothing is lost"
    assert used + held.held == whole


def test_a_month_of_a_gib_costs_its_price():
    until = HOURS_OF_STORAGE * HOUR
    (stretch,), left = charge(Held(10 * GIB, 0, 0), [0, until], lambda _at: 100_000)
    assert stretch.cost * until + left.owed // PER_BYTE == MONEY
    (stretch,), left = charge(Held(730 * GIB, 0, 0), [0, until], lambda _at: 100_000)
    assert (stretch.cost * until, left.owed) == (73 * MONEY, 0)


def test_cents_of_small_homes_are_not_lost():
    """A rate of a third of the smallest unit is one on every third day."""
    held, costs = Held(GIB // 3, 0, 0), []
    for day in range(1, 7):
        (stretch,), held = charge(held, [held.since, day * DAY], lambda _at: HOURS_OF_STORAGE)
        costs.append(stretch.cost)
    assert sum(costs) in (1, 2) and max(costs) == 1


def test_time_is_cut_where_months_begin_and_prices_change():
    prices = parse_policy({"prices": [{"since": "2026-10-25", "storage": 1}, *PRICED]}).prices
    begin, end = at("2026-10-20"), at("2026-11-02T12:00")
    inner = [at("2026-10-25"), at("2026-11-01")]
    assert edges_between(begin, end, prices, BERLIN) == [begin, *inner, end]
    assert edges_between(inner[0], inner[1], prices, BERLIN) == inner


def test_time_that_goes_back_is_no_time():
    assert Held(5, 100, 0).grown(50, 7) == Held(7, 100, 0)


def test_who_pays_for_a_home():
    policy = parse_policy(
        {
            "groups": {
                "small": {"limits": {"member.storage": "1G"}, "priority": 5},
                "large": {"limits": {"member.storage": "9G"}},
                "first": {"priority": 1},
            }
        }
    )
    members = {"pat": ("large", "small"), "kim": ("other", "first")}
    payer = payers(policy, members, START, UTC)
    assert [payer(user) for user in ("pat", "kim", "bo")] == ["large", "first", "default"]


def test_the_price_of_storage_in_the_price_book():
    policy = parse_policy({"prices": [{"since": "2026-01-01", "cpu": "0.5", "storage": "0.02"}]})
    assert policy.prices[0].storage == 20_000
    assert policy.cost_rate({"cpu": 1000, "storage": GIB}, SEPTEMBER) == 500_000
    assert print_prices(policy.prices) == [{"since": "2026-01-01", "cpu": "0.5", "storage": "0.02"}]


# -- the ledger


def allow(store, prices=PRICED, **groups: object) -> None:
    store.apply(parse_policy({"prices": prices, "groups": groups}), "tests", "tests")


def say(store, gone: tuple[str, ...] = (), mount: str = "homes", **used: int) -> None:
    """`pat=GIB` is a home, `_geo=GIB` a shared directory."""
    uses = [
        Directory("group" if name[0] == "_" else "user", name.strip("_"), amount)
        for name, amount in used.items()
    ]
    report(store, Mount(mount, "tests", 1, 1), uses, gone)


def payer(kind: str, name: str) -> str:
    return name if kind == "group" else {"pat": "geo/lab", "kim": "geo"}.get(name, "default")


def settle(store, at: int) -> int:
    day = period(Calendar("day"), at, store.zone)[0]
    return charge_some(store, payer, day, at)


def stored(store, group: str, user: str = "", begin: int = 0, end: int = START + 99 * DAY) -> int:
    return store.used(group, user, "storage", begin, end)


def test_each_subject_is_charged_what_was_held(store, clock):
    allow(store)
    say(store, pat=GIB, kim=2 * GIB, _geo=5 * GIB)
    clock.now += 6 * HOUR
    say(store, pat=3 * GIB)
    clock.now += 18 * HOUR
    assert [charge_some(store, payer, clock.now, clock.now, 2) for _ in range(3)] == [2, 1, 0]
    for group, user, hours in (
        ("geo/lab", "pat", 6 + 3 * 18),
        ("geo", "kim", 2 * 24),
        ("geo/lab", "", 6 + 3 * 18),
        ("geo", "", 6 + 3 * 18 + 7 * 24),
        (WHOLE_HUB, "", 6 + 3 * 18 + 7 * 24),
    ):
        assert stored(store, group, user) == hours * GIB * HOUR, (group, user)
    found = read_report(store, "geo", SEPTEMBER)
    used = {line.name: line.used["storage"] / GIB / HOUR for line in found.members}
    assert used == {"": 5 * 24, "kim": 2 * 24, "pat": 60}
    assert {line.name: line.used["storage"] / GIB / HOUR for line in found.groups} == {
        "geo": 7 * 24,
        "geo/lab": 60,
    }
    assert found.storage.cost == found.total.cost == store.used("geo", "", "cost", 0, clock.now)
    exact = 228 * GIB * HOUR * 100_000 / PER_BYTE
    assert exact - 3 * DAY <= found.total.cost <= exact
    assert found.sessions == 0
    with store.db.read() as tx:
        (rows,) = tx.one("SELECT count(*) FROM overlay o JOIN subject s ON s.id = o.subject"
                         " WHERE s.group_name = ?", WHOLE_HUB)  # fmt: skip
    assert rows == 1, "windows read each piece"


def test_a_day_is_charged_once_and_only_when_it_is_over(store, clock):
    allow(store)
    say(store, pat=GIB)
    clock.now += HOUR
    began = period(Calendar("day"), clock.now, store.zone)[0]
    assert not is_due(store, began)
    assert settle(store, clock.now) == 0
    clock.now += DAY
    assert is_due(store, began + DAY)
    assert settle(store, clock.now) == 1
    assert settle(store, clock.now) == 0
    assert stored(store, "geo/lab") == 25 * GIB * HOUR


def test_silence_counts_as_what_was_said_last_and_what_is_gone_as_nothing(store, clock):
    allow(store)
    say(store, pat=GIB, kim=GIB)
    clock.now += 3 * DAY
    say(store, gone=("user/pat", "other/x"))
    counts = []
    for _ in range(4):
        clock.now += DAY
        counts.append(settle(store, clock.now))
    assert counts[0] == 2 and counts[-1] == 1, "the other one is forgotten"
    assert stored(store, "geo/lab") == 3 * GIB * DAY
    assert stored(store, "geo", "kim") == 7 * GIB * DAY


def test_a_month_and_a_new_price_begin_in_the_middle_of_a_silence(store, clock):
    """Nothing was charged for weeks, as while the pages are down."""
    allow(store, [*PRICED, {"since": "2026-10-05", "storage": "0.20"}])
    clock.now = at("2026-09-29", UTC)
    say(store, pat=730 * GIB)
    clock.now = at("2026-10-09", UTC)
    settle(store, clock.now)
    begin, end = month_span(SEPTEMBER, UTC)
    assert stored(store, "geo", "", begin, end) == 2 * DAY * 730 * GIB
    reports = [read_report(store, "geo", month) for month in (SEPTEMBER, date(2026, 10, 1))]
    assert [found.total.cost for found in reports] == [
        48 * MONEY // 10,
        (4 * 24 * MONEY + 4 * 24 * 2 * MONEY) // 10,
    ]
    costs = [line.cost for line in reports[1].days]
    assert costs[3] * 2 == costs[4], "the price of the day"


def test_it_counts_for_budgets_and_in_forecasts(store, clock):
    prices = [{**PRICED[0], "cpu": "1"}]
    allow(store, prices, geo={"limits": {"group.cost": "19 per month"}})
    clock.now = at("2026-09-02", UTC)
    say(store, pat=730 * GIB)
    for _ in range(8):
        clock.now += DAY
        settle(store, clock.now)
    assert not store.reserve("1", "kim", "", ["geo"], {"cpu": 1000}).granted
    found = spending_of(store, ["geo"])["geo"]
    daily = 24 * MONEY // 10
    assert (found.so_far, found.storage) == (8 * daily, 8 * daily)
    assert found.forecast == 29 * daily
    clock.now += 20 * HOUR
    assert spending_of(store, ["geo"])["geo"].forecast == 29 * daily, "today, too"
    assert spending_of_user(store, "pat").stored == 8 * DAY * 730 * GIB
    assert spending_of_user(store, "kim").stored == 0


def test_who_is_renamed_keeps_what_they_were_charged(store, clock):
    allow(store)
    say(store, pat=GIB)
    clock.now += DAY
    settle(store, clock.now)
    clock.now += HOUR
    rename(store, "pat", "patricia")
    say(store, gone=("user/pat",), patricia=GIB)
    clock.now += DAY
    names = {line.name for line in read_report(store, "geo", SEPTEMBER).members}
    assert names == {"patricia"}
    charge_some(store, lambda _kind, _name: "geo/lab", clock.now, clock.now)
    assert stored(store, "geo/lab", "patricia") == (49 * HOUR) * GIB


def test_a_hub_charges_what_its_own_agents_say(store, clock):
    allow(store)
    say(store, pat=GIB)
    clock.now += 2 * DAY
    store.hub = "another"
    assert settle(store, clock.now) == 0


# -- killed


def of_lab(_kind: str, _name: str) -> str:
    return "geo/lab"


def charge_all(url: str, until: int, progress) -> None:
    """In a process of its own, a few in each transaction, and not all before it is killed."""
    store = QuotaStore(url)
    for _ in range(5):
        progress.send(charge_some(store, of_lab, until, until, 5))
    time.sleep(60)


def test_killed_at_any_instant_and_two_at_once_it_is_charged_once(store, clock, url):
    allow(store)
    homes = {f"u{number}": GIB + number for number in range(410)}  # 8 kills charge 400 at most
    say(store, **homes)
    until, dice = START + DAY, random.Random(8)
    clock.now = until

    def left() -> int:
        with store.db.read() as tx:
            return tx.one("SELECT count(*) FROM storage_held WHERE since < ?", until)[0]

    fork = multiprocessing.get_context("fork")
    for kill in range(8):
        before = left()
        here, there = fork.Pipe()
        two = [fork.Process(target=charge_all, args=(url, until, there)) for _ in range(2)]
        for one in two:
            one.start()
        for _ in range(3):
            assert here.poll(30)
            here.recv()
        time.sleep(dice.uniform(0, 0.01))
        for one in two:
            one.kill()
            one.join()
        assert 0 < left() < before, f"kill {kill} was not within"
    while charge_some(store, of_lab, until, until):
        pass
    total = sum(homes.values()) * DAY
    assert stored(store, "geo") == stored(store, WHOLE_HUB) == total
    assert all(stored(store, "geo/lab", user) == used * DAY for user, used in homes.items())
    found = read_report(store, "geo", SEPTEMBER)
    assert found.storage.used["storage"] == total
    assert found.storage.cost == store.used("geo", "", "cost", 0, until)
