"""Rules: from the claims of a login to groups."""

from __future__ import annotations

import json
import string
import time
from typing import Any

import pytest
import yaml
from hubs import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_groups.documents import FileError
from hub_groups.memberships import MANAGER, MEMBER
from hub_groups.presets import PRESETS
from hub_groups.rule_files import parse_rules_text, read_rules
from hub_groups.rules import RuleError, parse_rules
from hub_groups.said import (
    LONGEST_VALUE,
    MOST_GROUPS,
    MOST_VALUES,
    Said,
    apply_rules,
    with_parents,
)
from hub_quotas.policy import group_name


def claims(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "tests" / "claims" / f"{name}.json").read_text())


def say(rule: dict[str, Any] | list[dict[str, Any]], model: dict[str, Any], existing=()) -> Said:
    return apply_rules(parse_rules(rule if isinstance(rule, list) else [rule]), model, existing)


def groups(value: Any, existing=(), **rule: Any) -> dict[str, str]:
    """What a claim with this value comes to."""
    return dict(
        say({"claim": "auth_state.x", **rule}, {"auth_state": {"x": value}}, existing).groups
    )


# -- presets ------------------------------------------------------------------------------------

LAB, GPU, CLUB = "earth-lab", "gpu-users", "ocean-club"
SEIS = "earth-lab/seismology"
ENTRA = ["0760b6cf-170e-4a14-91b3-4b78e0739963", "9d1a8f5e-7c55-4b1c-8c3e-2a2b0f6a1d10"]
GLOBUS = ["2bfbc9ea-6d21-11e4-9a9a-22000a971261", "d8a5f1c2-6d21-11e4-9a9a-22000a971261"]
EXPECTED = {
    "github": {
        **dict.fromkeys([LAB, SEIS, f"{LAB}/{GPU}", CLUB, f"{CLUB}/sailors"], MEMBER),
    },
    "gitlab": {LAB: MEMBER, SEIS: MANAGER, CLUB: MEMBER},
    "google": {LAB: MEMBER, GPU: MEMBER},
    "entra": dict.fromkeys(ENTRA, MEMBER),
    "keycloak": dict.fromkeys([LAB, SEIS, CLUB], MEMBER),
    "cilogon": {"Ocean Club": MEMBER, "Seismology": MANAGER, GPU: MEMBER},
    "globus": dict.fromkeys(GLOBUS, MEMBER),
    "lti13": {"GEO 101": MANAGER},
    "ldap": {LAB: MEMBER, GPU: MEMBER},
}


def test_each_preset_is_tried():
    assert set(EXPECTED) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_makes_of_its_providers_claims(preset):
    said = say({"preset": preset}, claims(preset))
    assert said.groups == EXPECTED[preset]
    assert said.unsaid == ()
    assert said.left_out == ()


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_takes_anything_away_where_its_claims_are_missing(preset):
    for model in ({"name": "ada"}, {"auth_state": None}, {"auth_state": {"access_token": "x"}}):
        said = say({"preset": preset}, model)
        assert said.unsaid
        assert said.after({"geo": MANAGER}) == {"geo": MANAGER}


def test_ids_get_names_and_those_without_one_are_reported():
    entry = {"preset": "entra", "names": {ENTRA[0]: LAB}}
    said = say(entry, claims("entra"))
    assert said.groups == {LAB: MEMBER}
    assert [each.why for each in said.steps[0].outcomes] == ["", "it is not in `names`"]
    assert groups([7], names={7: "seven"}) == {"seven": MEMBER}


def test_a_preset_can_be_narrowed_and_moved():
    entry = {"preset": "github", "match": "earth-lab(/.*)?", "group": "github/{value}"}
    found = say(entry, claims("github")).groups
    assert set(found) == {f"github/{each}" for each in (LAB, SEIS, f"{LAB}/{GPU}")}


def test_an_overage_says_so_and_takes_nothing_away():
    for optional in (False, True):
        said = say({"preset": "entra", "optional": optional}, claims("entra-overage"))
        (sentence,) = said.unsaid
        assert "too many groups" in sentence and "overage" in sentence
        assert "only the groups that are assigned" in sentence
        assert said.after({LAB: MEMBER}) == {LAB: MEMBER}
    short = {"auth_state": {"user": {"hasgroups": "true"}}}
    assert "overage" in say({"preset": "entra"}, short).unsaid[0]
    roles = say({"claim": "auth_state.user.roles"}, claims("entra-overage"))
    assert "overage" not in roles.unsaid[0]


