"""A mail server and a webhook to send to: real ones, in threads of the tests."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP
from hubs import free_port


class MailServer:
    """Keeps what it is sent, in `mails`, by recipient.

    Args:
        tls: from the start; `options` are aiosmtpd's.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None, **options: Any) -> None:
        self.port = port or free_port()
        self.mails: list[tuple[str, EmailMessage]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = self._loop.create_server(
            lambda: SMTP(self, hostname="localhost", **options), "127.0.0.1", self.port, ssl=tls
        )
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)

    async def handle_DATA(self, _server, _session, envelope) -> str:
        content = envelope.content.replace(b"\r\n", b"\n")
        message = message_from_bytes(content, policy=policy.default)
        self.mails += [(address, message) for address in envelope.rcpt_tos]
        return "250 OK"

    def of(self, address: str) -> list[EmailMessage]:
        return [message for to, message in self.mails if to == address]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Webhook:
    """Keeps the texts that are posted to it, and answers with `status`."""

    SECRET = "T0/B0/a-secret-part"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                right = handler.path == f"/{self.SECRET}" and self.status == 200
                handler.send_response(self.status if self.status != 200 or right else 404)
                handler.end_headers()
                if right:
                    self.texts.append(json.loads(body)["text"])

            def log_message(handler, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{self.SECRET}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
