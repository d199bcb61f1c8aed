"""Who may see and change what, without a hub."""

from __future__ import annotations

import pytest

from hub_quotas.access import (
    ACT,
    ADMIN,
    MANAGE,
    METRICS,
    READ,
    RESERVE,
    STORAGE,
    NotAllowed,
    Who,
    access_of,
    check_changes,
    room,
)
from hub_quotas.changes import edited, put
from hub_quotas.limits import parse_limit
from hub_quotas.policy import Policy, parse_policy

POLICY = parse_policy(
    {
        "plans": {"small": {"limits": {"group.gpu": 1}}, "huge": {"limits": {"group.gpu": 9}}},
        "prices": [{"since": "2026-01-01", "cpu": 1}],
        "groups": {
            "*": {"limits": {"server.memory": "64G"}},
            "a": {
                "managers": ["ada"],
                "limits": {"group.gpu": 4, "group.gpu-hours": "200 per month"},
            },
            "a/b": {"managers": ["bo"], "limits": {"member.servers": 2}},
            "a/b/c": {},
            "z": {},
        },
    }
)


def who(name: str, *scopes: str, admin: bool = False, by_token: bool = False):
    model = {"name": name, "admin": admin, "scopes": list(scopes)}
    return access_of(model, by_token, ["z"], POLICY.managed_by(name))


def test_a_manager_manages_what_is_below_and_sees_nothing_else():
    ada, bo = who("ada"), who("bo")
    assert [g for g in POLICY.groups if ada.manages(POLICY, g)] == ["a", "a/b", "a/b/c"]
    assert [g for g in POLICY.groups if bo.sees(POLICY, g)] == ["a/b", "a/b/c"]
    assert not who("sam").may(Who.MANAGES_ANY, POLICY)
    assert bo.may(Who.MANAGES_ANY, POLICY)
    assert not bo.may(Who.READS, POLICY)


def test_scopes_of_the_hub_give_roles():
    assert who("x", ADMIN).admin
    assert who("x", READ).sees(POLICY, "z")
    assert not who("x", READ).manages(POLICY, "z")
    tutor = who("x", f"{MANAGE}!group=a/b")
    assert tutor.manages(POLICY, "a/b/c")
    assert not tutor.manages(POLICY, "a")
    assert who("x", MANAGE).manages(POLICY, "z"), "without a filter, of all groups"


def test_a_token_acts_only_where_it_says_so():
    assert who("root", admin=True).admin
    assert not who("root", admin=True, by_token=True).admin
    assert who("root", ACT, admin=True, by_token=True).admin
    assert not who("ada", by_token=True).manages(POLICY, "a")
    assert not who("ada", by_token=True).may(Who.MANAGES_ANY, POLICY)
    assert who("ada", ACT, by_token=True).manages(POLICY, "a")
    narrow = who("ada", f"{MANAGE}!group=z", by_token=True)
    assert narrow.manages(POLICY, "z")
    assert not narrow.manages(POLICY, "a"), "which ada manages, but not by this token"
    assert not narrow.sees(POLICY, "a")


MAY = {  # of group a
    "sam": {Who.USER},
    "ada": {Who.USER, Who.SEES, Who.MANAGES, Who.MANAGES_ANY},
    "bo": {Who.USER, Who.MANAGES_ANY},
    READ: {Who.USER, Who.SEES, Who.READS, Who.MANAGES_ANY, Who.SCRAPES},
    ADMIN: set(Who) - {Who.RESERVES, Who.STORES},
    MANAGE: {Who.USER, Who.SEES, Who.MANAGES, Who.MANAGES_ANY},
    METRICS: {Who.USER, Who.SCRAPES},
    RESERVE: {Who.USER, Who.RESERVES},
    STORAGE: {Who.USER, Who.STORES},
}


@pytest.mark.parametrize(("name", "may"), MAY.items(), ids=MAY)
def test_who_may_what(name, may):
    access = who("x", name) if ":" in name else who(name)
    assert {one for one in Who if access.may(one, POLICY, "a")} == may


@pytest.mark.parametrize(
    ("name", "group", "key", "gives", "most"),
    [
        ("ada", "a", "group.gpu", False, "4"),  # what a was given is not hers to give
        ("ada", "a", "member.gpu", True, "4"),
        ("ada", "a/b", "group.gpu", True, "4"),
        ("ada", "a/b", "server.memory", True, "64G"),
        ("ada", "z", "member.gpu", False, None),
        ("bo", "a/b", "group.gpu", False, "4"),
        ("bo", "a/b", "member.servers", True, None),
        ("root", "a", "group.gpu", True, None),
        ("root", "a", "member.gpu", True, "4"),
        ("root", "a/b", "group.gpu", True, "4"),
    ],
)
def test_who_may_give_more_of_what_and_how_much_there_is(name, group, key, gives, most):
    access = who(name, admin=name == "root")
    amount = "1G" if key == "server.memory" else "1"
    limit = parse_limit(group, key, amount)
    assert access.gives(POLICY, limit) == gives
    found = room(access, POLICY, limit)
    assert (found.text if found else None) == most