@pytest.mark.parametrize("where", ["institution/person", "membership/Learner"])
def test_teaching_elsewhere_manages_no_course(where):
    model = claims("lti13")
    key = "https://purl.imsglobal.org/spec/lti/claim/roles"
    model["auth_state"][key] = [f"http://purl.imsglobal.org/vocab/lis/v2/{where}#Instructor"]
    assert say({"preset": "lti13"}, model).groups == {"GEO 101": MEMBER}
    model["auth_state"][key] = [
        "http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant"
    ]
    assert say({"preset": "lti13"}, model).groups == {"GEO 101": MANAGER}


def test_a_course_without_a_label_has_its_title_or_its_id():
    model = claims("lti13")
    context = model["auth_state"]["https://purl.imsglobal.org/spec/lti/claim/context"]
    for gone, rest in (("label", "title"), ("title", "id")):
        del context[gone]
        assert set(say({"preset": "lti13"}, model).groups) == {context[rest]}


def test_a_launch_of_one_course_leaves_the_others():
    model = claims("lti13")
    said = say({"preset": "lti13"}, model)
    assert said.after({"GEO 202": MEMBER}) == {"GEO 101": MANAGER, "GEO 202": MEMBER}
    model["auth_state"]["https://purl.imsglobal.org/spec/lti/claim/roles"] = []
    said = say({"preset": "lti13"}, model)
    assert said.after({"GEO 101": MANAGER}) == {"GEO 101": MEMBER}, "of its own course it knows"


def test_memberships_in_one_string():
    model = claims("cilogon")
    user = model["auth_state"]["cilogon_user"]
    user["isMemberOf"] = ";".join(user["isMemberOf"])
    assert say({"preset": "cilogon"}, model).groups == EXPECTED["cilogon"]
    user["isMemberOf"] = ""
    assert (say({"preset": "cilogon"}, model).groups, user) == ({}, user)


# -- what claims may be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("a", ["a"]),
        (7, ["7"]),
        (2026.0, ["2026"]),
        ([], []),
        ("", []),
        (["a", "b", "a"], ["a", "b"]),
        (("a", 1), ["a", "1"]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({"a"}), ["a"]),
        ([["a"], ["b", None]], ["a", "b"]),
        (["/a/b/", " /c "], ["a/b", "c"]),
        ([" ", "a"], ["a"]),
    ],
)
def test_what_a_claim_may_be(value, names):
    assert list(groups(value)) == names


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "auth_state has no x; it has: x."),
        (True, "gives true or false, which belongs into `when`"),
        ({"b": 1, "a": 2}, "an object (it has: a, b), of which the claim has to name a part"),
        ([{"name": "a"}], "a list with an object (it has: name)"),
        ([[["a"]]], "lists in lists in a list"),
        (b"a", "something else (bytes)"),
        (float("nan"), "something else (float)"),
        ([None, None], "the claim is missing"),
    ],
)
def test_a_missing_or_malformed_claim_is_no_empty_list(value, said):
    result = say({"claim": "auth_state.x"}, {"auth_state": {"x": value}})
    assert said in result.unsaid[0]
    assert result.unsaid[0].startswith("Rule 1: ")
    assert result.after({"a": MANAGER}) == {"a": MANAGER}


def test_an_optional_claim_that_is_absent_means_none():
    entry = {"claim": "auth_state.x", "optional": True}
    said = say(entry, {"auth_state": {"y": 1}})
    assert (said.unsaid, said.keeps, said.after({"a": MEMBER})) == ((), False, {})
    assert say(entry, {"auth_state": {"x": {}}}).unsaid, "malformed is not absent"


def test_the_sentence_says_how_far_the_path_leads():
    model = {"auth_state": {"user": {"sub": 1, "email": "x", "groups": None, "flat": "a"}}}
    for claim, said in (
        ("oauth_user.groups", "this login has no oauth_user; it has: auth_state"),
        ("auth_state.user.teams", "auth_state.user has no teams; it has: email, flat, groups, sub"),
        ("auth_state.user.flat.name", "auth_state.user.flat has no name, as it is no object"),
        ('auth_state."a b"', "auth_state has no a b; it has: user"),
        ("auth_state.user.teams[].name", "gives nothing for this login"),
        ("join('/', auth_state.teams)", "can't be answered from these claims: "),
    ):
        assert said in say({"claim": claim}, model).unsaid[0], claim


