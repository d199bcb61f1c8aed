"""What limits would have refused agrees with what the ledger refuses when they hold."""

from __future__ import annotations

import os
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import START, clock, store, url
from model import quick_store
from postgres import fresh_database
from replays import Comparison, compare_seeds

from hub_quotas import history
from hub_quotas.changes import put
from hub_quotas.corrections import adjust, rename
from hub_quotas.history import MOST_CHANGES, below, sizes_missing, what_if
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.replay import request_of
from hub_quotas.requests import LIMIT, Request
from hub_quotas.whatif import say_size_needed, sizes_needed

__all__ = ["clock", "store", "url"]

HOUR, DAY, G = 3600 * 10**6, 24 * 3600 * 10**6, 2**30
HISTORIES = int(os.environ.get("HISTORIES", "10000")) // 10

# -- against the ledger -------------------------------------------------------------------------

COVERED = ("budget", "member cap", "group cap", "plan", "boosted", "whole hub", "some of both")


def assert_covered(counts: Counter[str]) -> None:
    """Agreement over histories in which nothing is refused would say nothing."""
    assert counts["admitted"] > counts["histories"] < counts["refused"], counts
    assert all(counts[what] > counts["histories"] / 25 for what in COVERED), counts
    assert counts["server cap"] and counts["stops"], counts


@pytest.mark.parametrize("histories", [150, pytest.param(HISTORIES, marks=pytest.mark.slow)])
def test_histories_on_sqlite(tmp_path, histories):
    first, second = (quick_store(f"sqlite:///{tmp_path}/{name}.sqlite") for name in "ab")
    with first as one, second as two:
        assert_covered(compare_seeds(range(histories), one, two))


@pytest.mark.slow
def test_histories_on_postgres(postgres_url):
    first, second = (quick_store(fresh_database(postgres_url)) for _ in "ab")
    with first as one, second as two:
        counts = compare_seeds(range(30), one, two)
    assert counts["refused"] > 30 < counts["admitted"]


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whatif")
    first, second = (quick_store(f"sqlite:///{folder}/{name}.sqlite") for name in "ab")
    with first as one, second as two:
        yield one, two


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), steps=st.integers(0, 20))
def test_a_history_that_hypothesis_can_make_short(ledgers, random, steps):
    """The same histories, for their shrinking."""
    Comparison(random, *ledgers).play(steps)


@given(
    limit=st.integers(0, 4),
    guarantee=st.integers(0, 4) | st.none(),
    rules=st.tuples(st.sampled_from(["guarantee", "limit"]), st.sampled_from(["guarantee", LIMIT])),
    servers=st.sampled_from([None, 0, 1]),
)
def test_a_request_counts_as_what_was_granted_did(limit, guarantee, rules, servers):
    charged, capped = rules
    limits = {"memory": limit, "example.com/fpga": 1}
    limits |= {} if servers is None else {"servers": servers}
    guarantees = {} if guarantee is None else {"memory": guarantee}
    asked = Request(limits, guarantees, charged, capped)
    found = request_of({"servers": 1, **asked.amounts, "cost": 7})
    assert {"servers": 1, **found.amounts} == {"servers": 1, **asked.amounts}
    assert found.counted("memory") == asked.counted("memory")


# -- in examples --------------------------------------------------------------------------------


def policy(groups: str, **rest: object) -> Policy:
    return parse_policy({"groups": yaml.safe_load(f"{{{groups}}}"), **rest})


def run(store, clock, id: str, hours: float, user="sam", group="a/b", **asks: int) -> None:
    """A server that starts now and ends after some hours."""
    assert store.reserve(id, user, "", [group], asks or {"cpu": 1000}).granted
    clock.now += int(hours * HOUR)
    assert store.close_session(id, "stopped")


def ids(found) -> list[str]:
    return [one.start.id for one in found.refused]


def test_a_start_that_is_refused_uses_nothing(store, clock):
    for number in range(6):
        run(store, clock, str(number), 2)
    found = what_if(store, Policy(), policy("a: {limits: {member.cpu-hours: 4 per 7d}}"))
    assert ids(found) == ["2", "3", "4", "5"], "4 hours are used up, and stay so"
    day = what_if(store, Policy(), policy("a: {limits: {member.cpu-hours: 4 per 6h}}"))
    assert ids(day) == ["2", "3"], "8 hours after the first, its hours have left the window"
    assert day.refused[0].at == START + 4 * HOUR
    assert (day.refused[0].user, day.refused[0].group) == ("sam", "a/b")
    assert day.refused[0].limit.text == "4 per 6h"
    assert (day.starts, day.members, day.since) == (6, ("sam",), clock.now - 30 * DAY)


