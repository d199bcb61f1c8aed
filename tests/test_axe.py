"""Every page, as everybody sees it: for axe-core, on phones and desktops, light and dark, narrow,
and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import town
from axe import violations
from hubs import Hub
from playwright.sync_api import Page
from town import GEO

from hub_quotas.policy import Policy

QUOTAS = "services/quotas/"
PAGES = {
    "my usage": QUOTAS,
    "groups": f"{QUOTAS}groups",
    "groups, searched": f"{QUOTAS}groups?q=geo&show=attention&sort=used",
    "no group found": f"{QUOTAS}groups?q=nowhere",
    "groups below one": f"{QUOTAS}groups?under=earth-sciences",
    "group": f"{QUOTAS}groups/{GEO}",
    "group above": f"{QUOTAS}groups/earth-sciences",
    "empty group": f"{QUOTAS}groups/library",
    "whole hub": f"{QUOTAS}groups/*",
    "audit": f"{QUOTAS}audit",
    "audit of a group": f"{QUOTAS}audit?group={GEO}",
    "plans": f"{QUOTAS}plans",
    "prices": f"{QUOTAS}prices",
    "storage": f"{QUOTAS}storage",
    "policy": f"{QUOTAS}policy",
    "reports": f"{QUOTAS}reports",
    "report": f"{QUOTAS}reports/{GEO}",
    "report of the hub": f"{QUOTAS}reports/*",
    "empty report": f"{QUOTAS}reports/library?month=2026-01",
    "ask": f"{QUOTAS}ask",
    "ask for one": f"{QUOTAS}ask?group={GEO}&limit=member.cpu-hours",
    "help": f"{QUOTAS}help?what=No%20server",
    "menu": f"{QUOTAS}menu",
    "asks": f"{QUOTAS}asks",
    "boosts": f"{QUOTAS}boosts?group={GEO}",
    "API reference": f"{QUOTAS}api/",
    "no such page": f"{QUOTAS}none",
    "no such group": f"{QUOTAS}groups/none",
    "groups and members": "services/groups/",
    "launch links": "services/launch/?file=first-map.ipynb",
    "launch keys": "services/launch/keys",
    "launch": "services/launch/open?repo=https://git.invalid/geo-book&file=a.ipynb&profile=small",
    "wrong launch": "services/launch/open?file=../secret",
}
THEIRS = {
    "admin": set(PAGES),
    "prof-ada": {
        *("my usage", "groups", "group", "audit", "audit of a group", "reports", "report", "ask"),
        *("asks", "boosts", "groups and members", "help", "menu"),
    },
    "sam": {"my usage", "ask", "ask for one", "help", "menu", "groups and members"},
}
MISSING = {"no such page": 404, "no such group": 404, "wrong launch": 400}
SCREENS = [(1000, 800, "light"), (1000, 800, "dark"), (360, 740, "light"), (360, 740, "dark")]


pytestmark = pytest.mark.slow  # the journeys of test_browser.py ask axe too


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("town")
    town.live(hub)
    town.fill(hub)
    town.work(hub, {"sam": "small", "ana": "gpu", "kim": "large"})
    return hub


def log_in(page: Page, hub: Hub, user: str) -> Page:
    page.goto(f"{hub.base}hub/login?next=/hub/token")
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/hub/token"))
    return page


def opened(page: Page, hub: Hub, user: str) -> Iterator[str]:
    """Go to each of their pages, one after the other, with all that can be unfolded unfolded."""
    for name in (name for name in PAGES if name in THEIRS[user]):
        answer = page.goto(hub.base + PAGES[name])
        assert answer and answer.status == MISSING.get(name, 200), (name, answer and answer.status)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        yield name


def too_wide(page: Page) -> str:
    """What reaches out of a window that is 320 pixels wide, without a box of its own to scroll."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? "" :
        [...document.querySelectorAll("main *, nav *")].filter((e) =>
          e.getBoundingClientRect().right > innerWidth && !e.closest(".table-responsive"))
        .slice(0, 3).map((e) => e.outerHTML.slice(0, 200)).join("\\n") || "?" """
    )


def look(page: Page) -> str:
    """What is wrong with a page on any screen; axe's words, and what is too wide."""
    found = []
    for width, height, scheme in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # and no fading
        if wrong := violations(page):
            found.append(f"-- {width} {scheme}\n{wrong}")
    page.set_viewport_size({"width": 320, "height": 640})
    if wide := too_wide(page):
        found.append(f"-- wider than 320\n{wide}")
    return "\n".join(found)


def say(found: dict[str, str]) -> str:
    return "\n\n".join(f"== {name}\n{what}" for name, what in found.items() if what)


