"""How much a server, a member and a group may use; decided before a server starts."""

from __future__ import annotations

from typing import Any


def activate(c: Any) -> None:
    """Attach hub_quotas to the hub whose configuration file is running.

    Args:
        c: that file's configuration object. Nothing is assigned to it.
    """
    from hub_groups.attach import PageService, attach, serve_pages
    from hub_groups.config import settings as group_settings

    from .config import settings
    from .refusal import quiet_logs
    from .spawner import with_quotas

    def apply(app: Any) -> None:
        quota_db = settings(app).db_url
        groups = group_settings(app)
        app.spawner_class = with_quotas(app.spawner_class, quota_db, groups.db_url)
        app.log.info("hub_quotas: limits and ledger in %s", quota_db)
        pages = PageService(
            name="quotas",
            module="hub_quotas.service",
            settings={"db_url": quota_db, "group_db_url": groups.db_url},
            # To know which groups there are, and which servers really run.
            scopes=("list:groups", "list:users", "read:servers", "admin:server_state"),
        )
        serve_pages(app, pages, groups.service_url)
        quiet_logs()

    attach("hub_quotas", apply)