def test_what_was_used_before_the_days_counts_and_is_not_refused(store, clock):
    run(store, clock, "old", 5)
    clock.now += 29 * DAY + 20 * HOUR
    run(store, clock, "new", 1)
    limited = policy("a: {limits: {group.cpu-hours: 4 per 31d}}")
    assert ids(what_if(store, Policy(), limited)) == ["new"]
    assert ids(what_if(store, Policy(), limited, days=31)) == ["new"]
    clock.now += DAY // 4
    assert ids(what_if(store, Policy(), limited, days=31)) == ["new"], (
        "where the old one is a start"
    )


def test_a_member_has_one_budget_over_all_groups_below(store, clock):
    run(store, clock, "1", 1, group="a/b")
    run(store, clock, "2", 1, group="a")
    run(store, clock, "3", 1, group="a/c/d")
    run(store, clock, "4", 1, group="a/c/d", user="kim")
    run(store, clock, "5", 1, group="z")
    limited = policy("a: {limits: {member.cpu-hours: 2 per month}}")
    found = what_if(store, Policy(), limited)
    assert (ids(found), found.starts) == (["3"], 4)
    everywhere = policy("'*': {limits: {member.cpu-hours: 2 per month}}")
    found = what_if(store, Policy(), everywhere)
    assert (ids(found), found.starts) == (["3", "5"], 5)


def test_only_what_is_new_or_another_is_looked_at(store, clock):
    run(store, clock, "1", 1)
    a = "a: {limits: {member.servers: 0, group.gpu: 1}}"
    before, after = policy(a), policy(a + ", a/b: {limits: {server.cpu: 2, server.idle: 1h}}")
    found = what_if(store, before, after)
    assert [limit.key for limit in found.limits] == ["server.cpu"]
    assert (ids(found), found.starts) == ([], 1), "member.servers held before"
    assert ids(what_if(store, Policy(), before)) == ["1"]
    none = what_if(store, after, before)
    assert (none.limits, none.starts, ids(none)) == ((), 0, [])
    stops = policy("a: {limits: {member.servers: 0, group.gpu: 1, server.lifetime: 1h}}")
    assert what_if(store, before, stops).limits == (), "which says when servers end"


def test_a_plan_changes_what_holds_in_all_its_groups(store, clock, monkeypatch):
    monkeypatch.setattr(history, "AT_ONCE", 1)
    run(store, clock, "1", 1, group="a")
    run(store, clock, "2", 1, group="b")
    run(store, clock, "3", 1, group="c")
    groups = "a: {plan: p}, b: {plan: p, limits: {server.cpu: 2}}, c: {}"
    before = policy(groups, plans={"p": {"limits": {"server.cpu": 2}}})
    after = put(before, {("plan", "p"): {"limits": {"server.cpu": "500m"}}})
    found = what_if(store, before, after)
    assert (ids(found), found.starts) == (["1"], 1), "b sets its own"
    assert [(limit.group, limit.plan) for limit in found.limits] == [("a", "p")]
    moved = put(after, {("group", "c"): {"parent": "a"}})
    assert ids(what_if(store, after, moved)) == ["1", "3"], "c comes below what limits a"


def test_a_boost_holds_until_it_lapses(store, clock):
    for number in range(3):
        run(store, clock, str(number), 24)
    boost = [{"limit": "member.servers", "amount": 1, "until": "2026-09-22", "member": "sam"}]
    after = parse_policy({"groups": {"a": {"limits": {"member.servers": 0}, "boosts": boost}}})
    assert ids(what_if(store, Policy(), after)) == ["2"], "which began on the 23rd"
    lower = put(after, {("group", "a"): {"limits": {"member.servers": 0}}})
    assert ids(what_if(store, after, lower)) == ["0", "1", "2"], "a boost that goes is a change"


def test_what_ends_at_an_instant_makes_room_for_what_starts_at_it(store, clock):
    run(store, clock, "z", 1)
    run(store, clock, "a", 0)
    run(store, clock, "b", 1)
    assert ids(what_if(store, Policy(), policy("a: {limits: {group.servers: 1}}"))) == []
    store.reserve("d", "sam", "", ["a"], {"cpu": 1})
    store.reserve("c", "sam", "", ["a"], {"cpu": 1})
    assert ids(what_if(store, Policy(), policy("a: {limits: {group.servers: 1}}"))) == ["d"]


