"""What a start costs at the ledger: decided and written, against a bare commit and Prometheus.

    python benchmarks/decision.py

The file goes to the folder for temporary files, or to `--folder`: it has to be on a disk, as
nothing is waited for in memory. docs/performance.md says what is measured, and why so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import prometheus

from hub_quotas.ledger import POSITIONS, Charge, Point, negative, pack, step
from hub_quotas.points import encode
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import CLOSED, RUNNING, new_id, print_charges
from hub_quotas.store import QuotaStore

SIZES = (100_000, 1_000_000)
"""Measured beside a larger ledger, for how the time grows."""
USERS = 20_000
ROOTS, MIDDLES, LEAVES = 20, 4, 5
"""Groups: 20 with 4 below each with 5 below each make 500."""
DAYS = 400
LATE = 100
"""One session in so many was found dead only ten minutes later."""
BLOCK = 25
ROUND = 200
WARM = 2000
"""Of each before anything counts: until the log has had its 8000 pages, each makes it longer."""
ANSWERS = 30
"""Questions to Prometheus in each round."""

HOUR = 3600 * 10**6
MINUTE = HOUR // 60
GIB = 2**30
SERVERS = [{"cpu": 500 * 2**n, "memory": GIB * 2**n} for n in range(4)]
REQUEST = SERVERS[1]

# High enough that all are admitted: what is measured is the answer yes, which writes.
_CAPS = {"cpu": 10**6, "memory": "1000T", "servers": 10**6}
_BUDGETS = {
    "cpu-hours": f"{10**9} per 30d",
    "memory-hours": f"{10**9} per 30d",
    "cost": f"{10**9} per month",
}
_LIMITS = {**_CAPS, **_BUDGETS}
_OF_GROUP = {f"group.{name}": value for name, value in _LIMITS.items()}
_OF_MEMBER = {f"member.{name}": value for name, value in _LIMITS.items()}


# -- a ledger ---------------------------------------------------------------------------------


def user_name(number: int) -> str:
    return f"user{number:05d}"


def group_of(number: int) -> str:
    """The group of a user; its name says what is above it."""
    leaf = number % (ROOTS * MIDDLES * LEAVES)
    return f"root{leaf % ROOTS:02d}/middle{leaf // ROOTS % MIDDLES}/leaf{leaf // ROOTS // MIDDLES}"


def policy() -> Policy:
    """Each of the four subjects has 3 caps and 3 budgets, over two windows."""
    groups = {}
    for number in range(ROOTS * MIDDLES * LEAVES):
        root, middle, leaf = group_of(number).split("/")
        groups[root] = groups[f"{root}/{middle}"] = {"plan": "above"}
        groups[f"{root}/{middle}/{leaf}"] = {"plan": "charged"}
    return parse_policy(
        {
            "groups": groups,
            "plans": {
                "above": {"limits": _OF_GROUP},
                "charged": {"limits": _OF_GROUP | _OF_MEMBER},
            },
            "prices": [{"since": "2020-01-01", "cpu": 0.04, "memory": 0.005}],
        }
    )


def build(file: Path, points: int) -> None:
    """A ledger of so many points: what 20,000 users did in 400 days.

    A row holds all resources of a subject at one instant, and 4 of them are in use, so it counts
    as 4 points. A session makes 8 rows: its begin and its end for 4 subjects. Written in the
    order of time, as a hub does: this leaves the gaps in the pages that a hub leaves.
    """
    store = QuotaStore(f"sqlite:///{file}")
    held = policy()
    store.apply(held, "admin", "cli")
    store.close()
    sessions = _sessions(points // 32, held, now())
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        names = sorted({("", name) for user in range(USERS) for name in held.path(group_of(user))})
        names += [(user_name(user), group_of(user)) for user in range(USERS)]
        db.executemany("INSERT INTO subject (user_name, group_name) VALUES (?, ?)", names)
        ids = {(user, group): id for id, user, group in db.execute("SELECT * FROM subject")}
        subjects = [
            [ids[user_name(user), group_of(user)], *(ids["", n] for n in held.path(group_of(user)))]
            for user in range(USERS)
        ]
        db.executemany(
            "INSERT OR REPLACE INTO point VALUES (?, ?, ?)", point_rows(sessions, subjects)
        )
        db.executemany(
            "INSERT INTO overlay (subject, since, until, rates, session) VALUES (?, ?, ?, ?, ?)",
            (
                (subject, end - 10 * MINUTE, end, encode(negative(amounts)), new_id(begin))
                for begin, end, user, amounts in sessions[::LATE]
                if end
                for subject in subjects[user]
            ),
        )
        db.executemany(
            "INSERT INTO session (id, hub, user_name, server_name, group_name, path, state,"
            " charges, reserved_at, started_at, seen_at, closed_at)"
            " VALUES (?, 'hub', ?, '', ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(new_id(begin), user_name(user), group_of(user)),
                    *(encode(held.path(group_of(user))), CLOSED if end else RUNNING),
                    print_charges([Charge(begin, tuple(subjects[user]), amounts)]),
                    *(begin, begin, end or begin, end),
                )
                for begin, end, user, amounts in sessions
            ),
        )
        db.execute("COMMIT")
    with file.open("rb+") as written:  # or the disk would be busy with it for some time
        os.fsync(written.fileno())


def _sessions(
    count: int, held: Policy, until: int
) -> list[tuple[int, int | None, int, dict[str, int]]]:
    """Begin, end (None while it runs), user and amounts of each, oldest first."""
    choose = random.Random(count)  # noqa: S311 - the same data each time, not a secret
    amounts = [{"servers": 1, **s, "cost": held.cost_rate(s, date.today())} for s in SERVERS]
    found = []
    for _ in range(count):
        begin = until - choose.randrange(DAYS * 24 * HOUR)
        end = begin + choose.randrange(HOUR, 12 * HOUR)
        user = choose.randrange(USERS)
        found.append((begin, end if end < until else None, user, choose.choice(amounts)))
    return sorted(found, key=lambda session: session[0])


def point_rows(
    sessions: Sequence[tuple[int, int | None, int, dict[str, int]]], subjects: list[list[int]]
) -> Iterator[tuple[int, int, str]]:
    events = [(begin, user, amounts) for begin, _, user, amounts in sessions]
    events += [(end, user, negative(amounts)) for _, end, user, amounts in sessions if end]
    events.sort(key=lambda event: event[0])
    last: dict[int, Point] = {}
    for at, user, change in events:
        for subject in subjects[user]:
            last[subject] = point = step(last.get(subject), at, change)
            yield subject, point.at, encode(pack(point, POSITIONS))


# -- what is measured -------------------------------------------------------------------------


class Bare:
    """The least that any durable answer costs: one row in a file of its own, on the same disk."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE one (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")

    def __call__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO one (text) VALUES ('a row')")
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class Asked:
    """Questions about any user at all, so that what they need is seldom at hand."""

    def __init__(self, store: QuotaStore) -> None:
        self._store = store

    def reserve(self) -> None:
        user, id = random.randrange(USERS), new_id(now())  # noqa: S311
        answer = self._store.reserve(id, user_name(user), "", [group_of(user)], REQUEST)
        assert answer.granted and len(answer.decisions[0].checks) == 24

    def explain(self) -> None:
        user = random.randrange(USERS)  # noqa: S311
        (decision,) = self._store.explain(user_name(user), [group_of(user)], REQUEST)
        assert decision.allowed and len(decision.checks) == 24

    def one_budget(self) -> None:
        """The very question that Prometheus is asked."""
        user, at = random.randrange(USERS), now()  # noqa: S311
        self._store.used(group_of(user), user_name(user), "memory", at - 30 * 24 * HOUR, at)


