"""A hub's last 30 days: groups, limits, prices, who ran what, and what people asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import yaml
from hubs import Hub, wait_for

from hub_quotas.access import Access
from hub_quotas.asking import Asking
from hub_quotas.changes import edited
from hub_quotas.more import Wanted
from hub_quotas.policies import By
from hub_quotas.policy import parse_policy
from hub_quotas.policy_store import now
from hub_quotas.storage_store import Backup, Directory, Mount, RestoreTest, report
from hub_quotas.store import QuotaStore

HOUR = 3_600_000_000
DAY = 24 * HOUR
GIB = 2**30

PROFILES = {
    "small": {"cpu": 1000, "memory": 4 * GIB},
    "large": {"cpu": 4000, "memory": 16 * GIB},
    "gpu": {"cpu": 4000, "memory": 16 * GIB, "gpu": 1},
}

GEO, LAB, OPTICS = "earth-sciences/geo-101", "earth-sciences/climate-lab", "physics/optics-2"
STUDENTS = {
    GEO: ["sam", "ana", "ben", "cleo", "dan", "eli", "fay", "gus", "hana", "ivo", "jan", "kai"],
    LAB: ["kim", "lee", "mia", "noa", "oli", "pia"],
    OPTICS: [
        "quin",
        "rosa",
        "sol",
        "tom",
        "uma",
        "vic",
        "wes",
        "xena",
        "yara",
        "zoe",
        "abe",
        "bea",
    ],
}
ROSTER = "user,group,role\nprof-ada,{GEO},manager\ndr-bo,{LAB},manager\nprof-cy,{OPTICS},manager\n"
ROSTER = ROSTER.format(GEO=GEO, LAB=LAB, OPTICS=OPTICS) + "".join(
    f"{user},{group},\n" for group, users in STUDENTS.items() for user in users
)

POLICY = f"""
prices: [{{since: 2026-01-01, cpu: 0.03, memory: 0.004, gpu: 0.90}}]
plans:
  course-small:
    limits: {{server.memory: 16G, member.servers: 2, member.cpu-hours: 40 per 7d then stop}}
  lab:
    limits: {{member.servers: 3, member.memory: 64G, member.storage: 100G}}
groups:
  "*": {{limits: {{group.cost: 900 per month}}}}
  earth-sciences: {{managers: [dean-chen], limits: {{group.cost: 500 per month, group.gpu: 6}}}}
  {GEO}:
    plan: course-small
    limits: {{group.gpu: 4, group.gpu-hours: 80 per 30d, member.gpu: 1, group.memory: 192G}}
  {LAB}: {{plan: lab, limits: {{group.cost: 260 per month}}}}
  physics: {{managers: [prof-cy]}}
  {OPTICS}: {{plan: course-small, limits: {{group.cpu-hours: 900 per 30d, server.idle: 2h}}}}
  library: {{}}
  staff/it-services: {{limits: {{member.servers: 5}}}}
"""


class Clock:
    """One that is set, for what is written as of long ago."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


