"""The hub and a reader's servers, asked with the reader's own login."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tornado import httpclient
from tornado.escape import json_decode, json_encode
from tornado.websocket import websocket_connect

from hub_groups.web import Context
from hub_groups.words import language

from .choices import READER_STATE
from .fitting import Running
from .images import Takes
from .kept_alive import KeptAlive

_PATIENCE = 30
_STREAM_PATIENCE = 3_600
_MOST_STREAMS = 1_000

HubDown = (httpclient.HTTPError, OSError)


@dataclass(frozen=True)
class Tried:
    """What a choice comes to.

    Attributes:
        problem: why it can't be; the rest is empty then.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    guarantees: Mapping[str, int] = field(default_factory=dict)
    image: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Offered:
    """Something else that the hub has."""

    name: str
    form: Mapping[str, str]
    tried: Tried


@dataclass(frozen=True)
class ReaderState:
    """What the hub says of a reader, for one launch.

    Attributes:
        groups: those of the hub; `charges`: those that a server can be charged to.
        admin: whether the reader is an admin.
        by_admin: whether who made the link is one.
        main: the server that is opened when nobody says which.
        servers: those that run; `sessions` and `addresses` are theirs, by name.
        form_known: whether what the hub's form offers is understood.
        takes_image: how an image that was made for a launch is asked for; None where it can't be.
    """

    groups: tuple[str, ...]
    charges: tuple[str, ...]
    admin: bool
    by_admin: bool
    main: str
    named_allowed: bool
    servers: tuple[Running, ...]
    ready: frozenset[str]
    stopped: tuple[str, ...]
    sessions: Mapping[str, str]
    addresses: Mapping[str, str]
    urls: Mapping[str, str]
    form_known: bool
    wanted: Tried
    defaults: Mapping[str, Any]
    offered: tuple[Offered, ...] = ()
    takes_image: Takes | None = None


