"""What homes and shared directories hold, for programs of people."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.words import _

from .access import Who
from .desk import QuotaRest, iso
from .home_storage import DAYS, GroupStorage, Shelf, group_storage, shelves
from .members import members
from .members_api import names_below
from .policy import WHOLE_HUB
from .storage import GROUP, OTHER, USER
from .storage_store import Directory
from .storage_view import Held, MountView, mount_views


class Shelved(Model):
    """A home or a shared directory, on a file system."""

    kind: str = Field(description="user: a home; group: a shared directory")
    name: str = Field(description="Whose it is")
    mount: str = Field(description="The file system that it is on")
    used: int | None = Field(description="Bytes; null where nobody knows")
    limit: int | None = Field(description="Bytes, as it holds there now; null for none")
    problem: str = Field(description="Why its limit could not be set; else empty")
    measured_at: str = Field(description="RFC 3339")
    full_at: str = Field(description="At the pace of the last days; empty where nobody can say")
    days: list[int] = Field(
        description=f"The most bytes on each of the last {DAYS} days (UTC) at most, today last"
    )


class MyShelf(Shelved):
    """One of mine, with what the policy wants for it."""

    wanted: int | None = Field(description="Bytes that it is to hold at most; null for no limit")
    wanted_by: str = Field(description="The limit that says so: 10G of geo, as in a policy")
    group: str = Field(description="My group through which I have that")


class MyStorage(Model):
    """My homes, then the shared directories of my groups."""

    directories: list[MyShelf]


class StorageOfGroup(Model):
    """What a group and its members hold. Sizes only."""

    shared: list[Shelved] = Field(description="The group's own directory, on each file system")
    homes: int = Field(description="Of how many members' homes the size is known")
    nearly_full: int = Field(description="Of how many of them at least 80 percent is used")
    fullest: list[Shelved] = Field(description="Some of the homes, those with the least room first")


class Sum(Model):
    """What directories of one kind come to."""

    count: int
    used: int = Field(description="Bytes")
    promised: int = Field(description="Bytes that their limits allow together")
    unlimited: int = Field(description="How many have no limit")
    nearly_full: int = Field(description="Of how many at least 80 percent is used")
    full: int = Field(description="Of how many at least 95 percent is used")


class OnMount(Model):
    """A directory on a file system."""

    kind: str = Field(description="user, group or other")
    name: str = Field(description="Whose it is; of other, its path")
    used: int | None = Field(description="Bytes; null where nobody knows")
    limit: int | None = Field(description="Bytes; null for none")
    problem: str


class Found(Model):
    """Something that an agent has found."""

    at: str = Field(description="RFC 3339")
    text: str


class StorageMount(Model):
    """A file system that an agent looks after."""

    name: str
    backend: str = Field(description="How limits are set there, in the agent's words")
    size: int = Field(description="Bytes")
    free: int = Field(description="Bytes")
    promised: int = Field(description="Bytes that all limits allow together")
    heard_at: str = Field(description="When its agent was heard last: RFC 3339")
    stale: bool = Field(description="Whether that is too long ago")
    homes: Sum
    shared: Sum
    nobodys: Sum = Field(description="Directories of nobody whom the hub names")
    found: list[Found] = Field(description="In the last 7 days, the newest first")
    unset: list[OnMount] = Field(description="Whose limit could not be set; 20 at most")
    unset_count: int
    fullest: list[OnMount] = Field(description="At least 80 percent full; 20 at most")
    largest_of_nobody: list[OnMount] = Field(description="20 at most")


class StorageMounts(Model):
    """All that agents look after."""

    mounts: list[StorageMount]


def _shelved(one: Shelf) -> Shelved:
    held = one.directory
    return Shelved(
        kind=held.kind,
        name=held.name,
        mount=held.mount,
        used=held.used,
        limit=held.applied,
        problem=held.problem,
        measured_at=iso(held.at),
        full_at=iso(one.full_at) if one.full_at else "",
        days=list(one.days),
    )


def _mine(one: Shelf) -> MyShelf:
    found = one.allowance
    return MyShelf(
        **_shelved(one).model_dump(),
        wanted=found.amount if found else None,
        wanted_by=f"{found.limit.text} of {found.limit.group}" if found else "",
        group=found.group if found else "",
    )


def _sum(held: Held) -> Sum:
    return Sum(
        count=held.count,
        used=held.used,
        promised=held.promised,
        unlimited=held.unlimited,
        nearly_full=held.nearly,
        full=held.full,
    )


def _some(directories: Sequence[Directory]) -> list[OnMount]:
    return [
        OnMount(kind=one.kind, name=one.name, used=one.used, limit=one.applied, problem=one.problem)
        for one in directories
    ]


def _mount(view: MountView) -> StorageMount:
    mount = view.mount
    return StorageMount(
        name=mount.name,
        backend=mount.backend,
        size=mount.size,
        free=mount.free,
        promised=view.promised,
        heard_at=iso(mount.at),
        stale=mount.stale,
        homes=_sum(view.of(USER)),
        shared=_sum(view.of(GROUP)),
        nobodys=_sum(view.of(OTHER)),
        found=[Found(at=iso(at), text=text) for at, text in view.found],
        unset=_some(view.unset),
        unset_count=view.unset_count,
        fullest=_some(view.fullest),
        largest_of_nobody=_some(view.nobody),
    )


async def _my_storage(desk: QuotaRest, _query: Nothing, _body: None) -> MyStorage:
    if desk.current_user.get("kind") != "user":
        raise Refusal(403, _("Only users have homes."))
    found = await desk.ledger(shelves, desk.store, desk.user, list(desk.access.groups))
    return MyStorage(directories=[_mine(one) for one in found])


async def _group_storage(desk: QuotaRest, _query: Nothing, _body: None) -> StorageOfGroup:
    group = desk.part["group"]
    below, known = await names_below(desk, group), await desk.users_in(group)

    def read() -> GroupStorage:
        everyone = {} if group == WHOLE_HUB else members(desk.store, below, None, known)
        return group_storage(desk.store, group, [*everyone])

    found = await desk.ledger(read)
    return StorageOfGroup(
        shared=[_shelved(one) for one in found.shared],
        homes=found.measured,
        nearly_full=found.full,
        fullest=[_shelved(one) for one in found.fullest],
    )


async def _mounts(desk: QuotaRest, _query: Nothing, _body: None) -> StorageMounts:
    found = await desk.ledger(mount_views, desk.store)
    return StorageMounts(mounts=[_mount(view) for view in found])


OPERATIONS = (
    Operation(
        *("GET", "/me/storage", Who.USER, "What my homes and shared directories hold"),
        *(_my_storage, MyStorage),
        tag="me",
    ),
    Operation(
        *("GET", "/groups/{group}/storage", Who.SEES, "What a group and its members hold"),
        *(_group_storage, StorageOfGroup),
        tag="groups",
        problems=(404,),
    ),
    Operation(
        *("GET", "/storage/mounts", Who.READS, "The file systems that agents look after"),
        *(_mounts, StorageMounts),
        tag="storage",
    ),
)
