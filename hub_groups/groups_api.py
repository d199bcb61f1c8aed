"""Groups as a whole, for programs: which there are, rosters, what was done, and their end."""

from __future__ import annotations

from functools import partial

from pydantic import Field

from . import people, people_desk
from .access import Who
from .desk import GroupsRest, iso
from .event_words import tell
from .links_api import GROUP, Role, refused, role_of, there
from .member_csv import file_name, write_members
from .memberships import UPLOAD
from .people import archive_of
from .people_desk import GroupRow
from .record import Event, events
from .rest import Model, Nothing, Operation, Page, Raw, paged
from .words import _, in_english

_CSV = "text/csv; charset=utf-8"


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


async def _group(desk: GroupsRest, query: Nothing, body: None) -> GroupItem:
    group = await there(desk)
    (row,) = await desk.ask(people_desk.rows_of, desk.store, desk.access, [group])
    return _item(row)


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
        await desk.ask(desk.store.apply, UPLOAD, found, by.who, by.via)
    added, removed, changed = (
        [Change(user=one.user, group=one.group, role=role_of(one.role)) for one in some]
        for some in (found.added, found.removed, found.changed)
    )
    return RosterChange(added=added, removed=removed, changed=changed, applied=body.apply)


async def _events(desk: GroupsRest, query: EventQuery, body: None) -> EventItems:
    group = await there(desk)
    args = (desk.store, [group], "", query.before, query.limit)
    return EventItems(events=[_event(one) for one in await desk.ask(events, *args)])


def _event(one: Event) -> EventItem:
    said = tell(one).text
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


_on_group = partial(Operation, tag="groups", parts=GROUP, problems=(404,))

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        *("GET", "/groups", Who.MANAGES_ANY, "Groups that I see", _groups),
        answer=GroupItems,
        query=GroupsQuery,
        tag="groups",
    ),
    _on_group("GET", "/groups/{group}", Who.SEES, "A group in short", _group, GroupItem),
    _on_group(
        *("GET", "/groups/{group}/export", Who.SEES, "Who is in it, as CSV", _export, "text/csv")
    ),
    _on_group(
        *("POST", "/groups/{group}/roster", Who.MANAGES, "What a roster changes", _roster),
        answer=RosterChange,
        body=Roster,
    ),
    _on_group(
        *("GET", "/groups/{group}/events", Who.SEES, "What was done, the latest first", _events),
        answer=EventItems,
        query=EventQuery,
    ),
    _on_group(
        *("GET", "/groups/{group}/archive", Who.SEES, "What archiving it would do", _ending),
        answer=Ending,
    ),
    _on_group(
        *("PUT", "/groups/{group}/archive", Who.MANAGES_ABOVE, "Archive it", _archive),
        answer=Ending,
        about="In the hub nobody is in it any more, and nothing is deleted.",
    ),
    _on_group("DELETE", "/groups/{group}/archive", Who.MANAGES_ABOVE, "Restore it", _restore),
)
