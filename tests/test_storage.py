"""How much homes and shared directories may hold."""

from __future__ import annotations

from datetime import timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.limits import Soft, parse_limit
from hub_quotas.policy import parse_policy
from hub_quotas.storage import (
    Changes,
    Limits,
    all_allowed,
    allowed_in,
    by_groups,
    enforced,
    home_of,
    shared_of,
)

UTC = timezone.utc
NOW = 1_800_000_000 * 10**6
GIB = 2**30
DAY = 24 * 3600 * 10**6


def policy(**groups: object):
    return parse_policy(
        {"groups": {name.replace("__", "/"): spec for name, spec in groups.items()}}
    )


def limits(**keys: str) -> dict[str, object]:
    return {"limits": {key.replace("_", "."): value for key, value in keys.items()}}


def home(policy, *groups: str, user: str = "pat", at: int = NOW) -> int | None:
    found = home_of(policy, user, groups, at, UTC)
    return found.amount if found else None


def test_a_home_is_what_the_group_gives_each_member():
    assert home(policy(geo=limits(member_storage="10G")), "geo") == 10 * GIB


def test_of_several_groups_the_largest_holds_and_it_says_which():
    some = policy(geo=limits(member_storage="10G"), bio=limits(member_storage="30G"))
    found = home_of(some, "pat", ["geo", "bio", "other"], NOW, UTC)
    assert (found.group, found.limit.key, found.amount) == ("bio", "member.storage", 30 * GIB)


def test_on_the_way_up_the_smallest_holds():
    some = policy(uni=limits(member_storage="5G"), uni__geo=limits(member_storage="10G"))
    found = home_of(some, "pat", ["uni/geo"], NOW, UTC)
    assert (found.group, found.limit.group, found.amount) == ("uni/geo", "uni", 5 * GIB)


def test_who_is_in_no_group_has_what_the_default_group_gives():
    some = policy(default=limits(member_storage="2G"), geo=limits(member_storage="10G"))
    assert home(some) == 2 * GIB


def test_the_whole_hub_gives_everybody_something():
    some = parse_policy({"groups": {"*": limits(member_storage="1G")}})
    assert home(some) == GIB
    assert home(some, "any") == GIB


def test_without_a_limit_there_is_none():
    assert home(policy(geo=limits(group_storage="10G")), "geo") is None
    assert home(policy(), "geo") is None


def test_a_plan_gives_storage_too():
    some = parse_policy(
        {
            "plans": {"small": {"limits": {"member.storage": "3G", "group.storage": "50G"}}},
            "groups": {"geo": {"plan": "small"}},
        }
    )
    assert home(some, "geo") == 3 * GIB
    assert shared_of(some, "geo", NOW, UTC).amount == 50 * GIB


def test_a_boost_raises_one_home_for_a_while():
    boost = {"limit": "member.storage", "amount": "40G", "until": "2027-02-01", "member": "pat"}
    some = policy(geo={**limits(member_storage="10G"), "boosts": [boost]})
    assert home(some, "geo") == 40 * GIB
    assert home(some, "geo", user="kim") == 10 * GIB
    assert home(some, "geo", at=NOW + 60 * 24 * 3600 * 10**6) == 10 * GIB
    found = all_allowed(some, {("geo",): ["pat", "kim"]}, NOW, UTC).limits()
    assert found.users == {"pat": 40 * GIB, "kim": 10 * GIB}


def test_a_shared_directory_is_no_larger_than_what_its_groups_above_have():
    some = policy(uni=limits(group_storage="100G"), uni__geo=limits(group_storage="500G"))
    assert shared_of(some, "uni/geo", NOW, UTC).amount == 100 * GIB
    assert shared_of(some, "uni/bio", NOW, UTC).amount == 100 * GIB
    assert shared_of(some, "club", NOW, UTC) is None


