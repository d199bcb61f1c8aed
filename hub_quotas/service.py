"""The quota pages: what I use and may use; and for admins, the limits of every group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from tornado import web
from tornado.httputil import url_concat

from hub_groups.store import GroupStore
from hub_groups.store import open_store as open_group_store
from hub_groups.web import Context, Page, Routes

from . import api
from .decision import Decision
from .delivery import Sender, Ways, keep_sending, who_is_told
from .enforcer import Enforcer, Executor, keep_enforcing, keep_stopping, server_path, used_at
from .limits import GROUP, KEYS, Limit, PolicyError
from .messages import SCOPE_TITLES, headline, of, resource_title, title
from .notices import Told
from .notices_api import NoticesApi, told_to
from .policy import DEFAULT_GROUP, Policy, group_name
from .policy_store import now
from .pruning import keep_pruning
from .quantities import AMOUNT, RESOURCES, say_duration
from .requests import Amounts, in_use
from .sessions import Session
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .windows import read_zone

log = logging.getLogger("group-quotas")

_RETRY_SECONDS = 2


@dataclass(frozen=True)
class GroupRow:
    """One group as the admin page shows it."""

    name: str
    limits: tuple[Limit, ...]
    use: Amounts
    managers: tuple[str, ...]

    @property
    def unset(self) -> list[str]:
        return [key for key in KEYS if key not in {limit.key for limit in self.limits}]

    @property
    def entries(self) -> list[tuple[Limit, str]]:
        """A limit of each key, and its text: several windows of one budget stand in one field."""
        texts: dict[str, list[str]] = {}
        for limit in self.limits:
            texts.setdefault(limit.key, []).append(limit.text)
        first = {limit.key: limit for limit in reversed(self.limits)}
        return [(first[key], ", ".join(values)) for key, values in texts.items()]

    def bar(self, limit: Limit) -> int | None:
        """What of a limit is in use now, where that makes a picture."""
        now = limit.scope == GROUP and limit.kind.kind == AMOUNT and limit.resource != "storage"
        return in_use(self.use, limit.resource) if now else None


@dataclass(frozen=True)
class Rejected:
    """A change that was not made: what was typed where, and why not."""

    group: str
    key: str
    amount: str
    why: str


class QuotaPage(Page):
    """What the quota pages share."""

    def initialize(self, context: Context, groups: GroupStore) -> None:  # type: ignore[override]
        super().initialize(context)
        self.groups = groups

    async def prepare(self) -> None:
        await super().prepare()
        self.store = await asyncio.to_thread(_store, self.context)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info", (None, None))[1], LedgerError):
            self.set_status(503)
            self.show("error.html", status=503, message="The quota ledger can't be reached now.")
        else:
            super().write_error(status_code, **kwargs)

    def show(self, template: str, **values: Any) -> None:
        super().show(
            template,
            resources=RESOURCES,
            headline=headline,
            of=of,
            title=title,
            name=resource_title,
            duration=say_duration,
            scope_titles=SCOPE_TITLES,
            moment=_moment,
            ago=_ago,
            **values,
        )


class UsagePage(QuotaPage):
    """How much do I have left?"""

    @web.authenticated
    async def get(self) -> None:
        mine = sorted(group_name(name) for name in self.current_user.get("groups", []))
        standing = await asyncio.to_thread(self._standing, mine or [DEFAULT_GROUP])
        decisions, sessions, told = standing
        managers = await asyncio.to_thread(self.groups.managers, mine)
        self.show(
            "usage.html",
            decisions=decisions,
            sessions=sessions,
            told=told,
            managers=managers,
            sees_groups=self.is_admin or bool(await _managed(self)),
        )

    def _standing(self, groups: list[str]) -> tuple[list[Decision], list[Session], list[Told]]:
        decisions = self.store.explain(self.user, groups, {})
        told = told_to(self.store, self.user, groups)
        return decisions, self.store.open_sessions(self.user), told


class GroupsPage(QuotaPage):
    """The limits of each group and what is in use, for admins to change and managers to see."""

    @web.authenticated
    async def get(self) -> None:
        await self._show_groups(changed=self.get_query_argument("changed", ""))

    @web.authenticated
    async def post(self) -> None:
        if not self.is_admin:
            raise web.HTTPError(403, "Only admins of this hub change limits.")
        group = self.get_body_argument("group")
        key = self.get_body_argument("key")
        amount = self.get_body_argument("amount", "").strip()
        try:
            group = group_name(group)
            value = [part.strip() for part in amount.split(",")] if "," in amount else amount
            await asyncio.to_thread(
                self.store.set_limit, group, key, value or None, self.user, "page"
            )
        except PolicyError as error:
            self.set_status(400)
            await self._show_groups(rejected=Rejected(group, key, amount, error.why))
            return
        self.redirect(url_concat(self.request.path, {"changed": group}))

    async def _show_groups(self, changed: str = "", rejected: Rejected | None = None) -> None:
        managed = await _managed(self)
        if not (self.is_admin or managed):
            raise web.HTTPError(403, "Only admins of this hub and managers of groups see this.")
        in_hub = [group["name"] for group in await self.context.hub_list("groups")]
        policy = await asyncio.to_thread(self.store.policy)
        rows = await asyncio.to_thread(self._rows, policy, in_hub)
        if not self.is_admin:
            rows = [row for row in rows if set(managed) & set(policy.path(row.name))]
        self.show("limits.html", rows=rows, changed=changed, rejected=rejected)

    def _rows(self, policy: Policy, in_hub: Iterable[str]) -> list[GroupRow]:
        use = self.store.group_use()
        known = {*map(group_name, in_hub), *policy.groups, *use, DEFAULT_GROUP}
        names = sorted(
            {above for name in known for above in policy.path(name)},
            key=lambda name: (name == DEFAULT_GROUP, name),  # the catch-all comes last
        )
        managers = self.groups.managers(names)
        return [
            GroupRow(
                name=name,
                limits=policy.limits_of(name),
                use=use.get(name, {}),
                managers=managers.get(name, ()),
            )
            for name in names
        ]


async def _managed(page: QuotaPage) -> tuple[str, ...]:
    return await asyncio.to_thread(page.groups.managed_by, page.user)


def _store(context: Context) -> QuotaStore:
    found = context.settings
    return open_store(found["db_url"], read_zone(found["time_zone"]), found["hub_name"])


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, timezone.utc)


def _ago(at: int) -> str:
    return say_duration(max(0, now() - at))


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    groups = open_group_store(context.settings["group_db_url"])
    shared = {"context": context, "groups": groups}
    return [
        (context.prefix, UsagePage, shared),
        (f"{context.prefix}groups", GroupsPage, shared),
        (
            f"{context.prefix}api/notices",
            NoticesApi,
            {"context": context, "open_store": lambda: _store(context)},
        ),
        *api.routes(
            context, groups, lambda: _store(context)
        ),  # and that there is nothing else below api/
    ]


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the pages."""
    return [_keep_working(context)]


async def _keep_working(context: Context) -> None:
    """As soon as the ledger can be reached: pages come up without it."""
    while True:
        try:
            store = await asyncio.to_thread(_store, context)
            break
        except LedgerError as error:
            log.warning("The ledger can't be reached, trying again: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
    ways = Ways(**context.settings["ways"])
    send_to = who_is_told(store, open_group_store(context.settings["group_db_url"]), ways)
    enforcer = Enforcer(store, context.settings["warn_at"], send_to)

    async def stop(user: str, server: str) -> None:
        await context.hub_api(server_path(user, server), "DELETE")

    async def last_used(user: str, server: str) -> int | None:
        model = await context.hub_api(f"users/{quote(user, safe='')}")
        return used_at(model["servers"].get(server) or {})

    await asyncio.gather(
        keep_pruning(store),
        keep_enforcing(enforcer, store),
        api.keep_expiring(store, context.settings["reservation_lasts"]),
        keep_stopping(Executor(store, stop, last_used, send_to)),
        *([keep_sending(Sender(store, ways))] if ways else []),
    )
