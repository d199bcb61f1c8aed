"""Questions over connections that stay open, to a real server."""

from __future__ import annotations

import asyncio

import pytest
from threads import in_a_thread
from tornado import httpclient, httpserver, netutil, web

from share_links import kept_alive
from share_links.kept_alive import KeptAlive


class Echo(web.RequestHandler):
    seen: set[object]

    async def post(self, how: str) -> None:
        self.settings["seen"].add(self.request.connection.context)
        if how == "slow":
            await asyncio.sleep(5)
        if how == "cut":  # the server goes while it answers
            self.set_header("Content-Length", "100")
            self.write("{")
            await self.flush()
            self.request.connection.stream.close()
            return
        if how == "wrong":
            self.set_status(404)
        self.write(self.request.body + self.request.headers["Authorization"].encode())

    def on_finish(self) -> None:
        if self.request.path == "/close":
            self.request.connection.stream.close()


class Served:
    """A server, and the connections that it has seen."""

    def __init__(self) -> None:
        self.seen: set[object] = set()
        self._sockets = netutil.bind_sockets(0, "127.0.0.1")
        self.port = self._sockets[0].getsockname()[1]
        application = web.Application([("/(.*)", Echo)], seen=self.seen)
        self.server = httpserver.HTTPServer(application)
        self.server.add_sockets(self._sockets)
        self.hub = KeptAlive(f"http://127.0.0.1:{self.port}/hub/api")

    async def ask(self, how: str = "", seconds: float = 20) -> bytes:
        return await self.hub.ask(f"/{how}", {"Authorization": "token x"}, b"{}", seconds)


@in_a_thread
async def test_one_connection_for_one_question_after_the_other():
    served = Served()
    assert [await served.ask() for _unused in range(3)] == [b"{}token x"] * 3
    assert len(served.seen) == 1


@in_a_thread
async def test_as_many_connections_as_questions_at_once():
    served = Served()
    assert await asyncio.gather(*(served.ask() for _unused in range(5))) == [b"{}token x"] * 5
    assert len(served.seen) == 5
    await served.ask()
    assert len(served.seen) == 5


@in_a_thread
async def test_few_are_kept(monkeypatch):
    monkeypatch.setattr(kept_alive, "_MOST_IDLE", 2)
    served = Served()
    await asyncio.gather(*(served.ask() for _unused in range(5)))
    assert len(served.hub._idle) == 2


@in_a_thread
async def test_a_connection_that_the_server_has_closed_meanwhile_is_no_error():
    served = Served()
    await served.ask()
    await served.server.close_all_connections()
    assert await served.ask() == b"{}token x"
    assert len(served.seen) == 2


@in_a_thread
async def test_a_server_that_closes_after_each_answer():
    served = Served()
    assert [await served.ask("close") for _unused in range(2)] == [b"{}token x"] * 2
    assert len(served.seen) == 2


@in_a_thread
async def test_what_is_no_success_is_an_error_with_what_was_said():
    served = Served()
    with pytest.raises(httpclient.HTTPError) as error:
        await served.ask("wrong")
    assert (error.value.code, error.value.response.body) == (404, b"{}token x")
    assert await served.ask() == b"{}token x"
    assert len(served.seen) == 1


@in_a_thread
async def test_half_an_answer_is_none():
    served = Served()
    with pytest.raises(OSError):
        await served.ask("cut")
    assert served.hub._idle == []


@in_a_thread
async def test_no_answer_in_time():
    served = Served()
    with pytest.raises(OSError, match=r"no answer within 0\.2 seconds"):
        await served.ask("slow", seconds=0.2)
    await asyncio.sleep(0.1)
    assert served.hub._idle == []  # its answer would be taken for that to another question


@in_a_thread
async def test_nobody_is_there():
    served = Served()
    served.server.stop()
    with pytest.raises(OSError):
        await served.ask()


@in_a_thread
async def test_what_is_no_answer():
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")

    async with await asyncio.start_server(talk, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError):
            await KeptAlive(f"http://127.0.0.1:{port}").ask("/", {}, b"", 5)
