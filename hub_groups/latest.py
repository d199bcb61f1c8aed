"""What is dear to compute, and what many ask for: the latest, while a newer one is computed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

_REST = 20
"""How long what was computed is good for, as a multiple of the time that it took."""
_LONGEST_REST = 30
"""Seconds; what took long because something was in the way is computed again soon."""
_QUICK = 0.05
"""Seconds; what took no longer is waited for, else what was computed before is shown."""
_TOO_OLD = 120
"""Seconds; what is older is not shown."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Made(Generic[T]):
    """Times are seconds of the monotonic clock."""

    value: T
    began: float
    ended: float

    @property
    def cost(self) -> float:
        return self.ended - self.began

    @property
    def age(self) -> float:
        return time.monotonic() - self.ended

    @property
    def is_good(self) -> bool:
        return self.age < min(_REST * self.cost, _LONGEST_REST)


class Latest(Generic[T]):
    """Computed when somebody asks and what there is is no longer good, by one thread at a time."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._made: _Made[T] | None = None
        self._one_at_a_time = threading.Lock()
        self._task: asyncio.Task[T] | None = None

    def now(self, since: float = 0.0) -> T:
        """One that is good. Blocks.

        Args:
            since: computed no earlier than this; seconds of the monotonic clock.
        """
        with self._one_at_a_time:
            made = self._made
            if made is None or made.began < since or not made.is_good:
                began = time.monotonic()
                made = self._made = _Made(self._compute(), began, time.monotonic())
            return made.value

    async def get(self) -> T:
        """What there is, or a newer one where that does not take long."""
        made = self._made
        if made and made.is_good:
            return made.value
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(asyncio.to_thread(self.now))
            self._task.add_done_callback(_look_at_errors)
        if made is None or made.age > _TOO_OLD:
            return await asyncio.shield(self._task)
        if made.cost < _QUICK:
            await asyncio.wait([self._task], timeout=2 * _QUICK)
        assert self._made
        return self._made.value


def _look_at_errors(task: asyncio.Task[T]) -> None:
    """Who waits for it gets them; asyncio complains of those that nobody has looked at."""
    if not task.cancelled():
        task.exception()
