"""Rules on trial: what pasted claims are taken for, and what a login would change."""

from __future__ import annotations

import json

import pytest

from hub_groups.rules import parse_rules
from hub_groups.said import apply_rules
from hub_groups.trial import ClaimsError, between, change_for, read_claims
from hub_groups.trial_process import Question, TrialError, try_rules

KEYCLOAK = {"preferred_username": "ada", "groups": ["/geo"]}


@pytest.mark.parametrize(
    ("pasted", "assumed"),
    [
        ({"name": "ada", "auth_state": {"oauth_user": KEYCLOAK}}, ""),
        ({"name": "ada", "kind": "user", "auth_state": {"oauth_user": KEYCLOAK}}, ""),
        ({"access_token": "x", "oauth_user": KEYCLOAK}, "Taken for the auth_state of a login."),
        ({"oauth_user": KEYCLOAK}, "Taken for the auth_state of a login."),
        (KEYCLOAK, "Taken for the userinfo of a provider, which is at auth_state.oauth_user."),
    ],
)
def test_what_claims_are_taken_for(pasted, assumed):
    found = read_claims(json.dumps(pasted))
    assert found.assumed == assumed
    assert found.model["name"] == "ada"
    assert found.model["auth_state"]["oauth_user"] == KEYCLOAK


def test_a_hub_that_keeps_no_auth_state_is_named():
    assert "no auth_state" in read_claims('{"name": "ada", "auth_state": null}').assumed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{\n'a': 1}", "Claims, line 2: this is not JSON: "),
        ("[]", "Claims are an object, such as "),
        ("{}", "Claims are an object, such as "),
        ("[" * 100_000, "Claims: this is not JSON that can be read."),
        ("9" * 10_000, "Claims: this is not JSON that can be read."),
    ],
)
def test_claims_that_can_not_be_used(text, why):
    with pytest.raises(ClaimsError, match=why.replace("(", r"\(")):
        read_claims(text)


def test_a_change_is_added_removed_and_changed():
    change = between(
        {"a": "member", "b": "member", "c": "manager"}, {"b": "manager", "d": "member"}
    )
    assert (change.added, change.removed, change.changed, change.same) == (
        {"d": "member"},
        {"a": "member", "c": "manager"},
        {"b": "manager"},
        0,
    )


def test_what_is_not_said_is_kept_and_parents_count():
    rules = parse_rules([{"claim": "groups"}, {"claim": "auth_state.none"}])
    said = apply_rules(rules, {"groups": ["a/b"]})
    change = change_for(said, {"old": "member"}, parents=True)
    assert (change.added, change.removed, change.same) == ({"a": "member", "a/b": "member"}, {}, 1)


def test_in_a_process_of_its_own_it_is_the_same():
    found = try_rules(Question("- preset: keycloak", json.dumps(KEYCLOAK), (), {"old": "member"}))
    assert found["groups"] == {"geo": "member"}
    assert found["change"]["removed"] == {"old": "member"}
    only_there = "- {claim: auth_state.oauth_user.groups, create: false}"
    assert try_rules(Question(only_there, KEYCLOAK, ["geo"]))["groups"] == {"geo": "member"}
    assert try_rules(Question(only_there, KEYCLOAK))["groups"] == {}
    odd = {"name": "\ud800", "auth_state": {"oauth_user": {"groups": ["\ud800", "\u202e"]}}}
    assert try_rules(Question("- preset: keycloak", odd))["rules"]


@pytest.mark.parametrize(
    ("rules", "claims", "of", "why"),
    [
        ("- preset: x", KEYCLOAK, "rules", "Rules, line 1: rule 1, preset: 'x' is not a preset"),
        ([{"preset": "x"}], KEYCLOAK, "rules", "rule 1, preset: 'x' is not a preset"),
        ("[]", "{", "claims", "Claims, line 1: this is not JSON"),
    ],
)
def test_what_is_wrong_is_said(rules, claims, of, why):
    with pytest.raises(TrialError, match=why) as caught:
        try_rules(Question(rules, claims))
    assert caught.value.of == of
