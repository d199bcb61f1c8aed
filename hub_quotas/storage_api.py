"""What storage agents ask and say: `/services/quotas/api/storage/…`.

For services of the hub with the scope `custom:quotas:storage`, one for each mount: the service's
name is the mount's. They learn the limits that hold, and change nothing but what is known of their
own mount.
"""

from __future__ import annotations

import asyncio
from typing import Literal
from weakref import WeakKeyDictionary

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.words import _

from .access import Who
from .delivery import Ways
from .desk import QuotaRest
from .storage_looks import Entry, Largest, OpenLook, answer, progress
from .storage_store import Backup, Directory, Mount, RestoreTest
from .storage_wanted import WantedLimits
from .storage_warnings import warn
from .store import QuotaStore

_LONGEST_WAIT = 60
_MOST_AT_ONCE = 2000
_LATEST = 2**33
"""Seconds since 1970; of which microseconds still fit everywhere."""

_wanted: WeakKeyDictionary[QuotaStore, WantedLimits] = WeakKeyDictionary()


class Since(Model):
    """What the agent knows already."""

    epoch: str = Field("", max_length=64, description="As told before; empty for never")
    number: int = Field(0, ge=0, description="Of the last change that it knows")
    asked: int = Field(0, ge=0, lt=2**63, description="Number of the last ask that it knows")
    wait: float = Field(0, ge=0, le=_LONGEST_WAIT, description="Seconds to wait for a change")


class HomeAsk(Model):
    """Somebody asks what takes up the room in a home of this mount."""

    kind: str = Field(description="What it is: user")
    name: str = Field(description="Whose it is")
    number: int = Field(description="Goes up; to be said with the answer")


class StorageLimits(Model):
    """Limits in bytes; null for none."""

    epoch: str = Field(description="Of which the number is: another one begins anew")
    number: int = Field(description="Of the last change that is in this")
    whole: bool = Field(description="Whether this is all there is, else what has changed")
    users: dict[str, int | None] = Field(description="Of homes, by user name")
    groups: dict[str, int | None] = Field(description="Of shared directories, by group name")
    otherwise: int | None = Field(description="Of the home of anybody else")
    asks: list[HomeAsk] = Field(description="All that are not answered yet, for POST largest")


class DirectoryUse(Model):
    """A home, or the shared directory of a group."""

    kind: Literal["user", "group", "other"] = Field(description="What it is")
    name: str = Field(min_length=1, max_length=1000, description="Whose it is, or its path")
    used: int | None = Field(
        ge=0, lt=2**63, description="Bytes, as the file system counts them; null for not known"
    )
    applied: int | None = Field(None, ge=0, lt=2**63, description="The limit that holds there")
    problem: str = Field("", max_length=1000, description="Why no limit could be set")


class RestoreTested(Model):
    """How the last test that backups can be restored went."""

    at: int = Field(ge=0, lt=_LATEST, description="Seconds since 1970")
    ok: bool = Field(description="Whether all that was restored was as it should be")
    problems: list[str] = Field(default_factory=list, max_length=100, description="Sentences")


class BackupsMade(Model):
    """How the backups of homes are doing."""

    last_ok: int | None = Field(
        None, ge=0, lt=_LATEST, description="When a home was backed up last: seconds since 1970"
    )
    homes: int = Field(0, ge=0, lt=2**31, description="How many have a backup")
    failures: int = Field(0, ge=0, lt=2**31, description="Of how many homes the last one failed")
    failed: list[str] = Field(
        default_factory=list, max_length=100, description="Some of them, as HOME: WHY"
    )
    restore_test: RestoreTested | None = Field(None, description="null for never")


class MountUse(Model):
    """What a file system says now; directories that are not in it stay as they were."""

    backend: str = Field(max_length=200, description="How limits are set: btrfs, simple quotas")
    size: int = Field(ge=0, lt=2**63, description="Bytes, of the whole file system")
    free: int = Field(ge=0, lt=2**63, description="Bytes")
    problems: list[str] = Field(default_factory=list, max_length=100, description="Sentences")
    backups: BackupsMade | None = Field(None, description="null where nothing is known of any")
    directories: list[DirectoryUse] = Field(
        default_factory=list, max_length=_MOST_AT_ONCE, description="What has changed"
    )
    gone: list[str] = Field(
        default_factory=list, max_length=_MOST_AT_ONCE, description="KIND/NAME, of those no more"
    )


