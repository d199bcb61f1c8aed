"""Links that start the right server within the reader's quota and open the right file."""

from __future__ import annotations

from typing import Any


def activate(c: Any) -> None:
    """Attach share_links to the hub whose configuration file is running.

    Args:
        c: that file's configuration object. Nothing is assigned to it.
    """
    from hub_groups.attach import PageService, attach, serve_pages
    from hub_groups.config import settings

    def apply(app: Any) -> None:
        pages = PageService(name="launch", module="share_links.service")
        serve_pages(app, pages, settings(app).service_url)

    attach("share_links", apply)