def alternate(
    questions: dict[str, Callable[[], object]], rounds: int, each: int = ROUND
) -> dict[str, list[list[float]]]:
    """How long each took, in ms, by round; in blocks that alternate, so that what else happens
    on this machine happens to all of them."""
    took: dict[str, list[list[float]]] = {name: [] for name in questions}
    for _ in range(rounds):
        for name in questions:
            took[name].append([])
        for first in range(0, each, BLOCK):
            for name, question in questions.items():
                for _ in range(min(BLOCK, each - first)):
                    began = time.perf_counter_ns()
                    question()
                    took[name][-1].append((time.perf_counter_ns() - began) / 10**6)
    return took


def p50(rounds: list[list[float]]) -> float:
    return statistics.median(ms for one in rounds for ms in one)


def quick(rounds: list[list[float]]) -> float:
    """The twentieth that nothing held up."""
    return statistics.quantiles((ms for one in rounds for ms in one), n=20)[0]


def line(name: str, rounds: list[list[float]]) -> str:
    flat = [ms for one in rounds for ms in one]
    cuts = statistics.quantiles(flat, n=100, method="inclusive")
    return f"{name:24} {cuts[49]:9.3f} {cuts[94]:9.3f} {cuts[98]:9.3f}"


def spread(above: list[list[float]], below: list[list[float]]) -> str:
    """A ratio, with its least and greatest of any round."""
    by_round = [p50([a]) / p50([b]) for a, b in zip(above, below, strict=True)]
    ratio = p50(above) / p50(below)
    return f"{ratio:.2f} ({min(by_round):.2f} to {max(by_round):.2f} by round)"


