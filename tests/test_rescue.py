"""Servers of people whose home is full: what they get, for how long, and that they start at all."""

from __future__ import annotations

import pytest
from hubs import Hub, Visitor, wait_for
from hypothesis import given
from hypothesis import strategies as st
from ledgers import clock, store, url

from hub_quotas import storage_store
from hub_quotas.home_storage import shelves
from hub_quotas.policy import parse_policy
from hub_quotas.requests import Request
from hub_quotas.rescue import LASTS, SIZE, Rescue, fullest_folder, is_full, rescue_of, small
from hub_quotas.rescues import is_emptied, rescue_for, rescued
from hub_quotas.storage import Limits, with_rescues
from hub_quotas.storage_agent.claims import NAME
from hub_quotas.storage_store import Directory, Mount
from hub_quotas.windows import DAY

__all__ = ["clock", "store", "url"]

MIB, GIB = 2**20, 2**30
sizes = st.integers(0, 2**45)


def test_full_is_where_a_server_might_not_start():
    assert is_full(10 * GIB, 10 * GIB)
    assert is_full(12 * GIB, 10 * GIB)
    assert is_full(10 * GIB - 31 * MIB, 10 * GIB)
    assert not is_full(10 * GIB - 33 * MIB, 10 * GIB)
    assert not is_full(95 * MIB, 100 * MIB), "five percent of a small one are enough to start"
    assert is_full(0, 0)
    assert not is_full(10 * GIB, None)


@given(sizes, sizes)
def test_there_is_more_room_and_not_much(used, limit):
    rescue = rescue_of(used, limit, None, 7)
    assert rescue.amount - limit >= 64 * MIB
    assert rescue.amount - used >= 16 * MIB
    assert rescue.amount <= max(limit + GIB, used + 16 * MIB)
    assert (rescue.since, rescue.until) == (7, 7 + LASTS)


@given(st.integers(0, DAY - 1))
def test_who_fills_that_too_has_no_more_of_it_on_the_same_day(later):
    first = rescue_of(10 * GIB, 10 * GIB, None, 0)
    again = rescue_of(first.amount, 10 * GIB, first, later)
    assert (again.amount, again.since, again.until) == (first.amount, 0, later + LASTS)


def test_it_is_worked_out_anew_on_the_next_day_and_for_a_larger_limit():
    first = rescue_of(10 * GIB, 10 * GIB, None, 0)
    assert rescue_of(10 * GIB, 10 * GIB, first, DAY).since == DAY
    assert rescue_of(20 * GIB, 20 * GIB, first, 1).amount == 21 * GIB


def test_it_is_small_and_leaves_gpus_to_others():
    asked = Request({"cpu": 8000, "memory": 64 * GIB, "nvidia.com/gpu": 2, "gpu": 2})
    assert small(asked).limits == {**SIZE, "nvidia.com/gpu": 0, "gpu": 0}
    tiny = Request({"cpu": 100, "memory": MIB}, {"memory": MIB})
    assert small(tiny) == tiny
    unlimited = small(Request({}, {"cpu": 4000}))
    assert unlimited.limits == {"cpu": 4000, "memory": GIB} or unlimited.limits == SIZE
    assert unlimited.guarantees == {"cpu": 1000}


@pytest.mark.parametrize(
    ("largest", "folder"),
    [
        ([], ""),
        ([("a", 40, False), ("b", 40, False)], ""),
        ([("a", 60, False), ("b", 30, False)], "a"),
        ([("a", 90, False), ("a/b", 50, False), ("c", 10, False), ("a/b/c", 20, False)], "a/b"),
        ([("a", 90, False), ("ab", 80, False), ("a/b", 46, False)], "a/b"),
        ([("data.bin", 90, True), ("a", 10, False)], ""),
        ([("a/data.bin", 90, True), ("b", 10, False)], "a"),
        ([(".local/share/Trash", 80, False), (".local/share/Trash/files", 79, False)],)
        + (".local/share/Trash/files",),
    ],
)
def test_the_folder_that_fills_a_home_is_opened(largest, folder):
    assert fullest_folder(largest, 100) == folder


def test_the_agent_is_told_of_more_room_and_never_of_less():
    limits = Limits({"pat": 10, "kim": None, "lee": 30}, {}, 5)
    more = with_rescues(limits, {"pat": 20, "kim": 20, "lee": 20, "sam": 20})
    assert more.users == {"pat": 20, "kim": None, "lee": 30, "sam": 20}
    assert with_rescues(Limits(otherwise=None), {"sam": 20}).users == {}


# -- the store --------------------------------------------------------------------------------


@pytest.fixture
def limited(store):
    """A ledger in which pat's home may hold 100 MiB."""
    policy = {"groups": {"geo": {"limits": {"member.storage": "100M"}}}}
    store.apply(parse_policy(policy), "tests", "tests")
    return store


def holds(store, used: int, applied: int | None = 100 * MIB) -> None:
    said = [Directory("user", "pat", used, applied)]
    storage_store.report(store, Mount("homes", "btrfs", GIB, GIB), said)


def more_room(store, clock) -> dict[str, int]:
    with store.db.read() as tx:
        return rescued(tx, clock())


