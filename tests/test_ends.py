"""What the ledger hears late: exact for every window, whoever tells it first."""

from __future__ import annotations

import pytest
from ledgers import START, clock, store, url
from test_quota_store import HOUR, MINUTE, G, allow, in_use, start

from hub_quotas.corrections import correct_end, known_as
from hub_quotas.requests import Request
from hub_quotas.sessions import GONE
from hub_quotas.store import SEEN

__all__ = ["clock", "store", "url"]


def hours(store, clock, begin=START, end=None) -> float:
    """Core-hours that the group has used."""
    return store.used("a", "", "cpu", begin, clock.now if end is None else end) / (1000 * HOUR)


def test_an_end_is_when_it_was_seen_last(store, clock):
    start(store, "1", cpu=1000)
    clock.now += HOUR
    store.seen({"1": clock.now})
    store.seen({"1": clock.now - MINUTE})
    clock.now += HOUR
    assert store.close_session("1", GONE, SEEN)
    assert hours(store, clock) == 1


@pytest.mark.parametrize("minutes", [20, 100])
def test_who_knows_better_puts_an_end_right(store, clock, minutes):
    start(store, "1", cpu=1000)
    clock.now += HOUR
    store.seen({"1": clock.now})
    clock.now += HOUR
    store.close_session("1", GONE, SEEN)
    clock.now += HOUR
    assert correct_end(store, "1", "stopped", START + minutes * MINUTE)
    assert hours(store, clock) * 60 == minutes
    assert store.session("1").reason == "stopped"
    assert (
        hours(store, clock, START + 10 * MINUTE, START + 90 * MINUTE) * 60 == min(minutes, 90) - 10
    )
    assert not correct_end(store, "1", "died", START), "an end that somebody saw stays"
    assert in_use(store)["a"] == 0


def test_a_server_that_ran_unknown_is_charged_from_its_start(store, clock):
    clock.now += HOUR
    taken = {"servers": 1, "cpu": 1000}
    assert store.adopt("1", "sam", "", "a/b", taken, START)
    assert not store.adopt("1", "sam", "", "a/b", taken, START)
    assert hours(store, clock) == 1
    assert in_use(store) == {"a": 1, "a/b": 1}
    clock.now += HOUR
    assert store.close_session("1", "died", START + 90 * MINUTE)
    clock.now += HOUR
    assert hours(store, clock) == 1.5
    (session,) = store.sessions()
    assert (session.reserved_at, session.closed_at) == (START, START + 90 * MINUTE)


def test_a_server_that_had_ended_before_it_was_known_is_charged_for_what_it_ran(store, clock):
    clock.now += HOUR
    store.adopt("1", "sam", "", "a/b", {"servers": 1, "cpu": 1000}, START)
    store.close_session("1", "died", START + 15 * MINUTE)
    clock.now += HOUR
    assert hours(store, clock) == 0.25


def test_another_size_is_decided_without_the_session_itself(store):
    allow(store, "a: {limits: {group.memory: 4G, member.servers: 1}}")
    start(store, "1", memory=2 * G)
    start(store, "2", user="kim", memory=G)
    assert store.amend("1", {"memory": 3 * G}).allowed
    refused = store.amend("1", {"memory": 4 * G})
    assert [check.limit.key for check in refused.refusals] == ["group.memory"]
    assert in_use(store, "memory")["a"] == 4 * G
    assert store.amend("1", Request({"memory": 3 * G}, {"memory": G})).allowed
    assert in_use(store, "memory")["a"] == 2 * G
    assert in_use(store, "memory+burst")["a"] == 2 * G
    assert not start(store, "3", user="bo", memory=G), "caps count the limit"
    store.close_session("1", "stopped")
    assert in_use(store, "memory+burst")["a"] == 0
    assert store.amend("1", {"memory": G}) is None


def test_a_user_who_is_renamed_keeps_their_history(store, clock):
    allow(store, "a: {limits: {member.cpu-hours: 1 per day}}")
    known_as(store, 7, "sam")
    start(store, "1", cpu=1000)
    clock.now += 2 * HOUR
    store.close_session("1", "stopped")
    known_as(store, 7, "samira")
    known_as(store, 7, "samira")
    known_as(store, 8, "sam")
    assert not start(store, "2", user="samira", cpu=1000)
    assert start(store, "3", user="sam", cpu=1000), "another person with the old name"
