"""What people come for, from end to end in a real browser: an admin, a manager and a student."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from axe import violations
from hubs import Hub
from playwright.sync_api import Locator, Page, expect
from town import DAY, HOUR, Clock

from hub_quotas.policies import By
from hub_quotas.policy import parse_policy
from hub_quotas.policy_store import now
from hub_quotas.store import QuotaStore

SCREENS = {
    "desk": {"viewport": {"width": 1000, "height": 800}, "color_scheme": "light"},
    "desk-dark": {"viewport": {"width": 1000, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
    "phone-dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}
GROUPS = 2_000
QUOTAS = "services/quotas/"


def course(screen: str) -> str:
    """The course of those who look at this screen: one of many."""
    return f"school/course-{500 * list(SCREENS).index(screen) + 42:04}"


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    """With 2,000 courses; in those of the screens, two members have used GPUs on ten days."""
    roster = "".join(
        f"prof-{name},{course(name)},manager\nsam-{name},{course(name)},\n" for name in SCREENS
    )
    hub = start_hub("town", more_roster=roster)
    groups = {f"school/course-{n:04}": {"limits": {"member.servers": 1}} for n in range(GROUPS)}
    for name in SCREENS:
        groups[course(name)]["limits"] |= {"group.gpu": 4, "group.gpu-hours": "200 per 30d"}
    clock = Clock(now() - 25 * DAY)
    store = QuotaStore(f"sqlite:///{hub.folder / 'hub_quotas.sqlite'}", clock=clock)
    store.edit(lambda _: parse_policy({"groups": groups}), By("tests", "tests"))
    for number in range(10):
        clock.at, user = now() - (20 - number) * DAY, ("kim", "lee")[number % 2]
        for name in SCREENS:
            store.reserve(f"{name}-{number}", user, "", [course(name)], {"gpu": 1, "cpu": 1000})
        clock.at += 6 * HOUR
        for name in SCREENS:
            store.close_session(f"{name}-{number}", "stopped")
    store.close()
    return hub


class Browser:
    """Somebody in front of one of the screens, logged in; each page that they see is looked at."""

    def __init__(self, hub: Hub, page: Page, user: str) -> None:
        self.hub, self.page = hub, page
        page.goto(f"{hub.base}hub/login?next=/hub/token")
        page.locator("[name=username]").fill(user)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/hub/token"))

    def go(self, path: str) -> None:
        self.page.goto(f"{self.hub.base}{QUOTAS}{path}")
        self.look()

    def look(self) -> None:
        """axe-core finds nothing, there is nothing to scroll sideways for, and no two labels of a
        picture are over each other."""
        wrong = violations(self.page)
        assert not wrong, f"{self.page.url}\n{wrong}"
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} pixels too wide"
        over = self.page.evaluate(_OVER_EACH_OTHER)
        assert not over, f"{self.page.url}: {over}"

    def follow(self, name: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("main").get_by_role("link", name=name).first.click()
        self.look()

    def press(self, name: str, within: Locator | None = None) -> None:
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def tab_to(self, wanted: Locator) -> None:
        """With the keyboard, from where one is; at each step it can be seen where that is."""
        wanted.wait_for()
        for _step in range(60):
            self.page.keyboard.press("Tab")
            assert self.page.evaluate(_SEEN), self.page.evaluate(
                "document.activeElement.outerHTML.slice(0, 300)"
            )
            if wanted.evaluate("(element) => element === document.activeElement"):
                return
        raise AssertionError("60 times Tab do not lead there")


_OVER_EACH_OTHER = """() => [...document.querySelectorAll("svg.burn")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll("text")].map((text) =>
    [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width);
  return boxes.flatMap(([one, a], at) => boxes.slice(at + 1).filter(([, b]) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  ).map(([other]) => `${one} / ${other}`));
})"""
_SEEN = """() => {
  const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(document.activeElement);
  return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
}"""


EVERY_TIME = ("phone-dark",)
"""The others are for CI."""


@pytest.fixture(
    params=[
        name if name in EVERY_TIME else pytest.param(name, marks=pytest.mark.slow)
        for name in SCREENS
    ]
)
def screen(request) -> str:
    return request.param


@pytest.fixture
def somebody(hub, new_page, screen):
    """`somebody(name)`: with a browser of their own and this screen."""

    def make(user: str) -> Browser:
        return Browser(hub, new_page(**SCREENS[screen], reduced_motion="reduce"), user)

    return make


def test_an_admin_finds_one_of_many_changes_it_and_takes_it_back(screen, somebody):
    admin, group = somebody("admin"), course(screen)
    page = admin.page
    admin.go("groups")
    expect(page.get_by_text(re.compile(r"^2,?00\d groups$"))).to_be_visible()
    page.get_by_role("searchbox", name="Search groups").fill(group.rpartition("-")[2])
    page.get_by_role("searchbox", name="Search groups").press("Enter")
    expect(page.get_by_text("1 group", exact=True)).to_be_visible()
    admin.look()
    admin.follow(group)
    expect(page.get_by_role("heading", level=1)).to_have_text(group)

    # All that follows by keyboard.
    field = page.get_by_role("textbox", name="GPU-hours, the whole group")
    expect(field).to_have_value("200 per 30d")
    admin.tab_to(field)
    page.keyboard.press("Control+A")
    page.keyboard.type("42")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("a budget needs a window")
    admin.look()
    page.keyboard.press("Control+A")
    page.keyboard.type("42 per 30d")
    expect(preview).to_contain_text(
        "In the last 30 days this would have refused 3 of 10 starts, of 2 members."
    )
    admin.look()
    admin.tab_to(page.get_by_label("Why, for the record").first)
    page.keyboard.type("GPUs are short")
    admin.tab_to(page.get_by_role("button", name="Save", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    expect(field).to_have_value("42 per 30d")
    admin.look()

    admin.follow("All changes of this group")
    change = page.get_by_role("listitem").filter(has_text="GPUs are short")
    expect(change).to_contain_text("admin")
    expect(change.locator("del")).to_have_text("200 per 30d")
    expect(change.locator("ins")).to_have_text("42 per 30d")
    change.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="as before")).to_be_visible()
    admin.look()
    admin.go(f"groups/{group}")
    expect(field).to_have_value("200 per 30d")


def test_who_adds_a_limit_reads_how_it_is_written_and_what_it_takes(screen, somebody):
    admin, group = somebody("admin"), course(screen).replace("42", "43")
    page = admin.page
    admin.go(f"groups/{group}")
    key, amount = page.get_by_label("Add a limit"), page.get_by_label("Amount of the new limit")
    preview = page.locator("#preview")
    key.select_option("group.memory")
    expect(preview).to_contain_text("Such as 8G, which is 8 × 1024³ bytes, or 512M.")
    admin.press("Save")
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(amount).to_have_accessible_description(re.compile(r"^Write an amount\."))
    expect(key).to_have_value("group.memory")
    admin.look()
    amount.fill("8")
    expect(preview).to_contain_text("8 bytes is too little to be meant: write 8G for 8 GiB.")
    amount.fill("8G")
    expect(preview).to_contain_text("A server without a memory limit of its own would not start")
    admin.look()
    size = preview.get_by_label("Memory, each server")
    size.fill("3G")
    page.wait_for_timeout(700)  # longer than it takes to ask for a preview
    expect(size).to_be_focused()
    admin.press("Save with this")
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Memory, each server")).to_have_value("3G")
    expect(page.get_by_role("textbox", name="Memory, the whole group")).to_have_value("8G")
    expect(preview).to_have_text("")
    admin.look()


def test_a_manager_splits_what_they_have_and_gives_no_more(screen, somebody):
    prof, group = somebody(f"prof-{screen}"), course(screen)
    page = prof.page
    prof.go("groups")
    expect(page.get_by_text("1 group", exact=True)).to_be_visible()
    prof.follow(group)
    pool = page.get_by_label("GPUs, the whole group")
    expect(pool).to_have_text("4")
    expect(page.get_by_role("textbox", name="GPUs, the whole group")).to_have_count(0)

    key, amount = page.get_by_label("Add a limit"), page.get_by_label("Amount of the new limit")
    key.select_option("member.gpu-hours")
    amount.fill("201 per 30d")
    expect(page.locator("#preview")).to_contain_text(f"{group} has 200 GPU-hours itself")
    prof.look()
    prof.press("Save")
    expect(page.get_by_role("alert")).to_contain_text("nobody below can have 201 GPU-hours")
    prof.look()
    page.get_by_role("textbox", name="GPU-hours, each member").fill("50 per 30d")
    prof.press("Save")
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    share = page.get_by_role("textbox", name="GPU-hours, each member")
    expect(share).to_have_value("50 per 30d")
    expect(page.locator("#limits")).to_contain_text(f"at most 200 per 30d, as {group} has")
    members = page.get_by_role("group", name="Members")
    expect(members.get_by_role("row", name="kim")).to_contain_text("30 of 50 GPU-hours")
    expect(members.get_by_role("row", name="lee")).to_contain_text("30 of 50 GPU-hours")
    prof.look()


def test_a_student_asks_for_more_and_gets_it_for_a_while(screen, somebody):
    sam, prof, group = somebody(f"sam-{screen}"), somebody(f"prof-{screen}"), course(screen)
    page = sam.page
    sam.go("")
    mine = page.get_by_role("region", name=group)
    expect(mine).to_contain_text("0 of 1 server")
    sam.follow(f"Ask for more in {group}")
    amount = page.get_by_label("How much you need in all")
    page.get_by_label("More of").select_option(label="GPUs, the whole group")
    expect(amount).to_have_attribute("placeholder", "8 for the whole group, now 4")
    page.get_by_label("More of").select_option(label="Servers, me")
    expect(amount).to_have_attribute("placeholder", "2")
    amount.fill("3")
    page.get_by_label("Until the end of").fill(f"{datetime.now(timezone.utc):%Y-%m-%d}")
    page.get_by_label("What for").fill("three runs side by side")
    expect(page.locator("#standing")).to_contain_text("You ask for 3 servers.")
    sam.look()
    sam.press("Ask")
    expect(page.get_by_role("status")).to_contain_text(f"Who can answer: prof-{screen}.")
    sam.look()

    prof.go("asks")
    card = prof.page.get_by_role("article", name=f"sam-{screen} asks for 3 servers")
    expect(card).to_contain_text("three runs side by side")
    card.get_by_text("Give something else").click()
    card.get_by_label("In all").fill("2")
    ends = datetime.now(timezone.utc) + timedelta(seconds=8)
    card.get_by_label("Until the end of").fill(f"{ends:%Y-%m-%d}")
    card.get_by_label("or that day at (UTC)").fill(f"{ends:%H:%M:%S}")
    prof.press(f"Give this to sam-{screen}", card)
    expect(prof.page.get_by_role("status")).to_contain_text(f"sam-{screen} has 2 servers in")

    page.goto(f"{sam.hub.base}{QUOTAS}")
    expect(mine).to_contain_text("0 of 2 servers")
    expect(mine).to_contain_text("Raised until")
    sam.look()
    prof.look()
    left = (ends - datetime.now(timezone.utc)).total_seconds()
    page.wait_for_timeout(max(0, left + 1) * 1000)
    sam.go("")
    expect(mine).to_contain_text("0 of 1 server")
    expect(mine).not_to_contain_text("Raised until")
    prof.go(f"boosts?group={group}")
    expect(prof.page.get_by_role("article", name="2 servers")).to_contain_text("lapsed")
