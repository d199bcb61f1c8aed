"""What the pages' process does for groups: pages, the API, SCIM, and what is read beside them."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from . import admin_pages, operations, people_pages
from .memberships import MEMBER, SCIM
from .rest import NoSuchAddress
from .scim_store import ScimStore
from .sources import keep_reading, sources_of
from .store import GroupStore, open_store
from .web import Context, Routes

log = logging.getLogger("group-quotas")


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    store = open_store(context.settings["db_url"])
    shared = {"context": context, "store": store}
    return [
        *people_pages.routes(context, shared),
        *admin_pages.routes(context, shared),
        *operations.routes(context, shared),
        (f"{context.prefix}api/.*", NoSuchAddress, {"context": context}),
        *_scim_routes(context, store),
    ]


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the pages."""
    store = open_store(context.settings["db_url"])
    return [keep_reading(store, sources_of(context.settings))]


def _scim_routes(context: Context, store: GroupStore) -> Routes:
    """Only where it is asked for: what it needs takes tens of megabytes of memory."""
    if not context.settings["scim"]:
        return []
    try:
        from .scim import scim_routes
    except ImportError as error:
        log.error(
            "c.HubGroups.scim is on, but %s is missing: pip install jupyterhub-group-quotas[scim], "
            "with Python 3.11 or later",
            error.name,
        )
        return []
    scim_store = ScimStore(store.engine, context.settings["scim_username"])
    _catch_up(scim_store, store)
    return scim_routes(
        context.prefix, scim_store, lambda changes: store.change_source(SCIM, changes)
    )


def _catch_up(scim_store: ScimStore, store: GroupStore) -> None:
    """What a process that was killed had taken from a directory and not told yet. Before anything
    is served: what comes in while this is written would be undone."""
    roll: dict[str, dict[str, str]] = {}
    for user, group in scim_store.memberships():
        roll.setdefault(group, {})[user] = MEMBER
    store.replace_source(SCIM, roll)
