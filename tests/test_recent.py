"""What is asked for by many at once is worked out once."""

from __future__ import annotations

import asyncio

import pytest
from threads import in_a_thread

from share_links import desk
from share_links.desk import Recent


class Work:
    def __init__(self) -> None:
        self.done = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.done += 1
        await self.go.wait()
        return self.done


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        at = 100.0

        def monotonic(self) -> float:
            return self.at

    found = Clock()
    monkeypatch.setattr(desk, "time", found)
    return found


@in_a_thread
async def test_a_class_that_clicks_at_once():
    recent, work = Recent(), Work()
    all_of_them = [asyncio.ensure_future(recent.get(work, "link")) for _unused in range(30)]
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(*all_of_them) == [1] * 30
    assert await recent.get(work, "other") == 2


@in_a_thread
async def test_who_asked_first_may_go():
    recent, work = Recent(), Work()
    first, second = (asyncio.ensure_future(recent.get(work, "link")) for _unused in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await second == 1


@in_a_thread
async def test_it_does_not_last(clock):
    recent, work = Recent(), Work()
    work.go.set()
    assert await recent.get(work, "link") == 1
    clock.at += 0.4
    assert await recent.get(work, "link") == 1
    clock.at += 1.2
    assert await recent.get(work, "link") == 2


@in_a_thread
async def test_what_changed_is_forgotten_and_the_rest_is_not():
    recent, work = Recent(), Work()
    work.go.set()
    assert [await recent.get(work, who, "x") for who in ("sam", "lee")] == [1, 2]
    recent.forget("sam")
    assert [await recent.get(work, who, "x") for who in ("sam", "lee")] == [3, 2]
    recent.forget()
    assert [await recent.get(work, who, "x") for who in ("sam", "lee")] == [4, 5]


@in_a_thread
async def test_an_error_is_that_of_all_who_wait_and_of_nobody_who_comes_then(clock):
    recent, work = Recent(), Work()
    work.go.set()

    async def fail() -> int:
        raise LookupError

    waiting = [recent.get(fail, "x"), recent.get(work, "x")]
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, LookupError)
    assert await recent.get(work, "x") == 1


@in_a_thread
async def test_memory_ends_somewhere(clock, monkeypatch):
    monkeypatch.setattr(desk, "_MOST_RECENT", 3)
    recent, work = Recent(), Work()
    work.go.set()
    for number in range(3):
        await recent.get(work, str(number))
    clock.at += 2
    await recent.get(work, "new")
    assert len(recent._known) == 1
