"""Limits as they are typed on a group's page: what is missing, half typed, not saved or full."""

from __future__ import annotations

import re

import pytest
import yaml
from test_admin_pages import TREE, held, policy, send

from hub_quotas.policy import parse_policy, print_policy
from hub_quotas.storage_store import Mount, report


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub("formless", slow_spawn_timeout=12)


def test_a_limit_that_would_let_no_server_start_says_what_is_missing(hub):
    policy(hub, TREE)
    store, admin = hub.ledger(), hub.login("admin")
    form = {"new_key": "group.cpu-hours", "new_amount": "2000 per month"}
    missing = "A server without a CPU limit of its own would not start: set &#39;CPU, each server"
    looked = send(admin, "groups/arts", check="1", **form).text
    assert missing in looked
    saved = send(admin, "groups/arts", **form).text
    assert missing in saved.partition('id="limits"')[0], "with what was saved"
    assert missing in saved.partition('id="preview"')[2]
    assert not store.reserve("no-size", "sam", "", ["arts"], {}).granted
    both = send(admin, "groups/arts", **{"size:cpu": "2", "set_size": "cpu"}).text
    assert missing not in both
    assert held(hub)["groups"]["arts"]["limits"] == {
        "group.cpu-hours": "2000 per month",
        "server.cpu": "2",
    }
    assert store.reserve("size", "sam", "", ["arts"], {}).granted
    store.void("size", "tests")
    more = {"new_key": "group.gpu", "new_amount": "1", "size:cpu": "3"}
    send(admin, "groups/arts", **more)
    assert held(hub)["groups"]["arts"]["limits"]["server.cpu"] == "2", "only with its button"
    below = send(admin, "groups/science/geo", check="1", **form).text
    assert below.count(missing) == 1, "once, whatever number of limits count CPU"


@pytest.mark.parametrize(
    ("half", "said", "kept"),
    [
        ({"new_amount": "40 per 7d"}, "Choose which limit this is.", 'value="40 per 7d"'),
        ({"new_key": "group.gpu"}, "Write an amount.", '<option value="group.gpu" selected>'),
    ],
)
def test_half_a_limit_is_not_saved_as_nothing(hub, half, said, kept):
    policy(hub, TREE)
    admin = hub.login("admin")
    for more, status in (({}, 400), ({"check": "page"}, 200)):
        form = {"new_key": "", "new_amount": "", **half, **more}
        page = send(admin, "groups/arts", **form)
        assert page.status_code == status
        assert said in page.text
        assert kept in page.text
        (field,) = re.findall(r'<(?:input|select) [^>]*aria-invalid="true"[^>]*>', page.text)
        assert 'aria-describedby="new-about"' in field
    assert held(hub) == print_policy(parse_policy(yaml.safe_load(TREE)))
    typing = send(admin, "groups/arts", check="1", **half).text
    assert said not in typing, "who types is not done yet"
    assert ("limits no start more than before" in typing) is ("new_key" not in half)
    assert ("A whole number, such as 2." in typing) is ("new_key" in half)
    nothing = send(admin, "groups/arts", new_key="", new_amount="")
    assert "Nothing has changed.</p>" in nothing.text


