"""What a user is told, for programs: `GET /services/quotas/api/notices`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from tornado import web

from hub_groups.web import Context, Page

from .notices import Notices, Told
from .policy import DEFAULT_GROUP, group_name
from .policy_store import now
from .store import QuotaStore
from .transaction import LedgerError
from .watch import STOPPED

SHOWN = 24 * 3600 * 10**6
"""Microseconds for which people are told that a server was stopped."""


def told_to(store: QuotaStore, user: str, groups: Iterable[str]) -> list[Told]:
    """What a user is told now, newest first. Blocks.

    Args:
        groups: the user's in the hub.
    """
    policy = store.policy()
    mine = [group_name(name) for name in groups] or [DEFAULT_GROUP]
    above = sorted({name for group in mine for name in policy.path(group)})
    return Notices(store).of(user, above, now() - SHOWN)


def as_json(told: Told) -> dict[str, Any]:
    """One notice. `over`: it only says what has happened, or is true no more."""
    return {
        "id": told.id,
        "at": datetime.fromtimestamp(told.at / 10**6, timezone.utc).isoformat(),
        "kind": told.kind,
        "group": told.group,
        "text": told.text,
        "over": told.kind == STOPPED or told.over_at is not None,
    }


class NoticesApi(Page):
    """The notices of who asks, newest first: all, or those after `?since=ID`.

    Asking again costs little: with the last answer's ETag as If-None-Match, the answer is 304
    until something changes. From inside a server, its token needs the scope
    `access:services!service=quotas`, which servers' tokens have where the hub's configuration adds
    it to `c.Spawner.server_token_scopes`.
    """

    def initialize(  # type: ignore[override]
        self, context: Context, open_store: Callable[[], QuotaStore]
    ) -> None:
        super().initialize(context)
        self._open_store = open_store

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "private, no-cache")  # kept, and asked for again

    async def get(self) -> None:
        if self.current_user is None:
            raise web.HTTPError(403, "Log in, or send a token that may use this service.")
        if self.current_user.get("kind") != "user":
            raise web.HTTPError(403, "Only users are told anything.")
        try:
            since = int(self.get_query_argument("since", "0"))
        except ValueError:
            raise web.HTTPError(400, "since is the id of a notice.") from None
        groups = self.current_user.get("groups", [])
        told = await asyncio.to_thread(lambda: told_to(self._open_store(), self.user, groups))
        self._answer([as_json(one) for one in told if one.id > since])

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        if isinstance(error, LedgerError):
            status_code, message = 503, "The quota ledger can't be reached now."
            self.set_status(status_code)
        self._answer({"status": status_code, "message": message})

    def _answer(self, value: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))
