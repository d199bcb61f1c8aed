"""What admins and managers do on their pages, as forms send it, on a real hub."""

from __future__ import annotations

import re

import httpx
import pytest
import yaml
from hubs import Hub, Visitor, wait_for

from hub_groups.people import By, archive, put_members
from hub_groups.store import GroupStore
from hub_quotas.policy import parse_policy, print_policy
from hub_quotas.policy_store import now
from hub_quotas.quantities import HOUR


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub("formless", slow_spawn_timeout=10)


def policy(hub: Hub, text: str) -> None:
    hub.ledger().apply(parse_policy(yaml.safe_load(text)), "tests", "tests")


def held(hub: Hub) -> dict:
    return print_policy(hub.ledger().policy())


def send(visitor: Visitor, path: str, **form: str):
    """What the form on a page sends."""
    visitor.get("services/quotas/")
    return visitor.post(
        f"services/quotas/{path}",
        data={**form, "_xsrf": visitor.xsrf("/services/quotas")},
    )


def version(hub: Hub, group: str) -> str:
    return str(hub.ledger().held().versions.get(("group", group), 0))


TREE = """
plans: {small: {limits: {member.servers: 2, server.memory: 1G}}}
groups:
  science: {limits: {group.cpu: 8}, managers: [dean]}
  science/geo: {plan: small, limits: {group.gpu-hours: 200 per month}}
  science/lab: {}
  arts: {}
"""


def test_the_list_is_a_tree_that_can_be_searched_and_narrowed(hub):
    policy(hub, TREE)
    admin = hub.login("admin")

    def names(query: str = "") -> list[str]:
        page = admin.get(f"services/quotas/groups{query}").text
        return re.findall(r'class="fw-semibold" href="/services/quotas/groups/([^"]+)"', page)

    tree = ["arts", "science", "science/geo", "science/lab"]
    assert [name for name in names() if name in tree] == tree
    assert names("?q=geo") == ["science/geo"]
    assert names("?under=science") == tree[1:]
    assert names("?plan=small") == ["science/geo"]
    assert "arts" in names("?show=unlimited")
    assert "science/geo" not in names("?show=unlimited")
    assert names("?q=nowhere") == []
    assert admin.get("services/quotas/groups?page=x").status_code == 400


