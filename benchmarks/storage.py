"""What it costs to bring the limits of many homes to a file system, and to keep them there.

    python benchmarks/storage.py --json

Real btrfs on a loop device (as root), and the quotas service's own computation with its databases;
only the wire between them is left out: what it would carry is made into JSON and read again.

- `first_s`: the first time: all limits are computed, told and set;
- `delta_s`: the same after a change that is about 1 % of the homes; `delta_share` of the first;
- `steady_cpu_share`: of one core, what the agent uses while nothing changes but that it looks;
- `bare_s`: to set as many limits with `btrfs qgroup limit` would take, from some of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import filesystems  # noqa: E402

from hub_groups.store import GroupStore  # noqa: E402
from hub_quotas.policy import parse_policy  # noqa: E402
from hub_quotas.storage_agent.agent import Agent  # noqa: E402
from hub_quotas.storage_agent.backend import find_backend  # noqa: E402
from hub_quotas.storage_agent.keeper import Keeper, Layout  # noqa: E402
from hub_quotas.storage_agent.layout import Template  # noqa: E402
from hub_quotas.storage_agent.memory import GROUP, USER, Heard, Memory  # noqa: E402
from hub_quotas.storage_wanted import WantedLimits  # noqa: E402
from hub_quotas.store import QuotaStore  # noqa: E402

GIB = 2**30
OTHERS = 25
"""Courses beside the one that changes, of which people are in two each."""


def policy(course: int) -> Any:
    groups: dict[str, Any] = {
        f"uni/course-{n}": {"limits": {"member.storage": f"{10 + n}G"}} for n in range(OTHERS)
    }
    groups["uni/seminar"] = {"limits": {"member.storage": f"{course}G"}}
    return parse_policy({"groups": groups})


class Wire:
    """What the service answers, to an agent that asks."""

    def __init__(self, wanted: WantedLimits) -> None:
        self._wanted = wanted

    def limits(self, epoch: str, number: int) -> Heard:
        self._wanted.look()
        found = asyncio.run(self._wanted.get("homes", epoch, number, 0, 0))
        text = json.dumps([found.limits.users, found.limits.groups])
        users, groups = json.loads(text)
        limits = {(USER, name): amount for name, amount in users.items()}
        limits |= {(GROUP, name): amount for name, amount in groups.items()}
        return Heard(found.epoch, found.number, found.whole, limits, found.limits.otherwise)


class Silence:
    """A service where nothing changes, while the agent only looks."""

    def limits(self, epoch: str, number: int, wait: float, _asked: int) -> Heard:
        time.sleep(wait)
        return Heard(epoch, number, False)

    def report(self, *_what: object) -> None:
        pass

    seen = answer = report


def measure(homes: int, steady: float, folder: Path) -> dict[str, float]:
    users = [f"user-{number:05}" for number in range(homes)]
    few = users[: max(1, homes // 100)]
    groups = GroupStore(f"sqlite:///{folder}/groups.sqlite")
    roll = {
        f"uni/course-{n}": dict.fromkeys(
            [u for i, u in enumerate(users) if n in (i % OTHERS, i % 7)], "member"
        )
        for n in range(OTHERS)
    }
    groups.replace_source("roster:all", {**roll, "uni/seminar": dict.fromkeys(few, "member")})
    store = QuotaStore(f"sqlite:///{folder}/quotas.sqlite")
    store.apply(policy(100), "benchmark", "cli")
    filesystem = filesystems.make("btrfs", max(2, homes // 5000) * GIB)
    try:
        backend = find_backend(filesystem.path)
        backend.prepare()
        began = time.perf_counter()
        for user in users:
            backend.create(f"homes/{user}", (1000, 1000), 0o700)
        made = time.perf_counter() - began
        bare = bare_seconds(filesystem.path, homes)
        layout = Layout(Template.parse("homes/{username}"))
        keeper = Keeper(filesystem.path, backend, layout, Memory(folder / "state"))
        wire = Wire(WantedLimits(store, groups))
        first = timed(lambda: keeper.take(wire.limits(keeper.epoch, keeper.number)))
        check(backend, few[0], 100)
        deltas = []
        for turn in range(5):
            store.apply(policy(101 + turn), "benchmark", "cli")
            deltas.append(timed(lambda: keeper.take(wire.limits(keeper.epoch, keeper.number))))
            check(backend, few[-1], 101 + turn)
        share = steady_share(Agent(keeper, Silence()), steady)
    finally:
        filesystems.end(filesystem)
    delta = sorted(deltas)[len(deltas) // 2]
    return {
        "homes": homes,
        "create_s": round(made, 3),
        "first_s": round(first, 4),
        "delta_s": round(delta, 4),
        "delta_share": round(delta / first, 4),
        "steady_cpu_share": round(share, 5),
        "bare_s": round(bare, 3),
        "bare_ratio": round(first / bare, 3),
    }


def bare_seconds(path: Path, homes: int, some: int = 50) -> float:
    """What the command of btrfs takes for as many."""
    began = time.perf_counter()
    for number in range(some):
        where = f"{path}/homes/user-{number % homes:05}"
        subprocess.run(["btrfs", "qgroup", "limit", "5G", where], check=True)
        subprocess.run(["btrfs", "qgroup", "limit", "none", where], check=True)
    return (time.perf_counter() - began) / (2 * some) * homes


def check(backend: Any, user: str, gib: int) -> None:
    held = backend.read([f"homes/{user}"])[f"homes/{user}"].limit
    assert held == gib * GIB, f"{user} should have {gib} GiB, and has {held}"


def timed(what: Any) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def steady_share(agent: Agent, seconds: float) -> float:
    """Of one core: user and system time of this process, while the agent runs in it."""
    import threading

    before = cpu_seconds()
    threading.Timer(seconds, agent.stop).start()
    agent.run()
    return (cpu_seconds() - before) / seconds


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--steady", type=float, default=120, help="seconds to look at")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args.homes, args.steady, Path(folder))
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
