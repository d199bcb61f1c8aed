"""What of a server's guarantees and limits counts for what."""

from __future__ import annotations

import pytest

from hub_quotas.decision import Use, decide
from hub_quotas.limits import PolicyError, parse_limit
from hub_quotas.policy import parse_policy
from hub_quotas.requests import Request

GIB = 2**30


def limits(**amounts):
    return [parse_limit("a", key.replace("_", "."), value) for key, value in amounts.items()]


def asked(request, *held, use=lambda limit: Use()):
    return decide("a", request, held, use)


@pytest.mark.parametrize(
    ("request_", "amounts"),
    [
        (Request({"memory": 4}), {"memory": 4}),
        (Request({"memory": 4}, {"memory": 1}), {"memory": 1, "memory+burst": 3}),
        (Request({"memory": 4}, {"memory": 4}), {"memory": 4}),
        (Request({}, {"memory": 1}), {"memory": 1}),
        (Request({"memory": 4}, {"memory": 1}, charged="limit"), {"memory": 4}),
        (Request({"memory": 4}, {"memory": 1}, capped="guarantee"), {"memory": 1}),
        (
            Request({"memory": 4}, {"memory": 1}, charged="limit", capped="guarantee"),
            {"memory": 4, "memory+burst": -3},
        ),
        (
            Request({"memory": 4, "gpu": 1}, {"memory": 1}),
            {"memory": 1, "memory+burst": 3, "gpu": 1},
        ),
    ],
)
def test_what_is_charged_and_what_caps_count_beyond_that(request_, amounts):
    assert request_.amounts == amounts


def test_budgets_count_the_guarantee_and_caps_the_limit():
    request = Request({"cpu": 1000, "memory": 4 * GIB}, {"memory": GIB})
    held = limits(member_memory="4G", group_memory="3G")
    decision = asked(request, *held, parse_limit("a", "member.memory-hours", "10 per day"))
    by_key = {check.limit.key: check for check in decision.checks}
    assert by_key["member.memory"].asked == 4 * GIB and by_key["member.memory"].passed
    assert by_key["group.memory"].asked == 4 * GIB and not by_key["group.memory"].passed
    assert by_key["member.memory-hours"].asked == GIB
    assert decision.amounts["memory"] == GIB


def test_a_guarantee_without_a_limit_passes_budgets_but_no_cap():
    request = Request({}, {"memory": GIB})
    assert asked(request, parse_limit("a", "member.memory-hours", "10 per day")).allowed
    refused = asked(request, *limits(member_memory="4G"))
    assert [check.asked for check in refused.refusals] == [None]


def test_a_server_without_a_limit_gets_the_cap_of_its_servers():
    decision = asked(Request({}, {"memory": GIB}), *limits(server_memory="2G", member_memory="3G"))
    assert decision.allowed
    assert decision.gets.limits == {"memory": 2 * GIB}
    assert decision.amounts == {"servers": 1, "memory": GIB, "memory+burst": GIB}


def test_who_asks_for_more_is_refused_or_clamped():
    held = limits(server_memory="2G", server_gpu="1")
    asks = {"memory": 8 * GIB, "gpu": 2}
    refused = asked(Request(asks, {"memory": 4 * GIB}), *held)
    assert [check.limit.key for check in refused.refusals] == ["server.memory", "server.gpu"]
    clamped = asked(Request(asks, {"memory": 4 * GIB}, clamp=True), *held)
    assert clamped.allowed
    assert clamped.gets.limits == {"memory": 2 * GIB, "gpu": 1}
    assert clamped.gets.guarantees == {"memory": 2 * GIB}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("40 per 7d then stop", "40 per 7d then stop"),
        ("40 per 7d then stop after 5m", "40 per 7d then stop"),
        ("40 per 7d then stop after 0m", "40 per 7d then stop after 0s"),
        ("40 per 7d then refuse", "40 per 7d"),
        (
            "40 per 7d then downsize to memory 2G and cpu 1",
            "40 per 7d then downsize to cpu 1 and memory 2G",
        ),
    ],
)
def test_what_happens_when_a_budget_is_used_up(text, same):
    limit = parse_limit("a", "member.cpu-hours", text)
    assert limit.text == same
    assert parse_limit("a", "member.cpu-hours", same) == limit


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        (
            "member.cpu-hours",
            "40 per 7d then explode",
            "write 'then refuse', 'then stop after 10m'",
        ),
        ("member.cpu-hours", "40 per 7d then downsize to big", "write, for example, memory 2G"),
        ("member.cpu-hours", "40 per 7d then downsize to cpu x", "is not an amount of CPU"),
        ("member.servers", "2 then stop", "only a budget has a 'then'"),
        ("member.cpu-hours", "40 then stop", "a budget needs a window"),
    ],
)
def test_a_reaction_that_cannot_be_read(key, text, why):
    with pytest.raises(PolicyError, match=why):
        parse_limit("a", key, text)


