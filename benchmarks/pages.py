"""What the pages and the metrics of a large hub cost, at the server.

    python benchmarks/pages.py

A real hub with 5,000 courses in 50 departments, 100,000 users and a month of their sessions; asked
over HTTP, without a proxy. docs/performance.md says what is measured, and why so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psutil
import scale
import sqlalchemy as sa
from decision import HOUR, SERVERS, point_rows
from jupyterhub import orm, roles

from hub_groups import store as group_store
from hub_groups.memberships import MANAGER, MANUAL
from hub_quotas.ledger import Charge
from hub_quotas.points import encode
from hub_quotas.policy import WHOLE_HUB, Policy, parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import CLOSED, RUNNING, new_id, print_charges
from hub_quotas.store import QuotaStore

COURSES = 100
"""In a department."""
LARGE = 50
"""One user in so many is in the largest course too."""
DAYS = 30
SESSIONS = 3
"""Of each member of a course, in these days."""
PAGES = ("admin_list", "group_page", "user_page", "scrape")
WARM = 3
"""Rounds before any is measured."""
ADMIN = "admin"
SCRAPE = {"Accept-Encoding": "gzip", "Accept": "text/plain;version=0.0.4"}
"""As Prometheus asks."""


# -- a large world ----------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Who is in which course.

    Attributes:
        courses: their groups; the first is the largest.
        seats: each membership, as user and course.
    """

    courses: tuple[str, ...]
    users: tuple[str, ...]
    seats: tuple[tuple[str, str], ...]

    @property
    def groups(self) -> list[str]:
        above = sorted({course.partition("/")[0] for course in self.courses})
        return [*above, *self.courses]


def world(groups: int, users: int) -> World:
    """So many courses, and so many users, each in one; one in LARGE is in the first too."""
    courses = tuple(f"dept{n // COURSES:02d}/course{n:04d}" for n in range(groups))
    names = tuple(f"user{n:06d}" for n in range(users))
    seats = [(name, courses[n % groups]) for n, name in enumerate(names)]
    seats += [(name, courses[0]) for n, name in enumerate(names) if n % LARGE == 1 and n % groups]
    return World(courses, names, tuple(seats))


def policy(of: World) -> Policy:
    """Plans for all, and limits of their own for one course in ten."""
    groups: dict[str, Any] = {name: {"plan": "department"} for name in of.groups}
    for number, course in enumerate(of.courses):
        groups[course] = {"plan": "course"}
        if number % 10 == 0:
            groups[course]["limits"] = {"group.gpu": 4, "group.gpu-hours": "200 per month"}
    groups[WHOLE_HUB] = {"limits": {"group.cost": f"{40 * len(of.courses)} per month"}}
    return parse_policy(
        {
            "groups": groups,
            "plans": {
                "department": {
                    "limits": {"group.cpu": 2000, "group.cost": f"{60 * COURSES} per month"}
                },
                "course": {
                    "limits": {
                        "server.memory": "16G",
                        "member.servers": 2,
                        "member.cpu-hours": "40 per 7d",
                        "group.memory": "400G",
                        "group.cpu-hours": "1500 per month",
                        "group.cost": "60 per month",
                    }
                },
            },
            "prices": [{"since": "2020-01-01", "cpu": 0.04, "memory": 0.005}],
        }
    )


def seed_hub(file: Path, of: World) -> None:
    """The hub's own users and groups."""
    db = orm.new_session_factory(f"sqlite:///{file}")()
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    db.add(orm.OAuthClient(identifier="jupyterhub"))  # whose tokens those of users are
    tables = orm.Base.metadata.tables
    people = [{"id": n, "name": name} for n, name in enumerate(of.users, 1)]
    people.append({"id": len(people) + 1, "name": ADMIN, "admin": True})
    db.execute(sa.insert(tables["users"]), [{"admin": False, **one} for one in people])
    for name, who in (("user", people), ("admin", people[-1:])):
        role = orm.Role.find(db, name)
        assert role
        held = [{"user_id": one["id"], "role_id": role.id} for one in who]
        db.execute(sa.insert(tables["user_role_map"]), held)
    ids = {name: n for n, name in enumerate(of.groups, 1)}
    numbers = {str(one["name"]): one["id"] for one in people}
    groups = [{"id": id, "name": name} for name, id in ids.items()]
    db.execute(sa.insert(tables["groups"]), groups)
    members = [{"user_id": numbers[user], "group_id": ids[course]} for user, course in of.seats]
    db.execute(sa.insert(tables["user_group_map"]), members)
    db.commit()
    db.close()


