"""Sources, rules, changes, tokens and metrics of the groups, over HTTP in one real hub."""

from __future__ import annotations

import html
import json
import re
import time
from urllib.parse import quote

import httpx
import pytest
from hubs import TOKEN, Hub, Visitor, wait_for
from prometheus_client.parser import text_string_to_metric_families
from test_hostile import HOSTILE

from hub_groups.group_metrics import FAMILIES
from hub_groups.people import By, put_members
from hub_groups.record import rules_text, runs
from hub_groups.store import GroupStore

GROUPS = "services/groups/"
GEO = "earth-sciences/geo-101"
GEO_FILE, MISSING = "roster:geo-101.csv", "roster:missing.csv"
RULES = """
- claim: auth_state.oauth_user.groups
  match: /course-(?P<course>.+)
  group: courses/{course}
  role: manager
- claim: auth_state.oauth_user.projects
"""
CLAIMS = {"name": "kim", "auth_state": {"oauth_user": {"groups": ["/course-geo", "/club"]}}}


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("groupadmin", about="admin pages")
    wait_for("the roster", lambda: len(runs(store(hub))) == 2)
    return hub


def store(hub: Hub) -> GroupStore:
    return GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")


@pytest.fixture(scope="module")
def admin(hub) -> Visitor:
    return hub.login("admin")


@pytest.fixture(scope="module")
def robot(hub) -> httpx.Client:
    token = {"Authorization": f"token {TOKEN}b"}
    with httpx.Client(base_url=f"{hub.base}{GROUPS}api/", headers=token, timeout=60) as client:
        yield client


def text_of(answer: httpx.Response) -> str:
    plain = re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2])
    return " ".join(html.unescape(plain).split())


def roster(hub: Hub, students: int) -> None:
    rows = "".join(f"student-{n:03},{GEO},\n" for n in range(students))
    (hub.folder / "geo-101.csv").write_text(f"user,group,role\nada,{GEO},manager\n{rows}")


def size(hub: Hub) -> int:
    return sum(map(len, store(hub).roll(GEO_FILE).values()))


# -- sources --------------------------------------------------------------------------------------


def test_every_source_says_how_it_is_doing(hub, admin):
    put_members(store(hub), "seminar", ["kim"], By("ada", "page"))
    hub.login("kim")
    said = text_of(admin.get(f"{GROUPS}sources"))
    assert "roster geo-101.csv good 41 memberships" in said
    assert "roster missing.csv can't be read 0 memberships" in said
    assert "/missing.csv. Put it there, or take it out of c.HubGroups.rosters." in said
    assert "Its memberships stay as they were. Put that right" in said
    assert "login (login) 2 memberships What logins say" in said
    assert "by hand 1 membership What people set" in said
    assert said.index("missing.csv") < said.index("geo-101.csv"), "what needs somebody comes first"


def test_what_takes_out_too_many_is_looked_at_and_then_applied(hub, admin):
    roster(hub, 5)
    wait_for("it to be held", lambda: runs(store(hub))[GEO_FILE].held)
    said = text_of(admin.get(f"{GROUPS}sources"))
    assert "roster geo-101.csv waits for an admin 41 memberships" in said
    assert "35 of 41 memberships would be removed at once." in said
    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="look")
    assert page.status_code == 200
    assert f"student-007 in {GEO}" in text_of(page)
    assert "Gone (35)" in text_of(page)
    seen = re.search(r'name="seen" value="(\d+)"', page.text)[1]
    assert size(hub) == 41, "looking changes nothing"

    roster(hub, 4)  # others than they have seen
    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="apply", seen=seen)
    assert "It takes out others by now than you have seen." in text_of(page)
    assert size(hub) == 41
    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="look")
    seen = re.search(r'name="seen" value="(\d+)"', page.text)[1]
    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="apply", seen=seen)
    assert "Read and written: 36 gone." in text_of(page)
    assert size(hub) == 5
    said = text_of(admin.get(f"{GROUPS}audit?source={GEO_FILE}"))
    assert "admin applied what roster geo-101.csv says: 36 went" in said

    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="apply", seen=seen)
    assert page.status_code == 409
    assert "Look at the difference first" in text_of(page)
    roster(hub, 40)
    page = admin.send_form(f"{GROUPS}sources", source=GEO_FILE, action="read")
    assert "Read and written" in text_of(page)
    assert size(hub) == 41


