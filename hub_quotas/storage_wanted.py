"""The limits of storage that hold, for agents that wait for the next change."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hub_groups.store import GroupStore

from .limits import PolicyError
from .policy import group_name
from .rescues import rescued
from .storage import Allowed, Changes, Key, Limits, all_allowed, by_groups, with_rescues
from .storage_looks import OpenLook, open_looks
from .storage_store import Directory, Mount, read_above, report, weigh
from .store import QuotaStore

_LOOK_SECONDS = 0.5
"""From one look at whether anything has changed to the next, while an agent waits."""
_AGAIN_SECONDS = 20
"""Boosts, memberships and grace periods end with time, of which no look tells."""


@dataclass(frozen=True)
class Wanted:
    """What an agent is told.

    Attributes:
        epoch: of which the number is; another one begins anew.
        number: of the last change that is in it.
        whole: whether it is all there is, else what has changed since the agent heard last.
        asks: all that its mount is asked.
    """

    epoch: str
    number: int
    whole: bool
    limits: Limits
    asks: Sequence[OpenLook] = ()


@dataclass
class _Told:
    """What an agent has been told.

    Attributes:
        softs: the soft limits by which its directories were weighed last.
        held: directories that are held to their soft limit, with that in bytes.
        is_heard: whether it has said something since `held` was looked up.
    """

    changes: Changes = field(default_factory=Changes)
    softs: Mapping[Key, int] = field(default_factory=dict)
    held: Mapping[Key, int] = field(default_factory=dict)
    is_heard: bool = True


class WantedLimits:
    """Of one ledger; however many agents wait, it is looked at once.

    Each mount is told its own: whether a directory has been above its soft limit for too long
    depends on what is there.
    """

    def __init__(self, store: QuotaStore, groups: GroupStore) -> None:
        self._store, self._groups = store, groups
        self._epoch = secrets.token_hex(8)
        self._allowed = Allowed()
        self._told: dict[str, _Told] = {}
        self._members: Mapping[tuple[str, ...], Sequence[str]] = {}
        self._asks: Mapping[str, Sequence[OpenLook]] = {}
        self._members_of = -1
        self._policy_of = -1
        self._rescues: Mapping[str, int] = {}
        self._read_at = float("-inf")
        self._looked = float("-inf")
        self._look: asyncio.Task[None] | None = None
        # A report is weighed by soft limits that do not change meanwhile.
        self._weighing = threading.Lock()

    async def get(self, mount: str, epoch: str, number: int, asked: int, wait: float) -> Wanted:
        """What has changed for a mount after a number, as soon as anything has.

        Args:
            epoch: as it was told before; empty for never.
            asked: the number of the last ask that the mount knows.
            wait: seconds after which nothing has.
        """
        end = time.monotonic() + wait
        changes, whole = self._told_to(mount).changes, epoch != self._epoch
        while True:
            await self._fresh()
            asks = self._asks.get(mount, ())
            last = changes.number  # before the limits: they may be newer, but never older
            has_news = whole or last > number or any(ask.number > asked for ask in asks)
            # Before the first look there are no limits, which is not to say that none hold.
            if last and (has_news or time.monotonic() >= end):
                limits = changes.limits if whole else changes.since(number)
                return Wanted(self._epoch, last, whole, limits, asks)
            await asyncio.sleep(_LOOK_SECONDS)

    def _told_to(self, mount: str) -> _Told:
        if mount not in self._told:
            self._told[mount] = _Told()
            self._looked = float("-inf")
        return self._told[mount]

    async def report(self, mount: Mount, some: Iterable[Directory], gone: Iterable[str]) -> None:
        """Write down what an agent says, and since when what is above its soft limit."""
        told = self._told_to(mount.name)
        await self._fresh()
        await asyncio.to_thread(self._report, mount, some, gone)
        told.is_heard = True

    def _report(self, mount: Mount, some: Iterable[Directory], gone: Iterable[str]) -> None:
        with self._weighing:
            report(self._store, mount, some, gone, self._allowed.softs)

    async def _fresh(self) -> None:
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(asyncio.to_thread(self.look))
        await asyncio.shield(self._look)

    def look(self) -> None:
        """Read what has changed, if anything has. Blocks."""
        with self._store.db.read() as tx:
            held, at = self._store.policies.held(tx), self._store.present(tx)
            rescues = rescued(tx, at)
            self._asks = open_looks(tx)
        change, present = self._groups.last_change(), time.monotonic()
        is_old = present > self._read_at + _AGAIN_SECONDS
        if change != self._members_of or is_old:
            everybody = self._groups.everybody().items()
            self._members = by_groups({user: names_of(some) for user, some in everybody})
        is_new = (change, held.version) != (self._members_of, self._policy_of) or is_old
        has_rescues, self._rescues = rescues != self._rescues, rescues
        if is_new:
            allowed = all_allowed(held.policy, self._members, at, self._store.zone)
            with self._weighing:
                self._allowed = allowed
        for mount, told in list(self._told.items()):
            self._tell(mount, told, at, is_new or has_rescues)
        self._members_of, self._policy_of = change, held.version
        if is_old:
            self._read_at = present
        self._looked = time.monotonic()

    def _tell(self, mount: str, told: _Told, at: int, is_new: bool) -> None:
        """Args:
        is_new: whether limits have changed since it was told last.
        """
        is_first, allowed = not told.changes.number, self._allowed
        before, is_heard, told.is_heard = told.held, told.is_heard, False
        if is_first or is_new or is_heard:
            told.held = self._held(mount, told, at)
        if is_first or is_new or told.held != before:
            told.changes.update(with_rescues(allowed.limits(told.held), self._rescues))

    def _held(self, mount: str, told: _Told, at: int) -> Mapping[Key, int]:
        """Which directories of a mount are held to their soft limit."""
        softs = self._allowed.softs
        if not softs and not told.softs and told.changes.number:
            return {}  # the most there is to do where no limit is soft
        with self._store.db.read() as tx:
            above = read_above(tx, mount)
        changed = {key for key, amount in softs.items() if told.softs.get(key) != amount}
        changed |= (told.softs.keys() | above.keys()) - softs.keys()
        if changed:
            with self._weighing:
                moved = weigh(self._store, mount, softs, changed)
            told.softs = softs
            if moved:
                with self._store.db.read() as tx:
                    above = read_above(tx, mount)
        return self._allowed.held(above, at)


def names_of(groups: tuple[str, ...]) -> tuple[str, ...]:
    """As policies have them; a name that no policy can have has no limits."""
    found = []
    for name in groups:
        try:
            found.append(group_name(name))
        except PolicyError:
            continue
    return tuple(found)
