"""What the README promises a newcomer, in a real browser, on what `make demo` starts."""

from __future__ import annotations

import re

import pytest
from hubs import Demo, wait_for
from playwright.sync_api import Page, expect

START_MS = 60_000


def log_in(page: Page, demo: Demo, user: str) -> Page:
    page.goto(f"{demo.url}/hub/login")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill("demo")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/hub/(home|spawn)"))
    return page


def start(page: Page, profile: str = "Small") -> None:
    page.get_by_label(profile).check()
    page.get_by_role("button", name="Start").click()


def in_lab(page: Page) -> None:
    expect(page.get_by_role("menuitem", name="File")).to_be_visible(timeout=START_MS)
    # A server that is stopped while it still loads what can be exported to takes a minute for it.
    page.wait_for_load_state("networkidle", timeout=START_MS)


@pytest.fixture(autouse=True)
def no_servers_left(demo: Demo, new_page):
    """Each test starts with nothing running."""
    yield
    page = log_in(new_page(), demo, "admin")
    users = page.request.get(
        f"{demo.url}/hub/api/users?state=active", headers=xsrf(page, demo)
    ).json()
    for user in users:
        for name in user["servers"]:
            where = f"{demo.url}/hub/api/users/{user['name']}/servers/{name}"
            page.request.delete(where, headers=xsrf(page, demo))
    wait_for(
        "all servers to stop",
        lambda: (
            not page.request.get(
                f"{demo.url}/hub/api/users?state=active", headers=xsrf(page, demo)
            ).json()
        ),
    )


def xsrf(page: Page, demo: Demo) -> dict[str, str]:
    cookies = page.context.cookies(f"{demo.url}/hub/")
    token = next(cookie["value"] for cookie in cookies if cookie["name"] == "_xsrf")
    return {"X-XSRFToken": token, "Referer": f"{demo.url}/hub/home"}


def test_a_student_is_refused_an_admin_raises_the_limit_the_student_gets_it(demo, new_page):
    sam = log_in(new_page(), demo, "sam")
    sam.goto(f"{demo.url}/hub/spawn")
    start(sam)
    in_lab(sam)

    sam.goto(f"{demo.url}/hub/spawn/sam/second")
    start(sam)
    refused = sam.locator(".spawn-error-msg")
    expect(refused).to_contain_text(
        "earth-sciences/geo-101 allows each member 1 server at once, and you have 1 running."
    )
    expect(refused).to_contain_text("ask prof-ada, who manages earth-sciences/geo-101")

    admin = log_in(new_page(), demo, "admin")
    admin.goto(f"{demo.url}/hub/home")
    admin.goto(f"{demo.url}/services/quotas/groups")
    admin.get_by_role("link", name="geo-101").click()
    expect(admin.locator("#use")).to_contain_text("1 server, 1 core, 512 MiB")
    amount = admin.get_by_label("Servers, each member")
    expect(amount).to_have_value("1")
    amount.fill("2")
    amount.press("Enter")
    expect(admin.get_by_role("status").first).to_contain_text("Saved.")
    expect(amount).to_have_value("2")

    start(sam)
    in_lab(sam)
    assert "/user/sam/second/" in sam.url
    sam.goto(f"{demo.url}/services/quotas/")
    expect(sam.get_by_role("region", name="earth-sciences/geo-101")).to_contain_text(
        "2 of 2 servers"
    )

    amount.fill("1")
    amount.press("Enter")
    expect(amount).to_have_value("1")


def test_the_button_in_the_book_opens_the_notebook(demo, new_page):
    lee = new_page()
    lee.goto(demo.book)
    lee.get_by_role("link", name="Open this page's notebook on the hub").click()
    lee.locator("[name=username]").fill("lee")
    lee.locator("[name=password]").fill("demo")
    lee.get_by_role("button", name="Sign in").click()
    expect(lee.get_by_role("heading", name="Open first-map.ipynb")).to_be_visible()
    lee.get_by_role("button", name="Open").click()
    expect(lee.get_by_role("tab", name="first-map.ipynb")).to_be_visible(timeout=START_MS)
    expect(lee.get_by_role("heading", name="A first map")).to_be_visible()
    lee.goto(f"{demo.url}/services/quotas/")
    running = lee.get_by_role("region", name="Running now")
    expect(running).to_contain_text("earth-sciences/climate-lab")
    expect(running).to_contain_text("512 MiB")