def test_all_limits_are_those_of_each():
    boost = {"limit": "member.storage", "amount": "7G", "until": "2027-02-01", "member": "ann"}
    some = policy(
        default={**limits(member_storage="1G"), "boosts": [boost]},
        geo=limits(member_storage="10G", group_storage="90G"),
    )
    members = {"pat": ("geo", "club"), "kim": ("club",)}
    found = all_allowed(some, by_groups(members), NOW, UTC).limits()
    assert found.users == {"pat": 10 * GIB, "kim": None, "ann": 7 * GIB}
    assert found.groups == {"geo": 90 * GIB, "club": None, "default": None}
    assert found.otherwise == GIB
    for user, mine in members.items():
        assert found.users[user] == home(some, *mine, user=user)


# -- soft limits ------------------------------------------------------------------------------


def test_a_soft_limit_holds_as_the_hard_one_after_its_grace():
    limit = parse_limit("geo", "member.storage", "12G soft 10G for 7d")
    assert enforced(limit, None, NOW) == 12 * GIB
    assert enforced(limit, NOW, NOW + 7 * DAY - 1) == 12 * GIB
    assert enforced(limit, NOW, NOW + 7 * DAY) == 10 * GIB
    assert enforced(parse_limit("geo", "member.storage", "12G"), NOW, NOW + 7 * DAY) == 12 * GIB


def test_on_the_way_up_the_smallest_soft_limit_holds_with_its_own_grace():
    some = policy(
        uni=limits(member_storage="20G soft 8G for 1d"),
        uni__geo=limits(member_storage="12G soft 10G for 30d"),
    )
    found = home_of(some, "pat", ["uni/geo"], NOW, UTC)
    assert (found.amount, found.limit.soft) == (12 * GIB, Soft(8 * GIB, DAY))


def test_one_that_is_no_less_than_a_hard_limit_above_says_nothing():
    some = policy(
        uni=limits(member_storage="10G"), uni__geo=limits(member_storage="12G soft 10G for 30d")
    )
    found = home_of(some, "pat", ["uni/geo"], NOW, UTC)
    assert (found.amount, found.limit.soft) == (10 * GIB, None)


def test_of_several_groups_the_one_holds_that_lets_keep_most():
    some = policy(
        geo=limits(member_storage="12G soft 10G"),
        bio=limits(member_storage="11G"),
        art=limits(member_storage="13G soft 10G"),
    )
    assert home_of(some, "pat", ["geo", "bio"], NOW, UTC).group == "bio"
    assert home_of(some, "pat", ["geo", "art"], NOW, UTC).group == "art"


def test_a_boost_holds_as_it_is_written():
    def boosted(amount: str):
        boost = {"limit": "member.storage", "amount": amount, "until": "2027-02-01"}
        some = policy(geo={**limits(member_storage="12G soft 10G"), "boosts": [boost]})
        return home_of(some, "pat", ["geo"], NOW, UTC).limit

    assert boosted("20G").lasting == 20 * GIB
    assert boosted("20G soft 15G for 2d").soft == Soft(15 * GIB, 2 * DAY)


def test_only_what_is_above_for_too_long_is_held():
    some = policy(
        geo=limits(member_storage="12G soft 10G for 7d", group_storage="50G soft 40G for 1d"),
        bio=limits(member_storage="5G"),
    )
    members = {("geo",): ["pat", "kim", "sam"], ("bio",): ["bob"]}
    found = all_allowed(some, members, NOW, UTC)
    of_geo = {("user", name): 10 * GIB for name in ("pat", "kim", "sam")}
    assert found.softs == {**of_geo, ("group", "geo"): 40 * GIB}
    above = {
        ("user", "pat"): NOW - 8 * DAY,
        ("user", "kim"): NOW - 6 * DAY,
        ("user", "bob"): NOW - 9 * DAY,
        ("user", "gone"): NOW - 9 * DAY,
        ("group", "geo"): NOW - 2 * DAY,
    }
    held = found.held(above, NOW)
    assert held == {("user", "pat"): 10 * GIB, ("group", "geo"): 40 * GIB}
    told = found.limits(held)
    assert told.users == {"pat": 10 * GIB, "kim": 12 * GIB, "sam": 12 * GIB, "bob": 5 * GIB}
    assert told.groups == {"geo": 40 * GIB, "bio": None}