def test_sessions_count_as_they_were(store, clock):
    """Resized, found dead late (also before it was resized), voided, adopted; without credits."""
    store.reserve("1", "sam", "", ["a"], {"cpu": 1000})
    clock.now += HOUR
    store.resize("1", {"servers": 1, "cpu": 4000})
    clock.now += HOUR
    store.resize("1", {"servers": 1, "cpu": 8000})
    clock.now += HOUR
    store.close_session("1", "gone", at=START + HOUR * 3 // 2)
    run(store, clock, "2", 1, group="a")
    allowed = "a: {{limits: {{group.cpu-hours: {} per 30d}}}}"
    assert ids(what_if(store, Policy(), policy(allowed.format(3)))) == ["2"]
    assert ids(what_if(store, Policy(), policy(allowed.format("3.001")))) == []
    adjust(store, "a", "", "cpu", 1000 * HOUR, "ada", "a broken node")
    assert ids(what_if(store, Policy(), policy(allowed.format(3)))) == ["2"]
    store.reserve("3", "sam", "", ["a"], {"cpu": 1000})
    store.void("3", "failed")
    found = what_if(store, Policy(), policy("a: {limits: {group.servers: 0}}"))
    assert (ids(found), found.starts) == (["1", "2"], 2)
    store.adopt("4", "sam", "", "a", {"servers": 1, "cpu": 1000}, clock.now - HOUR)
    found = what_if(store, Policy(), policy("a: {limits: {group.servers: 0}}"))
    assert ids(found) == ["1", "2", "4"], "it ran, so the limit would have been about it"


def test_caps_count_limits_and_budgets_guarantees(store, clock):
    for number in range(2):
        both = Request({"memory": 3 * G}, {"memory": G})
        assert store.reserve(str(number), "sam", "", ["a"], both).granted
    assert ids(what_if(store, Policy(), policy("a: {limits: {group.memory: 6G}}"))) == []
    assert ids(what_if(store, Policy(), policy("a: {limits: {group.memory: 5G}}"))) == ["1"]
    clock.now += HOUR
    assert store.reserve("2", "sam", "", ["a"], {"memory": 1}).granted
    for hours, refused in (("2", ["2"]), ("2.001", [])):
        limited = policy(f"a: {{limits: {{group.memory-hours: {hours} per 2h}}}}")
        assert ids(what_if(store, Policy(), limited)) == refused


def test_a_server_without_a_limit_gets_the_new_one(store, clock):
    """As in the decision; and it is charged for that, at the price of its day."""
    prices = [{"since": "2026-01-01", "memory": "0.5"}]
    store.apply(policy("a: {}", prices=prices), "root", "cli")
    for number in range(3):
        run(store, clock, str(number), 1, cpu=1000)
    cap = "group.memory-hours: 2 per month"
    before = store.policy()
    assert ids(what_if(store, before, policy(f"a: {{limits: {{{cap}}}}}"))) == ["0", "1", "2"]
    limits = {"server.memory": "2G", "group.cost": "2 per month"}
    given = put(before, {("group", "a"): {"limits": limits}})
    assert ids(what_if(store, before, given)) == ["2"], "2 GiB for an hour cost 1"


def test_a_calendar_day_has_25_hours_when_clocks_go_back(tmp_path):
    with quick_store(f"sqlite:///{tmp_path}/ledger.sqlite") as (store, clock):
        midnight = 1_792_879_200 * 10**6  # of 25 October 2026 in Berlin
        clock.now = midnight - 1
        run(store, clock, "1", 1)
        clock.now = midnight + 25 * HOUR - 1
        store.reserve("2", "sam", "", ["a/b"], {"cpu": 1000})
        clock.now += 1
        store.reserve("3", "sam", "", ["a/b"], {"cpu": 1000})
        limited = policy("a: {limits: {group.cpu-hours: 0.5 per day}}")
        assert ids(what_if(store, Policy(), limited)) == ["2"]


def test_too_many_starts_are_cut_where_it_says(store, clock, monkeypatch):
    for number in range(6):
        run(store, clock, str(number), 1)
    store.reserve("on", "sam", "", ["a"], {"cpu": 1000})
    monkeypatch.setattr(history, "MOST_STARTS", 3)
    limited = policy("a: {limits: {group.cpu-hours: 5.5 per month}}")
    found = what_if(store, Policy(), limited)
    assert (found.starts, found.since, ids(found)) == (3, START + 4 * HOUR, ["on"])
    assert found.text == (
        "This would have refused 1 of the last 3 starts, since 2026-09-21 18:13, of 1 member. "
        "Now: 6 of 5.5 CPU-hours used: the next start would be refused."
    )
    assert "none of the last 3 starts, since 2026-09-21 18:13." in (
        what_if(store, Policy(), policy("a: {limits: {group.servers: 9}}")).text
    )
    monkeypatch.setattr(history, "MOST_BEFORE", 2)
    found = what_if(store, Policy(), limited)
    assert (ids(found), found.used_since) == ([], START + 2 * HOUR)
    assert "Servers that ended before 2026-09-21 16:13 are not counted." in found.text
    monkeypatch.setattr(history, "MOST_STARTS", 7)
    assert what_if(store, Policy(), limited).since == clock.now - 30 * DAY


def test_what_would_be_stopped_now(store, clock):
    store.reserve("1", "sam", "", ["a/b"], {"cpu": 1000})
    store.reserve("2", "kim", "", ["a/b"], {"cpu": 100})
    clock.now += 2 * HOUR
    for limit, stops in (
        ("member.cpu-hours: 1 per 7d then stop", 1),
        ("group.cpu-hours: 1 per 7d then stop", 2),
        ("group.cpu-hours: 1 per 7d", 0),
        ("group.cpu-hours: 3 per 7d then stop", 0),
        ("group.cpu-hours: 1 per 2026-09-01..2026-09-02 then stop", 0),
    ):
        found = what_if(store, Policy(), policy(f"a: {{limits: {{{limit}}}}}"))
        assert (found.stops, ids(found)) == (stops, []), limit


def test_it_is_said_in_a_sentence(store, clock):
    limited = policy("a: {limits: {group.servers: 1}}")
    assert what_if(store, Policy(), limited).text == "There were no starts in the last 30 days."
    assert what_if(store, limited, Policy()).text == "This limits no start more than before."
    store.reserve("1", "sam", "", ["a"], {"cpu": 1000})
    said = "In the last 30 days this would have refused "
    young = " Records go back to 2026-09-21 14:13 only."
    full = " Now: 1 of 1 server in use: the next start would be refused."
    assert what_if(store, Policy(), limited).text == f"{said}no start.{young}{full}"
    none = policy("a: {limits: {group.servers: 0, group.cpu-hours: 0 per 7d then stop}}")
    assert what_if(store, Policy(), none).text == (
        f"{said}the only start.{young} 1 server that runs now would be stopped."
    )
    store.reserve("2", "sam", "", ["a"], {"cpu": 1000})
    full = " Now: 2 of 1 server in use: the next start would be refused."
    assert what_if(store, Policy(), limited).text == (
        f"{said}1 of 2 starts, of 1 member.{young}{full}"
    )
    store.reserve("3", "kim", "", ["a"], {"cpu": 1000})
    assert what_if(store, Policy(), none, days=7).text == (
        "In the last 7 days this would have refused 3 of 3 starts, of 2 members."
        f"{young} 3 servers that run now would be stopped."
    )


def test_records_are_young_until_one_is_older_than_the_days(store, clock):
    limited = policy("a: {limits: {group.servers: 9}}")
    run(store, clock, "1", 1, group="z")
    clock.now = START + 30 * DAY - 1
    said = what_if(store, Policy(), limited).text
    assert said == (
        "There were no starts in the last 30 days. Records go back to 2026-09-21 14:13 only."
    )
    clock.now = START + 30 * DAY + 1
    assert "Records" not in what_if(store, Policy(), limited).text


def test_what_is_full_already_is_said(store, clock):
    store.reserve("1", "sam", "", ["a/b"], {"cpu": 2000, "gpu": 1})
    store.reserve("2", "sam", "x", ["a"], {"cpu": 1000})
    store.reserve("3", "kim", "", ["a/b"], {"cpu": 2000})
    store.reserve("4", "lee", "", ["z"], {"cpu": 2000})
    clock.now += HOUR
    for limit, said in (
        ("group.servers: 3", "Now: 3 of 3 servers in use: the next start would be refused."),
        ("group.servers: 4", ""),
        ("group.servers: 0", ""),
        ("group.cpu: 4", "Now: 5 of 4 cores in use: the next start would be refused."),
        ("group.gpu: 1", "Now: 1 of 1 GPU in use: the next start with GPUs would be refused."),
        (
            "group.cpu-hours: 5 per month",
            "Now: 5 of 5 CPU-hours used: the next start would be refused.",
        ),
        ("group.cpu-hours: 6 per month", ""),
        ("group.cpu-hours: 5 per 2026-01-01..2026-02-01", ""),
        ("group.cpu-hours: 5 per month then downsize to cpu 1", ""),
        (
            "member.servers: 2",
            "Now: 1 member has 2 servers in use or more: their next start would be refused.",
        ),
        (
            "member.cpu: 2",
            "Now: 2 members have 2 cores in use or more: their next start would be refused.",
        ),
        ("member.cpu: 4", ""),
        ("server.cpu: 1", ""),
    ):
        text = what_if(store, Policy(), policy(f"a: {{limits: {{{limit}}}}}")).text
        assert text.partition(" only.")[2].strip() == said, limit
    raised = [{"limit": "group.servers", "amount": 9, "until": "2027-01-01"}]
    after = parse_policy({"groups": {"a": {"limits": {"group.servers": 3}, "boosts": raised}}})
    assert what_if(store, Policy(), after).full == ()


@pytest.mark.parametrize(
    ("groups", "needed"),
    [
        ("a: {limits: {group.cpu-hours: 9 per 7d}}", ("cpu",)),
        ("a: {limits: {member.cpu: 4, group.memory: 8G}}", ("cpu", "memory")),
        ("a: {limits: {group.cpu: 4, server.cpu: 1}}", ()),
        ("a: {limits: {group.cpu: 4}}, '*': {limits: {server.cpu: 1}}", ()),
        ("'*': {limits: {group.memory-hours: 9 per 7d}}, a: {}", ("memory",)),
        ("a: {plan: p, limits: {group.cpu: 4}}", ()),
        ("a: {limits: {group.cpu: 4, server.memory: 1G}}", ("cpu",)),
        ("a: {limits: {group.servers: 1, group.gpu: 1, group.storage: 1G, server.idle: 1h}}", ()),
        ("a/b: {limits: {group.cpu: 4}}", ()),
    ],
)
def test_sizes_that_servers_need_to_start(store, groups, needed):
    held = policy(groups, plans={"p": {"limits": {"server.cpu": 1}}})
    assert sizes_needed(held, "a") == needed
    assert sizes_missing(store, held, "a") == needed
    store.apply(held, "tests", "tests")
    answer = store.reserve("1", "sam", "", ["a"], {})
    assert bool(answer.granted) is not bool(needed), "as the ledger itself says"
    for name in needed:
        assert "server of its own" not in say_size_needed(name)
        assert ("CPU" in say_size_needed(name)) is (name == "cpu")


def test_servers_that_have_limits_of_their_own_need_none(store, clock):
    held = policy("a: {limits: {group.cpu: 4, group.memory: 8G}}")
    run(store, clock, "1", 1, group="z")
    assert sizes_missing(store, held, "a") == ("memory",), "the server had a CPU limit alone"
    store.reserve("2", "sam", "", ["z"], {"memory": G})
    assert sizes_missing(store, held, "a") == ("cpu", "memory"), "one in two"
    store.void("2", "failed")
    assert sizes_missing(store, held, "a") == ("memory",)
    store.apply(policy("z: {limits: {server.cpu: 1}}"), "tests", "tests")
    store.apply(policy("z: {}"), "tests", "tests")
    assert sizes_missing(store, held, "a") == ("cpu", "memory"), "it may have had it from there"
    for number in range(MOST_CHANGES):
        store.apply(policy(f"y: {{limits: {{member.servers: {number + 1}}}}}"), "tests", "tests")
    assert sizes_missing(store, held, "a") == ("memory",), "too long ago"
    plan = policy("y: {plan: p}", plans={"p": {"limits": {"server.cpu": 1}}})
    store.apply(plan, "tests", "tests")
    assert sizes_missing(store, held, "a") == ("cpu", "memory"), "that of a plan"


def test_what_if_says_which_sizes_new_limits_need(store):
    before = policy("a: {limits: {group.memory: 8G}}, b: {plan: p}", plans={"p": {}})
    plans = {"p": {"limits": {"member.cpu-hours": "40 per 7d"}}}
    after = policy("a: {limits: {group.memory: 8G}}, b: {plan: p}", plans=plans)
    assert what_if(store, before, after).sizes == ("cpu",), "not what is so already"
    assert sizes_missing(store, after, "a", "b") == ("cpu", "memory")
    assert sizes_missing(store, after) == ()


def test_all_groups_below_are_known(store, clock):
    run(store, clock, "1", 1, group="a/x")
    run(store, clock, "2", 1, group="z")
    held = policy("a: {}, a/b: {}, other: {parent: a/b}, b: {}, '*': {}")
    assert below(store, held, "a") == ["a", "a/b", "a/x", "other"]
    assert below(store, held, "a/b", "b") == ["a/b", "b", "other"]
    assert below(store, held, "*") == ["a", "a/b", "a/x", "b", "other", "z"]
    rename(store, "z", "y", group=True)
    assert below(store, held, "*") == ["a", "a/b", "a/x", "b", "other", "y"]
