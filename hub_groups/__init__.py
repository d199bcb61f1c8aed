"""Who belongs to which group, and from where; without losing what people set by hand."""

from __future__ import annotations

import asyncio
from typing import Any


def activate(c: Any) -> None:
    """Attach hub_groups to the hub whose configuration file is running.

    Args:
        c: that file's configuration object. Nothing is assigned to it.
    """
    from .access import ACT, ON_PAGES, SCOPES
    from .attach import PageService, Uses, attach, serve_pages
    from .authenticator import with_groups
    from .config import STOP, HubGroups, settings
    from .database import without_password
    from .hub_state import tell_state
    from .hub_users import HubUsers
    from .hub_writer import keep_stopping, keep_writing
    from .listing import list_groups
    from .refresher import keep_refreshing
    from .store import StoreError, open_store

    def apply(app: Any) -> None:
        found = settings(app)
        app.authenticator_class = with_groups(app.authenticator_class, found)
        app.log.info("hub_groups: memberships in %s", without_password(found.db_url))
        pages = PageService(
            name="groups",
            module="hub_groups.service",
            settings={
                "db_url": found.db_url,
                "rosters": list(found.rosters),
                "ldap": dict(found.ldap),
                "ldap_every": found.ldap_every,
                "parents": found.parents,
                "scim": found.scim,
                "scim_username": found.scim_username,
                "rules": found.rules,
            },
            scopes=("list:groups", "read:groups", "read:users:name"),
            custom_scopes=SCOPES,
            login_scopes=ON_PAGES,
            user_scopes=(ACT,),
        )
        serve_pages(app, pages, found.service_url)
        list_groups(app)
        tell_state(app)
        store = open_store(found.db_url)
        try:
            store.open()
        except StoreError as error:  # the hub comes up all the same
            app.log.error(
                "The memberships can't be reached, groups stay as they are: %s", error.orig
            )
        HubUsers(store).listen()
        stop = found.on_removal == STOP
        work = [
            keep_writing(app, store),
            keep_stopping(app, store, found.removal_grace, stop),
        ]
        if found.refresh_every:
            work.append(keep_refreshing(app, found.refresh_every))
        app._group_writer = [asyncio.ensure_future(one) for one in work]

    def uses(app: Any) -> Uses:
        from .migrate import GROUPS

        return Uses(HubGroups, settings(app).db_url, GROUPS)

    attach("hub_groups", apply, uses)