def test_a_whole_form_is_saved_and_says_what_is_wrong_where(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    form = {"version": version(hub, "science/geo"), "plan": "small", "managers": "ada, bo"}
    wrong = send(
        admin, "groups/science/geo", **form, **{"limit:group.gpu-hours": "300", "new_key": ""}
    )
    assert wrong.status_code == 400
    assert "a budget needs a window" in wrong.text
    assert 'value="300"' in wrong.text, "what was typed stays"
    right = send(
        admin,
        "groups/science/geo",
        **form,
        **{"limit:group.gpu-hours": "300 a month", "limit:member.servers": "3", "why": "exams"},
    )
    assert right.status_code == 200
    geo = held(hub)["groups"]["science/geo"]
    assert geo == {
        "plan": "small",
        "managers": ["ada", "bo"],
        "limits": {"group.gpu-hours": "300 per month", "member.servers": "3"},
    }
    last = hub.ledger().audit("science/geo")[0]
    assert (last.by.who, last.by.via, last.by.why) == ("admin", "page", "exams")
    assert last.by.address


def test_with_each_first_limit_that_is_suggested_servers_start(hub):
    store, admin = hub.ledger(), hub.login("admin")
    policy(hub, "{}")
    page = admin.get("services/quotas/groups").text
    cards = re.findall(r'<form method="post" action="[^"]*groups/\*".*?</form>', page, re.DOTALL)
    assert len(cards) == 3
    unheld = ["nothing holds one that runs to its memory" in card for card in cards]
    assert unheld == [False, True, False], "servers of this hub are processes without a cgroup"
    assert "hub_quotas.cgroups.LimitedSimpleLocalProcessSpawner" in cards[1]
    for number, card in enumerate(cards):
        policy(hub, "{}")
        tags = re.findall("<input [^>]*>", card)
        fields = [dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in tags]
        form = {one["name"]: one["value"] for one in fields if one["name"] != "_xsrf"}
        assert send(admin, "groups/*", **form).status_code == 200
        assert form["new_key"] in held(hub)["groups"]["*"]["limits"]
        id = f"first-limit-{number}"
        assert store.reserve(id, "first", "", ["course"], {}).granted, form
        store.void(id, "tests")


def test_what_is_saved_says_that_it_would_have_refused_what_has_started(hub):
    store, admin = hub.ledger(), hub.login("admin")
    policy(hub, "{}")
    store.reserve("without-a-size", "unsized", "", ["arts"], {})
    store.close_session("without-a-size", "stopped")
    form = {"new_key": "group.cpu-hours", "new_amount": "2000 per month"}
    said = send(admin, "groups/arts", **form).text
    assert "Saved. It holds from the next start of a server on. In the last 30 days this" in said
    assert "nothing of it has been used yet" in said
    said = send(admin, "groups/arts", **{"limit:server.cpu": "1"}).text
    assert "Saved. It holds from the next start of a server on.</p>" in said
    send(admin, "groups/*", **form)
    mine = re.sub(r"\s+", " ", hub.login("unsized").get("services/quotas/").text)
    assert "Whatever this hub offers" not in mine
    assert (
        "A server without limits of its own</strong> would not start: This hub is not set" in mine
    )
    send(admin, "groups/*", new_key="group.memory", new_amount="8G")
    mine = hub.login("unsized").get("services/quotas/").text
    assert "8 GiB at most would start" not in mine, "without a CPU limit neither"
    policy(hub, TREE)


def test_who_comes_second_overwrites_nothing_unseen(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    seen = version(hub, "science/geo")
    hub.ledger().set_limit("science/geo", "group.gpu-hours", "100 per month", "bo", "page")
    form = {"limit:group.gpu-hours": "300 per month", "plan": "small"}
    late = send(admin, "groups/science/geo", version=seen, **form)
    assert late.status_code == 409
    assert "bo has changed science/geo since" in late.text
    assert 'value="300 per month"' in late.text, "what was typed stays"
    assert held(hub)["groups"]["science/geo"]["limits"] == {"group.gpu-hours": "100 per month"}
    now = re.search(r'name="version" value="(\d+)"', late.text)[1]
    assert send(admin, "groups/science/geo", version=now, **form).status_code == 200
    assert held(hub)["groups"]["science/geo"]["limits"] == {"group.gpu-hours": "300 per month"}


def test_a_login_that_ends_while_somebody_types_loses_nothing(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    admin.get("services/quotas/groups/science")
    form = {"new_key": "member.servers", "new_amount": "4"}
    old = admin.xsrf("/services/quotas")
    admin.cookies.clear()
    ended = admin.post("services/quotas/groups/science", data={**form, "_xsrf": old})
    assert ended.status_code == 403
    assert "Your login has ended" in ended.text
    assert 'name="new_amount" value="4"' in ended.text
    admin.login()
    admin.get("services/quotas/")  # in another tab
    again = admin.post("services/quotas/groups/science", data={**form, "_xsrf": old})
    assert again.status_code == 403
    fresh = re.search(r'name="_xsrf" value="([^"]+)"', again.text)[1]
    assert admin.post("services/quotas/groups/science", data={**form, "_xsrf": fresh}).is_success
    assert held(hub)["groups"]["science"]["limits"]["member.servers"] == "4"


def test_before_saving_it_says_what_would_have_been_refused(hub):
    policy(hub, TREE)
    store, admin = hub.ledger(), hub.login("admin")
    for number, user in enumerate(["x", "x", "y"]):
        store.reserve(f"what-if-{number}", user, "", ["science/geo"], {"gpu": 1, "cpu": 1000})
    form = {"check": "1", "limit:member.servers": "1"}
    answer = send(admin, "groups/science/geo", version=version(hub, "science/geo"), **form)
    assert "this would have refused 1 of 3 starts, of 1 member." in answer.text
    assert "<html" not in answer.text, "only what is asked for"
    page = send(admin, "groups/science", check="page", new_key="member.servers", new_amount="1")
    assert "this would have refused 1 of 3 starts, of 1 member." in page.text
    assert 'value="1"' in page.text
    small = {"plan": "small", "check": "page", "limit:member.servers": "0"}
    assert "would have refused 3 of 3 starts, of 2 members." in send(admin, "plans", **small).text
    for number in range(3):
        store.close_session(f"what-if-{number}", "stopped")
    assert held(hub) == print_policy(parse_policy(yaml.safe_load(TREE))), "nothing is changed"


def test_changes_are_listed_and_undone(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    send(admin, "groups/science/geo", new_key="group.gpu-hours", new_amount="9 a week", why="less")
    page = admin.get("services/quotas/audit?group=science/geo").text
    assert "<q>less</q>" in page
    assert re.search(r">just now</time>\s*<span [^>]*>in the browser, ", page)
    assert "<del>200 per month</del> → <ins>9 per week</ins>" in page
    changed = re.search(r'name="version" value="(\d+)"', page)[1]
    assert send(admin, "audit", version=changed).status_code == 200
    assert held(hub) == print_policy(parse_policy(yaml.safe_load(TREE)))
    again = send(admin, "audit", version=changed)
    assert again.status_code == 409
    assert "admin has changed science/geo since." in again.text, "and nobody has opened anything"
    assert send(admin, "audit", version="999999").status_code == 404
    assert send(hub.login("nobody"), "audit", version=changed).status_code == 403


def test_what_was_done_is_said_once_and_by_no_link(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    saved = "Saved. It holds from the next start of a server on."
    page = send(admin, "groups/science/geo", new_key="group.gpu", new_amount="3")
    assert saved in page.text
    assert page.url.query == b""
    assert saved not in admin.get("services/quotas/groups/science/geo").text
    assert "trust me" not in admin.get("services/quotas/groups/science/geo?done=trust+me").text
    form = {"new_key": "group.gpu", "new_amount": "4", "_xsrf": admin.xsrf("/services/quotas")}
    address = "services/quotas/groups/science/geo"
    assert admin.post(address, data=form, follow_redirects=False).status_code == 303
    told = next(one for one in admin.cookies.jar if one.name == "group-quotas-told")
    assert (told.path, told.has_nonstandard_attr("HttpOnly")) == ("/services/quotas/", True)
    assert saved not in admin.get(address, headers={"Sec-Fetch-Mode": "cors"}).text, (
        "not for a script"
    )
    assert saved in admin.get(address).text
    admin.cookies.set("group-quotas-told", "trust me", path="/services/quotas/")
    assert "trust me" not in admin.get(address).text, "not signed by us"


def test_a_manager_undoes_only_what_they_may_change(hub):
    policy(hub, TREE)
    admin, dean = hub.login("admin"), hub.login("dean")
    send(admin, "groups/science", new_key="group.cpu", new_amount="2")
    given = hub.ledger().audit("science")[0].version
    refused = send(dean, "audit", version=str(given))
    assert refused.status_code == 400
    assert "is set by who manages the group above it" in refused.text
    send(admin, "groups/arts", new_key="group.cpu", new_amount="2")
    other = hub.ledger().audit("arts")[0].version
    assert send(dean, "audit", version=str(other)).status_code == 404
    assert "arts" not in dean.get("services/quotas/audit").text
    assert dean.get("services/quotas/audit?group=arts").status_code == 404
    send(dean, "groups/science/geo", new_key="group.gpu", new_amount="1")
    mine = hub.ledger().audit("science/geo")[0].version
    assert undoable(dean.get("services/quotas/audit").text) == [mine], "not what they were given"
    assert undoable(dean.get("services/quotas/groups/science").text) == []
    assert given in undoable(admin.get("services/quotas/groups/science").text)
    assert send(dean, "audit", version=str(mine)).status_code == 200


def undoable(page: str) -> list[int]:
    """The changes that a page has a button for."""
    form = r'quotas/audit">\s*<input [^>]*>\s*<input type="hidden" name="version" value="(\d+)"'
    return [int(version) for version in re.findall(form, page)]


def test_what_a_file_manages_is_shown_and_not_changed(hub):
    policy(hub, TREE)
    store = hub.ledger()
    mine = parse_policy({"groups": {"science": {"limits": {"group.cpu": 4}}}})
    store.manage(mine, "quotas.yaml")
    admin = hub.login("admin")
    page = admin.get("services/quotas/groups/science").text
    assert "managed by quotas.yaml" in page
    assert 'name="limit:group.cpu"' not in page
    refused = send(admin, "groups/science", new_key="group.cpu", new_amount="9")
    assert refused.status_code == 400
    assert "this is managed by quotas.yaml; change it there." in refused.text
    assert held(hub)["groups"]["science"] == {"limits": {"group.cpu": "4"}}
    assert "science/geo" in held(hub)["groups"], "what it does not name stays"
    store.manage(parse_policy({"groups": {"arts": {"limits": {"group.cpu": 1}}}}), "quotas.yaml")
    assert "science" not in held(hub)["groups"], "what it names no longer goes"
    store.manage(parse_policy({}), "quotas.yaml")
    assert held(hub)["groups"]["arts"] == {"limits": {"group.cpu": "1"}}, "it lets go"
    assert send(admin, "groups/arts", new_key="group.cpu", new_amount="2").status_code == 200


def test_a_plan_for_all_that_are_ticked(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    admin.get("services/quotas/groups")
    form = {"_xsrf": admin.xsrf("/services/quotas"), "plan": "small", "group": ["arts", "science"]}
    assert "2 groups have the plan now." in admin.post("services/quotas/groups", data=form).text
    assert held(hub)["groups"]["arts"]["plan"] == "small"
    assert held(hub)["groups"]["science"] == {
        "plan": "small",
        "managers": ["dean"],
        "limits": {"group.cpu": "8"},
    }
    together = hub.ledger().audit("arts")[0].version
    assert "2 entries are as before" in send(admin, "audit", version=str(together)).text
    assert "plan" not in held(hub)["groups"].get("arts", {})


def test_half_a_limit_of_a_plan_is_not_saved_and_what_servers_need_is_said(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    for half, said in (
        ({"new_amount": "3"}, "Choose which limit this is."),
        ({"new_key": "server.cpu"}, "Write an amount."),
    ):
        for plan in ("small", "new"):
            page = send(admin, "plans", plan=plan, **half)
            assert page.status_code == 400 and said in page.text, (plan, half)
            assert "Saved." not in page.text
    assert held(hub) == print_policy(parse_policy(yaml.safe_load(TREE)))
    needs = "A server without a CPU limit of its own would not start"
    budget = {"plan": "small", "new_key": "member.cpu-hours", "new_amount": "40 per 7d"}
    assert needs in send(admin, "plans", check="page", **budget).text
    idea = httpx.post(
        f"{hub.base}services/quotas/api/plans/small/what-if",
        headers={"Authorization": f"token {admin.token()}"},
        json={"limits": {"member.cpu-hours": "40 per 7d"}},
    )
    assert idea.json()["needs"] == ["server.cpu"]
    saved = send(admin, "plans", **budget).text
    assert "Saved. It holds from the next start of a server on." in saved and needs in saved
    saved = send(admin, "plans", plan="unused", new_key="member.cpu-hours", new_amount="4 per 7d")
    assert needs not in saved.text, "no group has it"


def test_plans_and_prices(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    made = send(admin, "plans", plan="large", new_key="server.memory", new_amount="64 GiB")
    assert made.status_code == 200
    assert held(hub)["plans"]["large"] == {"limits": {"server.memory": "64G"}}
    used = send(admin, "plans", plan="small", action="remove")
    assert used.status_code == 400
    assert "there is no plan called &#39;small&#39;" in used.text, "a group has it"
    assert send(admin, "plans", plan="large", action="remove").status_code == 200
    wrong = send(admin, "prices", since="2026-01-01", cpu="cheap")
    assert wrong.status_code == 400
    assert "is not an amount of money" in wrong.text
    assert 'value="cheap"' in wrong.text
    prices = {"cpu": "0.04", "storage": "0.02"}
    right = send(admin, "prices", since="2026-01-01", **prices, other="x/tpu", other_price="2")
    assert right.status_code == 200
    assert held(hub)["prices"] == [{"since": "2026-01-01", **prices, "x/tpu": "2"}]
    assert " this month" in admin.get("services/quotas/groups").text


def test_the_policy_goes_out_and_in_again(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    out = admin.get("services/quotas/policy?format=yaml")
    assert yaml.safe_load(out.text) == held(hub)
    changed = out.text.replace("200 per month", "100 per month")
    looked = send(admin, "policy", policy=changed)
    assert "<del>200 per month</del> → <ins>100 per month</ins>" in looked.text
    assert held(hub) == yaml.safe_load(out.text), "nothing is changed by looking"
    seen = re.search(r'name="version" value="(\d+)"', looked.text)[1]
    hub.ledger().set_limit("arts", "group.cpu", 1, "bo", "page")
    late = send(admin, "policy", policy=changed, version=seen, apply="1")
    assert late.status_code == 400
    assert "was changed since you looked" in late.text
    now = re.search(r'name="version" value="(\d+)"', send(admin, "policy", policy=changed).text)[1]
    assert send(admin, "policy", policy=changed, version=now, apply="1").status_code == 200
    assert held(hub) == yaml.safe_load(changed)
    for text, why in (
        ("groups: [", "this is not YAML"),
        ("groups: {a: {limits: {member.server: 1}}}", "line 1: groups · a · limits"),
        ("a: &x [1]\nb: *x", "is not read; write it out"),
        ("[" * 50_000, "this can&#39;t be read"),
        ("- " * 50_000, "this can&#39;t be read"),
    ):
        answer = send(admin, "policy", policy=text)
        assert answer.status_code == 400
        assert why in answer.text


def test_groups_come_from_a_table(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    table = "group,plan,managers,member.servers\nscience/new,small,eve; bo,\narts,,,1\n"
    looked = send(admin, "policy", table=table)
    now = re.search(r'name="version" value="(\d+)"', looked.text)[1]
    assert send(admin, "policy", table=table, version=now, apply="1").status_code == 200
    groups = held(hub)["groups"]
    assert groups["science/new"] == {"plan": "small", "managers": ["eve", "bo"]}
    assert groups["arts"] == {"limits": {"member.servers": "1"}}
    assert "science/geo" in groups
    for wrong, why in (
        ("name,plan\na,b", "The column &#39;name&#39; is not known"),
        ("plan\nsmall", "one of them is &#39;group&#39;"),
        ("group,plan\n,small", "Line 2 has no group"),
        ("group,plan\na,smal", "there is no plan called &#39;smal&#39;"),
    ):
        assert why in send(admin, "policy", table=wrong).text


def test_members_who_have_used_nothing_are_listed_too(hub):
    policy(hub, "groups: {course: {}}")
    hub.login("quiet")
    hub.api("groups/course", "POST")
    hub.api("groups/course/users", "POST", json={"users": ["quiet"]})
    ada = hub.login("prof-ada")
    wait_for("them", lambda: "quiet" in ada.get("services/quotas/groups/course").text, 40)


def test_groups_in_which_nobody_ever_was_are_told(hub):
    policy(hub, "groups: {course: {}}")
    hub.login("here")
    hub.api("groups/course", "POST")
    hub.api("groups/made-by-hand", "POST")
    groups = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    put_members(groups, "waits-for-logins", ["later"], By("admin", "page"))
    groups.close()
    admin, said = hub.login("admin"), "Nobody has been in these groups yet: "
    names = "course made-by-hand/below waits-for-logins geo-102"
    one = "{limits: {member.servers: 1}}"
    text = f"groups: {{{', '.join(f'{name}: {one}' for name in names.split())}}}"

    def listed() -> str:
        return re.sub(r"\s+", " ", admin.get("services/quotas/groups").text)

    wait_for("the hub's list", lambda: 'aria-label="made-by-hand"' in listed(), 40)
    looked = send(admin, "policy", policy=text).text
    assert f"{said}geo-102, made-by-hand/below. If their names are right" in looked
    version = re.search(r'name="version" value="(\d+)"', looked)[1]
    assert send(admin, "policy", policy=text, version=version, apply="1").status_code == 200
    marked = re.findall(r'aria-label="([^"]*)">[^<]*</a> (?:(?!<a ).)*nobody in it yet', listed())
    assert marked == ["geo-102", "made-by-hand/below"]
    assert "nobody in it yet" in admin.get("services/quotas/groups/geo-102").text
    assert "nobody in it yet" not in admin.get("services/quotas/groups/course").text
    assert said not in send(admin, "policy", policy=f"{text} # again").text, "it has been said"


def row_of(page: str, user: str) -> list[str]:
    """What the table of members says of one."""
    table = page.partition('id="members"')[2].partition("</table>")[0]
    cells = re.compile(r"<t[hd][^>]*>\s*(.*?)\s*</t[hd]>", re.DOTALL)
    rows = [cells.findall(row) for row in table.split("<tr>")]
    return next((row for row in rows if row and row[0] == user), [])


def test_members_who_have_yet_to_log_in_are_listed_and_none_of_an_archived_group(hub):
    policy(hub, "groups: {seminar: {limits: {member.servers: 2}}}")
    groups = GroupStore(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
    by, admin = By("admin", "page"), hub.login("admin")
    put_members(groups, "seminar", ["later"], by)
    address = "services/quotas/groups/seminar"
    headers = {"Authorization": f"token {admin.token()}"}
    api = f"{hub.base}services/quotas/api/groups/seminar/members"

    def by_api() -> list[str]:
        return [one["user"] for one in httpx.get(api, headers=headers).json()["members"]]

    try:
        assert row_of(admin.get(address).text, "later")[2:] == ["–", "none yet"]
        assert by_api() == ["later"]
        archive(groups, "seminar", by)
        assert "later" not in admin.get(address).text
        assert by_api() == []
    finally:
        groups.close()


def test_what_is_told_of_members_where_no_server_has_a_limit_of_cpu(hub):
    policy(hub, "groups: {club: {}}")
    store, admin = hub.ledger(), hub.login("admin")
    begin = now() - 3 * HOUR
    store.adopt("club-1", "sam", "", "club", {"servers": 1}, begin)
    store.close_session("club-1", "stopped", begin + 2 * HOUR)
    page = admin.get("services/quotas/groups/club").text
    assert "Hours of servers, last 30 days</th>" in page
    assert row_of(page, "sam")[1] == "2.0"
    assert "CPU-hours, last 30 days" not in page
    store.adopt("club-2", "sam", "", "club", {"servers": 1, "cpu": 500}, begin)
    store.close_session("club-2", "stopped", begin + 2 * HOUR)
    page = admin.get("services/quotas/groups/club").text
    assert "CPU-hours, last 30 days</th>" in page
    assert row_of(page, "sam")[1] == "1.0"
    history = hub.login("sam").get("services/quotas/").text.partition('id="history"')[2]
    hours = [re.findall(r'<td class="text-end">([^<]*)</td>', row) for row in history.split("<tr>")]
    assert ["–", "–"] in hours and ["1", "–"] in hours


def test_a_manager_stops_a_server_of_their_group_and_no_other(hub):
    policy(hub, "groups: {course: {}, default: {}}")
    for user in ("sam", "kim"):
        hub.login(user)
    hub.api("groups/course", "POST")
    hub.api("groups/course/users", "POST", json={"users": ["sam"]})
    for user in ("sam", "kim"):
        assert hub.api(f"users/{user}/server", "POST").status_code in (201, 202)
        wait_for("the server", lambda user=user: hub.server(user))
    ids = {one.user: one.id for one in hub.ledger().open_sessions()}
    ada = hub.login("prof-ada")
    assert ids["sam"] in ada.get("services/quotas/groups/course").text
    other = send(ada, "groups/course", action="stop", session=ids["kim"])
    assert other.status_code == 404
    assert send(ada, "groups/course", action="stop", session=ids["sam"]).status_code == 200
    wait_for("the stop", lambda: not hub.api("users/sam").json()["servers"])
    assert hub.server("kim")
    hub.api("users/kim/server", "DELETE")


def test_roles_come_from_the_hub_as_custom_scopes(fresh_hub):
    other = fresh_hub("roles")
    policy(other, TREE)
    boss, reader, tutor = (other.login(name) for name in ("boss", "reader", "tutor"))
    assert send(boss, "plans", plan="x", new_key="server.cpu", new_amount="1").status_code == 200
    assert reader.get("services/quotas/groups/science").status_code == 200
    assert send(reader, "plans", plan="y").status_code == 403
    assert tutor.get("services/quotas/groups/science").status_code == 404
    geo = send(tutor, "groups/science/geo", new_key="member.servers", new_amount="1")
    assert geo.status_code == 200
    assert held(other)["groups"]["science/geo"]["limits"]["member.servers"] == "1"
