"""Whether a server may start, and what people are told."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.decision import Use, decide
from hub_quotas.explained import explanation
from hub_quotas.messages import of, refusal, title
from hub_quotas.more import to_more
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.windows import say_instant

G = 2**30


def answer(group: str, request: dict, limits: dict, use: dict | None = None, plans=None):
    """Decide about `group` with {group: limits} and {(group, scope, resource): Use}."""
    policy = parse_policy(
        {"plans": plans, "groups": {name: {"limits": keys} for name, keys in limits.items()}}
    )

    def used(limit):
        return (use or {}).get((limit.group, limit.scope, limit.resource), Use())

    return decide(group, request, policy.limits(group), used)


def test_no_limits_no_refusal():
    assert answer("a", {"memory": G}, {}).allowed


def test_each_limit_of_each_ancestor_has_to_hold():
    rules = {"a": {"group.memory": "8G"}, "a/b": {"member.memory": "4G", "server.memory": "2G"}}
    full = {("a", "group", "memory"): Use(7 * G, 7 * G, 7)}
    found = answer("a/b", {"memory": 2 * G}, rules, full)
    assert not found.allowed
    assert [check.limit.group for check in found.refusals] == ["a"]
    keys = [check.limit.key for check in found.checks]
    assert keys == ["server.memory", "member.memory", "group.memory"], "nearest first"
    assert found.room == {"memory": G}
    assert answer("a/b", {"memory": G}, rules, full).allowed


def test_a_server_without_a_limit_gets_the_tightest_of_the_groups():
    rules = {"a": {"server.memory": "8G", "group.memory": "16G"}, "a/b": {"server.memory": "4G"}}
    found = answer("a/b", {}, rules)
    assert found.allowed
    assert found.amounts == {"servers": 1, "memory": 4 * G}


def test_who_is_refused_comes_to_what_helps():
    too_large = answer("a", {"memory": 9 * G}, {"a": {"server.memory": "8G"}})
    ask = ("ask?group=a&limit=server.memory", "Ask for more")
    assert to_more(too_large, admin=False) == ask
    assert to_more(too_large, admin=True) == ("groups/a", "Groups and limits")
    used_up = answer("a", {"cpu": 1}, {"*": {"member.cpu-hours": "0 per 7d"}})
    address, _words = to_more(used_up, admin=False)
    assert address == "ask?group=%2A&limit=member.cpu-hours&window=7d"
    unsized = answer("a", {}, {"a": {"group.memory": "16G"}})
    assert to_more(unsized, admin=False) is None, "more of it would not help"
    assert to_more(unsized, admin=True) == ("groups/a", "Groups and limits")


def test_a_server_without_a_limit_is_refused_where_only_a_cap_is_set():
    """It could take everything: the cap would not hold."""
    for rules in ({"group.memory": "16G"}, {"member.memory-hours": "16 per 7d"}):
        found = answer("a", {}, {"a": rules})
        assert not found.allowed
        assert refusal([found], {}) == (
            "a is not set up completely: it limits memory, but does not say how much memory each "
            "server gets (server.memory). "
            "You have done nothing wrong: an admin of this hub has to set that."
        )


def test_who_has_to_set_what_is_missing():
    rules = {"a": {"group.cpu-hours": "9 per 7d", "member.cpu": 4}, "a/b": {"member.servers": 2}}
    found = answer("a/b", {}, rules)
    missing = (
        "a is not set up completely: it limits CPU, but does not say how many cores each server "
        "gets (server.cpu). "
    )
    assert refusal([found], {"a": ["ada", "bo"], "a/b": ["kim"]}) == (
        f"{missing}You have done nothing wrong: ada or bo, who manage a, have to set that."
    ), "once, and nothing of a server that stops or of getting more"
    assert refusal([found], {"a": [], "a/b": ["kim"]}) == (
        f"{missing}You have done nothing wrong: kim, who manages a/b, has to set that."
    )
    assert refusal([found], {"a": ["ada"]}, admin=True) == (
        f"{missing}You can change this under Groups and limits."
    )
    full = answer("c", {"cpu": 1}, {"c": {"group.servers": 0}})
    assert refusal([full, found], {}).endswith("To get more, ask an admin of this hub."), "of c"


def test_a_budget_admits_as_long_as_something_is_left():
    rules = {"a": {"member.gpu-hours": "10 per 7d"}}
    almost = {("a", "member", "gpu-hours"): Use(10 * HOUR - 1, 0, 0)}
    spent = {("a", "member", "gpu-hours"): Use(10 * HOUR, 0, 0)}
    assert answer("a", {"gpu": 1}, rules, almost).allowed
    found = answer("a", {"gpu": 1}, rules, spent)
    assert not found.allowed
    assert answer("a", {}, rules, spent).allowed, "a server without a GPU draws on none of it"
    assert refusal([found], {}, "on Tue 24 Nov at 08:00 (CET)") == (
        "a gives each member 10 GPU-hours in any 7 days, and you have used 10 GPU-hours. "
        "You can start it on Tue 24 Nov at 08:00 (CET). "
        "A server with any size, without GPUs would start now. "
        "To get more, ask an admin of this hub."
    )


def test_a_budget_that_does_not_hold_now_refuses_nothing():
    rules = {"a": {"member.cpu-hours": "0 per 2026-09-01..2026-12-20"}}
    outside = {("a", "member", "cpu-hours"): Use(None, 0, 0)}
    assert answer("a", {"cpu": 1000}, rules, outside).allowed


def test_how_long_a_budget_lasts():
    rules = {"a": {"member.cpu-hours": "10 per 7d", "group.cpu-hours": "100 per month"}}
    use = {
        ("a", "member", "cpu-hours"): Use(4000 * HOUR, 1000, 1),
        ("a", "group", "cpu-hours"): Use(95_000 * HOUR, 9000, 9),
    }
    found = answer("a", {"cpu": 1000}, rules, use)
    assert [check.lasts for check in found.checks] == [3 * HOUR, HOUR // 2]
    assert found.lasts == HOUR // 2
    assert answer("a", {"cpu": 1000}, {}).lasts is None


def test_full_is_when_not_even_the_smallest_server_would_start():
    rules = {"a": {"group.memory": "8G", "group.gpu": 1}}
    assert not answer("a", {}, rules).full, "one with a memory limit would start"
    gpus = {("a", "group", "gpu"): Use(1, 1, 1)}
    assert not answer("a", {}, rules, gpus).full, "one without a GPU would start"
    assert answer("a", {}, rules, {("a", "group", "memory"): Use(8 * G, 8 * G, 1)}).full


def test_the_words_of_a_refusal():
    rules = {"geo": {"group.memory": "8G"}, "geo/101": {"member.servers": 1, "group.cpu": 4}}
    use = {
        ("geo", "group", "memory"): Use(7 * G, 7 * G, 5),
        ("geo/101", "member", "servers"): Use(1, 1, 1),
        ("geo/101", "group", "cpu"): Use(1000, 1000, 2),
    }
    found = answer("geo/101", {"cpu": 1000, "memory": 2 * G}, rules, use)
    above = {"geo/101": ["geo", "*"], "geo": ["*"]}
    assert refusal([found], {"geo": ["ada", "bo"]}, above=above) == (
        "geo/101 allows each member 1 server at once, and you have 1 running. "
        "geo may have 8 GiB of memory at once; all its members together have 7 GiB in use by 5 "
        "servers, and this one asks for 2 GiB. "
        "Nothing more fits until a server in the group stops. "
        "To get more, ask ada or bo, who manage geo."
    )


def test_a_refusal_begins_as_a_sentence_and_says_who_default_is():
    hub = answer("a", {"cpu": 1000}, {"*": {"server.cpu": 0.5}})
    assert refusal([hub], {}).startswith("This hub allows each server at most")
    unknown = answer("a", {}, {"*": {"group.cpu": 4}})
    assert refusal([unknown], {}).startswith("This hub is not set up completely: it limits CPU")
    nobody = answer("default", {"cpu": 1000}, {"default": {"server.cpu": 0.5}})
    assert "this one asks for 1 core. The group default is for everybody without" in refusal(
        [nobody], {}
    )
    assert "without a group" not in refusal([hub], {})


def test_an_admin_is_sent_to_nobody():
    found = answer("a", {"cpu": 1000}, {"a": {"server.cpu": 0.5}})
    for managers in ({}, {"a": ["ada"]}):
        said = refusal([found], managers, admin=True)
        assert said.endswith("would start now. You can change this under Groups and limits.")
        assert "ask" not in said.replace("asks for", "")


def test_a_cost_ceiling_in_words():
    rules = {"geo": {"group.cost": "2000 per month"}}
    use = {("geo", "group", "cost"): Use(2000 * 10**6 * HOUR, 0, 0)}
    policy = parse_policy({"groups": {"geo": {"limits": rules["geo"]}}})
    spent = decide(
        "geo", {}, policy.limits("geo"), lambda _: use["geo", "group", "cost"], lambda _: 10
    )
    assert refusal([spent], {}) == (
        "geo has a budget of 2000.00 a month, and all its members together have used 2000.00. "
        "To get more, ask an admin of this hub."
    )


def test_what_would_fit_is_said_for_each_group_that_was_tried():
    small = answer("a", {"memory": 4 * G}, {"a": {"server.memory": "1G"}})
    large = answer("b", {"memory": 4 * G}, {"b": {"member.memory": "2G"}})
    words = refusal([small, large], {})
    fits = "A server with at most 1 GiB of memory in a, or at most 2 GiB of memory in b would start"
    assert fits in words
    assert words.endswith("ask an admin of this hub.")


def test_an_explanation_names_every_limit_and_where_it_comes_from():
    plans = {"small": {"limits": {"member.cpu-hours": "40 per 7d"}}}
    policy = parse_policy(
        {
            "plans": plans,
            "groups": {"geo": {"plan": "small", "limits": {"member.servers": 1}}},
        }
    )
    use = {"member.cpu-hours": Use(39_000 * HOUR, 0, 0), "member.servers": Use(0, 0, 0)}
    found = decide("geo", {"cpu": 2000}, policy.limits("geo"), lambda limit: use[limit.key])
    assert explanation(found) == (
        "A server with 2 cores of cpu charged to geo would start.\n"
        "  ok  geo · member.servers: 1 (set there); 0 of 1 server; asks for 1 server\n"
        "  ok  geo · member.cpu-hours: 40 per 7d (plan small); 39 of 40 CPU-hours; "
        "lasts 30 min at least\n"
        "It could run for 30 min at least."
    )


def test_what_a_group_has_as_a_whole_is_asked_of_who_can_give_it():
    above = {"geo/101": ["geo", "*"]}
    full = {("geo/101", "group", "servers"): Use(1, 1, 1)}
    found = answer("geo/101", {}, {"geo/101": {"group.servers": 1}}, full)

    def ask(managers) -> str:
        return refusal([found], managers, above=above).rpartition(". ")[2]

    assert ask({"geo/101": ["mara"]}) == "To get more, ask an admin of this hub."
    higher = {"geo/101": ["mara"], "geo": ["ada"], "*": ["root"]}
    assert ask(higher) == "To get more, ask ada, who manages geo."
    own = {("geo/101", "member", "servers"): Use(1, 1, 1)}
    found = answer("geo/101", {}, {"geo/101": {"member.servers": 1}}, own)
    assert ask(higher) == "To get more, ask mara, who manages geo/101."
    assert ask({"geo": ["ada"]}) == "To get more, ask ada, who manages geo.", "who can give it too"


def test_small_words():
    assert of("memory", G // 2, 8 * G) == "512 MiB of 8 GiB"
    assert of("memory", G, 8 * G) == "1 of 8 GiB"
    assert of("cpu", 500, 4000) == "0.5 of 4 cores"
    assert of("servers", 1, 1) == "1 of 1 server"
    assert of("memory", 0, 8 * G) == "0 of 8 GiB"
    assert of("cost", 0, 8 * 10**6 * HOUR) == "0.00 of 8.00"
    (check,) = answer("a", {}, {"a": {"member.gpu-hours": "4 per month"}}).checks
    assert title(check) == "GPU-hours, me, a month"
    berlin = ZoneInfo("Europe/Berlin")
    assert say_instant(1_795_503_600_000_001, 1_795_500_000_000_000, berlin) == "at 08:01 (CET)"
    assert say_instant(1_795_503_600_000_000, 0, berlin) == "on Tue 24 Nov at 08:00 (CET)"


amounts = st.fixed_dictionaries({"cpu": st.integers(1, 9000), "memory": st.integers(1, 9 * G)})
caps = st.dictionaries(
    st.sampled_from(["server.cpu", "member.cpu", "group.memory", "server.memory"]),
    st.integers(0, 9),
    min_size=1,
)


@given(request=amounts, rules=caps, busy=amounts)
def test_what_is_said_to_fit_is_admitted_and_not_a_bit_more(request, rules, busy):
    rules = {"a": {key: f"{n}G" if "memory" in key else n for key, n in rules.items()}}
    use = {
        ("a", scope, name): Use(busy[name], busy[name], 1)
        for scope in ("member", "group")
        for name in busy
    }
    room = answer("a", request, rules, use).room
    assert answer("a", {**request, **room}, rules, use).allowed
    for name in room:
        assert not answer("a", {**request, **room, name: room[name] + 1}, rules, use).allowed


def test_to_say_that_it_is_one_server_makes_none_larger():
    budget = {"a": {"group.cpu-hours": "1 per 7d then downsize to cpu 1 and memory 2G"}}
    used = {("a", "group", "cpu-hours"): Use(1000 * HOUR)}
    for more, allowed in (({}, True), ({"servers": 1}, True), ({"gpu": 1}, False)):
        found = answer("a", {"cpu": 1000, "memory": G, **more}, budget, used)
        assert found.allowed is allowed, more
