"""What the ledger and a hub do not agree on, and what is done about it."""

from __future__ import annotations

from types import SimpleNamespace

from hubs import wait_for
from threads import finish

from hub_quotas.reconcile import Server, Servers, difference

TAKEN = {"group": "a", "amounts": {"servers": 1}, "since": 0}


def test_what_is_open_and_not_in_the_hub_is_missing():
    found = difference({"1": "sam", "2": "kim"}, {"1": Server("1", "sam", "")})
    assert (found.missing, found.unknown, found.renamed) == ({"2"}, (), {})


def test_of_what_the_ledger_does_not_know_only_what_was_allowed_is_told():
    allowed = Server("1", "sam", "", allowed=TAKEN)
    found = difference({}, {"1": allowed, "being reserved": Server("2", "kim", "")})
    assert (found.missing, found.unknown, found.renamed) == (set(), (allowed,), {})
    assert difference({"1": "sam"}, {"1": allowed}).unknown == ()


def test_a_user_by_another_name_was_renamed():
    found = difference({"1": "sam"}, {"1": Server("1", "samira", "")})
    assert (found.missing, found.renamed) == (set(), {"sam": "samira"})


class Spawner(SimpleNamespace):
    """A spawner as far as `Servers` looks at it; the hub's tests have real ones."""


def a_spawner(session: str) -> Spawner:
    return Spawner(
        session_id=session,
        active=True,
        alive_at=None,
        allowed=None,
        name="",
        user=SimpleNamespace(name="sam"),
        orm_spawner=SimpleNamespace(last_activity=None),
    )


def test_only_active_servers_with_their_present_session_count():
    servers, spawner = Servers(), a_spawner("1")
    servers.add("1", spawner)
    assert servers.get("1") == Server("1", "sam", "")
    spawner.active = False
    assert servers.get("1") is None, "only its state is left in the hub's database"
    spawner.active, spawner.session_id = True, "2"
    assert servers.get("1") is None, "it was started again"


def test_a_server_is_told_of_when_it_runs_and_then_no_more():
    servers, spawner = Servers(), a_spawner("1")
    servers.add("1", spawner)
    assert finish(servers.untold()) == {}
    spawner.alive_at = 5
    assert finish(servers.untold()) == {"1": Server("1", "sam", "", 5)}
    assert finish(servers.untold()) == {}
    servers.tell_again(["1", "unknown"])
    assert finish(servers.untold()).keys() == {"1"}
    servers.remove("1")
    servers.tell_again(["1"])
    assert finish(servers.untold()) == {}


def test_servers_from_before_are_taken_up_and_end_as_any_other(fresh_hub):
    """The packages are installed while servers run."""
    hub = fresh_hub("bare", cleanup_servers=False)
    for user in ("stays", "goes"):
        hub.login(user)
        assert hub.api(f"users/{user}/server", "POST").is_success
        wait_for("the server", lambda user=user: hub.server(user))
    hub.stop()
    hub.world = "formless"
    hub.start()
    wait_for("both to be taken up", lambda: hub.in_use() == {"default": 2})
    assert hub.api("users/goes/server", "DELETE").is_success
    wait_for("the end", lambda: hub.in_use() == {"default": 1})
    gone = next(s for s in hub.ledger().sessions() if s.user == "goes")
    assert (gone.reason, gone.granted) == ("stopped", {"servers": 1})
    assert hub.api("users/stays/server", "DELETE").is_success
    wait_for("the ledger to be empty", lambda: hub.in_use() == {})
