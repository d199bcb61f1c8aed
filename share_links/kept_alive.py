"""Questions to the hub over connections that stay open.

A connection of its own for each, as tornado's client makes it, would be most of what a click costs
these pages, and one more thing to do for the hub's one process.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

from hub_groups.patience import in_time

_MOST_IDLE = 20
_PARAMETERS = HTTP1ConnectionParameters(no_keep_alive=False)


class KeptAlive:
    """To one server.

    Args:
        url: its address; only where it is, not its path.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.netloc
        self._idle: list[IOStream] = []

    async def ask(
        self, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> bytes:
        """POST a question: it changes nothing, and so may be sent again where a connection had
        ended while nobody used it.

        Args:
            seconds: how long to wait for the answer.

        Raises:
            HTTPError: the answer is no success.
            OSError: there is none.
        """
        try:
            answer = await in_time(self._ask(path, headers, body), seconds)
        except asyncio.TimeoutError:
            raise OSError(f"no answer within {seconds} seconds") from None
        if answer.code >= 300:
            response = HTTPResponse(HTTPRequest(path), answer.code, buffer=BytesIO(answer.body))
            raise HTTPError(answer.code, response=response)
        return answer.body

    async def _ask(self, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        while self._idle:
            with suppress(StreamClosedError):
                return await self._exchange(self._idle.pop(), path, headers, body)
        stream = await TCPClient().connect(*self._where, ssl_options=self._tls)
        return await self._exchange(stream, path, headers, body)

    async def _exchange(
        self, stream: IOStream, path: str, headers: Mapping[str, str], body: bytes
    ) -> _Answer:
        all_headers = {**headers, "Host": self._host, "Content-Length": str(len(body))}
        connection, answer = HTTP1Connection(stream, True, _PARAMETERS), _Answer()
        goes_on = False
        try:
            line = RequestStartLine("POST", path, "HTTP/1.1")
            connection.write_headers(line, HTTPHeaders(all_headers), body)
            connection.finish()
            goes_on = await connection.read_response(answer)
            if not answer.is_whole:
                raise StreamClosedError
        finally:
            if goes_on and not stream.closed() and len(self._idle) < _MOST_IDLE:
                self._idle.append(stream)
            else:
                stream.close()
        return answer


class _Answer(HTTPMessageDelegate):
    """Of a server, as it comes in."""

    def __init__(self) -> None:
        self.code, self.body, self.is_whole = 0, b"", False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        self.code = start_line.code

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    def finish(self) -> None:
        self.is_whole = True
