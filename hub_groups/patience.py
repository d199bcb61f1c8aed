"""Waiting with an end to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def in_time(awaitable: Awaitable[T], seconds: float) -> T:
    """What `awaitable` comes to.

    `asyncio.wait_for` may forget that it was cancelled where that coincides with the result
    (before Python 3.12, python/cpython#86296): a loop around it would then go on for ever, and a
    hub that cancels its tasks when it stops would wait for it.

    Raises:
        asyncio.TimeoutError: it took longer, and was cancelled: what had not begun never will.
    """
    work = asyncio.ensure_future(awaitable)
    try:
        done, _late = await asyncio.wait({work}, timeout=seconds)
    except asyncio.CancelledError:
        work.cancel()
        raise
    if not done:
        work.cancel()
        raise asyncio.TimeoutError
    return work.result()
