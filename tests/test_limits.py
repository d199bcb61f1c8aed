"""Limits and policies: what is read, and what is said of a wrong one."""

from __future__ import annotations

import pytest
import yaml
from hubs import ROOT

from hub_quotas.limits import Limit, LimitError, changes, covers, parse_limit, parse_policy, path


def test_a_policy():
    text = "groups: {/geo/101/: {limits: {member.servers: 2, server.memory: 8G, group.cpu: 0.5}}}"
    assert parse_policy(yaml.safe_load(text)) == (
        Limit("geo/101", "group", "cpu", 500),
        Limit("geo/101", "member", "servers", 2),
        Limit("geo/101", "server", "memory", 8 * 2**30),
    )
    assert parse_policy(None) == ()
    assert len(parse_policy(yaml.safe_load((ROOT / "examples/demo/quotas.yaml").read_text()))) == 8


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"group": {}}, "nothing called 'group' here. Did you mean 'groups'?"),
        ({"groups": ["a"]}, "groups: expected 'key: value' lines"),
        ({"groups": {"a": {"limit": {}}}}, "a: there is nothing called 'limit' here."),
        ({"groups": {"": {}}}, "'' is not the name of a group"),
        ({"groups": {"a//b": {}}}, "'a//b' is not the name of a group"),
        (
            {"groups": {"a": {"limits": {"member.server": 1}}}},
            "a · member.server: there is no limit of that name. Did you mean 'member.servers'?",
        ),
        ({"groups": {"a": {"limits": {"server.servers": 1}}}}, "no limit of that name"),
        ({"groups": {"a": {"limits": {"member.cpu": None}}}}, "a · member.cpu: the amount is mis"),
        ({"groups": {"a": {"limits": {"member.cpu": True}}}}, "the amount is missing"),
        ({"groups": {"a": {"limits": {"member.cpu": "lots"}}}}, "a · member.cpu: 'lots' is not"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_place(document, said):
    with pytest.raises(LimitError) as error:
        parse_policy(document)
    assert said in str(error.value)


def test_the_tree():
    assert path("a/b/c") == ("a/b/c", "a/b", "a")
    assert covers("a", "a/b") and covers("a", "a") and not covers("a", "ab")


def test_changes():
    one, two = parse_limit("a", "member.servers", 1), parse_limit("a", "member.servers", 2)
    other = parse_limit("b", "group.cpu", 1)
    assert changes([one], [one]) == []
    assert changes([one], [two, other]) == [(one, two), (None, other)]
    assert changes([one], []) == [(one, None)]