def test_nothing_secret_is_said():
    model = {"auth_state": {"access_token": "hunter2", "id_token": "hunter3"}}
    said = say([{"preset": name} for name in PRESETS], model)
    assert "hunter" not in " ".join(said.unsaid)


# -- when, match, group -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("contains(auth_state.roles, 'staff')", True),
        ("contains(auth_state.roles, 'nobody')", False),
        ("auth_state.roles[?@ == 'staff']", True),
        ("auth_state.roles[?@ == 'nobody']", False),
        ("auth_state.zero", True),  # as JMESPath has it
        ("auth_state.empty", False),
        ("auth_state.no", False),
        ("auth_state.absent", None),
        ("contains(auth_state.absent, 'staff')", None),
    ],
)
def test_when(when, holds):
    state = {"x": "a", "roles": ["staff"], "zero": 0, "empty": "", "no": False}
    entry = {"claim": "auth_state.x", "when": when}
    said = say(entry, {"auth_state": state})
    assert bool(said.groups) == (holds is True)
    assert bool(said.unsaid) == (holds is None)
    assert bool(said.steps[0].skipped) == (holds is False)
    assert not say({**entry, "optional": True}, {"auth_state": state}).unsaid


def test_match_takes_the_whole_string_and_gives_parts():
    rule = {"match": r"course-(?P<term>\d+)-(?P<name>\w+)(-(?P<part>\w+))?"}
    found = groups(
        ["course-26-geo", "course-26-bio-x", "my-course-26-geo", "course-26-geo\n"],
        group="/courses/{term}/{name}/{part}",
        **rule,
    )
    assert list(found) == ["courses/26/geo", "courses/26/bio/x"]
    assert list(groups(["hub-a", "b"], match="hub-(?P<value>.*)")) == ["a"]
    assert list(groups(["hub-a", "b"], match="hub-.*")) == ["hub-a"]


def test_braces_in_a_claim_are_just_signs():
    assert list(groups(["{term}", "{0.__class__}"], match="(?P<term>.*)", group="{term}")) == [
        "{term}",
        "{0.__class__}",
    ]


def test_a_manager_stays_one():
    both = [
        {"claim": "auth_state.x", "role": "manager"},
        {"claim": "auth_state.x"},
    ]
    model = {"auth_state": {"x": ["a"]}}
    assert say(both, model).groups == say(both[::-1], model).groups == {"a": MANAGER}


def test_only_groups_that_exist():
    asked = []

    def exists(group: str) -> bool:
        asked.append(group)
        return group == "a"

    for existing in (exists, {"a"}, ["a"]):
        assert groups(["a", "b"], existing, create=False) == {"a": MEMBER}
    assert asked == ["a", "b"]
    said = say({"claim": "name", "create": False}, {"name": "b"})
    assert said.steps[0].outcomes[0].why == "there is no group b, and the rule creates none"


def test_a_group_for_everybody():
    assert say({"claim": "name", "group": "all-users"}, {"name": "b"}).groups == {
        "all-users": MEMBER
    }


def test_names_that_no_group_can_have_are_left_out():
    wrong = ["/", "a//b", "a\nb", "a\x00", "\ud800", "x" * 256, "y" * (LONGEST_VALUE + 1)]
    said = say({"claim": "auth_state.x"}, {"auth_state": {"x": [*wrong, "z" * 255]}})
    assert list(said.groups) == ["z" * 255]
    assert len(said.left_out) == len(wrong)
    assert all(sentence.isprintable() for sentence in said.left_out)


def test_a_login_has_only_so_many_groups():
    said = say({"claim": "auth_state.x"}, {"auth_state": {"x": [*range(MOST_GROUPS + 2)]}})
    assert len(said.groups) == MOST_GROUPS
    assert said.left_out[0].endswith("this login has 1,000 groups already.")
    assert len(said.left_out) == 2
    much = say({"claim": "auth_state.x", "match": "a"}, {"auth_state": {"x": [*range(20_000)]}})
    assert said.left_out and len(much.steps[0].outcomes) == MOST_VALUES + 1


