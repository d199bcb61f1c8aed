"""The ledger in real databases: atomic, append-only, idempotent, exact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import yaml
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledgers import START, clock, store, url

from hub_quotas import migrate, schema
from hub_quotas.corrections import adjust, rename
from hub_quotas.policy import parse_policy
from hub_quotas.pruning import prune, thin
from hub_quotas.quantities import HOUR
from hub_quotas.sessions import new_id
from hub_quotas.store import QuotaStore
from hub_quotas.transaction import LedgerError

G, MINUTE = 2**30, HOUR // 60

__all__ = ["clock", "store", "url"]


def allow(store: QuotaStore, groups: str, **rest: object) -> None:
    document = {"groups": yaml.safe_load(f"{{{groups}}}"), **rest}
    store.apply(parse_policy(document), "tests", "tests")


def start(store: QuotaStore, id: str, user: str = "sam", group: str = "a/b", **request: int):
    return store.reserve(id, user, "", [group], request or {"memory": G}).granted


def at(text: str) -> int:
    """An instant from a time in UTC."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * 10**6


def in_use(store: QuotaStore, resource: str = "servers") -> dict[str, int]:
    return {group: use.get(resource, 0) for group, use in store.group_use().items()}


def test_a_server_counts_for_the_group_and_each_ancestor(store):
    assert start(store, "1")
    assert in_use(store) == {"a": 1, "a/b": 1}
    assert in_use(store, "memory") == {"a": G, "a/b": G}
    assert store.close_session("1", "stopped")
    assert not store.close_session("1", "stopped"), "closing again changes nothing"
    assert not store.close_session("never", "stopped")
    assert in_use(store) == {"a": 0, "a/b": 0}


def test_the_same_id_is_charged_once(store):
    assert start(store, "1")
    assert start(store, "1")
    assert in_use(store) == {"a": 1, "a/b": 1}


def test_a_members_limit_on_an_ancestor_counts_all_groups_below_it(store):
    allow(store, "a: {limits: {member.servers: 2}}")
    assert start(store, "1", group="a/b")
    assert start(store, "2", group="a/c")
    assert not start(store, "3", group="a/b")
    assert not start(store, "4", group="a")
    assert start(store, "5", user="kim", group="a/b"), "others have their own"
    assert start(store, "6", group="ab"), "another group, though its name starts alike"


def test_the_first_group_that_admits_is_charged(store):
    allow(store, "a: {limits: {member.servers: 0}}")
    answer = store.reserve("1", "sam", "", ["a", "b", "c"], {})
    assert answer.granted.group == "b"
    assert [s.group for s in store.open_sessions("sam")] == ["b"]


def test_a_server_without_a_size_is_promised_no_instant(store):
    """Waiting does not help: somebody has to set a size."""
    allow(store, '"*": {limits: {group.cpu-hours: 2000 per month}}')
    refused = store.reserve("1", "sam", "", ["a"], {})
    assert not refused.granted
    assert store.again("sam", refused.decisions[0]) is None


def test_a_refusal_charges_nothing(store):
    allow(store, "a: {limits: {group.memory: 1G}}")
    assert not start(store, "1", memory=2 * G)
    assert store.open_sessions() == []
    assert in_use(store) == {"a": 0, "a/b": 0}


def test_many_at_once_never_exceed_a_cap(url):
    """One transaction reads, decides and appends, whoever else writes to the database."""
    stores = [QuotaStore(url, hub=f"hub-{n}") for n in range(4)]
    allow(stores[0], "a: {limits: {group.servers: 7}}")
    with ThreadPoolExecutor(8) as pool:
        granted = list(
            pool.map(lambda n: start(stores[n % 4], f"{n:03}", user=f"u{n % 9}"), range(80))
        )
    assert sum(bool(decision) for decision in granted) == 7
    assert in_use(stores[0])["a"] == 7 == len(stores[1].open_sessions())
    for one in stores:
        one.close()


