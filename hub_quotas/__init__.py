"""How much a server, a member and a group may use; decided before a server starts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any


def _check(app: Any, settings: dict[str, Any]) -> None:
    """Say loudly when something has put another spawner class in the place of ours: the hub's
    settings are complete, and users are made of them from here on."""
    from .spawner import QuotaMixin

    spawner = settings.get("spawner_class")
    if spawner is not None and not issubclass(spawner, QuotaMixin):
        app.log.critical(
            "QUOTAS ARE NOT ENFORCED: servers are started by %s, which something has set after the "
            "hub's configuration was read. Set c.JupyterHub.spawner_class instead.",
            f"{spawner.__module__}.{spawner.__name__}",
        )


def activate(c: Any) -> None:
    """Attach hub_quotas to the hub whose configuration file is running.

    Args:
        c: that file's configuration object. Nothing is assigned to it.
    """
    from hub_groups.attach import PageService, Uses, attach, serve_pages
    from hub_groups.config import settings as group_settings
    from hub_groups.database import without_password
    from hub_groups.hub_state import tell_state
    from hub_groups.listing import list_groups
    from hub_groups.store import open_store as open_group_store

    from . import reservations
    from .access import ACT, ON_PAGES, SCOPES
    from .banner import Banner
    from .cgroups import would_hold
    from .config import CLAMP, HubQuotas, settings
    from .home_page import Summary, put_around_home
    from .reconcile import keep_reconciling
    from .refusal import quiet_logs
    from .spawn_language import speak_on_spawn_pages
    from .spawner import with_quotas
    from .transaction import LedgerError

    def apply(app: Any) -> None:
        quotas, groups = settings(app), group_settings(app)
        would_be_held_by = would_hold(app.spawner_class)
        app.spawner_class = with_quotas(app.spawner_class, quotas, groups)
        app.observe(lambda change: _check(app, change.new), "tornado_settings")
        app.log.info("hub_quotas: limits and ledger in %s", without_password(quotas.db_url))
        try:
            quotas.store()
        except LedgerError as error:  # the hub comes up all the same; each start tries again
            app.log.error("The quota ledger can't be reached: %s", error)
        pages = PageService(
            name="quotas",
            module="hub_quotas.service",
            settings={
                "db_url": quotas.db_url,
                "hub_name": quotas.hub_name,
                "time_zone": quotas.time_zone,
                "currency": quotas.currency,
                "group_db_url": groups.db_url,
                "warn_at": quotas.warn_at,
                "charged": quotas.charged,
                "capped": quotas.capped,
                "clamp": quotas.on_excess == CLAMP,
                "reservation_lasts": reservations.LASTS,
                "ways": quotas.ways,
                "public_url": f"{app.public_url}services/quotas/" if app.public_url else "",
                "metrics_per_user": quotas.metrics_per_user,
                "support": quotas.support,
                "menu_for": quotas.menu_for,
                "would_be_held_by": would_be_held_by,
                "named_servers": app.allow_named_servers,
            },
            # To know which groups there are, who is in which, and when a server was used last; to
            # stop servers.
            scopes=(
                "list:groups",
                "read:groups",
                "read:users:groups",
                "read:servers",
                "delete:servers",
            ),
            custom_scopes=SCOPES,
            login_scopes=ON_PAGES,
            user_scopes=(ACT,),
        )
        serve_pages(app, pages, groups.service_url)
        usage = f"{app.base_url}services/quotas/"
        open_groups = partial(open_group_store, groups.db_url)
        put_around_home(app, Summary(quotas.store, open_groups, f"{app.base_url}services/"))
        speak_on_spawn_pages(app)
        list_groups(app)
        tell_state(app)
        banner = Banner(quotas.store, usage)
        app.template_vars = banner.beside(app.template_vars)
        banner.start()
        app._quota_reconciler = asyncio.ensure_future(keep_reconciling(app, quotas.store))
        quiet_logs()

    def uses(app: Any) -> Uses:
        from .migrate import LEDGER

        return Uses(HubQuotas, settings(app).db_url, LEDGER)

    attach("hub_quotas", apply, uses)
