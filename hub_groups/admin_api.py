"""Sources, rules, tokens and the audit log, for programs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .access import Who
from .audit_page import LAST, events_seen_by
from .desk import GroupsRest, iso
from .documents import FileError
from .event_words import tell
from .memberships import Membership
from .record import Conflict, Run, rules_text
from .rest import Model, Nothing, Operation, Page, Refusal, paged
from .rules_page import (
    LARGEST,
    NotHere,
    configured_rules,
    rules_now,
    say_conflict,
    trial,
    write_rules,
)
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
from .trial_process import TrialError
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


class RulesItem(Model):
    """The rules that hold."""

    version: int = Field(description="Of those that admins wrote; 0 where there are none")
    text: str = Field(description="YAML")
    at: str | None
    by: str
    configured: str = Field(description="Where the configuration has them, which wins; or empty")


class RulesChange(Model):
    """All rules, once more."""

    text: str = Field(max_length=LARGEST, description="YAML; empty for none")
    version: int = Field(ge=0, le=10**9, description="That of the rules which these are made from")


class Trial(Model):
    """Claims, which are neither kept nor logged."""

    claims: dict[str, Any] = Field(description="The model of a login, an auth_state or a userinfo")
    rules: str | None = Field(None, max_length=LARGEST, description="YAML; those that hold if null")
    user: str = Field("", max_length=255, description="Whom to compare with; that of the claims")


class ValueItem(Model):
    """What one string of a claim became."""

    value: str
    group: str = Field(description="Empty where it became none")
    why: str = Field(description="Why it became none")


class StepItem(Model):
    """What one rule came to."""

    rule: int = Field(description="Which one, from 1; those of presets count one by one")
    claim: str
    role: str
    unsaid: str = Field(description="Why the claim says nothing; empty where it does")
    skipped: str = Field(description="Why the rule does not hold for this login")
    values: list[ValueItem]


class TrialChange(Model):
    """What that would change, by group the role."""

    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, str]
    same: int


class TrialAnswer(Model):
    """What the rules make of the claims."""

    user: str
    assumed: str = Field(description="What the claims were taken for")
    groups: dict[str, str] = Field(description="By group the role")
    managers: list[str]
    unsaid: list[str] = Field(description="A sentence for each claim that is missing")
    keeps: bool = Field(description="Whether what earlier logins said stays beside that")
    rules: list[StepItem]
    compared_with: str = Field(description="The login of the user; empty where none is known")
    change: TrialChange | None


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


class EventItem(Model):
    """One entry of the audit log."""

    id: int
    at: str
    who: str
    via: str
    what: str
    group: str
    user: str
    text: str = Field(description="The same in words")
    detail: dict[str, Any]


class EventList(Model):
    """Entries, the newest first."""

    events: list[EventItem]
    next_before: int | None = Field(description="For the next page")


class EventQuery(Model):
    """Which entries."""

    group: str = Field("", max_length=255, description="Only of this group and those below it")
    user: str = Field("", max_length=255, description="Only of this user")
    source: str = Field("", max_length=255, description="Only of this source")
    before: int = Field(LAST, ge=1, le=LAST, description="Only with a lower id")
    limit: int = Field(50, ge=1, le=200)


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


# -- rules ----------------------------------------------------------------------------------------


async def _rules(desk: GroupsRest, _query: Nothing, _body: None) -> RulesItem:
    held = await desk.ask(rules_text, desk.store)
    configured = await desk.ask(configured_rules, desk.context.settings)
    return RulesItem(
        version=held.version,
        text=configured.text if configured else held.text,
        at=iso(held.at) if held.version else None,
        by=held.by,
        configured=configured.place if configured else "",
    )


async def _put_rules(desk: GroupsRest, query: Nothing, body: RulesChange) -> RulesItem:
    try:
        await desk.ask(write_rules, desk, body.text, body.version)
    except FileError as error:
        raise Refusal(400, str(error)) from None
    except NotHere as error:
        raise Refusal(409, str(error)) from None
    except Conflict:
        raise Refusal(412, say_conflict(), "changed-since") from None
    return await _rules(desk, query, None)


async def _try_rules(desk: GroupsRest, _query: Nothing, body: Trial) -> TrialAnswer:
    rules = body.rules
    if rules is None:
        rules, _configured = await desk.ask(rules_now, desk.store, desk.context.settings)
    try:
        tried = await trial(desk, rules if rules.strip() else [], body.claims, body.user)
    except TrialError as error:
        raise Refusal(400, str(error)) from None
    answer = {"change": None, **tried.answer, "compared_with": tried.source}
    return TrialAnswer.model_validate(answer)


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


# -- the audit log --------------------------------------------------------------------------------


async def _events(desk: GroupsRest, query: EventQuery, _body: None) -> EventList:
    group = query.group.strip("/")
    if group and not desk.access.sees(group):
        raise Refusal(404, _("There is no such group here."))
    found = await desk.ask(
        events_seen_by,
        *(desk.store, desk.access, group, query.user, query.source, query.before, query.limit + 1),
    )
    shown = found[: query.limit]
    items = [
        EventItem(
            id=event.id,
            at=iso(event.at),
            who=event.who,
            via=event.via,
            what=event.what,
            group=event.group,
            user=event.user,
            text=tell(event).text,
            detail=dict(event.detail),
        )
        for event in shown
    ]
    more = len(found) > query.limit
    return EventList(events=items, next_before=shown[-1].id if more else None)


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
    Operation("GET", "/rules", Who.READS, "The rules for logins", _rules, RulesItem, tag="sources"),
    Operation(
        *("PUT", "/rules", Who.ADMIN, "Write the rules", _put_rules, RulesItem),
        body=RulesChange,
        problems=(409, 412),
        tag="sources",
    ),
    Operation(
        *("POST", "/rules/test", Who.READS, "Try rules on claims", _try_rules, TrialAnswer),
        body=Trial,
        tag="sources",
        about="Changes nothing; the claims are neither kept nor logged.",
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
    Operation(
        *("GET", "/changes", Who.MANAGES_ANY, "The audit log", _events, EventList),
        query=EventQuery,
        problems=(404,),
        tag="audit",
    ),
)
