"""What pages and API of the quotas share: who asks, what they may, and the ledger in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar

from tornado import web

from hub_groups import rest
from hub_groups.rest import Refusal
from hub_groups.store import GroupStore
from hub_groups.web import Context, Page, Visit
from hub_groups.words import _

from .access import Access, NotAllowed, Who, access_of, check_changes
from .changes import Entry
from .costs import money, per_hour
from .limits import PolicyError
from .messages import SCOPE_TITLES, headline, of, resource_title, say_group, title
from .policies import By, Conflict, Held, say_entry
from .policy import DEFAULT_GROUP, Policy, group_name
from .policy_store import now
from .quantities import RESOURCES, say_duration
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .windows import read_zone

log = logging.getLogger("group-quotas")

T = TypeVar("T")


def ledger_of(context: Context) -> QuotaStore:
    """The one store of this process. Blocks."""
    found = context.settings
    return open_store(found["db_url"], read_zone(found["time_zone"]), found["hub_name"])


class Desk(Visit):
    """Behind every page and every address of the quotas."""

    groups: GroupStore
    store: QuotaStore
    access: Access

    async def come_in(self) -> None:
        """Find out what whoever asks may see and do."""
        self.store = await asyncio.to_thread(ledger_of, self.context)
        model = self.current_user
        self.access = await asyncio.to_thread(self._access, model)

    def _access(self, model: Mapping[str, Any]) -> Access:
        mine = sorted(group_name(name) for name in model.get("groups") or [])
        managed = set(self.groups.managed_by(model["name"])) if _is_user(model) else set()
        if _is_user(model):
            managed |= self.store.policy().managed_by(model["name"])
        return access_of(model, self.by_token, mine or [DEFAULT_GROUP], managed)

    async def policy(self) -> Policy:
        return await asyncio.to_thread(self.store.policy)

    def by(self, why: str = "") -> By:
        """Who changes something here, for the audit log."""
        via = "api" if self.by_token else "page"
        return By(self.user, via, why.strip(), self.request.remote_ip or "")

    async def edit(
        self,
        change: Callable[[Policy], Policy],
        why: str = "",
        expected: Mapping[Entry, int] = {},
    ) -> Held:
        """Change the policy, if whoever asks may.

        Raises:
            PolicyError, NotAllowed, Conflict: nothing was changed.
        """
        return await asyncio.to_thread(
            edit, self.store, self.access, change, self.by(why), expected
        )


def edit(
    store: QuotaStore,
    access: Access,
    change: Callable[[Policy], Policy],
    by: By,
    expected: Mapping[Entry, int] = {},
) -> Held:
    """`store.edit`, of what somebody may change. Blocks.

    Raises:
        PolicyError, NotAllowed, Conflict: nothing was changed.
    """

    def checked(before: Policy) -> Policy:
        after = change(before)
        check_changes(access, before, after)
        return after

    return store.edit(checked, by, expected)


def _is_user(model: Mapping[str, Any]) -> bool:
    return bool(model.get("kind", "user") == "user")


class QuotaPage(Desk, Page):
    """A page of the quotas.

    Attributes:
        who: who may see it.
        who_changes: who may send its forms.
    """

    who = Who.USER
    who_changes = Who.USER

    def initialize(self, context: Context, groups: GroupStore) -> None:  # type: ignore[override]
        super().initialize(context)
        self.groups = groups

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished:
            return
        if not self.current_user:
            web.authenticated(lambda _self: None)(self)  # sends them to the login
            return
        await self.come_in()
        who = self.who_changes if self.request.method == "POST" else self.who
        await self.check(who)

    async def check(self, who: Who) -> None:
        group = self.group_of_path()
        if not self.access.may(who, await self.policy(), group):
            if group and not self.access.may(Who.SEES, await self.policy(), group):
                raise web.HTTPError(404, no_such_group())
            raise web.HTTPError(403, refusal_of(who))

    def group_of_path(self) -> str:
        """The group that the address names; empty for none."""
        name = self.path_kwargs.get("group")
        return _group(str(name)) if name else ""

    def rendered(self, template: str, **values: Any) -> str:
        return super().rendered(
            template,
            access=getattr(self, "access", None),
            resources=RESOURCES,
            headline=headline,
            of=of,
            title=title,
            name=resource_title,
            say_group=say_group,
            duration=say_duration,
            scope_titles=SCOPE_TITLES,
            moment=moment,
            ago=ago,
            money=partial(money, currency=self.context.settings["currency"]),
            per_hour=partial(per_hour, currency=self.context.settings["currency"]),
            **values,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, LedgerError):
            self.set_status(503)
            message = _("The quota ledger can't be reached now.")
            self.show("error.html", status=503, message=message)
        else:
            super().write_error(status_code, **kwargs)


class QuotaRest(Desk, rest.Rest):
    """An address of the API of the quotas."""

    def initialize(self, context: Context, groups: GroupStore) -> None:  # type: ignore[override]
        super().initialize(context)
        self.groups = groups

    async def prepare(self) -> None:
        await super().prepare()

    async def check(self, who: Who) -> None:
        await self.come_in()
        policy = await self.policy()
        group = self.part.get("group", "")
        if group:
            group = self.part["group"] = _group(group)
        if not self.access.may(who, policy, group):
            if group and not self.access.may(Who.SEES, policy, group):
                raise Refusal(404, no_such_group())
            raise Refusal(403, refusal_of(who))

    async def ledger(self, call: Callable[..., T], *values: Any) -> T:
        """`call(*values)` in a thread."""
        return await asyncio.to_thread(call, *values)

    def explain(self, error: BaseException | None, status: int) -> tuple[int, str, str]:
        if isinstance(error, LedgerError):
            log.error("The quota ledger can't be used: %s", error)
            return 503, _("Quotas can't be checked at the moment. Try again in a minute."), ""
        if isinstance(error, PolicyError):
            return 400, str(error), "policy"
        if isinstance(error, NotAllowed):
            return 403, str(error), "not-yours"
        if isinstance(error, Conflict):
            return 412, say_conflict(error), "changed-since"
        return super().explain(error, status)


def say_conflict(error: Conflict) -> str:
    """Who was first."""
    change = error.change
    return _("{who} has changed {what} since you opened it. Look at it again.").format(
        who=change.by.who, what=say_entry(change.entry)
    )


def no_such_group() -> str:
    return _("There is no such group here, or it is not yours to see.")


def refusal_of(who: Who) -> str:
    """Why somebody may not: who may."""
    return {
        Who.ADMIN: _("Only admins of this hub can do that."),
        Who.READS: _("Only admins of this hub see that."),
        Who.MANAGES: _("Only managers of this group can do that."),
        Who.MANAGES_ANY: _("Only admins of this hub and managers of groups see this."),
        Who.RESERVES: _("This takes a token with the scope custom:quotas:reserve."),
    }.get(who, _("You may not see this."))


def moment(at: int) -> datetime:
    """An instant (microseconds) as a time in UTC."""
    return datetime.fromtimestamp(at // 1_000_000, timezone.utc)


def ago(at: int) -> str:
    """How long ago, in words."""
    return say_duration(max(0, now() - at))


def _group(name: str) -> str:
    try:
        return group_name(name)
    except PolicyError:
        return name
