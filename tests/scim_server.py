"""A server of SCIM for tests: the routes alone, without a hub."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from hub_groups.database import open_engine
from hub_groups.schema import metadata
from hub_groups.scim import scim_routes
from hub_groups.scim_store import ScimStore
from hub_groups.scim_tokens import ScimTokens

PREFIX = "/services/groups/"


@dataclass
class ScimServer:
    """A running server, and what the hub would know: who is in which group."""

    store: ScimStore
    tokens: ScimTokens
    token: str
    groups: set[tuple[str, str]] = field(default_factory=set)
    told: list = field(default_factory=list)
    url: str = ""
    fails: bool = False

    def on_change(self, changes):
        if self.fails:
            raise RuntimeError("the hub is down")
        self.told.append(changes)
        for user, group, role in changes:
            if role is None:
                assert (user, group) in self.groups
                self.groups.remove((user, group))
            else:
                assert (user, group) not in self.groups
                self.groups.add((user, group))

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {
            "Authorization": f"Bearer {token or self.token}",
            "Content-Type": "application/scim+json",
        }
        return httpx.Client(base_url=self.url, headers=headers, timeout=120)

    def check(self):
        """What the hub was told is what the tables say."""
        assert self.groups == set(self.store.memberships())


def new_store(folder: Path, how: str = "lowercase") -> ScimStore:
    engine = open_engine(f"sqlite:///{folder / 'scim.sqlite'}")
    metadata.create_all(engine)
    return ScimStore(engine, how)


def serve(folder: Path, how: str = "lowercase"):
    """Start one; a generator that stops it."""
    store = new_store(folder, how)
    tokens = ScimTokens(store.engine)
    server = ScimServer(store, tokens, tokens.create("tests", store.now()))
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def run():
        app = web.Application(
            scim_routes(PREFIX, store, server.on_change), xsrf_cookies=True, cookie_secret="x" * 32
        )
        http = HTTPServer(app, xheaders=True)
        sockets = bind_sockets(0, "127.0.0.1")
        http.add_sockets(sockets)
        server.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}{PREFIX}scim/v2"
        started.set()

    def work():
        asyncio.set_event_loop(loop)
        loop.create_task(run())
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    store.engine.dispose()
