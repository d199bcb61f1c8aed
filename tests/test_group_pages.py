"""What people do with groups on the pages, over HTTP, in one real hub."""

from __future__ import annotations

import asyncio
import html
import re
import time
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest
from hubs import Hub, Visitor, wait_for
from test_hostile import HOSTILE, is_plain

from hub_groups import links, pending
from hub_groups.desk import iso
from hub_groups.joining import WantedLink
from hub_groups.people import By, put_members
from hub_groups.people_desk import not_logged_in, wait_for_hub
from hub_groups.store import GroupStore

BY = By("prof-ada", "page")
GROUPS = "services/groups/"
COURSE = f"{GROUPS}groups/science/course"
DAY = 86_400


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("people", journeys=True)
    wait_for("the roster", lambda: store_of(hub).sizes(["science/course"]))
    for name in ("sam", "ana", "ben"):
        hub.api(f"users/{name}", "POST")
    return hub


def store_of(hub: Hub) -> GroupStore:
    return GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")


@pytest.fixture(scope="module")
def store(hub) -> GroupStore:
    return store_of(hub)


@pytest.fixture(scope="module")
def manager(hub) -> Visitor:
    return hub.login("manager")


def send(visitor: Visitor, path: str, files=None, **form) -> httpx.Response:
    visitor.get(path)
    form["_xsrf"] = visitor.xsrf("/services/groups")
    return visitor.post(path, data=form, files=files)


def text_of(answer: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def sources(store: GroupStore, user: str, group: str = "science/course") -> dict[str, str]:
    found = store.standings(user, [group])
    return {one.membership.source: one.membership.role for one in found}


def test_a_pasted_list_is_added_and_in_the_hub_at_once(hub, store, manager):
    pasted = "sam, Doe, Ana <ana@x.org>"
    page = send(manager, COURSE, action="add", names=pasted, until="2098-12-24")
    assert "Added 2: sam, ana." in text_of(page)
    assert "until 2098-12-24" in text_of(page)
    assert "added by manager" in text_of(page)
    wait_for("the hub", lambda: hub.groups("sam") == {"science/course"})
    assert sources(store, "ana") == {"manual": "member"}


def test_names_that_nobody_has_need_a_tick(hub, store, manager):
    page = send(manager, COURSE, action="add", names="ben newcomer", role="manager")
    assert page.status_code == 400
    assert "nobody called newcomer" in text_of(page)
    assert "They have not logged in yet: newcomer" in text_of(page)
    assert "ben newcomer" in page.text, "what was typed stays"
    assert sources(store, "ben") == {}, "nobody is added by halves"
    send(manager, COURSE, action="add", names="ben newcomer", role="member", new="1")
    assert sources(store, "ben") == sources(store, "newcomer") == {"manual": "member"}
    marked, api = "newcomer member has not logged in yet", f"{GROUPS}api/groups/science%2Fcourse"
    token = {"Authorization": f"token {manager.token()}"}

    def not_logged_in() -> set[str]:
        found = httpx.get(f"{hub.base}{api}/members", headers=token, timeout=30).json()["members"]
        return {one["user"] for one in found if one["not_logged_in"]}

    page = text_of(manager.get(COURSE))
    assert marked in page
    assert "ben member by hand" in page, "whom the hub has looks as ever"
    assert "newcomer" in not_logged_in()
    assert "ben" not in not_logged_in()
    hub.login("newcomer")
    assert hub.groups("newcomer") == {"science/course"}
    assert marked not in text_of(manager.get(COURSE))
    assert "newcomer" not in not_logged_in()


async def test_nobody_is_marked_where_the_hub_can_not_be_asked():
    async def down(*_args):
        raise OSError

    desk = SimpleNamespace(context=SimpleNamespace(hub_api=down))
    assert await not_logged_in(desk, ["sam"]) == frozenset()


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"action": "add", "names": " "}, "Write whom to add"),
        ({"action": "add", "names": "sam", "until": "soon"}, "“soon” is no day"),
        ({"action": "add", "names": "sam", "until": "2020-01-01"}, "2020-01-01 is over"),
        ({"action": "add", "names": "sam", "role": "boss"}, "A role is member or manager"),
        ({"action": "remove"}, "Tick who is meant"),
        ({"action": "link", "until": ""}, "Write until when"),
        ({"action": "link", "until": "2099-01-01"}, "a year at most"),
        ({"action": "roster"}, "The file is empty"),
        ({"action": "roster", "roster": "user,role\nsam,boss"}, "'boss'"),
        ({"action": "revoke", "id": "x"}, "did not work any more"),
        ({"action": "approve", "id": "9"}, "waits no longer"),
        ({}, "Choose what to do"),
    ],
)
def test_what_can_not_be_done_is_said(manager, form, words):
    page = send(manager, COURSE, **form)
    assert page.status_code == 400
    assert words in text_of(page)


