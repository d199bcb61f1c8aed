"""What pages and API of the quotas share: who asks, what they may, and the ledger in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone, tzinfo
from functools import partial
from typing import Any, TypeVar

from tornado import web

from hub_groups import rest
from hub_groups.rest import Refusal
from hub_groups.store import GroupStore
from hub_groups.web import CheckedPage, Context, Visit
from hub_groups.words import _, pgettext

from .access import Access, NotAllowed, Who, check_changes
from .asking import Asking
from .authority import authority
from .changes import Entry, said_differences
from .costs import money, per_hour
from .directory import Directory
from .files import FileError
from .home_storage import FULL_SHARE, WARN_SHARE
from .latest import Overviews
from .limits import PolicyError
from .menu import USERS
from .messages import headline, of, resource_title, say_group, scope_titles, title
from .overview import Overview, Used
from .policies import By, Conflict, Held, say_entry
from .policy import Policy, group_name
from .policy_store import now
from .quantities import RESOURCES, say_ago, say_duration
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .tree import never_seen
from .usage_words import say_size
from .windows import read_zone, say_window, short_months

log = logging.getLogger("group-quotas")

T = TypeVar("T")

_MINUTE = 60 * 10**6


def ledger_of(context: Context) -> QuotaStore:
    """The one store of this process. Blocks."""
    found = context.settings
    return open_store(found["db_url"], read_zone(found["time_zone"]), found["hub_name"])


class Desk(Visit):
    """Behind every page and every address of the quotas."""

    groups: GroupStore
    overviews: Overviews
    directory: Directory
    store: QuotaStore
    access: Access

    def initialize(  # type: ignore[override]
        self, context: Context, groups: GroupStore, overviews: Overviews, directory: Directory
    ) -> None:
        super().initialize(context)
        self.groups, self.overviews, self.directory = groups, overviews, directory

    async def come_in(self) -> None:
        """Find out what whoever asks may see and do."""
        self.store = await asyncio.to_thread(ledger_of, self.context)
        self.access = await asyncio.to_thread(
            authority, self.store, self.groups, self.current_user, self.by_token
        )

    async def never_seen(self, policy: Policy, seen: Overview) -> list[str]:
        """Groups of a policy that hub, memberships and ledger know nobody in, ever."""
        known = [*await self.directory.groups(), *seen.charged]
        left = never_seen(policy, known)
        if not left:
            return []
        return never_seen(policy, [*known, *await asyncio.to_thread(self.groups.sizes, left)])

    async def users_in(self, group: str) -> list[str]:
        """Who is in a group, without those of groups below it: those whom the hub has there, and
        those who have yet to log in."""
        rows = await asyncio.to_thread(self.groups.users, group)
        return [*dict.fromkeys((*await self.directory.members(group), *rows))]

    async def policy(self) -> Policy:
        self.known_policy = await asyncio.to_thread(self.store.policy)
        return self.known_policy

    def managers_of(self, groups: Iterable[str]) -> dict[str, list[str]]:
        """Whom to ask, by group: those of the group, or of the next one above it that has any.
        Blocks."""
        policy = self.store.policy()
        paths = {group: policy.path(group) for group in groups}
        known = self.groups.managers({name for path in paths.values() for name in path})
        managers = {}
        for group, path in paths.items():
            of = (sorted({*known.get(name, ()), *policy.managers(name)}) for name in path)
            managers[group] = next((names for names in of if names), [])
        return managers

    def may_become(self, before: Policy, after: Policy) -> None:
        """Whether whoever asks may change the policy like that; raises NotAllowed."""
        check_changes(self.access, before, after)

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


class QuotaPage(Desk, CheckedPage):
    """A page of the quotas."""

    who = Who.USER
    who_changes = Who.USER
    asks_waiting = 0

    async def check(self, who: Who) -> None:
        group = self.group_of_path()
        if not self.access.may(who, await self.policy(), group):
            if group and not self.access.may(Who.SEES, await self.policy(), group):
                raise web.HTTPError(404, no_such_group())
            raise web.HTTPError(403, refusal_of(who))
        if group:
            await self.directory.look_for(group, self.groups)
        if self.access.admin or self.access.managed:
            asking = Asking(self.store)
            self.asks_waiting = await asyncio.to_thread(asking.to_answer, self.access)

    def group_of_path(self) -> str:
        """The group that the address names; empty for none."""
        name = self.path_kwargs.get("group")
        return _group(str(name)) if name else ""

    def rendered(self, template: str, **values: Any) -> str:
        shared: dict[str, Any] = {
            "access": getattr(self, "access", None),
            "access_policy": getattr(self, "known_policy", None),
            "resources": RESOURCES,
            "WARN_SHARE": WARN_SHARE,
            "FULL_SHARE": FULL_SHARE,
            "headline": headline,
            "of": of,
            "title": title,
            "name": resource_title,
            "say_group": say_group,
            "say_size": say_size,
            "duration": say_duration,
            "scope_titles": scope_titles(),
            "moment": moment,
            "ago": ago,
            "long_ago": long_ago,
            "exactly": self.exactly,
            "say_when": self.say_when,
            "say_used": partial(say_used, currency=self.context.settings["currency"]),
            "say_entry": say_entry,
            "say_via": say_via,
            "change_said": lambda change: said_differences(change.before, change.after),
            "quota_nav": self._nav(),
            "money": partial(money, currency=self.context.settings["currency"]),
            "per_hour": partial(per_hour, currency=self.context.settings["currency"]),
        }
        return super().rendered(template, **{**shared, **values})

    def _nav(self) -> list[tuple[str, str]]:
        """The quota pages that this visitor has, as (address, text)."""
        access, prefix = getattr(self, "access", None), self.context.prefix
        found = [(prefix, _("My usage")), (f"{prefix}help", _("Help"))]
        if access and (access.reads or self.context.settings["menu_for"] == USERS):
            policy = getattr(self, "known_policy", None)
            if policy and (policy.plans or policy.prices):
                found.insert(1, (f"{prefix}menu", _("Plans and prices")))
        if access and (access.reads or access.managed):
            found += [
                (f"{prefix}groups", _("Groups and limits")),
                (f"{prefix}asks", self._requests()),
                (f"{prefix}reports", _("Costs")),
                (f"{prefix}audit", _("Changes")),
            ]
        if access and access.reads:
            found += [
                (f"{prefix}plans", _("Set plans")),
                (f"{prefix}prices", _("Set prices")),
                (f"{prefix}storage", _("Storage")),
                (f"{prefix}policy", _("Import and export")),
            ]
        return found

    def _requests(self) -> str:
        if not self.asks_waiting:
            return _("Requests")
        return _("Requests ({count})").format(count=self.asks_waiting)

    def say_when(self, at: int) -> str:
        """`at 15:10`, `on 12 Dec`: an instant in the hub's zone."""
        return say_when(at, now(), self.store.zone)

    def exactly(self, at: int) -> str:
        """An instant to the minute, in the hub's zone."""
        return f"{moment(at).astimezone(self.store.zone):%Y-%m-%d %H:%M %Z}"

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
        if isinstance(error, (PolicyError, FileError)):
            return 400, str(error), "policy"
        if isinstance(error, NotAllowed):
            return 403, str(error), "not-yours"
        if isinstance(error, Conflict):
            return 412, say_conflict(error), "changed-since"
        return super().explain(error, status)


