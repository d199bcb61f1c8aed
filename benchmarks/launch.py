"""What a click on a signed launch link costs the hub's pages.

    python benchmarks/launch.py --json

The pages' process as a hub starts it, on a core of its own, over HTTP and without a proxy. Readers
have logged in, and follow a signed link of an author whom they have not agreed to trust: the answer
is the page that says what will happen. What the hub says of its readers is recorded: a stand-in
gives it from another core, since it is the hub's own time and not that of the resolver. Beside it,
in the same process, a bare tornado handler.

- `resolve_rps`, `bare_rps`: answers a second, as many as there can be;
- `first_rps`: the same where each click is somebody's first, of which nothing is known yet;
- `p99_ms`: how long a click takes at 500 clicks a second, of which 1 in 100 takes longer; and
  `bare_p99_ms`, which is what the machine is good for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from share_links.hub_forms import OPEN
from share_links.launch import Content, Environment, Launch, Target
from share_links.store import LinkStore
from share_links.tokens import make_key, read_private, sign

READERS = 50
CONNECTIONS = 16
RATE = 500
"""Clicks a second, of which `p99_ms` is."""
MOST_CLICKS = 2_000
"""A second: more than any process answers."""
MODEL = {"admin": False, "groups": ["geo-101"], "kind": "user"}
SCOPES = ["access:services!service=launch", "servers!user={name}", "access:servers!user={name}"]
STATE = {
    "groups": ["geo-101"],
    "charges": ["geo-101"],
    "admin": False,
    "by_admin": False,
    "main": "",
    "named_allowed": True,
    "servers": [],
    "stopped": [],
    "form_known": True,
    "wanted": {
        "options": {"profile": "small"},
        "limits": {"cpu": 500, "memory": 268435456},
        "guarantees": {},
        "image": "",
    },
    "defaults": {"profile": "small"},
    "takes_image": None,
}
"""What a hub answers about a reader who has no server; a test compares it with a real one."""


# -- processes ---------------------------------------------------------------------------------


def serve_hub(port: int, core: int) -> None:
    """A stand-in for the hub's REST API."""
    from tornado import web

    os.sched_setaffinity(0, {core})

    class Reader(web.RequestHandler):
        def get(self) -> None:
            name = self.request.headers["Authorization"].rpartition("-")[2]
            scopes = [scope.format(name=name) for scope in SCOPES]
            self.write({**MODEL, "name": name, "scopes": scopes, "session_id": None})

    class State(web.RequestHandler):
        def post(self, _name: str) -> None:
            self.write(STATE)

    _listen(
        web.Application(
            [(r"/hub/api/user", Reader), (r"/hub/api/group-quotas/launch/(.+)", State)]
        ),
        port,
    )


def serve_pages(port: int, hub: int, folder: str, core: int) -> None:
    """The pages' process, and a bare handler."""
    from tornado import web

    from hub_groups.host import build, settle

    os.sched_setaffinity(0, {core})

    class Bare(web.RequestHandler):
        def get(self) -> None:
            self.write("ok")

    settings = {
        "db_url": f"sqlite:///{folder}/share_links.sqlite",
        "group_db_url": f"sqlite:///{folder}/hub_groups.sqlite",
        "snapshot_folder": f"{folder}/snapshots",
        "hub_major": 6,
        "public_url": "",
        "community": "",
        "binder": "",
        "hubs": [],
        "build_takes": {},
        "quotas": {
            "db_url": f"sqlite:///{folder}/hub_quotas.sqlite",
            "time_zone": "UTC",
            "hub_name": "hub",
            "currency": "",
            "charged": "guarantee",
            "capped": "limit",
            "clamp": False,
        },
    }
    host = {
        "cookie_secret": "0" * 64,
        "hosts": {},
        "services": {
            "launch": {"module": "share_links.service", "settings": settings, "token": "t"}
        },
    }
    env = {
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hub/api",
    }
    application, background = build(host, env)
    for work in background:
        work.close()
    settle()
    application.add_handlers(".*", [("/bare", Bare)])
    _listen(application, port)