class FoundEntry(Model):
    """A file, or a directory with all in it."""

    path: str = Field(min_length=1, max_length=4096, description="Below the home")
    size: int = Field(ge=0, lt=2**63, description="Bytes")
    is_file: bool = False


class Found(Model):
    """What takes up the room in a home."""

    largest: list[FoundEntry] = Field(
        default_factory=list, max_length=50, description="The largest first"
    )
    used: int = Field(0, ge=0, lt=2**63, description="Bytes of all that was seen")
    complete: bool = Field(True, description="Whether all was seen before time was up")
    problem: str = Field("", max_length=1000, description="Why it could not be looked into")


class LookAnswer(Model):
    """How far the agent has come with an ask, or what it has found."""

    kind: Literal["user"] = Field(description="As it was asked")
    name: str = Field(min_length=1, max_length=1000, description="As it was asked")
    number: int = Field(ge=0, lt=2**63, description="As it was asked")
    seen: int = Field(0, ge=0, lt=2**63, description="Files and directories until now")
    answer: Found | None = Field(None, description="null while it still looks")


def _mount_of(desk: QuotaRest) -> str:
    """The mount that this token is about."""
    if desk.current_user.get("kind") != "service":
        raise Refusal(403, "This takes the token of a service, whose name is that of the mount.")
    return desk.user


def _wanted_of(desk: QuotaRest) -> WantedLimits:
    found = _wanted.get(desk.store)
    if found is None:
        found = _wanted[desk.store] = WantedLimits(desk.store, desk.groups)
    return found


async def _get(desk: QuotaRest, query: Since, _body: None) -> StorageLimits:
    mount = _mount_of(desk)
    found = await _wanted_of(desk).get(mount, query.epoch, query.number, query.asked, query.wait)
    limits = found.limits
    return StorageLimits(
        epoch=found.epoch,
        number=found.number,
        whole=found.whole,
        users=dict(limits.users),
        groups=dict(limits.groups),
        otherwise=limits.otherwise,
        asks=[HomeAsk(kind=ask.kind, name=ask.name, number=ask.number) for ask in found.asks],
    )


async def _report(desk: QuotaRest, _query: Nothing, body: MountUse) -> None:
    mount = Mount(
        *(_mount_of(desk), body.backend, body.size, body.free, tuple(body.problems)),
        backup=_backup(body.backups) if body.backups else None,
    )
    some = [
        Directory(one.kind, one.name, one.used, one.applied, one.problem)
        for one in body.directories
    ]
    ways = Ways(**desk.context.settings["ways"])
    await _wanted_of(desk).report(mount, some, body.gone)
    await asyncio.to_thread(warn, desk.store, desk.groups, ways, mount.name, some, body.gone)


def _backup(said: BackupsMade) -> Backup:
    test = said.restore_test
    return Backup(
        None if said.last_ok is None else said.last_ok * 10**6,
        *(said.homes, said.failures, tuple(said.failed)),
        RestoreTest(test.at * 10**6, test.ok, tuple(test.problems)) if test else None,
    )


async def _largest(desk: QuotaRest, _query: Nothing, body: LookAnswer) -> None:
    mount, look = _mount_of(desk), OpenLook(body.kind, body.name, body.number)
    if body.answer:
        some = tuple(Entry(one.path, one.size, one.is_file) for one in body.answer.largest)
        found = Largest(some, body.answer.used, body.answer.complete, body.answer.problem)
        asked = await asyncio.to_thread(answer, desk.store, mount, look, found)
    else:
        asked = await asyncio.to_thread(progress, desk.store, mount, look, body.seen)
    if not asked:
        raise Refusal(404, _("Nobody asks that any more."))


OPERATIONS = (
    Operation(
        *("GET", "/storage/limits", Who.STORES, "The limits of storage that hold", _get),
        StorageLimits,
        query=Since,
        tag="storage",
        about="Waits for a change, so that an agent hears of it within a second.",
    ),
    Operation(
        *("POST", "/storage/use", Who.STORES, "What a file system says is used", _report),
        body=MountUse,
        tag="storage",
    ),
    Operation(
        *("POST", "/storage/largest", Who.STORES, "What takes up the room in a home", _largest),
        body=LookAnswer,
        problems=(404,),
        tag="storage",
        about="Of what 'asks' of the limits says. The names of files are for the home's owner.",
    ),
)
