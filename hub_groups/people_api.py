"""My groups and the members of groups, for programs."""

from __future__ import annotations

from functools import partial

from pydantic import Field

from . import groups_api, links_api, people_desk
from .access import Who
from .desk import GroupsRest, iso
from .links_api import GROUP, ROLE, UNTIL, Role, refused, role_of, there
from .memberships import BY_PEOPLE, usable
from .names import read_end
from .people import archive_of
from .rest import Model, Nothing, Operation, Page, Refusal
from .store import Member, Standing
from .words import _

_SURE = "Also where I would not manage the group any more"


class Reason(Model):
    """Why somebody is in a group."""

    source: str = Field(description="manual, link, scim, ldap, idp:NAME or roster:NAME")
    role: Role
    since: str = Field(description="When it began (ISO 8601)")
    until: str | None = Field(description="When it ends (ISO 8601); null for never")
    added_by: str = Field(description="Who did that; empty where the source says it all")


class MyGroup(Model):
    """A group of mine."""

    group: str
    role: Role = Field(description="The highest of all reasons")
    archived: bool
    manages: bool = Field(description="Whether I manage it, by itself or from above")
    reasons: list[Reason]


class MyGroups(Model):
    groups: list[MyGroup]


class Stays(Model):
    """Who stays in the group all the same, and by which sources."""

    stay: dict[str, list[str]]


class MemberItem(Model):
    """Somebody who is in a group."""

    user: str
    role: Role = Field(description="The highest of all reasons")
    not_logged_in: bool = Field(
        description="Whether the hub does not have them yet; false where it can't be asked"
    )
    reasons: list[Reason]


class MemberItems(Model):
    members: list[MemberItem]
    count: int = Field(description="Of all pages")
    next_offset: int | None


class MembersQuery(Page):
    q: str = Field("", max_length=200, description="What the name has in it")


class NewMembers(Model):
    """People to be members by hand. For a group that is not there, only admins."""

    users: list[str] = Field(
        min_length=1, max_length=1_000, description="User names, e-mail addresses"
    )
    role: Role = Field("member", description=ROLE)
    until: str = Field("", max_length=40, description=UNTIL)
    not_logged_in: bool = Field(False, description="Also those whom the hub does not have yet")


class Added(Model):
    users: list[str] = Field(description="Their user names")


class Users(Model):
    users: list[str] = Field(min_length=1, max_length=1_000)
    sure: bool = Field(False, description=_SURE)


class MemberChange(Model):
    """Another role or end, as far as people have set it."""

    role: Role | None = Field(None, description=ROLE)
    until: str | None = Field(
        None, max_length=40, description=f"{UNTIL}; null for the one there is"
    )
    sure: bool = Field(False, description=_SURE)


class Sure(Model):
    sure: bool = Field(False, description=_SURE)


# -- me --------------------------------------------------------------------------------------------


def _reason(one: Standing) -> Reason:
    until = one.membership.until
    return Reason(
        source=one.membership.source,
        role=role_of(one.membership.role),
        since=iso(one.since),
        until=None if until is None else iso(until),
        added_by=one.added_by,
    )


async def _my_groups(desk: GroupsRest, query: Nothing, body: None) -> MyGroups:
    mine = await desk.ask(desk.store.standings, desk.user)
    over = await desk.ask(archive_of, desk.store)
    return MyGroups(
        groups=[
            MyGroup(
                group=group,
                role=role_of(role),
                archived=group in over,
                manages=desk.access.manages(group),
                reasons=[_reason(one) for one in standings],
            )
            for group, role, standings in people_desk.by_group(mine)
        ]
    )


async def _leave(desk: GroupsRest, query: Sure, body: None) -> Stays:
    group = desk.part["group"]
    known = usable(group)
    mine = await desk.ask(desk.store.standings, desk.user, [group]) if known else []
    if not any(one.membership.source in BY_PEOPLE for one in mine):
        raise Refusal(404, _("There is no group that you could leave by yourself here."))
    return Stays(stay=await refused(people_desk.remove(desk, group, [desk.user], query.sure)))


