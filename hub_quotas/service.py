"""What the pages' process does for quotas: pages, the API, and what runs beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

from hub_groups.rest import NoSuchAddress
from hub_groups.store import open_store as open_group_store
from hub_groups.web import Context, Routes

from . import operations
from .ask_page import AskPage
from .asks_page import AsksPage
from .audit_page import AuditPage
from .boosts_page import BoostsPage
from .delivery import Sender, Ways, keep_sending, who_is_told
from .desk import ledger_of
from .directory import Directory
from .enforcer import Enforcer, Executor, keep_enforcing, keep_stopping, server_path, used_at
from .group_page import GroupPage
from .groups_page import GroupsPage
from .help_page import HelpPage
from .latest import overviews
from .menu_page import MenuPage
from .metrics_page import MetricsPage, exposition_of
from .policy_pages import ExchangePage, PlansPage, PricesPage
from .pruning import keep_pruning
from .reports_page import ReportPage, ReportsPage
from .reservations_api import keep_expiring
from .storage_billing import keep_charging
from .storage_page import StoragePage
from .transaction import LedgerError
from .usage_page import UsagePage

log = logging.getLogger("group-quotas")

_RETRY_SECONDS = 2


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    groups = open_group_store(context.settings["group_db_url"])
    shared = {
        "context": context,
        "groups": groups,
        "overviews": overviews,
        "directory": Directory(context),
    }
    return [
        (context.prefix, UsagePage, shared),
        (f"{context.prefix}groups", GroupsPage, shared),
        (f"{context.prefix}groups/(?P<group>.+)", GroupPage, shared),
        (f"{context.prefix}audit", AuditPage, shared),
        (f"{context.prefix}plans", PlansPage, shared),
        (f"{context.prefix}prices", PricesPage, shared),
        (f"{context.prefix}policy", ExchangePage, shared),
        (f"{context.prefix}reports", ReportsPage, shared),
        (f"{context.prefix}reports/(?P<group>.+)", ReportPage, shared),
        (f"{context.prefix}storage", StoragePage, shared),
        (f"{context.prefix}ask", AskPage, shared),
        (f"{context.prefix}asks", AsksPage, shared),
        (f"{context.prefix}help", HelpPage, shared),
        (f"{context.prefix}menu", MenuPage, shared),
        (f"{context.prefix}boosts", BoostsPage, shared),
        (f"{context.prefix}metrics", MetricsPage, {"context": context}),
        *operations.routes(context, shared),
        (f"{context.prefix}api/.*", NoSuchAddress, {"context": context}),
    ]


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the pages."""
    return [_keep_working(context)]


async def _warm_up(context: Context) -> None:
    """So that the first who asks for the metrics need not wait for them."""
    try:
        await exposition_of(context).body()
    except Exception:
        log.exception("There are no metrics yet")


async def _keep_working(context: Context) -> None:
    """As soon as the ledger can be reached: pages come up without it."""
    while True:
        try:
            store = await asyncio.to_thread(ledger_of, context)
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
        _warm_up(context),
        keep_pruning(store),
        keep_charging(store, open_group_store(context.settings["group_db_url"])),
        keep_enforcing(enforcer, store),
        keep_expiring(store, context.settings["reservation_lasts"]),
        keep_stopping(Executor(store, stop, last_used, send_to)),
        *([keep_sending(Sender(store, ways))] if ways else []),
    )
