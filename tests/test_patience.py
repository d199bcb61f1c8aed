"""Who waits with an end to it hears of being cancelled, whatever else happens at that moment."""

from __future__ import annotations

import asyncio

import pytest
from threads import in_a_thread

from hub_groups.patience import in_time


async def waiting(work):
    task = asyncio.ensure_future(in_time(work, 5))
    await asyncio.sleep(0.01)
    return task


@pytest.mark.parametrize("turns", range(2))
@pytest.mark.parametrize("result", [1, OSError("away")])
@in_a_thread
async def test_cancelled_at_the_moment_when_there_is_a_result(turns, result):
    work = asyncio.get_running_loop().create_future()
    task = await waiting(work)
    (work.set_exception if isinstance(result, Exception) else work.set_result)(result)
    for _ in range(turns):  # of the loop, of which the result takes a few to arrive
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@in_a_thread
async def test_what_it_comes_to_is_what_it_came_to():
    assert await in_time(asyncio.sleep(0, "here"), 5) == "here"

    async def fails():
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await in_time(fails(), 5)


@in_a_thread
async def test_what_takes_longer_is_cancelled_and_so_is_what_nobody_waits_for_any_more():
    slow = asyncio.ensure_future(asyncio.sleep(60))
    with pytest.raises(asyncio.TimeoutError):
        await in_time(slow, 0.01)
    unwanted = asyncio.ensure_future(asyncio.sleep(60))
    (await waiting(unwanted)).cancel()
    await asyncio.sleep(0.01)
    assert slow.cancelled() and unwanted.cancelled()
