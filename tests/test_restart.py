"""A hub that is killed leaves a ledger that agrees with what really runs."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from hubs import wait_for

pytestmark = pytest.mark.slow


def servers_of(hub) -> list[psutil.Process]:
    """The single-user servers that really run, by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("JUPYTERHUB_API_URL", "").startswith(
                f"http://127.0.0.1:{hub.settings['hub_port']}/"
            ) and "mocksu" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def start_server(hub, user: str) -> None:
    hub.login(user)
    assert hub.api(f"users/{user}/server", "POST").is_success
    wait_for(f"the server of {user}", lambda: hub.server(user))


def test_a_killed_hub_finds_what_runs_and_what_ended(fresh_hub):
    hub = fresh_hub("formless", cleanup_servers=False)
    for user in ("survivor", "victim"):
        start_server(hub, user)
    assert hub.in_use() == {"default": 2}
    (session,) = hub.ledger().open_sessions("survivor")
    assert session.state == "running"

    hub.kill()
    victim = next(s for s in servers_of(hub) if s.environ()["JUPYTERHUB_USER"] == "victim")
    os.kill(victim.pid, signal.SIGKILL)
    assert hub.in_use() == {"default": 2}, "nobody was there to see it end"
    hub.start()

    wait_for("the ledger to agree", lambda: hub.in_use() == {"default": 1})
    assert len(servers_of(hub)) == 1
    assert [s.id for s in hub.ledger().open_sessions()] == [session.id], "the same session goes on"
    assert hub.server("survivor")

    assert hub.api("users/survivor/server", "DELETE").is_success
    wait_for("the ledger to be empty", lambda: hub.in_use() == {})
    for server in servers_of(hub):
        server.kill()


def test_a_session_of_a_server_that_the_hub_never_knew_is_closed(fresh_hub):
    """The hub was killed between the ledger's commit and the start of the server."""
    hub = fresh_hub("formless", cleanup_servers=False)
    hub.kill()
    answer = hub.ledger().reserve("lost", "ghost", "", ["default"], {"memory": 2**30})
    assert answer.granted
    assert hub.in_use() == {"default": 1}
    hub.start()
    wait_for("the session to be closed", lambda: hub.in_use() == {})


def test_the_pages_of_a_killed_hub_go_with_it(fresh_hub):
    """One that lived on would answer the next hub's users with tokens that it does not know."""
    hub = fresh_hub("formless")
    pages = [
        process
        for process in psutil.Process(hub.process.pid).children(recursive=True)
        if "hub_groups.host" in " ".join(process.cmdline())
    ]
    assert len(pages) == 1
    hub.kill()
    wait_for("the pages' process to stop", lambda: not pages[0].is_running(), seconds=10)
    hub.start()
    assert "My usage" in hub.login("returning").get("services/quotas/").text


def test_a_user_who_is_renamed_is_the_same_to_the_ledger(start_hub):
    hub = start_hub("formless", slow_spawn_timeout=10)
    start_server(hub, "maiden")
    assert hub.api("users/maiden/server", "DELETE").is_success
    wait_for("the stop", lambda: hub.ledger().open_sessions("maiden") == [])
    assert hub.api("users/maiden", "PATCH", json={"name": "married"}).is_success
    assert hub.api("users/married/server", "POST").is_success
    wait_for("the server", lambda: hub.server("married"))
    until = 2**62
    both = [
        hub.ledger().used("default", name, "servers", 0, until) for name in ("married", "maiden")
    ]
    assert both[0] > 0 and both[1] == 0
    ended, running = (s for s in hub.ledger().sessions() if s.user in ("maiden", "married"))
    assert (ended.user, running.user) == ("married", "married"), "history goes with the user"