def measure(
    folder: Path, sizes: Sequence[int], rounds: int, peer: bool
) -> dict[str, float | int | None]:
    stores = {}
    for size in sizes:
        began = time.perf_counter()
        file = folder / f"{size}.sqlite"
        build(file, size)
        stores[size] = QuotaStore(f"sqlite:///{file}")
        print(
            f"{size:>10,} points: {file.stat().st_size / 10**6:.1f} MB, "
            f"made in {time.perf_counter() - began:.0f} s"
        )
    asked = {size: Asked(store) for size, store in stores.items()}
    largest = sizes[-1]
    questions: dict[str, Callable[[], object]] = {"bare commit": (bare := Bare(folder))}
    questions |= {f"reserve, {size:,}": asked[size].reserve for size in sizes}
    questions |= {f"explain, {size:,}": asked[size].explain for size in sizes}
    for question in questions.values():
        for _ in range(WARM):
            question()
    took = alternate(questions, rounds)
    print(f"\n{'ms':24} {'p50':>9} {'p95':>9} {'p99':>9}")
    for name, times in took.items():
        print(line(name, times))
    reserve, least = took[f"reserve, {largest:,}"], took["bare commit"]
    found: dict[str, float | int | None] = {
        "points": largest,
        "reserve_p50_ms": round(p50(reserve), 4),
        "explain_p50_ms": round(p50(took[f"explain, {largest:,}"]), 4),
        "bare_p50_ms": round(p50(least), 4),
        "bare_ratio": round(p50(reserve) / p50(least), 2),
        "growth": None,
        "prometheus_ratio": None,
        "size_mb": round((folder / f"{largest}.sqlite").stat().st_size / 10**6, 1),
    }
    if peer:
        found |= _against_prometheus(asked[largest], rounds)
    print(f"\nreserve / bare commit: {spread(reserve, least)}")
    if p50(least) < 0.05:
        print("  Such a fast commit means that this folder is in memory: choose --folder.")
    if p50(least) > 3 * quick(least):
        print("  Other work on this machine held up the commits: these ratios say nothing.")
    for size in sizes[:-1]:
        print(f"growth from {size:,}: {spread(reserve, took[f'reserve, {size:,}'])}")
    if len(sizes) > 1:
        found["growth"] = round(p50(reserve) / p50(took[f"reserve, {sizes[0]:,}"]), 2)
    for name, ratio in found.items():
        if name.startswith("prometheus_") and name.endswith("ratio") and ratio:
            print(f"{name.replace('_', ' ')}: {ratio:.0f}")
    for store in stores.values():
        store.close()
    bare.close()
    return found


def _against_prometheus(asked: Asked, rounds: int) -> dict[str, float | int | None]:
    """Prometheus runs only for this: its own work would count as ours before."""
    users = 50
    with prometheus.prometheus_with(users) as url:

        def ask() -> None:
            prometheus.ask(url, prometheus.name_of(random.randrange(users)))  # noqa: S311

        questions = {
            "Prometheus": ask,
            "reserve": asked.reserve,
            "explain": asked.explain,
            "one budget": asked.one_budget,
        }
        alternate(questions, 1, BLOCK)
        took = alternate(questions, rounds, ANSWERS)
    print("\nwhile Prometheus runs")
    for name, times in took.items():
        print(line(name, times))
    peer = p50(took["Prometheus"])
    return {
        "prometheus_p50_ms": round(peer, 2),
        "prometheus_ratio": round(peer / p50(took["reserve"]), 1),
        "prometheus_explain_ratio": round(peer / p50(took["explain"]), 1),
        "prometheus_one_budget_ratio": round(peer / p50(took["one budget"]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5, help=f"of {ROUND} reserves each")
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--no-prometheus", action="store_true")
    parser.add_argument("--json", action="store_true", help="the last line is a JSON object")
    options = parser.parse_args()
    sizes = [*(size for size in SIZES if size < options.points), options.points]
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=options.folder) as name:
        found = measure(Path(name), sizes, options.rounds, not options.no_prometheus)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
