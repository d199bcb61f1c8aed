"""Whether a server may start, and what people are told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.decision import decide
from hub_quotas.limits import Limit, parse_limit
from hub_quotas.messages import of, refusal

G = 2**30
NOTHING = {}


def limits(**by_group: dict[str, object]) -> list[Limit]:
    return [
        parse_limit(group.replace("__", "/"), key, amount)
        for group, keys in by_group.items()
        for key, amount in keys.items()
    ]


def used(use: dict[tuple[str, str], dict[str, int]]):
    return lambda limit: use.get((limit.group, limit.scope), NOTHING)


def test_no_limits_no_refusal():
    assert decide("a", {"memory": G}, [], used({})).allowed


def test_each_limit_of_each_ancestor_has_to_hold():
    rules = limits(a={"group.memory": "8G"}, a__b={"member.memory": "4G", "server.memory": "2G"})
    full = used({("a", "group"): {"memory": 7 * G, "servers": 7}})
    answer = decide("a/b", {"memory": 2 * G}, rules, full)
    assert not answer.allowed
    assert [check.limit.group for check in answer.refusals] == ["a"]
    assert [check.limit.key for check in answer.checks] == [
        "server.memory",
        "member.memory",
        "group.memory",
    ], "nearest first"
    assert answer.room == {"memory": G}
    assert decide("a/b", {"memory": G}, rules, full).allowed


def test_a_server_without_a_limit_gets_the_tightest_of_the_groups():
    rules = limits(a={"server.memory": "8G", "group.memory": "16G"}, a__b={"server.memory": "4G"})
    answer = decide("a/b", {}, rules, used({}))
    assert answer.allowed
    assert answer.amounts == {"servers": 1, "memory": 4 * G}


def test_a_server_without_a_limit_is_refused_where_only_a_cap_is_set():
    """It could take everything: the cap would not hold."""
    answer = decide("a", {}, limits(a={"group.memory": "16G"}), used({}))
    assert not answer.allowed
    assert "this server has no memory limit of its own" in refusal([answer], {})


def test_the_words_of_a_refusal():
    rules = limits(geo={"group.memory": "8G"}, geo__101={"member.servers": 1, "group.cpu": 4})
    use = {
        ("geo", "group"): {"memory": 7 * G, "servers": 5},
        ("geo/101", "member"): {"servers": 1},
        ("geo/101", "group"): {"cpu": 1000, "servers": 2},
    }
    answer = decide("geo/101", {"cpu": 1000, "memory": 2 * G}, rules, used(use))
    assert refusal([answer], {"geo": ["ada", "bo"]}) == (
        "geo/101 allows each member 1 server at once, and you have 1 running. "
        "geo has 8 GiB of memory at once; all its members together have 7 GiB in use by 5 servers, "
        "and this one asks for 2 GiB. "
        "Nothing more fits until a server in the group stops. "
        "To get more, ask ada or bo, who manage geo."
    )


def test_what_would_fit_is_said_for_each_group_that_was_tried():
    small = decide("a", {"memory": 4 * G}, limits(a={"server.memory": "1G"}), used({}))
    large = decide("b", {"memory": 4 * G}, limits(b={"member.memory": "2G"}), used({}))
    words = refusal([small, large], {})
    assert "A server with at most 1 GiB of memory in a, or 2 GiB of memory in b would" in words
    assert words.endswith("ask an admin of this hub.")


def test_of():
    assert of("memory", G // 2, 8 * G) == "512 MiB of 8 GiB"
    assert of("memory", G, 8 * G) == "1 of 8 GiB"
    assert of("cpu", 500, 4000) == "0.5 of 4 cores"
    assert of("servers", 1, 1) == "1 of 1 server"
    assert of("memory", 0, 8 * G) == "0 of 8 GiB"


amounts = st.fixed_dictionaries({"cpu": st.integers(1, 9000), "memory": st.integers(1, 9 * G)})
caps = st.dictionaries(
    st.sampled_from(["server.cpu", "member.cpu", "group.memory", "server.memory"]),
    st.integers(0, 9),
    min_size=1,
)


@given(request=amounts, rules=caps, busy=amounts)
def test_what_is_said_to_fit_is_admitted_and_not_a_bit_more(request, rules, busy):
    rules = [parse_limit("a", k, f"{v}G" if "memory" in k else v) for k, v in rules.items()]
    use = used({("a", "member"): {**busy, "servers": 1}, ("a", "group"): {**busy, "servers": 1}})
    room = decide("a", request, rules, use).room
    assert decide("a", {**request, **room}, rules, use).allowed
    for name in room:
        assert not decide("a", {**request, **room, name: room[name] + 1}, rules, use).allowed
