"""How much a scan may ask of a file system: so many looks a second, and after everybody else."""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_AT_ONCE = 50
"""Looks between two rests; so a rest is some milliseconds."""
_THIS_THREAD, _IDLE = 1, 3 << 13
_NUMBERS = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
"""Of the system call ioprio_set; ioprio_get is the next."""


class Pace:
    """What is not used of a budget is not saved up; what was used in advance is rested off."""

    def __init__(
        self,
        budget: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args:
        budget: looks a second.
        """
        self._budget, self._clock, self._sleep = budget, clock, sleep
        self._began = self._ends = clock()
        self._looks = 0

    def start(self, seconds: float) -> bool:
        """Begin a stretch of so long; False where it is all needed for rest."""
        self._ends = self._clock() + seconds
        return self._rest()

    def look(self) -> bool:
        """Count a look, and rest where there were too many; False when time is up."""
        self._looks += 1
        return self._rest() if self._looks % _AT_ONCE == 0 else True

    def _rest(self) -> bool:
        now = self._clock()
        ahead = self._began + self._looks / self._budget - now
        if ahead <= 0:
            self._began, self._looks = now, 0
            return now < self._ends
        self._sleep(min(ahead, max(0.0, self._ends - now)))
        return now + ahead < self._ends


@contextmanager
def after_everybody_else() -> Iterator[None]:
    """Let this thread's input and output wait for that of others; where the kernel or its scheduler
    of disks knows no such thing, it is as it was."""
    number = _NUMBERS.get(platform.machine())
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        number = None
    if number is None:
        yield
        return
    before = call(number + 1, _THIS_THREAD, 0)
    call(number, _THIS_THREAD, 0, _IDLE)
    try:
        yield
    finally:
        if before >= 0:
            call(number, _THIS_THREAD, 0, before)


def is_idle() -> bool:
    """Whether this thread's input and output waits for that of others."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return False
    return int(ctypes.CDLL(None).syscall(number + 1, _THIS_THREAD, 0)) == _IDLE
