"""Where a directory (Entra ID, Okta, Keycloak) sends its users and groups: SCIM 2.0.

The protocol (RFC 7643, RFC 7644) is the library's, scim2-server, which knows nothing of HTTP or
of databases; this hands it the requests, and `scim_storage` what is stored.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import scim2_models as scim
from scim2_server.errors import MethodNotAllowedException
from scim2_server.requests import ScimRequest
from scim2_server.responses import SCIM_MEDIA_TYPE, ScimResponse
from scim2_server.service import ScimService
from tornado import web

from .rest import LARGEST_BODY
from .scim_changes import Change, compacted
from .scim_models import provider
from .scim_storage import Handler, Storage
from .scim_store import ScimStore
from .scim_tokens import ScimTokens
from .web import Routes

log = logging.getLogger("group-quotas")

OnChange = Callable[[list[Change]], None]

_THREADS = 4
_READING = ("GET", "HEAD")
_PUBLIC = ("GET", "/ServiceProviderConfig")
"""What clients may see before they know how to log in (RFC 7643, section 5)."""


class Scim:
    """Answers requests, in any thread, and tells what they mean for the hub's memberships.

    Args:
        on_change: is told what changed, after that is committed; one call at a time. What it
            fails to take is told again with the next request.
    """

    def __init__(self, store: ScimStore, on_change: OnChange) -> None:
        self._store, self._on_change = store, on_change
        self._tokens = ScimTokens(store.engine)
        self._provider = provider()
        self._service = ScimService(self._provider)
        # Its own threads: a directory in a hurry leaves those of the pages alone.
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="scim")
        self._one_at_a_time = threading.Lock()
        self._untold: list[Change] = []

    def answer(self, request: ScimRequest) -> ScimResponse:
        """Never raises."""
        try:
            return self._answer(request)
        except Exception as error:
            if not isinstance(error, scim.SCIMException):
                log.exception("A request by SCIM failed: %s %s", request.method, request.path)
            return self._service.error_response(error)

    def failed(self, status: int) -> ScimResponse:
        """The answer to a request that could not be read."""
        if status == 405:
            return self._service.error_response(MethodNotAllowedException())
        error = scim.Error(status=status, detail="The request can't be read.")
        return ScimResponse(HTTPStatus(status), error.model_dump())

    def _answer(self, request: ScimRequest) -> ScimResponse:
        if (request.method, request.path.rstrip("/")) != _PUBLIC:
            self._check_token(request.header("Authorization") or "")
        if len(request.body) > LARGEST_BODY:
            raise scim.PayloadTooLargeException(detail=f"At most {LARGEST_BODY} bytes.")
        writes = request.method not in _READING and not request.path.endswith("/.search")
        storage = Storage(self._store, self._provider, writes)
        handler = Handler(self._service, storage)
        if not writes:
            self._tell([])
            return handler.handle(request)
        with self._one_at_a_time:  # so that changes are told in the order in which they were made
            response = handler.handle(request)
            self._tell_now(storage.changes)
            return response

    def _check_token(self, authorization: str) -> None:
        scheme, _, text = authorization.partition(" ")
        token = self._tokens.check(text.strip(), self._store.now())
        if scheme.lower() != "bearer" or token is None:
            raise scim.UnauthorizedException(detail="Send a SCIM token of this hub that is valid.")

    def _tell(self, changes: list[Change]) -> None:
        if self._untold:
            with self._one_at_a_time:
                self._tell_now(changes)

    def _tell_now(self, changes: list[Change]) -> None:
        self._untold = compacted([*self._untold, *changes])
        if not self._untold:
            return
        try:
            self._on_change(list(self._untold))
        except Exception:
            log.exception("%d changes of memberships by SCIM have to wait", len(self._untold))
        else:
            self._untold = []


class ScimHandler(web.RequestHandler):
    """All addresses of SCIM. Who asks shows a token of SCIM, not of the hub."""

    def initialize(self, scim: Scim, base: str) -> None:
        self._scim, self._base = scim, base

    def check_xsrf_cookie(self) -> None:
        """There is no cookie that a browser could be made to send."""

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", SCIM_MEDIA_TYPE)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    async def _answer(self, path: str) -> None:
        asked = ScimRequest(
            method=self.request.method or "",
            base_url=f"{self.request.protocol}://{self.request.host}{self._base}",
            path=f"/{path}",
            query=dict(parse_qsl(self.request.query, keep_blank_values=True)),
            headers=list(self.request.headers.get_all()),
            body=self.request.body,
        )
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._scim.threads, self._scim.answer, asked)
        took = (time.monotonic() - began) * 1000
        log.debug("SCIM: %s %s: %d, %.0f ms", asked.method, asked.path, response.status, took)
        self._send(response)

    get = post = put = patch = delete = _answer

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._send(self._scim.failed(status_code))

    def _send(self, response: ScimResponse) -> None:
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        if response.body is None:
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.finish(json.dumps(response.body, ensure_ascii=False))


def scim_routes(prefix: str, store: ScimStore, on_change: OnChange) -> Routes:
    """The handlers.

    Args:
        prefix: of the pages, such as `/services/groups/`; SCIM is at `scim/v2` below it.
        on_change: is told, in a thread, what changed in who is in which group.
    """
    base = f"{prefix}scim/v2"
    return [(f"{base}(?:/(.*))?", ScimHandler, {"scim": Scim(store, on_change), "base": base})]