def test_a_home_with_room_needs_none(limited, clock):
    assert rescue_for(limited, "pat", ["geo"]) is None
    holds(limited, 90 * MIB)
    assert rescue_for(limited, "pat", ["geo"]) is None
    holds(limited, 100 * MIB, None)  # what no limit can be set for is never full
    assert rescue_for(limited, "pat", ["geo"]) is None
    assert more_room(limited, clock) == {}


def test_a_full_one_has_more_room_for_a_while(limited, clock):
    holds(limited, 100 * MIB)
    rescue = rescue_for(limited, "pat", ["geo"])
    assert rescue == Rescue(164 * MIB, clock(), clock() + LASTS)
    assert more_room(limited, clock) == {"pat": 164 * MIB}
    holds(limited, 120 * MIB, 164 * MIB)  # it is full all the same
    assert rescue_for(limited, "pat", ["geo"]).amount == 164 * MIB
    clock.now += LASTS + 1
    assert more_room(limited, clock) == {}


def test_what_the_agent_measures_anew_counts(limited, clock):
    holds(limited, 100 * MIB)
    rescue = rescue_for(limited, "pat", ["geo"])
    assert is_emptied(limited, "pat", ["geo"], rescue) is None, "it has said nothing since"
    holds(limited, 100 * MIB, rescue.amount)
    assert is_emptied(limited, "pat", ["geo"], rescue) is False
    holds(limited, 40 * MIB, rescue.amount)
    assert is_emptied(limited, "pat", ["geo"], rescue) is True
    assert more_room(limited, clock) == {}


def test_a_volume_that_can_not_shrink_gets_no_more_room_and_is_full_when_it_is(limited, clock):
    def claim(used: int | None, size: int) -> None:
        said = [Directory("user", "pat", used, size)]
        storage_store.report(limited, Mount("homes", NAME, GIB, GIB), said)

    claim(None, 100 * MIB)
    assert rescue_for(limited, "pat", ["geo"]) is None, "nobody can tell"
    claim(100 * MIB, 200 * MIB)
    assert rescue_for(limited, "pat", ["geo"]) is None, "it is larger than its owner's limit"
    claim(200 * MIB, 200 * MIB)
    rescue = rescue_for(limited, "pat", ["geo"])
    assert rescue.amount == 200 * MIB
    assert is_emptied(limited, "pat", ["geo"], rescue) is False
    claim(20 * MIB, 200 * MIB)
    assert is_emptied(limited, "pat", ["geo"], rescue) is True


def test_its_owner_sees_their_own_limit_and_how_much_more_there_is(limited, clock):
    holds(limited, 110 * MIB)
    rescue = rescue_for(limited, "pat", ["geo"])
    [shelf] = shelves(limited, "pat", ["geo"])
    assert shelf.rescue is None, "the agent has not made it yet"
    holds(limited, 110 * MIB, rescue.amount)
    [shelf] = shelves(limited, "pat", ["geo"])
    assert (shelf.rescue, shelf.directory.applied) == (rescue, 100 * MIB)
    assert shelf.to_free == 10 * MIB
    clock.now += LASTS
    [shelf] = shelves(limited, "pat", ["geo"])
    assert shelf.rescue is None


# -- a hub ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("storage", slow_spawn_timeout=0)


@pytest.fixture
def pat(hub):
    """A member whose home may hold 100 MiB; without a rescue before."""
    visitor = hub.login("pat")
    wait_for("the group", lambda: "geo" in hub.groups("pat"))
    with hub.ledger().db.write() as tx:
        tx.run("DELETE FROM storage_rescue")
    yield visitor
    stop(hub)


def stop(hub: Hub) -> None:
    hub.api("users/pat/server", "DELETE")
    wait_for("the end", lambda: not hub.api("users/pat").json()["servers"])


def started(hub: Hub, pat: Visitor) -> tuple[list[str], dict[str, str]]:
    """What is said while it starts, and its environment."""
    assert hub.api("users/pat/server", "POST").status_code in (201, 202)
    said = [event.get("message", "") for event in pat.progress()]
    wait_for("the server", lambda: hub.server("pat"))
    return said, pat.get("user/pat/env").json()


def test_a_server_in_a_full_home_writes_elsewhere(hub, pat):
    hub.limits("geo: {member.storage: 100M}")
    holds(hub.ledger(), 50 * MIB)
    _said, env = started(hub, pat)
    assert "JUPYTER_RUNTIME_DIR" not in env
    stop(hub)
    holds(hub.ledger(), 100 * MIB)
    said, env = started(hub, pat)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_CACHE_HOME"):
        assert env[name].startswith("/tmp/rescue-"), name
    assert env["HOME"].endswith("/pat")
    assert any("Your home is full" in words for words in said), said


def test_it_starts_though_nothing_else_may_and_that_once_a_day(hub, pat):
    hub.limits("geo: {member.storage: 100M, member.servers: 0}")
    holds(hub.ledger(), 100 * MIB)
    started(hub, pat)
    assert hub.in_use() == {"geo": 1}, "it is charged"
    stop(hub)
    hub.api("users/pat/server", "POST")
    assert any(event.get("failed") for event in pat.progress())
