"""Is my course all right, and who will run out? One group: its use, members, limits and history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tornado import web

from hub_groups.rest import Refusal
from hub_groups.words import _

from .access import Access, NotAllowed, Who
from .asking import Asking
from .audit_page import listed
from .boosts_page import SAYS
from .burndown import BurnDown, picture
from .changes import GROUP_ENTRY, documents, put
from .costs import hours, money
from .desk import QuotaPage, no_such_group, say_conflict
from .history import running, sizes_missing, what_if
from .home_storage import group_storage
from .limit_fields import (
    Field,
    changed_keys,
    fields,
    half_typed,
    hint_of,
    merged,
    new_limit,
    read_typed,
    say_saved,
    typed_limits,
)
from .limits import KEYS, PolicyError
from .members import LATELY, member_limit, members, with_limits
from .messages import of
from .more import Ask
from .more_desk import boosts_of
from .more_forms import Typed as NoBoost
from .overview import Overview, Used
from .policies import Conflict
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy
from .quantities import whole
from .spending import spending_of
from .stopping import stop_in_group
from .storage_store import agents_report
from .storage_trend import say_full_at
from .store import QuotaStore
from .svg import Svg
from .tree import Branch, under
from .usage_page import course
from .usage_words import say_whose
from .whatif import WhatIf, say_size_needed
from .windows import Rolling, span

PAGE = 50
_STEPS = 40
_SERVERS = 25


@dataclass(frozen=True)
class Typed:
    """A form that was sent, and what came of it.

    Attributes:
        wrong: by key, why it can't be read; by field, what is missing of a limit that is added.
        why_not: why it was not saved as a whole.
        overtaken: somebody else was first; sending it again is about what is there now.
    """

    arguments: dict[str, str]
    wrong: dict[str, str]
    why_not: str = ""
    overtaken: bool = False

    @property
    def version(self) -> str:
        return "" if self.overtaken else self.arguments.get("version", "")

    @property
    def limits(self) -> dict[str, str]:
        return typed_limits(self.arguments)

    @property
    def new(self) -> tuple[str, str]:
        """Key and amount of a limit of which something is missing."""
        return new_limit(self.arguments) if half_typed(self.arguments) else ("", "")

    @property
    def hint(self) -> str:
        """How the limit is written that is chosen and has no amount yet."""
        key, amount = self.new
        return "" if amount else hint_of(key)


@dataclass(frozen=True)
class Preview:
    """What saving a form would do.

    Attributes:
        why_not: why it would not be saved.
        hint: how the limit is written that is being added.
        sizes: what servers would need a limit of their own on, which nothing gives them.
    """

    fields: Sequence[Field]
    why_not: str = ""
    what_if: WhatIf | None = None
    hint: str = ""
    sizes: Sequence[str] = ()


class GroupPage(QuotaPage):
    """One group."""

    who = Who.SEES
    who_changes = Who.MANAGES

    async def get(self, group: str) -> None:
        await self._show_group(self.group_of_path())

    async def post(self, group: str) -> None:
        name = self.group_of_path()
        if self.get_body_argument("action", "") == "stop":
            await self._stop(name)
            return
        form = {key: self.get_body_argument(key) for key in self.request.body_arguments}
        read, wrong = read_typed(name, typed_limits(form))
        if form.get("check") != "1":  # who types is not done yet
            wrong |= half_typed(form)
        typed = Typed(form, wrong)
        policy = await self.policy()
        if "check" in form:
            await self._show_check(name, policy, typed)
            return
        if wrong:
            self.set_status(400)
            await self._show_group(name, typed)
            return
        try:
            version = whole(form.get("version", ""))
            expected = {} if version is None else {(GROUP_ENTRY, name): version}
            held = await self.edit(
                lambda before: put(before, _entry(before, name, form, read)),
                form.get("why", ""),
                expected,
            )
        except (PolicyError, NotAllowed) as error:
            self.set_status(400)
            await self._show_group(name, Typed(form, {}, str(error)))
        except Conflict as error:
            self.set_status(409)
            await self._show_group(name, Typed(form, {}, say_conflict(error), overtaken=True))
        else:
            self.done(await asyncio.to_thread(self._say_saved, name, policy, held.policy))

    def _say_saved(self, name: str, before: Policy, after: Policy) -> str:
        """What saving has done. Blocks."""
        if before.groups.get(name) == after.groups.get(name):
            return _("Nothing has changed.")
        keys = changed_keys(before.limits_of(name), after.limits_of(name))
        said = [say_saved(keys, agents_report(self.store))]
        found = what_if(self.store, before, after)
        if found.refused or found.full:
            said.append(found.text)
        said += map(say_size_needed, sizes_missing(self.store, after, name))
        return " ".join(said)

    async def _stop(self, name: str) -> None:
        """Stop a server that is charged to this group or below it."""
        try:
            user = await stop_in_group(self, name, self.get_body_argument("session", ""))
        except Refusal as error:
            raise web.HTTPError(error.status, error.detail) from None
        self.done(_("The server of {user} is being stopped.").format(user=user))

    # -- what is shown -----------------------------------------------------------------------

    async def _show_check(self, name: str, policy: Policy, typed: Typed) -> None:
        """What saving would do, before anything is saved."""
        read, wrong = read_typed(name, typed.limits)
        preview = await asyncio.to_thread(self._preview, name, policy, typed, read)
        if typed.arguments["check"] == "1":  # asked for while typing: the answer alone
            self.show(
                "check.html",
                preview=preview,
                sizes=preview.sizes,
                say_size_needed=say_size_needed,
                typed=typed,
            )
        else:
            await self._show_group(name, typed, preview)

    def _preview(self, name: str, policy: Policy, typed: Typed, read: dict[str, Any]) -> Preview:
        shown = fields(policy, self.access, name, typed.limits, typed.wrong)
        why_not, consequences = "", None
        sizes: tuple[str, ...] = ()
        if not typed.wrong:
            try:
                after = put(policy, _entry(policy, name, typed.arguments, read))
                self.may_become(policy, after)
                consequences = what_if(self.store, policy, after)
                sizes = sizes_missing(self.store, after, name)
            except (PolicyError, NotAllowed) as error:
                why_not = error.why if isinstance(error, PolicyError) else str(error)
        return Preview(shown, why_not, consequences, typed.hint, sizes)

    async def _show_group(
        self,
        name: str,
        typed: Typed | None = None,
        preview: Preview | None = None,
    ) -> None:
        seen, in_hub = await self.overviews.latest(self.store), await self.directory.groups()
        policy = seen.held.policy
        tree = seen.tree(tuple(in_hub))
        if name != WHOLE_HUB and name not in {branch.name for branch in tree}:
            raise web.HTTPError(404, no_such_group())
        below = [b for b in tree if name == WHOLE_HUB or under(policy, b.name, name)]
        known = [] if name == WHOLE_HUB else await self.users_in(name)
        asked = (self.get_query_argument("m", ""), self.get_query_argument("msort", ""))
        shown = await asyncio.to_thread(self._read, name, seen, below, known, asked)
        wanted, missing = typed or Typed({}, {}), shown.pop("sizes")
        self.show(
            "group.html",
            group=name,
            seen=seen.of(name),
            priced=bool(policy.prices),
            policy=policy,
            entry=policy.groups.get(name),
            source=seen.held.sources.get((GROUP_ENTRY, name), ""),
            version=wanted.version or seen.held.versions.get((GROUP_ENTRY, name), 0),
            fields=fields(policy, self.access, name, wanted.limits, wanted.wrong),
            keys=self._new_keys(policy, name),
            would_be_held_by=self.context.settings["would_be_held_by"],
            inherited=[one for one in policy.limits(name) if one.group != name],
            above=policy.path(name)[-2:0:-1],
            subgroups=[b for b in below if policy.path(b.name)[1:2] == (name,)],
            seen_of=seen.of,
            is_new=name in await self.never_seen(policy, seen),
            typed=wanted,
            preview=preview,
            sizes=preview.sizes if preview else missing,
            say_size_needed=say_size_needed,
            in_no_group=name == DEFAULT_GROUP,
            manages=self.access.manages(policy, name),
            no_boost=NoBoost(),
            zone=self.store.zone,
            course=partial(course, zone=self.store.zone),
            say_full_at=say_full_at,
            say_whose=say_whose,
            **SAYS,
            **shown,
        )

    def _read(
        self,
        name: str,
        seen: Overview,
        below: Sequence[Branch],
        known: Sequence[str],
        asked: tuple[str, str],
    ) -> dict[str, Any]:
        """What the ledger says of a group. Blocks."""
        store, policy = self.store, seen.held.policy
        names = [name, *(branch.name for branch in below)]
        limit = member_limit(policy.limits(name))
        # Where no server has a limit of CPU, all would have 0 CPU-hours, as if nobody did anything.
        has_cpu = store.used(name, "", "cpu", seen.at - LATELY, seen.at)
        counted = "cpu" if has_cpu else "servers"
        everyone = members(store, names, limit, known, counted) if name != WHOLE_HUB else {}
        search, sort = asked
        found = [one for one in everyone.values() if search.lower() in one.name.lower()]
        found.sort(key=_MEMBER_ORDER.get(sort, _MEMBER_ORDER[""]))
        servers, server_count = running(store, names, most=_SERVERS)
        managers = self.groups.managers(policy.path(name))
        return {
            "member_limit": limit,
            "counted": counted,
            "members": with_limits(store, name, found[:PAGE]),
            "member_count": len(found),
            "member_search": search,
            "member_sort": sort,
            "servers": servers,
            "server_count": server_count,
            "managers": dict.fromkeys((*managers.get(name, ()), *policy.managers(name))),
            "burn": self._burn(name, seen),
            "changes": listed(store, self.access, store.audit(name, most=10)),
            "boosts": boosts_of(store, self.access, name),
            "storage": group_storage(store, name, [*everyone]),
            "spending": spending_of(store, [name])[name],
            "hours": hours,
            "sizes": sizes_missing(store, policy, name),
            "asked": [ask for ask in asked_of(store, self.access, policy) if ask.group == name],
        }

    def _burn(self, name: str, seen: Overview) -> tuple[Used, Svg] | None:
        """The tightest budget of the group as a picture."""
        budgets = [one for one in seen.of(name).limits if one.limit.window]
        if not budgets:
            return None
        one = max(budgets, key=lambda each: each.share)
        window = one.limit.window
        held = span(window, seen.at, self.store.zone) if window else None
        if held is None:
            return None
        begin, end = held
        rolling = isinstance(window, Rolling)
        if rolling:  # with less, `now` and the end have no room beside each other on a phone
            end += (end - begin) // 3
        instants = [begin + (seen.at - begin) * step // _STEPS for step in range(_STEPS + 1)]
        used = self.store.course(name, one.limit.kind.curve, instants)
        amount = one.limit.amount
        says = one.limit.kind.say(amount)
        if one.limit.resource == "cost":
            says = money(amount, self.context.settings["currency"])
        burn = BurnDown(instants, used, amount, says, end, one.runs_out, rolling)
        title = of(one.limit.resource, one.used, amount)
        if one.runs_out:
            title += f", {_('runs out')} {self.say_when(one.runs_out)}"
        return one, picture(burn, title, self.store.zone)

    def _new_keys(self, policy: Policy, name: str) -> list[str]:
        """The limits that can still be added."""
        there = {one.key for one in fields(policy, self.access, name)}
        own_pool = self.access.ceiling_group(policy, name) == name
        return [
            key for key in KEYS if key not in there and not (own_pool and key.startswith("group."))
        ]


_MEMBER_ORDER: dict[str, Any] = {
    "": lambda member: (-member.used, member.name),
    "name": lambda member: member.name,
    "now": lambda member: (-member.servers, member.name),
    "seen": lambda member: (-member.seen, member.name),
}


def asked_of(store: QuotaStore, access: Access, policy: Policy) -> list[Ask]:
    """What waits for an answer, of the groups that somebody sees. Blocks."""
    return Asking(store).waiting(lambda group: access.sees(policy, group))


def _entry(
    before: Policy, name: str, form: dict[str, str], limits: dict[str, Any]
) -> dict[tuple[str, str], Any]:
    """The group's entry as a form makes it: what the form does not name stays."""
    entry = (GROUP_ENTRY, name)
    document = dict(documents(before).get(entry, {}))
    document["limits"] = merged(document.get("limits", {}), typed_limits(form), limits)
    for field in ("plan", "parent"):
        if field in form:
            document[field] = form[field].strip()
    if "managers" in form:
        document["managers"] = form["managers"].replace(",", " ").split()
    if form.get("priority", "").strip():
        try:
            document["priority"] = int(form["priority"])
        except ValueError:
            raise PolicyError(("priority",), _("write a whole number.")) from None
    kept = {key: value for key, value in document.items() if value}
    return {entry: kept if kept or name in before.groups else None}
