"""The groups pages, as everybody sees them: for axe-core, on phones and desktops, light and dark,
narrow, and without JavaScript."""

from __future__ import annotations

import pytest
from hubs import Hub, wait_for
from playwright.sync_api import Page
from test_axe import log_in, look, say

from hub_groups import links
from hub_groups.joining import WantedLink
from hub_groups.people import By, archive, put_members
from hub_groups.store import GroupStore

GROUPS = "services/groups/"
COURSE = f"{GROUPS}groups/science/course"
DAY = 86_400
BY = By("manager", "page")
PAGES = {
    "my groups": GROUPS,
    "groups": f"{GROUPS}groups",
    "no group found": f"{GROUPS}groups?q=nowhere",
    "group": COURSE,
    "group, searched": f"{COURSE}?m=s&page=2",
    "group that is over": f"{GROUPS}groups/science/old",
    "link": "",
    "link that asks": "",
    "wrong link": f"{GROUPS}join/none",
    "join": f"{GROUPS}join",
    "API reference": f"{GROUPS}api/",
}
THEIRS = {
    "admin": set(PAGES),
    "manager": {"my groups", "groups", "group", "group, searched"},
    "sam": {"my groups", "link", "link that asks", "wrong link", "join"},
}
MISSING = {"wrong link": 404}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    more = "".join(f"s{n:03},science/course,\n" for n in range(60))
    hub = start_hub("people", more_roster=more)
    store = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    wait_for("the roster", lambda: store.sizes(["science/course"]))
    at = store.clock()
    put_members(store, "science/course", ["ana", "admin"], BY, until=at + 9 * DAY)
    put_members(store, "science/old", ["ana"], BY)
    archive(store, "science/old", BY)
    codes = []
    for wanted in (WantedLink(at + DAY), WantedLink(at + DAY, asks=True, member_until=at + DAY)):
        codes.append(links.make_link(store, "law", wanted, BY).code)
        links.make_link(store, "science/course", wanted, BY)
    put_members(store, "law", ["prof"], BY, role="manager")
    PAGES["link"], PAGES["link that asks"] = (f"{GROUPS}join/{code}" for code in codes)
    asks = links.links_of(store, "science/course")[0]
    links.join(store, asks.code, "kim2", "page")
    links.join(store, asks.code, "sam", "page")
    links.revoke(store, "science/course", links.links_of(store, "science/course")[1].id, BY)
    return hub


def opened(page: Page, hub: Hub, user: str):
    for name in (name for name in PAGES if name in THEIRS[user]):
        answer = page.goto(hub.base + PAGES[name])
        assert answer and answer.status == MISSING.get(name, 200), (name, answer and answer.status)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        yield name


@pytest.mark.parametrize("user", THEIRS)
def test_nothing_is_wrong_with_any_page(hub, new_page, user):
    page = log_in(new_page(), hub, user)
    found = {name: look(page) for name in opened(page, hub, user)}
    assert set(found) == THEIRS[user]
    assert not say(found), say(found)


def unknown_names(page: Page) -> None:
    page.get_by_label("User names or e-mail addresses").fill("sam, nobody-yet")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("They have not logged in yet").wait_for()


def a_roster(page: Page) -> None:
    content = b"user,group,role\nnew,science/course,manager\nother,science/course/a,\n"
    file = {"name": "r.csv", "mimeType": "text/csv", "buffer": content}
    page.get_by_label("A CSV file").set_input_files(file)
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("heading", name="What the roster would change").wait_for()


def the_end_of_it(page: Page) -> None:
    page.get_by_role("button", name="Archive the group").click()
    page.get_by_role("heading", name="Archive science/course?").wait_for()


def what_was_done(page: Page) -> None:
    page.get_by_text("Make a link").click()
    page.get_by_role("button", name="Make the link").click()
    page.get_by_text("The link is made").wait_for()


def test_nothing_is_wrong_after_something_was_sent(hub, new_page):
    page = log_in(new_page(), hub, "admin")
    found = {}
    for reach in (unknown_names, a_roster, the_end_of_it, what_was_done):
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(hub.base + COURSE)
        reach(page)
        found[reach.__name__] = look(page)
    assert not say(found), say(found)


def test_a_question_comes_before_somebody_is_taken_out(hub, new_page):
    page = log_in(new_page(), hub, "manager")
    page.goto(f"{hub.base}{COURSE}?m=ana")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Take out · ana").click()
    page.get_by_label("Tick ana").check()
    page.get_by_role("button", name="Take out", exact=True).click()
    assert asked == [
        "Take ana out of science/course?",
        "Take all who are ticked out of science/course?",
    ]
    page.reload()
    assert page.get_by_text("ana", exact=True).is_visible()
    page.get_by_label("tick all on this page").check()
    assert page.get_by_label("Tick ana").is_checked()


@pytest.mark.parametrize("user", THEIRS)
def test_everything_can_be_read_without_javascript(hub, new_page, user):
    page = new_page(java_script_enabled=False)
    log_in(page, hub, user)
    for name in (name for name in PAGES if name in THEIRS[user]):
        answer = page.goto(hub.base + PAGES[name])
        assert answer and answer.status == MISSING.get(name, 200), name
        assert page.locator("main h1").inner_text(), name
        for form in page.locator("main form").all():
            assert form.locator("button").count(), f"{name}: a form that only a script can send"