def test_parents():
    assert with_parents({"a/b/c": MANAGER, "a": MANAGER, "d": MEMBER}) == {
        "a": MANAGER,
        "a/b": MEMBER,
        "a/b/c": MANAGER,
        "d": MEMBER,
    }


# -- any claims at all --------------------------------------------------------------------------

KEYS = st.sampled_from(["name", "groups", "auth_state", "x", "user", "teams", "_claim_names"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary()
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.text(max_size=3) | st.integers(), max_size=3)
        | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)
RULES = parse_rules(
    [
        *({"preset": name} for name in PRESETS),
        {"claim": "groups"},
        {"claim": "auth_state.x", "match": "(?P<a>.)(?P<b>.*)", "group": "{a}/{b}"},
        {"claim": "auth_state.*.x[]", "when": "sum(auth_state.*.user) > `1`", "split": "a"},
        {"claim": "sort(auth_state.x)", "optional": True, "create": False},
        {"claim": "ceil(auth_state.x)", "when": "auth_state.user"},
        {"claim": "to_string(@)", "match": "(?s).*(?P<value>.{3}).*"},
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text reads all of Unicode
@given(st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_no_claims_make_it_raise_and_all_groups_can_be_named(model):
    before = repr(model)
    said = apply_rules(RULES, model, lambda group: len(group) % 2 == 0)
    assert repr(model) == before
    assert [step.number for step in said.steps] == [*range(1, len(RULES) + 1)]
    for group, role in said.groups.items():
        assert group_name(group) == group
        assert role in (MEMBER, MANAGER)
    for step in said.steps:
        assert not (step.unsaid and step.outcomes)
        assert all(outcome.group or outcome.why for outcome in step.outcomes)
    assert said.groups.items() <= said.after({"earlier": MANAGER}).items()
    assert all(sentence.isprintable() for sentence in (*said.unsaid, *said.left_out))
    assert set(with_parents(said.groups)) >= set(said.groups)


@given(ANYTHING)
def test_an_optional_rule_differs_only_where_the_claim_is_absent(value):
    model = {"auth_state": {"x": value}}
    firm, loose = (say({"claim": "auth_state.x", "optional": o}, model) for o in (False, True))
    assert firm.groups == loose.groups
    if firm.unsaid != loose.unsaid:
        assert "the claim is missing" in firm.unsaid[0]


def test_claims_as_deep_as_they_come():
    deep: Any = "a"
    for _ in range(5_000):
        deep = [deep]
    assert say({"claim": "auth_state.x"}, {"auth_state": {"x": deep}}).unsaid


# -- how rules are written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"claims": "x"}, "rule 1, claims: there is no such key; did you mean 'claim'?"),
        ({"claim": "x", "zzz": 1}, "rule 1, zzz: there is no such key; there are: claim, match,"),
        ({"group": "x"}, "rule 1: there is no claim; add one"),
        ({"claim": 7}, "rule 1, claim: '7' is not text"),
        ({"claim": " "}, "rule 1, claim: this is empty"),
        ({"claim": "a." + "b" * 2000}, "rule 1, claim: longer than 2,000 characters"),
        ({"claim": "auth_state."}, "rule 1, claim: not a JMESPath expression"),
        ({"claim": "auth_state.is-member"}, "near '-member'"),
        ({"claim": "a[?"}, "not a JMESPath expression"),
        ({"claim": "(" * 2000}, "not a JMESPath expression"),
        ({"claim": "contain(a, 'b')"}, "no function contain(); did you mean contains()?"),
        ({"claim": "a", "when": "zzz(a)"}, "rule 1, when: JMESPath has no function zzz(); it has:"),
        ({"claim": "a", "match": "("}, "rule 1, match: not a regular expression: missing )"),
        ({"claim": "a", "match": "(?P<x>a)(?P<x>b)"}, "redefinition of group name 'x'"),
        ({"claim": "a", "match": "(a+)+b"}, "'(a+)+' repeats what repeats itself"),
        ({"claim": "a", "match": r"(?:\w+\s?)*"}, "repeats what repeats itself"),
        ({"claim": "a", "match": "(?P<n>[a-z]*){2,}"}, "repeats what repeats itself"),
        ({"claim": "a", "group": "{course}"}, "{course} is not a named group of match, which give"),
        ({"claim": "a", "group": "{value"}, "has a single bracket"),
        ({"claim": "a", "group": "{value.x}"}, "has a single bracket"),
        ({"claim": "a", "group": ""}, "rule 1, group: this is empty"),
        ({"claim": "a", "role": "boss"}, "'boss' is not a role; it is member or manager"),
        ({"claim": "a", "create": "yes"}, "rule 1, create: 'yes' is neither true nor false"),
        ({"claim": "a", "names": ["x"]}, "rule 1, names: '['x']' is not a table"),
        ({"claim": "a", "names": {"x": None}}, "rule 1, names, x: 'None' is not a name"),
        ({"preset": "keyclok"}, "rule 1, preset: 'keyclok' is not a preset; there are: github,"),
        ({"preset": ["x"]}, "is not a preset"),
        ({"preset": "ldap", "claim": "a"}, "a preset has its own claims"),
        ({"preset": "cilogon", "match": ".*"}, "{cou} is not a named group of match"),
        ("keycloak", "rule 1: 'keycloak' is not a rule; give a claim or a preset, with a colon."),
    ],
)
def test_what_is_wrong_is_named(entry, said):
    with pytest.raises(RuleError) as wrong:
        parse_rules([entry])
    assert said.replace("'['x']'", "\"['x']\"") in str(wrong.value)
    assert wrong.value.place[0] == "1"


def test_rules_are_a_list():
    for document in (None, {"claim": "x"}, "keycloak", 7):
        with pytest.raises(RuleError, match="rules: rules are a list"):
            parse_rules(document)
    assert parse_rules([]) == ()


def test_a_path_of_parts_may_repeat():
    found = groups(["a/b/c", "a//b"], match=r"(?:[^/]+/)*(?P<last>[^/]+)", group="{last}")
    assert list(found) == ["c"]


def test_the_longest_values_take_no_time():
    rules = parse_rules([{"preset": name} for name in PRESETS])
    value = ["CO:COU:" + "a:" * 400 + "b", "cn=" + "\\a" * 400 + "=", "a@" * 400]
    model = {"auth_state": {"globus_groups": value, "user_attributes": {"memberOf": value}}}
    model["auth_state"]["cilogon_user"] = {
        "isMemberOf": [f"{v}{n}" for v in value for n in range(99)]
    }
    began = time.perf_counter()
    apply_rules(rules, model)
    assert time.perf_counter() - began < 2


def test_rules_in_a_file(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("\ufeff- preset: keycloak\n- claim: groups\n  role: manager\n")
    assert [rule.role for rule in read_rules(file)] == [MEMBER, MANAGER]
    with pytest.raises(FileError, match="No such file"):
        read_rules(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- preset: keycloak\n- claim: groups\n  match: (\n",
            "f, line 3: rule 2, match: not a reg",
        ),
        ("- preset: keycloak\n- match: a\n", "f, line 2: rule 2: there is no claim"),
        (
            "- preset: keycloak\n- claim: a\n  names:\n    a: b\n    c:\n",
            "f, line 5: rule 2, names",
        ),
        ("- claim: a\n  claim: b\n", "f, line 2: 'claim' stands here a second time"),
        ("- claim: {{", "f, line 1: this is not YAML"),
        ("keycloak", "f: rules: rules are a list"),
        ("", "f: rules: rules are a list"),
        ("- &a claim\n- *a", "f: '*a' is not read"),
        ("[" * 5_000, "f: this can't be read: there are 50 brackets"),
    ],
)
def test_the_line_of_what_is_wrong(text, said):
    with pytest.raises(FileError) as wrong:
        parse_rules_text(text, "f")
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["claim", "match", "group", "role", "when", "names", "preset", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(st.lists(JSON, max_size=3) | JSON)
def test_any_document_is_rules_or_refused(document):
    try:
        rules = parse_rules(document)
    except RuleError as error:
        assert str(error).endswith((".", "?"))
    else:
        apply_rules(rules, claims("keycloak"))
    try:
        parse_rules_text(yaml.safe_dump(document), "f")
    except FileError as error:
        assert str(error).startswith("f")
