"""Processes that are killed while they reserve: nothing oversubscribed, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from postgres import fresh_database
from stress import unequal

from hub_quotas.policy import parse_policy
from hub_quotas.store import QuotaStore

ROOT = Path(__file__).parent.parent
LENGTH = ("--seconds", "5", "--attempts", "1000")


def stress(*arguments: str) -> dict:
    """A run of a few seconds, in a process of its own as it forks."""
    command = [sys.executable, "tests/stress.py", "--json", *LENGTH, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == report["good"]
    return report


def assert_sound(report: dict) -> None:
    assert report["errors"] == []
    assert report["oversubscribed"] == report["unequal"] == report["leaked"] == 0, report
    assert report["attempts"] >= 1000 and report["kills"] >= 5, report
    assert report["admitted"] > 100 and report["rivals"] > 0 < report["moves"], report


def test_killed_processes_on_sqlite():
    assert_sound(stress())


@pytest.mark.slow
def test_killed_processes_on_postgres(postgres_url):
    assert_sound(stress("--url", fresh_database(postgres_url)))


# -- two hubs at one moment ---------------------------------------------------------------------

OFTEN = 20


@pytest.fixture(params=["sqlite", "postgres"])
def two(request, tmp_path):
    """Two processes' stores of one ledger."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.sqlite"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
    stores = QuotaStore(url, hub="north"), QuotaStore(url, hub="south")
    yield stores
    for store in stores:
        store.close()


def together(*calls: Callable[[], object]) -> list:
    """What came of calls that begin at one moment."""
    barrier = Barrier(len(calls))

    def one(call: Callable[[], object]) -> object:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def test_a_session_that_two_close_at_once_is_closed_once(two):
    """The user's other server would hide that the amounts were taken off twice."""
    north, south = two
    north.reserve("other", "ada", "", ["a/b"], {})
    for n in range(OFTEN):
        north.reserve(f"{n}", "ada", "", ["a/b"], {})
        closings = (lambda hub=hub, n=n: hub.close_session(f"{n}", "end") for hub in two)
        assert sorted(together(*closings)) == [False, True]
        assert unequal(south) == 0


def test_a_session_that_is_resized_while_it_is_closed(two):
    north, south = two
    north.reserve("other", "ada", "", ["a/b"], {"cpu": 9000})
    for n in range(OFTEN):
        north.reserve(f"{n}", "ada", "", ["a/b"], {"cpu": 1000})
        _, closed = together(
            lambda n=n: north.resize(f"{n}", {"servers": 1, "cpu": 500}),
            lambda n=n: south.close_session(f"{n}", "end"),
        )
        assert closed
        assert unequal(south) == 0


def test_a_reservation_that_is_repeated_before_it_is_answered(two):
    for n in range(OFTEN):
        asked = (lambda hub=hub, n=n: hub.reserve(f"{n}", "ada", "", ["a"], {}) for hub in two)
        assert all(answer.granted for answer in together(*asked))
    assert two[0].group_use()["a"]["servers"] == OFTEN


def moved(first: str, second: str):
    groups = {"p": {}, "q": {}, "g": {"parent": first}, "h": {"parent": second}}
    return parse_policy({"groups": groups})


def test_a_group_moves_while_servers_start_in_it(two):
    """None is charged to where the group was, and nobody waits for each other for ever."""
    north, south = two
    north.apply(moved("p", "q"), "root", "cli")
    for n in range(OFTEN):
        north.reserve(f"g{n}", f"user-{n}", "", ["g"], {})
        south.reserve(f"h{n}", f"user-{n}", "", ["h"], {})
        together(
            lambda n=n: north.apply(moved(*("qp" if n % 2 else "pq")), "root", "cli"),
            lambda n=n: [south.reserve(f"{n}-{m}", f"user-{m}", "", ["h"], {}) for m in range(5)],
        )
        assert unequal(south) == 0


def test_two_change_limits_at_once_and_neither_is_overlooked(two):
    for n in range(OFTEN):
        together(
            lambda n=n: two[0].set_limit("a", "group.servers", n, "ada", "page"),
            lambda n=n: two[1].set_limit("b", "group.servers", n, "bo", "page"),
        )
        for store in two:
            limits = {group: store.policy().limits(group)[0].amount for group in "ab"}
            assert limits == {"a": n, "b": n}