def test_a_wrong_amount_is_refused_where_it_was_typed(demo, new_page):
    admin = log_in(new_page(), demo, "admin")
    address = f"{demo.url}/services/quotas/groups/earth-sciences/geo-101"
    admin.goto(address)
    amount = admin.get_by_label("Memory, each server")
    amount.fill("8 potatoes")
    expect(admin.locator("#preview")).to_contain_text("'8 potatoes' is not an amount of bytes")
    amount.press("Enter")
    expect(amount).to_have_value("8 potatoes")
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(amount).to_have_accessible_description(re.compile("is not an amount of bytes"))
    admin.goto(address)
    expect(amount).to_have_value("1G")


def test_a_limit_is_added_and_removed(demo, new_page):
    admin = log_in(new_page(), demo, "admin")
    admin.goto(f"{demo.url}/services/quotas/groups/earth-sciences/climate-lab")
    new, amount = admin.get_by_label("Add a limit"), admin.get_by_label("Amount of the new limit")
    new.select_option("group.cpu")
    amount.fill("1500m")
    amount.press("Enter")
    cpu = admin.get_by_label("CPU, the whole group")
    expect(cpu).to_have_value("1.5")
    cpu.fill("")
    cpu.press("Enter")
    expect(cpu).to_have_count(0)

    new.select_option("member.cpu-hours")
    amount.fill("8 hours a day, 40 per 7d")
    expect(admin.locator("#preview")).to_contain_text("8 per day, 40 per 7d")
    amount.press("Enter")
    budget = admin.get_by_label("CPU-hours, each member")
    expect(budget).to_have_value("40 per 7d, 8 per day")
    budget.fill("40 per fortnight")
    budget.press("Enter")
    expect(budget).to_have_accessible_description(re.compile("'fortnight'"))
    budget.fill("")
    budget.press("Enter")
    expect(budget).to_have_count(0)


def test_a_manager_sees_their_groups_and_no_others(demo, new_page):
    ada = log_in(new_page(), demo, "prof-ada")
    ada.goto(f"{demo.url}/services/quotas/groups")
    expect(ada.get_by_role("link", name="geo-101")).to_be_visible()
    expect(ada.get_by_role("link", name="climate-lab")).to_be_visible()
    expect(ada.get_by_role("link", name="default")).to_have_count(0)
    sam = log_in(new_page(), demo, "sam")
    answer = sam.goto(f"{demo.url}/services/quotas/groups")
    assert answer.status == 403


def test_who_is_in_two_groups_chooses_which_one_is_charged(demo, new_page):
    kim = log_in(new_page(), demo, "kim")
    kim.goto(f"{demo.url}/hub/spawn")
    kim.get_by_label("Charge to").select_option("earth-sciences/geo-101")
    start(kim, "Large")
    expect(kim.locator(".spawn-error-msg")).to_contain_text(
        "earth-sciences/geo-101 allows each server at most 1 GiB of memory; "
        "this one asks for 2 GiB."
    )
    kim.get_by_label("Charge to").select_option("earth-sciences/climate-lab")
    start(kim, "Large")
    in_lab(kim)


def test_a_link_made_on_the_launch_page_works(demo, new_page):
    lee = log_in(new_page(), demo, "lee")
    lee.goto(f"{demo.url}/services/launch/")
    lee.get_by_label("Server", exact=True).select_option(label="Small: 1 CPU, 512M memory")
    lee.get_by_role("button", name="Make the link").click()
    lee.get_by_role("link", name="Try it").click()
    in_lab(lee)


def test_pages_need_no_javascript_and_fit_a_phone(demo, new_page):
    phone = {"width": 360, "height": 740}
    admin = log_in(new_page(viewport=phone), demo, "admin")
    quotas = ("", "groups", "groups/earth-sciences/geo-101", "groups/*", "audit", "plans", "prices")
    pages = [*(f"quotas/{name}" for name in (*quotas, "policy", "api/")), "groups/", "launch/"]
    for path in pages:
        admin.goto(f"{demo.url}/services/{path}")
        expect(admin.get_by_role("heading", level=1)).to_be_visible()
        wide = admin.evaluate("document.documentElement.scrollWidth")
        assert wide <= phone["width"], f"{path} is {wide} pixels wide on a phone"
    plain = admin.context.browser.new_context(
        java_script_enabled=False, storage_state=admin.context.storage_state()
    )
    page = plain.new_page()
    page.goto(f"{demo.url}/services/quotas/groups/earth-sciences")
    amount = page.get_by_label("Servers, the whole group")
    amount.fill("7")
    page.get_by_role("button", name="What would that do?").click()
    expect(page.get_by_role("status").first).to_contain_text("In the last 30 days")
    expect(amount).to_have_value("7")
    amount.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Saved")
    expect(amount).to_have_value("7")
    plain.close()