def test_a_source_that_is_gone_can_be_taken_out(hub, admin):
    store(hub).replace_source("roster:old.csv", {"old": {"sam": "member", "kim": "manager"}})
    said = text_of(admin.get(f"{GROUPS}sources"))
    assert "roster old.csv no longer configured 2 memberships" in said
    for action in ("read", "take-out", "apply"):
        page = admin.send_form(f"{GROUPS}sources", source="roster:old.csv", action=action, seen="9")
        assert page.status_code == 409, action
    page = admin.send_form(f"{GROUPS}sources", source="roster:old.csv", action="look")
    assert "sam in old" in text_of(page)
    seen = re.search(r'name="seen" value="(\d+)"', page.text)[1]
    page = admin.send_form(
        f"{GROUPS}sources", source="roster:old.csv", action="take-out", seen=seen
    )
    assert "Its memberships are taken out." in text_of(page)
    assert "roster old.csv" not in text_of(admin.get(f"{GROUPS}sources"))
    assert store(hub).roll("roster:old.csv") == {}


def test_uploaded_rosters_are_of_people_and_not_left_over(hub, admin, robot):
    store(hub).replace_source("roster:upload", {"seminar": {"sam": "member", "lee": "member"}})
    said = text_of(admin.get(f"{GROUPS}sources")).partition("uploaded roster ")[2]
    assert said.startswith("2 memberships Rosters that people have uploaded, each on the page")
    page = admin.send_form(f"{GROUPS}sources", source="roster:upload", action="look")
    assert page.status_code == 409, "a click must not empty a course"
    found = {one["source"]: one for one in robot.get("sources").json()["sources"]}
    assert (found["roster:upload"]["kind"], found["roster:upload"]["state"]) == ("people", "")
    assert robot.post("sources/roster:upload/look").status_code == 409
    store(hub).replace_source("roster:upload", {})