@dataclass(frozen=True)
class ReaderHub:
    """One reader's way to the hub.

    Attributes:
        token: of their login on these pages. It may start, stop and use their own servers.
    """

    context: Context
    user: str
    token: str = field(repr=False)

    async def state(
        self,
        form: Mapping[str, str],
        by: str = "",
        choices: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> ReaderState:
        """What the hub says, for a launch that asks for fields of its form, or for user options.

        Raises HubDown.
        """
        body = {"form": dict(form), "by": by, "choices": choices}
        body |= {} if options is None else {"options": dict(options)}
        api = self.context.auth.api_url
        path = f"{urlsplit(api).path}/{READER_STATE}/{self._name}"
        asked = json_encode(body).encode()
        found = json_decode(await _hub(api).ask(path, self._headers, asked, _PATIENCE))
        servers = found["servers"]
        return ReaderState(
            groups=tuple(found["groups"]),
            charges=tuple(found["charges"]),
            admin=found["admin"],
            by_admin=found["by_admin"],
            main=found["main"],
            named_allowed=found["named_allowed"],
            servers=tuple(Running(**{name: one[name] for name in _OF_RUNNING}) for one in servers),
            ready=frozenset(one["name"] for one in servers if one["ready"]),
            stopped=tuple(found["stopped"]),
            sessions={one["name"]: one["session"] for one in servers},
            addresses={one["name"]: one["address"] for one in servers},
            urls={one["name"]: one["url"] for one in servers},
            form_known=found["form_known"],
            wanted=Tried(**found["wanted"]),
            defaults=found["defaults"],
            takes_image=Takes(**found["takes_image"]) if found.get("takes_image") else None,
            offered=tuple(
                Offered(one["name"], one["form"], _tried(one)) for one in found.get("choices", ())
            ),
        )

    async def start(self, server: str, options: Mapping[str, Any]) -> str:
        """Start a server; why it can't be, in the hub's words, or nothing.

        Raises HubDown for anything else.
        """
        # JupyterHub 5 takes the whole body for the options.
        newer = self.context.settings["hub_major"] >= 6
        body = {"user_options": dict(options)} if newer else dict(options)
        try:
            await self._api(self._server(server), "POST", body)
        except httpclient.HTTPError as error:
            if error.response is None or error.code not in (400, 403, 409, 422, 429, 503):
                raise
            said = _message(error.response.body)
            if "already running" in said:
                return ""
            return said or str(error)
        return ""

    async def stop(self, server: str) -> None:
        """Ask the hub to stop a server; it may take a while. Raises HubDown."""
        try:
            await self._api(self._server(server), "DELETE")
        except httpclient.HTTPError as error:
            if error.code != 404:  # it has stopped already
                raise

    async def progress(self, server: str) -> AsyncIterator[dict[str, Any]]:
        """The events of a server that starts, as the hub tells them, to the end. Raises HubDown."""
        url = f"{self.context.auth.api_url}/{self._server(server)}/progress"
        async for event in self._events(url):
            yield event

    async def events(self, url: str) -> AsyncIterator[dict[str, Any]]:
        """The events of something else of this hub, to the end. Raises HubDown."""
        async for event in self._events(url):
            yield event

    # -- the server itself -------------------------------------------------------------------------

    async def pull(self, address: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """What nbgitpuller does and says. Raises HubDown; with 404 where it is not there."""
        url = f"{address}git-pull/api?{urlencode(query, quote_via=quote)}"
        async for event in self._events(url):
            yield event

    async def type(self, address: str, command: str) -> AsyncGenerator[str, None]:
        """What a new terminal of the server puts out after something was typed there.

        Raises HubDown; with 404 where there are no terminals.
        """
        name = (await self._fetch(f"{address}api/terminals", "POST", {}))["name"]
        try:
            url = f"{address.replace('http', 'ws', 1)}terminals/websocket/{quote(name)}"
            request = httpclient.HTTPRequest(url, headers=self._headers)
            socket = await websocket_connect(request)
            try:
                await socket.write_message(json.dumps(["stdin", command]))
                while (message := await socket.read_message()) is not None:
                    kind, *said = json.loads(message)
                    if kind == "stdout":
                        yield str(said[0])
            finally:
                socket.close()
        finally:
            with suppress(*HubDown):  # it ends with the server at the latest
                await self._fetch(f"{address}api/terminals/{quote(name)}", "DELETE")

    async def has_file(self, address: str, path: str) -> bool:
        """Whether a file is in the home, as the server sees it. Raises HubDown."""
        try:
            await self._fetch(f"{address}api/contents/{quote(path)}?content=0")
        except httpclient.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def make_room(self, address: str, workspace: str) -> None:
        """Have JupyterLab show nothing beside the document, in a workspace of its own. Raises
        HubDown."""
        closed = {"collapsed": True, "widgets": []}
        layout = {
            "main": {"dock": None, "current": None},
            "down": {"size": 0, "widgets": []},
            "left": {**closed, "visible": True},
            "right": {**closed, "visible": False},
            "relativeSizes": [0, 1, 0],
        }
        body = {"data": {"layout-restorer:data": layout}, "metadata": {"id": workspace}}
        await self._fetch(f"{address}lab/api/workspaces/{workspace}", "PUT", body)

    async def entry(self, address: str, path: str, **query: str) -> dict[str, Any] | None:
        """What the Contents API tells of a file or a folder; None where there is none.

        Raises HubDown.
        """
        try:
            found: dict[str, Any] = await self._fetch(
                f"{address}api/contents/{quote(path)}?{urlencode(query)}"
            )
        except httpclient.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    async def put(self, address: str, path: str, entry: Mapping[str, Any]) -> None:
        """Write a file, or make a folder where there is none, there. Raises HubDown."""
        await self._fetch(f"{address}api/contents/{quote(path)}", "PUT", dict(entry))

    # -- how ---------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return quote(self.user, safe="")

    def _server(self, server: str) -> str:
        where = f"servers/{quote(server, safe='')}" if server else "server"
        return f"users/{self._name}/{where}"

    async def _api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        return await self._fetch(f"{self.context.auth.api_url}/{path}", method, body)

    async def _fetch(self, url: str, method: str = "GET", body: Any = None) -> Any:
        response = await httpclient.AsyncHTTPClient().fetch(
            url,
            method=method,
            headers=self._headers,
            body=None if body is None else json_encode(body),
            request_timeout=_PATIENCE,
        )
        return json_decode(response.body) if response.body else None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}", "Accept-Language": language()}

    async def _events(self, url: str) -> AsyncIterator[dict[str, Any]]:
        """The data of a stream of server-sent events."""
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        request = httpclient.HTTPRequest(
            url,
            headers=self._headers,
            streaming_callback=chunks.put_nowait,
            request_timeout=_STREAM_PATIENCE,
        )
        fetch = asyncio.ensure_future(_streams().fetch(request))
        fetch.add_done_callback(lambda _done: chunks.put_nowait(None))
        rest = b""
        try:
            while (chunk := await chunks.get()) is not None:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
            await fetch
        finally:
            fetch.cancel()


_OF_RUNNING = ("name", "options", "group", "pending", "since", "image", "digest")


@lru_cache
def _streams() -> httpclient.AsyncHTTPClient:
    """A client of their own: streams last, and all else in this process has few connections."""
    return httpclient.AsyncHTTPClient(force_instance=True, max_clients=_MOST_STREAMS)


@lru_cache
def _hub(url: str) -> KeptAlive:
    return KeptAlive(url)


def _tried(found: Mapping[str, Any]) -> Tried:
    return Tried(**{name: value for name, value in found.items() if name in Tried.__match_args__})


def message_of(error: Exception) -> str:
    """What an answer that is an error says; empty for nothing."""
    response = getattr(error, "response", None)
    return _message(response.body) if response is not None else ""


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message") or "")
    except (ValueError, AttributeError):
        return ""
