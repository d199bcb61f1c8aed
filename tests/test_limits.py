"""Limits and policies: what is read, and what is said of a wrong one."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.changes import differences, edited, put, said_differences
from hub_quotas.limit_fields import read_typed
from hub_quotas.limits import KEYS, Limit, PolicyError, Soft, parse_limit
from hub_quotas.policy import Policy, parse_policy, print_policy
from hub_quotas.quantities import HOUR, RESOURCES
from hub_quotas.windows import Calendar, Fixed, Rolling

ROOT = Path(__file__).parent.parent
G, DAY = 2**30, 24 * HOUR

# As in the design document.
EXAMPLE = """
plans:
  course-small:
    limits: {server.cpu: 2, member.servers: 1, member.cpu-hours: 20 per 7d, server.lifetime: 8h}
prices:
  - {since: 2026-01-01, cpu: 0.04, memory: 0.005, gpu: 1.2}
groups:
  earth-sciences: {limits: {group.cost: 2000 per month}}
  earth-sciences/geo-101:
    plan: course-small
    managers: [prof-ada]
    limits:
      server.memory: 8Gi
      member.servers: 2
      member.storage: 10Gi
      member.cpu-hours: 40 per 7d
      group.gpu: 4
      group.gpu-hours: 200 per 2026-09-01..2026-12-20
