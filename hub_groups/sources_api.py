"""Sources and the tokens of SCIM, for programs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .access import Who
from .desk import GroupsRest, iso
from .memberships import Membership
from .record import Run
from .rest import Model, Nothing, Operation, Page, Refusal, paged
from .scim_tokens import Token
from .source_desk import (
    APPLY,
    LOOK,
    READ,
    TAKE_OUT,
    NotNow,
    SourceView,
    Work,
    settle,
    sources_seen,
    works_of,
)
from .sources_page import end_of, known, make_token, revoke_token, tokens_seen
from .words import _

_PATIENCE = 25
"""Seconds for which an answer is waited for; proxies give up after some 60."""


class RunItem(Model):
    """How the last reading of a source went."""

    at: str
    good_at: str | None = Field(description="When one went well last")
    took_ms: int
    problem: str = Field(description="Why nothing could be read; empty where it could")
    held: str = Field(description="Why the difference waits for an admin; empty where it does not")
    added: int
    removed: int
    changed: int
    size: int = Field(description="Memberships that the source has in all")


class SourceItem(Model):
    """Where memberships come from."""

    source: str
    kind: str = Field(description="roster, ldap, login, scim, people or other")
    state: str = Field(description="good, failed, held, gone, new; empty for what is not read")
    memberships: int
    configured: bool = Field(description="Whether it is read again and again")
    run: RunItem | None


class SourceList(Model):
    """All sources."""

    sources: list[SourceItem]


class Change(Model):
    """A membership that comes, goes or changes."""

    user: str
    group: str
    role: str


class LookItem(Model):
    """What is going on with a source, or the difference that was looked at last."""

    number: int = Field(description="To say which difference is meant")
    what: str = Field(description="look, read, apply or take-out")
    state: str = Field(description="running, done or failed")
    problem: str
    added: int
    removed: int
    changed: int


class LookPage(LookItem):
    """The same, with some of the memberships."""

    memberships: list[Change]
    next_offset: int | None


class LookQuery(Page):
    """Of which kind, and which part of them."""

    kind: Literal["added", "removed", "changed"] = "removed"


class Reading(Model):
    """Whether, however much it takes out, a difference is to be written."""

    look: int = Field(
        0, ge=0, le=10**9, description="The number of the difference that is to be applied; 0: none"
    )


class TokenItem(Model):
    """A token for SCIM, without what it says."""

    id: str
    name: str
    created: str
    used: str | None
    expires: str | None


class TokenList(Model):
    """All tokens, also those that have ended."""

    tokens: list[TokenItem]


class NewToken(Model):
    """What a token is for, and its last day."""

    name: str = Field(min_length=1, max_length=100)
    until: str = Field("", max_length=10, description="2027-03-31, or empty for no end")


class MadeToken(Model):
    """A token that was made."""

    token: str = Field(description="Shown only here")


# -- sources --------------------------------------------------------------------------------------


async def _sources(desk: GroupsRest, _query: Nothing, _body: None) -> SourceList:
    found = await desk.ask(sources_seen, desk.store, desk.context.settings)
    return SourceList(sources=[_source(view) for view in found])


def _source(view: SourceView) -> SourceItem:
    return SourceItem(
        source=view.name,
        kind=view.kind,
        state=view.state,
        memberships=view.count,
        configured=view.configured,
        run=_run(view.run) if view.run else None,
    )


def _run(run: Run) -> RunItem:
    return RunItem(
        at=iso(run.at),
        good_at=None if run.good_at is None else iso(run.good_at),
        took_ms=run.took_ms,
        problem=run.problem,
        held=run.held,
        added=run.added,
        removed=run.removed,
        changed=run.changed,
        size=run.size,
    )


async def _known(desk: GroupsRest) -> SourceView:
    view = await known(desk, desk.part["source"])
    if view is None:
        raise Refusal(404, _("There is no such source."))
    return view


async def _begin(desk: GroupsRest, what: str, seen: int = 0) -> Work:
    view = await _known(desk)
    settings = desk.context.settings
    if what == APPLY and not view.configured:
        what = TAKE_OUT
    try:
        work = await works_of(desk.store).start(view, settings, what, desk.user, seen)
    except NotNow as error:
        raise Refusal(409, str(error)) from None
    await settle(work, _PATIENCE)
    return work


def _look_item(work: Work) -> LookItem:
    return LookItem(**_look(work))


def _look(work: Work) -> dict[str, Any]:
    found, run = work.found, work.run
    added, removed, changed = (
        (len(found.added), len(found.removed), len(found.changed))
        if found
        else (run.added, run.removed, run.changed)
        if run
        else (0, 0, 0)
    )
    problem = work.problem or (run.problem or run.held if run else "")
    state = "running" if work.running else "failed" if problem else "done"
    return {
        **{"number": work.number, "what": work.what, "state": state, "problem": problem},
        **{"added": added, "removed": removed, "changed": changed},
    }


async def _start_look(desk: GroupsRest, _query: Nothing, _body: None) -> LookItem:
    return _look_item(await _begin(desk, LOOK))


async def _see_look(desk: GroupsRest, query: LookQuery, _body: None) -> LookPage:
    view = await _known(desk)
    work = works_of(desk.store).of(view.name)
    if work is None:
        raise Refusal(404, _("Nobody has looked at the difference of this source lately."))
    found: tuple[Membership, ...] = getattr(work.found, query.kind) if work.found else ()
    some, following = paged(found, query.offset, query.limit)
    listed = [Change(user=one.user, group=one.group, role=one.role) for one in some]
    return LookPage(**_look(work), memberships=listed, next_offset=following)


async def _read(desk: GroupsRest, _query: Nothing, body: Reading) -> LookItem:
    return _look_item(await _begin(desk, APPLY if body.look else READ, body.look))


# -- tokens ---------------------------------------------------------------------------------------


async def _tokens(desk: GroupsRest, _query: Nothing, _body: None) -> TokenList:
    found = await desk.ask(tokens_seen, desk.store)
    return TokenList(tokens=[_token(token) for token in found])


def _token(token: Token) -> TokenItem:
    def at(instant: int | None) -> str | None:
        return None if instant is None else iso(instant // 10**6)

    return TokenItem(
        id=token.id,
        name=token.name,
        created=iso(token.created // 10**6),
        used=at(token.used),
        expires=at(token.expires),
    )


async def _make_token(desk: GroupsRest, _query: Nothing, body: NewToken) -> MadeToken:
    try:
        return MadeToken(token=await desk.ask(make_token, desk, body.name, end_of(body.until)))
    except ValueError as error:
        raise Refusal(400, str(error)) from None


async def _revoke_token(desk: GroupsRest, _query: Nothing, _body: None) -> None:
    if await desk.ask(revoke_token, desk, desk.part["token"]) is None:
        raise Refusal(404, _("There is no such token."))


_SOURCE = {"source": "Its name, such as `ldap` or `roster:geo.csv`"}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/sources", Who.READS, "All sources", _sources, SourceList, tag="sources"),
    Operation(
        *("POST", "/sources/{source}/look", Who.ADMIN, "Look at its difference", _start_look),
        answer=LookItem,
        problems=(404, 409),
        tag="sources",
        about="Answers when it is done, or after half a minute while it goes on.",
        parts=_SOURCE,
    ),
    Operation(
        *("GET", "/sources/{source}/look", Who.READS, "The difference", _see_look, LookPage),
        query=LookQuery,
        problems=(404,),
        tag="sources",
        parts=_SOURCE,
    ),
    Operation(
        *("POST", "/sources/{source}/read", Who.ADMIN, "Read it now", _read, LookItem),
        body=Reading,
        problems=(404, 409),
        tag="sources",
        about="With the number of a look: write that difference, however much it takes out. Of a "
        "source that is no longer configured, that takes out all of its memberships.",
        parts=_SOURCE,
    ),
    Operation("GET", "/scim-tokens", Who.READS, "All tokens", _tokens, TokenList, tag="scim"),
    Operation(
        *("POST", "/scim-tokens", Who.ADMIN, "Make a token", _make_token, MadeToken),
        body=NewToken,
        status=201,
        tag="scim",
    ),
    Operation(
        *("DELETE", "/scim-tokens/{token}", Who.ADMIN, "Revoke a token", _revoke_token),
        problems=(404,),
        tag="scim",
        parts={"token": "The id of a token"},
    ),
)
