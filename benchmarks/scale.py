"""What the bundle costs a busy hub: its event loop, its starts, and the pages' process.

    python benchmarks/scale.py

Two real hubs, one with the bundle and one without, each with so many running servers that are
addresses only. docs/performance.md says what is measured, and why so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import jupyterhub
import psutil
from jupyterhub import orm, roles

from hub_quotas.policy_store import now
from hub_quotas.sessions import SESSION, new_id
from hub_quotas.store import QuotaStore

HERE = Path(__file__).parent
WITH, WITHOUT = "with", "without"
PARENTS, CHILDREN = 4, 5
"""Groups: 4 with 5 below each."""
WARM = 10
"""Starts before any is measured."""
STARTS_PER_SECOND = 2
"""And so many stops."""
LIVES = 5.0
"""Seconds for which a server lives that is started meanwhile."""
PAGES_EVERY = 5.0
"""Seconds between two looks of somebody at the spawn page and the home page."""
ACTIVITY_EVERY = 300.0
"""Seconds between two reports of its activity by each server, as JupyterLab's are by default."""
SETTLE = 10.0
"""Seconds from when a hub is up until its steady state is measured."""
PATIENCE = 120
ASKED = {"cpu": 1000, "memory": 2 * 2**30}
"""By each server; as in scale_config.py."""
TOKEN = secrets.token_hex(16)
VISITOR = "visitor"


# -- the world --------------------------------------------------------------------------------


def group_names() -> list[str]:
    return [f"school{p}/course{p}{c}" for p in range(PARENTS) for c in range(CHILDREN)]


def groups_of(users: list[str]) -> dict[str, list[str]]:
    """Each user is in two groups, so that the spawn page has a choice to offer."""
    names = group_names()
    found: dict[str, list[str]] = {name: [] for name in names}
    for number, user in enumerate(users):
        for place in (number, number + 7):
            found[names[place % len(names)]].append(user)
    return found


def policy() -> dict[str, Any]:
    """Nothing is ever refused, but everything is watched: each member has two budgets, and each
    server an end."""
    return {
        "groups": {
            **{f"school{number}": {"plan": "school"} for number in range(PARENTS)},
            **{name: {"plan": "course"} for name in group_names()},
        },
        "plans": {
            "school": {
                "limits": {
                    "group.cpu": 10_000,
                    "group.memory": "20T",
                    "group.cpu-hours": "1000000 per month",
                    "group.cost": "1000000 per 30d",
                }
            },
            "course": {
                "limits": {
                    "server.memory": "4G",
                    "server.idle": "2h",
                    "member.servers": 2,
                    "member.cpu": 4,
                    "member.cpu-hours": "60 per 7d then stop after 10m",
                    "member.memory-hours": "500 per month",
                    "group.servers": 1000,
                    "group.cpu-hours": "100000 per 7d then stop after 10m",
                    "group.cost": "100000 per month",
                }
            },
        },
        "prices": [{"since": "2020-01-01", "cpu": 0.04, "memory": 0.005}],
    }


def hub_database(file: Path, users: list[str]) -> None:
    """Users and groups: a hub would commit each by itself, which takes a minute."""
    db = orm.new_session_factory(f"sqlite:///{file}")()
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    role = orm.Role.find(db, "user")
    known = {name: orm.User(name=name, roles=[role]) for name in users}
    for name, members in groups_of(users).items():
        db.add(orm.Group(name=name, users=[known[member] for member in members]))
    db.commit()
    db.close()


def put_servers(folder: Path, users: list[str], running: list[str], url: str) -> None:
    """Let these run when the hub comes up, which it finds out as after any restart of a hub with
    servers that live on: to start each would take minutes."""
    groups: dict[str, list[str]] = {}
    for group, members in groups_of(users).items():
        for user in members:
            groups.setdefault(user, []).append(group)
    ledger = folder / "hub_quotas.sqlite"
    store = QuotaStore(f"sqlite:///{ledger}") if ledger.exists() else None
    port, began = urlsplit(url).port, datetime.now(timezone.utc).replace(tzinfo=None)
    db = orm.new_session_factory(f"sqlite:///{folder / 'jupyterhub.sqlite'}")()
    for user in running:
        state = {}
        if store:
            state[SESSION] = id = new_id(now())
            answer = store.reserve(id, user, "", sorted(groups[user]), ASKED)
            assert answer.granted and store.start(id)
        db.add(
            orm.Spawner(
                name="",
                user=orm.User.find(db, user),
                server=orm.Server(ip="127.0.0.1", port=port, base_url=f"/user/{user}/"),
                state=state,
                started=began,
                last_activity=began,
            )
        )
    db.commit()
    db.close()
    if store:
        store.close()