"""


def read(text: str) -> Policy:
    return parse_policy(yaml.safe_load(text))


def test_the_example_of_the_design():
    policy = read(EXAMPLE)
    name = "earth-sciences/geo-101"
    own = {limit.key: limit for limit in policy.groups[name].limits}
    assert own["server.memory"] == Limit(name, "server", "memory", 8 * G)
    assert own["member.cpu-hours"] == Limit(
        name, "member", "cpu-hours", 40 * 1000 * HOUR, Rolling(7 * DAY)
    )
    assert own["group.gpu-hours"].window == Fixed(date(2026, 9, 1), date(2026, 12, 20))
    assert policy.groups["earth-sciences"].limits == (
        Limit("earth-sciences", "group", "cost", 2000 * 10**6 * HOUR, Calendar("month")),
    )
    assert policy.path(name) == (name, "earth-sciences", "*")
    held = {limit.key: limit for limit in policy.limits_of(name)}
    assert held["member.servers"].amount == 2, "what the group sets wins over its plan"
    assert held["server.cpu"].plan == "course-small"
    assert held["server.lifetime"].amount == 8 * HOUR


@pytest.mark.parametrize("text", [EXAMPLE, (ROOT / "examples/demo/quotas.yaml").read_text(), "{}"])
def test_a_policy_prints_back_the_same(text):
    policy = read(text)
    assert parse_policy(print_policy(policy)) == policy
    assert parse_policy(json.loads(json.dumps(print_policy(policy)))) == policy
    assert parse_policy(yaml.safe_load(yaml.safe_dump(print_policy(policy)))) == policy
    assert differences(policy, policy) == []


values = {
    "amount": st.integers(0, 2**40),
    "time": st.integers(0, 10**9),
    "duration": st.integers(1, 10**6),
}
windows = st.sampled_from([Rolling(7 * DAY), Calendar("month"), Fixed(date(2026, 9, 1), date.max)])


def softs(amount: int) -> st.SearchStrategy[Soft]:
    minutes = st.integers(1, 365 * 24 * 60)
    grace = st.builds(lambda number: number * HOUR // 60, minutes)
    return st.builds(Soft, st.integers(0, amount - 1), grace)


@given(st.data())
def test_any_limit_prints_back_the_same(data):
    key = data.draw(st.sampled_from([*KEYS, "group.nvidia.com/gpu", "member.amd.com/gpu-hours"]))
    scope, _, name = key.partition(".")
    kind = RESOURCES[name].kind if name in RESOURCES else "amount"
    kind = "time" if name.endswith("-hours") else kind
    amount = data.draw(values[kind]) * (3_600_000_000 if kind == "time" else 1)
    window = data.draw(st.sampled_from([Rolling(7 * DAY), Calendar("month")]))
    soft = data.draw(st.none() | softs(amount)) if name == "storage" and amount else None
    limit = Limit("a", scope, name, amount, window if kind == "time" else None, soft=soft)
    assert parse_limit("a", limit.key, limit.text, kept=True) == limit


@pytest.mark.parametrize(
    "text",
    ["12G soft 10G for 7d", "12G soft 10G", "12 GB, soft 10 GB", "12Gi Soft 10Gi for 7 days"],
)
def test_a_soft_limit_is_written_in_one_way(text):
    limit = parse_limit("a", "member.storage", text)
    assert (limit.amount, limit.soft, limit.lasting) == (12 * G, Soft(10 * G, 7 * DAY), 10 * G)
    assert limit.text == "12G soft 10G for 7d"


def group(**spec: object) -> dict:
    return {"groups": {"a": spec}}


def limit(key: str, value: object) -> dict:
    return group(limits={key: value})


WRONG = [
    ({"group": {}}, "group: there is nothing of that name here. Did you mean 'groups'?"),
    ([], "policy: expected 'key: value' lines, found []"),
    ({"groups": ["a"]}, "groups: expected 'key: value' lines"),
    ({"groups": {"": {}}}, "'' is not the name of a group"),
    ({"groups": {"a//b": {}}}, "'a//b' is not the name of a group"),
    ({"groups": {"a": {}, "/a/": {}}}, "this group stands here twice"),
    (group(limit={}), "groups · a · limit: there is nothing of that name here. Did you mean 'limi"),
    (group(plan="small"), "groups · a · plan: there is no plan called 'small'."),
    (
        {"plans": {"small": {}}, **group(plan="smal")},
        "there is no plan called 'smal'. Did you mean 'small'?",
    ),
    (group(plan=["x"]), "groups · a · plan: '['x']' is not a name."),
    (group(parent="b"), "groups · a · parent: there is no group called 'b' here."),
    (group(parent="a"), "a group is above itself: a → a."),
    (
        {"groups": {"a": {"parent": "b"}, "b": {"parent": "a"}}},
        "a group is above itself: a → b → a.",
    ),
    ({"groups": {"a": {"parent": "a/b"}, "a/b": {}}}, "a group is above itself: a → a/b → a."),
    (group(managers="ada"), "groups · a · managers: write a list of user names"),
    (group(managers=[1]), "groups · a · managers: write a list of user names"),
    (group(priority="high"), "groups · a · priority: 'high' is not a whole number."),
    (limit("member.server", 1), "Did you mean 'member.servers'?"),
    (limit("members.servers", 1), "there is no limit of that name. Did you mean 'member.servers'?"),
    (limit("servers", 1), "there is no limit of that name."),
    (limit("member.ram", "1G"), "there is no limit of that name."),
    (limit("server.servers", 1), "this is counted by member or group; write member.servers."),
    (limit("server.storage", "1G"), "this is counted by member or group; write member.storage."),
    (
        limit("server.cpu-hours", "4 per 7d"),
        "a budget is for a member or a group; write member.cpu",
    ),
    (limit("member.lifetime", "8h"), "a lifetime is for a server; write server.lifetime."),
    (limit("member.cpu", None), "groups · a · limits · member.cpu: the amount is missing; write"),
    (limit("member.cpu", True), "the amount is missing"),
    (limit("member.cpu", ""), "the amount is missing"),
    (limit("member.cpu", []), "the amount is missing"),
    (limit("member.cpu", "lots"), "'lots' is not an amount of CPU; write cores: 2, 0.5 or 500m."),
    (limit("member.cpu", -1), "'-1' is not an amount of CPU"),
    (limit("member.cpu", 0.0001), "'0.0001' is too fine"),
    (limit("member.memory", "8 potatoes"), "'8 potatoes' is not an amount of bytes"),
    (limit("member.memory", "-8G"), "is not an amount of bytes"),
    (
        limit("member.memory", 8),
        "groups · a · limits · member.memory: 8 bytes is too little to be meant: "
        "write 8G for 8 GiB.",
    ),
    (limit("server.memory", "512"), "512 bytes is too little to be meant: write 512M for 512 MiB."),
    (limit("group.memory", "1023 K"), "1023 KiB is too little to be meant: write 1023M for 1023"),
    (limit("group.storage", "1"), "1 byte is too little to be meant: write 1G for 1 GiB."),
    (limit("member.storage", "12G soft 10"), "10 bytes is too little to be meant: write 10G for"),
    (
        limit("member.cpu-hours", "40 per 7d then downsize to memory 2"),
        "2 bytes is too little to be meant: write 2G for 2 GiB.",
    ),
    (
        group(
            limits={"server.memory": "1G"},
            boosts=[{"limit": "server.memory", "amount": 4, "until": "2026-12-01"}],
        ),
        "4 bytes is too little to be meant: write 4G for 4 GiB.",
    ),
    (limit("member.memory", "9" * 30), "is too large"),
    (limit("member.servers", 1.5), "'1.5' is not a whole number"),
    (limit("group.gpu", "-1"), "'-1' is not a whole number"),
    (limit("server.lifetime", "8"), "'8' is not a duration; write 30m, 8h or 2d."),
    (limit("group.cost", "2000"), "a budget needs a window; write, for example, 2000 per month."),
    (limit("group.cost", "2000 euros per month"), "'2000 euros' is not an amount of money"),
    (limit("member.cpu-hours", 40), "a budget needs a window; write, for example, 40 per month."),
    (limit("group.cost", "40.5 hours a"), "a window; write, for example, 40.5 per month."),
    (limit("group.cost", "40 Stunden pro Woche"), "a window; write, for example, 40 per month."),
    (limit("group.cost", "much"), "a window; write, for example, 40 per month."),
    (limit("member.cpu-hours", "-40 per 7d"), "'-40' is not a number of CPU-hours"),
    (
        limit("member.cpu", "4 per 7d"),
        "a cap on what runs at once has no window; write 4 alone. For a budget, write "
        "member.cpu-hours: 40 per 7d.",
    ),
    (limit("member.servers", "4 per day"), "a cap on what runs at once has no window"),
    (limit("group.storage", "5G per 7d"), "storage has no window: it is what is there. Write 5G"),
    (limit("member.storage", "5G then stop"), "storage has no 'then': what is full takes nothing"),
    (limit("server.storage", "5G soft 4G"), "this is counted by member or group; write member.sto"),
    (
        limit("member.storage", "10G soft 12G"),
        "less than the hard one before it; write 12G soft 10G",
    ),
    (limit("member.storage", "10G soft 10G"), "less than the hard one before it; write 10G."),
    (limit("member.storage", "soft 10G"), "a hard limit stands before 'soft' and a soft one after"),
    (limit("member.storage", "12G soft"), "write 12G soft 10G for 7d."),
    (limit("member.storage", "12G soft 10G for 0d"), "'0d' is not how long it may be above a soft"),
    (limit("member.storage", "12G soft 10G for 2y"), "'2y' is not a duration; write 30m, 8h or 2d"),
    (limit("member.storage", "12G soft 10G per 7d"), "Write 12G soft 10G for 7d alone."),
    (
        limit("member.memory", "8G soft 6G"),
        "only storage has a soft limit; write the amount without",
    ),
    (limit("member.cpu-hours", "40 soft 30 per 7d"), "only storage has a soft limit"),
    (limit("member.cpu-hours", "40 per monht"), "Did you mean 'month'?"),
    (limit("member.cpu-hours", "40 per 7"), "member.cpu-hours: "),
    (limit("member.cpu-hours", "40 per 0d"), "member.cpu-hours: "),
    (limit("group.gpu-hours", "4 per 2026-12-20..2026-09-01"), "ends before it starts"),
    (limit("group.gpu-hours", "4 per 2026-02-30..2026-09-01"), "2026-02-30"),
    (limit("group.cost", ["1 per day", "2 per day"]), "the same window stands here twice."),
    ({"plans": {"p": {"limit": {}}}}, "plans · p · limit: there is nothing of that name here."),
    (
        {"plans": {"p": {"limits": {"group.gpus": 1}}}},
        "plans · p · limits · group.gpus: there is no",
    ),
    ({"prices": {"cpu": 1}}, "prices: write a list"),
    ({"prices": [{"cpu": 1}]}, "prices · 1 · since: 'None' is not a day; write 2026-01-01."),
    ({"prices": [{"since": "soon"}]}, "prices · 1 · since: 'soon' is not a day"),
    ({"prices": [{"since": "2026-01-01", "cup": 1}]}, "no price for that. Did you mean 'cpu'?"),
    ({"prices": [{"since": "2026-01-01", "cpu-hours": 1}]}, "there is no price for that."),
    ({"prices": [{"since": "2026-01-01", "cpu": "free"}]}, "'free' is not an amount of money"),
    ({"prices": [{"since": "2026-01-01"}] * 2}, "there are prices from 2026-01-01 on already."),
]


@pytest.mark.parametrize(("document", "said"), WRONG)
def test_a_wrong_policy_is_refused_with_its_place(document, said):
    with pytest.raises(PolicyError) as error:
        parse_policy(document)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("server.memory", "0"),
        ("server.memory", "1M"),
        ("server.memory", "1048576"),
        ("group.memory-hours", "8 per month"),
    ],
)
def test_little_that_can_be_meant_is_read(key, text):
    assert parse_limit("a", key, text).text in (text, "1M")


def test_what_an_earlier_version_has_let_in_stays_readable():
    little = {
        "limits": {"server.memory": "8", "group.cpu-hours": "1 per 7d then downsize to memory 2"},
        "boosts": [{"limit": "server.memory", "amount": "9", "until": "2026-12-01"}],
    }
    entries = {("plan", "p"): {"limits": {"server.memory": "8"}}, ("group", "a"): little}
    held = put(Policy(), entries, kept=True)
    assert [limit.amount for limit in held.plans["p"].limits] == [8]
    assert held.groups["a"].boosts[0].limit.amount == 9
    with pytest.raises(PolicyError, match="too little to be meant"):
        put(Policy(), entries)


def test_there_are_at_least_forty_documented_mistakes():
    assert len(WRONG) >= 40


def test_the_tree():
    policy = read("groups: {a: {}, x/y: {parent: a}, x/y/z: {}}")
    assert policy.path("a/b/c") == ("a/b/c", "a/b", "a", "*")
    assert policy.path("x/y/z") == ("x/y/z", "x/y", "a", "*"), "a parent wins over the path"
    assert policy.path("unheard-of") == ("unheard-of", "*")


def test_groups_are_tried_by_priority_and_then_by_name():
    policy = read("groups: {a: {}, b: {priority: 5}, c: {priority: -1}}")
    assert policy.in_order(["c", "z", "a", "b"]) == ["b", "a", "z", "c"]


def test_several_windows_for_one_budget():
    policy = read("groups: {a: {limits: {member.cpu-hours: [8 per day, 40 per 7d]}}}")
    assert [limit.text for limit in policy.limits_of("a")] == ["40 per 7d", "8 per day"]
    assert parse_policy(print_policy(policy)) == policy


def test_prices_hold_from_their_day_on():
    policy = read(
        "prices: [{since: 2026-01-01, cpu: 0.04, memory: 0.005}, {since: 2026-07-01, cpu: 1}]"
    )
    size = {"cpu": 1500, "memory": 2 * G, "servers": 1}
    assert policy.cost_rate(size, date(2025, 12, 31)) == 0
    assert policy.cost_rate(size, date(2026, 6, 30)) == 60_000 + 10_000
    assert policy.cost_rate(size, date(2026, 7, 1)) == 1_500_000


def test_editing_one_limit():
    policy = read(EXAMPLE)
    changed = edited(policy, "new/group", "member.servers", 3)
    assert differences(policy, changed) == [("new/group · member.servers", None, "3")]
    again = edited(changed, "new/group", "member.servers", None)
    assert again.limits_of("new/group") == ()
    with pytest.raises(PolicyError, match="is not a whole number"):
        edited(policy, "a", "member.servers", "many")


def test_a_boost_is_one_sentence_of_what_has_changed():
    one = {"limit": "member.servers", "amount": "5", "until": "2026-12-10"}
    two = {**one, "member": "sam", "until": "2026-12-10T14:00", "why": "thesis"}
    before = {"limits": {"member.servers": "2"}, "boosts": [one]}
    after = {"limits": {"member.servers": "3"}, "boosts": [two]}
    first = "boost: member.servers is 5 until 2026-12-10"
    second = "boost: member.servers is 5 for sam until 2026-12-10 14:00 (thesis)"
    assert said_differences(before, after) == [
        ("member.servers", "2", "3"),
        ("", first, None),
        ("", None, second),
    ]
    more = {**before, "boosts": [two, one]}
    assert said_differences(before, more) == [("", None, second)], "what stays is not said"
    assert said_differences(None, {"boosts": [one]}) == [("", None, first)]
    prices = [{"since": "2026-01-01", "cpu": "1"}]
    assert said_differences(None, prices) == [
        ("1 · cpu", None, "1"),
        ("1 · since", None, prices[0]["since"]),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2,5 per day", "'2,5' has a comma in it: write 2.5."),
        ("1,000 per month", "'1,000' has a comma in it: write 1000."),
        ("40 per 7d,0,5 per day", "'0,5' has a comma in it: write 0.5."),
        ("40 per 7d,2000 per month", None),
        ("200 per 2026-09-01..2026-12-20,40 per 7d", None),
    ],
)
def test_a_comma_within_a_number_is_not_one_between_two_limits(text, why):
    read, wrong = read_typed("a", {"member.cpu-hours": text})
    assert wrong.get("member.cpu-hours") == why
    assert bool(read) is (why is None)
