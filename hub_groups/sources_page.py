"""The page of the sources: how each is doing, what waits for an admin, and the tokens of SCIM."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from tornado import web

from .access import Who
from .desk import Desk, GroupsPage
from .memberships import SCIM, UPLOAD, Membership
from .record import Run, note
from .scim_tokens import ScimTokens, Token
from .source_desk import (
    APPLY,
    LOOK,
    READ,
    TAKE_OUT,
    NotNow,
    SourceView,
    Work,
    may_take_out,
    settle,
    sources_seen,
    works_of,
)
from .store import GroupStore
from .web import Context, Routes
from .words import _, ngettext

MOST_SHOWN = 100
"""Of who comes and who goes, on the page."""

_PATIENCE = 2
"""Seconds for which a form waits; what takes longer tells its progress on the page."""


async def known(desk: Desk, name: str) -> SourceView | None:
    """A source that there is."""
    found = await desk.ask(sources_seen, desk.store, desk.context.settings)
    return next((view for view in found if view.name == name), None)


class SourcesPage(GroupsPage):
    """All sources."""

    who = Who.READS
    who_changes = Who.ADMIN

    async def get(self) -> None:
        await self.show_sources()

    async def post(self) -> None:
        name, action = self.get_body_argument("source", ""), self.get_body_argument("action", "")
        view = await known(self, name)
        if view is None:
            raise web.HTTPError(404, _("There is no such source."))
        works = works_of(self.store)
        if action == "close":
            works.forget(view.name)
            self.redirect(self.request.path, status=303)
            return
        if action not in (LOOK, READ, APPLY, TAKE_OUT):
            raise web.HTTPError(400, _("That is nothing that can be done with a source."))
        seen = self.get_body_argument("seen", "")
        number = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0
        try:
            work = await works.start(view, self.context.settings, action, self.user, number)
        except NotNow as error:
            self.set_status(409)
            await self.show_sources(wrong=str(error))
            return
        if not await settle(work, _PATIENCE):
            self.done(_("This takes a while; the page tells how it goes."))
        elif action == LOOK or work.problem:
            self.redirect(f"{self.request.path}#{anchor(view.name)}", status=303)
        else:
            works.forget(view.name)
            self.done(say_done(work))

    async def show_sources(self, wrong: str = "", token: str = "") -> None:
        """Args:
        token: a new one, which is shown this once.
        """
        views = await self.ask(sources_seen, self.store, self.context.settings)
        works = works_of(self.store)
        settings = self.context.settings
        self.show(
            "sources.html",
            sources=[(view, works.of(view.name), may_take_out(view)) for view in views],
            anchor=anchor,
            say_kind=say_kind,
            say_run=say_run,
            say_held=say_held,
            say_took=say_took,
            say_next=lambda view: say_next(view, settings["ldap_every"]),
            few=few,
            say_one=say_one,
            scim_count=sum(view.count for view in views if view.kind == SCIM),
            wrong=wrong,
            token=token,
            tokens=await self.ask(tokens_seen, self.store),
            now=self.store.clock(),
            scim=settings["scim"],
            scim_address=scim_address(self.context, self.request.protocol, self.request.host),
        )


class TokensPage(SourcesPage):
    """Tokens with which directories send by SCIM."""

    who = Who.ADMIN
    who_changes = Who.ADMIN

    async def get(self) -> None:
        self.redirect(f"{self.context.prefix}sources#scim", status=302)

    async def post(self) -> None:
        action = self.get_body_argument("action", "")
        back = f"{self.context.prefix}sources"
        if action == "revoke":
            # Not `token`: a field of that name is how somebody says who they are.
            name = await self.ask(revoke_token, self, self.get_body_argument("id", ""))
            if name is None:
                raise web.HTTPError(404, _("There is no such token."))
            self.done(_("Revoked: {name} opens nothing any more.").format(name=name), back)
            return
        if action != "make":
            raise web.HTTPError(400, _("That is nothing that can be done with a token."))
        try:
            until = end_of(self.get_body_argument("until", ""))
            name = self.get_body_argument("name", "")
            token = await self.ask(make_token, self, name, until)
        except ValueError as error:
            self.set_status(400)
            await self.show_sources(wrong=str(error))
        else:
            await self.show_sources(token=token)


# -- tokens ---------------------------------------------------------------------------------------


def tokens_seen(store: GroupStore) -> list[Token]:
    """Also those that have ended. Blocks."""
    return ScimTokens(store.engine).all()


def make_token(desk: Desk, name: str, until: int | None) -> str:
    """A new token, which is written down in the audit log. Blocks.

    Args:
        until: seconds since 1970.

    Raises:
        ValueError: in words.
    """
    at = desk.store.clock() * 10**6
    token = ScimTokens(desk.store.engine).create(name, at, None if until is None else until * 10**6)
    by = desk.by()
    note(desk.store, by.who, by.via, "token-made", name=name.strip())
    return token


def revoke_token(desk: Desk, id: str) -> str | None:
    """Make a token useless; its name, or None where there is none. Blocks."""
    tokens = ScimTokens(desk.store.engine)
    name = next((token.name for token in tokens.all() if token.id == id), None)
    if name is None or not tokens.revoke(id):
        return None
    by = desk.by()
    note(desk.store, by.who, by.via, "token-revoked", name=name)
    return name


def end_of(day: str) -> int | None:
    """The end of a day, UTC, in seconds since 1970; None for no day. Raises ValueError."""
    if not day.strip():
        return None
    try:
        found = date.fromisoformat(day.strip()) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError(_("The end of a token is a day, such as 2027-03-31.")) from None
    return int(datetime(found.year, found.month, found.day, tzinfo=timezone.utc).timestamp())


def scim_address(context: Context, protocol: str, host: str) -> str:
    """What a directory is to be given, as whoever asks sees this hub."""
    return f"{protocol}://{host}{context.prefix}scim/v2"


# -- words ----------------------------------------------------------------------------------------


def anchor(source: str) -> str:
    """The id of a source on the page."""
    return "source-" + "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}" for c in source)


def say_kind(view: SourceView) -> str:
    """What a source is, in words."""
    if view.name == UPLOAD:
        return _("Rosters that people have uploaded, each on the page of its group")
    return {
        "roster": _("A file on the hub's disk, read when it changes"),
        "ldap": _("A directory, read by LDAP again and again"),
        "scim": _("A directory, which sends what changes by SCIM"),
        "login": _("What logins say, each of one user"),
        "people": _("What people set on the pages, or in the hub itself"),
    }.get(view.kind, _("A source that this version does not know"))


def say_run(run: Run) -> str:
    """What the last reading found."""
    parts = [
        ngettext("{n} new", "{n} new", run.added).format(n=f"{run.added:,}") if run.added else "",
        ngettext("{n} gone", "{n} gone", run.removed).format(n=f"{run.removed:,}")
        if run.removed
        else "",
        ngettext("{n} with another role", "{n} with another role", run.changed).format(
            n=f"{run.changed:,}"
        )
        if run.changed
        else "",
    ]
    return ", ".join(part for part in parts if part) or _("nothing new")


def say_took(run: Run) -> str:
    """`0.4 s`."""
    return _("{n} s").format(n=f"{run.took_ms / 1000:.1f}")


def say_next(view: SourceView, ldap_every: int) -> str:
    """What to do, or what happens next by itself."""
    run = view.run
    if view.gone:
        return _(
            "It is no longer configured, and its memberships still hold. Put it back into the "
            "configuration, or take them out."
        )
    if run is None:
        return _("It has not been read yet: that happens within a minute of the start of the hub.")
    again = (
        _("It is read again as soon as the file changes.")
        if view.kind == "roster"
        else _("It is read again every {n} seconds.").format(n=ldap_every)
    )
    if run.problem:
        return _("Its memberships stay as they were. Put that right. {again}").format(again=again)
    if run.held:
        return _(
            "Nothing has been changed. If that is right, look at the difference and apply it; if "
            "not, put the source right. {again}"
        ).format(again=again)
    return again


def say_held(run: Run) -> str:
    """Why a difference waits."""
    had = run.size
    text = _("{n} of {had} memberships would be removed at once")
    return text.format(n=f"{run.removed:,}", had=f"{had:,}")


def say_done(work: Work) -> str:
    """What came of it."""
    if work.what == TAKE_OUT:
        return _("Its memberships are taken out.")
    run = work.run
    if run is None or run.problem:
        return _("It could not be read: see below.")
    if run.held and work.what == APPLY:
        return _("It takes out others by now than you have seen. Look at the difference again.")
    if run.held:
        return _("It was read, and waits for you: it would take out too much at once.")
    return _("Read and written: {what}.").format(what=say_run(run))


def few(found: tuple[Membership, ...]) -> list[Membership]:
    """The first of many."""
    return list(found[:MOST_SHOWN])


def say_one(one: Membership) -> str:
    return _("{user} in {group}").format(user=one.user, group=one.group)


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [
        (f"{context.prefix}sources", SourcesPage, shared),
        (f"{context.prefix}sources/tokens", TokensPage, shared),
    ]