@pytest.mark.parametrize("user", THEIRS)
def test_nothing_is_wrong_with_any_page(hub, new_page, user):
    page = log_in(new_page(), hub, user)
    found = {name: look(page) for name in opened(page, hub, user)}
    assert set(found) == THEIRS[user]
    assert not say(found), say(found)


GROUP_PATH = f"{QUOTAS}groups/{GEO}"


def a_form_that_is_wrong(page: Page, hub: Hub) -> None:
    page.goto(hub.base + GROUP_PATH)
    page.get_by_label("GPU-hours, the whole group").fill("300")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("a budget needs a window").wait_for()


def a_form_that_is_checked(page: Page, hub: Hub) -> None:
    page.goto(hub.base + GROUP_PATH)
    page.get_by_label("GPU-hours, the whole group").fill("40 per 30d")
    page.get_by_text("this would have refused").wait_for()
    page.get_by_text("Which starts").click()


def a_boost_that_can_not_be(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.base}{QUOTAS}boosts?group={GEO}")
    page.get_by_text("Give more for a while").click()
    page.get_by_label("In all").fill("lots")
    page.get_by_label("Until the end of").fill("2030-01-01")
    page.get_by_role("button", name="Give it").click()
    page.locator("[aria-invalid]").wait_for()


def a_policy_to_import(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.base}{QUOTAS}policy")
    page.get_by_label("or its text").first.fill("groups: {library: {limits: {group.cpu: 4}}}")
    page.get_by_role("button", name="Show what would change").first.click()
    page.get_by_role("heading", name="What would change").wait_for()


def a_login_that_has_ended(page: Page, hub: Hub) -> None:
    page.goto(hub.base + GROUP_PATH)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.get_by_label("Why, for the record").first.fill("exams")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Nothing is lost").wait_for()
    page.context.add_cookies(cookies)


def a_hub_without_limits(page: Page, hub: Hub) -> None:
    before = hub.ledger().policy()
    hub.ledger().apply(Policy(), "tests", "tests")
    try:
        page.goto(f"{hub.base}{QUOTAS}groups")
        page.get_by_role("heading", name="Set a first limit").wait_for()
    finally:
        hub.ledger().apply(before, "tests", "tests")


def a_request_for_help(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.base}{QUOTAS}help")
    page.get_by_role("button", name="Make the text").click()
    page.get_by_role("link", name="Write an e-mail to hub-help@example.org").wait_for()


def the_menu_of_a_phone(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.base}{QUOTAS}")
    if page.get_by_role("button", name="Menu").is_visible():
        page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Launch").wait_for()


STATES = [
    *(a_form_that_is_wrong, a_form_that_is_checked, a_boost_that_can_not_be, a_policy_to_import),
    *(a_login_that_has_ended, a_hub_without_limits, the_menu_of_a_phone),
    a_request_for_help,
]


@pytest.mark.parametrize("user", THEIRS)
def test_german_fits_on_a_narrow_phone_too(hub, new_page, user):
    page = log_in(new_page(viewport={"width": 320, "height": 640}, locale="de"), hub, user)
    found = {}
    for name in opened(page, hub, user):
        assert page.locator("html").get_attribute("lang") == "de"
        found[name] = too_wide(page)
    assert not say(found), say(found)


def test_nothing_is_wrong_after_something_was_done(hub, new_page):
    page = log_in(new_page(), hub, "admin")
    found = {}
    for reach in STATES:
        page.set_viewport_size({"width": 360, "height": 740})
        reach(page, hub)
        found[reach.__name__] = look(page)
    assert not say(found), say(found)


def test_nothing_is_wrong_with_what_we_put_on_the_home_page(hub, new_page):
    page = log_in(new_page(), hub, "sam")
    page.goto(f"{hub.base}hub/home")
    summary = "section[aria-label='What I have left']"
    assert page.locator(summary).get_by_role("link", name="My usage").is_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert not violations(page, summary)


@pytest.mark.parametrize("user", THEIRS)
def test_everything_can_be_read_without_javascript(hub, new_page, user):
    """The same words and the same forms, though nothing is refreshed and nothing folds."""
    page = new_page(java_script_enabled=False)
    log_in(page, hub, user)
    for name in (name for name in PAGES if name in THEIRS[user]):
        answer = page.goto(hub.base + PAGES[name])
        assert answer and answer.status == MISSING.get(name, 200), name
        assert page.locator("main h1").inner_text(), name
        for form in page.locator("main form").all():
            assert form.locator("button").count(), f"{name}: a form that only a script can send"
