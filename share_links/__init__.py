"""Links that start the right server within the reader's quota and open the right file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


def activate(c: Any) -> None:
    """Attach share_links to the hub whose configuration file is running.

    Args:
        c: that file's configuration object. Nothing is assigned to it.
    """
    from hub_groups.attach import (
        HUB_MAJOR,
        PageService,
        Uses,
        attach,
        is_attached,
        serve_pages,
    )
    from hub_groups.config import settings as group_settings
    from hub_groups.database import without_password
    from hub_groups.hub_state import tell_state
    from hub_quotas.config import CLAMP
    from hub_quotas.config import settings as quota_settings

    from .access import ACT, SCOPES
    from .config import BINDER, ShareLinks, binder_url, read_size, settings
    from .front import show_community
    from .reader_state import tell_of_readers

    def apply(app: Any) -> None:
        found, groups = settings(app), group_settings(app)
        app.log.info("share_links: links in %s", without_password(found.db_url))
        hubs: Sequence[Any] = ()
        if found.hubs_file:
            from .book_files import read_hubs

            hubs = read_hubs(Path(found.hubs_file))
        pages: dict[str, Any] = {
            "db_url": found.db_url,
            "snapshot_folder": found.snapshot_folder,
            "group_db_url": groups.db_url,
            "hub_major": HUB_MAJOR,
            "public_url": app.public_url or "",
            "quotas": None,
            "binder": binder_url(app),
            "hubs": [asdict(hub) for hub in hubs],
            "build_takes": read_size(found.build_takes),
            "community": found.community and str(Path(found.community).absolute()),
        }
        if is_attached(app, "hub_quotas"):
            quotas = quota_settings(app)
            pages["quotas"] = {
                "db_url": quotas.db_url,
                "time_zone": quotas.time_zone,
                "hub_name": quotas.hub_name,
                "currency": quotas.currency,
                "charged": quotas.charged,
                "capped": quotas.capped,
                "clamp": quotas.on_excess == CLAMP,
            }
        builds = [f"access:services!service={BINDER}"] if pages["binder"] else []
        service = PageService(
            name="launch",
            module="share_links.service",
            settings=pages,
            # The service itself may do nothing: it acts with the login of whoever has clicked.
            login_scopes=("servers!user", "access:servers!user", *builds),
            custom_scopes=SCOPES,
            user_scopes=(ACT,),
        )
        serve_pages(app, service, groups.service_url)
        tell_of_readers(app)
        if found.community:
            show_community(app, found.community, first=found.community_first)
        tell_state(app)

    def uses(app: Any) -> Uses:
        from .store import LINKS

        return Uses(ShareLinks, settings(app).db_url, LINKS)

    attach("share_links", apply, uses)