def test_a_budget_is_exact_to_the_clock(store, clock):
    allow(store, "a: {limits: {member.cpu-hours: 2 per 7d}}")
    assert start(store, "1", group="a", cpu=1000)
    clock.now += 90 * MINUTE
    (decision,) = store.explain("sam", ["a"], {"cpu": 1000})
    assert decision.checks[0].used == 1500 * HOUR
    assert decision.lasts == 15 * MINUTE, "two cores then draw on half a CPU-hour"
    store.close_session("1", "stopped")
    clock.now += 60 * MINUTE
    assert start(store, "2", group="a", cpu=4000)
    clock.now += 8 * MINUTE
    refused = store.reserve("3", "sam", "", ["a"], {"cpu": 1000})
    assert not refused.granted
    store.close_session("2", "stopped")
    again = store.again("sam", refused.decisions[0])
    clock.now = again - 1
    assert not start(store, "4", group="a", cpu=1000)
    clock.now = again
    assert start(store, "5", group="a", cpu=1000)


def test_a_calendar_month_begins_at_midnight_in_the_hubs_zone(url, clock):
    store = QuotaStore(url, zone=ZoneInfo("Europe/Berlin"), clock=clock)
    allow(store, "a: {limits: {group.cpu-hours: 1 per month}}")
    clock.now = at("2026-10-31T20:00")
    start(store, "1", group="a", cpu=1000)
    clock.now += HOUR
    store.close_session("1", "stopped")
    assert not start(store, "2", group="a", cpu=1000)
    clock.now = at("2026-10-31T23:00") - 1
    assert not start(store, "3", group="a", cpu=1000)
    clock.now = at("2026-10-31T23:00")  # midnight in Berlin
    assert start(store, "4", group="a", cpu=1000)
    store.close()


def test_cost_is_a_budget_like_any_other(store, clock):
    prices = [{"since": "2026-01-01", "cpu": 0.5}]
    allow(store, "a: {limits: {group.cost: 1 per month}}", prices=prices)
    assert start(store, "1", cpu=1000).amounts["cost"] == 500_000
    clock.now += 2 * HOUR
    refused = store.reserve("2", "sam", "", ["a/b"], {"cpu": 1000}).decisions[0]
    assert [check.limit.key for check in refused.refusals] == ["group.cost"]


def test_a_late_closing_is_taken_off_whatever_window_is_asked_for(store, clock):
    start(store, "1", cpu=1000)
    clock.now += 10 * HOUR
    store.close_session("1", "gone", at=START + 4 * HOUR)
    clock.now += HOUR
    for begin, end, hours in ((0, 24, 4), (0, 5, 4), (3, 6, 1), (5, 24, 0), (0, 2, 2)):
        used = store.used("a", "", "cpu", START + begin * HOUR, START + end * HOUR)
        assert used == hours * 1000 * HOUR, (begin, end)
    assert store.session("1").closed_at == START + 4 * HOUR


def test_a_voided_reservation_used_nothing(store, clock):
    start(store, "1", cpu=1000)
    clock.now += HOUR
    assert store.void("1", "never started")
    assert store.used("a/b", "sam", "cpu", 0, clock.now) == 0
    assert store.session("1").state == "voided"


def test_the_life_of_a_session(store, clock):
    start(store, "1", cpu=1000)
    assert store.session("1").state == "reserved"
    clock.now += MINUTE
    assert store.start("1")
    assert not store.start("1")
    session = store.session("1")
    assert (session.state, session.started_at) == ("running", START + MINUTE)
    assert store.resize("1", {"cpu": 3000, "servers": 1})
    assert in_use(store, "cpu") == {"a": 3000, "a/b": 3000}
    clock.now += MINUTE
    store.seen({"1": clock.now, "unknown": clock.now})
    assert store.session("1").seen_at == clock.now
    store.close_session("1", "stopped")
    assert not store.resize("1", {"cpu": 1})
    assert store.used("a", "", "cpu", 0, clock.now) == (1000 + 3000) * MINUTE
    assert store.sessions() == [store.session("1")]


