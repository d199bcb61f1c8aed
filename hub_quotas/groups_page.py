"""All groups: where does it go, and what needs me?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tornado import web
from tornado.httputil import url_concat

from hub_groups.words import _, ngettext

from .access import Access, NotAllowed, Who
from .changes import GROUP_ENTRY, with_plan
from .desk import QuotaPage
from .history import sizes_missing
from .limits import PolicyError
from .overview import GroupUse, Overview
from .policies import Conflict
from .policy import WHOLE_HUB, Policy
from .quantities import whole
from .tree import Branch, under
from .whatif import say_size_needed

PAGE = 50
NEAR = 0.8
"""The share of a limit from which on a group needs attention."""


@dataclass(frozen=True)
class Asked:
    """What of all groups somebody wants to see."""

    q: str = ""
    under: str = ""
    plan: str = ""
    show: str = ""
    sort: str = ""
    page: int = 1


@dataclass(frozen=True)
class GroupRow:
    """One group of the list.

    Attributes:
        branch: its place in the tree.
    """

    branch: Branch
    use: GroupUse
    plan: str
    source: str
    limits: int
    managers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.branch.name


@dataclass(frozen=True)
class Found:
    """A page of the groups that were asked for, with how many there are."""

    rows: Sequence[GroupRow]
    count: int
    pages: int
    asked: Asked = field(default_factory=Asked)


def find(asked: Asked, access: Access, seen: Overview, tree: Sequence[Branch]) -> list[Branch]:
    """The groups that somebody asked for and may see, in the order that they asked for. Pure."""
    policy = seen.held.policy
    words = asked.q.lower().split()
    found = [
        branch
        for branch in tree
        if access.sees(policy, branch.name)
        and (not words or all(word in branch.name.lower() for word in words))
        and (not asked.under or under(policy, branch.name, asked.under))
        and (not asked.plan or _plan(policy, branch.name) == asked.plan)
        and _shown(asked.show, branch.name, seen)
    ]
    if asked.sort == "used":
        found.sort(key=lambda branch: -_share(seen.of(branch.name)))
    elif asked.sort == "cost":
        found.sort(key=lambda branch: -seen.of(branch.name).month_cost)
    return found


def _shown(show: str, name: str, seen: Overview) -> bool:
    use = seen.of(name)
    if show == "attention":
        return _share(use) >= NEAR or use.first_out is not None
    if show == "running":
        return use.use.get("servers", 0) > 0
    if show == "unlimited":
        return not seen.held.policy.limits(name)
    return True


def _share(use: GroupUse) -> float:
    return use.tightest.share if use.tightest else -1.0


def _plan(policy: Policy, name: str) -> str:
    known = policy.groups.get(name)
    return known.plan if known else ""


def page_of(
    asked: Asked,
    access: Access,
    seen: Overview,
    in_hub: Sequence[str],
    managers_of: Callable[[list[str]], Mapping[str, Sequence[str]]],
) -> Found:
    """A page of the groups that somebody asked for and may see. Blocks.

    Args:
        in_hub: the groups that the hub has.
        managers_of: the managers by membership of some groups.
    """
    policy = seen.held.policy
    tree = seen.tree(tuple(in_hub))
    found = find(asked, access, seen, tree)
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, asked.page), pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    managers = managers_of([branch.name for branch in shown])
    rows = [
        GroupRow(
            branch,
            seen.of(branch.name),
            _plan(policy, branch.name),
            seen.held.sources.get((GROUP_ENTRY, branch.name), ""),
            len(policy.limits(branch.name)),
            tuple(dict.fromkeys((*managers.get(branch.name, ()), *policy.managers(branch.name)))),
        )
        for branch in shown
    ]
    return Found(rows, len(found), pages, Asked(**{**asked.__dict__, "page": page}))


class GroupsPage(QuotaPage):
    """The tree of groups, searchable; one page of it at a time."""

    who = Who.MANAGES_ANY
    who_changes = Who.ADMIN

    async def get(self) -> None:
        await self._show_groups()

    async def post(self) -> None:
        """One plan for all that are ticked."""
        names = self.get_body_arguments("group")
        plan = self.get_body_argument("plan", "")
        why = self.get_body_argument("why", "")

        try:
            if not names:
                raise PolicyError((), _("Tick the groups that are to get the plan."))
            held = await self.edit(lambda policy: with_plan(policy, names, plan), why)
        except (PolicyError, NotAllowed, Conflict) as error:
            self.set_status(400)
            await self._show_groups(wrong=str(error))
            return
        text = ngettext("{n} group has the plan now.", "{n} groups have the plan now.", len(names))
        sizes = await asyncio.to_thread(sizes_missing, self.store, held.policy, *names)
        said = [text.format(n=len(names)), *map(say_size_needed, sizes)]
        self.done(" ".join(said), self.request.uri or "")

    async def _show_groups(self, wrong: str = "") -> None:
        asked = self._asked()
        seen, in_hub = await self.overviews.latest(self.store), await self.directory.groups()
        found = await asyncio.to_thread(
            page_of, asked, self.access, seen, in_hub, self.groups.managers
        )
        policy = seen.held.policy
        first_steps = not policy.groups and not policy.plans and self.access.admin
        self.show(
            "all_groups.html",
            found=found,
            whole=seen.of(WHOLE_HUB) if self.access.reads else None,
            priced=bool(policy.prices),
            plans=sorted(policy.plans),
            above=policy.path(asked.under)[-2:0:-1] if asked.under else (),
            first_steps=first_steps,
            never_seen=await self.never_seen(policy, seen),
            would_be_held_by=self.context.settings["would_be_held_by"],
            named_servers=self.context.settings["named_servers"],
            address=lambda **changes: _address(self.request.path, asked, changes),
            wrong=wrong,
        )

    def _asked(self) -> Asked:
        text = {
            name: self.get_query_argument(name, "")
            for name in ("q", "under", "plan", "show", "sort")
        }
        page = whole(self.get_query_argument("page", "1"))
        if page is None:
            raise web.HTTPError(400, _("The page is a number."))
        return Asked(**text, page=page)


def _address(path: str, asked: Asked, changes: dict[str, Any]) -> str:
    """Of another part of the list: what else was asked for stays."""
    wanted = {**asked.__dict__, "page": 1, **changes}
    return url_concat(path, {k: str(v) for k, v in wanted.items() if v and (k, v) != ("page", 1)})