class _Stub(BaseHTTPRequestHandler):
    """What the hub wants to hear from a server that has started."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", jupyterhub.__version__)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _StubServer(ThreadingHTTPServer):
    request_queue_size = 1024  # a hub that comes up asks for a hundred servers at once


@contextmanager
def stub() -> Iterator[str]:
    """The one server that all servers are."""
    with _StubServer(("127.0.0.1", 0), _Stub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass
class Hub:
    """A hub of scale_config.py."""

    name: str
    process: psutil.Popen
    url: str
    api: httpx.Client

    def wait_until_up(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, "The hub does not start."
            assert time.monotonic() < end, "The hub is not up in time."
            with suppress(httpx.TransportError):
                if self.api.get("").status_code == 200:
                    return
            time.sleep(0.1)

    def start(self, user: str) -> float:
        """Returns how long it took, in ms."""
        began = time.perf_counter()
        answer = self.api.post(f"users/{user}/server")
        took = 1000 * (time.perf_counter() - began)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return took

    def stop(self, user: str) -> None:
        answer = self.api.delete(f"users/{user}/server")
        assert answer.status_code == 204, (answer.status_code, answer.text)

    def report_activity(self, user: str) -> None:
        now = datetime.now(timezone.utc).isoformat()
        seen = {"last_activity": now, "servers": {"": {"last_activity": now}}}
        answer = self.api.post(f"users/{user}/activity", json=seen)
        assert answer.status_code == 200, (answer.status_code, answer.text)

    def figures(self) -> dict[str, Any]:
        """What its loop has done since the last call."""
        found: dict[str, Any] = self.api.get(f"{self.url}/hub/figures").json()
        return found

    def pages(self) -> psutil.Process | None:
        """The process with the pages and the enforcer."""
        children = self.process.children(recursive=True)
        return next((child for child in children if "hub_groups.host" in child.cmdline()), None)

    def visitor(self) -> httpx.Client:
        """Somebody with a web browser who is logged in."""
        client = httpx.Client(base_url=self.url, follow_redirects=True, timeout=PATIENCE)
        client.get("/hub/login")
        xsrf = next(cookie.value for cookie in client.cookies.jar if cookie.name == "_xsrf")
        data = {"username": VISITOR, "password": "", "_xsrf": xsrf}
        answer = client.post("/hub/login?next=/hub/home", data=data)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return client


@contextmanager
def hub(
    name: str, folder: Path, stub_url: str = "", held: dict[str, Any] | None = None
) -> Iterator[Hub]:
    """Args:
    held: the policy that the configuration says, if another one than `policy`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "bundle": name == WITH,
        "port": port,
        "folder": str(folder),
        "token": TOKEN,
        "stub": stub_url,
        "policy": policy() if held is None else held,
    }
    file, log = folder / "scale.json", folder / "hub.log"
    file.write_text(json.dumps(settings))
    with log.open("ab") as output:
        process = psutil.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "scale_config.py")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "SCALE": str(file)},
        )
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"token {TOKEN}"}
    with httpx.Client(base_url=f"{url}/hub/api", headers=headers, timeout=PATIENCE) as api:
        try:
            yield Hub(name, process, url, api)
        except BaseException:
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            try:
                process.wait(PATIENCE)
            except psutil.TimeoutExpired:
                process.kill()


# -- what is measured -------------------------------------------------------------------------


def starts(hubs: list[Hub], users: list[str]) -> dict[str, list[float]]:
    """How long each takes, in ms, by hub: one after the other, in an order that alternates."""
    found: dict[str, list[float]] = {one.name: [] for one in hubs}
    for number, user in enumerate(users):
        for one in hubs if number % 2 else hubs[::-1]:
            took = one.start(user)
            one.stop(user)
            if number >= WARM:
                found[one.name].append(took)
    return found


