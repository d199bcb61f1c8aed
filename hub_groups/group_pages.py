"""One group: who is in it and why, who may come in, and what managers do about that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tornado import web
from tornado.httputil import url_concat

from . import links, people, people_desk
from .access import Who, refusal_of
from .desk import GroupsPage, iso, say_source
from .event_words import tell
from .joining import WantedLink, spaced
from .member_csv import file_name, write_members
from .memberships import BY_PEOPLE, MANAGER, MEMBER, ROLES, UPLOAD, above
from .names import PeopleError, last_day, read_end
from .people_desk import Ending, NotSure, UnknownNames, Upload
from .record import events
from .roster import MissingColumn, RosterError
from .words import _, ngettext

PAGE = 25
_EVENTS = 20
_LINK_DAYS = 30
_DAY = 86_400
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Sent:
    """A form that was sent, and why it was not done.

    Attributes:
        action: which form.
        typed: what stood in it.
        wrong: why it was not done.
        unknown: names that the hub does not have.
        question: what they have to say yes to first.
        upload: what a roster would change, to be looked at.
        needs_column: a roster has the user names in another column than the usual one.
        ending: what archiving would do, to be looked at.
    """

    action: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    wrong: str = ""
    unknown: tuple[str, ...] = ()
    question: str = ""
    upload: Upload | None = None
    roster: str = ""
    needs_column: bool = False
    ending: Ending | None = None

    def of(self, action: str, name: str, otherwise: str = "") -> str:
        """What was typed in a field of a form, where that form was sent."""
        return self.typed.get(name, otherwise) if self.action == action else otherwise


def role_of(text: str) -> str:
    """Raises PeopleError: there is no such role."""
    if text not in ROLES:
        raise PeopleError(_("A role is member or manager."))
    return text


class GroupPage(GroupsPage):
    """One group."""

    who = Who.SEES
    who_changes = Who.MANAGES

    async def prepare(self) -> None:
        await super().prepare()
        if not self._finished and not await people_desk.group_is(self, self.group_of_path()):
            raise web.HTTPError(404, _("There is no such group here.").replace("%", "%%"))

    async def get(self, group: str) -> None:
        if self.get_query_argument("export", "") == "csv":
            await self._export(self.group_of_path())
            return
        await self._show_group(Sent())

    async def post(self, group: str) -> None:
        name, action = self.group_of_path(), self.get_body_argument("action", "")
        todo = {
            "add": self._add,
            "remove": self._remove,
            "manager": self._change,
            "member": self._change,
            "end": self._change,
            "roster": self._roster,
            "roster-apply": self._roster,
            "link": self._link,
            "revoke": self._revoke,
            "approve": self._answer,
            "decline": self._answer,
            "archive": self._archive,
            "restore": self._archive,
        }.get(action)
        typed = {key: self.get_body_argument(key) for key in self.request.body_arguments}
        sent = Sent(action, typed, tuple(self.get_body_arguments("user")))
        try:
            if todo is None:
                raise PeopleError(_("Choose what to do."))
            found = await todo(name, sent)
        except NotSure as error:
            found = Sent(action, typed, sent.users, question=str(error))
        except UnknownNames as error:
            found = Sent(action, typed, wrong=str(error), unknown=error.names)
        except MissingColumn as error:
            hint = _("Where user names stand in another column, write its name below.")
            found = Sent(action, typed, wrong=f"{error} {hint}", needs_column=True)
        except (PeopleError, RosterError) as error:
            found = Sent(action, typed, sent.users, wrong=str(error))
        if isinstance(found, str):
            self.done(found)
            return
        if not found.upload and not found.ending:
            self.set_status(400)
        await self._show_group(found)

    # -- what is done ------------------------------------------------------------------------

    async def _add(self, group: str, sent: Sent) -> str | Sent:
        until = read_end(sent.typed.get("until", ""), self.store.clock())
        role = role_of(sent.typed.get("role", MEMBER))
        names, new = sent.typed.get("names", ""), bool(sent.typed.get("new"))
        added = await people_desk.add(self, group, names, role, until, new)
        shown = ", ".join(added[:_NAMES_SHOWN]) + (" …" if len(added) > _NAMES_SHOWN else "")
        text = ngettext("Added: {names}.", "Added {n}: {names}.", len(added))
        return text.format(n=len(added), names=shown)

    async def _remove(self, group: str, sent: Sent) -> str | Sent:
        if not sent.users:
            raise PeopleError(_("Tick who is meant."))
        sure = bool(sent.typed.get("sure"))
        stay = await people_desk.remove(self, group, sent.users, sure)
        gone = len(set(sent.users)) - len(stay)
        text = ngettext("{n} is taken out.", "{n} are taken out.", gone).format(n=gone)
        return f"{text} {people_desk.say_stay(stay)}" if gone else people_desk.say_stay(stay)

    async def _change(self, group: str, sent: Sent) -> str | Sent:
        if not sent.users:
            raise PeopleError(_("Tick who is meant."))
        role, end = None, None
        if sent.action == "end":
            end = (read_end(sent.typed.get("until", ""), self.store.clock()),)
        else:
            role = sent.action
        sure = bool(sent.typed.get("sure"))
        stay = await people_desk.change(self, group, sent.users, role, end, sure)
        if not stay:
            return _("Changed.")
        sources = ", ".join(
            f"{user} ({', '.join(map(say_source, found))})"
            for user, found in list(stay.items())[:_NAMES_SHOWN]
        )
        text = _("Changed, as far as people have set it. Another source has the last word: {whom}.")
        return text.format(whom=sources)

    async def _roster(self, group: str, sent: Sent) -> str | Sent:
        files = self.request.files.get("file", [])
        content = files[0].body if files else sent.typed.get("roster", "").encode()
        name = files[0].filename if files else _("the roster")
        column = sent.typed.get("column", "")
        args = (self.store, group, content, name[:100], column)
        found = await self.ask(people_desk.upload, *args)
        again = people_desk.as_roster(found.roll)
        if sent.action == "roster" or sent.typed.get("mark") != found.mark:
            return Sent("roster", sent.typed, upload=found, roster=again)
        by = self.by()
        await self.ask(self.store.apply, UPLOAD, found.found, by.who, by.via)
        return _("The roster holds now.")

    async def _link(self, group: str, sent: Sent) -> str | Sent:
        wanted = wanted_link(sent.typed, self.store.clock())
        if wanted.role == MANAGER and not self.access.admin:
            raise PeopleError(_("Only admins make links for managers."))
        await self.ask(links.make_link, self.store, group, wanted, self.by())
        return _("The link is made: it stands on this page, to be copied.")

    async def _revoke(self, group: str, sent: Sent) -> str | Sent:
        id = number(sent.typed.get("id", ""))
        if not await self.ask(links.revoke, self.store, group, id, self.by()):
            raise PeopleError(_("This link did not work any more."))
        return _("The link is revoked. Who has joined by it stays.")

    async def _answer(self, group: str, sent: Sent) -> str | Sent:
        approve = sent.action == "approve"
        args = (self.store, number(sent.typed.get("id", "")), approve, self.by())
        found = await self.ask(links.answer, *args, self.access.manages)
        if approve:
            return _("{user} is in {group} now.").format(user=found.user, group=found.group)
        return _("{user} is told that you have said no.").format(user=found.user)

    async def _archive(self, group: str, sent: Sent) -> str | Sent:
        if not self.access.manages_above(group):
            raise web.HTTPError(403, refusal_of(Who.MANAGES_ABOVE))
        if sent.action == "restore":
            await self.ask(people.restore, self.store, group, self.by())
            return _("The group is back, with all who are in it.")
        if not sent.typed.get("sure"):
            found = await self.ask(people_desk.ending, self.store, group)
            return Sent(sent.action, sent.typed, ending=found)
        await self.ask(people_desk.end_group, self.store, group, self.by())
        return _("The group is archived.")

    # -- what is shown -----------------------------------------------------------------------

    async def _export(self, group: str) -> None:
        standings = await self.ask(self.store.standings, None, [group])
        rows = [(one.membership, one.since, one.added_by) for one in standings]
        text = write_members(rows, iso)
        await self.send(text, "text/csv; charset=utf-8", file_name(group))

    async def _show_group(self, sent: Sent) -> None:
        name = self.group_of_path()
        search = self.get_query_argument("m", "")[:200]
        page = max(1, number(self.get_query_argument("page", "1")))
        shown = await self.ask(self._read, name, search, page)
        users = [member.user for member in shown["members"]]
        day = self.store.clock() + _LINK_DAYS * _DAY
        self.show(
            "members.html",
            group=name,
            above=[one for one in above(name) if self.access.sees(one)],
            manages=self.access.manages(name),
            ends=self.access.manages_above(name),
            sent=sent,
            search=search,
            not_logged_in=await people_desk.not_logged_in(self, users),
            only_in_hub=await people_desk.only_in_hub(self, name),
            by_people=BY_PEOPLE,
            last_day=last_day,
            default_end=last_day(day),
            spaced=spaced,
            address_of=lambda link: (
                f"{self.request.protocol}://{self.request.host}"
                f"{self.context.prefix}join/{link.code}"
            ),
            page_address=lambda number: url_concat(
                f"{self.context.prefix}groups/{quote(name)}", {"m": search, "page": str(number)}
            ),
            tell=tell,
            **shown,
        )

    def _read(self, name: str, search: str, page: int) -> dict[str, Any]:
        """What the store says of a group. Blocks."""
        store, manages = self.store, self.access.manages(name)
        members, count = store.members(name, search, (page - 1) * PAGE, PAGE)
        made = links.links_of(store, name) if manages else []
        over = people.archive_of(store).get(name)
        below = [one for one in store.groups() if one.startswith(f"{name}/")]
        return {
            "members": members,
            "count": count,
            "size": count if not search else store.sizes([name]).get(name, 0),
            "page": page,
            "pages": max(1, -(-count // PAGE)),
            "managers": store.managers([name]).get(name, ()),
            "archived": over,
            "below": below,
            "links": [(one, one.over(store.clock(), bool(over))) for one in made],
            "waits": links.waiting(store, lambda one: manages and one == name),
            "changes": events(store, [name], limit=_EVENTS),
        }


def number(text: str) -> int:
    """A number from a form or an address; -1 for what is none, which nothing has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def wanted_link(typed: Mapping[str, str], at: int) -> WantedLink:
    """A link as a form or a program asks for it.

    Args:
        typed: until, role, most, asks, member_until; as texts.
        at: the present, in seconds.

    Raises:
        PeopleError: for what can't be.
    """
    until = read_end(typed.get("until", ""), at)
    if until is None:
        raise PeopleError(_("Write until when the link is to work, as 2026-12-24."))
    most = typed.get("most", "").strip()
    return WantedLink(
        until,
        role_of(typed.get("role", MEMBER)),
        number(most) if most else None,
        bool(typed.get("asks")),
        read_end(typed.get("member_until", ""), at),
    )
