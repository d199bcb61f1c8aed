"""The limits of storage that hold, for agents that wait for the next change."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub_groups.store import GroupStore

from .limits import PolicyError
from .policy import group_name
from .rescues import rescued
from .storage import Changes, Limits, all_limits, by_groups, with_rescues
from .store import QuotaStore

_LOOK_SECONDS = 0.5
"""From one look at whether anything has changed to the next, while an agent waits."""
_AGAIN_SECONDS = 20
"""Boosts and memberships end with time, of which no look tells."""


@dataclass(frozen=True)
class Wanted:
    """What an agent is told.

    Attributes:
        epoch: of which the number is; another one begins anew.
        number: of the last change that is in it.
        whole: whether it is all there is, else what has changed since the agent heard last.
    """

    epoch: str
    number: int
    whole: bool
    limits: Limits


class WantedLimits:
    """Of one ledger; however many agents wait, it is looked at once."""

    def __init__(self, store: QuotaStore, groups: GroupStore) -> None:
        self._store, self._groups = store, groups
        self._epoch = secrets.token_hex(8)
        self._changes = Changes()
        self._members: Mapping[tuple[str, ...], Sequence[str]] = {}
        self._members_of = -1
        self._policy_of = -1
        self._rescues: Mapping[str, int] = {}
        self._read_at = float("-inf")
        self._looked = float("-inf")
        self._look: asyncio.Task[None] | None = None

    async def get(self, epoch: str, number: int, wait: float) -> Wanted:
        """What has changed after a number, as soon as anything has.

        Args:
            epoch: as it was told before; empty for never.
            wait: seconds after which nothing has.
        """
        end = time.monotonic() + wait
        while True:
            await self._fresh()
            whole = epoch != self._epoch
            if whole or self._changes.number > number or time.monotonic() >= end:
                limits = self._changes.limits if whole else self._changes.since(number)
                return Wanted(self._epoch, self._changes.number, whole, limits)
            await asyncio.sleep(_LOOK_SECONDS)

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
        change, present = self._groups.last_change(), time.monotonic()
        is_old = present > self._read_at + _AGAIN_SECONDS
        if change != self._members_of or is_old:
            everybody = self._groups.everybody().items()
            self._members = by_groups({user: _names(some) for user, some in everybody})
        seen = (change, held.version, rescues)
        if seen != (self._members_of, self._policy_of, self._rescues) or is_old:
            limits = all_limits(held.policy, self._members, at, self._store.zone)
            self._changes.update(with_rescues(limits, rescues))
            self._members_of, self._policy_of, self._rescues = seen
        if is_old:
            self._read_at = present
        self._looked = time.monotonic()


def _names(groups: tuple[str, ...]) -> tuple[str, ...]:
    """As policies have them; a name that no policy can have has no limits."""
    found = []
    for name in groups:
        try:
            found.append(group_name(name))
        except PolicyError:
            continue
    return tuple(found)
