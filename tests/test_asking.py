"""Asks in real databases: answered once, given with their answer or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from gettext import NullTranslations
from threading import Barrier

import pytest
from ledgers import START, clock, store, url

from hub_groups import words
from hub_quotas.access import Access, NotAllowed
from hub_quotas.asking import MOST_A_DAY, Asking
from hub_quotas.corrections import rename
from hub_quotas.limits import PolicyError
from hub_quotas.more import (
    APPROVED,
    DECLINED,
    OPEN,
    WITHDRAWN,
    Answered,
    NoSuchAsk,
    TooMany,
    Wanted,
    chosen,
)
from hub_quotas.notices import Notices
from hub_quotas.policies import By
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.store import QuotaStore

__all__ = ["clock", "store", "url"]

DAY = 24 * HOUR
POLICY = parse_policy(
    {
        "groups": {
            "a": {"managers": ["bo"], "limits": {"group.cpu-hours": "200 per 7d", "group.gpu": 4}},
            "a/b": {
                "managers": ["ada"],
                "limits": {
                    "member.cpu-hours": ["40 per 7d", "100 per month"],
                    "member.servers": 1,
                    "group.gpu": 2,
                },
            },
        }
    }
)
ADA = Access("ada", ("a/b",), managed=frozenset({"a/b"}))
BO = Access("bo", ("a",), managed=frozenset({"a"}))
SAM, KIM = Access("sam", ("a/b",)), Access("kim", ("a/b",))
CPU = Wanted("a/b", "member.cpu-hours", "7d", "80", "2026-12-01", "thesis")
SERVERS = Wanted("a/b", "member.servers", "", "3", "2026-09-22T00:00", "three")
GPU = Wanted("a/b", "group.gpu", "", "3", "2026-12-01", "for all")
MAIL = (("email", "ada@example.org"),)


@pytest.fixture
def asking(store):
    store.apply(POLICY, "tests", "tests")
    return Asking(store)


def by(access: Access) -> By:
    return By(access.user, "page", address="192.0.2.1")


def ask(asking: Asking, wanted: Wanted = CPU, user: str = "sam"):
    return asking.ask(user, ["a/b"], wanted)


def approve(asking: Asking, id: int, access: Access = ADA, **other: str):
    return asking.approve(id, access, by(access), **other)


def held(store: QuotaStore, user: str = "sam", wanted: Wanted = CPU) -> str:
    """The limit that holds now for a user, as a reservation sees it."""
    (decision,) = store.explain(user, ["a/b"], {})
    return chosen([check.limit for check in decision.checks], wanted).text


def everyone(_group: str) -> bool:
    return True


def test_what_is_asked_stands_until_it_is_answered(asking, clock):
    first = ask(asking)
    assert (first.user, first.group, first.key, first.amount) == (
        *("sam", "a/b", "member.cpu-hours", "80 per 7d"),
    )
    assert (first.at, first.until, first.why, first.state) == (START, "2026-12-01", "thesis", OPEN)
    clock.now += HOUR
    second = ask(asking, SERVERS, "kim")
    assert asking.of("sam") == [first]
    assert asking.waiting(everyone) == [first, second], "who waits longest comes first"
    assert asking.waiting(lambda group: group != "a/b") == []
    assert asking.answered(everyone) == []


def test_an_approval_gives_a_boost_that_lapses_by_itself(asking, store, clock):
    asked = ask(asking, SERVERS)
    clock.now += HOUR
    assert held(store, wanted=SERVERS) == "1"
    given = approve(asking, asked.id, words=" Good luck! ")
    assert given == replace(
        asked,
        state=APPROVED,
        answered_at=START + HOUR,
        answered_by="ada",
        answer="Good luck!",
        given="3",
        given_until="2026-09-22T00:00:00",
    )
    assert asking.of("sam") == [given]
    assert held(store, wanted=SERVERS) == "3"
    assert held(store, "kim", SERVERS) == "1"
    assert store.reserve("1", "sam", "", ["a/b"], {"cpu": 1000}).granted
    assert store.reserve("2", "sam", "", ["a/b"], {"cpu": 1000}).granted
    change = store.audit("a/b")[0]
    assert change.by == By("ada", "page", "Good luck!", "192.0.2.1")
    assert change.after["boosts"] == [
        {
            **{"limit": "member.servers", "amount": "3", "until": "2026-09-22T00:00:00"},
            **{"member": "sam", "why": "three"},
        }
    ]
    clock.now = START + 10 * HOUR  # after midnight
    assert held(store, wanted=SERVERS) == "1"
    assert not store.reserve("3", "sam", "", ["a/b"], {"cpu": 1000}).granted
    again = ask(asking, replace(SERVERS, until="2026-09-23"))
    assert approve(asking, again.id).given_until == "2026-09-23"
    boosts = store.policy().groups["a/b"].boosts
    assert [b.until.isoformat() for b in boosts] == ["2026-09-23"], "the lapsed one is gone"
    assert store.audit("a/b")[0].by.why == "three", "their words, where the manager has none"


def test_something_else_may_be_given(asking, store):
    asked = ask(asking)
    given = approve(asking, asked.id, amount="60", until="2026-10-01")
    assert (given.given, given.given_until, given.changed) == ("60 per 7d", "2026-10-01", True)
    assert (given.amount, given.until) == ("80 per 7d", "2026-12-01")
    assert held(store) == "60 per 7d"


def test_no_is_an_answer(asking, store):
    asked = ask(asking)
    said = asking.decline(asked.id, ADA, "Not this week.")
    assert (said.state, said.answered_by, said.answer, said.given) == (
        *(DECLINED, "ada", "Not this week.", ""),
    )
    assert held(store) == "40 per 7d"
    assert asking.answered(everyone) == [said]
    assert asking.waiting(everyone) == []
    with pytest.raises(Answered, match=r"ada has declined this already\."):
        approve(asking, asked.id, BO)
    with pytest.raises(Answered, match="ada has declined"):
        asking.withdraw(asked.id, SAM)


def test_a_manager_gives_no_more_than_the_group_has_and_nothing_is_half_done(asking, store):
    asked = ask(asking, replace(CPU, amount="300"))
    before = len(store.audit("a/b"))
    with pytest.raises(NotAllowed, match="a has 200 CPU-hours itself, so nobody below can have"):
        approve(asking, asked.id)
    with pytest.raises(NotAllowed, match="a has 200 CPU-hours itself"):
        approve(asking, asked.id, amount="201")
    with pytest.raises(PolicyError, match="is not a number of CPU-hours"):
        approve(asking, asked.id, amount="much")
    with pytest.raises(PolicyError, match="characters that can't be shown"):
        approve(asking, asked.id, words="\x00")
    with pytest.raises(PolicyError, match="characters that can't be shown"):
        asking.decline(asked.id, ADA, "\x00")
    assert asking.of("sam") == [asked]
    assert len(store.audit("a/b")) == before
    assert approve(asking, asked.id, amount="200").given == "200 per 7d"


def test_what_a_group_has_as_a_whole_is_given_from_above(asking, store):
    asked = ask(asking, GPU)
    with pytest.raises(NotAllowed, match="What a/b has as a whole is set by who manages"):
        approve(asking, asked.id)
    assert approve(asking, asked.id, BO).given == "3"
    assert held(store, "kim", GPU) == "3", "for all its members"
    again = ask(asking, replace(GPU, amount="4"))
    assert asking.decline(again.id, ADA).state == DECLINED, "who manages it may say no"


def test_who_may_not(asking):
    asked = ask(asking)
    for stranger in (KIM, Access("eve", ("c",), managed=frozenset({"c"}))):
        for answer in (approve, lambda asking, id, access: asking.decline(id, access)):
            with pytest.raises(NoSuchAsk):
                answer(asking, asked.id, stranger)
        with pytest.raises(NoSuchAsk):
            asking.withdraw(asked.id, stranger)
    with pytest.raises(NotAllowed, match="You do not manage a/b"):
        approve(asking, asked.id, Access("reader", reads=True))
    with pytest.raises(NoSuchAsk):
        approve(asking, asked.id, SAM)
    looks = replace(ADA, acts=False, reads=True)
    for change in (
        lambda: approve(asking, asked.id, looks),
        lambda: asking.decline(asked.id, looks),
        lambda: asking.withdraw(asked.id, replace(SAM, acts=False)),
    ):
        with pytest.raises(NotAllowed, match="This token may not change anything"):
            change()
    with pytest.raises(NoSuchAsk):
        approve(asking, asked.id + 1)
    assert asking.of("sam") == [asked]


def test_withdrawn_is_withdrawn(asking):
    asked = ask(asking)
    assert asking.withdraw(asked.id, SAM).state == WITHDRAWN
    with pytest.raises(Answered, match="sam has withdrawn this"):
        approve(asking, asked.id)
    assert asking.answered(everyone) == [], "nobody answered it"


def test_asking_again_takes_the_place_of_what_was_asked_before(asking, clock):
    first = ask(asking)
    month = ask(asking, replace(CPU, window="month", amount="150"))
    kims = ask(asking, user="kim")
    clock.now += HOUR
    second = ask(asking, replace(CPU, amount="90"))
    assert [a.id for a in asking.waiting(everyone)] == [month.id, kims.id, second.id]
    states = {a.id: a.state for a in asking.of("sam")}
    assert states == {first.id: WITHDRAWN, month.id: OPEN, second.id: OPEN}


def test_ten_times_a_day_and_no_more(asking, clock):
    for _ in range(MOST_A_DAY):
        ask(asking)
        clock.now += HOUR
    with pytest.raises(TooMany) as caught:
        ask(asking)
    assert str(caught.value) == (
        "You have asked 10 times in 24 hours. You can ask again at 14:14 (UTC)."
    )
    assert len(asking.waiting(everyone)) == 1
    assert ask(asking, user="kim"), "others can"
    clock.now = START + DAY
    assert ask(asking)


def test_what_can_not_be_asked_for_leaves_nothing(asking):
    for wrong, why in (
        (replace(CPU, amount="40"), "That is 40 CPU-hours now already"),
        (replace(CPU, why=" "), "Say what you need it for"),
        (replace(CPU, group="c"), "c has no limit member.cpu-hours"),
        (replace(CPU, until="2026-01-01"), "is over"),
    ):
        with pytest.raises(PolicyError, match=why):
            ask(asking, wrong)
    assert asking.of("sam") == []


def test_what_a_file_manages_is_not_given_here(store):
    store.manage(POLICY, "quotas.yaml")
    asking = Asking(store)
    asked = ask(asking)
    with pytest.raises(PolicyError, match="a/b: this is managed by quotas.yaml; change it there"):
        approve(asking, asked.id)
    assert asking.waiting(everyone) == [asked]


def test_the_limit_may_have_gone(asking, store):
    asked = ask(asking)
    store.set_limit("a/b", "member.cpu-hours", "100 per month", "bo", "tests")
    with pytest.raises(PolicyError, match="has no member.cpu-hours with that window any more"):
        approve(asking, asked.id)
    assert asking.decline(asked.id, ADA).state == DECLINED


# -- several at once -------------------------------------------------------------------------------


def at_once(calls):
    """What each of them came to, or its error."""
    barrier = Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_two_managers_at_once_and_one_answer(asking, url, clock, store):
    """In processes of their own, as far as the database can tell."""
    other = QuotaStore(url, clock=clock)
    for number in range(10):
        asked = ask(asking, replace(CPU, amount=str(41 + number)), f"user-{number}")
        other.policy()
        found = at_once(
            [
                partial(approve, asking, asked.id, ADA),
                partial(approve, Asking(other), asked.id, BO, amount="150"),
                partial(Asking(other).decline, asked.id, BO),
                partial(asking.withdraw, asked.id, Access(asked.user)),
            ]
        )
        (first,) = (one for one in found if not isinstance(one, Exception))
        late = [str(one) for one in found if isinstance(one, Answered)]
        assert len(late) == 3, found
        assert all(text.startswith(f"{first.answered_by} has") for text in late)
        assert asking.of(asked.user) == [first]
        given = [b for b in store.policy().groups["a/b"].boosts if b.member == asked.user]
        assert [b.limit.text for b in given] == ([first.given] if first.given else [])
    other.close()


def test_asking_at_once_leaves_one_open(asking, url, clock):
    other = QuotaStore(url, clock=clock)
    other.policy()
    found = at_once([partial(ask, one) for one in (asking, Asking(other)) for _ in range(6)])
    assert [type(f) for f in found].count(TooMany) == 2
    assert len(asking.of("sam")) == 10
    assert len(asking.waiting(everyone)) == 1
    other.close()


# -- who is told -----------------------------------------------------------------------------------


@pytest.fixture
def in_german(monkeypatch):
    """A page that is read in another language than English."""

    class German(NullTranslations):
        def gettext(self, message: str) -> str:
            return f"Auf Deutsch: {message}"

    catalogues = {"de": German(), "en": NullTranslations()}
    monkeypatch.setattr(words, "_catalogue", catalogues.__getitem__)
    words.speak("de")
    yield
    words.speak("en")


def test_it_is_told_with_what_happens_and_stands_on_no_page(asking, store, in_german):
    assert words.gettext("thesis") == "Auf Deutsch: thesis"
    asked = asking.ask("sam", ["a/b"], CPU, lambda ask: f"ask {ask.id} of {ask.user}", MAIL)
    (mail,) = Notices(store).to_send()
    assert (mail.channel, mail.address) == MAIL[0]
    assert (mail.notice.kind, mail.notice.user, mail.notice.group) == ("asked", "", "a/b")
    assert mail.notice.text == f"ask {asked.id} of sam"
    Notices(store).sent(mail)
    approve(asking, asked.id, send_to=lambda ask: [("email", f"{ask.user}@example.org")])
    (mail,) = Notices(store).to_send()
    assert (mail.notice.kind, mail.notice.user) == ("answered", "sam")
    assert mail.notice.text.startswith("ada has approved what you asked for: 80 CPU-hours")
    assert Notices(store).current(0) == []
    assert Notices(store).of("sam", ["a/b"], 0) == []
    assert Notices(store).open_stems() == set()


def test_nobody_is_told_of_what_did_not_happen(asking, store):
    asked = ask(asking, replace(CPU, amount="300"))

    def told(_ask):
        raise AssertionError("not reached")

    with pytest.raises(NotAllowed):
        asking.approve(asked.id, ADA, by(ADA), send_to=told)
    assert Notices(store).to_send() == []


def test_asks_go_with_their_user_and_their_group(asking, store):
    store.reserve("1", "sam", "", ["a/b"], {})
    asked, given = ask(asking), ask(asking, SERVERS)
    approve(asking, given.id)
    rename(store, "sam", "samuel")
    rename(store, "ada", "ada-2")
    rename(store, "a/b", "a/new", group=True)
    assert asking.of("samuel")[1] == replace(asked, user="samuel", group="a/new")
    ada = Access("ada-2", managed=frozenset(store.policy().managed_by("ada-2")))
    assert approve(asking, asked.id, ada).user == "samuel"
    assert [b.member for b in store.policy().groups["a/new"].boosts] == ["samuel", "samuel"]
    assert store.policy().groups["a"].managers == ("bo",)


def test_a_limit_that_goes_takes_its_boosts_along(asking, store):
    for wanted in (SERVERS, CPU):
        approve(asking, ask(asking, wanted).id)
    store.set_limit("a/b", "member.cpu-hours", "100 per month", "bo", "tests")
    assert [b.limit.key for b in store.policy().groups["a/b"].boosts] == ["member.servers"]
