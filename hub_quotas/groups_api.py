"""Groups, their limits, members and servers, for programs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Page, Refusal, paged
from hub_groups.words import _

from .access import Who
from .changes import GROUP_ENTRY, Entry, documents, put
from .desk import QuotaRest, iso, no_such_group
from .groups_page import Asked, find
from .overview import GroupUse, Used
from .policy import WHOLE_HUB, Policy
from .quantities import AMOUNT, resource
from .requests import Amounts, in_use

LimitText = str | int | float | list[str | int | float]


class GroupQuery(Page):
    q: str = Field("", max_length=200, description="Words that the name has")
    under: str = Field("", max_length=500, description="Only this group and those below it")
    plan: str = Field("", max_length=200, description="Only those with this plan")
    show: str = Field(
        "",
        pattern="^(|attention|running|unlimited)$",
        description="Only those that need attention, run something, or have no limit",
    )
    sort: str = Field(
        "", pattern="^(|used|cost)$", description="By use or cost instead of as a tree"
    )


class VersionQuery(Model):
    version: int | None = Field(
        None, ge=0, le=2**62, description="Refused where the entry has another version by now"
    )
    why: str = Field("", max_length=500, description="For the audit log")


class Change(Model):
    """What every change can say."""

    why: str = Field("", max_length=500, description="For the audit log")
    version: int | None = Field(
        None,
        ge=0,
        le=2**62,
        description="Refused where the entry has another version by now; 0 for a new one",
    )


class LimitsChange(Change):
    """Some limits of a group; others stay."""

    limits: dict[str, LimitText | None] = Field(
        description="By key, as in a policy: {'member.servers': 2}; null removes one"
    )


class GroupChange(Change):
    """What a policy says of a group, but for its boosts."""

    parent: str = Field(
        "", max_length=500, description="The group above it, if not as its name says"
    )
    plan: str = Field("", max_length=200)
    managers: list[str] = Field([], max_length=200, description="Beside those by membership")
    priority: int = Field(0, ge=-(10**6), le=10**6, description="Higher ones are charged first")
    limits: dict[str, LimitText] = Field({}, description="By key, as in a policy")


class UsedOf(Model):
    """A limit of the whole group and its use."""

    limit: str
    amount: str = Field(description="As in a policy")
    used: str = Field(description="In the unit of the limit")
    share: float
    runs_out: str | None = Field(description="At the pace of the last 7 days; UTC")


class GroupItem(Model):
    """A group in short."""

    group: str
    depth: int = Field(description="0 for one that is below no other")
    below: int = Field(description="How many groups are below it")
    in_use: dict[str, str] = Field(description="By resource, in the notation of policies")
    used: list[UsedOf]


class GroupList(Model):
    """Groups."""

    groups: list[GroupItem]
    count: int = Field(description="Of all pages")
    next_offset: int | None


class HeldLimit(Model):
    """A limit that holds for what is charged to a group."""

    limit: str
    amount: str
    group: str = Field(description="The group that sets it")
    plan: str = Field(description="The plan that it is from, or empty")


class GroupDetail(GroupItem):
    """A group."""

    version: int = Field(description="Of its entry in the policy; 0 for none")
    managed_by: str = Field(description="The file that manages its entry, or empty")
    parent: str
    plan: str
    managers: list[str]
    priority: int
    limits: dict[str, str | list[str]] = Field(description="Its own")
    held: list[HeldLimit] = Field(description="All that hold, also from its plan and from above")


# -- what is answered -------------------------------------------------------------------------


def said(amounts: Amounts) -> dict[str, str]:
    """Amounts in use, in the notation of policies."""
    found = {}
    for name in amounts:
        known = resource(name)
        if known and known.kind == AMOUNT and known.name == name:
            found[name] = known.format(in_use(amounts, name))
    return found


def used_of(one: Used) -> UsedOf:
    return UsedOf(
        limit=one.limit.key,
        amount=one.limit.text,
        used=one.limit.kind.format(one.used),
        share=round(one.share, 4),
        runs_out=iso(one.runs_out) if one.runs_out is not None else None,
    )


def _item(use: GroupUse, depth: int, below: int) -> dict[str, Any]:
    return {
        "group": use.name,
        "depth": depth,
        "below": below,
        "in_use": said(use.use),
        "used": [used_of(one) for one in use.limits],
    }


async def _groups(desk: QuotaRest, query: GroupQuery, _body: None) -> GroupList:
    seen, in_hub = await desk.overviews.latest(desk.store), await desk.directory.groups()

    def read() -> GroupList:
        tree = seen.tree(tuple(in_hub))
        asked = Asked(query.q, query.under, query.plan, query.show, query.sort)
        found = find(asked, desk.access, seen, tree)
        some, following = paged(found, query.offset, query.limit)
        items = [GroupItem(**_item(seen.of(b.name), b.depth, b.below)) for b in some]
        return GroupList(groups=items, count=len(found), next_offset=following)

    return await desk.ledger(read)


async def _group(desk: QuotaRest, _query: Nothing, _body: None) -> GroupDetail:
    return await _detail(desk, desk.part["group"])


async def _detail(desk: QuotaRest, name: str) -> GroupDetail:
    seen, in_hub = await desk.overviews.latest(desk.store), await desk.directory.groups()
    policy = seen.held.policy
    tree = seen.tree(tuple(in_hub))
    branch = next((one for one in tree if one.name == name), None)
    if branch is None and name != WHOLE_HUB:
        raise Refusal(404, no_such_group())
    depth, below = (branch.depth, branch.below) if branch else (0, len(tree))
    document = documents(policy).get((GROUP_ENTRY, name), {})
    entry = (GROUP_ENTRY, name)
    return GroupDetail(
        **_item(seen.of(name), depth, below),
        version=seen.held.versions.get(entry, 0),
        managed_by=seen.held.sources.get(entry, ""),
        parent=document.get("parent", ""),
        plan=document.get("plan", ""),
        managers=document.get("managers", []),
        priority=document.get("priority", 0),
        limits=document.get("limits", {}),
        held=[
            HeldLimit(limit=one.key, amount=one.text, group=one.group, plan=one.plan)
            for one in policy.limits(name)
        ],
    )


# -- changes ----------------------------------------------------------------------------------


def expected(entry: Entry, version: int | None) -> dict[Entry, int]:
    return {} if version is None else {entry: version}


async def _change_limits(desk: QuotaRest, _query: Nothing, body: LimitsChange) -> GroupDetail:
    name = desk.part["group"]
    entry = (GROUP_ENTRY, name)

    def change(policy: Policy) -> Policy:
        document = dict(documents(policy).get(entry, {}))
        limits = {**document.get("limits", {}), **body.limits}
        document["limits"] = {key: value for key, value in limits.items() if value is not None}
        return put(policy, {entry: document})

    await desk.edit(change, body.why, expected(entry, body.version))
    return await _detail(desk, name)


async def _put_group(desk: QuotaRest, _query: Nothing, body: GroupChange) -> GroupDetail:
    name = desk.part["group"]
    entry = (GROUP_ENTRY, name)
    wanted = body.model_dump(exclude={"why", "version"})

    def change(policy: Policy) -> Policy:
        boosts = documents(policy).get(entry, {}).get("boosts")
        document = {**wanted, **({"boosts": boosts} if boosts else {})}
        return put(policy, {entry: {key: value for key, value in document.items() if value}})

    await desk.edit(change, body.why, expected(entry, body.version))
    return await _detail(desk, name)


async def _delete_group(desk: QuotaRest, query: VersionQuery, _body: None) -> None:
    entry = (GROUP_ENTRY, desk.part["group"])
    if entry not in documents(await desk.policy()):
        raise Refusal(404, _("The policy says nothing of this group."))
    await desk.edit(
        lambda policy: put(policy, {entry: None}), query.why, expected(entry, query.version)
    )


GROUP_PART = {"group": "The name of a group, with %2F for a slash; * for the whole hub"}
_CHANGES = (400, 404, 412)

OPERATIONS = (
    Operation(
        "GET",
        "/groups",
        Who.MANAGES_ANY,
        "The groups that I may see",
        _groups,
        GroupList,
        query=GroupQuery,
        tag="groups",
    ),
    Operation(
        "GET",
        "/groups/{group}",
        Who.SEES,
        "One group",
        _group,
        GroupDetail,
        problems=(404,),
        tag="groups",
        parts=GROUP_PART,
    ),
    Operation(
        "PUT",
        "/groups/{group}",
        Who.MANAGES,
        "Say all of a group",
        _put_group,
        GroupDetail,
        body=GroupChange,
        problems=_CHANGES,
        tag="groups",
        parts=GROUP_PART,
    ),
    Operation(
        "PATCH",
        "/groups/{group}/limits",
        Who.MANAGES,
        "Change some limits of a group",
        _change_limits,
        GroupDetail,
        body=LimitsChange,
        problems=_CHANGES,
        tag="groups",
        parts=GROUP_PART,
    ),
    Operation(
        "DELETE",
        "/groups/{group}",
        Who.MANAGES,
        "Say nothing of a group any more",
        _delete_group,
        query=VersionQuery,
        problems=_CHANGES,
        tag="groups",
        parts=GROUP_PART,
    ),
)
