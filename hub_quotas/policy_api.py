"""Plans, prices, the whole policy and its changes, for programs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.words import _

from .access import Who
from .audit_page import changes_seen_by, undo
from .changes import (
    PLAN,
    PRICES,
    differences,
    document_differences,
    documents,
    put,
    with_plan,
)
from .desk import QuotaRest, iso, no_such_group
from .groups_api import Change, LimitText, VersionQuery, expected
from .policies import Change as Changed
from .policies import Conflict, Held
from .policy import parse_policy, print_policy
from .policy_pages import read_table
from .quantities import whole


class PlanItem(Model):
    """A plan."""

    plan: str
    version: int
    managed_by: str = Field(description="The file that manages it, or empty")
    limits: dict[str, str | list[str]]
    groups: int = Field(description="How many groups have it")


class PlanList(Model):
    """All plans."""

    plans: list[PlanItem]


class PlanChange(Change):
    """All limits of a plan."""

    limits: dict[str, LimitText] = Field(description="By key, as in a policy")


class PlanGroups(Model):
    """Groups that are to have a plan."""

    groups: list[str] = Field(min_length=1, max_length=5000)
    why: str = Field("", max_length=500, description="For the audit log")


class Count(Model):
    """How many were changed."""

    count: int


class PriceBook(Model):
    """What an hour of each costs, from which day on."""

    version: int
    managed_by: str
    prices: list[dict[str, str]] = Field(description="As in a policy: since, cpu, memory, ...")


class PriceChange(Change):
    """The whole price book."""

    prices: list[dict[str, str | int | float]] = Field(max_length=1000)


class WholePolicy(Model):
    """Everything that limits anything."""

    version: int
    policy: dict[str, Any] = Field(description="As in a policy file")


class PolicyChange(Change):
    """A policy that becomes all that holds."""

    policy: dict[str, Any] = Field(description="As in a policy file")
    dry_run: bool = Field(False, description="Only tell what would change")


class TableChange(Change):
    """Groups as a table."""

    table: str = Field(max_length=900_000, description="CSV; the first line names the columns")
    dry_run: bool = Field(False, description="Only tell what would change")


class Difference(Model):
    """One thing that changes."""

    place: str
    before: str | None
    after: str | None


class Differences(Model):
    """What changes, or would."""

    changes: list[Difference]
    written: bool


class ChangeItem(Model):
    """One entry of the audit log."""

    version: int
    kind: str
    name: str
    at: str
    who: str
    via: str
    why: str
    address: str = Field(description="From where; empty for who is no admin")
    managed_by: str
    changes: list[Difference]


class ChangeList(Model):
    """Changes, newest first."""

    changes: list[ChangeItem]
    next_before: int | None = Field(description="For the next page")


class ChangeQuery(Model):
    group: str = Field("", max_length=500, description="Only of this group")
    before: int = Field(2**62, ge=1, le=2**62, description="Only with a lower version")
    limit: int = Field(50, ge=1, le=200)


# -- plans and prices ---------------------------------------------------------------------------


def _plan(held: Held, name: str) -> PlanItem:
    document = documents(held.policy).get((PLAN, name))
    if document is None:
        raise Refusal(404, _("There is no such plan."))
    entry = (PLAN, name)
    return PlanItem(
        plan=name,
        version=held.versions.get(entry, 0),
        managed_by=held.sources.get(entry, ""),
        limits=document.get("limits", {}),
        groups=sum(group.plan == name for group in held.policy.groups.values()),
    )


async def _plans(desk: QuotaRest, _query: Nothing, _body: None) -> PlanList:
    held = await desk.ledger(desk.store.held)
    return PlanList(plans=[_plan(held, name) for name in sorted(held.policy.plans)])


async def _one_plan(desk: QuotaRest, _query: Nothing, _body: None) -> PlanItem:
    return _plan(await desk.ledger(desk.store.held), desk.part["plan"])


async def _put_plan(desk: QuotaRest, _query: Nothing, body: PlanChange) -> PlanItem:
    name = desk.part["plan"]
    entry = (PLAN, name)
    held = await desk.edit(
        lambda policy: put(policy, {entry: {"limits": body.limits}}),
        body.why,
        expected(entry, body.version),
    )
    return _plan(held, name)


async def _delete_plan(desk: QuotaRest, query: VersionQuery, _body: None) -> None:
    entry = (PLAN, desk.part["plan"])
    if entry not in documents(await desk.policy()):
        raise Refusal(404, _("There is no such plan."))
    await desk.edit(
        lambda policy: put(policy, {entry: None}), query.why, expected(entry, query.version)
    )


async def _give_plan(desk: QuotaRest, _query: Nothing, body: PlanGroups) -> Count:
    plan = desk.part["plan"]

    await desk.edit(lambda policy: with_plan(policy, body.groups, plan), body.why)
    return Count(count=len(set(body.groups)))


def _book(held: Held) -> PriceBook:
    entry = (PRICES, "")
    return PriceBook(
        version=held.versions.get(entry, 0),
        managed_by=held.sources.get(entry, ""),
        prices=documents(held.policy).get(entry, []),
    )


async def _prices(desk: QuotaRest, _query: Nothing, _body: None) -> PriceBook:
    return _book(await desk.ledger(desk.store.held))


async def _put_prices(desk: QuotaRest, _query: Nothing, body: PriceChange) -> PriceBook:
    entry = (PRICES, "")
    held = await desk.edit(
        lambda policy: put(policy, {entry: body.prices}), body.why, expected(entry, body.version)
    )
    return _book(held)


# -- the whole policy ---------------------------------------------------------------------------


async def _policy(desk: QuotaRest, _query: Nothing, _body: None) -> WholePolicy:
    held = await desk.ledger(desk.store.held)
    return WholePolicy(version=held.version, policy=print_policy(held.policy))


async def _put_policy(desk: QuotaRest, _query: Nothing, body: PolicyChange) -> Differences:
    return await _change_all(desk, body, lambda _before: parse_policy(body.policy))


async def _put_table(desk: QuotaRest, _query: Nothing, body: TableChange) -> Differences:
    return await _change_all(desk, body, lambda before: read_table(body.table, before))


async def _change_all(desk: QuotaRest, body: Any, change: Any) -> Differences:
    held = await desk.ledger(desk.store.held)
    if body.version is not None and body.version != held.version:
        raise Refusal(412, _("The policy has been changed since."), "changed-since")
    after = change(held.policy)
    desk.may_become(held.policy, after)
    todo = differences(held.policy, after)
    if todo and not body.dry_run:
        await desk.edit(change, body.why)
    return Differences(changes=_differences(todo), written=bool(todo and not body.dry_run))


def _differences(found: list[tuple[str, str | None, str | None]]) -> list[Difference]:
    return [Difference(place=p, before=before, after=after) for p, before, after in found]


# -- the audit log --------------------------------------------------------------------------------


async def _changes(desk: QuotaRest, query: ChangeQuery, _body: None) -> ChangeList:
    policy = await desk.policy()
    if query.group and not desk.access.sees(policy, query.group):
        raise Refusal(404, no_such_group())
    found = await desk.ledger(
        changes_seen_by,
        *(desk.store, desk.access, query.group or None, query.before, query.limit + 1),
    )
    shown = found[: query.limit]
    return ChangeList(
        changes=[_change(change, desk.access.admin) for change in shown],
        next_before=shown[-1].version if len(found) > query.limit else None,
    )


def _change(change: Changed, to_admin: bool) -> ChangeItem:
    return ChangeItem(
        version=change.version,
        kind=change.kind,
        name=change.name,
        at=iso(change.at),
        who=change.by.who,
        via=change.by.via,
        why=change.by.why,
        address=change.by.address if to_admin else "",
        managed_by=change.source,
        changes=_differences(document_differences(change.before, change.after)),
    )


async def _undo(desk: QuotaRest, _query: Nothing, _body: None) -> Count:
    version = whole(desk.part["version"])
    if version is None:
        raise Refusal(404, _("There is no such change."))
    try:
        return Count(count=await undo(desk, version))
    except Conflict as error:  # nobody has opened anything
        raise Refusal(412, str(error), "changed-since") from None


_PLAN = {"plan": "The name of a plan"}
_CHANGES_OF = (400, 404, 412)

OPERATIONS = (
    Operation("GET", "/plans", Who.READS, "All plans", _plans, PlanList, tag="policy"),
    Operation(
        *("GET", "/plans/{plan}", Who.READS, "One plan", _one_plan, PlanItem),
        problems=(404,),
        tag="policy",
        parts=_PLAN,
    ),
    Operation(
        *("PUT", "/plans/{plan}", Who.ADMIN, "Say all of a plan", _put_plan, PlanItem),
        body=PlanChange,
        problems=(412,),
        tag="policy",
        parts=_PLAN,
    ),
    Operation(
        *("DELETE", "/plans/{plan}", Who.ADMIN, "Remove a plan", _delete_plan),
        query=VersionQuery,
        problems=_CHANGES_OF,
        tag="policy",
        parts=_PLAN,
    ),
    Operation(
        *("POST", "/plans/{plan}/groups", Who.ADMIN, "Give groups a plan", _give_plan, Count),
        body=PlanGroups,
        tag="policy",
        parts=_PLAN,
    ),
    Operation("GET", "/prices", Who.READS, "The price book", _prices, PriceBook, tag="policy"),
    Operation(
        *("PUT", "/prices", Who.ADMIN, "Say the whole price book", _put_prices, PriceBook),
        body=PriceChange,
        problems=(412,),
        tag="policy",
    ),
    Operation("GET", "/policy", Who.READS, "All that holds", _policy, WholePolicy, tag="policy"),
    Operation(
        *("PUT", "/policy", Who.ADMIN, "Make a policy all that holds", _put_policy, Differences),
        body=PolicyChange,
        problems=(412,),
        tag="policy",
    ),
    Operation(
        *("POST", "/policy/table", Who.ADMIN, "Groups from a table", _put_table, Differences),
        body=TableChange,
        problems=(412,),
        tag="policy",
    ),
    Operation(
        *("GET", "/changes", Who.MANAGES_ANY, "The audit log", _changes, ChangeList),
        query=ChangeQuery,
        problems=(404,),
        tag="policy",
    ),
    Operation(
        *("POST", "/changes/{version}/undo", Who.MANAGES_ANY, "Undo a change", _undo, Count),
        problems=_CHANGES_OF,
        tag="policy",
        parts={"version": "Of the change"},
        about="With all that was changed in the same go.",
    ),
)
