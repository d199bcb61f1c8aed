"""Make a link, and see what became of those that one has made."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import segno
from tornado import web

from hub_groups.words import _, ngettext

from .addresses import LaunchError
from .buttons import html_button, markdown_link, myst_button
from .desk import LaunchPage
from .forms import FORMS, write
from .hub_client import HubDown
from .hub_forms import SIGNED
from .launch import VIEWS
from .links import Link, shown_id
from .making import FIELDS, Made, read_form
from .repositories import problem_with
from .store import Stored

_USUAL_DAYS = 180

STAGES = ("clicked", "started", "pulled", "opened")
FAILURES = ("failed-build", "failed-start", "failed-pull", "failed-open")


class MakingPage(LaunchPage):
    """What the form needs: what the hub offers, and which groups the user has."""

    async def offers(self) -> tuple[dict[str, Mapping[str, str]], list[str], list[str]]:
        """Fields of the hub's form by choice; the groups that can be charged; those that the user
        manages, and so can let readers join."""
        state = await self.hub.state({}, self.user, choices=True)
        managed = await self.ask(self.shared.groups.managed_by, self.user)
        choices = {one.name: one.form for one in state.offered}
        return choices, sorted({*state.charges, *state.groups, *managed}), sorted(managed)

    async def warnings(self, made: Made) -> list[str]:
        """What will not work for readers, as far as can be seen now; the link can be made all the
        same, since a repository may come later and a quota is another's."""
        found = []
        if made.launch.content and (problem := await problem_with(made.launch.content)):
            found.append(problem)
        with suppress(*HubDown):
            found += (await self.problems_with(made.launch))[0]
        return found

    def typed(self) -> dict[str, str]:
        return {name: self.get_body_argument(name, "") for name in FIELDS}


class LinksPage(MakingPage):
    """The form, and what the user has made."""

    async def get(self) -> None:
        typed = {name: self.get_query_argument(name, "") for name in FIELDS}
        if not typed["until"]:
            end = datetime.now(timezone.utc) + timedelta(days=_USUAL_DAYS)
            typed["until"] = f"{end:%Y-%m-%d}"
        await self._show(typed)

    async def post(self) -> None:
        if self.get_body_argument("ask-again", ""):
            await self.ask(self.shared.store.forget_agreements, self.user)
            self.shared.answers.forget(self.user)
            self.done(_("You will be asked again before links are opened."))
            return
        typed = self.typed()
        choices, _groups, _managed = await self.offers()
        try:
            made = read_form(typed, choices, self.shared.store.clock())
            await self.check_joins(made.launch)
            store = self.shared.store
            link = await self.ask(store.make, made.launch, self.user, made.terms, made.label)
        except LaunchError as error:
            self.set_status(400)
            await self._show(typed, str(error))
            return
        self.done(_("The link is made."), f"{self.context.prefix}links/{link.id}")

    async def _show(self, typed: Mapping[str, str], problem: str = "") -> None:
        choices, groups, managed = await self.offers()
        made = await self.ask(self.shared.store.links_of, self.user)
        counts = await self.ask(self.shared.store.counts, [one.link.id for one in made])
        self.show(
            "links.html",
            typed=typed,
            problem=problem,
            choices=list(choices),
            views=VIEWS[:-1],
            groups=groups,
            builds=self.shared.builder is not None,
            managed=managed,
            links=made,
            counts=counts,
            title_of=title_of,
            say_clicks=say_clicks,
            say_for=say_for,
            say_end=self.say_end,
            trusts=await self.ask(self.shared.store.agrees_to_any, self.user),
        )

    def say_end(self, stored: Stored) -> str:
        """Until when a link works, or why it does not."""
        if stored.link.revoked:
            return _("taken back")
        until = stored.link.terms.until
        if until is None:
            return _("no end")
        day = f"{datetime.fromtimestamp(until - 1, timezone.utc):%Y-%m-%d}"
        if until <= self.shared.store.clock():
            return _("ended on {day}").format(day=day)
        return _("until {day}").format(day=day)


class LinkPage(MakingPage):
    """One link: to copy it, to see how it goes, to take it back."""

    async def get(self, id: str) -> None:
        link = await self._mine(id)
        await self.shared.counts.flush()
        counts = (await self.ask(self.shared.store.counts, [id])).get(id, {})
        url = f"{self.hub_address}services/launch/go/{shown_id(id)}"
        label = link.label or _("Open on our hub")
        found = Made(link.launch, link.terms, link.label)
        self.show(
            "one_link.html",
            link=link,
            url=url,
            title=title_of(link),
            says=say_for(link),
            snippets=_snippets(url, label),
            lti=f"{self.context.prefix}go/{shown_id(id)}",
            others=self._others(link),
            warnings=[] if link.revoked else await self.warnings(found),
            qr=qr_of(url),
            funnel=_funnel(counts),
        )

    async def post(self, id: str) -> None:
        await self._mine(id)
        await self.ask(self.shared.store.revoke, id, self.user, self.is_admin)
        self.shared.forget()
        self.done(_("The link is taken back: it works no more."))

    async def _mine(self, id: str) -> Link:
        link = await self.ask(self.shared.store.link, id)
        if link is None or not (link.by == self.user or self.is_admin):
            raise web.HTTPError(404, _("There is no such link here."))
        return link

    def _others(self, link: Link) -> list[tuple[str, str, str]]:
        """The same launch in other forms: name, address, and what that leaves out."""
        if link.source:  # no other form can carry the server or the copy
            return []
        found = []
        for form in FORMS:
            try:
                elsewhere = form in ("binder", "colab")
                written = write(form, link.launch, "" if elsewhere else self.hub_address)
            except LaunchError:
                continue
            found.append((form, written.url, ", ".join(written.lost)))
        return found


