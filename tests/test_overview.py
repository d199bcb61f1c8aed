"""What lists and pictures show is what the ledger says, on both databases."""

from __future__ import annotations

from random import Random

import yaml
from ledgers import clock, store, url

from hub_groups.web import template_environment
from hub_quotas.limits import parse_limit
from hub_quotas.members import Member, member_limit, members, with_limits
from hub_quotas.overview import overview
from hub_quotas.policy import WHOLE_HUB, parse_policy
from hub_quotas.quantities import HOUR, RESOURCES
from hub_quotas.requests import Request
from hub_quotas.tree import branches, never_seen, under
from hub_quotas.trend import LATELY, runs_out
from hub_quotas.windows import DAY, Calendar, Fixed, Rolling, parse_window, span

__all__ = ["clock", "store", "url"]

POLICY = """
prices: [{since: 2026-01-01, cpu: 1, memory: 0.25}]
groups:
  "*": {limits: {group.cost: 9000 per month}}
  a: {limits: {group.cpu-hours: [900 per 7d, 300 per day], group.servers: 99}}
  a/b: {limits: {group.memory-hours: 8000 per 2026-09-10..2026-09-30, group.cpu: 44}}
  a/c: {}
"""


def play(store, clock, steps: int = 300) -> None:
    random, running = Random(1), []
    for step in range(steps):
        clock.now += random.randrange(HOUR)
        if running and random.random() < 0.5:
            ended = clock.now - random.choice([0, 0, HOUR // 3])
            store.close_session(running.pop(random.randrange(len(running))), "stopped", ended)
        else:
            group, user = random.choice(["a", "a/b", "a/c", "d"]), random.choice("xyz")
            amounts = {"cpu": random.choice([500, 1000]), "memory": random.randrange(2**31)}
            if store.reserve(f"{step:04}", user, "", [group], amounts).granted:
                running.append(f"{step:04}")


def test_the_overview_is_what_the_ledger_says_group_by_group(store, clock):
    store.apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    play(store, clock)
    seen = overview(store)
    assert set(seen.groups) == {"*", "a", "a/b", "a/c", "d"}
    month = span(Calendar("month"), clock.now, store.zone)
    looked = 0
    for name, use in seen.groups.items():
        assert dict(use.use) == dict(store.in_use(name))
        assert use.month_cost == store.used(name, "", "cost", month[0], clock.now)
        for one in use.limits:
            window = one.limit.window
            if window is None:
                assert one.used == store.in_use(name).get(one.limit.resource, 0)
                continue
            begin, _ = span(window, clock.now, store.zone)
            curve = one.limit.kind.curve
            assert one.used == store.used(name, "", curve, begin, clock.now) > 0
            looked += 1
    assert looked == 4
    assert seen.groups[WHOLE_HUB].use["servers"] == len(store.open_sessions())


def test_limits_of_which_nothing_counts_or_nothing_is_allowed(store, clock):
    text = """
    groups:
      never: {limits: {group.cpu-hours: 9 per 7d, group.cpu: 0}}
      busy:
        limits:
          group.cpu-hours: [100 per month, 100 per 2001-01-01..2001-02-01]
          group.memory-hours: 1 per day
    """
    store.apply(parse_policy(yaml.safe_load(text)), "tests", "tests")
    assert store.reserve("1", "sam", "", ["busy"], {"cpu": 1000, "memory": 0}).granted
    clock.now += 20 * HOUR
    seen = overview(store)
    never, busy = seen.of("never"), seen.of("busy")
    assert [(one.used, one.share, one.runs_out) for one in never.limits] == [
        (0, 1.0, None),  # nothing is allowed
        (0, 0.0, None),
    ]
    assert never.tightest.limit.key == "group.cpu"
    assert never.first_out is None
    used = next(one for one in busy.limits if one.limit.window == parse_window("month"))
    assert used.used == 20_000 * HOUR
    assert [one.used for one in busy.limits if one is not used] == [0, 0]
    assert used.runs_out is None, "at the pace of the last week, it lasts until the month ends"
    assert busy.tightest is used
    assert seen.of("unheard of").limits == ()
    store.apply(
        parse_policy({"groups": {"busy": {"limits": {"group.cpu-hours": "21 per month"}}}}),
        "tests",
        "tests",
    )
    soon = overview(store).of("busy")
    assert soon.first_out is soon.limits[0]
    assert soon.first_out.runs_out == clock.now + LATELY // 20, "20 hours in the last week"
    tree = seen.tree(("in-hub",))
    assert [branch.name for branch in tree] == ["busy", "in-hub", "never", "default"]
    assert seen.tree(("in-hub",)) is tree
    clock.now += 30 * DAY
    ended = clock.now
    store.close_session("1", "stopped", ended)
    clock.now += HOUR
    store.apply(parse_policy(yaml.safe_load(text)), "tests", "tests")
    late = overview(store).of("busy")
    month = span(Calendar("month"), clock.now, store.zone)[0]
    late_use = next(one for one in late.limits if one.limit.window == parse_window("month"))
    assert late_use.used == 1000 * (ended - month)


def test_members_are_what_the_ledger_says(store, clock):
    store.apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    play(store, clock)
    limit = parse_limit("a", "member.cpu-hours", "40 per 7d")
    found = members(store, ["a", "a/b", "a/c"], limit, ["nobody"])
    assert set(found) == {"x", "y", "z", "nobody"}
    assert (found["nobody"].used, found["nobody"].servers, found["nobody"].seen) == (0, 0, 0)
    for user in "xyz":
        span_ = (clock.now - 7 * DAY, clock.now)
        parts = [store.used(group, user, "cpu", *span_) for group in ("a", "a/b", "a/c")]
        assert found[user].used == sum(parts) > 0
        running = [s for s in store.open_sessions(user) if s.group != "d"]
        assert found[user].servers == len(running)
        assert found[user].seen == clock.now or not running
    cap = parse_limit("a", "member.memory", "8G")
    held = members(store, ["a", "a/b", "a/c"], cap)
    for user in "xyz":
        open_ = [s.granted["memory"] for s in store.open_sessions(user) if s.group != "d"]
        assert held[user].used == sum(open_)


def test_each_member_s_limit_is_theirs_and_counts_all_that_it_is_about(store, clock):
    text = """
    groups:
      a:
        limits: {member.cpu-hours: 40 per 7d}
        boosts: [{limit: member.cpu-hours, amount: 50 per 7d, until: 2199-01-01, member: x}]
      a/b: {}
      d: {limits: {member.memory: 8G}}
    """
    store.apply(parse_policy(yaml.safe_load(text)), "tests", "tests")
    play(store, clock)
    x, y, nobody = with_limits(store, "a/b", [Member("x"), Member("y"), Member("nobody")])
    for one, most in (x, 50), (y, 40), (nobody, 40):
        assert one.limit.group == "a"
        assert one.limit.amount == most * 1000 * HOUR
        span_ = (clock.now - 7 * DAY, clock.now)
        parts = [store.used(group, one.name, "cpu", *span_) for group in ("a", "a/b", "a/c")]
        assert one.used == sum(parts)
    assert x.used > members(store, ["a/b"], x.limit)["x"].used > 0, "elsewhere too"
    (held,) = with_limits(store, "d", [Member("x")])
    assert held.limit.resource == "memory"
    (free,) = with_limits(store, "e", [Member("x", used=7)])
    assert free == Member("x", used=7)


def test_what_is_told_of_members_by_the_kind_of_limit(store, clock):
    store.apply(parse_policy({}), "tests", "tests")
    asked = Request({"cpu": 2000, "memory": 4}, {"memory": 1}, capped="limit")
    store.reserve("1", "sam", "", ["a"], asked)
    began, clock.now = clock.now, clock.now + 40 * DAY
    (sam,) = members(store, ["a"], None).values()
    assert sam.used == 2000 * 30 * DAY, "CPU of the last 30 days"
    assert (sam.servers, sam.seen) == (1, clock.now), "one that runs is seen now"
    (sam,) = members(store, ["a"], parse_limit("a", "member.memory", "8G")).values()
    assert sam.used == 4, "a cap counts what is beyond the guarantee too"
    over = parse_limit("a", "member.cpu-hours", "40 per 2001-01-01..2001-02-01")
    (sam,) = members(store, ["a"], over).values()
    assert sam.used == 0, "the term is over"
    store.close_session("1", "stopped", began + DAY)
    clock.now += DAY
    (sam,) = members(store, ["a"], None).values()
    assert (sam.used, sam.servers) == (0, 0)
    assert sam.seen == began + DAY, "when it really ended"


def test_the_limit_of_members_that_says_most_is_a_budget():
    cap, budget = (
        parse_limit("a", "member.cpu", "4"),
        parse_limit("a", "member.memory-hours", "9 per 7d"),
    )
    whole = parse_limit("a", "group.cpu-hours", "9 per 7d")
    assert member_limit([cap, whole, budget]) == budget
    assert member_limit([whole, cap]) == cap
    assert member_limit([whole]) is None


def test_of_more_members_than_are_computed_the_figures_stay_right(store, clock, monkeypatch):
    monkeypatch.setattr("hub_quotas.members.MOST", 2)
    store.apply(parse_policy({}), "tests", "tests")
    for number in range(4):
        store.reserve(f"{number}", f"user-{number}", "", ["a"], {"cpu": 1000})
    clock.now += 40 * DAY
    for number in range(4):
        store.close_session(f"{number}", "stopped")
    clock.now += HOUR
    limit = parse_limit("a", "member.cpu-hours", "40 per 7d")
    found = members(store, ["a"], limit)
    assert len(found) == 2
    assert {one.used for one in found.values()} == {1000 * (7 * DAY - HOUR)}


def test_a_course_is_the_use_up_to_each_instant(store, clock):
    begin = clock.now
    play(store, clock, 80)
    instants = [begin + (clock.now - begin) * step // 7 for step in range(8)]
    right = [store.used("a", "", "cpu", begin, at) for at in instants]
    assert store.course("a", "cpu", instants) == right
    assert right[-1] > 0
    assert store.course("nowhere", "cpu", instants) == [0] * 8


def test_when_a_budget_runs_out_at_the_pace_of_the_last_days():
    at, zone = 1_790_000_000_000_000, parse_zone()
    month, week = parse_window("month"), parse_window("7d")
    assert isinstance(month, Calendar)
    assert isinstance(week, Rolling)
    assert runs_out(month, 100, 100, 0, at, zone) == at, "used up"
    assert runs_out(month, 100, 50, 0, at, zone) is None, "nothing is used any more"
    assert runs_out(month, 100, 50, 100, at, zone) == at + LATELY // 2
    assert runs_out(month, 10_000, 50, 100, at, zone) is None, "the month ends before"
    assert runs_out(week, 100, 50, 100, at, zone) is None, "as much comes back as is used"
    assert runs_out(week, 100, 50, 101, at, zone) == at + 50 * LATELY // 101
    term = parse_window("2020-01-01..2020-02-01")
    assert isinstance(term, Fixed)
    assert runs_out(term, 100, 50, 100, at, zone) is None


def parse_zone():
    from datetime import timezone

    return timezone.utc


def test_a_group_has_been_seen_where_one_below_it_was():
    text = "groups: {a: {}, a/b: {}, a/b/c: {}, d: {}, e: {parent: d}, default: {}}"
    policy = parse_policy(yaml.safe_load(text))
    assert never_seen(policy, []) == ["a", "a/b", "a/b/c", "d", "e"]
    assert never_seen(policy, ["a/b", "e", "elsewhere"]) == ["a/b/c"]


def test_the_tree_is_read_from_the_top():
    policy = parse_policy(
        {"groups": {"x": {}, "x/y": {}, "b": {"parent": "x"}, "a-b": {}, "default": {}}}
    )
    tree = branches(policy, ["x/y", "b", "a-b", "a/c", "default"])
    assert [(one.name, one.depth, one.below) for one in tree] == [
        ("a", 0, 1),
        ("a/c", 1, 0),
        ("a-b", 0, 0),
        ("x", 0, 2),
        ("b", 1, 0),
        ("x/y", 1, 0),
        ("default", 0, 0),
    ]
    assert [one.short for one in tree if one.depth] == ["c", "b", "y"]
    assert under(policy, "b", "x")
    assert not under(policy, "a-b", "a")


def test_what_runs_is_said_without_what_is_not_known():
    source = '{% from "parts.html" import running_now with context %}{{ running_now(one) }}'
    shown = template_environment(["hub_groups", "hub_quotas"]).from_string(source)
    for use, said in (
        ({"servers": 2, "cpu": 0}, "2 servers"),
        ({"servers": 1, "memory": 2**30}, "1 server, 1 GiB"),
        (
            {"servers": 1, "cpu": 500, "memory": 2**30, "gpu": 1},
            "1 server, 0.5 cores, 1 GiB, 1 GPU",
        ),
    ):
        assert shown.render(one={"use": use}, resources=RESOURCES).strip() == said
