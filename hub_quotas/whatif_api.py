"""What other limits would have refused, for programs: asked before they are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.words import _

from .access import Who
from .changes import GROUP_ENTRY, PLAN, Entry, documents, put
from .desk import QuotaRest, iso
from .groups_api import GROUP_PART, HeldLimit, LimitText
from .history import what_if
from .limits import SERVER, Limit
from .policy import Policy
from .replay import Refused
from .whatif import WhatIf

SHOWN = 100
"""Starts that are named, of those that would have been refused."""


class PlanIdea(Model):
    """Other limits of a plan."""

    limits: dict[str, LimitText | None] = Field(
        {}, description="By key, as in a policy; null removes one. Others stay"
    )


class GroupIdea(PlanIdea):
    """Other limits of a group."""

    plan: str | None = Field(
        None, max_length=200, description="Its plan; empty for none, null to leave it as it is"
    )


class RefusedStart(Model):
    """A start that would have been refused."""

    user: str
    group: str = Field(description="To which it was charged")
    server: str = Field(description="Its name; empty for the user's default server")
    at: str = Field(description="UTC")
    by: HeldLimit = Field(description="The nearest limit that refuses it")


class Consequences(Model):
    """What limits would have refused in the last 30 days."""

    text: str = Field(description="All of it, for people")
    limits: list[HeldLimit] = Field(description="Those that are new or changed")
    since: str = Field(description="The begin of what was looked at; UTC")
    whole: bool = Field(description="Whether that is all starts of the 30 days")
    used_since: str | None = Field(
        description="Servers that ended before this do not count; null where all do"
    )
    starts: int = Field(description="How many were looked at")
    refused: int = Field(description="How many of them would have been refused")
    members: int = Field(description="Of how many members")
    needs: list[str] = Field(
        description="Limits of each server without which none would start: server.cpu, for one"
    )
    stops: int = Field(description="How many servers that run now would be stopped")
    first: list[RefusedStart] = Field(description=f"The first {SHOWN} that would be refused")


def _held_limit(limit: Limit) -> HeldLimit:
    return HeldLimit(limit=limit.key, amount=limit.text, group=limit.group, plan=limit.plan)


def _refused_start(one: Refused) -> RefusedStart:
    return RefusedStart(
        user=one.user,
        group=one.group,
        server=one.start.server,
        at=iso(one.at),
        by=_held_limit(one.limit),
    )


def consequences(found: WhatIf) -> Consequences:
    return Consequences(
        text=found.text,
        limits=[_held_limit(limit) for limit in found.limits],
        since=iso(found.since),
        whole=found.whole,
        used_since=None if found.used_since is None else iso(found.used_since),
        starts=found.starts,
        refused=len(found.refused),
        members=len(found.members),
        needs=[f"{SERVER}.{name}" for name in found.sizes],
        stops=found.stops,
        first=[_refused_start(one) for one in found.refused[:SHOWN]],
    )


async def _of_group(desk: QuotaRest, _query: Nothing, body: GroupIdea) -> Consequences:
    policy, entry = await desk.policy(), (GROUP_ENTRY, desk.part["group"])
    document = dict(documents(policy).get(entry, {}))
    if body.plan is not None:
        document["plan"] = body.plan
    return await _answer(desk, policy, entry, document, body)


async def _of_plan(desk: QuotaRest, _query: Nothing, body: PlanIdea) -> Consequences:
    policy, entry = await desk.policy(), (PLAN, desk.part["plan"])
    document = documents(policy).get(entry)
    if document is None:
        raise Refusal(404, _("There is no such plan."))
    return await _answer(desk, policy, entry, document, body)


async def _answer(
    desk: QuotaRest, before: Policy, entry: Entry, document: Mapping[str, Any], idea: PlanIdea
) -> Consequences:
    limits = {**document.get("limits", {}), **idea.limits}
    held = {key: value for key, value in limits.items() if value is not None}
    after = put(before, {entry: {**document, "limits": held}})
    desk.may_become(before, after)
    return consequences(await desk.ledger(what_if, desk.store, before, after))


_ABOUT = (
    "Nothing is changed. The starts of the last 30 days are decided again, as if the limits that "
    "are new or changed had held, and no others. Those that are refused are taken out, all others "
    "go on as they did. A server is taken to ask for what it was granted."
)

OPERATIONS = (
    Operation(
        "POST",
        "/groups/{group}/what-if",
        Who.MANAGES,
        "What other limits of a group would have refused",
        _of_group,
        Consequences,
        body=GroupIdea,
        problems=(404,),
        tag="what-if",
        about=_ABOUT,
        parts=GROUP_PART,
    ),
    Operation(
        "POST",
        "/plans/{plan}/what-if",
        Who.ADMIN,
        "What other limits of a plan would have refused",
        _of_plan,
        Consequences,
        body=PlanIdea,
        problems=(404,),
        tag="what-if",
        about=_ABOUT,
        parts={"plan": "The name of a plan"},
    ),
)