class KeysPage(LaunchPage):
    """Public keys of authors, whose books are built elsewhere."""

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        store = self.shared.store
        if gone := self.get_body_argument("remove", ""):
            if not await self.ask(store.remove_key, gone, self.user):
                raise web.HTTPError(404, _("You have no such key."))
            self.shared.forget()
            self.done(_("The key is removed: links that it has signed work no more."))
            return
        typed = {name: self.get_body_argument(name, "") for name in ("public", "label", "link")}
        try:
            if typed["link"]:
                await self._take_back(typed["link"])
                return
            await self.ask(store.add_key, typed["public"], self.user, typed["label"])
        except LaunchError as error:
            self.set_status(400)
            await self._show(str(error), typed)
            return
        self.done(_("The key is added: links that it signs are yours."))

    async def _show(self, problem: str = "", typed: Mapping[str, str] | None = None) -> None:
        keys = await self.ask(self.shared.store.keys_of, self.user)
        said = typed or {"public": "", "label": "", "link": ""}
        self.show("keys.html", keys=keys, problem=problem, typed=said, day=_day)

    async def _take_back(self, address: str) -> None:
        """Raises LaunchError: it is no link that a key of the user's has signed."""
        token = dict(parse_qsl(urlsplit(address.strip()).query)).get(SIGNED, "")
        link = (await self.ask(self.shared.clicks.signed, token)).link
        if link.by != self.user and not self.is_admin:
            raise LaunchError(_("No key of yours has signed this link."))
        await self.ask(self.shared.store.revoke_token, link.id, self.user)
        self.shared.forget()
        self.done(_("The link is taken back: it works no more."))


class CheckPage(MakingPage):
    """What the form's script asks while somebody types: whether it would work."""

    async def post(self) -> None:
        choices, _groups, _managed = await self.offers()
        try:
            made = read_form(self.typed(), choices, self.shared.store.clock())
            warnings = await self.warnings(made)
        except LaunchError as error:
            warnings = [str(error)]
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"warnings": warnings}))


def title_of(link: Link) -> str:
    """How a link is called in a list."""
    launch = link.launch
    content = launch.content.into if launch.content else ""
    return link.label or launch.target.file or content or _("A server")


def say_for(link: Link) -> str:
    """For whom a link is."""
    terms = link.terms
    parts = [", ".join(terms.users)] if terms.users else []
    if terms.group:
        parts.append(_("members of {group}").format(group=terms.group))
    return ", ".join(parts) or _("everybody on this hub")


def qr_of(url: str) -> str:
    """A picture of an address, for slides and posters, as SVG."""
    out = io.BytesIO()
    segno.make(url, error="m").save(
        out, kind="svg", xmldecl=False, svgns=True, scale=4, border=4, dark="#000", light="#fff"
    )
    return out.getvalue().decode()


def _snippets(url: str, label: str) -> list[tuple[str, str, str]]:
    """Name of the format, an id, and what to copy."""
    return [
        (_("Address"), "url", url),
        ("HTML", "html", html_button(url, label)),
        ("Markdown", "markdown", markdown_link(url, label)),
        ("MyST", "myst", myst_button(url, label)),
    ]


def _funnel(counts: Mapping[str, int]) -> Sequence[tuple[str, int, int]]:
    """How far readers got: text, count, and share of the clicks in percent."""
    if not counts:
        return []
    most = max(1, counts.get("clicked", 0))
    words = {
        "clicked": _("clicked"),
        "started": _("their server ran"),
        "pulled": _("the content was there"),
        "opened": _("the file was opened"),
        "failed-build": _("failed when the environment was made"),
        "failed-start": _("failed at the start of the server"),
        "failed-pull": _("failed when the content was fetched"),
        "failed-open": _("the file was not there"),
    }
    shown = [*STAGES, *(name for name in FAILURES if counts.get(name))]
    return [
        (words[name], counts.get(name, 0), min(100, 100 * counts.get(name, 0) // most))
        for name in shown
    ]


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d}"


def say_clicks(counts: Mapping[str, int]) -> str:
    """`12 clicks, 10 opened`."""
    clicks = counts.get("clicked", 0)
    said = ngettext("{n} click", "{n} clicks", clicks).format(n=clicks)
    return _("{clicks}, {opened} opened").format(clicks=said, opened=counts.get("opened", 0))
