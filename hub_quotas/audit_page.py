"""Who changed what, and taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tornado import web

from hub_groups.words import _, ngettext

from .access import Access, NotAllowed, Who, check_changes
from .changes import GROUP_ENTRY
from .desk import QuotaPage, no_such_group
from .limits import PolicyError
from .policies import Change, Conflict, Held, undone
from .policy import Policy
from .quantities import whole
from .store import QuotaStore

PAGE = 50
_LAST = 10**18 - 1
_LOOK_AT = 2000
"""How many changes are looked through for those that a manager may see."""


def visible(access: Access, policy: Policy, change: Change) -> bool:
    """Whether somebody may see a change."""
    return access.reads or (change.kind == GROUP_ENTRY and access.sees(policy, change.name))


def changes_seen_by(
    store: QuotaStore, access: Access, group: str | None, before: int, most: int
) -> list[Change]:
    """The last changes that somebody may see, newest first. Blocks."""
    policy = store.policy()
    found: list[Change] = []
    for _round in range(_LOOK_AT // 200):
        some = store.audit(group, before, 200)
        found += [change for change in some if visible(access, policy, change)]
        if len(found) >= most or len(some) < 200:
            break
        before = some[-1].version
    return found[:most]


@dataclass(frozen=True)
class Listed:
    """A change in a list, for somebody.

    Attributes:
        undoes: whether they can undo it, with all that was changed in the same go.
        later: the change that stands in the way of it, where there is one and they may see it.
    """

    change: Change
    undoes: bool
    later: Change | None


def listed(store: QuotaStore, access: Access, changes: Iterable[Change]) -> list[Listed]:
    """Changes as somebody finds them in a list. Blocks."""
    held = store.held()
    known: dict[tuple[object, ...], tuple[bool, Change | None]] = {}
    found = []
    for change in changes:
        go = (change.at, change.by.who, change.by.via)
        if go not in known:
            together = store.made_with(change.version)
            later = store.later(together)
            shown = later if later and visible(access, held.policy, later) else None
            known[go] = (not later and may_undo(access, held, together), shown)
        found.append(Listed(change, *known[go]))
    return found


def may_undo(access: Access, held: Held, together: Sequence[Change]) -> bool:
    """Whether somebody may undo changes that still hold. Pure."""
    if any(held.sources.get(change.entry) for change in together):
        return False  # a file says what holds
    if all(change.before == change.after for change in together):
        return False  # a file has let go of it
    if access.admin:
        return True
    try:
        check_changes(access, held.policy, undone(held.policy, together))
    except (PolicyError, NotAllowed):
        return False
    return True


class AuditPage(QuotaPage):
    """All changes, or those of one group."""

    who = Who.MANAGES_ANY
    who_changes = Who.MANAGES_ANY

    async def get(self) -> None:
        await self._show_changes()

    async def post(self) -> None:
        """Undo one change, with all that was changed in the same go."""
        version = whole(self.get_body_argument("version"))
        if version is None:
            raise web.HTTPError(400, _("There is no such change."))
        try:
            count = await undo(self, version)
        except (PolicyError, NotAllowed) as error:
            self.set_status(400)
            await self._show_changes(wrong=str(error))
        except Conflict as error:
            self.set_status(409)
            await self._show_changes(wrong=str(error))
        else:
            text = ngettext("{n} entry is as it was before.", "{n} entries are as before.", count)
            self.done(text.format(n=count), f"{self.context.prefix}audit")

    async def _show_changes(self, wrong: str = "") -> None:
        group = self.get_query_argument("group", "") or None
        policy = await self.policy()
        if group is not None and not self.access.sees(policy, group):
            raise web.HTTPError(404, no_such_group())
        before = whole(self.get_query_argument("before", str(_LAST)))
        if before is None:
            raise web.HTTPError(400, _("before is the number of a change."))
        found = await asyncio.to_thread(
            changes_seen_by, self.store, self.access, group, before, PAGE + 1
        )
        self.show(
            "audit.html",
            group=group or "",
            changes=await asyncio.to_thread(listed, self.store, self.access, found[:PAGE]),
            more=found[PAGE - 1].version if len(found) > PAGE else None,
            wrong=wrong,
        )


async def undo(desk: Any, version: int) -> int:
    """Undo a change as whoever asks at a desk may; returns how many entries that was.

    Raises:
        PolicyError, NotAllowed, Conflict: nothing was undone.
        tornado.web.HTTPError: there is no such change, or it is not theirs to see.
    """
    policy = await desk.policy()
    known = min(max(version, 0), 2**62)  # more is none that a database has
    together: Sequence[Change] = await asyncio.to_thread(desk.store.made_with, known)
    if not any(visible(desk.access, policy, change) for change in together):
        raise web.HTTPError(404, _("There is no such change, or it is not yours to see."))
    why = f"undo of change {version}"  # stored, so in English
    await asyncio.to_thread(desk.store.undo, together, desk.by(why), desk.may_become)
    return len(together)
