"""The ledger against a model that remembers everything (model.py), over random histories.

CI plays 10,000 of them; HISTORIES=100000 in the environment makes that more.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model import MINUTE, Clock, History, play_seed, play_seeds, quick_store
from postgres import fresh_database

from hub_quotas.store import QuotaStore
from hub_quotas.transaction import LedgerError

HISTORIES = int(os.environ.get("HISTORIES", "10000"))
AT_ONCE = 250
"""Histories that a process plays before it reports."""

COVERED = ("admitted", "refused", "again", "late", "back", "policies", "nonzero")


def assert_covered(counts: Counter[str], histories: int) -> None:
    """Agreement over histories in which nothing happens would say nothing."""
    assert all(counts[what] > histories / 5 for what in COVERED), counts


@pytest.mark.parametrize("histories", [1000, pytest.param(HISTORIES, marks=pytest.mark.slow)])
def test_histories_on_sqlite(tmp_path, histories):
    chunks = [range(n, min(n + AT_ONCE, histories)) for n in range(0, histories, AT_ONCE)]
    processes = min(os.cpu_count() or 1, len(chunks))
    counts: Counter[str] = Counter()
    # Not by a fork: this process has threads and connections of other tests.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for found in pool.map(play_seeds, chunks, [tmp_path] * len(chunks)):
            counts += found
    assert_covered(counts, histories)


@pytest.mark.parametrize(
    "histories", [50, pytest.param(max(300, HISTORIES // 30), marks=pytest.mark.slow)]
)
def test_histories_on_postgres(postgres_url, histories):
    counts: Counter[str] = Counter()
    for first in range(0, histories, 50):
        with quick_store(fresh_database(postgres_url)) as (store, clock):
            for seed in range(first, min(first + 50, histories)):
                counts += play_seed(seed, store, clock)
    assert_covered(counts, histories)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with quick_store(f"sqlite:///{tmp_path_factory.mktemp('model')}/ledger.sqlite") as found:
        yield found


@settings(max_examples=50, deadline=None)
@given(random=st.randoms(use_true_random=False), steps=st.integers(0, 15))
def test_a_history_that_hypothesis_can_make_short(ledger, random, steps):
    """The same histories, for their shrinking."""
    store, clock = ledger
    History(random, store, clock, f"h{secrets.token_hex(8)}").play(steps)


def test_nothing_is_charged_by_a_clock_that_is_far_behind(tmp_path):
    """It would stop the curves until the clock has caught up."""
    clock = Clock(10**15)
    store = QuotaStore(f"sqlite:///{tmp_path}/ledger.sqlite", clock=clock)
    assert store.reserve("1", "sam", "", ["a"], {}).granted
    clock.now -= 10 * MINUTE
    assert store.reserve("2", "sam", "", ["a"], {}).granted, "so far, the curve waits"
    clock.now -= 1
    with pytest.raises(LedgerError, match="behind the ledger"):
        store.reserve("3", "sam", "", ["a"], {})
    with pytest.raises(LedgerError, match="behind the ledger"):
        store.close_session("1", "stopped")
    assert store.group_use()["a"]["servers"] == 2 == len(store.open_sessions())
    clock.now += 1
    assert store.close_session("1", "stopped")
    store.close()