def tokens(file: Path, users: Sequence[str]) -> list[str]:
    """One of each user, who may all that the user may."""
    db = orm.new_session_factory(f"sqlite:///{file}")()
    found = []
    for name in users:
        user = orm.User.find(db, name)
        assert user
        found.append(user.new_api_token(note="benchmark"))
    db.commit()
    db.close()
    return found


def seed_groups(file: Path, of: World) -> None:
    """Who is in which group, as hub_groups has it; the first of each course manages it."""
    store = group_store.GroupStore(f"sqlite:///{file}")
    firsts = {course: user for user, course in reversed(of.seats)}
    with store.engine.begin() as db:
        db.execute(
            sa.insert(group_store.membership),
            [
                {
                    "user": user,
                    "group": course,
                    "source": MANUAL,
                    "role": MANAGER if firsts[course] == user else "member",
                    "since": 1_767_225_600,
                }
                for user, course in of.seats
            ],
        )
    store.close()


def seed_ledger(file: Path, of: World, per_seat: int = SESSIONS) -> int:
    """A month of sessions, written in the order of time. Returns how many points there are."""
    store = QuotaStore(f"sqlite:///{file}")
    held = policy(of)
    store.apply(held, "admin", "cli")
    store.close()
    sessions = list(_sessions(of, held, per_seat))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        names = [*(("", name) for name in (WHOLE_HUB, *of.groups)), *of.seats]
        db.executemany("INSERT INTO subject (user_name, group_name) VALUES (?, ?)", names)
        ids = {(user, group): id for id, user, group in db.execute("SELECT * FROM subject")}
        subjects = [
            [ids[seat], *(ids["", name] for name in held.path(seat[1]))] for seat in of.seats
        ]
        db.executemany(
            "INSERT OR REPLACE INTO point VALUES (?, ?, ?)", point_rows(sessions, subjects)
        )
        db.executemany(
            "INSERT INTO session (id, hub, user_name, server_name, group_name, path, state,"
            " charges, reserved_at, started_at, seen_at, closed_at, profile)"
            " VALUES (?, 'elsewhere', ?, '', ?, ?, ?, ?, ?, ?, ?, ?, 'small')",
            (
                (
                    *(new_id(begin), *of.seats[seat], encode(held.path(of.seats[seat][1]))),
                    CLOSED if end else RUNNING,
                    print_charges([Charge(begin, tuple(subjects[seat]), amounts)]),
                    *(begin, begin, end or begin, end),
                )
                for begin, end, seat, amounts in sessions
            ),
        )
        db.execute("COMMIT")
        db.execute("ANALYZE")
        (points,) = db.execute("SELECT count(*) FROM point").fetchone()
    with file.open("rb+") as written:  # or the disk would be busy with it for some time
        os.fsync(written.fileno())
    return int(points)


