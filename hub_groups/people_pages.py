"""The pages for everybody: my groups, the groups that there are, joining by a link."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from tornado import web
from tornado.httputil import url_concat

from . import group_pages, links, people_desk
from .access import Who
from .desk import GroupsPage, say_source
from .group_pages import number
from .joining import (
    ALREADY,
    ASKED,
    DECLINED,
    JOINED,
    OPEN,
    LinkOver,
    NoSuchLink,
    clean_code,
    spaced,
)
from .memberships import BY_PEOPLE, MEMBER, usable
from .names import PeopleError, last_day
from .people import archive_of
from .people_desk import NotSure
from .web import Context, Routes, TooFast, brake
from .words import _

PAGE = 50
_WAITING = 50
_ANSWERED_DAYS = 30
_DAY = 86_400


class MyGroupsPage(GroupsPage):
    """My groups and why I am in them; for who manages some, who asks to join."""

    who_changes = Who.ACTS

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        action = self.get_body_argument("action", "")
        try:
            text = await self._do(action)
        except NotSure as error:
            self.set_status(400)
            await self._show(question=str(error))
        except PeopleError as error:
            self.set_status(400)
            await self._show(wrong=str(error))
        else:
            self.done(text)

    async def _do(self, action: str) -> str:
        id = number(self.get_body_argument("id", ""))
        if action in ("approve", "decline"):
            return await answer(self, id, action == "approve")
        if action == "withdraw":
            await self.ask(links.withdraw, self.store, id, self.by())
            return _("Your request is withdrawn.")
        if action == "leave":
            return await self._leave(self.get_body_argument("group", "").strip("/"))
        raise PeopleError(_("Choose what to do."))

    async def _leave(self, group: str) -> str:
        known = usable(group)
        mine = await self.ask(self.store.standings, self.user, [group]) if known else []
        if not any(one.membership.source in BY_PEOPLE for one in mine):
            raise PeopleError(_("There is no group that you could leave by yourself here."))
        sure = bool(self.get_body_argument("sure", ""))
        stay = await people_desk.remove(self, group, [self.user], sure)
        if not stay:
            return _("You have left {group}.").format(group=group)
        sources = ", ".join(map(say_source, stay[self.user]))
        return _("You are still in {group}, by {sources}.").format(group=group, sources=sources)

    async def _show(self, wrong: str = "", question: str = "") -> None:
        """Args:
        wrong: why something was not done.
        question: what they have to say yes to first.
        """
        mine = await self.ask(self.store.standings, self.user)
        waits = await self.ask(links.waiting, self.store, self.access.manages)
        asked = await self.ask(links.requests_of, self.store, self.user)
        since = self.store.clock() - _ANSWERED_DAYS * _DAY
        self.show(
            "my_groups.html",
            mine=people_desk.by_group(mine),
            over=await self.ask(archive_of, self.store),
            waits=waits[:_WAITING],
            wait_count=len(waits),
            asked=[one for one in asked if one.state == OPEN],
            declined=[
                one for one in asked if one.state == DECLINED and (one.answered_at or 0) > since
            ],
            by_people=BY_PEOPLE,
            last_day=last_day,
            wrong=wrong,
            question=question,
            again={n: self.get_body_argument(n, "") for n in ("action", "group")},
        )


async def answer(page: GroupsPage, id: int, approve: bool) -> str:
    """Say yes or no to who wants to join; returns what was done."""
    args = (page.store, id, approve, page.by(), page.access.manages)
    found = await page.ask(links.answer, *args)
    if approve:
        return _("{user} is in {group} now.").format(user=found.user, group=found.group)
    return _("{user} is told that you have said no.").format(user=found.user)


class GroupListPage(GroupsPage):
    """All groups that somebody sees, searchable; one page of them at a time."""

    who = Who.MANAGES_ANY
    who_changes = Who.ADMIN

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        """A new group comes with its first member or manager."""
        group = self.get_body_argument("group", "").strip().strip("/")
        try:
            people_desk.check_group_name(group)
            if await people_desk.group_is(self, group):
                raise PeopleError(_("There is a group {group} already.").format(group=group))
            role = group_pages.role_of(self.get_body_argument("role", MEMBER))
            new = bool(self.get_body_argument("new", ""))
            await people_desk.add(self, group, self.get_body_argument("names", ""), role, None, new)
        except PeopleError as error:
            self.set_status(400)
            await self._show(wrong=str(error), unknown=getattr(error, "names", ()))
        else:
            address = f"{self.context.prefix}groups/{quote(group)}"
            self.done(_("The group is made."), address)

    async def _show(self, wrong: str = "", unknown: tuple[str, ...] = ()) -> None:
        words, over = self.get_query_argument("q", ""), self.get_query_argument("show", "")
        names = people_desk.matching(await people_desk.all_groups(self), words)
        archive = await self.ask(archive_of, self.store)
        if over == "archived":
            names = [name for name in names if name in archive]
        pages = max(1, -(-len(names) // PAGE))
        page = min(max(1, number(self.get_query_argument("page", "1"))), pages)
        shown = names[(page - 1) * PAGE : page * PAGE]
        asked = {"q": words, "show": over}
        self.show(
            "group_list.html",
            rows=await self.ask(people_desk.rows_of, self.store, self.access, shown, names),
            count=len(names),
            page=page,
            pages=pages,
            asked=asked,
            address=lambda number: url_concat(
                self.request.path, {k: v for k, v in {**asked, "page": str(number)}.items() if v}
            ),
            wrong=wrong,
            unknown=unknown,
            typed={n: self.get_body_argument(n, "") for n in ("group", "names", "role")},
        )


class JoinPage(GroupsPage):
    """Who invites to which group; joining it takes a click."""

    who_changes = Who.ACTS

    async def get(self, code: str | None = None) -> None:
        typed = self.get_query_argument("code", "")
        if typed and not code:
            self.redirect(f"{self.context.prefix}join/{quote(clean_code(typed), safe='')}")
            return
        if not code:
            self._show_link()
            return
        # Also who only looks may not try code after code.
        if wait := brake.wait(self.user, time.monotonic()):
            raise TooFast(int(wait) + 1)
        try:
            found = await self.ask(links.look_up, self.store, code, self.user)
        except PeopleError as error:
            self._refuse(error)
        else:
            self._show_link(link=found.link, outcome=found.outcome)

    async def post(self, code: str | None = None) -> None:
        if self.current_user.get("kind", "user") != "user":
            raise web.HTTPError(403, _("Only users join groups."))
        via = self.by().via
        try:
            found = await self.ask(links.join, self.store, code or "", self.user, via)
        except PeopleError as error:
            self._refuse(error)
            return
        if found.outcome == JOINED:
            await people_desk.wait_for_hub(self, found.link.group)
        told = {
            JOINED: _("You are in {group} now."),
            ASKED: _("You have asked to join {group}. Here you see when it is answered."),
            ALREADY: _("You are in {group} already."),
        }[found.outcome]
        self.done(told.format(group=found.link.group), self.context.prefix)

    def _refuse(self, error: PeopleError) -> None:
        self.set_status(404 if isinstance(error, NoSuchLink) else 410)
        reason = error.reason if isinstance(error, LinkOver) else ""
        self._show_link(wrong=str(error), reason=reason)

    def _show_link(self, **values: Any) -> None:
        defaults = {"link": None, "outcome": "", "wrong": "", "reason": ""}
        self.show("join.html", **{**defaults, "last_day": last_day, "spaced": spaced, **values})


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [
        (context.prefix, MyGroupsPage, shared),
        (f"{context.prefix}groups", GroupListPage, shared),
        (rf"{context.prefix}groups/(?P<group>.+)", group_pages.GroupPage, shared),
        (rf"{context.prefix}join(?:/(?P<code>[^/]*))?", JoinPage, shared),
    ]
