"""What a what-if costs: limits of a group with a hundred below it, on 20,000 starts of 30 days.

    python benchmarks/whatif.py

The ledger is made in a temporary folder. docs/performance.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hub_quotas import history
from hub_quotas.ledger import Charge
from hub_quotas.points import encode
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import CLOSED, RUNNING, new_id, print_charges
from hub_quotas.store import QuotaStore

GROUPS, USERS, DAYS = 100, 2000, 30
HOUR = 3600 * 10**6
DAY, GIB = 24 * HOUR, 2**30
SIZES = [{"cpu": 500 * 2**n, "memory": GIB * 2**n} for n in range(4)]


def build(file: Path, starts: int) -> Policy:
    """A ledger with so many starts within the days, and as many in the days before."""
    groups = {f"all/{number:03}": {} for number in range(GROUPS)}
    policy = parse_policy({"groups": groups, "prices": [{"since": "2020-01-01", "cpu": 0.04}]})
    store = QuotaStore(f"sqlite:///{file}")
    store.apply(policy, "admin", "cli")
    store.close()
    with closing(sqlite3.connect(file)) as db:
        db.executemany(
            "INSERT INTO subject (user_name, group_name) VALUES ('', ?)",
            [(name,) for name in (*groups, "all", "*")],
        )
        db.executemany(
            "INSERT INTO session (id, hub, user_name, server_name, group_name, path, state,"
            " charges, reserved_at, started_at, seen_at, closed_at)"
            " VALUES (?, 'hub', ?, '', ?, ?, ?, ?, ?, ?, ?, ?)",
            _sessions(policy, 2 * starts),
        )
        db.commit()
    return policy


def _sessions(policy: Policy, count: int) -> Iterator[tuple[object, ...]]:
    """Rows, spread over twice the days. Each user is in one group."""
    choose, present = random.Random(count), now()  # noqa: S311 - the same each time
    for _ in range(count):
        begin = present - choose.randrange(2 * DAYS * DAY)
        end = begin + choose.randrange(HOUR, 8 * HOUR)
        user = choose.randrange(USERS)
        group, amounts = f"all/{user % GROUPS:03}", {"servers": 1, **choose.choice(SIZES)}
        amounts["cost"] = amounts["cpu"] * 40
        charge = Charge(begin, (user, 1, 2, 3), amounts)
        over = end <= present
        yield (
            *(new_id(begin), f"user{user:04}", group, encode(policy.path(group))),
            *(CLOSED if over else RUNNING, print_charges([charge])),
            *(begin, begin, begin, end if over else None),
        )


def limited(policy: Policy, starts: int, days: int) -> Policy:
    """Three limits on all groups together, so tight that they refuse some, with budgets over so
    many days."""
    at_once = starts * 4.5 / (DAYS * 24)
    core_hours = starts * 4.5 * 1.875 * days / DAYS
    groups = {name: {} for name in policy.groups}
    groups["all"] = {
        "limits": {
            "group.servers": round(at_once * 1.2) + 1,
            "group.cpu-hours": f"{round(core_hours)} per {days}d",
            "member.cpu-hours": f"{round(core_hours / USERS * 1.5) + 1} per {days}d",
        }
    }
    return parse_policy({"groups": groups})


def measure(starts: int, rounds: int) -> dict[str, float | int]:
    figures: dict[str, float | int] = {}
    with tempfile.TemporaryDirectory(prefix="whatif-") as folder:
        file = Path(folder) / "ledger.sqlite"
        before = build(file, starts)
        store = QuotaStore(f"sqlite:///{file}")
        for days in (7, 30):
            after, took, cpu = limited(before, starts, days), [], []
            for _ in range(rounds + 1):  # the first is a warm-up
                began, began_cpu = time.perf_counter(), time.process_time()
                found = history.what_if(store, before, after, DAYS)
                took.append(1000 * (time.perf_counter() - began))
                cpu.append(1000 * (time.process_time() - began_cpu))
            print(f"Budgets over {days} days: {found.text}")
            figures["starts"] = found.starts
            figures[f"refused_{days}d"] = len(found.refused)
            figures[f"what_if_{days}d_ms"] = round(statistics.median(took[1:]), 1)
            figures[f"what_if_{days}d_cpu_ms"] = round(statistics.median(cpu[1:]), 1)
        store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=20_000, help="within 30 days")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the last line is a JSON object")
    options = parser.parse_args()
    figures = measure(options.starts, options.rounds)
    for name, figure in figures.items():
        print(f"{name:22} {figure:10}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
