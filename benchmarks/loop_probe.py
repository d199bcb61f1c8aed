"""How long code sits on a hub's event loop. Imported by the hub's configuration, scale_config.py.

Exact, not sampled: each of the bundle's methods that the hub calls is wrapped, and each step of
its coroutines is timed from the outermost of our frames to its return, with what we call in turn.
Wall time: what the kernel or another thread takes in between counts too, but for Python's garbage
collections, which stop everybody, whoever made the garbage: those are counted by themselves.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import statistics
import threading
import time
from asyncio import base_events
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

TICK = 0.01
"""Seconds between two looks at how late the loop is."""


class LoopProbe:
    """Durations in ms since the last look."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._inside: str | None = None
        self._in_turn = 0.0
        self._collecting_since = self._collected = 0.0
        gc.callbacks.append(self._collects)
        self._clear()

    def _clear(self) -> None:
        self.lags: list[float] = []
        self.collections: list[float] = []
        self.turns: list[float] = []  # of the loop, in which there was anything of ours
        self.steps: dict[str, list[tuple[float, float]]] = {}  # wall and CPU time, by method

    def _collects(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            took = 1000 * (time.perf_counter() - self._collecting_since)
            self._collected += took
            self.collections.append(took)

    def watch(self, module: ModuleType) -> None:
        """Time all methods of the classes of a module of ours."""
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                for name, value in list(vars(kind).items()):
                    if isinstance(value, FunctionType) and not name.startswith("__"):
                        label = f"{kind.__name__}.{name}"
                        setattr(kind, name, self._timed(value, label))

    def _timed(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = self._step(label, function, *args, **kwargs)
            if asyncio.iscoroutine(result):
                return _whole(_Steps(result, functools.partial(self._step, label)))
            return result

        return call

    def _step(self, label: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._inside or threading.get_ident() != self._thread:
            return function(*args, **kwargs)
        self._inside, collected = label, self._collected
        cpu, begin = time.thread_time(), time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            collected = self._collected - collected
            took = 1000 * (time.perf_counter() - begin) - collected
            cpu = max(0.0, 1000 * (time.thread_time() - cpu) - collected)
            self._inside = None
            self._in_turn += took
            self.steps.setdefault(label, []).append((took, cpu))

    def start(self) -> None:
        """Look at the loop itself too; called while it runs."""
        loop = asyncio.get_running_loop()
        run_once = base_events.BaseEventLoop._run_once

        def turn(self_: Any) -> None:
            self._in_turn = 0.0
            run_once(self_)
            if self._in_turn:
                self.turns.append(self._in_turn)

        base_events.BaseEventLoop._run_once = turn

        def tick(due: float) -> None:
            now = loop.time()
            self.lags.append(1000 * (now - due))
            loop.call_at(now + TICK, tick, now + TICK)

        loop.call_later(TICK, tick, loop.time() + TICK)

    def figures(self) -> dict[str, Any]:
        """What was seen since the last call; ms."""
        found = {
            "lag": summary(self.lags),
            "ours": summary(self.turns),
            "gc": summary(self.collections),
            "steps": {
                label: {**summary([wall for wall, _ in took]), "cpu": max(cpu for _, cpu in took)}
                for label, took in self.steps.items()
            },
        }
        self._clear()
        return found


class _Steps:
    """A coroutine, each step of which goes through `run`."""

    def __init__(self, coroutine: Any, run: Callable[..., Any]) -> None:
        self._coroutine, self._run = coroutine, run

    def __await__(self) -> Any:
        go_on, value = self._coroutine.send, None
        while True:
            try:
                waits_for = self._run(go_on, value)
            except StopIteration as end:
                return end.value
            try:
                go_on, value = self._coroutine.send, (yield waits_for)
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # a cancellation, for one
                go_on, value = self._coroutine.throw, error


async def _whole(steps: _Steps) -> Any:
    return await steps


def summary(times: list[float]) -> dict[str, float]:
    """Count, median, p99 and maximum."""
    if not times:
        return {"count": 0, "p50": 0, "p99": 0, "max": 0}
    ranks = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return {"count": len(times), "p50": ranks[49], "p99": ranks[98], "max": max(times)}