sizes = st.integers(1, 6)
written = st.builds(
    lambda hard, soft, days: f"{hard}G soft {soft}G for {days}d" if soft < hard else f"{hard}G",
    sizes,
    st.integers(1, 9),
    sizes,
)


@given(st.lists(written, min_size=1, max_size=4), st.none() | st.integers(0, 9))
def test_no_limit_on_the_way_up_is_exceeded_for_good(texts, days):
    """Whatever stands on the way up: hard limits always hold, soft ones after the longest grace,
    and none of them cuts off more than it says."""
    names = ["/".join("abcd"[: depth + 1]) for depth in range(len(texts))]
    some = parse_policy(
        {
            "groups": {
                name: limits(member_storage=text) for name, text in zip(names, texts, strict=True)
            }
        }
    )
    each = [parse_limit("", "member.storage", text) for text in texts]
    held = allowed_in(some, names[-1], "member", "pat", NOW, UTC)
    told = enforced(held, None if days is None else NOW - days * DAY, NOW)
    hard, lasting = (min(getattr(one, name) for one in each) for name in ("amount", "lasting"))
    assert lasting <= told <= hard
    if days is None:
        assert told == hard
    if days is not None and days >= 6:
        assert told == lasting


# -- changes ----------------------------------------------------------------------------------


def test_who_has_seen_some_gets_the_rest():
    changes = Changes()
    assert changes.update(Limits({"pat": 1, "kim": 2}, {"geo": 3}, 4))
    seen = changes.number
    assert not changes.update(Limits({"pat": 1, "kim": 2}, {"geo": 3}, 4))
    assert changes.since(seen) == Limits({}, {}, 4)
    assert changes.update(Limits({"pat": 5, "kim": 2}, {"geo": 3}, 4))
    assert changes.since(seen) == Limits({"pat": 5}, {}, 4)
    assert changes.since(changes.number) == Limits({}, {}, 4)


def test_who_is_gone_has_what_anybody_else_has():
    changes = Changes()
    changes.update(Limits({"pat": 10}, {"geo": 20}, 3))
    seen = changes.number
    changes.update(Limits({}, {}, 3))
    assert changes.since(seen) == Limits({"pat": 3}, {"geo": None}, 3)


def test_one_who_is_gone_follows_what_anybody_else_has():
    changes = Changes()
    changes.update(Limits({"pat": 10}, {}, 3))
    changes.update(Limits({}, {}, 3))
    seen = changes.number
    changes.update(Limits({}, {}, 4))
    assert changes.since(seen) == Limits({"pat": 4}, {}, 4)


amounts = st.none() | st.integers(0, 3)
states = st.builds(
    Limits,
    st.dictionaries(st.sampled_from("abcd"), amounts),
    st.dictionaries(st.sampled_from("xy"), amounts),
    amounts,
)


@given(st.lists(states, min_size=1, max_size=8), st.data())
def test_whoever_missed_some_ends_up_with_all(steps, data):
    """An agent that adds what it hears, however rarely it asks, has what one has that asked at the
    end."""
    changes = Changes()
    users: dict[str, int | None] = {}
    groups: dict[str, int | None] = {}
    number = 0
    for step in steps:
        changes.update(step)
        if data.draw(st.booleans()):
            heard = changes.since(number)
            users.update(heard.users)
            groups.update(heard.groups)
            number = changes.number
    heard = changes.since(number)
    users.update(heard.users)
    groups.update(heard.groups)
    assert (users, groups) == (changes.limits.users, changes.limits.groups)
    last = steps[-1]
    assert {name: users[name] for name in last.users} == last.users
    assert all(users[name] == last.otherwise for name in users.keys() - last.users.keys())
    assert heard.otherwise == last.otherwise


@pytest.mark.parametrize("text", ["10G", "1.5T", "512M"])
def test_storage_is_written_as_memory_is(text):
    assert home(policy(geo=limits(member_storage=text)), "geo")
