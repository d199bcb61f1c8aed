"""Event loops in a thread of their own: browser tests leave one behind in this one."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor


def finish(coroutine):
    """The result of a coroutine."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def in_a_thread(test):
    """An `async def` test that runs beside a browser's."""

    @functools.wraps(test)
    def run(*arguments, **fixtures):
        return finish(test(*arguments, **fixtures))

    return run
