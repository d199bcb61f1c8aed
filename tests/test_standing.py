"""Where a user stands: every figure is what their sessions come to, counted by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from ledgers import START, clock, store, url

from hub_quotas import standing as standing_module
from hub_quotas import usage_words
from hub_quotas.corrections import adjust
from hub_quotas.notices import Notices
from hub_quotas.policy import parse_policy
from hub_quotas.standing import DAYS, history, running, standing, tightest
from hub_quotas.usage import AHEAD, Outlook
from hub_quotas.watch import Order, place
from hub_quotas.windows import Calendar, Fixed, Rolling, span

__all__ = ["clock", "store", "url"]

SECOND = 10**6
HOUR = 3600 * SECOND
DAY = 24 * HOUR
GiB = 2**30


def policy(store, **groups) -> None:
    prices = [{"since": "2026-01-01", "cpu": 0.04, "memory": 0.005}]
    document = {name.replace("__", "/"): {"limits": limits} for name, limits in groups.items()}
    store.apply(parse_policy({"groups": document, "prices": prices}), "tests", "tests")


@dataclass
class Server:
    """What a test has started: (from, until, milli-cores), `until` None while it runs."""

    user: str
    group: str
    begin: int
    end: int | None
    cpu: int


class World:
    """A ledger and, beside it, what was done to it."""

    def __init__(self, store, clock, seed: int) -> None:
        self.store, self.clock, self.random = store, clock, random.Random(seed)
        self.servers: dict[str, Server] = {}

    def start(self, user: str, group: str, cpu: int, profile: str = "") -> str:
        id = f"{len(self.servers):032x}"
        answer = self.store.reserve(id, user, "", [group], {"cpu": cpu}, profile=profile)
        assert answer.granted
        self.store.start(id)
        self.servers[id] = Server(user, group, self.clock.now, None, cpu)
        return id

    def stop(self, id: str, at: int | None = None) -> None:
        assert self.store.close_session(id, "stopped", at)
        self.servers[id].end = self.clock.now if at is None else at

    def live(self, steps: int, groups: list[str]) -> None:
        """Some days of two users."""
        for _ in range(steps):
            up = [id for id, one in self.servers.items() if one.end is None]
            if up and self.random.random() < 0.55:
                id = self.random.choice(up)
                begun = self.servers[id].begin
                late = self.random.random() < 0.3 and self.random.randrange(begun, self.clock.now)
                self.stop(id, late or None)
            else:
                user, group = self.random.choice(["sam", "kim"]), self.random.choice(groups)
                self.start(user, group, self.random.choice([500, 1000, 4000]))
            self.clock.now += self.random.randrange(1, 9 * HOUR)

    def use(self, user: str, group: str, begin: int, end: int) -> int:
        """Milli-core-microseconds; of running servers as if they went on. `user` empty for all."""
        total = 0
        for one in self.servers.values():
            if one.group.startswith(group) and user in ("", one.user):
                until = end if one.end is None else min(one.end, end)
                total += one.cpu * max(0, until - max(one.begin, begin))
        return total

    def counted(self, user: str, group: str, window, at: int) -> int | None:
        """What a window counts at an instant."""
        held = span(window, at, self.store.zone)
        return None if held is None else self.use(user, group, held[0], at)

    def turns(self, window, begin: int, end: int) -> list[int]:
        """Every instant at which that may turn."""
        edges = {begin, end}
        for one in self.servers.values():
            for edge in (one.begin, one.end):
                if edge is not None and isinstance(window, Rolling):
                    edges.add(edge + window.length)
        if isinstance(window, Rolling):
            edges.add(self.clock.now + window.length)
        else:
            at = begin
            while at < end and (held := span(window, at, self.store.zone)):
                at = held[1]
                edges |= {at - 1, at}
        return sorted(edge for edge in edges if begin <= edge <= end)


WINDOWS = {
    "7d": Rolling(7 * DAY),
    "36h": Rolling(36 * HOUR),
    "week": Calendar("week"),
    "day": Calendar("day"),
    "2026-09-01..2026-09-24": Fixed(
        datetime(2026, 9, 1, tzinfo=timezone.utc).date(),
        datetime(2026, 9, 24, tzinfo=timezone.utc).date(),
    ),
}


def check(world: World, user: str, limit, seen: Outlook) -> None:
    """An outlook is what trying every instant gives."""
    at, window, group = world.clock.now, limit.window, limit.group
    used = world.counted(user, group, window, at)
    if used is None:
        assert seen == Outlook()
        return
    if isinstance(window, Rolling):
        begin = at - window.length
        mine = [
            max(one.begin, begin)
            for one in world.servers.values()
            if one.group.startswith(group)
            and user in ("", one.user)
            and (one.end is None or one.end > max(begin, one.begin))
            and one.begin < at
        ]
        assert seen.returns == (min(mine) + window.length if mine else None)
    else:
        assert seen.returns == span(window, at, world.store.zone)[1]

    def most(instant: int) -> int:
        found = world.counted(user, group, window, instant)
        return -1 if found is None else found

    horizon = at + AHEAD
    if used >= limit.amount:
        assert seen.runs_out is None
        until = horizon if seen.again is None else seen.again - 1
        assert all(most(one) >= limit.amount for one in world.turns(window, at, until))
        assert seen.again is None or most(seen.again) < limit.amount
        return
    assert seen.again is None and seen.exact
    until = horizon - 1 if seen.runs_out is None else seen.runs_out - 1
    assert all(most(one) < limit.amount for one in world.turns(window, at, until))
    assert seen.runs_out is None or most(seen.runs_out) >= limit.amount


@pytest.mark.parametrize("seed", range(6))
def test_budgets_come_back_and_run_out_as_if_every_instant_were_tried(store, clock, seed):
    store.zone = ZoneInfo("Europe/Berlin")
    numbers = random.Random(seed)

    def budgets(scope: str) -> dict:
        return {f"{scope}.cpu-hours": [f"{numbers.choice([20, 80, 400])} per {w}" for w in WINDOWS]}

    world = World(store, clock, seed)
    world.live(25, ["lab/a", "lab/b"])
    policy(store, lab={**budgets("member"), **budgets("group")}, lab__a=budgets("member"))
    seen = 0
    for _ in range(4):
        mine = standing(store, "sam", ["lab/a"]).groups[0]
        for line in mine.lines:
            limit = line.check.limit
            user = "sam" if limit.scope == "member" else ""
            assert line.check.used == (
                world.counted(user, limit.group, limit.window, clock.now) or 0
            )
            check(world, user, limit, line.outlook)
            seen += 1
        clock.now += numbers.randrange(1, 2 * DAY)
    assert seen == 4 * 15


def test_where_too_much_would_have_to_be_read_it_says_no_earlier(store, clock, monkeypatch):
    monkeypatch.setattr(standing_module, "_MOST_POINTS", 3)
    world = World(store, clock, 1)
    for _ in range(20):
        world.stop(world.start("kim", "lab", 1000), None) if _ % 2 else world.start(
            "kim", "lab", 10
        )
        clock.now += 4 * HOUR
    policy(store, lab={"group.cpu-hours": "60 per 7d"})
    world.start("sam", "lab", 400)
    clock.now += HOUR
    (line,) = standing(store, "sam", ["lab"]).groups[0].lines
    monkeypatch.setattr(standing_module, "_MOST_POINTS", 1000)
    (exact,) = standing(store, "sam", ["lab"]).groups[0].lines
    assert exact.outlook.exact and exact.outlook.runs_out
    assert not line.outlook.exact
    assert clock.now < line.outlook.runs_out < exact.outlook.runs_out
    assert line.outlook.returns == exact.outlook.returns == START + 7 * DAY


def test_what_was_added_by_hand_comes_back_too(store, clock):
    policy(store, lab={"member.cpu-hours": "40 per 7d"})
    adjust(store, "lab", "sam", "cpu", -5 * 1000 * HOUR, "admin", "used elsewhere")
    clock.now += DAY
    (line,) = standing(store, "sam", ["lab"]).groups[0].lines
    assert line.check.used == 5 * 1000 * HOUR
    assert line.outlook.returns == START + 7 * DAY


@pytest.mark.parametrize("seed", range(3))
def test_history_and_days_are_what_was_used(store, clock, seed):
    store.zone = ZoneInfo("America/New_York")
    policy(store)
    world = World(store, clock, seed)
    world.live(60, ["lab/a", "lab/b"])
    clock.now += 13 * DAY
    found = standing(store, "sam", ["lab/a", "lab/b"])
    here = datetime.fromtimestamp(clock.now // SECOND, timezone.utc).astimezone(store.zone)
    for group in found.groups:
        assert len(group.days) == DAYS and group.days_of == "cpu"
        for back, amount in enumerate(reversed(group.days)):
            day = here.replace(hour=0, minute=0, second=0) - timedelta(days=back)
            begin = round(day.timestamp() * SECOND)
            end = min(clock.now, round((day + timedelta(days=1)).timestamp() * SECOND))
            assert amount == world.use("sam", group.group, begin, end)

    over = {
        id: one
        for id, one in world.servers.items()
        if one.user == "sam" and one.end is not None and one.end >= clock.now - DAYS * DAY
    }
    items, offset = [], 0
    while len(page := history(store, "sam", offset, 4).items):
        items += page
        offset += 4
    newest_first = sorted(over, key=lambda id: (over[id].end, id), reverse=True)
    assert [one.id for one in items] == newest_first
    assert found.history.total == len(items) == len(over) > 8
    for one in items:
        was = over[one.id]
        length = was.end - was.begin
        assert (one.group, one.begin, one.end) == (was.group, was.begin, was.end)
        assert one.used["cpu"] == was.cpu * length
        assert one.used["cost"] == was.cpu * 40 * length
        assert one.used["servers"] == length


def test_a_server_that_was_resized_is_counted_as_it_was(store, clock):
    store.reserve("a", "sam", "", ["lab"], {"cpu": 1000})
    clock.now += HOUR
    store.resize("a", {"servers": 1, "cpu": 4000})
    clock.now += 2 * HOUR
    store.close_session("a", "stopped")
    (one,) = history(store, "sam").items
    assert one.used["cpu"] == 9000 * HOUR
    assert one.draws == {"servers": 1, "cpu": 4000}
    store.reserve("b", "sam", "", ["lab"], {"cpu": 1000})
    store.void("b", "failed")
    assert history(store, "sam").total == 1, "as if it had never been"


def test_until_when_a_server_lasts_and_by_which_limit(store, clock):
    policy(
        store,
        lab={
            "member.cpu-hours": "10 per 7d",
            "group.gpu-hours": "2 per 7d",
            "member.memory-hours": "48 per 7d then stop after 30m",
            "server.lifetime": "20h",
            "server.idle": "3h",
        },
    )
    store.reserve("a", "sam", "", ["lab"], {"cpu": 1000, "memory": 4 * GiB})
    store.reserve("k", "kim", "", ["lab"], {"cpu": 1, "memory": 1, "gpu": 1})
    clock.now += HOUR
    store.start("a")
    begun, limits = clock.now, {limit.key: limit for limit in store.policy().limits("lab")}

    def ends() -> list[tuple[str, int, bool]]:
        (server,) = running(store, "sam")
        assert (server.since, server.up, server.draws["cpu"]) == (begun, True, 1000)
        return [(end.key, end.at, end.stops) for end in server.ends]

    budget = ("member.cpu-hours", START + 10 * HOUR, False)
    stop = ("member.memory-hours", START + 12 * HOUR + HOUR // 2, True)
    assert ends() == [budget, stop], "on the budget of GPUs it does not draw"
    store.seen({}, {"a": begun + HOUR})
    idle = ("server.idle", begun + 4 * HOUR, True)
    assert ends() == [idle], "long before a budget is used up"
    (server,) = running(store, "sam")
    assert server.ends[0].idle
    cause = place(limits["server.lifetime"], "")
    Notices(store).set_orders([Order("a", begun + 2 * HOUR, cause)], {})
    assert ends() == [("server.lifetime", begun + 2 * HOUR, True)], "what is ordered holds"


def test_what_a_service_holds_and_what_another_hub_runs(store, clock):
    store.reserve("a", "sam", "nightly", ["lab"], {"cpu": 1000}, hub="service:hub:dask")
    store.reserve("b", "sam", "", ["lab"], {"cpu": 1000}, hub="teaching")
    store.reserve("c", "kim", "", ["lab"], {"cpu": 1000})
    held, other = running(store, "sam")
    assert (held.service, held.up) == ("dask", True)
    assert (other.service, other.up, other.hub) == ("", False, "teaching")
    assert usage_words.say_held(held) == "held by the service dask"
    assert usage_words.say_held(other) == "on the hub teaching"


def test_what_was_started_lately_is_what_could_be_started(store, clock):
    policy(store, lab={"member.cpu": 4, "member.cpu-hours": "12 per 7d"})
    world = World(store, clock, 0)
    for cpu, profile in ((500, "small"), (1000, "small"), (4000, ""), (4000, ""), (2000, "")):
        world.stop(world.start("sam", "lab", cpu, profile))
        clock.now += 60 * SECOND
    world.start("sam", "lab", 1000, "small")
    clock.now += HOUR
    (group,) = standing(store, "sam", ["lab"]).groups
    said = {
        (one.name, one.decision.amounts["cpu"]): (one.decision.allowed, one.decision.lasts)
        for one in group.choices
    }
    left = 11 * HOUR
    assert said == {
        ("small", 1000): (True, left // 2),
        ("", 2000): (True, left // 3),
        ("", 4000): (False, left // 5),
    }
    assert group.largest.amounts["cpu"] == 3000
    assert group.largest.lasts == left // 4
    for one in group.choices:
        (same,) = store.explain("sam", ["lab"], {"cpu": one.decision.amounts["cpu"]})
        assert one.decision.checks == same.checks


def test_who_is_new_and_a_group_without_limits(store):
    (group,) = standing(store, "new", ["default"]).groups
    assert (group.lines, group.days, group.choices, group.largest) == ((), (), (), None)
    found = standing(store, "new", [])
    assert (found.groups, found.running, found.history.total) == ((), (), 0)
    policy(store, lab={"member.storage": "10G", "server.lifetime": "8h", "server.memory": "4G"})
    (group,) = standing(store, "new", ["lab"]).groups
    assert [limit.key for limit in group.storage] == ["member.storage"]
    assert [limit.key for limit in group.ends] == ["server.lifetime"]
    assert [line.check.limit.key for line in group.each] == ["server.memory"]
    assert group.shared == ()


def test_a_server_without_a_size_is_said_not_to_start_where_its_hours_are_counted(store):
    for number in range(2):
        store.reserve(str(number), "sam", "", ["lab"], {})
        store.close_session(str(number), "stopped")
    policy(store, lab={"group.servers": 9})
    (group,) = standing(store, "sam", ["lab"]).groups
    assert group.choices == (), "there is nothing to say of its size"
    policy(store, lab={"group.servers": 9, "group.cpu-hours": "2000 per month"})
    for user in ("sam", "new"):
        (group,) = standing(store, user, ["lab"]).groups
        (choice,) = group.tried
        assert not choice.decision.allowed
        assert [check.limit.key for check in choice.decision.refusals] == ["group.cpu-hours"]
        assert group.unsized
    store.reserve("sized", "kim", "", ["lab"], {"cpu": 1000})
    (group,) = standing(store, "kim", ["lab"]).groups
    assert [one.decision.allowed for one in group.choices] == [True]
    assert not group.unsized
    policy(store, lab={"server.cpu": 1, "group.cpu-hours": "2000 per month"})
    (group,) = standing(store, "sam", ["lab"]).groups
    assert [one.decision.allowed for one in group.choices] == [True]
    assert not group.unsized


def test_the_tightest_limits_of_each_group(store, clock):
    policy(
        store,
        lab={"member.cpu": 10, "member.servers": 2, "group.memory": "64G", "server.memory": "8G"},
        other={"member.servers": 0, "group.cpu-hours": "1 per 2020-01-01..2020-02-01"},
        none={},
    )
    store.reserve("a", "sam", "", ["lab"], {"cpu": 1000, "memory": 8 * GiB})
    found = tightest(store, "sam", ["lab", "none", "other"], 2)
    assert [(group, [c.limit.key for c in checks]) for group, checks in found] == [
        ("lab", ["member.servers", "group.memory"]),
        ("other", ["member.servers"]),
    ]


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(seconds=1), "today at 14:14"),
        (timedelta(hours=9), "today at 23:14"),
        (timedelta(hours=10), "tomorrow at 00:14"),
        (timedelta(days=3), "on Thursday at 14:14"),
        (timedelta(days=7), "on 28 September at 14:14"),
        (timedelta(days=200), "on 9 April 2027 at 14:14"),
        (timedelta(hours=-15), "yesterday at 23:13"),
        (timedelta(days=-3), "on 18 September at 14:13"),
    ],
)
def test_instants_are_said_as_people_say_them(ahead, said):
    at = START + ahead // timedelta(microseconds=1)
    assert usage_words.instant(at, START, timezone.utc) == said


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(minutes=56), "15:10"),
        (timedelta(hours=10), "tomorrow, 00:14"),
        (timedelta(days=3), "Thursday, 14:14"),
        (timedelta(days=7), "28 September, 14:14"),
        (timedelta(days=200), "9 April 2027, 14:14"),
    ],
)
def test_until_when_is_said_without_another_preposition(ahead, said):
    at = START + ahead // timedelta(microseconds=1)
    assert usage_words.until(at, START, timezone.utc) == said


def test_what_could_start_is_said_once(store, clock):
    policy(store, lab={"server.cpu": 1, "group.cpu-hours": "96 per 7d"})
    world = World(store, clock, 0)

    def said() -> list[tuple[str, str]]:
        (group,) = standing(store, "sam", ["lab"]).groups
        assert usage_words.say_size(group.decision.room) == "1 core"
        names = [
            (one.name, usage_words.say_size(one.decision.amounts))
            for one in usage_words.said_once(group)
        ]
        return names, usage_words.lasts_is_said(group)

    for cpu, profile in ((1000, ""), (500, ""), (500, "")):
        world.stop(world.start("sam", "lab", cpu, profile))
    assert said() == ([("", "0.5 cores")], False), "the largest is said by itself"
    world.stop(world.start("sam", "lab", 1000, "large"))
    names = [("large", "1 core"), ("", "0.5 cores")]
    assert said() == (names, True), "its name says more, and how long it lasts"
    policy(store, lab={"group.cpu-hours": "96 per 7d"})
    (group,) = standing(store, "sam", ["lab"]).groups
    names = [(one.name, one.decision.amounts["cpu"]) for one in usage_words.said_once(group)]
    assert names == [("large", 1000), ("", 500)], "where nothing is the largest too"


def test_why_a_server_ended_is_said_in_words():
    for reason in ("stopped", "failed", "died", "gone", "expired", "released"):
        assert usage_words.say_ended(reason).startswith(("It ", "Its "))
    said = usage_words.say_ended("member.cpu-hours of geo <b> of 101")
    assert said == "A limit stopped it: member.cpu-hours of geo <b> of 101"
    assert usage_words.say_ended("full of it") == "full of it"