def test_a_credit_counts_in_the_windows_that_hold_now(store, clock):
    allow(store, "a: {limits: {member.cpu-hours: 1 per 7d}}")
    start(store, "1", group="a", cpu=1000)
    clock.now += HOUR
    store.close_session("1", "stopped")
    assert not start(store, "2", group="a", cpu=1000)
    adjust(store, "a", "sam", "cpu", 500 * HOUR, "ada", "a broken node")
    assert start(store, "3", group="a", cpu=1000)


def test_a_group_that_moves_takes_what_runs_along(store, clock):
    allow(store, "old: {}, new: {}, course: {parent: old}")
    start(store, "1", group="course", cpu=1000)
    clock.now += HOUR
    allow(store, "old: {}, new: {}, course: {parent: new}")
    assert in_use(store) == {"course": 1, "old": 0, "new": 1}
    clock.now += HOUR
    store.close_session("1", "stopped")
    hours = {g: store.used(g, "", "cpu", 0, clock.now) // (1000 * HOUR) for g in ("old", "new")}
    assert hours == {"old": 1, "new": 1}, "what was used before stays with the old parent"
    assert store.used("course", "", "cpu", 0, clock.now) == 2 * 1000 * HOUR


def test_time_never_goes_back(store, clock):
    start(store, "1")
    clock.now -= 5 * MINUTE
    start(store, "2")
    assert store.session("2").reserved_at == START
    clock.now -= HOUR
    with pytest.raises(LedgerError, match="seconds behind the ledger"):
        start(store, "3")


def test_extended_resources_find_their_place(store):
    allow(store, "a: {limits: {group.nvidia.com/gpu: 2}}")
    assert start(store, "1", **{"nvidia.com/gpu": 2})
    assert not start(store, "2", **{"nvidia.com/gpu": 1})
    assert start(store, "3", cpu=100)
    assert in_use(store, "nvidia.com/gpu")["a"] == 2


def test_another_process_sees_changes_of_the_policy(store, url, clock):
    other = QuotaStore(url, clock=clock)
    allow(store, "a: {limits: {member.servers: 0}}")
    assert not start(other, "1")
    store.set_limit("a", "member.servers", None, "ada", "page")
    assert start(other, "1")
    other.close()


def test_a_limit_that_nobody_could_write_any_more_holds_on(store):
    """Else no server at all would start behind an update."""
    with store.db.write() as tx:
        tx.run(
            "INSERT INTO policy_entry (kind, name, document, at, who, via)"
            " VALUES ('group', 'a', ?, ?, 'ada', 'page')",
            *('{"limits": {"group.memory": "8"}}', START),
        )
    assert not start(store, "1", memory=9)
    assert start(store, "2", memory=8)


def test_each_change_is_in_the_audit_log(store):
    store.set_limit("a", "member.servers", 2, "ada", "page")
    store.set_limit("a", "member.servers", 2, "ada", "page")
    allow(store, "a: {limits: {member.servers: 3}}")
    store.set_limit("a", "member.servers", None, "bo", "page")
    seen = [
        (
            entry.by.who,
            (entry.before or {}).get("limits"),
            (entry.after or {}).get("limits"),
        )
        for entry in reversed(store.audit("a"))
    ]
    assert seen == [
        ("ada", None, {"member.servers": "2"}),
        ("tests", {"member.servers": "2"}, {"member.servers": "3"}),
        ("bo", {"member.servers": "3"}, None),
    ]


def test_pruning_changes_no_answer_that_is_still_asked_for(store, clock):
    for hour in range(40):
        start(store, f"{hour:02}", cpu=1000 + hour)
        clock.now += HOUR // 2
        store.close_session(f"{hour:02}", "stopped")
        clock.now += HOUR // 2
    exact, month = START + 20 * HOUR, START + 10 * HOUR
    spans = [(exact, clock.now), (exact + HOUR // 3, clock.now), (month, exact)]
    before = [store.used("a", "", "cpu", *span) for span in spans]
    assert thin(store, exact, [month, exact]) > 50
    assert [store.used("a", "", "cpu", *span) for span in spans] == before
    assert thin(store, exact, [month, exact]) == 0


def test_pruning_keeps_what_the_longest_window_needs(store, clock):
    day = 24 * HOUR
    for number in range(100):
        start(store, f"{number:03}", cpu=1000)
        clock.now += HOUR
        store.close_session(f"{number:03}", "stopped")
        clock.now += 10 * day - HOUR
    allow(store, "a: {limits: {group.cpu-hours: 1000 per 600d}}")
    dropped, exact_since = prune(store)
    assert clock.now - exact_since == 601 * day
    assert dropped > 0
    assert store.used("a", "", "cpu", 0, clock.now) == 100 * 1000 * HOUR
    assert store.used("a", "", "cpu", exact_since, clock.now) == 60 * 1000 * HOUR


def test_a_user_and_a_group_keep_their_history_under_another_name(store, clock):
    allow(store, "a: {limits: {member.cpu-hours: 1 per 7d}}, b: {}, sub: {parent: a}")
    start(store, "1", group="a", cpu=1000)
    clock.now += HOUR
    rename(store, "sam", "samantha")
    rename(store, "a", "alpha", group=True)
    assert not start(store, "2", user="samantha", group="alpha", cpu=1000)
    assert start(store, "3", user="sam", group="alpha", cpu=1000)
    assert store.policy().path("sub") == ("sub", "alpha", "*")
    store.close_session("1", "stopped")
    assert store.used("alpha", "samantha", "cpu", 0, clock.now) == 1000 * HOUR
    start(store, "4", group="b")
    with pytest.raises(LedgerError, match="'alpha' has a history of its own"):
        rename(store, "b", "alpha", group=True)


def test_another_process_hears_of_a_rename(store, url, clock):
    other = QuotaStore(url, hub="other", clock=clock)
    start(other, "1", user="ada", group="g", cpu=1000)
    clock.now += HOUR
    other.close_session("1", "stopped")
    rename(store, "ada", "eve")
    start(other, "2", user="ada", group="g", cpu=1000)
    clock.now += HOUR
    other.close_session("2", "stopped")
    used = {user: store.used("g", user, "cpu", 0, clock.now) for user in ("ada", "eve")}
    assert used == {"ada": 1000 * HOUR, "eve": 1000 * HOUR}
    other.close()


def test_nothing_is_remembered_of_what_was_rolled_back(store):
    with pytest.raises(AssertionError, match="more closed than opened"), store.db.write() as tx:
        (id,) = store.points.subjects(tx, [("sam", "new")])
        store.points.append(tx, [id], START, {"example.com/fpga": 1})
        store.points.append(tx, [id], START, {"example.com/fpga": -2})
    assert start(store, "1", user="kim", group="a", **{"example.com/gpu": 2})
    assert start(store, "2", group="new", **{"example.com/fpga": 3})
    assert in_use(store, "example.com/gpu")["a"] == 2
    assert in_use(store, "example.com/fpga") == {"a": 0, "new": 3}


def test_the_schema_goes_forward_and_back(url, clock):
    store = QuotaStore(url, clock=clock)
    start(store, "1")
    engine = store.db.engine
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": migrate.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
    assert migrate.version(engine) == migrate.HEAD
    store.close()
    engine = sa.create_engine(url)
    migrate.downgrade(engine, "base")
    assert sa.inspect(engine).get_table_names() == [migrate.VERSION_TABLE]
    migrate.upgrade(engine)
    assert "point" in sa.inspect(engine).get_table_names()
    engine.dispose()


def test_ids_are_uuids_that_sort_by_time():
    ids = [new_id(at * 1000) for at in range(START // 1000, START // 1000 + 50)]
    assert ids == sorted(ids)
    assert len({new_id(START) for _ in range(1000)}) == 1000
    assert all(len(id) == 32 and id[12] == "7" and id[16] in "89ab" for id in ids)