def starts(dice: random.Random, present: int) -> Iterator[tuple[int, str, int, str, str, str]]:
    """When, and whether it starts or stops: (instant, what, number, user, group, profile)."""
    number = 0
    for back in range(30, 0, -1):
        day = present - back * DAY - present % DAY
        if datetime.fromtimestamp(day // 10**6, timezone.utc).weekday() > 4:
            continue
        for group, users in STUDENTS.items():
            often = 0.5 if group != LAB else 0.8
            for user in users:
                if dice.random() > often:
                    continue
                number += 1
                weights = {GEO: (5, 2, 3), LAB: (2, 5, 2), OPTICS: (6, 3, 0)}[group]
                (profile,) = dice.choices(list(PROFILES), weights)
                begin = day + int(dice.uniform(7, 14) * HOUR)
                end = begin + int(dice.uniform(0.5, 5) * HOUR)
                yield begin, "start", number, user, group, profile
                yield end, "stop", number, user, group, profile


def fill(hub: Hub) -> None:
    """Give a hub file systems with homes, as agents report them, with 30 days of their past."""
    present = now()
    clock = Clock(present)
    store = QuotaStore(f"sqlite:///{hub.folder / 'hub_quotas.sqlite'}", clock=clock)
    people = [user for users in STUDENTS.values() for user in users]
    trouble = "shared/optics-2 is an ordinary directory, which btrfs can't limit."
    for day in range(30, -1, -1):
        clock.at = present - day * DAY
        homes = [
            Directory("user", user, round((1 + n % 9 + (30 - day) * (n % 5) / 60) * GIB), 10 * GIB)
            for n, user in enumerate(people)
        ]
        shared = [
            Directory("group", GEO, (185 - 2 * day) * GIB, 200 * GIB),
            Directory("group", OPTICS, 40 * GIB, None, trouble),
        ]
        left = [Directory("other", "homes/old-pat", 21 * GIB), Directory("other", "homes/x", GIB)]
        found = () if day else ("homes/vic: It made a subvolume of its own; it counts again.",)
        state = Mount(
            *("homes", "btrfs, simple quotas", 480 * GIB, (60 + 2 * day) * GIB, found),
            backup=Backup(
                *(clock.at - 9 * HOUR, 41, 1, ("homes/kim: the home can't be read.",)),
                RestoreTest(present - 12 * DAY, True),
            ),
        )
        report(store, state, [*homes, *shared, *left])
    clock.at = present - 3 * HOUR
    report(store, Mount("scratch", "xfs, project quotas", 1000 * GIB, 700 * GIB), [])
    store.close()


def live(hub: Hub) -> None:
    """Give a hub its past."""
    present = now()
    clock = Clock(present - 31 * DAY)
    store = QuotaStore(f"sqlite:///{hub.folder / 'hub_quotas.sqlite'}", clock=clock)
    store.edit(
        lambda _: parse_policy(yaml.safe_load(POLICY)),
        By("admin", "api", "Winter term", "10.0.0.7"),
    )
    dice = random.Random(5)  # noqa: S311
    for at, what, number, user, group, profile in sorted(starts(dice, present)):
        clock.at, id = at, f"past-{number}"
        if what == "start":
            store.reserve(id, user, "", [group], PROFILES[profile], profile=profile)
            store.start(id)
        else:
            store.close_session(id, "idle" if number % 5 == 0 else "stopped")
    for days, who, group, key, value, why in (
        (12, "jo", "earth-sciences", "group.gpu", 8, "Two more cards have come"),
        (9, "admin", GEO, "group.gpu-hours", "100 per 30d", "Exam week, asked by Ada"),
        (3, "prof-ada", GEO, "member.gpu-hours", "20 per 30d", "So that all get their share"),
    ):
        clock.at = present - days * DAY
        by = By(who, "page", why, "10.0.0.9")
        store.edit(lambda p, g=group, k=key, v=value: edited(p, g, k, v), by)
    _ask(store, clock, present)
    store.close()


def _ask(store: QuotaStore, clock: Clock, present: int) -> None:
    asking = Asking(store)
    until = (datetime.now(timezone.utc) + timedelta(days=12)).date().isoformat()
    ada = Access("prof-ada", (GEO,), managed=frozenset({GEO}))
    for days, user, group, key, window, amount, why in (
        (2, "cleo", GEO, "member.cpu-hours", "7d", "80", "Two big runs for my thesis"),
        (0.2, "sam", GEO, "member.servers", "", "3", "Three runs side by side for Friday's talk"),
        (0.1, "kim", LAB, "member.memory", "", "96G", "The new reanalysis does not fit"),
    ):
        clock.at = present - int(days * DAY)
        ask = asking.ask(user, [group], Wanted(group, key, window, amount, until, why))
        if user == "cleo":
            clock.at += HOUR
            by = By("prof-ada", "page", "", "10.0.0.9")
            asking.approve(ask.id, ada, by, "60", "", "60 have to do.")


def work(hub: Hub, servers: dict[str, str]) -> None:
    """Start a server of each of these users, by profile."""
    for user, profile in servers.items():
        hub.api(f"users/{user}", "POST")
        group = next(group for group, users in STUDENTS.items() if user in users)
        hub.api(f"groups/{group.replace('/', '%2F')}", "POST")
        hub.api(f"groups/{group.replace('/', '%2F')}/users", "POST", json={"users": [user]})
        started = hub.api(f"users/{user}/server", "POST", json={"profile": profile})
        assert started.is_success, started.text
    for user in servers:
        wait_for(f"the server of {user}", lambda user=user: hub.server(user))