def test_several_are_taken_out_and_who_stays_is_named(store, manager):
    put_members(store, "science/course", ["kim", "lee", "mia"], BY)
    page = send(manager, COURSE, action="remove", user=["kim", "lee", "mia"])
    assert "2 are taken out. kim stays, by roster roster.csv." in text_of(page)
    assert sources(store, "kim") == {"roster:roster.csv": "member"}
    page = send(manager, COURSE, action="remove", user="kim")
    assert "kim stays, by roster roster.csv." in text_of(page)


def test_roles_and_ends(store, manager):
    put_members(store, "science/course", ["lee", "mia"], BY)
    send(manager, COURSE, action="manager", user=["lee", "kim"])
    assert sources(store, "lee") == {"manual": "manager"}
    assert sources(store, "kim") == {"roster:roster.csv": "member", "manual": "manager"}
    page = send(manager, COURSE, action="end", user=["lee", "kim"], until="2098-12-24")
    assert "another source" in text_of(page).lower()
    assert "kim (roster roster.csv)" in text_of(page)
    page = send(manager, COURSE, action="member", user=["lee", "kim", "manager"])
    assert "manager (roster roster.csv)" in text_of(page)
    assert sources(store, "lee") == {"manual": "member"}
    (lee,) = store.standings("lee")
    assert iso(lee.membership.until or 0) == "2098-12-25T00:00:00Z", "the end of the day counts"


def test_a_list_of_members_makes_no_manager_less(store, manager):
    put_members(store, "science/course", ["lee"], BY, role="manager")
    send(manager, COURSE, action="add", names="lee sam", role="member", new="1")
    assert sources(store, "lee") == {"manual": "manager"}
    put_members(store, "science/course", ["lee"], BY)


def test_nobody_gives_away_their_own_group_without_a_question(hub, store):
    put_members(store, "seminar", ["tutor", "sam"], BY, role="manager")
    tutor, page = hub.login("tutor"), f"{GROUPS}groups/seminar"
    for action in ("remove", "member"):
        asked = send(tutor, page, action=action, user=["tutor", "sam"])
        assert asked.status_code == 400
        assert "You would not manage seminar any more" in text_of(asked)
        assert store.managed_by("tutor") == ("seminar",)
        assert 'name="sure"' in asked.text
    asked = send(tutor, GROUPS, action="leave", group="seminar")
    assert "You would not manage seminar any more" in text_of(asked)
    answer = send(tutor, page, action="member", user="tutor", sure="1")
    assert answer.status_code == 404, "done, and so no longer theirs to see"
    assert store.managed_by("tutor") == ()
    assert "You have left seminar." in text_of(send(tutor, GROUPS, action="leave", group="seminar"))
    assert sources(store, "tutor", "seminar") == {}


def test_my_groups_says_every_reason(hub, store):
    put_members(store, "science/course", ["member"], BY, until=store.clock() + 3 * DAY)
    member = hub.login("member")
    said = text_of(member.get(GROUPS))
    assert "roster roster.csv since" in said
    assert "by hand since" in said
    assert "added by prof-ada" in said
    assert "until" in said
    assert "manages" not in said
    left = text_of(send(member, GROUPS, action="leave", group="science/course"))
    assert "You are still in science/course, by roster roster.csv." in left
    refused = send(member, GROUPS, action="leave", group="science/course")
    assert refused.status_code == 400
    assert "no group that you could leave" in text_of(refused)


ROSTER = "user,group,role\nsam,science/course,\nzoe,science/course,manager\nyan,science/course/a,\n"


def upload(visitor: Visitor, content: bytes, name: str = "r.csv") -> httpx.Response:
    return send(visitor, COURSE, {"file": (name, content, "text/csv")}, action="roster")


