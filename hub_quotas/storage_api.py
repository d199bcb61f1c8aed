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

from .access import Who
from .desk import QuotaRest
from .storage_store import Directory, Mount, report
from .storage_wanted import WantedLimits
from .store import QuotaStore

_LONGEST_WAIT = 60
_MOST_AT_ONCE = 2000

_wanted: WeakKeyDictionary[QuotaStore, WantedLimits] = WeakKeyDictionary()


class Since(Model):
    """What the agent knows already."""

    epoch: str = Field("", max_length=64, description="As told before; empty for never")
    number: int = Field(0, ge=0, description="Of the last change that it knows")
    wait: float = Field(0, ge=0, le=_LONGEST_WAIT, description="Seconds to wait for a change")


class StorageLimits(Model):
    """Limits in bytes; null for none."""

    epoch: str = Field(description="Of which the number is: another one begins anew")
    number: int = Field(description="Of the last change that is in this")
    whole: bool = Field(description="Whether this is all there is, else what has changed")
    users: dict[str, int | None] = Field(description="Of homes, by user name")
    groups: dict[str, int | None] = Field(description="Of shared directories, by group name")
    otherwise: int | None = Field(description="Of the home of anybody else")


class DirectoryUse(Model):
    """A home, or the shared directory of a group."""

    kind: Literal["user", "group", "other"] = Field(description="What it is")
    name: str = Field(min_length=1, max_length=1000, description="Whose it is, or its path")
    used: int | None = Field(
        ge=0, lt=2**63, description="Bytes, as the file system counts them; null for not known"
    )
    applied: int | None = Field(None, ge=0, lt=2**63, description="The limit that holds there")
    problem: str = Field("", max_length=1000, description="Why no limit could be set")


class MountUse(Model):
    """What a file system says now; directories that are not in it stay as they were."""

    backend: str = Field(max_length=200, description="How limits are set: btrfs, simple quotas")
    size: int = Field(ge=0, lt=2**63, description="Bytes, of the whole file system")
    free: int = Field(ge=0, lt=2**63, description="Bytes")
    problems: list[str] = Field(default_factory=list, max_length=100, description="Sentences")
    directories: list[DirectoryUse] = Field(
        default_factory=list, max_length=_MOST_AT_ONCE, description="What has changed"
    )
    gone: list[str] = Field(
        default_factory=list, max_length=_MOST_AT_ONCE, description="KIND/NAME, of those no more"
    )


def _mount_of(desk: QuotaRest) -> str:
    """The mount that this token is about."""
    if desk.current_user.get("kind") != "service":
        raise Refusal(403, "This takes the token of a service, whose name is that of the mount.")
    return desk.user


async def _get(desk: QuotaRest, query: Since, _body: None) -> StorageLimits:
    _mount_of(desk)
    waiting = _wanted.get(desk.store)
    if waiting is None:
        waiting = _wanted[desk.store] = WantedLimits(desk.store, desk.groups)
    found = await waiting.get(query.epoch, query.number, query.wait)
    limits = found.limits
    return StorageLimits(
        epoch=found.epoch,
        number=found.number,
        whole=found.whole,
        users=dict(limits.users),
        groups=dict(limits.groups),
        otherwise=limits.otherwise,
    )


async def _report(desk: QuotaRest, _query: Nothing, body: MountUse) -> None:
    mount = Mount(_mount_of(desk), body.backend, body.size, body.free, tuple(body.problems))
    some = [
        Directory(one.kind, one.name, one.used, one.applied, one.problem)
        for one in body.directories
    ]
    await asyncio.to_thread(report, desk.store, mount, some, body.gone)


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
)
