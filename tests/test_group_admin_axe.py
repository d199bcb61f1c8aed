"""The admins' pages of the groups for axe-core, on phones and desktops, light and dark, narrow; and
what they do in a browser."""

from __future__ import annotations

import json
import re

import pytest
from hubs import Hub, wait_for
from test_axe import log_in, look, say

from hub_groups.people import By, put_members
from hub_groups.record import runs, save_rules
from hub_groups.store import GroupStore

GROUPS = "services/groups/"
GEO = "earth-sciences/geo-101"
RULES = """# The courses as Keycloak has them; staff manage them.
- claim: auth_state.oauth_user.groups
  match: /course-(?P<course>.+)
  group: courses/{course}
- claim: auth_state.oauth_user.groups
  match: /course-(?P<course>.+)
  group: courses/{course}
  role: manager
  when: contains(auth_state.oauth_user.affiliation, 'staff')
- claim: auth_state.oauth_user.projects
"""
CLAIMS = {
    "name": "kim",
    "auth_state": {
        "oauth_user": {"groups": ["/course-geo", "/club"], "affiliation": ["staff", "member"]}
    },
}


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    """With a roster that is held, one that can't be read, one that is gone, and all the rest."""
    hub = start_hub("groupadmin", about="admin pages in a browser")
    groups = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    wait_for("the rosters", lambda: len(runs(groups)) == 2)
    by = By("ada", "page")
    put_members(groups, GEO, ["kim"], by, role="manager", until=groups.clock() + 20 * 86_400)
    groups.replace_source("roster:last-term.csv", {"geo-099": {"sam": "member", "ada": "manager"}})
    hub.login("kim")
    save_rules(groups, RULES, 0, "admin")
    (hub.folder / "geo-101.csv").write_text(f"user,group,role\nada,{GEO},manager\nnew,{GEO},\n")
    wait_for("a difference that waits", lambda: runs(groups)["roster:geo-101.csv"].held)
    admin = hub.login("admin")
    admin.get(f"{GROUPS}sources")
    form = {"_xsrf": admin.xsrf("/services/groups"), "action": "make", "name": "Entra ID"}
    admin.post(f"{GROUPS}sources/tokens", data={**form, "until": "2199-12-31"})
    return hub


def test_nothing_is_wrong_with_any_page(hub, new_page):
    page = log_in(new_page(), hub, "admin")
    found = {}
    page.goto(f"{hub.base}{GROUPS}sources")
    found["sources"] = look(page)
    page.set_viewport_size({"width": 1000, "height": 800})
    page.get_by_role("button", name="Show the difference roster geo-101.csv").click()
    page.get_by_text("Gone (40)").wait_for()
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found["difference"] = look(page)
    page.goto(f"{hub.base}{GROUPS}rules")
    found["rules"] = look(page)
    page.get_by_label("Try them on claims").fill(json.dumps(CLAIMS, indent=1))
    page.get_by_text("kim is in 1 group by these rules").wait_for()
    found["tried"] = look(page)
    page.goto(f"{hub.base}{GROUPS}audit")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found["audit"] = look(page)
    page.goto(f"{hub.base}{GROUPS}audit?group=nowhere")
    found["empty audit"] = look(page)
    assert not say(found), say(found)


def test_rules_are_tried_while_somebody_types(hub, new_page):
    page = log_in(new_page(), hub, "admin")
    page.goto(f"{hub.base}{GROUPS}rules")
    rules, claims = page.get_by_label("The rules, in YAML"), page.get_by_label("Try them on claims")
    claims.fill(json.dumps(CLAIMS))
    page.get_by_text("/course-geo → courses/geo").first.wait_for()
    rules.fill("- claim: auth_state.oauth_user.groups\n  match: (unfinished")
    page.get_by_text("Rules, line 2: rule 1, match: not a regular expression").wait_for()
    rules.fill("- claim: auth_state.oauth_user.groups\n  match: /club\n")
    page.get_by_text("/course-geo gone").wait_for()
    assert re.search(r"/club", page.locator("#trial").inner_text())
