"""What was changed, by whom, and when."""

from __future__ import annotations

from typing import Any

from tornado import web

from .access import Access, Who
from .desk import GroupsPage
from .event_words import say_via, tell
from .record import Event, events
from .store import GroupStore
from .web import Context, Routes
from .words import _

PAGE = 50
LAST = 2**62
_DIGITS = 18


def events_seen_by(
    store: GroupStore,
    access: Access,
    group: str = "",
    user: str = "",
    source: str = "",
    before: int = LAST,
    most: int = PAGE,
) -> list[Event]:
    """The last entries that somebody may see, the newest first: a manager those of their groups and
    of those below. Blocks.

    Args:
        group: only of this one and those below it; one that they may not see has none.
    """
    if group and not access.sees(group):
        return []
    groups = [group] if group else None
    if not group and not (access.reads or access.everywhere):
        groups = sorted(access.managed)
    return events(store, groups, user, before, most, source, below=True)


class AuditPage(GroupsPage):
    """Changes, with filters."""

    who = Who.MANAGES_ANY
    who_changes = Who.MANAGES_ANY

    async def get(self) -> None:
        asked = {n: self.get_query_argument(n, "")[:255] for n in ("group", "user", "source")}
        asked["group"] = asked["group"].strip("/")
        if asked["group"] and not self.access.sees(asked["group"]):
            raise web.HTTPError(404, _("There is no such group here."))
        text = self.get_query_argument("before", str(LAST // 10))
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise web.HTTPError(400, _("before is the number of an entry."))
        found = await self.ask(
            events_seen_by, self.store, self.access, **asked, before=int(text), most=PAGE + 1
        )
        self.show(
            "changes_of_groups.html",
            asked=asked,
            entries=[(event, tell(event)) for event in found[:PAGE]],
            more=found[PAGE - 1].id if len(found) > PAGE else None,
            say_via=say_via,
            example="ldap, roster:geo.csv",
        )


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [(f"{context.prefix}audit", AuditPage, shared)]
