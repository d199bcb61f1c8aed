"""A server of SCIM for tests: the routes alone, without a hub; import the fixtures."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from postgres import fresh_database
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

pytest.importorskip("scim2_server", reason="its library needs Python 3.11")

from hub_groups.database import open_engine
from hub_groups.schema import metadata
from hub_groups.scim import scim_routes
from hub_groups.scim_store import ScimStore
from hub_groups.scim_tokens import ScimTokens

PREFIX = "/services/groups/"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


@dataclass
class ScimServer:
    """A running server, and what the hub would know: who is in which group."""

    store: ScimStore
    url: str = ""
    token: str = ""
    groups: set[tuple[str, str]] = field(default_factory=set)
    told: list = field(default_factory=list)
    fails: bool = False

    def on_change(self, changes) -> None:
        if self.fails:
            raise RuntimeError("the hub is down")
        self.told.append(changes)
        for user, group, role in changes:
            assert ((user, group) in self.groups) == (role is None)
            (self.groups.discard if role is None else self.groups.add)((user, group))

    def check(self) -> None:
        """What the hub was told is what the tables say."""
        assert self.groups == set(self.store.memberships())

    def client(self, token: str = "") -> Client:
        return Client(self.url, token or self.token)


class Client(httpx.Client):
    """What a directory does, in short."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        super().__init__(base_url=url, headers=headers, timeout=60)

    def add_user(self, name: str, **more) -> str:
        answer = self.post("Users", json={"schemas": [USER], "userName": name, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def add_group(self, name: str, *members: str, **more) -> str:
        sent = {"schemas": [GROUP], "displayName": name, "members": ids(*members), **more}
        answer = self.post("Groups", json=sent)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def change(self, path: str, *operations: dict, **request) -> httpx.Response:
        sent = {"schemas": [PATCH], "Operations": list(operations)}
        return self.patch(path, json=sent, **request)

    def changed(self, path: str, *operations: dict) -> dict:
        """Change something, and what it is then."""
        answer = self.change(path, *operations)
        assert answer.status_code == 204, answer.text
        return self.get(path).json()

    def found(self, path: str, filter: str, **params) -> list[str]:
        """The ids of what a filter is true of."""
        answer = self.get(path, params={"filter": filter, **params})
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["Resources"]]


def ids(*members: str) -> list[dict]:
    return [{"value": member} for member in members]


def refused(answer: httpx.Response, status: int, kind: str = "") -> str:
    """That an answer is an error of SCIM; its words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/scim+json"
    error = answer.json()
    assert error["schemas"] == [ERROR]
    assert error["status"] == str(status)
    assert error.get("scimType", "") == kind, error
    return error["detail"]


def new_store(url: str, how: str = "lowercase") -> ScimStore:
    engine = open_engine(url)
    metadata.create_all(engine)
    return ScimStore(engine, how)


@contextmanager
def serving(url: str, how: str = "lowercase") -> Iterator[ScimServer]:
    """One on a free port.

    Args:
        url: of its database.
    """
    store = new_store(url, how)
    server = ScimServer(store, token=ScimTokens(store.engine).create("tests", store.now()))
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def run() -> None:
        routes = scim_routes(PREFIX, store, server.on_change)
        # As in the pages' process, where all else needs a cookie against forged requests.
        app = web.Application(routes, xsrf_cookies=True, cookie_secret="tests")
        [socket] = bind_sockets(0, "127.0.0.1")
        HTTPServer(app, xheaders=True).add_sockets([socket])
        server.url = f"http://127.0.0.1:{socket.getsockname()[1]}{PREFIX}scim/v2/"
        started.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        task = loop.create_task(run())
        loop.run_forever()
        assert task.done()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    store.engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/groups.sqlite"
    return fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def scim(url) -> Iterator[ScimServer]:
    """A server, which has told the hub everything when the test is over."""
    with serving(url) as server:
        yield server
        server.check()


@pytest.fixture
def client(scim) -> Iterator[Client]:
    with scim.client() as client:
        yield client