def hidden(page: httpx.Response, name: str) -> str:
    return html.unescape(re.search(rf'name="{name}" value="([^"]*)"', page.text)[1])


def test_a_roster_shows_the_difference_before_it_is_applied(store, manager):
    page = upload(manager, ROSTER.encode())
    assert "3 come, 0 go, 0 get another role" in text_of(page)
    assert sources(store, "zoe") == {}
    sent = {name: hidden(page, name) for name in ("roster", "mark")}
    assert "The roster holds now." in text_of(send(manager, COURSE, action="roster-apply", **sent))
    assert sources(store, "zoe") == {"roster:upload": "manager"}
    assert sources(store, "yan", "science/course/a") == {"roster:upload": "member"}
    page = upload(manager, ROSTER.replace("zoe,science/course,manager\n", "").encode("utf-16"))
    assert "0 come, 1 go" in text_of(page)
    sent = {name: hidden(page, name) for name in ("roster", "mark")}
    store.replace_source("roster:upload", {"science/course": {"xia": "member"}}, ["science/course"])
    again = send(manager, COURSE, action="roster-apply", **sent)
    assert "1 come, 1 go" in text_of(again), "another difference is another question"
    sent = {name: hidden(again, name) for name in ("roster", "mark")}
    send(manager, COURSE, action="roster-apply", **sent)
    assert sources(store, "zoe") == sources(store, "xia") == {}
    page = upload(manager, ROSTER.replace("zoe,science/course,manager\n", "").encode())
    assert "Nothing: it says what" in text_of(page)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"user,group\nsam,elsewhere\n", "is neither science/course nor below it"),
        (b"PK\x03\x04", "is a workbook"),
        (b"", "The file is empty"),
        (b"user,group\n" + b"x" * 1_000_001, "too large"),
        (b"user,group\na\x01b,science/course\n", "is no user name"),
    ],
)
def test_a_roster_that_can_not_be_is_said(manager, content, words):
    page = upload(manager, content)
    assert page.status_code == 400
    assert words in text_of(page)


def test_a_roster_with_names_in_another_column_is_led_to_the_field_for_it(manager):
    field = r'<details class="mb-2"( open)?><summary class="small">Another column'
    page = upload(manager, b"student,mail\nsam,sam@x.org\n")
    assert page.status_code == 400
    said = text_of(page)
    assert "the header has no column 'user' but 'student', 'mail'; a roster starts with" in said
    assert "Where user names stand in another column, write its name below." in said
    assert re.search(field, page.text)[1], "the field is shown"
    page = upload(manager, b"user,role\nsam,student\n")
    assert "'student' is not a role; it is member or manager, or empty for member." in text_of(page)
    assert not re.search(field, page.text)[1]


