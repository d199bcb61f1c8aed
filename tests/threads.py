"""Event loops in a thread of their own: browser tests leave one behind in this one."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import Future
from threading import Thread


def finish(coroutine):
    """The result of a coroutine. Who stops waiting for it, as a test whose time is up, is free."""
    result = Future()

    def work():
        try:
            result.set_result(asyncio.run(coroutine))
        except BaseException as error:
            result.set_exception(error)

    Thread(target=work, daemon=True).start()
    return result.result()


def in_a_thread(test):
    """An `async def` test that runs beside a browser's."""

    @functools.wraps(test)
    def run(*arguments, **fixtures):
        return finish(test(*arguments, **fixtures))

    return run
