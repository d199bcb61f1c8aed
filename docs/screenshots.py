"""Make the pictures in docs/images: `make screenshots`. A hub with a past of 30 days is made up for
it (tests/town.py), so that the pages look as they do on a hub that is used."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import town  # noqa: E402
from chromium import open_chromium  # noqa: E402
from hubs import Hub, wait_for  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402
from test_axe import log_in  # noqa: E402
from town import GEO  # noqa: E402

from share_links.forms import write  # noqa: E402
from share_links.launch import Content, Environment, Launch, Target  # noqa: E402
from share_links.links import Terms  # noqa: E402
from share_links.store import LinkStore  # noqa: E402

QUOTAS = "services/quotas/"
DESK = {"viewport": {"width": 1000, "height": 760}}
PHONE = {"viewport": {"width": 360, "height": 740}}
RUNNING = {
    **{"sam": "small", "ana": "gpu", "ben": "gpu", "eli": "large", "fay": "small"},
    **{"kim": "large", "mia": "large", "quin": "small", "tom": "small"},
}


def change_a_budget(page: Page) -> None:
    """With the what-if; nothing is saved."""
    page.get_by_role("textbox", name="GPU-hours, the whole group").fill("40 per 30d")
    page.get_by_text("would have refused").wait_for()
    page.locator("#limits").scroll_into_view_if_needed()
    page.evaluate("document.activeElement.blur()")


def go_to_its_members(page: Page) -> None:
    page.evaluate("document.getElementById('boosts-title').scrollIntoView()")


def import_a_policy(page: Page) -> None:
    text = "group,plan,managers,group.gpu-hours\nlibrary,course-small,li,40 per month\n"
    page.get_by_label("or its text").last.fill(text)
    page.get_by_role("button", name="Show what would change").last.click()
    page.get_by_role("heading", name="What would change").wait_for()


def ask(page: Page) -> None:
    page.get_by_label("How much you need in all").fill("80")
    page.get_by_label("Until the end of").fill(f"{date.today() + timedelta(days=14)}")
    page.get_by_label("What for").fill("Two long runs for my thesis")
    page.get_by_text("You ask for").wait_for()
    page.evaluate("document.activeElement.blur()")


def make_a_request(page: Page) -> None:
    page.get_by_label("What did you want to do").fill("My second server does not start")
    page.get_by_label("My browser", exact=True).uncheck()
    page.get_by_role("button", name="Make the text").click()
    page.get_by_role("heading", name="Your request").wait_for()


def end_the_login(page: Page) -> None:
    page.context.clear_cookies()
    page.get_by_label("Why, for the record").first.fill("Exam week")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Nothing is lost").wait_for()


def try_rules(page: Page) -> None:
    page.locator("#rules").fill(
        "- preset: keycloak\n- claim: auth_state.oauth_user.realm_access.roles\n"
        "  match: teaches-(?P<course>.+)\n  group: earth-sciences/{course}\n  role: manager\n"
    )
    page.locator("#claims").fill(
        '{"name": "ada",\n "auth_state": {"oauth_user": {\n'
        '   "groups": ["/earth-sciences/geo-101", "/library"],\n'
        '   "realm_access": {"roles": ["teaches-geo-101", "offline_access"]}}}}'
    )
    page.locator("#tried-title").wait_for()
    page.evaluate("document.activeElement.blur()")


Act = Callable[[Page], None]

# Name of the picture: who looks, at which page, what they do there, and how high it is at most.
PAGES: dict[str, tuple[str, str, Act | None, int]] = {
    "usage": ("sam", QUOTAS, None, 1000),
    "home": ("sam", "hub/home", None, 420),
    "home-waits": ("prof-ada", "hub/home", None, 420),
    "ask": ("sam", f"{QUOTAS}ask?group={GEO}&limit=member.cpu-hours", ask, 1100),
    "help": ("sam", f"{QUOTAS}help", None, 1500),
    "help-made": ("sam", f"{QUOTAS}help", make_a_request, 760),
    "menu": ("sam", f"{QUOTAS}menu", None, 1100),
    "groups": ("admin", f"{QUOTAS}groups", None, 960),
    "group": ("admin", f"{QUOTAS}groups/{GEO}", None, 1150),
    "group-members": ("prof-ada", f"{QUOTAS}groups/{GEO}", go_to_its_members, 0),
    "what-if": ("admin", f"{QUOTAS}groups/{GEO}", change_a_budget, 0),
    "asks": ("prof-ada", f"{QUOTAS}asks", None, 1000),
    "boosts": ("prof-ada", f"{QUOTAS}boosts?group={GEO}", None, 420),
    "audit": ("admin", f"{QUOTAS}audit", None, 900),
    "plans": ("admin", f"{QUOTAS}plans", None, 900),
    "prices": ("admin", f"{QUOTAS}prices", None, 520),
    "import": ("admin", f"{QUOTAS}policy", import_a_policy, 900),
    "storage": ("admin", f"{QUOTAS}storage", None, 1100),
    "reports": ("admin", f"{QUOTAS}reports", None, 500),
    "report": ("admin", f"{QUOTAS}reports/{GEO}", None, 1000),
    "api": ("admin", f"{QUOTAS}api/", None, 900),
    "memberships": ("prof-ada", f"services/groups/groups/{GEO}", None, 900),
    "sources": ("admin", "services/groups/sources", None, 900),
    "rules": ("admin", "services/groups/rules", try_rules, 1100),
    "group-changes": ("admin", "services/groups/audit", None, 700),
    "not-found": ("sam", f"{QUOTAS}groups/{GEO}", None, 240),
    "once-more": ("admin", f"{QUOTAS}groups/library", end_the_login, 500),
}
DARK = ("groups", "group")
SMALL = ("usage", "groups", "group", "ask", "memberships", "help")


def picture(browser: Browser, hub: Hub, name: str, file: Path, **options: object) -> None:
    user, path, act, most = PAGES[name]
    context = browser.new_context(**options, locale="en-GB", reduced_motion="reduce")
    page = log_in(context.new_page(), hub, user)
    page.goto(hub.base + path)
    if act:
        act(page)
    if not most:
        page.screenshot(path=file)
    else:
        size = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], most)}
        page.screenshot(path=file, full_page=True, clip=clip)
    context.close()


def first_steps(browser: Browser, folder: Path) -> None:
    """A hub on which nothing is limited yet."""
    with tempfile.TemporaryDirectory() as data:
        hub = Hub(Path(data), "town")
        hub.start()
        try:
            page = log_in(browser.new_page(**DESK), hub, "admin")
            page.goto(f"{hub.base}{QUOTAS}groups")
            page.screenshot(path=folder / "first-steps.png")
        finally:
            hub.end()


def launches(browser: Browser, folder: Path, wanted: list[str]) -> None:
    """A hub on which a book is launched."""
    content = Content("https://github.com/earth/geo-book", "main")
    place = Target(file="intro/first-map.ipynb")
    large = Launch(content, Environment("large"), target=place)
    with tempfile.TemporaryDirectory() as data:
        hub = Hub(Path(data), "launches")
        hub.start()
        try:
            store = LinkStore(f"sqlite:///{Path(data) / 'share_links.sqlite'}")
            link = store.make(large, "prof-ada", Terms(until=2_000_000_000), "First map")
            day = date.today().toordinal() - date(1970, 1, 1).toordinal()
            funnel = {"clicked": 48, "started": 45, "pulled": 44, "opened": 43, "failed-start": 3}
            store.count({(link.id, day, stage): count for stage, count in funnel.items()})
            store.close()
            hub.login("sam")
            hub.api("users/sam/server", "POST", json={"user_options": {"profile": "small"}})
            wait_for("a server", lambda: hub.server("sam"))
            hub.limits("geo-101: {server.memory: 2G, member.cpu-hours: 40 per 7d}")
            asked = write("resolved", large, hub.base).url.removeprefix(hub.base)
            for name, (user, path) in {
                "launch-question": ("sam", asked),
                "launch-refused": ("lee", asked),
                "launch-links": ("prof-ada", "services/launch/"),
                "launch-link": ("prof-ada", f"services/launch/links/{link.id}"),
            }.items():
                if name in (wanted or [name]):
                    if name == "launch-refused":
                        hub.limits("geo-101: {server.memory: 512M, member.cpu-hours: 40 per 7d}")
                    PAGES[name] = (user, path, None, 1400)
                    picture(browser, hub, name, folder / f"{name}.png", **DESK)
        finally:
            hub.end()


def main(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, open_chromium() as browser:
        hub = Hub(Path(data), "town")
        hub.start()
        try:
            town.live(hub)
            town.fill(hub)
            town.work(hub, RUNNING)
            for name in [name for name in PAGES if name in (wanted or PAGES)]:
                picture(browser, hub, name, folder / f"{name}.png", **DESK)
            for name in (one for one in DARK if one in (wanted or DARK)):
                picture(
                    browser, hub, name, folder / f"{name}-dark.png", **DESK, color_scheme="dark"
                )
            for name in (one for one in SMALL if one in (wanted or SMALL)):
                picture(browser, hub, name, folder / f"{name}-phone.png", **PHONE)
        finally:
            hub.end()
        if not wanted:
            first_steps(browser, folder)
        launches(browser, folder, wanted)


if __name__ == "__main__":
    main(ROOT / "docs" / "images", sys.argv[1:])