def test_the_export_is_safe_for_spreadsheets_and_is_a_roster(store, manager):
    put_members(store, "science/course", ["=cmd|x"], BY)
    answer = manager.get(f"{COURSE}?export=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "science-course-members.csv" in answer.headers["Content-Disposition"]
    lines = answer.text.splitlines()
    assert lines[0] == "user,group,role,source,since,until,added_by"
    assert any(line.startswith("'=cmd|x,science/course,member,manual,20") for line in lines)
    assert not any(line.startswith("=") for line in lines)
    send(manager, COURSE, action="remove", user="=cmd|x")


# -- links --------------------------------------------------------------------------------------


def make_link(store: GroupStore, group: str = "science/course", **wanted) -> str:
    until = store.clock() + DAY
    return links.make_link(store, group, WantedLink(until, **wanted), BY).code


def test_a_link_from_making_to_revoking(hub, store, manager):
    soon = iso(store.clock() + 30 * DAY)[:10]
    page = send(manager, COURSE, action="link", until=soon, most="1")
    assert "The link is made" in text_of(page)
    assert text_of(page).count(f"until {soon}") == 2, "the link and what was changed"
    assert f"manager made a link by which people join science/course, until {soon}" in text_of(page)
    link = re.search(r'readonly value="([^"]*)"', page.text)[1]
    assert link.startswith(f"{hub.base}services/groups/join/")
    guest = hub.login("guest")
    shown = guest.get(link)
    assert "manager invites you to science/course" in text_of(shown)
    assert f"The link works until {soon}." in text_of(shown)
    assert sources(store, "guest") == {}, "nothing is changed by looking"
    joined = send(guest, link.removeprefix(hub.base))
    assert "You are in science/course now." in text_of(joined)
    assert sources(store, "guest") == {"link": "member"}
    assert "already" in text_of(guest.get(link))
    late = hub.login("late").get(link)
    assert late.status_code == 410
    assert "is used up" in text_of(late)
    id = links.links_of(store, "science/course")[0].id
    send(manager, COURSE, action="revoke", id=str(id))
    assert "was revoked. Ask manager" in text_of(hub.login("late").get(link))


def test_who_is_told_that_they_are_in_is_in_for_the_hub_too(hub, store):
    early, code = hub.login("early"), make_link(store)
    time.sleep(6)  # for some seconds after a login, nothing else touches a user's groups
    began = time.monotonic()
    assert "You are in science/course now." in text_of(send(early, f"{GROUPS}join/{code}"))
    took = time.monotonic() - began
    assert hub.groups("early") == {"science/course"} or took > 2, "or the machine is too slow"


async def test_a_hub_that_is_slow_is_not_waited_for_any_longer(tmp_path):
    store = GroupStore(f"sqlite:///{tmp_path}/groups.sqlite")
    put_members(store, "geo", ["sam"], BY)
    desk = SimpleNamespace(store=store, user="sam", ask=asyncio.to_thread)
    began = time.monotonic()
    await wait_for_hub(desk, "geo")
    assert 1.9 < time.monotonic() - began < 10
    pending.settle(store, pending.take(store, 9))
    began = time.monotonic()
    await wait_for_hub(desk, "geo")
    assert time.monotonic() - began < 1
    store.close()


def test_who_is_not_logged_in_comes_back_to_the_link(hub, store):
    code = make_link(store)
    visitor = Visitor(hub, "wanderer")
    login = visitor.get(f"{GROUPS}join/{code}")
    assert login.url.path == "/hub/login"
    action = html.unescape(re.search(r'<form action="([^"]*)"', login.text)[1])
    form = {"username": "wanderer", "password": "", "_xsrf": visitor.xsrf("/hub/")}
    page = visitor.post(action.removeprefix("/"), data=form)
    assert page.url.path == f"/services/groups/join/{code}"
    assert "prof-ada invites you" in text_of(page)


def test_a_code_can_be_typed(hub, store):
    code = make_link(store)
    sam = hub.login("typist")
    page = sam.get(f"{GROUPS}join?code={code[:4].lower()}-{code[4:]}")
    assert page.url.path.endswith(f"/join/{code}")
    wrong = sam.get(f"{GROUPS}join?code=nope")
    assert wrong.status_code == 404
    assert "No link has this code." in text_of(wrong)


def test_who_asks_is_told(hub, store, manager):
    code = make_link(store, asks=True)
    path = f"{GROUPS}join/{code}"
    for name in ("asker", "other"):
        visitor = hub.login(name)
        assert "A manager of the group has to say yes first." in text_of(visitor.get(path))
        page = send(visitor, path)
        assert "You have asked to join science/course" in text_of(page)
    assert "2 people wait for an answer" in text_of(manager.get(GROUPS))
    assert "2 people wait for an answer" in text_of(manager.get(COURSE))
    yes, no = links.waiting(store, lambda group: True)
    assert "asker is in science/course now." in text_of(
        send(manager, GROUPS, action="approve", id=str(yes.id))
    )
    send(manager, COURSE, action="decline", id=str(no.id))
    assert "join link since" in text_of(hub.login("asker").get(GROUPS))
    assert "manager has said no to your request" in text_of(hub.login("other").get(GROUPS))
    again = hub.login("other")
    send(again, path)
    (request,) = links.waiting(store, lambda group: True)
    page = send(again, GROUPS, action="withdraw", id=str(request.id))
    assert "Your request is withdrawn." in text_of(page)


def test_codes_can_not_be_tried_one_after_the_other(hub):
    guesser = hub.login("guesser")
    said = [guesser.get(f"{GROUPS}join/{n:012}").status_code for n in range(75)]
    assert said[:50] == [404] * 50
    assert 429 in said


# -- groups -------------------------------------------------------------------------------------


def test_an_admin_makes_a_group_of_its_first_manager(hub, store):
    admin = hub.login("admin")
    form = {"group": "arts/new", "names": "chief", "role": "manager"}
    asked = send(admin, f"{GROUPS}groups", **form)
    assert asked.status_code == 400
    assert "chief has not logged in yet" in text_of(asked)
    made = send(admin, f"{GROUPS}groups", new="1", **form)
    assert made.url.path == "/services/groups/groups/arts/new"
    assert "The group is made." in text_of(made)
    assert store.managed_by("chief") == ("arts/new",)
    again = send(admin, f"{GROUPS}groups", new="1", **form)
    assert "There is a group arts/new already." in text_of(again)
    for wrong in ("a//b", "\x01", "a" * 256):
        assert "name has up to 255" in text_of(
            send(admin, f"{GROUPS}groups", new="1", group=wrong, names="chief")
        )
    listed = text_of(admin.get(f"{GROUPS}groups?q=arts"))
    assert "arts/new 1 member managed by chief" in listed
    assert "2 groups" not in listed


@pytest.mark.parametrize(
    ("group", "meaning"), [("default", "everybody without a group"), ("*", "the whole hub")]
)
def test_people_make_no_group_that_limits_mean_something_else_by(hub, store, group, meaning):
    admin = hub.login("admin")
    said = f"“{group}” means {meaning}, so nobody is put into a group of that name: choose another"
    made = send(admin, f"{GROUPS}groups", group=group, names="sam")
    assert (made.status_code, said in text_of(made)) == (400, True)
    api = {"Authorization": f"token {admin.token()}"}
    address = f"{hub.base}{GROUPS}api/groups/{quote(group)}"
    answer = httpx.post(f"{address}/members", headers=api, json={"users": ["sam"]}, timeout=30)
    assert (answer.status_code, said in answer.json()["detail"]) == (400, True)
    assert store.sizes([group]) == {}


def test_a_default_group_of_a_login_goes_on_and_people_put_nobody_into_it(hub, store):
    store.replace_source("idp:login", {"default": {"sam": "member", "ana": "manager"}}, ["default"])
    wait_for("the hub", lambda: "default" in hub.groups("sam"))
    ana, page = hub.login("ana"), f"{GROUPS}groups/default"
    assert "sam" in text_of(ana.get(page)).partition("Members")[2]
    soon = iso(store.clock() + DAY)[:10]
    roster = "user,group\nben,default\n"
    for form in (
        {"action": "add", "names": "ben"},
        {"action": "link", "until": soon},
        {"action": "roster", "roster": roster},
    ):
        refused = send(ana, page, **form)
        assert refused.status_code == 400, form
        assert "so nobody is put into a group of that name" in text_of(refused), form
    assert store.sizes(["default"]) == {"default": 2}
    store.replace_source("idp:login", {}, ["default"])


def test_the_first_people_of_a_group_are_members_unless_somebody_says_managers(hub, store):
    admin = hub.login("admin")
    page = admin.get(f"{GROUPS}groups").text
    (roles,) = re.findall(r'<select [^>]*name="role">(.*?)</select>', page)
    assert re.findall(r'value="(\w+)"( selected)?', roles) == [("member", ""), ("manager", "")]
    about = page.partition('id="new-names-about">')[2].partition("<")[0]
    (adding,) = re.findall(r'id="names-about">([^<]*)<', admin.get(COURSE).text)
    assert about == adding, "names are given in the same ways as below Add people"
    send(admin, f"{GROUPS}groups", group="arts/course", names="sam\nana")
    assert store.managers(["arts/course"]).get("arts/course", ()) == ()
    assert store.sizes(["arts/course"]) == {"arts/course": 2}
    again = send(admin, f"{GROUPS}groups", group="arts/other", names="nobody", role="manager")
    assert '<option value="manager" selected>' in again.text, "what was chosen stays"


def test_archiving_says_what_it_does_and_takes_nothing_for_good(hub, store):
    put_members(store, "science/old", ["sam", "ana"], BY)
    wait_for("the hub", lambda: "science/old" in hub.groups("sam"))
    code = make_link(store, "science/old")
    head, page = hub.login("head"), f"{GROUPS}groups/science/old"
    asked = text_of(send(head, page, action="archive"))
    assert "2 members lose the group in the hub" in asked
    assert f"1 join link is revoked: {code}." in asked
    assert "science/old" in hub.groups("sam")
    assert "The group is archived." in text_of(send(head, page, action="archive", sure="1"))
    wait_for("the hub", lambda: "science/old" not in hub.groups("sam"))
    assert "archived" in text_of(hub.login("sam").get(GROUPS))
    assert hub.login("kim").get(f"{GROUPS}join/{code}").status_code == 410
    assert "science/old archived" in text_of(head.get(f"{GROUPS}groups?show=archived"))
    send(head, page, action="restore")
    wait_for("the hub", lambda: "science/old" in hub.groups("sam"))


def test_who_was_put_in_by_the_hub_itself_is_named(hub, store):
    put_members(store, "club", ["sam"], BY)
    wait_for("the hub", lambda: "club" in hub.groups("sam"))
    assert hub.api("groups/club/users", "POST", json={"users": ["ben", "sam"]}).is_success
    said = text_of(hub.login("admin").get(f"{GROUPS}groups/club"))
    assert "1 more was put into this group in the hub itself" in said
    assert "after their next login: ben" in said
    hub.login("ben")
    assert sources(store, "ben", "club") == {"manual": "member"}


# -- hostile input ------------------------------------------------------------------------------


def places(text: str):
    """Where it goes. Nothing of this could be right."""
    part = quote(text[:2000], safe="").replace("%2F", "%252F")
    course = "api/groups/science%2Fcourse"
    yield "GET", f"groups/{part}", {}
    yield "GET", f"api/groups/x{part}", {}
    yield "DELETE", f"{course}/members/{part}", {}
    yield "PATCH", f"{course}/members/{part}", {"json": {"role": "member"}}
    yield "DELETE", f"{course}/links/{part}", {}
    yield "POST", f"api/requests/{part}/approve", {}
    yield "GET", "api/groups", {"params": {"limit": f"x{text[:4000]}"}}
    yield "POST", f"{course}/members", {"json": {"users": ["sam"], "until": f"x{text}"}}
    yield "POST", f"{course}/links", {"json": {"until": text[:40] or "x"}}
    yield "POST", f"{course}/roster", {"json": {"content": text}}
    yield "POST", f"{course}/roster", {"json": {"content": "user,group\na,b", "user": text}}
    yield "POST", f"{course}/members", {"content": text.encode("utf-8", "replace")}
    yield "POST", "groups/science/course", {"data": {"action": text}}
    yield "POST", "groups/science/course", {"data": {"action": "add", "names": "a", "until": text}}
    yield (
        "POST",
        "groups/science/course",
        {"data": {"action": "add", "names": f"{text}<x", "role": "x"}},
    )
    yield "POST", "groups/science/course", {"data": {"action": "roster", "roster": text}}
    yield "POST", "groups/science/course", {"data": {"action": "approve", "id": text}}
    yield "POST", "groups/science/course", {"data": {"action": "link", "until": text}}
    yield "POST", "groups", {"data": {"group": f"{text}\x00", "names": "no-such-user"}}
    yield "POST", "", {"data": {"action": "leave", "group": text}}
    yield "POST", "", {"data": {"action": text, "id": text}}


def test_hostile_input_leaves_no_trace_but_a_clear_refusal(hub, store):
    before = store.standings()
    token = {"Authorization": f"token {hub.settings['token']}g"}
    with httpx.Client(base_url=f"{hub.base}services/groups/", headers=token, timeout=60) as robot:
        for text in HOSTILE:
            for method, address, sent in places(text):
                answer = robot.request(method, address, **sent)
                where = (method, address[:60], text[:30], answer.status_code, answer.text[-300:])
                assert 400 <= answer.status_code < 500, (*where, sent)
                assert "hostile" not in answer.headers.get("Set-Cookie", ""), where
                assert "X-Hostile" not in answer.headers, where
                assert len(answer.text) < 350_000, where
                if answer.headers["Content-Type"].startswith("text/html"):
                    assert text == "-1" or text not in answer.text or is_plain(text), where
                else:
                    assert answer.json()["detail"], where
    assert store.standings() == before
    assert "Traceback" not in hub.log
