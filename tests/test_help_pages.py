"""Help and the menu on real pages: the facts are shown first, and are about who asks alone."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from hubs import wait_for
from playwright.sync_api import expect
from test_axe import log_in
from test_more_in_hub import API, GROUP, ROSTER, send, text

from hub_quotas.policy import parse_policy
from hub_quotas.refusals import last_refusals

POLICY = """
plans:
  small: {limits: {member.servers: 1, member.cpu-hours: 40 per 7d}}
  huge: {limits: {member.servers: 9}}
prices: [{since: 2026-01-01, cpu: 0.04}]
groups:
  earth/geo-101: {plan: small}
  secret: {plan: huge, managers: [eve]}
"""
SECRET = re.compile(r"kim|eve|secret|token", re.IGNORECASE)


@pytest.fixture(scope="module")
def hub(start_hub):
    """That of test_more_in_hub.py; its tests set their own policy."""
    hub = start_hub("asks", roster=ROSTER)
    hub.ledger().apply(parse_policy(yaml.safe_load(POLICY)), "tests", "tests")
    return hub


@pytest.fixture(scope="module")
def sam(hub):
    """Somebody with a server, who was refused a second one."""
    visitor = hub.login("sam")
    hub.login("kim")
    assert hub.api("users/sam/server", "POST", json={"image": "lab:2026"}).status_code in (201, 202)
    wait_for("the server", lambda: hub.in_use().get(GROUP))
    visitor.refused = visitor.get("hub/spawn/sam/two", headers={"Accept-Language": "de"})
    assert visitor.refused.status_code == 403
    wait_for("the refusal", lambda: last_refusals(hub.ledger(), "sam"))
    yield visitor
    hub.api("users/sam/server", "DELETE")
    wait_for("its end", lambda: not hub.in_use().get(GROUP))


def fields(page) -> dict[str, str]:
    found = re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>(.*?)</textarea>', page.text, re.DOTALL)
    return {name: html.unescape(value) for name, value in found}


def test_the_facts_are_shown_and_nothing_is_said_of_others(sam):
    page = sam.get("services/quotas/help?what=It%20<b>fails")
    found = fields(page)
    assert found["what"] == "It <b>fails"
    assert "Groups: earth/geo-101" in found["text:me"]
    assert re.match(r"JupyterHub: \d+\.\d", found["text:versions"])
    assert "lab:2026" in found["text:servers"]
    assert "Servers, me: 1 of 1 server" in found["text:limits"]
    assert re.search(
        r", two: earth/geo-101 allows each member 1 server at once, and you have 1 running\. "
        r"\(quota-member\)$",
        found["text:refusals"],
    )
    assert "python-httpx" in found["text:browser"]
    assert not SECRET.search("".join(found.values()))
    assert page.text.count("checked") == len(found) - 1
    assert "earth/geo-101 is managed by prof-ada." in text(page)


def test_what_is_left_out_is_left_out_and_what_is_changed_is_taken(sam):
    typed = {"what": "No second server", "text:limits": "course: mine", "text:versions": "1"}
    page = send(sam, "help", **typed, **{"with": ["limits"]})
    made = html.unescape(re.search(r'id="made"[^>]*>(.*?)</textarea>', page.text, re.DOTALL)[1])
    assert made == "No second server\n\nMy limits:\ncourse: mine"
    assert fields(page)["what"] == "No second server"
    assert re.search(r'value="versions" id="part-versions">', page.text), "it stays without"
    assert "mailto:" not in page.text
    assert "send it to who manages your group" in text(page)
    assert "Your request" not in text(send(sam, "help", what=""))


def test_the_api_says_the_same(sam):
    found = sam.get(f"{API}/me/support").json()
    shown = fields(sam.get("services/quotas/help"))
    assert {f"text:{one['key']}" for one in found["parts"]} == set(shown) - {"what"}
    assert found["managers"] == [{"group": GROUP, "managers": ["prof-ada"]}]
    assert "My limits:\nearth/geo-101:" in found["text"]
    assert (found["contact"], found["link"]) == ("", "")


def test_a_refusal_leads_to_help(sam):
    assert '/services/quotas/help">Hilfe</a>' in html.unescape(sam.refused.text)


def test_the_menu_says_what_there_is_and_no_group_of_others(sam):
    page = sam.get("services/quotas/menu")
    said = text(page)
    assert "You have it in earth/geo-101." in said
    assert "1 group has it." in said
    assert "2 servers" not in said
    assert "1 server, 40 CPU-hours in any 7 days" in said
    assert "4 cores, 16 GiB 0.16 €" in said
    own = said.replace("Home Token Groups", "", 1)  # the hub's menu
    assert not SECRET.search(re.sub(r"xsrf\S*", "", own))
    (ask,) = re.findall(r'href="([^"]*help\?what=[^"]*)"', page.text)
    what = parse_qs(urlsplit(html.unescape(ask)).query)["what"]
    assert what == ["I would like the plan huge for my group."]
    found = sam.get(f"{API}/menu").json()
    assert [(one["plan"], one["groups"], one["mine"]) for one in found["plans"]] == [
        ("huge", 1, []),
        ("small", 1, [GROUP]),
    ]
    assert found["units"] == [{"what": "A core", "an_hour": "0.04 €"}]


def test_in_a_browser_the_text_is_made_and_copied(hub, sam, new_page):
    page = log_in(new_page(permissions=["clipboard-read", "clipboard-write"]), hub, "sam")
    page.goto(f"{hub.base}services/quotas/help")
    page.get_by_label("What did you want to do").fill("A second server")
    page.get_by_label("My browser", exact=True).uncheck()
    page.get_by_label("Versions", exact=True).press("Space")
    page.get_by_role("button", name="Make the text").click()
    made = page.get_by_label("The text", exact=True)
    expect(made).to_have_value(re.compile(r"^A second server\n\nWho and when:\nUser: sam\n"))
    assert "Versions" not in made.input_value()
    assert "browser" not in made.input_value()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == made.input_value()
