"""The ledger in a real database file: atomic, append-only, idempotent."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from hub_quotas.limits import parse_limit
from hub_quotas.store import QuotaStore, audit, point

G = 2**30


@pytest.fixture
def store(tmp_path):
    store = QuotaStore(f"sqlite:///{tmp_path}/quotas.sqlite")
    yield store
    store.close()


def allow(store: QuotaStore, group: str, **amounts: object) -> None:
    for key, amount in amounts.items():
        limit = parse_limit(group, key.replace("_", "."), amount)
        store.set_limit(group, limit.key, limit, "tests", "tests")


def start(store: QuotaStore, id: str, user: str = "sam", group: str = "a/b", **request: int):
    return store.reserve(id, user, "", [group], request or {"memory": G}).granted


def test_a_server_counts_for_the_member_the_group_and_each_ancestor(store):
    assert start(store, "1")
    assert store.group_use() == {
        "a": {"cpu": 0, "memory": G, "servers": 1},
        "a/b": {"cpu": 0, "memory": G, "servers": 1},
    }
    assert store.close_session("1", "stopped")
    assert not store.close_session("1", "stopped"), "closing again changes nothing"
    assert not store.close_session("never", "stopped")
    assert all(use["servers"] == 0 for use in store.group_use().values())


def test_a_members_limit_on_an_ancestor_counts_all_groups_below_it(store):
    allow(store, "a", member_servers=2)
    assert start(store, "1", group="a/b")
    assert start(store, "2", group="a/c")
    assert not start(store, "3", group="a/b")
    assert not start(store, "4", group="a")
    assert start(store, "5", user="kim", group="a/b"), "others have their own"
    assert start(store, "6", group="ab"), "another group, though its name starts alike"


def test_the_first_group_that_admits_is_charged(store):
    allow(store, "a", member_servers=0)
    answer = store.reserve("1", "sam", "", ["a", "b", "c"], {})
    assert answer.granted.group == "b"
    assert [s.group for s in store.open_sessions("sam")] == ["b"]


def test_a_refusal_writes_nothing(store):
    allow(store, "a", group_memory="1G")
    assert not start(store, "1", memory=2 * G)
    assert store.open_sessions() == []
    with store.engine.connect() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(point)) == 0


def test_many_at_once_never_exceed_a_cap(store):
    """One transaction reads, decides and appends."""
    allow(store, "a", group_servers=7)
    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(lambda n: start(store, str(n), user=f"u{n % 9}"), range(80)))
    assert sum(bool(decision) for decision in granted) == 7
    assert store.group_use()["a"]["servers"] == 7 == len(store.open_sessions())


def test_points_are_only_appended_and_integrate_to_what_ran(store):
    start(store, "1")
    opened = store.open_sessions()[0].opened_at
    store.close_session("1", "stopped", at=opened + 3_600_000_000)
    with store.engine.connect() as db:
        states = [json.loads(s) for s in db.scalars(sa.select(point.c.state).order_by("at"))]
    assert states[-1][2] == G * 3_600_000_000, "GiB for an hour, in byte-microseconds"
    assert len(states) == 6, "two for each of member, group and ancestor"


def test_a_session_never_ends_before_it_began(store):
    start(store, "1")
    opened = store.open_sessions()[0].opened_at
    store.close_session("1", "gone", at=opened - 10)
    start(store, "2")
    assert store.open_sessions()[0].opened_at >= opened


def test_each_change_of_a_limit_is_in_the_audit_log(store):
    limit = parse_limit("a", "member.servers", 2)
    store.set_limit("a", "member.servers", limit, "ada", "page")
    store.set_limit("a", "member.servers", limit, "ada", "page")
    store.apply([parse_limit("a", "member.servers", 3)], "root", "cli")
    store.set_limit("a", "member.servers", None, "bo", "page")
    with store.engine.connect() as db:
        rows = db.execute(sa.select(audit.c.who, audit.c.via, audit.c.before, audit.c.after)).all()
    assert [tuple(row) for row in rows] == [
        ("ada", "page", None, "2"),
        ("root", "cli", "2", "3"),
        ("bo", "page", "3", None),
    ]
    assert store.limits() == []


def test_seen_moves_only_open_sessions(store):
    start(store, "1")
    before = store.last_seen("1")
    store.seen(["1", "unknown"])
    after = store.last_seen("1")
    assert after > before
    store.close_session("1", "stopped")
    store.seen(["1"])
    assert store.last_seen("1") == after