def say_conflict(error: Conflict) -> str:
    """Who was first."""
    change = error.change
    if change is None:
        return _("Nothing of that name was ever there. Look at it again.")
    return _("{who} has changed {what} since you opened it. Look at it again.").format(
        who=change.by.who, what=say_entry(change.entry)
    )


def say_via(via: str) -> str:
    """Where a change was made."""
    known = {
        "page": pgettext("made by", "in the browser"),
        "api": pgettext("made by", "by the API"),
        "cli": pgettext("made by", "on the command line"),
        "config": pgettext("made by", "by the configuration"),
        "rename": pgettext("made by", "by a renaming"),
    }
    return known.get(via, via)


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
        Who.STORES: _("This takes a service's token with the scope custom:quotas:storage."),
    }.get(who, _("You may not see this."))


def say_when(at: int, present: int, zone: tzinfo) -> str:
    """`at 15:10`, `on 12 Dec`, `on 3 Feb 2027`: as far as it matters."""
    when, here = (moment(instant).astimezone(zone) for instant in (at, present))
    if when.date() == here.date():
        return _("at {time}").format(time=f"{when:%H:%M}")
    if when.year == here.year:
        return _("on {day} {month}").format(day=when.day, month=short_months()[when.month - 1])
    return _("on {day} {month} {year}").format(
        day=when.day, month=short_months()[when.month - 1], year=when.year
    )


def say_used(one: Used, currency: str = "") -> str:
    """`97 % of 200 GPU-hours a month`, `31 of 40 cores`."""
    limit = one.limit
    if limit.window is None:
        return of(limit.resource, one.used, limit.amount)
    text, amount = _("{share} of {amount} {window}"), limit.kind.say(limit.amount)
    if limit.resource == "cost":
        text = _("{share} of a budget of {amount} {window}")
        amount = money(limit.amount, currency)
    return text.format(
        share=f"{one.share:.0%}",
        amount=amount,
        window=say_window(limit.window),
    )


def moment(at: int) -> datetime:
    """An instant (microseconds) as a time in UTC."""
    return datetime.fromtimestamp(at // 1_000_000, timezone.utc)


def iso(at: int) -> str:
    """An instant as RFC 3339 has it, UTC, to the second."""
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"


def ago(at: int) -> str:
    """`3 h`: how long ago."""
    return say_duration(max(0, now() - at))


def long_ago(at: int) -> str:
    """`3 h ago`; of the last minute, `just now`."""
    passed = max(0, now() - at)
    return _("just now") if passed < _MINUTE else say_ago(passed)


def _group(name: str) -> str:
    try:
        return group_name(name)
    except PolicyError:
        return name
