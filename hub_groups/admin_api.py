"""Sources, rules, tokens and the audit log, for programs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from . import sources_api
from .access import Who
from .audit_page import LAST, events_seen_by
from .desk import GroupsRest, iso
from .documents import FileError
from .event_words import tell
from .record import Conflict, rules_text
from .rest import Model, Nothing, Operation, Refusal
from .rules_page import (
    LARGEST,
    NotHere,
    configured_rules,
    rules_now,
    say_conflict,
    trial,
    write_rules,
)
from .trial_process import TrialError
from .words import _


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
    now, _configured = await desk.ask(rules_now, desk.store, desk.context.settings)
    rules = now if body.rules is None else body.rules
    try:
        tried = await trial(desk, rules if rules.strip() else [], body.claims, body.user)
    except TrialError as error:
        raise Refusal(400, str(error)) from None
    answer = {"change": None, **tried.answer, "compared_with": tried.source}
    return TrialAnswer.model_validate(answer)


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


OPERATIONS: tuple[Operation, ...] = (
    *sources_api.OPERATIONS,
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
    Operation(
        *("GET", "/changes", Who.MANAGES_ANY, "The audit log", _events, EventList),
        query=EventQuery,
        problems=(404,),
        tag="audit",
    ),
)
