"""A small hub as it is when its admin has just installed this: nobody in a group, no limits, one
server each."""

from __future__ import annotations

import html
import re

import pytest
from hubs import Hub, Visitor
from playwright.sync_api import expect
from test_axe import log_in

QUOTAS = "services/quotas/"
GROUPS = "services/groups/"


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("base", named_servers=False)


@pytest.fixture(scope="module")
def admin(hub) -> Visitor:
    return hub.login("admin")


def text(answer) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", answer.text)).split())


def test_where_nobody_has_a_second_server_the_first_limit_is_of_all_together(hub, admin):
    page = admin.get(f"{QUOTAS}groups")
    assert "Servers that all people together can run:" in text(page)
    assert "Servers that each person can run" not in text(page)
    suggested = 'name="new_key" value="group.servers"'
    (card,) = (form for form in page.text.split("<form")[1:] if suggested in form)
    assert 'name="new_amount" value="50"' in card


def test_an_empty_list_offers_to_make_the_first_group(admin):
    page = admin.get(f"{GROUPS}groups")
    assert "No group yet. Make the first one." in text(page)
    assert '<a href="#new-group">Make the first one.</a>' in page.text
    assert '<details class="card mb-3" open>' in page.text
    assert "0 groups" not in text(page)
    searched = admin.get(f"{GROUPS}groups?q=zoo")
    assert "No group is like that. Show all groups" in text(searched)
    assert '<details class="card mb-3">' in searched.text


def test_an_admin_is_told_of_the_doctor_and_of_the_contact(hub, admin):
    said = text(admin.get(f"{QUOTAS}help"))
    assert "hub-group-quotas doctor , run on the hub's machine" in said
    assert "c.HubQuotas.support in the hub's configuration can name a contact" in said
    assert "The documentation begins with docs/index.md of jupyterhub-group-quotas" in said
    assert "ask an admin of this hub" not in said.partition("Write for help")[0].lower()
    mine = text(hub.login("student").get(f"{QUOTAS}help"))
    assert "doctor" not in mine
    assert "Ask an admin of this hub." in mine


def test_our_pages_have_what_the_menu_of_the_hub_has(hub, admin):
    menu = re.compile(r'class="nav-link" href="/hub/([a-z]+)"')
    student = hub.login("student")
    for page in (QUOTAS, GROUPS, "services/launch/"):
        assert menu.findall(admin.get(page).text) == ["home", "token", "admin"], page
        assert menu.findall(student.get(page).text) == ["home", "token"], page


def test_a_group_leads_to_its_limits(admin):
    page = admin.send_form(f"{GROUPS}groups", group="club/chess", names="admin")
    link = re.search(r'href="/([^"]+)">Limits of this group<', page.text)
    assert link, text(page)
    limits = admin.get(link[1])
    assert limits.status_code == 200
    assert "chess" in text(limits)
    form = {"group": "club/go", "names": "nobody-yet", "new": "1"}
    assert admin.send_form(f"{GROUPS}groups", **form).status_code == 200
    page = admin.get(f"{QUOTAS}groups/club/go")
    assert page.status_code == 200, "though it is in no hub before somebody has logged in"
    assert admin.get(f"{QUOTAS}groups/club/none").status_code == 404


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_what_was_done_is_said_where_one_looks(hub, admin, new_page, script):
    made = {"group": "club/rowing", "names": ", ".join(f"rower-{n}" for n in range(60)), "new": "1"}
    admin.send_form(f"{GROUPS}groups", **made)
    page = new_page(viewport={"width": 1280, "height": 800}, java_script_enabled=script)
    log_in(page, hub, "admin")

    def send(button: str, said: str) -> None:
        page.get_by_role("button", name=button, exact=True).click()
        told = page.get_by_role("status").filter(has_text=said)
        expect(told).to_be_in_viewport(ratio=1)
        expect(told).to_be_focused()

    page.goto(f"{hub.base}{QUOTAS}groups/club/rowing")
    for amount in ("1", "2"):
        page.get_by_label("Add a limit").select_option("group.servers")
        page.get_by_label("Amount of the new limit").fill(amount)
        send("Save", "Saved.")
        page.get_by_role("textbox", name="Servers, the whole group").fill("")
        send("Save", "Saved.")
    send("Save", "Nothing has changed.")
    page.goto(f"{hub.base}{GROUPS}groups/club/rowing")
    page.locator("#add").get_by_role("textbox").first.fill("admin")
    send("Add", "Added: admin.")
    page.get_by_text("Make a link", exact=True).click()
    send("Make the link", "The link is made")
