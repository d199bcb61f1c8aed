"""What pages and API of the groups share: who asks, what they may, and the store in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

from tornado import httpclient, web

from . import rest
from .access import GROUP_NAMES, Access, Who, access_of, refusal_of
from .event_words import say_role as say_role  # pages know them from here
from .event_words import say_source as say_source
from .people import By
from .rest import Refusal
from .store import GroupStore, StoreError
from .web import CheckedPage, Context, Visit
from .words import _, ngettext

log = logging.getLogger("group-quotas")

T = TypeVar("T")

_DAY = 86_400


class Desk(Visit):
    """Behind every page and every address of the groups."""

    store: GroupStore
    access: Access

    def initialize(self, context: Context, store: GroupStore) -> None:  # type: ignore[override]
        super().initialize(context)
        self.store = store

    async def come_in(self) -> None:
        """Find out what whoever asks may see and do."""
        model = self.current_user
        is_user = model.get("kind", "user") == "user"
        managed = await self.ask(self.store.managed_by, model["name"]) if is_user else ()
        self.access = access_of(model, self.by_token, managed)

    async def ask(self, call: Callable[..., T], *values: Any, **named: Any) -> T:
        """`call(*values)` in a thread."""
        return await asyncio.to_thread(call, *values, **named)

    def by(self) -> By:
        """Who changes something here, for the audit log."""
        return By(self.user, "api" if self.by_token else "page")

    async def group_names(self) -> list[str]:
        """Of all groups that the hub has; none where it can't be asked now."""
        try:
            found: list[str] = await self.context.hub_api(GROUP_NAMES)
        except (httpclient.HTTPError, OSError) as error:
            log.warning("The hub can't be asked for its groups: %s", error)
            return []
        return found

    def allowed(self, who: Who, group: str) -> tuple[int, str] | None:
        """Why they may not, as status and words; None where they may. A group that somebody may not
        see is as one that is not there."""
        if self.access.may(who, group):
            return None
        if group and not self.access.sees(group):
            return 404, _("There is no such group here.")
        return 403, refusal_of(who)


class GroupsPage(Desk, CheckedPage):
    """A page of the groups."""

    who = Who.USER
    who_changes = Who.USER

    async def check(self, who: Who) -> None:
        if refused := self.allowed(who, self.group_of_path()):
            raise web.HTTPError(refused[0], refused[1].replace("%", "%%"))

    def group_of_path(self) -> str:
        """The group that the address names; empty for none."""
        return str(self.path_kwargs.get("group") or "").strip("/")

    def rendered(self, template: str, **values: Any) -> str:
        shared: dict[str, Any] = {
            "access": getattr(self, "access", None),
            "moment": moment,
            "ago": lambda at: say_ago(self.store.clock() - at),
            "until": lambda at: say_until(at - self.store.clock()),
            "exactly": exactly,
            "say_role": say_role,
            "say_source": say_source,
            "group_nav": self._nav(),
        }
        return super().rendered(template, **{**shared, **values})

    def _nav(self) -> list[tuple[str, str]]:
        """The pages of groups that this visitor has, as (address, text)."""
        access, prefix = getattr(self, "access", None), self.context.prefix
        found = [(prefix, _("My groups"))]
        if access and access.may(Who.MANAGES_ANY):
            found += [(f"{prefix}groups", _("Groups")), (f"{prefix}audit", _("Changes"))]
        if access and access.reads:
            found += [(f"{prefix}sources", _("Sources")), (f"{prefix}rules", _("Rules"))]
        return found

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, StoreError):
            self.set_status(503)
            self.show("error.html", status=503, message=_not_now())
        else:
            super().write_error(status_code, **kwargs)


class GroupsRest(Desk, rest.Rest):
    """An address of the API of the groups."""

    async def check(self, who: Who) -> None:
        await self.come_in()
        group = self.part.get("group", "")
        if group:
            group = self.part["group"] = group.strip("/")
        if refused := self.allowed(who, group):
            raise Refusal(*refused)

    def explain(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        if isinstance(error, StoreError):
            log.error("The memberships can't be used: %s", error)
            return 503, _not_now(), ""
        return super().explain(error, status)


# -- words -------------------------------------------------------------------------------------


def _not_now() -> str:
    return _("The memberships can't be reached now. Try again in a minute.")


def moment(at: int) -> datetime:
    """A time in seconds since 1970, UTC."""
    return datetime.fromtimestamp(at, timezone.utc)


def iso(at: int) -> str:
    """As the API has instants: `2026-11-24T18:00:00Z`."""
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"


def exactly(at: int) -> str:
    """An instant to the minute."""
    return f"{moment(at):%Y-%m-%d %H:%M} UTC"


def say_ago(seconds: int) -> str:
    """`3 days ago`."""
    if seconds < 60:
        return _("just now")
    if seconds < 3600:
        return ngettext("{n} minute ago", "{n} minutes ago", seconds // 60).format(n=seconds // 60)
    if seconds < _DAY:
        hours = seconds // 3600
        return ngettext("{n} hour ago", "{n} hours ago", hours).format(n=hours)
    return ngettext("{n} day ago", "{n} days ago", seconds // _DAY).format(n=seconds // _DAY)


def say_until(seconds: int) -> str:
    """`for 3 more days`."""
    if seconds <= 0:
        return _("ended")
    if seconds < _DAY:
        hours = max(1, seconds // 3600)
        return ngettext("for {n} more hour", "for {n} more hours", hours).format(n=hours)
    days = seconds // _DAY
    return ngettext("for {n} more day", "for {n} more days", days).format(n=days)
