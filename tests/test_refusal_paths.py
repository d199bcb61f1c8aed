"""A user who is refused is told why, on every path that starts a server, on both hub versions."""

from __future__ import annotations

import html
import re
import sys

import pytest
from hubs import Hub, Visitor, wait_for

WHY = "course allows each member 1 server at once, and you have 1 running."
WHOM = "ask prof-ada, who manages course"
HUBS = ["6.1", pytest.param("5.5", marks=pytest.mark.slow)]


@pytest.fixture(params=HUBS)
def python(request: pytest.FixtureRequest) -> str:
    return sys.executable if request.param == "6.1" else request.getfixturevalue("hub55")


def a_student(hub: Hub, name: str) -> Visitor:
    """Logged in, in the group `course`, with one server running, which is all that it allows."""
    hub.limits("course: {member.servers: 1, group.memory: 100G}")
    hub.api("groups/course", "POST")
    student = hub.login(name)
    assert hub.api("groups/course/users", "POST", json={"users": [name]}).is_success
    assert hub.api(f"users/{name}/server", "POST").is_success
    wait_for("the first server", lambda: hub.server(name))
    return student


def shown(response) -> str:
    return html.unescape(response.text)


@pytest.mark.parametrize("slow", [10, pytest.param(0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", ["no-form", "form", "link", "link-form", "api"])
def test_the_reason_reaches_the_user(start_hub, python, path, slow):
    world = "form" if path in ("form", "link-form") else "formless"
    hub = start_hub(world, python=python, slow_spawn_timeout=slow)
    student = a_student(hub, f"{path}-student")
    name = student.user
    before = hub.in_use()["course"]

    if path == "api":
        answer = hub.api(f"users/{name}/servers/two", "POST")
        if slow:
            assert answer.status_code == 403
            assert WHY in answer.json()["message"]
        said = wait_for("the end", lambda: student.progress("two"))[-1]
        assert said["failed"]
        assert WHY in said["message"]
        assert WHOM in said["message"]
    else:
        if path == "form":
            answer = student.send_form(f"hub/spawn/{name}/two", memory="256M")
        else:
            options = "?opt-memory=256M" if path.startswith("link") else ""
            answer = student.get(f"hub/spawn/{name}/two{options}")
        if slow:
            assert answer.status_code == 403
        else:
            pending = f"hub/spawn-pending/{name}/two"
            answer = wait_for(
                "the reason", lambda: (a := student.get(pending)) and WHY in shown(a) and a
            )
        assert WHY in shown(answer)
        assert WHOM in shown(answer)
        assert "Stop a server that you don't need" in shown(answer)

    assert hub.server(name, "two") is None
    assert hub.in_use()["course"] == before, "a refused server holds nothing"
    assert "Traceback" not in hub.log.partition(WHY)[2]


def test_an_admin_is_sent_to_the_limit_and_reads_it_as_text(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.limits("default: {member.servers: 0}")
    page = hub.login("admin").get("hub/spawn/admin/two")
    assert page.status_code == 403
    group = '<a href="/services/quotas/groups/default">Groups and limits</a>'
    assert f'{group} · <a href="/services/quotas/">See what you use</a> · <a href' in page.text
    assert re.search(
        r'<span class="d-block fs-6[^>]*>The group default allows no servers', page.text
    )
    assert "You can change this under Groups and limits." in page.text
    assert "ask an admin" not in page.text
    answer = hub.api("users/admin/servers/two", "POST")
    assert answer.json()["message"].endswith("You can change this under Groups and limits.")
    student = hub.login("greedier").get("hub/spawn/greedier")
    assert "ask an admin of this hub" in shown(student)
    assert "Groups and limits" not in student.text


def test_who_is_refused_comes_to_the_form_for_more_of_what_refused(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.api("groups/asks", "POST")
    student = hub.login("asking")
    assert hub.api("groups/asks/users", "POST", json={"users": ["asking"]}).is_success
    hub.limits(
        """
        asks: {member.servers: 3, member.cpu-hours: 80 per 7d}
        "*": {group.cpu-hours: 0 per month, server.cpu: 1}
        """
    )
    page = student.get("hub/spawn/asking")
    assert page.status_code == 403
    link = re.search('<a href="/([^"]*)">Ask for more</a> · <a href="[^"]*">See what', page.text)
    assert link, shown(page)
    form = student.get(html.unescape(link[1])).text
    assert '<option value="group.cpu-hours month *" selected>' in form
    said = hub.api("users/asking/server", "POST").json()["message"]
    assert "Ask for more" not in said, "programs get the words alone"


def test_refusals_do_not_bring_the_hub_down(start_hub, python):
    """A 5.5 hub exits after five failed spawns in a row; a refusal is not a failure."""
    hub = start_hub("formless", python=python, slow_spawn_timeout=10)
    student = a_student(hub, "stubborn")
    for _ in range(12):
        assert student.get("hub/spawn/stubborn/two").status_code == 403
    assert hub.process.poll() is None
    assert hub.api("").is_success
    counted = 'jupyterhub_quota_refusals_total{reason="quota-member"} '
    [count] = [line for line in hub.api("metrics").text.splitlines() if line.startswith(counted)]
    assert float(count.removeprefix(counted)) >= 12


def test_what_would_fit_is_said_and_fits(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.limits("default: {server.memory: 1G, member.memory: 1G}")
    student = hub.login("careful")
    assert hub.api("users/careful/server", "POST").is_success
    wait_for("the first server", lambda: hub.server("careful"))

    refused = shown(student.get("hub/spawn/careful/two?opt-memory=1G"))
    assert (
        "The group default allows each member 1 GiB of memory at once; you have 512 MiB in use by "
        "1 server, and this one asks for 1 GiB." in refused
    )
    assert "A server with at most 512 MiB of memory would start now." in refused
    assert "ask an admin of this hub" in refused

    student.get("hub/spawn/careful/two?opt-memory=512M")
    wait_for("the second server", lambda: hub.server("careful", "two"))
    assert hub.in_use()["default"] >= 2


def test_a_server_that_asks_for_too_much_is_refused_and_starts_nothing(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.limits("default: {server.memory: 1G}")
    student = hub.login("greedy")
    refused = student.get("hub/spawn/greedy?opt-memory=2G")
    assert refused.status_code == 403
    assert "at most 1 GiB of memory; this one asks for 2 GiB" in shown(refused)
    # A hub without a form starts the server with default options after a link that failed.
    assert not hub.api("users/greedy").json()["servers"]


def test_a_choice_of_group_is_charged_or_refused(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    hub.limits("alpha: {member.servers: 5}")
    chooser = hub.login("chooser")
    for group in ("alpha", "beta"):
        hub.api(f"groups/{group}", "POST")
        hub.api(f"groups/{group}/users", "POST", json={"users": ["chooser"]})

    assert 'name="charged_group"' in chooser.get("hub/spawn/chooser").text
    foreign = chooser.get("hub/spawn/chooser?opt-charged_group=gamma")
    assert foreign.status_code == 403
    assert "You are not a member of the group 'gamma'. Choose one of: alpha, beta." in shown(
        foreign
    )
    chooser.send_form("hub/spawn/chooser", charged_group="beta")
    wait_for("the server", lambda: hub.server("chooser"))
    assert [s.group for s in hub.ledger().open_sessions("chooser")] == ["beta"]


def test_stopping_gives_back_what_was_held(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    a_student(hub, "finisher")
    before = hub.in_use()["course"]
    [session] = hub.ledger().open_sessions("finisher")
    assert hub.api("users/finisher/server", "DELETE").is_success
    wait_for("the stop", lambda: hub.in_use().get("course", 0) == before - 1)
    assert hub.ledger().open_sessions("finisher") == []
    with hub.ledger().db.read() as tx:
        late = tx.all("SELECT id FROM overlay WHERE session = ?", session.id)
    assert late == [], "nothing to put right, and to read ever after"


def test_what_a_form_makes_is_not_judged_before_it_is_sent(start_hub):
    hub = start_hub("form", slow_spawn_timeout=10)
    student = a_student(hub, "form-reader")
    hub.limits("course: {member.servers: 2, group.cpu: 4}")
    page = shown(student.get(f"hub/spawn/{student.user}/two"))
    assert "Servers, me: 1 of 2 servers" in page
    assert "CPU, the whole group" in page
    assert "not set up completely" not in page, "the form may choose a size"
    assert "would start" not in page
    hub.limits("course: {member.servers: 1, group.cpu: 4}")
    page = shown(student.get(f"hub/spawn/{student.user}/two"))
    assert "✕" in page and "course allows each member 1 server at once" in page
    assert "not set up completely" not in page