def test_sources_for_programs(hub, robot):
    found = {one["source"]: one for one in robot.get("sources").json()["sources"]}
    assert found[MISSING]["state"] == "failed"
    assert found[GEO_FILE]["run"]["size"] == 41
    look = robot.post(f"sources/{MISSING}/look").json()
    assert (look["state"], look["added"]) == ("failed", 0)
    assert "There is no " in look["problem"]
    store(hub).replace_source(
        "roster:term.csv", {"term": {f"sam-{n}": "member" for n in range(120)}}
    )
    look = robot.post("sources/roster:term.csv/look").json()
    assert (look["state"], look["removed"]) == ("done", 120)
    first = robot.get("sources/roster:term.csv/look", params={"limit": 100}).json()
    rest = robot.get("sources/roster:term.csv/look", params={"offset": 100}).json()
    assert (len(first["memberships"]), first["next_offset"]) == (100, 100)
    assert (len(rest["memberships"]), rest["next_offset"]) == (20, None)
    assert first["memberships"][0] == {"user": "sam-0", "group": "term", "role": "member"}
    done = robot.post("sources/roster:term.csv/read", json={"look": look["number"]}).json()
    assert done["state"] == "done"
    assert store(hub).roll("roster:term.csv") == {}
    assert robot.get("sources/nobody/look").status_code == 404
    assert robot.post(f"sources/{GEO_FILE}/read", json={}).json()["state"] == "done"


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_shown_once_opens_scim_and_is_revoked(hub, admin):
    page = admin.get(f"{GROUPS}sources")
    assert f"{hub.base}{GROUPS}scim/v2" in page.text
    xsrf = admin.xsrf("/services/groups")
    form = {"_xsrf": xsrf, "action": "make", "name": "Entra ID", "until": "2199-12-31"}
    made = admin.post(f"{GROUPS}sources/tokens", data=form)
    (token,) = re.findall(r"scim-[0-9a-f]+-[\w-]{40,}", made.text)
    assert token not in admin.get(f"{GROUPS}sources").text
    address = f"{hub.base}{GROUPS}scim/v2/Users"
    assert httpx.get(address, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    said = text_of(admin.get(f"{GROUPS}sources"))
    assert "Entra ID just now just now 2199-12-31" in said
    for until, name in (("2001-01-01", "x"), ("soon", "x"), ("", " ")):
        answer = admin.post(f"{GROUPS}sources/tokens", data={**form, "until": until, "name": name})
        assert answer.status_code == 400
    id = token.split("-")[1]
    gone = admin.post(f"{GROUPS}sources/tokens", data={"_xsrf": xsrf, "action": "revoke", "id": id})
    assert "Revoked: Entra ID opens nothing any more." in text_of(gone)
    assert httpx.get(address, headers={"Authorization": f"Bearer {token}"}).status_code == 401
    said = text_of(admin.get(f"{GROUPS}audit"))
    assert "admin made the SCIM token Entra ID" in said
    assert "admin revoked the SCIM token Entra ID" in said
    assert token not in hub.log


def test_tokens_for_programs(robot):
    made = robot.post("scim-tokens", json={"name": "Okta", "until": "2199-12-31"})
    assert made.status_code == 201
    (one,) = robot.get("scim-tokens").json()["tokens"]
    assert (one["name"], one["used"], one["expires"]) == ("Okta", None, "2200-01-01T00:00:00Z")
    assert made.json()["token"] not in json.dumps(one)
    assert robot.delete(f"scim-tokens/{one['id']}").status_code == 204
    assert robot.delete(f"scim-tokens/{one['id']}").status_code == 404


# -- rules ----------------------------------------------------------------------------------------


def send_rules(visitor: Visitor, **form: str) -> httpx.Response:
    return visitor.send_form(f"{GROUPS}rules", **form)


def test_rules_are_tried_step_by_step_and_compared_with_the_last_login(hub, admin):
    claims = json.dumps({**CLAIMS, "secret": "s3cr3t-of-kim"})
    page = send_rules(admin, rules=RULES, claims=claims, action="try")
    said = text_of(page)
    assert page.status_code == 200
    assert "kim is in 1 group by these rules" in said
    assert "/course-geo → courses/geo manager" in said
    assert "/club → no group: it does not match" in said
    assert "Rule 2: the claim is missing: auth_state.oauth_user has no projects" in said
    assert "What that would change for kim, by login (login)" in said
    assert "courses/geo new · manager" in said
    assert "2 groups stay as they are." in said, "kept, as not all is said"
    page = send_rules(
        admin,
        rules=RULES.partition("- claim: auth_state.oauth_user.pro")[0],
        claims=json.dumps({"preferred_username": "kim", "groups": ["/course-geo"]}),
    )
    said = text_of(page)
    assert "Taken for the userinfo of a provider" in said
    assert "/club gone" in said
    assert "No login of nobody is known yet" in text_of(
        send_rules(admin, rules=RULES, claims=claims, user="nobody")
    )
    assert rules_text(store(hub)).version == 0, "trying saves nothing"
    assert "s3cr3t-of-kim" not in hub.log, "claims are never logged"


def test_rules_are_saved_with_the_line_of_what_is_wrong(hub, admin):
    page = send_rules(
        admin, rules="- preset: keycloak\n- preset: keyclok\n", action="save", version="0"
    )
    assert page.status_code == 400
    assert "Rules, line 2: rule 2, preset: 'keyclok' is not a preset" in text_of(page)
    assert "keyclok" in page.text.partition("<textarea")[2], "what was typed stays"
    page = send_rules(admin, rules="- preset: keycloak\n", action="save", version="0")
    assert "Saved. The rules hold from the next login on." in text_of(page)
    assert "Version 1, by admin" in text_of(page)
    page = send_rules(admin, rules="[]", action="save", version="0")
    assert page.status_code == 409
    assert "Somebody else has saved rules" in text_of(page)
    page = send_rules(admin, rules="# mine", action="preset", preset="github")
    assert "# mine\n# GitHubOAuthenticator" in html.unescape(page.text)
    reader = hub.login("reader")
    assert send_rules(reader, rules="[]", action="save", version="1").status_code == 403
    assert send_rules(reader, rules=RULES, claims=json.dumps(CLAIMS)).status_code == 200
    assert rules_text(store(hub)).text == "- preset: keycloak\n"
    assert "admin wrote the rules for logins (1 line)" in text_of(admin.get(f"{GROUPS}audit"))


def test_rules_for_programs(hub, robot):
    now = robot.get("rules").json()
    wrong = robot.put("rules", json={"text": "- x", "version": now["version"]})
    assert wrong.status_code == 400
    assert "Rules, line 1: rule 1: 'x' is not a rule" in wrong.json()["detail"]
    late = robot.put("rules", json={"text": RULES, "version": now["version"] + 9})
    assert (late.status_code, late.json()["reason"]) == (412, "changed-since")
    assert robot.put("rules", json={"text": RULES, "version": now["version"]}).is_success
    tried = robot.post("rules/test", json={"claims": CLAIMS}).json()
    assert tried["groups"] == {"courses/geo": "manager"}
    assert tried["rules"][0]["values"][1]["why"] == "it does not match"
    assert tried["compared_with"] == "idp:login"
    assert tried["change"] == {
        "added": {"courses/geo": "manager"},
        "removed": {},
        "changed": {},
        "same": 2,
    }
    bare = robot.post("rules/test", json={"claims": {"groups": ["x"], "sub": "y"}, "rules": "[]"})
    assert "userinfo" in bare.json()["assumed"]
    assert robot.post("rules/test", json={"claims": CLAIMS, "rules": "- {"}).status_code == 400


def test_an_expression_that_never_ends_stops_nobody_else(hub, admin, robot):
    """Half of an expression, as somebody types it, is tried like a whole one."""
    slow = "- {claim: name, match: '(a|a)*b', group: x}"
    began = time.monotonic()
    answer = robot.post("rules/test", json={"rules": slow, "claims": {"name": "a" * 60}})
    assert answer.status_code == 400
    assert "longer than 5 seconds" in answer.json()["detail"]
    assert time.monotonic() - began < 15
    assert admin.get(f"{GROUPS}sources").is_success


def test_rules_of_the_configuration_are_shown_and_tried_and_not_saved(start_hub):
    hub = start_hub("groupadmin", rules=[{"preset": "keycloak", "match": "/club"}], scim=False)
    admin = hub.login("admin")
    page = admin.get(f"{GROUPS}rules")
    assert "set in the hub's configuration (c.HubGroups.rules)" in text_of(page)
    assert "- preset: keycloak match: /club" in text_of(page)
    assert 'value="save"' not in page.text
    page = send_rules(admin, rules="[]", action="save", version="0")
    assert page.status_code == 400
    assert "are changed there" in text_of(page)
    with_token = {"Authorization": f"token {TOKEN}b"}
    api = f"{hub.base}{GROUPS}api/"
    tried = httpx.post(f"{api}rules/test", json={"claims": CLAIMS}, headers=with_token).json()
    assert tried["groups"] == {"club": "member"}
    answer = httpx.put(f"{api}rules", json={"text": "[]", "version": 0}, headers=with_token)
    assert answer.status_code == 409
    said = text_of(admin.get(f"{GROUPS}sources"))
    assert "A directory that sends (SCIM) off" in said
    assert "c.HubGroups.scim = True" in said


# -- changes --------------------------------------------------------------------------------------


def test_managers_see_what_changed_in_their_groups_and_below(hub, admin, robot):
    groups = store(hub)
    put_members(groups, "earth-sciences", ["prof"], By("admin", "page"), role="manager")
    put_members(groups, f"{GEO}/lab", ["kim"], By("admin", "page"), until=2_000_000_000)
    put_members(groups, "secret-club", ["kim"], By("admin", "page"))
    put_members(groups, "earth-sciences-not", ["kim"], By("admin", "page"))
    prof = hub.login("prof")
    said = text_of(prof.get(f"{GROUPS}audit"))
    assert f"admin put kim into {GEO}/lab until 2033-05-18" in said
    assert "admin put prof into earth-sciences as manager" in said
    assert "secret-club" not in said
    assert "earth-sciences-not" not in said
    assert "/club" not in said, "a login is of nobody's group"
    assert prof.get(f"{GROUPS}audit?group=secret-club").status_code == 404
    assert "secret-club" not in text_of(prof.get(f"{GROUPS}audit?user=kim"))
    assert prof.get(f"{GROUPS}audit?source=manual").is_success
    assert prof.get(f"{GROUPS}sources").status_code == 403
    said = text_of(admin.get(f"{GROUPS}audit?user=kim"))
    assert "kim logged in: login (login) said other groups than before" in said
    found = robot.get("changes", params={"group": "earth-sciences", "limit": 1}).json()
    assert found["events"][0]["text"] == f"admin put kim into {GEO}/lab until 2033-05-18"
    older = robot.get(
        "changes", params={"group": "earth-sciences", "before": found["next_before"]}
    ).json()
    assert older["events"][0]["text"] == "admin put prof into earth-sciences as manager"


def test_changes_come_in_pages(hub, admin):
    put_members(store(hub), "many", [f"m-{n:03}" for n in range(120)], By("admin", "cli"))
    seen, address = [], f"{GROUPS}audit?group=many"
    while address:
        page = admin.get(address)
        seen += re.findall(r"put (m-\d+) into", page.text)
        found = re.search(r'href="/(services/groups/audit\?[^"]*before=[^"]*)"', page.text)
        address = html.unescape(found[1]) if found else ""
    assert sorted(seen) == [f"m-{n:03}" for n in range(120)]


# -- metrics --------------------------------------------------------------------------------------


def metrics(hub: Hub) -> dict[tuple[str, str], float]:
    answer = httpx.get(
        f"{hub.base}{GROUPS}metrics", headers={"Authorization": f"token {TOKEN}"}, timeout=60
    )
    assert answer.status_code == 200
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_prometheus_reads_how_groups_and_sources_are(hub):
    said = metrics(hub)
    assert said["jupyterhub_group_members", GEO] == 41
    assert said["jupyterhub_group_source_problem", MISSING] == 1
    assert said["jupyterhub_group_source_problem", GEO_FILE] == 0
    assert said["jupyterhub_group_source_held", GEO_FILE] == 0
    assert abs(said["jupyterhub_group_source_good_timestamp_seconds", GEO_FILE] - time.time()) < 900
    assert ("jupyterhub_group_source_good_timestamp_seconds", MISSING) not in said
    assert said["jupyterhub_group_memberships", "roster"] == 41
    assert said["jupyterhub_group_store_up", ""] == 1
    assert {name for name, _labels in said} <= {family.name for family in FAMILIES}


def test_metrics_are_for_who_may_read_the_hubs(hub, admin):
    address = f"{hub.base}{GROUPS}metrics"
    assert httpx.get(address).status_code == 401
    assert admin.get(address).status_code == 200
    member = {"Authorization": f"token {hub.login('kim').token()}"}
    assert httpx.get(address, headers=member).status_code == 403


# -- hostile input --------------------------------------------------------------------------------


def places(text: str):
    part = quote(text[:2000], safe="").replace("%2F", "%252F")
    yield "POST", "sources", {"data": {"source": text, "action": "look"}}
    yield "POST", "sources", {"data": {"source": GEO_FILE, "action": text}}
    yield "POST", "sources", {"data": {"source": GEO_FILE, "action": "apply", "seen": text}}
    yield "POST", "sources/tokens", {"data": {"action": "revoke", "id": text}}
    yield "POST", "sources/tokens", {"data": {"action": "make", "name": "x", "until": f"{text}x"}}
    yield "POST", "rules", {"data": {"rules": f"- {text}", "action": "save", "version": "77"}}
    yield "POST", "rules", {"data": {"rules": "[]", "action": "save", "version": f"x{text}"}}
    yield "POST", "rules", {"data": {"rules": "[]", "claims": f"{{{text}"}}
    yield "POST", "rules", {"data": {"action": "preset", "preset": text}}
    yield "GET", "audit", {"params": {"before": f"x{text[:4000]}"}}
    yield "GET", f"api/sources/{part}/look", {}
    yield "POST", f"api/sources/{part}/look", {}
    yield "PUT", "api/rules", {"json": {"text": text, "version": 99_999}}
    yield "POST", "api/rules/test", {"json": {"claims": {}, "rules": text}}
    yield "POST", "api/rules/test", {"json": {"claims": {"name": text}, "rules": f"- {text}"}}
    yield "DELETE", f"api/scim-tokens/{part}", {}
    yield "POST", "api/scim-tokens", {"json": {"name": text, "until": "x"}}
    yield "GET", "api/changes", {"params": {"before": text[:4000]}}


def test_hostile_input_leaves_no_trace_but_a_clear_refusal(hub):
    token = {"Authorization": f"token {TOKEN}b"}
    version = rules_text(store(hub)).version
    with httpx.Client(base_url=f"{hub.base}{GROUPS}", headers=token, timeout=60) as client:
        for text in HOSTILE:
            for method, address, sent in places(text):
                answer = client.request(method, address, **sent)
                where = (method, address[:60], text[:30], answer.status_code, answer.text[-400:])
                if answer.status_code == 200 and text.strip("\x00").isdigit():
                    continue  # a page of entries before that number
                assert 400 <= answer.status_code < 500, where
                assert answer.status_code != 429, where
                if answer.headers["Content-Type"].startswith("text/html"):
                    signs = any(sign in text for sign in "<>\"'&")
                    assert not signs or text not in answer.text, where
                else:
                    assert json.loads(answer.text)["detail"], where
            shown = client.get("audit", params={"group": text[:200], "user": text[:200]})
            assert shown.status_code == 200
            assert text not in shown.text or not any(sign in text for sign in "<>\"'&")
    assert rules_text(store(hub)).version == version
    assert "Traceback" not in hub.log


def test_hostile_names_are_shown_as_they_are_and_do_nothing(hub, admin):
    name = '"><img src=x onerror=alert(1)>'
    put_members(store(hub), name, [name], By(name, "page"))
    store(hub).replace_source(f"roster:{name}.csv", {name: {name: "member"}})
    for path in ("audit", "sources"):
        assert name not in admin.get(f"{GROUPS}{path}").text
        assert html.escape(name, quote=False).partition('"')[2] in admin.get(
            f"{GROUPS}{path}"
        ).text.replace("&#34;", '"')
    look = admin.send_form(f"{GROUPS}sources", source=f"roster:{name}.csv", action="look")
    assert look.status_code == 200
    assert name not in look.text
    metrics(hub)  # can be read
    store(hub).replace_source(f"roster:{name}.csv", {})
