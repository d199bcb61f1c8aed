"""Join links and requests, in a real database; also many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from postgres import fresh_database

from hub_groups import links
from hub_groups.joining import (
    ALPHABET,
    ALREADY,
    ASKED,
    CODE_LENGTH,
    JOINED,
    LONGEST,
    AlreadyAnswered,
    LinkOver,
    NoSuchLink,
    WantedLink,
    clean_code,
    spaced,
)
from hub_groups.memberships import LINK, MANAGER
from hub_groups.names import PeopleError
from hub_groups.people import (
    By,
    archive,
    forget_user,
    put_members,
    remove_members,
    rename_user,
    restore,
)
from hub_groups.record import events
from hub_groups.store import GroupStore

BY = By("ada", "page")
AT = 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/groups.sqlite"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
    store = GroupStore(url, clock=lambda: store.at)
    store.at = AT
    yield store
    store.close()


def make(store, group="geo", until=AT + 1000, **wanted):
    return links.make_link(store, group, WantedLink(until, **wanted), BY)


def everything(_group: str) -> bool:
    return True


def used(store, link) -> int:
    return next(one.used for one in links.links_of(store, link.group) if one.id == link.id)


def members(store, group="geo") -> set[str]:
    return {s.membership.user for s in store.standings(groups=[group])}


def test_who_joins_is_a_member_by_the_link_of_its_maker(store):
    link = make(store, member_until=AT + 500)
    assert len(link.code) == CODE_LENGTH >= 10
    assert set(link.code) <= set(ALPHABET)
    assert links.look_up(store, link.code, "sam").outcome == JOINED
    assert not members(store), "to look changes nothing"
    assert links.join(store, link.code, "sam", "page").outcome == JOINED
    (one,) = store.standings("sam")
    assert (one.membership.source, one.membership.until, one.added_by) == (LINK, AT + 500, "ada")
    assert [event.what for event in events(store, ["geo"])] == ["joined", "link"]


def test_a_code_is_found_however_it_was_typed(store):
    code = make(store).code
    for typed in (
        spaced(code).lower(),
        f" {code} ",
        f"https://hub/services/groups/join/{code}?x=1",
    ):
        assert links.look_up(store, typed, "sam").link.code == code
    assert clean_code("a\u2013b c") == "ABC"


def test_to_join_again_is_no_second_use(store):
    link = make(store, most=1)
    links.join(store, link.code, "sam", "page")
    assert links.join(store, link.code, "sam", "page").outcome == ALREADY
    remove_members(store, "geo", ["sam"], BY)
    assert links.join(store, link.code, "sam", "page").outcome == JOINED
    assert used(store, link) == 1
    with pytest.raises(LinkOver, match="used up"):
        links.join(store, link.code, "kim", "page")


def test_who_is_in_already_uses_nothing(store):
    store.replace_source("roster:r", {"geo": {"sam": "member"}})
    link = make(store)
    assert links.join(store, link.code, "sam", "page").outcome == ALREADY
    assert used(store, link) == 0
    chief = make(store, role=MANAGER)
    assert links.join(store, chief.code, "sam", "page").outcome == JOINED
    assert store.managed_by("sam") == ("geo",)
    assert links.join(store, link.code, "sam", "page").outcome == ALREADY, "a manager stays one"


def test_never_more_than_may_join_however_many_click_at_once(store):
    link = make(store, most=7)

    def click(number: int) -> str:
        try:
            return links.join(store, link.code, f"s{number % 30}", "page").outcome
        except LinkOver as error:
            return error.reason

    with ThreadPoolExecutor(10) as threads:
        said = list(threads.map(click, range(60)))
    assert said.count(JOINED) == 7
    assert len(members(store)) == used(store, link) == 7
    assert said.count("used-up") == 60 - 14


def test_each_way_in_which_a_link_ends_is_said(store):
    gone, short, closed = make(store), make(store, until=AT + 1), make(store, "law")
    assert links.revoke(store, "geo", gone.id, BY)
    assert not links.revoke(store, "geo", gone.id, BY), "once"
    assert not links.revoke(store, "law", short.id, BY), "of another group"
    store.at += 1
    archive(store, "law", BY)
    for link, reason, words in (
        (gone, "revoked", "was revoked. Ask ada"),
        (short, "expired", "has expired. Ask ada"),
        (closed, "archived", "is archived"),
    ):
        for call in (links.look_up, lambda *a: links.join(*a, "page")):
            with pytest.raises(LinkOver, match=words) as refused:
                call(store, link.code, "sam")
            assert refused.value.reason == reason
    with pytest.raises(LinkOver):
        make(store, "law", until=AT + 99)
    restore(store, "law", BY)
    assert links.join(store, closed.code, "sam", "page").outcome == JOINED
    assert links.revoke_all(store, "law", BY) == 1


@pytest.mark.parametrize("code", ["", "A", "A" * 12, "\x00", "'; --", "ü" * 12, "9" * 5000])
def test_a_wrong_code_is_as_one_that_looks_right(store, code):
    make(store)
    said = set()
    for typed in (code, "A" * CODE_LENGTH):
        with pytest.raises(NoSuchLink) as refused:
            links.join(store, typed, "sam", "page")
        said.add(str(refused.value))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"until": AT}, "a year at most"),
        ({"until": AT + LONGEST + 1}, "a year at most"),
        ({"most": 0}, "from 1 to 100,000"),
        ({"most": -1}, "from 1 to 100,000"),
        ({"member_until": AT}, "would be over already"),
    ],
)
def test_a_link_that_can_not_be(store, wanted, words):
    with pytest.raises(PeopleError, match=words):
        make(store, **wanted)


# -- requests -----------------------------------------------------------------------------------


def test_who_asks_is_in_after_a_yes(store):
    link = make(store, asks=True, most=2)
    assert links.join(store, link.code, "sam", "page").outcome == ASKED
    assert links.join(store, link.code, "sam", "page").outcome == ASKED
    links.join(store, link.code, "kim", "page")
    assert not members(store)
    sam, kim = links.waiting(store, everything)
    assert (sam.user, kim.user, used(store, link)) == ("sam", "kim", 2)
    assert not links.waiting(store, lambda group: group == "law")
    with pytest.raises(LinkOver):
        links.join(store, link.code, "lee", "page")
    with pytest.raises(AlreadyAnswered):
        links.answer(store, sam.id, True, BY, lambda group: False)
    assert links.answer(store, sam.id, True, BY, everything).state == "approved"
    assert links.answer(store, kim.id, False, BY, everything).state == "declined"
    with pytest.raises(AlreadyAnswered):
        links.answer(store, sam.id, False, BY, everything)
    assert members(store) == {"sam"}
    assert store.standings("sam")[0].added_by == "ada"
    assert [one.state for one in links.requests_of(store, "kim")] == ["declined"]
    assert links.join(store, link.code, "lee", "page").outcome == ASKED, "the place is free again"


def test_one_withdraws_only_what_is_ones_own(store):
    link = make(store, asks=True)
    links.join(store, link.code, "sam", "page")
    (request,) = links.requests_of(store, "sam")
    with pytest.raises(AlreadyAnswered):
        links.withdraw(store, request.id, By("kim", "page"))
    assert links.withdraw(store, request.id, By("sam", "page")).state == "withdrawn"
    assert (used(store, link), links.waiting(store, everything)) == (0, [])


def test_a_request_is_answered_once_however_many_answer(store):
    link = make(store, asks=True)
    for number in range(10):
        links.join(store, link.code, f"s{number}", "page")
    ids = [one.id for one in links.waiting(store, everything)] * 4

    def answer(turn: tuple[int, int]) -> str:
        try:
            return links.answer(store, turn[1], bool(turn[0] % 2), BY, everything).state
        except AlreadyAnswered:
            return ""

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(answer, enumerate(ids)))
    yes = said.count("approved")
    assert yes + said.count("declined") == 10
    assert len(members(store)) == used(store, link) == yes


def test_what_waits_for_an_archived_group_waits_until_it_is_back(store):
    link = make(store, asks=True)
    links.join(store, link.code, "sam", "page")
    (request,) = links.waiting(store, everything)
    archive(store, "geo", BY)
    assert links.waiting(store, everything) == []
    with pytest.raises(LinkOver):
        links.answer(store, request.id, True, BY, everything)
    restore(store, "geo", BY)
    links.answer(store, request.id, True, BY, everything)
    assert members(store) == {"sam"}


def test_requests_follow_a_user_who_is_renamed_and_end_with_one_who_is_deleted(store):
    link = make(store, asks=True)
    links.join(store, link.code, "sam", "page")
    rename_user(store, "sam", "sam2")
    assert [one.user for one in links.waiting(store, everything)] == ["sam2"]
    forget_user(store, "sam2")
    assert (links.waiting(store, everything), used(store, link)) == ([], 0)


def test_a_member_again_after_being_put_in_by_hand(store):
    link = make(store)
    put_members(store, "geo", ["sam"], BY)
    assert links.join(store, link.code, "sam", "page").outcome == ALREADY
    assert {s.membership.source for s in store.standings("sam")} == {"manual"}