def _sessions(
    of: World, held: Policy, per_seat: int
) -> Iterator[tuple[int, int | None, int, dict[str, int]]]:
    """Begin, end (None while it runs), seat and amounts of each, oldest first."""
    choose, until = random.Random(len(of.seats)), now()  # noqa: S311 - the same each time
    amounts = [{"servers": 1, **s, "cost": held.cost_rate(s, date.today())} for s in SERVERS]
    begins = sorted(
        (until - choose.randrange(DAYS * 24 * HOUR), seat)
        for seat in range(len(of.seats))
        for _ in range(per_seat)
    )
    for begin, seat in begins:
        end = begin + choose.randrange(HOUR // 2, 8 * HOUR)
        yield begin, end if end < until else None, seat, choose.choice(amounts)


# -- what is measured -------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Something that is asked of the pages' process.

    Attributes:
        path: below the pages of the quotas.
        tokens: of those who ask, one after the other: each new one the pages have to look up at
            the hub, as they do for whoever comes after more than ten seconds.
        status: of the answer.
    """

    path: str
    tokens: Sequence[str]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def questions(file: Path, of: World, count: int) -> dict[str, Question]:
    """Args:
    file: of the hub's database.
    count: how often each is asked.
    """
    choose = random.Random(count)  # noqa: S311 - the same each time, not a secret
    admin = tokens(file, [ADMIN] * (4 * count))
    return {
        "bare": Question("there-is-no-such-page", admin[:count], 404),
        "admin_list": Question("groups", admin[count : 2 * count]),
        "group_page": Question(f"groups/{of.courses[0]}", admin[2 * count : 3 * count]),
        "user_page": Question("", tokens(file, choose.choices(of.users, k=count))),
        "scrape": Question("metrics", admin[3 * count :], headers=SCRAPE),
    }


def pages_url(one: scale.Hub) -> str:
    """Where the pages' process listens."""
    process = one.pages()
    assert process, "the hub has no pages"
    while True:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return f"http://127.0.0.1:{connection.laddr.port}/services/quotas/"
        time.sleep(0.1)


def ask(client: httpx.Client, question: Question, number: int) -> tuple[float, int, int]:
    """How long the whole answer took, in ms, how many bytes it was, as sent and not unpacked, and
    its status."""
    headers = {"Authorization": f"token {question.tokens[number]}", **question.headers}
    began = time.perf_counter_ns()
    with client.stream("GET", question.path, headers=headers) as answer:
        size = sum(len(part) for part in answer.iter_raw())
    took = (time.perf_counter_ns() - began) / 10**6
    return took, size, answer.status_code


def measure(
    folder: Path, groups: int, users: int, rounds: int, names: Sequence[str]
) -> dict[str, float | int]:
    of, began = world(groups, users), time.monotonic()
    points = seed_ledger(folder / "hub_quotas.sqlite", of)
    seed_groups(folder / "hub_groups.sqlite", of)
    seed_hub(folder / "jupyterhub.sqlite", of)
    asked = questions(folder / "jupyterhub.sqlite", of, rounds + WARM)
    asked = {name: asked[name] for name in ("bare", *names)}
    took: dict[str, list[float]] = {name: [] for name in asked}
    sizes: dict[str, int] = {}
    print(f"{groups} courses, {users} users, {points} points: {time.monotonic() - began:.0f} s")
    with scale.hub(scale.WITH, folder, held={}) as one:
        one.wait_until_up()
        print(f"the hub is up: {time.monotonic() - began:.0f} s")
        with httpx.Client(base_url=pages_url(one), timeout=scale.PATIENCE) as client:
            for number in range(rounds + WARM):
                for name, question in asked.items():
                    ms, sizes[name], status = ask(client, question, number)
                    if status != question.status:
                        raise RuntimeError(f"{name} is answered with status {status}")
                    if number >= WARM:
                        took[name].append(ms)
    found: dict[str, float | int] = {"groups": groups, "users": users, "points": points}
    bare = statistics.median(took["bare"])
    print(f"\n{'':12}{'p50, ms':>10}{'p95, ms':>10}{'/ bare':>8}{'bytes':>12}")
    for name, times in took.items():
        median, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        found[f"{name}_ms"] = round(median, 2)
        found[f"{name}_ratio"] = round(median / bare, 2)
        print(f"{name:12}{median:10.1f}{p95:10.1f}{median / bare:8.1f}{sizes[name]:12,}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=5000, help="courses")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40, help="each page once in each")
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=PAGES)
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--json", action="store_true", help="the last line is a JSON object")
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what Alembic says of the hub's databases
    with tempfile.TemporaryDirectory(prefix="pages-", dir=options.folder) as name:
        found = measure(Path(name), options.groups, options.users, options.rounds, options.pages)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
