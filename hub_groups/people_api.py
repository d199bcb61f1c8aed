"""Groups, their members and how one joins, for programs."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from . import links_api, people, people_desk
from .access import Who
from .desk import GroupsRest, iso
from .event_words import say_event
from .links_api import ROLE, UNTIL, Role, refused
from .member_csv import file_name, write_members
from .memberships import BY_PEOPLE
from .names import read_end
from .people import archive_of
from .people_desk import GroupRow
from .record import Event, events
from .rest import Model, Nothing, Operation, Page, Raw, Refusal, paged
from .store import Member, Standing
from .words import _, in_english

T = TypeVar("T")

_CSV = "text/csv; charset=utf-8"
_SURE = "Also where I would not manage the group any more"
_GROUP = {"group": "Its name; a slash in it is written %2F"}


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


class GroupItem(Model):
    """A group in short."""

    group: str
    members: int = Field(description="How many")
    managers: list[str]
    archived: str | None = Field(description="Since when (ISO 8601); null where it is not")
    waits: int = Field(description="How many ask to join, where I can answer")


class GroupItems(Model):
    """Groups that I see."""

    groups: list[GroupItem]
    count: int = Field(description="Of all pages")
    next_offset: int | None


class GroupsQuery(Page):
    q: str = Field("", max_length=200, description="Words that the name has")
    archived: bool = Field(False, description="Only those that are archived")


class MemberItem(Model):
    """Somebody who is in a group."""

    user: str
    role: Role = Field(description="The highest of all reasons")
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


class Roster(Model):
    """A roster for a group, in the place of the one before."""

    content: str = Field(description="CSV, as Canvas, Moodle or a spreadsheet exports it")
    user: str = Field("", max_length=200, description="Which column is the user name")
    apply: bool = Field(False, description="Write it; else only say what would change")


class Change(Model):
    user: str
    group: str
    role: Role


class RosterChange(Model):
    """What a roster changes, compared with the one before."""

    added: list[Change]
    removed: list[Change]
    changed: list[Change] = Field(description="With the role that they get")
    applied: bool


class Ending(Model):
    """What archiving a group does, or would do."""

    members: int = Field(description="How many lose it in the hub")
    links: int = Field(description="How many join links are revoked")
    requests: int = Field(description="How many who ask to join are not answered")
    below: list[str] = Field(description="Groups that stay as they are")
    archived: bool


class EventItem(Model):
    """What was done."""

    id: int
    at: str
    who: str
    via: str
    what: str
    user: str
    said: str = Field(description="The same in words")


class EventItems(Model):
    events: list[EventItem]


class EventQuery(Model):
    before: int | None = Field(None, ge=0, le=2**53, description="Only with a lower id")
    limit: int = Field(50, ge=1, le=200, description="How many at most")


# -- me --------------------------------------------------------------------------------------------


def _reason(one: Standing) -> Reason:
    until = one.membership.until
    return Reason(
        source=one.membership.source,
        role=_role(one.membership.role),
        since=iso(one.since),
        until=None if until is None else iso(until),
        added_by=one.added_by,
    )


def _role(text: str) -> Role:
    return "manager" if text == "manager" else "member"


async def _my_groups(desk: GroupsRest, query: Nothing, body: None) -> MyGroups:
    mine = await desk.ask(desk.store.standings, desk.user)
    over = await desk.ask(archive_of, desk.store)
    return MyGroups(
        groups=[
            MyGroup(
                group=group,
                role=_role(role),
                archived=group in over,
                manages=desk.access.manages(group),
                reasons=[_reason(one) for one in standings],
            )
            for group, role, standings in people_desk.by_group(mine)
        ]
    )


async def _leave(desk: GroupsRest, query: Sure, body: None) -> Stays:
    group = desk.part["group"]
    mine = await desk.ask(desk.store.standings, desk.user, [group])
    if not any(one.membership.source in BY_PEOPLE for one in mine):
        raise Refusal(404, _("There is no group that you could leave by yourself here."))
    return Stays(stay=await refused(people_desk.remove(desk, group, [desk.user], query.sure)))


# -- groups ----------------------------------------------------------------------------------------


async def _groups(desk: GroupsRest, query: GroupsQuery, body: None) -> GroupItems:
    names = people_desk.matching(await people_desk.all_groups(desk), query.q)
    if query.archived:
        over = await desk.ask(archive_of, desk.store)
        names = [name for name in names if name in over]
    some, next_offset = paged(names, query.offset, query.limit)
    rows = await desk.ask(people_desk.rows_of, desk.store, desk.access, some)
    found = [_item(row) for row in rows]
    return GroupItems(groups=found, count=len(names), next_offset=next_offset)


def _item(row: GroupRow) -> GroupItem:
    return GroupItem(
        group=row.group,
        members=row.size,
        managers=list(row.managers),
        archived=None if row.archived is None else iso(row.archived),
        waits=row.waits,
    )


async def there(desk: GroupsRest, by_admin: bool = False) -> str:
    """The group that an address names.

    Args:
        by_admin: an admin may name one that is not there.

    Raises:
        Refusal: there is none.
    """
    group = desk.part["group"]
    if by_admin and desk.access.admin:
        return group
    if not await people_desk.group_is(desk, group):
        raise Refusal(404, _("There is no such group here."))
    return group


async def _group(desk: GroupsRest, query: Nothing, body: None) -> GroupItem:
    group = await there(desk)
    (row,) = await desk.ask(people_desk.rows_of, desk.store, desk.access, [group])
    return _item(row)


async def _members(desk: GroupsRest, query: MembersQuery, body: None) -> MemberItems:
    group = await there(desk)
    args = (group, query.q, query.offset, query.limit)
    found, count = await desk.ask(desk.store.members, *args)
    end = query.offset + query.limit
    return MemberItems(
        members=[_member(one) for one in found],
        count=count,
        next_offset=end if end < count else None,
    )


def _member(one: Member) -> MemberItem:
    reasons = [_reason(standing) for standing in one.standings]
    return MemberItem(user=one.user, role=_role(one.role), reasons=reasons)


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
    if not await desk.ask(desk.store.standings, user, [group]):
        raise Refusal(404, _("Nobody of that name is in the group."))
    return user


async def _export(desk: GroupsRest, query: Nothing, body: None) -> Raw:
    group = await there(desk)
    standings = await desk.ask(desk.store.standings, None, [group])
    rows = [(one.membership, one.since, one.added_by) for one in standings]
    return Raw(write_members(rows, iso), _CSV, file_name(group))


async def _roster(desk: GroupsRest, query: Nothing, body: Roster) -> RosterChange:
    group = await there(desk)
    content = body.content.encode("utf-8", "replace")
    reading = desk.ask(
        people_desk.upload, desk.store, group, content, in_english(_, "the roster"), body.user
    )
    found = (await refused(reading)).found
    if body.apply:
        by = desk.by()
        await desk.ask(desk.store.apply, people_desk.UPLOAD, found, by.who, by.via)
    added, removed, changed = (
        [Change(user=one.user, group=one.group, role=_role(one.role)) for one in some]
        for some in (found.added, found.removed, found.changed)
    )
    return RosterChange(added=added, removed=removed, changed=changed, applied=body.apply)


async def _events(desk: GroupsRest, query: EventQuery, body: None) -> EventItems:
    group = await there(desk)
    args = (desk.store, [group], "", query.before, query.limit)
    return EventItems(events=[_event(one) for one in await desk.ask(events, *args)])


def _event(one: Event) -> EventItem:
    said = say_event(one.what, one.user, one.detail, str, str)
    return EventItem(
        id=one.id,
        at=iso(one.at),
        who=one.who,
        via=one.via,
        what=one.what,
        user=one.user,
        said=said,
    )


# -- the end of a group ----------------------------------------------------------------------------


async def _ending(desk: GroupsRest, query: Nothing, body: None) -> Ending:
    group = await there(desk)
    found = await desk.ask(people_desk.ending, desk.store, group)
    return Ending(
        members=found.members,
        links=len(found.links),
        requests=found.requests,
        below=list(found.below),
        archived=group in await desk.ask(archive_of, desk.store),
    )


async def _archive(desk: GroupsRest, query: Nothing, body: None) -> Ending:
    found = await _ending(desk, query, body)
    await desk.ask(people_desk.end_group, desk.store, desk.part["group"], desk.by())
    return found.model_copy(update={"archived": True})


async def _restore(desk: GroupsRest, query: Nothing, body: None) -> None:
    group = await there(desk)
    await desk.ask(people.restore, desk.store, group, desk.by())


_G = {"tag": "groups", "parts": _GROUP, "problems": (404,)}
_M = {"tag": "groups", "parts": {**_GROUP, "user": "Their user name"}, "problems": (404, 409)}
_DO = {"tag": "groups", "parts": _GROUP, "problems": (404, 409)}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/me/groups",
        Who.USER,
        "My groups and why I am in them",
        _my_groups,
        MyGroups,
        tag="me",
    ),
    Operation(
        "DELETE",
        "/me/groups/{group}",
        Who.ACTS,
        "Leave a group that I joined by hand or link",
        _leave,
        Stays,
        Sure,
        tag="me",
        parts=_GROUP,
        problems=(404, 409),
    ),
    Operation(
        "GET",
        "/groups",
        Who.MANAGES_ANY,
        "Groups that I see",
        _groups,
        GroupItems,
        GroupsQuery,
        tag="groups",
    ),
    Operation("GET", "/groups/{group}", Who.SEES, "A group in short", _group, GroupItem, **_G),
    Operation(
        "GET",
        "/groups/{group}/members",
        Who.SEES,
        "Who is in it, and why",
        _members,
        MemberItems,
        MembersQuery,
        **_G,
    ),
    Operation(
        "POST",
        "/groups/{group}/members",
        Who.MANAGES,
        "Add members by hand",
        _add,
        Added,
        body=NewMembers,
        **_DO,
    ),
    Operation(
        "POST",
        "/groups/{group}/remove",
        Who.MANAGES,
        "Take several out",
        _remove_some,
        Stays,
        body=Users,
        about="What people have set is taken away; who is in it by another source stays.",
        **_DO,
    ),
    Operation(
        "DELETE",
        "/groups/{group}/members/{user}",
        Who.MANAGES,
        "Take one out",
        _remove_one,
        Stays,
        Sure,
        **_M,
    ),
    Operation(
        "PATCH",
        "/groups/{group}/members/{user}",
        Who.MANAGES,
        "Another role or end",
        _change,
        Stays,
        body=MemberChange,
        **_M,
    ),
    Operation(
        "GET", "/groups/{group}/export", Who.SEES, "Who is in it, as CSV", _export, _CSV, **_G
    ),
    Operation(
        "POST",
        "/groups/{group}/roster",
        Who.MANAGES,
        "What a roster changes",
        _roster,
        RosterChange,
        body=Roster,
        **_DO,
    ),
    Operation(
        "GET",
        "/groups/{group}/events",
        Who.SEES,
        "What was done, the latest first",
        _events,
        EventItems,
        EventQuery,
        **_G,
    ),
    Operation(
        "GET",
        "/groups/{group}/archive",
        Who.SEES,
        "What archiving it would do",
        _ending,
        Ending,
        **_G,
    ),
    Operation(
        "PUT",
        "/groups/{group}/archive",
        Who.MANAGES_ABOVE,
        "Archive it: nobody is in it in the hub any more, and nothing is deleted",
        _archive,
        Ending,
        **_G,
    ),
    Operation("DELETE", "/groups/{group}/archive", Who.MANAGES_ABOVE, "Restore it", _restore, **_G),
    *links_api.OPERATIONS,
)