def test_an_admin_who_manages_a_group_too_is_bound_by_nothing():
    assert who("ada", ADMIN).ceiling_group(POLICY, "a") is None
    assert who("ada").ceiling_group(POLICY, "a/b/c") == "a"


def test_what_is_beyond_already_does_not_keep_anything_else_from_being_changed():
    beyond = {"limit": "member.gpu", "amount": 9, "until": "2030-01-01"}
    lent = entry("a/b", limits={"member.gpu": 7, "member.servers": 2}, boosts=[beyond])
    after = edited(lent, "a/b", "member.servers", 3)
    check_changes(who("ada"), lent, after)
    with pytest.raises(NotAllowed, match="nobody below can have 8 GPUs"):
        check_changes(who("ada"), lent, edited(after, "a/b", "member.gpu", 8))


@pytest.mark.parametrize(
    ("group", "key", "value", "why"),
    [
        ("a", "group.gpu", 9, "What a has as a whole is set by who manages the group above it"),
        ("a", "group.gpu", None, "What a has as a whole"),
        ("a", "group.cpu", 1, "What a has as a whole"),
        ("a", "member.gpu", 5, "member.gpu: a has 4 GPUs itself, so nobody below can have 5 GPUs"),
        ("a/b", "group.gpu", 5, "group.gpu: a has 4 GPUs itself"),
        ("a/b", "member.gpu-hours", "201 per month", "a has 200 GPU-hours itself"),
        ("a/b/c", "server.memory", "65G", "server.memory: this hub has 64 GiB itself"),
        ("z", "member.servers", 1, "You do not manage z"),
        ("*", "member.servers", 1, "You do not manage"),
    ],
)
def test_a_manager_does_not_exceed_what_they_were_given(group, key, value, why):
    with pytest.raises(NotAllowed, match=why):
        check_changes(who("ada"), POLICY, edited(POLICY, group, key, value))


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("a", "member.gpu", 4),
        ("a", "member.servers", 3),
        ("a/b", "group.gpu", 4),
        ("a/b", "member.gpu-hours", "200 per month"),
        ("a/b", "member.gpu-hours", "500 per 7d"),  # another window: both hold
        ("a/b", "member.servers", None),
        ("a/b/c", "server.memory", "64G"),
    ],
)
def test_within_that_they_are_free(group, key, value):
    check_changes(who("ada"), POLICY, edited(POLICY, group, key, value))
    check_changes(who("root", admin=True), POLICY, edited(POLICY, group, key, 10**9 and value))


def entry(group: str, **fields) -> Policy:
    return put(POLICY, {("group", group): fields})


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (entry("a/b", managers=["bo"], limits={"member.servers": 2}, plan="huge"), "group.gpu"),
        (
            entry("a/b", managers=["bo"], limits={"member.servers": 2}, parent="z"),
            "move groups|not",
        ),
        (entry("a/b", managers=["bo"], limits={"member.servers": 2}, priority=9), "move groups"),
        (entry("a", managers=["ada", "eve"], limits={"group.gpu": 4}), "Plan and managers of a"),
        (put(POLICY, {("plan", "small"): {"limits": {}}}), "Only admins of this hub change plans"),
        (put(POLICY, {("prices", ""): []}), "Only admins of this hub change plans and prices"),
        (entry("z", parent="a"), "You do not manage z"),
        (
            entry(
                "a",
                managers=["ada"],
                limits={"group.gpu": 4, "group.gpu-hours": "200 per month"},
                boosts=[{"limit": "group.gpu", "amount": 9, "until": "2030-01-01"}],
            ),
            "What a has as a whole",
        ),
        (
            entry(
                "a/b",
                managers=["bo"],
                limits={"member.servers": 2, "member.gpu": 1},
                boosts=[
                    {"limit": "member.gpu", "amount": 9, "until": "2030-01-01", "member": "sam"}
                ],
            ),
            "nobody below can have 9 GPUs",
        ),
    ],
)
def test_other_ways_to_more_are_closed_too(after, why):
    with pytest.raises(NotAllowed, match=why):
        check_changes(who("ada"), POLICY, after)


def test_a_manager_gives_plans_and_managers_to_the_groups_below():
    check_changes(
        who("ada"),
        POLICY,
        entry("a/b", managers=["eve"], limits={"member.servers": 2}, plan="small"),
    )
    check_changes(who("ada"), POLICY, entry("a/new", limits={"group.gpu": 2}))


def test_a_token_that_may_not_act_changes_nothing():
    with pytest.raises(NotAllowed, match="needs the scope custom:quotas:act"):
        check_changes(who("ada", by_token=True), POLICY, edited(POLICY, "a", "member.gpu", 1))