def steady(one: Hub, running: list[str], spare: list[str], seconds: float) -> dict[str, Any]:
    """A hub in which servers come and go, report activity, and somebody looks at pages."""
    visitor, pages = one.visitor(), one.pages()
    for page in ("/hub/spawn", "/hub/home"):
        visitor.get(page)
    time.sleep(min(SETTLE, seconds))
    coming_up = one.figures()
    before = _cpu(one.process), pages and _cpu(pages)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        for work in [
            pool.submit(_come_and_go, one, spare, began + seconds),
            pool.submit(_look, visitor, began + seconds),
            pool.submit(_report, one, running, began + seconds),
        ]:
            work.result()
    took = time.monotonic() - began
    found = one.figures()
    found["coming_up"] = coming_up
    found["hub_cpu"] = 100 * (_cpu(one.process) - before[0]) / took
    if pages:
        found["pages_cpu"] = 100 * (_cpu(pages) - before[1]) / took
    return found


def _cpu(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return times.user + times.system


def _each(seconds: float, until: float, do: Callable[[int], None]) -> None:
    """At fixed instants; in this thread, so that what takes longer is not asked for twice."""
    number, due = 0, time.monotonic()
    while due < until:
        time.sleep(max(0, due - time.monotonic()))
        do(number)
        number, due = number + 1, due + seconds


def _come_and_go(one: Hub, spare: list[str], until: float) -> None:
    waits = round(LIVES * STARTS_PER_SECOND)
    with ThreadPoolExecutor(4) as pool:
        jobs = []

        def come_and_go(number: int) -> None:
            if number >= waits:
                jobs.append(pool.submit(one.stop, spare[(number - waits) % len(spare)]))
            jobs.append(pool.submit(one.start, spare[number % len(spare)]))

        _each(1 / STARTS_PER_SECOND, until, come_and_go)
        for job in jobs:
            job.result()
        for user in spare:
            one.api.delete(f"users/{user}/server")


def _look(visitor: httpx.Client, until: float) -> None:
    def look(_: int) -> None:
        for page in ("/hub/spawn", "/hub/home"):
            assert visitor.get(page).status_code == 200

    _each(PAGES_EVERY, until, look)


def _report(one: Hub, running: list[str], until: float) -> None:
    order = random.sample(running, len(running))
    _each(
        ACTIVITY_EVERY / len(running),
        until,
        lambda number: one.report_activity(order[number % len(order)]),
    )


# -- what is said -----------------------------------------------------------------------------


def measure(folder: Path, servers: int, spawns: int, seconds: float) -> dict[str, Any]:
    running = [f"user{number:05d}" for number in range(servers)]
    spare = [f"extra{number:05d}" for number in range(WARM + spawns)]
    found: dict[str, Any] = {"servers": servers, "spawns": spawns, "load_before": _load()}
    began = time.monotonic()

    def said(what: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s, load {_load():.1f}] {what}", flush=True)

    users = [*running, *spare, VISITOR]
    folders = {name: folder / name for name in (WITHOUT, WITH)}
    found |= {name: {"starts": {}} for name in folders}
    for place in folders.values():
        place.mkdir()
        hub_database(place / "jupyterhub.sqlite", users)
    with stub() as address:
        for now_running in (0, servers):
            if now_running:
                for place in folders.values():
                    put_servers(place, users, running, address)
            said(f"two hubs start, with {now_running} servers")
            with ExitStack() as stack:
                hubs = [
                    stack.enter_context(hub(name, place, address))
                    for name, place in folders.items()
                ]
                for one in hubs:
                    one.wait_until_up()
                for one in hubs if now_running else []:
                    said(f"{seconds:.0f} s of coming and going {one.name} the bundle")
                    found[one.name] |= steady(one, running, spare, seconds)
                said(f"{spawns} starts on each")
                for name, took in starts(hubs, spare).items():
                    found[name]["starts"]["all" if now_running else "0"] = took
        said("done")
    found["load_after"] = _load()
    return found


def _load() -> float:
    """Processes that wanted to run, over the last minute: ours too."""
    return os.getloadavg()[0]


def tell(found: dict[str, Any]) -> dict[str, float]:
    """Print the table; return its figures, flat."""
    flat: dict[str, float] = {"servers": found["servers"], "load_before": found["load_before"]}
    sides = {name: found[name] for name in (WITH, WITHOUT)}
    print(f"\n{'':42}{'with':>10}{'without':>10}")

    def row(what: str, name: str, of: Callable[[dict[str, Any]], float], unit: str) -> None:
        values = {side: of(figures) for side, figures in sides.items()}
        flat.update({f"{name}_{side}": round(value, 2) for side, value in values.items()})
        print(f"{what:42}{values[WITH]:10.1f}{values[WITHOUT]:10.1f} {unit}")

    for running, words in (("0", "nothing"), ("all", f"{found['servers']} servers")):
        row(
            f"a start, {words} running, p50",
            f"start_{running}_p50_ms",
            lambda f, r=running: statistics.median(f["starts"][r]),
            "ms",
        )
        row(
            f"a start, {words} running, p95",
            f"start_{running}_p95_ms",
            lambda f, r=running: statistics.quantiles(f["starts"][r], n=20)[-1],
            "ms",
        )
    row("the loop is late, p99", "lag_p99_ms", lambda f: f["lag"]["p99"], "ms")
    row("the loop is late, at most", "lag_max_ms", lambda f: f["lag"]["max"], "ms")
    row(
        "a garbage collection, at most",
        "gc_max_ms",
        lambda f: max(f["gc"]["max"], f["coming_up"]["gc"]["max"]),
        "ms",
    )
    row("the hub's process", "hub_cpu_percent", lambda f: f["hub_cpu"], "% of a core")

    mine = sides[WITH]
    added = {
        running: statistics.median(mine["starts"][running])
        - statistics.median(sides[WITHOUT]["starts"][running])
        for running in ("0", "all")
    }
    for running, ms in added.items():
        flat[f"added_{running}_p50_ms"] = round(ms, 2)
    flat["ours_p99_ms"], flat["ours_max_ms"] = (round(mine["ours"][k], 2) for k in ("p99", "max"))
    flat["ours_max_coming_up_ms"] = round(mine["coming_up"]["ours"]["max"], 2)
    flat["pages_cpu_percent"] = round(mine["pages_cpu"], 2)
    print(
        f"\nadded to a start, p50: {added['0']:.1f} ms with nothing running,"
        f" {added['all']:.1f} ms with {found['servers']}"
        f"\nour code on the hub's loop, in one turn of it: at most {mine['ours']['max']:.1f} ms,"
        f" p99 {mine['ours']['p99']:.1f} ms, of {mine['ours']['count']} turns with any of it;"
        f" while the hub came up at most {mine['coming_up']['ours']['max']:.1f} ms"
        f"\nthe pages' process (with the enforcer): {mine['pages_cpu']:.1f} % of a core"
    )
    heads = "".join(f"{head:>10}" for head in ("p50", "max", "max CPU", "steps"))
    print(f"\n{'our longest steps on the loop, ms':42}{heads}")
    steps = [*mine["steps"].items()]
    steps += [(f"{label}, coming up", times) for label, times in mine["coming_up"]["steps"].items()]
    for label, times in sorted(steps, key=lambda item: -item[1]["max"])[:10]:
        ms = (times["p50"], times["max"], times["cpu"])
        print(f"{label:42}{''.join(f'{value:10.2f}' for value in ms)}{times['count']:10}")
    if found["load_before"] > 1:
        print(f"\nThe machine was busy before (load {found['load_before']:.1f}): measure again.")
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=2000)
    parser.add_argument("--spawns", type=int, default=100, help="measured, twice on each hub")
    parser.add_argument("--seconds", type=float, default=65, help="of coming and going")
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--json", action="store_true", help="the last line is a JSON object")
    options = parser.parse_args()
    logging.disable(logging.INFO)  # what Alembic says of the hubs' databases
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as name:
        found = measure(Path(name), options.servers, options.spawns, options.seconds)
    flat = tell(found)
    if options.json:
        print(json.dumps(flat))


if __name__ == "__main__":
    main()