# -- members --------------------------------------------------------------------------------------


async def _members(desk: GroupsRest, query: MembersQuery, body: None) -> MemberItems:
    group = await there(desk)
    args = (group, query.q, query.offset, query.limit)
    found, count = await desk.ask(desk.store.members, *args)
    end = query.offset + query.limit
    strangers = await people_desk.not_logged_in(desk, [one.user for one in found])
    return MemberItems(
        members=[_member(one, one.user in strangers) for one in found],
        count=count,
        next_offset=end if end < count else None,
    )


def _member(one: Member, not_logged_in: bool) -> MemberItem:
    return MemberItem(
        user=one.user,
        role=role_of(one.role),
        not_logged_in=not_logged_in,
        reasons=[_reason(standing) for standing in one.standings],
    )


async def _add(desk: GroupsRest, query: Nothing, body: NewMembers) -> Added:
    group = await there(desk, by_admin=True)

    async def add() -> tuple[str, ...]:
        people_desk.check_group_name(group)
        until = read_end(body.until, desk.store.clock())
        text = "\n".join(body.users)
        return await people_desk.add(desk, group, text, body.role, until, body.not_logged_in)

    return Added(users=list(await refused(add())))


async def _remove_some(desk: GroupsRest, query: Nothing, body: Users) -> Stays:
    group = await there(desk)
    return Stays(stay=await refused(people_desk.remove(desk, group, body.users, body.sure)))


async def _remove_one(desk: GroupsRest, query: Sure, body: None) -> Stays:
    group, user = await there(desk), await _is_in(desk)
    return Stays(stay=await refused(people_desk.remove(desk, group, [user], query.sure)))


async def _change(desk: GroupsRest, query: Nothing, body: MemberChange) -> Stays:
    group, user = await there(desk), await _is_in(desk)

    async def change() -> dict[str, list[str]]:
        at = desk.store.clock()
        end = None if body.until is None else (read_end(body.until, at),)
        return await people_desk.change(desk, group, [user], body.role, end, body.sure)

    return Stays(stay=await refused(change()))


async def _is_in(desk: GroupsRest) -> str:
    group, user = desk.part["group"], desk.part["user"]
    if not usable(user) or not await desk.ask(desk.store.standings, user, [group]):
        raise Refusal(404, _("Nobody of that name is in the group."))
    return user


_on_group = partial(Operation, tag="groups", parts=GROUP)
_on_member = partial(Operation, tag="groups", parts={**GROUP, "user": "Their user name"})

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        *("GET", "/me/groups", Who.USER, "My groups and why I am in them", _my_groups, MyGroups),
        tag="me",
    ),
    Operation(
        *("DELETE", "/me/groups/{group}", Who.ACTS, "Leave a group", _leave, Stays, Sure),
        tag="me",
        parts=GROUP,
        problems=(404, 409),
        about="One that I have joined by hand or link; I stay where another source has me.",
    ),
    *groups_api.OPERATIONS,
    _on_group(
        *("GET", "/groups/{group}/members", Who.SEES, "Who is in it, and why", _members),
        answer=MemberItems,
        query=MembersQuery,
        problems=(404,),
    ),
    _on_group(
        *("POST", "/groups/{group}/members", Who.MANAGES, "Add members by hand", _add, Added),
        body=NewMembers,
        problems=(404,),
    ),
    _on_group(
        *("POST", "/groups/{group}/remove", Who.MANAGES, "Take several out", _remove_some, Stays),
        body=Users,
        problems=(404, 409),
        about="What people have set is taken away; who is in it by another source stays.",
    ),
    _on_member(
        *("DELETE", "/groups/{group}/members/{user}", Who.MANAGES, "Take one out", _remove_one),
        answer=Stays,
        query=Sure,
        problems=(404, 409),
    ),
    _on_member(
        *("PATCH", "/groups/{group}/members/{user}", Who.MANAGES, "Another role or end", _change),
        answer=Stays,
        body=MemberChange,
        problems=(404, 409),
    ),
    *links_api.OPERATIONS,
)
