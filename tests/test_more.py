"""What can be asked for, what is given, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from hub_quotas.access import Access, NotAllowed, check_changes, room
from hub_quotas.ask_page import hint
from hub_quotas.desk import long_ago, say_via
from hub_quotas.limits import PolicyError, parse_limit
from hub_quotas.more import (
    APPROVED,
    DECLINED,
    Ask,
    Wanted,
    boost_for,
    boost_of,
    choices,
    chosen,
    ended,
    granted,
    holds,
    now,
    readable,
    say_answer,
    say_ask,
    say_limit,
    why_of,
)
from hub_quotas.policy import parse_policy, print_policy
from hub_quotas.policy_store import now as present

DAY = 24 * 3600 * 10**6
AT = 1_790_000_000 * 10**6  # 21 September 2026, 14:13:20 UTC
UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")

POLICY = parse_policy(
    {
        "plans": {"small": {"limits": {"member.servers": 1}}},
        "groups": {
            "*": {"limits": {"member.gpu": 2}},
            "a": {"managers": ["bo"], "limits": {"group.cpu-hours": "200 per 7d", "group.gpu": 4}},
            "a/b": {
                "plan": "small",
                "managers": ["ada"],
                "limits": {
                    "member.cpu-hours": ["40 per 7d then stop after 10m", "100 per month"],
                    "group.gpu": 2,
                    "server.memory": "8G",
                    "server.lifetime": "8h",
                },
            },
            "a/c": {"limits": {"member.servers": 3}},
        },
    }
)
ADA = Access("ada", ("a/b",), managed=frozenset({"a/b"}))
BO = Access("bo", ("a",), managed=frozenset({"a"}))


def wanted(key="member.cpu-hours", amount="80", until="2026-12-01", window="", group="a/b"):
    if key == "member.cpu-hours":
        window = window or "7d"
    return Wanted(group, key, window, amount, until, "thesis")


def boost(asked: Wanted, policy=POLICY, member="sam", zone=UTC):
    return boost_of(policy, chosen(policy.limits("a/b"), asked), member, asked, AT, zone)


def an_ask(asked: Wanted, **other) -> Ask:
    given = boost(asked)
    return Ask(
        *(1, AT, "sam", asked.group, asked.key, given.limit.text, given.until.isoformat()),
        asked.why,
        **other,
    )


# -- what can be asked for -------------------------------------------------------------------------


def test_every_limit_that_holds_for_a_member_can_be_asked_more_of_once():
    found = [(limit.group, limit.key, limit.text) for limit in choices(POLICY, ["a/b", "a/c"])]
    assert found == [
        ("a/b", "group.gpu", "2"),
        ("a/b", "member.cpu-hours", "100 per month"),
        ("a/b", "member.cpu-hours", "40 per 7d then stop after 10m"),
        ("a/b", "server.lifetime", "8h"),
        ("a/b", "server.memory", "8G"),
        ("a/b", "member.servers", "1"),  # of its plan
        ("a", "group.cpu-hours", "200 per 7d"),
        ("a", "group.gpu", "4"),
        ("*", "member.gpu", "2"),
        ("a/c", "member.servers", "3"),
    ]


@pytest.mark.parametrize(
    ("asked", "amount", "member"),
    [
        (wanted(), "80 per 7d then stop after 10m", "sam"),
        (wanted(window="month", amount="100.5"), "100.5 per month", "sam"),
        (wanted("group.gpu", "3"), "3", ""),
        (wanted("member.servers", "2 servers"), "2", "sam"),
        (wanted("server.memory", "16Gi"), "16G", "sam"),
        (wanted("server.lifetime", "1d"), "1d", "sam"),
        (wanted("member.gpu", "4", group="*"), "4", "sam"),
    ],
)
def test_the_amount_changes_and_the_rest_stays(asked, amount, member):
    found = boost(asked)
    assert (found.limit.group, found.limit.key) == (asked.group, asked.key)
    assert (found.limit.text, found.limit.plan, found.member) == (amount, "", member)
    assert (found.until.isoformat(), found.why) == ("2026-12-01", "thesis")


@pytest.mark.parametrize(
    ("asked", "place", "why"),
    [
        (wanted("member.storage", "9G"), "limit", "a/b has no limit member.storage that could be"),
        (wanted("member.servers", "9", group="a/c"), "limit", "a/c has no limit member.servers"),
        (wanted("", ""), "limit", "a/b has no limit – that"),
        (wanted(window="8d"), "window", "is set for: 100 per month"),
        (wanted(amount="80 per 7d"), "amount", "'80 per 7d' is not a number of CPU-hours"),
        (wanted(amount=""), "amount", "'' is not a number of CPU-hours"),
        (wanted(amount="-80"), "amount", "is not a number"),
        (wanted(amount="9" * 99), "amount", "is too large"),
        (wanted(amount="40"), "amount", "That is 40 CPU-hours now already; write a larger amount."),
        (wanted("server.memory", "4G"), "amount", "That is 8 GiB now already"),
        (wanted(until=""), "until", "Say until when: a day, such as 2026-12-01."),
        (wanted(until="soon"), "until", "'soon' is not a day or time; write 2026-12-01"),
        (wanted(until="2026-09-20"), "until", "2026-09-20 is over; write a later day."),
        (wanted(until="2026-09-21T14:13:20"), "until", "is over"),
        (wanted(until="2027-09-23"), "until", "2027-09-23 is more than a year ahead"),
        (wanted(until="9999-12-31"), "until", "the year 9999 can't be counted"),
        (wanted(until="0001-01-01"), "until", "the year 1 can't be counted"),
    ],
)
def test_what_can_not_be_asked_for(asked, place, why):
    why = why.replace("is set for: 100 per month", "is set for: month, 7d. Say for which of them.")
    with pytest.raises(PolicyError) as caught:
        boost(asked)
    assert caught.value.place == (place,)
    assert why in caught.value.why


def test_a_day_counts_to_its_end_and_an_hour_in_the_hubs_zone():
    assert boost(wanted(until="2026-09-21")).ends(UTC) == AT + 35_200 * 10**6
    at_four = boost(wanted(until="2026-09-21T16:13:21"), zone=BERLIN)
    assert at_four.ends(BERLIN) == AT + 10**6
    with pytest.raises(PolicyError, match="is over"):
        boost(wanted(until="2026-09-21T16:13:20"), zone=BERLIN)
    assert boost(wanted(until="2027-09-21")).until.year == 2027, "a year ahead"


def test_more_than_a_boost_that_holds_or_the_same_for_longer():
    policy = granted(POLICY, boost(wanted(until="2026-10-01")), AT, UTC)
    for more in (wanted(amount="81", until="2026-09-30"), wanted(until="2026-10-02")):
        assert boost(more, policy).limit.amount >= boost(wanted(), POLICY).limit.amount
    for less in (wanted(amount="60"), wanted(until="2026-10-01")):
        with pytest.raises(PolicyError, match="That is 80 CPU-hours now already"):
            boost(less, policy)
    assert boost(wanted(amount="60"), policy, member="kim"), "it is sam's alone"
    assert boost(wanted(amount="60"), policy, member=""), "for all"


@pytest.mark.parametrize(
    ("text", "needed", "why"),
    [
        (" \n", "Say why.", "Say why."),
        ("x" * 1001, "", "This has 1001 characters; write at most 1000."),
        ("a\x00b", "", "characters that can't be shown"),
        ("a\ud800b", "", "characters that can't be shown"),
    ],
)
def test_words_that_can_not_be_read(text, needed, why):
    with pytest.raises(PolicyError, match=why):
        readable(text, "why", needed)
    assert readable(" 👩‍🔬 thesis\r\nهلا\t ", "why") == "👩‍🔬 thesis\nهلا"
    assert readable("\r\n".join("x" * 500) + "\r\n", "why").count("\n") == 499
    with pytest.raises(PolicyError, match="Say what you need it for"):
        why_of(replace(wanted(), why=" "))


# -- what is given ---------------------------------------------------------------------------------


def test_a_new_boost_takes_the_place_of_those_that_it_follows_once_they_have_lapsed():
    policy = granted(POLICY, boost(wanted(until="2026-10-01")), AT, UTC)
    policy = granted(policy, boost(wanted(until="2026-10-01"), member="kim"), AT, UTC)
    policy = granted(policy, boost(wanted("server.memory", "16G", until="2026-10-01")), AT, UTC)
    later = AT + 30 * DAY
    policy = granted(policy, boost(wanted(amount="90")), later, UTC)
    boosts = policy.groups["a/b"].boosts
    assert [(b.member, b.limit.key, b.limit.text.partition(" ")[0]) for b in boosts] == [
        ("kim", "member.cpu-hours", "80"),
        ("sam", "server.memory", "16G"),
        ("sam", "member.cpu-hours", "90"),
    ]
    assert parse_policy(print_policy(policy)) == policy
    assert [b.member for b in ended(policy, "a/b", 2).groups["a/b"].boosts] == ["kim", "sam"]
    for name, number in (("a/b", 0), ("a/b", 4), ("a/c", 1), ("nobody", 1)):
        with pytest.raises(PolicyError, match="has no such boost"):
            ended(policy, name, number)


def test_the_last_boost_that_holds_is_what_holds():
    policy = granted(POLICY, boost(wanted(until="2026-10-01")), AT, UTC)
    policy = granted(policy, boost(wanted(amount="90", until="2026-09-30")), AT, UTC)
    limit = chosen(policy.limits("a/b"), wanted())
    texts = [now(policy, limit, "sam", AT + days * DAY, UTC).text for days in (0, 9, 10, 11)]
    assert [text.partition(" ")[0] for text in texts] == ["90", "90", "80", "40"]
    assert now(policy, limit, "kim", AT, UTC).text == limit.text


def test_what_is_given_is_what_was_asked_for_or_something_else():
    ask = an_ask(wanted())
    assert boost_for(POLICY, ask, "", "", AT, UTC) == boost(wanted())
    given = boost_for(POLICY, ask, "60", "2026-10-10T12:00", AT, UTC)
    assert (given.limit.text, given.until.isoformat()) == (
        "60 per 7d then stop after 10m",
        "2026-10-10T12:00:00",
    )
    with pytest.raises(PolicyError, match="2026-12-01 is over"):
        boost_for(POLICY, ask, "", "", AT + 100 * DAY, UTC)
    with pytest.raises(PolicyError, match="is not a number"):
        boost_for(POLICY, ask, "lots", "", AT, UTC)
    with pytest.raises(PolicyError, match="a/b has no member.cpu-hours with that window any more"):
        boost_for(parse_policy({"groups": {"a/b": {}}}), ask, "", "", AT, UTC)


def test_the_reaction_is_that_of_today():
    ask = an_ask(wanted())
    today = parse_policy({"groups": {"a/b": {"limits": {"member.cpu-hours": "40 per 7d"}}}})
    assert boost_for(today, ask, "", "", AT, UTC).limit.text == "80 per 7d"


def test_whether_somebody_has_what_they_got():
    policy = granted(POLICY, boost(wanted()), AT, UTC)
    given = {"given": "80 per 7d then stop after 10m", "given_until": "2026-12-01"}
    ask = an_ask(wanted(), state=APPROVED, **given)
    assert holds(policy, ask, AT, UTC)
    assert not holds(policy, ask, AT + 100 * DAY, UTC), "lapsed"
    assert not holds(POLICY, ask, AT, UTC), "ended"
    assert not holds(policy, replace(ask, state=DECLINED), AT, UTC)
    assert not ask.changed
    assert replace(ask, given_until="2026-11-30").changed


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "asked", "why"),
    [
        (ADA, wanted(), ""),
        (ADA, wanted(amount="200"), ""),
        (ADA, wanted(amount="201"), "a has 200 CPU-hours itself, so nobody below can have 201"),
        (ADA, wanted(window="month", amount="5000"), ""),
        (ADA, wanted("group.gpu", "3"), "What a/b has as a whole is set by who manages the group"),
        (ADA, wanted("group.gpu", "5", group="a"), "You do not manage a."),
        (BO, wanted("group.gpu", "4"), ""),
        (BO, wanted("group.gpu", "5"), "group.gpu: a has 4 GPUs itself"),
        (BO, wanted("group.gpu", "5", group="a"), "What a has as a whole"),
        (Access("kim"), wanted(), "You do not manage a/b."),
        (replace(ADA, acts=False), wanted(), "This token may not change anything"),
        (Access("root", admin=True), wanted("group.gpu", "5000"), ""),
    ],
)
def test_managers_give_within_what_they_were_given(access, asked, why):
    given = boost(asked)
    after = granted(POLICY, given, AT, UTC)
    if not why:
        check_changes(access, POLICY, after)
        assert access.gives(POLICY, given.limit)
        return
    with pytest.raises(NotAllowed) as caught:
        check_changes(access, POLICY, after)
    assert why in str(caught.value)
    too_much = "so nobody below" in why or "itself" in why
    assert access.gives(POLICY, given.limit) == too_much


def test_how_much_there_is_to_give():
    def most(access, asked):
        found = room(access, POLICY, boost(asked).limit)
        return found and (found.group, found.text)

    assert most(ADA, wanted()) == ("a", "200 per 7d")
    assert most(ADA, wanted(window="month", amount="500")) is None
    assert most(BO, wanted("group.gpu", "3")) == ("a", "4")
    assert most(Access("root", admin=True), wanted("group.gpu", "3")) == ("a", "4")
    assert most(Access("root", admin=True), wanted("member.gpu", "3", group="*")) is None


# -- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (wanted(), "80 CPU-hours in any 7 days"),
        (wanted(window="month", amount="101"), "101 CPU-hours a month"),
        (wanted("group.gpu", "3"), "3 GPUs"),
        (wanted("server.memory", "16G"), "16 GiB of memory"),
        (wanted("server.lifetime", "24h"), "24 h of lifetime"),
    ],
)
def test_what_is_said_of_a_limit(asked, said):
    assert say_limit(boost(asked).limit) == said


def test_what_managers_are_told():
    ask = replace(an_ask(wanted(until="2026-12-12")), why="thesis\n\n  deadline")
    assert say_ask(ask, "https://hub/asks#ask-1") == (
        "sam asks for 80 CPU-hours in any 7 days in a/b until 12 Dec 2026: thesis deadline\n"
        "Answer: https://hub/asks#ask-1"
    )
    assert "for 3 GPUs for the whole of a/b until 1 Dec 2026: " in say_ask(
        an_ask(wanted("group.gpu", "3")), ""
    )
    assert "for 16 GiB of memory for each server in a/b until 1 Dec 2026, 14:00: " in say_ask(
        an_ask(wanted("server.memory", "16G", until="2026-12-01T14:00")), ""
    )
    assert "for 3 GPUs in this hub until" in say_ask(
        an_ask(wanted("member.gpu", "3", group="*")), ""
    )


def test_what_is_said_to_who_asked():
    answer = {"answered_by": "ada", "answer": "Good luck!"}
    given = {"given": "80 per 7d then stop after 10m", "given_until": "2026-12-01"}
    ask = an_ask(wanted(), state=APPROVED, **answer, **given)
    asked = "80 CPU-hours in any 7 days in a/b until 1 Dec 2026"
    assert say_answer(ask) == f"ada has approved what you asked for: {asked}.\nGood luck!"
    changed = replace(ask, given="60 per 7d then stop after 10m", answer="")
    assert say_answer(changed) == (
        "ada has given you 60 CPU-hours in any 7 days in a/b until 1 Dec 2026; "
        "you had asked for 80 CPU-hours in any 7 days until 1 Dec 2026."
    )
    declined = replace(an_ask(wanted(), state=DECLINED, **answer), answer="Not now.")
    assert say_answer(declined) == f"ada has declined what you asked for: {asked}.\nNot now."


@pytest.mark.parametrize(
    ("group", "key", "text", "said"),
    [
        ("a", "member.memory", "4G", "8G"),
        ("a", "member.cpu-hours", "2 per day", "4"),
        ("a", "member.cpu-hours", "0 per day", "40"),
        ("a", "member.memory", "16G", "32G"),
        ("a", "member.servers", "1", "2"),
        ("a", "server.lifetime", "8h", "16h"),
        ("a", "member.cpu-hours", "200 per 7d", "400"),
        ("a", "group.servers", "3", "6 for the whole group, now 3"),
        ("a", "group.servers", "0", "2 for the whole group, now 0"),
        ("a", "group.gpu-hours", "40 per month", "80 for the whole group, now 40"),
        ("*", "group.nvidia.com/gpu", "90", "180 for the whole hub, now 90"),
    ],
)
def test_the_example_in_the_form_is_more_than_there_is(group, key, text, said):
    assert hint(parse_limit(group, key, text)) == said


def test_changes_are_said_without_words_of_the_log():
    assert say_via("page") == "in the browser"
    assert say_via("cli") == "on the command line"
    assert say_via("something else") == "something else"
    assert long_ago(present()) == "just now"
    assert long_ago(present() - 59 * 10**6) == "just now"
    assert long_ago(present() - 61 * 10**6) == "1 min ago"