def _listen(application: Any, port: int) -> None:
    async def run() -> None:
        application.listen(port, address="127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(run())


# -- clicks ------------------------------------------------------------------------------------


class Connection:
    """Keeps alive, and asks one thing after the other."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def get(self, request: bytes) -> int:
        return int((await self.head(request)).split(b" ", 2)[1])

    async def head(self, request: bytes) -> bytes:
        """The head of an answer."""
        if not hasattr(self, "_reader"):
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await self._reader.readexactly(length)
        return head


def requests_for(path: str, cookies: Sequence[str] = ()) -> list[bytes]:
    """What the readers' browsers send."""
    said = cookies or [""] * READERS
    return [
        f"GET {path} HTTP/1.1\r\nHost: hub.example.org\r\nCookie: {cookie}\r\n"
        f"Authorization: token of-reader{number}\r\n\r\n".encode()
        for number, cookie in enumerate(said)
    ]


async def first_visits(port: int, path: str) -> list[str]:
    """The cookie that each reader gets: the hub's pages know their forms by it."""
    connection, found = Connection(port), []
    for request in requests_for(path):
        heads = (await connection.head(request)).decode("latin1").split("\r\n")
        said = next(line for line in heads if line.lower().startswith("set-cookie: _xsrf="))
        found.append(said.partition(": ")[2].partition(";")[0])
    return found


async def most(port: int, requests: Sequence[bytes], seconds: float) -> float:
    """Answers a second, as fast as they come."""
    done, end = 0, time.perf_counter() + seconds

    async def ask(first: int) -> None:
        nonlocal done
        connection, number = Connection(port), first
        while time.perf_counter() < end:
            assert await connection.get(requests[number % len(requests)]) == 200
            number += CONNECTIONS
            done += 1

    await asyncio.gather(*(ask(number) for number in range(CONNECTIONS)))
    return done / seconds


async def paced(port: int, requests: Sequence[bytes], seconds: float) -> list[float]:
    """How long each click takes, in seconds, when they come at RATE, whether or not earlier ones
    are answered."""
    took: list[float] = []
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _number in range(4 * CONNECTIONS):
        idle.put_nowait(Connection(port))

    async def click(due: float, request: bytes) -> None:
        connection = await idle.get()
        assert await connection.get(request) == 200
        took.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    begin, clicks = time.perf_counter(), []
    for number in range(int(seconds * RATE)):
        due = begin + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        clicks.append(asyncio.ensure_future(click(due, requests[number % len(requests)])))
    await asyncio.gather(*clicks)
    return took


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(seconds: float) -> dict[str, float]:
    cores = sorted(os.sched_getaffinity(0))
    mine, others = cores[0], cores[-1]
    with tempfile.TemporaryDirectory() as folder:
        private, public = make_key()
        store = LinkStore(f"sqlite:///{folder}/share_links.sqlite")
        store.add_key(public, "ada")
        store.close()
        launch = Launch(
            Content("https://github.com/earth/geo-book", "main"),
            Environment("small"),
            target=Target(file="intro/first-map.ipynb"),
        )
        path = f"/{OPEN}?signed={sign(launch, read_private(private))}"
        hub, pages = free_port(), free_port()
        here = (sys.executable, __file__, "--serve")
        started = [
            subprocess.Popen([*here, "hub", str(hub), str(others)]),
            subprocess.Popen([*here, "pages", str(pages), str(mine), str(hub), folder]),
        ]
        os.sched_setaffinity(0, {others})
        try:
            for port in (hub, pages):
                _wait(port)
            cookies = asyncio.run(first_visits(pages, path))
            clicks, bare_ones = requests_for(path, cookies), requests_for("/bare", cookies)
            asyncio.run(most(pages, clicks, min(2, seconds)))  # readers are known from then on
            bare = asyncio.run(most(pages, bare_ones, seconds))
            resolve = asyncio.run(most(pages, clicks, seconds))
            took = sorted(asyncio.run(paced(pages, clicks, seconds)))
            bare_took = sorted(asyncio.run(paced(pages, bare_ones, seconds)))
            turns = range(int(seconds * MOST_CLICKS / READERS) + 1)  # each address is new
            new = [one for turn in turns for one in requests_for(f"{path}&turn={turn}", cookies)]
            first = asyncio.run(most(pages, new, seconds))
        finally:
            for process in started:
                process.kill()
                process.wait()
            os.sched_setaffinity(0, cores)
    return {
        "resolve_rps": round(resolve, 1),
        "bare_rps": round(bare, 1),
        "first_rps": round(first, 1),
        "share": round(resolve / bare, 3),
        "p50_ms": round(1000 * statistics.median(took), 2),
        "p99_ms": round(1000 * took[int(0.99 * len(took))], 2),
        "bare_p99_ms": round(1000 * bare_took[int(0.99 * len(bare_took))], 2),
    }


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("A process of the benchmark did not come up.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        kind, port, core, *more = args.serve
        if kind == "hub":
            serve_hub(int(port), int(core))
        else:
            serve_pages(int(port), int(more[0]), more[1], int(core))
        return
    found = run(args.seconds)
    print(json.dumps(found) if args.json else "\n".join(f"{k}: {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
