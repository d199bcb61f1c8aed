"""A ledger that can't be reached: the hub goes on, and what happened is recorded afterwards."""

from __future__ import annotations

import time

from hubs import wait_for

from hub_quotas.store import open_store


def ledger(hub):
    return open_store(f"sqlite:///{hub.folder}/away/hub_quotas.sqlite")


def test_starts_are_refused_until_the_ledger_is_back(fresh_hub):
    hub = fresh_hub("outage")
    assert "The quota ledger can't be reached" in hub.log
    student = hub.login("sam")
    began = time.monotonic()
    refused = hub.api("users/sam/server", "POST")
    assert refused.status_code == 503
    assert "Quotas can't be checked at the moment" in refused.json()["message"]
    assert time.monotonic() - began < 5
    assert student.get("services/quotas/").status_code == 503
    assert "The quota ledger can&#39;t be reached" in student.get("services/quotas/").text

    (hub.folder / "away").mkdir()
    assert hub.api("users/sam/server", "POST").is_success
    wait_for("the server", lambda: hub.server("sam"))
    assert student.get("services/quotas/").status_code == 200
    assert not hub.api("users/sam/servers/two", "POST").is_success, "the configured policy holds"


def test_allowed_starts_are_recorded_when_the_ledger_is_back(fresh_hub):
    hub = fresh_hub("outage", on_outage="allow")
    for user in ("stays", "goes"):
        hub.login(user)
        assert hub.api(f"users/{user}/server", "POST").is_success
        wait_for("the server", lambda user=user: hub.server(user))
    began = time.time()
    assert hub.api("users/goes/server", "DELETE").is_success
    wait_for("the stop", lambda: not hub.api("users/goes").json()["servers"])
    ended = time.time()
    time.sleep(2)

    (hub.folder / "away").mkdir()
    wait_for("both to be recorded", lambda: len(ledger(hub).sessions()) == 2)
    wait_for("the end", lambda: [s.user for s in ledger(hub).open_sessions()] == ["stays"])
    gone = next(s for s in ledger(hub).sessions() if s.user == "goes")
    assert began - 1 <= gone.closed_at / 10**6 <= ended + 1, "not when the ledger was back"
    assert gone.reserved_at < gone.closed_at
    used = ledger(hub).used("default", "goes", "servers", 0, gone.closed_at + 10**9)
    assert used == gone.closed_at - gone.reserved_at
    (stays,) = ledger(hub).open_sessions()
    assert stays.granted["cpu"] == 500 and stays.state == "running"

    assert hub.api("users/stays/server", "DELETE").is_success
    wait_for("the ledger to be empty", lambda: ledger(hub).open_sessions() == [])