def test_a_used_up_budget_lets_small_servers_start():
    limit = parse_limit("a", "group.cpu-hours", "1 per day then downsize to cpu 1 and memory 2G")

    def decision(**amounts):
        return asked(Request(amounts), limit, use=lambda limit: Use(used=limit.amount))

    assert decision(cpu=1000, memory=2 * GIB).allowed
    assert not decision(cpu=1001, memory=2 * GIB).allowed
    assert not decision(cpu=1000, memory=2 * GIB, gpu=1).allowed, "not what the size names"
    assert not decision(cpu=1000).allowed, "without a limit it is not small"
    assert decision(cpu=4000).room == {"cpu": 1000, "memory": 2 * GIB}


def policy(**group):
    return parse_policy({"groups": {"a": {"limits": {"member.cpu-hours": "1 per 7d"}, **group}}})


@pytest.mark.parametrize(
    ("boost", "why"),
    [
        ({"limit": "member.cpu-hours", "amount": "2 per 7d"}, "until: '' is not a day or time"),
        ({"limit": "member.cpu-hours", "amount": "2 per 7d", "until": "soon"}, "not a day or time"),
        ({"limit": "member.gpu-hours", "amount": "2 per 7d", "until": "2026-12-01"}, "to boost"),
        ({"limit": "member.cpu-hours", "amount": "2 per 9d", "until": "2026-12-01"}, "to boost"),
        ({"limit": "member.cpu-hours", "amount": "2", "until": "2026-12-01"}, "needs a window"),
        ({"amount": "2 per 7d", "until": "2026-12-01"}, "there is no limit of that name"),
        ({"extra": 1}, "there is nothing of that name here"),
        ("more", "write a list"),
    ],
)
def test_a_boost_that_cannot_be_read(boost, why):
    with pytest.raises(PolicyError, match=why):
        policy(boosts=[boost])


def test_a_boost_is_for_its_member_until_the_end_of_its_day():
    from zoneinfo import ZoneInfo

    berlin, day = ZoneInfo("Europe/Berlin"), 24 * 3600 * 10**6
    boost = {"limit": "member.cpu-hours", "amount": "5 per 7d", "until": "2026-12-01"}
    held = policy(boosts=[{**boost, "member": "sam", "why": "thesis"}])
    midnight = 1_796_166_000 * 10**6  # 2 December 2026, 0:00 in Berlin

    def text(user, at):
        return held.limits_for("a", user, at, berlin)[0].text

    assert text("sam", midnight - 1) == "5 per 7d"
    assert text("sam", midnight) == "1 per 7d"
    assert text("kim", midnight - day) == "1 per 7d"
    assert held.limits_for("a", "sam", midnight - 1, berlin)[0].boost == midnight
    assert parse_policy(
        {
            "groups": {
                "a": {
                    "limits": {"member.cpu-hours": "1 per 7d"},
                    "boosts": [{**boost, "until": "2026-12-01T14:00"}],
                }
            }
        }
    ).boosts("a")[0].ends(berlin) == (midnight - 10 * 3600 * 10**6)