def test_what_is_not_saved_is_not_said_to_be_set(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    page = send(
        admin,
        "groups/science",
        **{"check": "page", "limit:group.cpu": "8", "new_key": "group.gpu", "new_amount": "3"},
    ).text
    about = dict(re.findall(r'id="f-([a-z-]+)-about">\s*(.*?)\s*</div>', page, re.DOTALL))
    assert about == {"group-cpu": "set here", "group-gpu": "not saved yet"}
    same = send(admin, "groups/science", **{"limit:group.cpu": "8 cores"}).text
    assert "Nothing has changed.</p>" in same
    assert "Saved." not in same


def test_what_is_saved_says_what_does_not_hold_yet(hub):
    policy(hub, TREE)
    admin, none = hub.login("admin"), "Limits of storage hold once a storage agent reports: none"
    for path, form in (("groups/arts", {}), ("plans", {"plan": "roomy"})):
        said = send(admin, path, **form, new_key="member.storage", new_amount="10G").text
        assert f"Saved. {none}" in said, path
        both = {"limit:member.storage": "20G", "new_key": "member.servers", "new_amount": "2"}
        said = send(admin, path, **form, **both).text
        assert f"Saved. It holds from the next start of a server on. {none}" in said, path
        more = {"limit:member.servers": "3"}
        assert none not in send(admin, path, **form, **more).text, path
    store = hub.ledger()
    report(store, Mount("homes", "files, projects", 10**12, 10**11), [])
    said = send(admin, "groups/arts", **{"limit:member.storage": "30G"}).text
    assert "Saved. The storage agent has it within seconds." in said
    with store.db.write() as tx:
        tx.run("DELETE FROM storage_mount")

    unheld = "nothing holds one that runs to it on this hub yet."
    assert unheld not in admin.get("services/quotas/groups/arts").text
    page = send(admin, "groups/arts", new_key="server.memory", new_amount="1G").text
    assert f"{unheld} To change that, set c.JupyterHub.spawner_class" in page
    policy(hub, TREE)


def test_what_is_full_now_is_said_before_it_is_saved(hub):
    policy(hub, TREE)
    store, admin = hub.ledger(), hub.login("admin")
    store.reserve("runs-now", "sam", "", ["arts"], {"cpu": 1000})
    form = {"new_key": "group.servers", "new_amount": "1"}
    full = "Now: 1 of 1 server in use: the next start would be refused."
    assert full in send(admin, "groups/arts", check="1", **form).text
    assert full in send(admin, "groups/arts", **form).text
    store.void("runs-now", "tests")


def test_the_group_of_everybody_else_says_so(hub):
    admin = hub.login("admin")
    said = "Everybody who is in no group."
    assert said in admin.get("services/quotas/groups/default").text
    assert said not in admin.get("services/quotas/groups/course").text


def test_an_empty_list_of_members_says_why(hub):
    policy(hub, "groups: {later: {}}")
    admin, address = hub.login("admin"), "services/quotas/groups/"
    assert "Nobody is in this group yet." in admin.get(f"{address}later").text
    assert "Nobody is called that here." in admin.get(f"{address}later?m=zoe").text
    said = "Nobody yet: who is in no group stands here once they have had a server."
    assert said in admin.get(f"{address}default").text
    assert said not in admin.get(f"{address}default?m=zoe").text
    policy(hub, TREE)


def test_words_beside_each_other_have_a_blank_between_them(hub):
    policy(
        hub,
        """
plans: {small: {limits: {member.servers: 2}}}
groups:
  course:
    plan: small
    limits: {group.servers: 9, member.servers: 3, member.gpu: 4}
    boosts: [{limit: member.gpu, amount: 5, until: 2099-01-01}]
  course/lab: {}
""",
    )
    ada = hub.login("prof-ada")

    def read(address: str) -> str:
        page = re.sub("<[^>]*>", "", ada.get(f"services/quotas/{address}").text)
        return re.sub(r"\s+", " ", page)

    shown = read("groups/course")
    assert "set here; the plan says 2 · at most 9, as course has" in shown
    assert "9 set here · at most" not in shown, "that it has as much itself"
    assert "1 below · What is below course small" in read("groups")
    assert "4 GPUs (raised until" in read("ask?group=course&limit=member.gpu").replace("5 ", "4 ")
    policy(hub, TREE)


def test_a_plan_has_the_words_and_the_marks_of_a_groups_page(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    page = admin.get("services/quotas/plans").text
    assert page.count(">CPU, each server (server.cpu)</option>") == 2, "one for each form"
    assert ">server.cpu</option>" not in page
    assert page.count('placeholder="2 · 16G · 40 hours a week"') == 2
    assert (
        "In use, so it can&#39;t be removed." in page or "In use, so it can't be removed." in page
    )
    assert 'value="remove"' not in page
    for form, field, said in (
        ({"plan": "small", "limit:server.memory": "x"}, "limit:server.memory", "x"),
        ({"plan": "small", "new_key": "server.cpu", "new_amount": "y"}, "new_amount", "y"),
        ({"plan": "small", "new_amount": "3"}, "new_key", "Choose which limit this is."),
        ({"plan": "new", "new_key": "server.cpu"}, "new_amount", "Write an amount."),
        ({"plan": "", "new_key": "server.cpu", "new_amount": "1"}, "plan", "Name the plan."),
    ):
        page = send(admin, "plans", **form)
        assert page.status_code == 400
        (mark,) = re.findall(r'<(?:input|select) [^>]*aria-invalid="true"[^>]*>', page.text)
        assert f'name="{field}"' in mark, mark
        about = re.search(r'aria-describedby="([^"]+)"', mark)[1]
        text = re.search(rf'id="{about}">([^<]*)<', page.text)[1]
        assert said in text, text


def test_each_page_has_the_name_of_its_tab(hub):
    policy(hub, TREE)
    admin = hub.login("admin")
    first = admin.get("services/quotas/").text
    tabs = re.findall(
        r'<a class="nav-link[^"]*" href="/(services/quotas/[^"]*)"[^>]*>(.*?)</a>', first
    )
    (prefix,) = {address for address, tab in tabs if tab == "My usage"}
    assert len([tab for address, tab in tabs if address.startswith(prefix)]) > 9
    for address, tab in tabs:
        page = admin.get(address).text
        if tab != "Quotas":  # the way here, from all pages of the hub
            assert f"<title>{tab} · JupyterHub</title>" in page
            assert re.search(r"<h1[^>]*>([^<]*)</h1>", page)[1] == tab


def test_it_is_said_to_which_other_group_a_server_is_charged_and_what_a_priority_is(hub):
    policy(hub, TREE)
    store, admin = hub.ledger(), hub.login("admin")
    store.reserve("of-nobody", "anna", "", ["default"], {"cpu": 1000})
    store.reserve("of-geo", "ben", "", ["science/geo"], {"cpu": 1000})

    def servers(group: str) -> str:
        page = admin.get(f"services/quotas/groups/{group}").text.partition('id="servers"')[2]
        return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page.partition("</section>")[0]))

    assert "anna charged to everybody without a group" in servers("*")
    assert "ben charged to science/geo" in servers("science")
    assert "anna" in servers("default") and "charged to" not in servers("default")
    for id in ("of-nobody", "of-geo"):
        store.void(id, "tests")
    page = admin.get("services/quotas/groups/science").text
    (field,) = re.findall(r'<input [^>]*name="priority"[^>]*>', page)
    assert 'aria-describedby="priority-about"' in field
    assert "the one with the highest that has room" in page.partition('id="priority-about"')[2]
