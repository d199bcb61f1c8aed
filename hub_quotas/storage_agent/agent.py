"""The agent's loop: one thread listens to the hub, the other looks after the file system."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from .backend import StorageError
from .keeper import Keeper
from .looking import Looker, Told
from .memory import Heard
from .record import Backups
from .service import MountState, Service, ServiceError, Use

log = logging.getLogger("hub-storage-agent")

_WAIT_SECONDS = 25
"""For which the service holds an answer back until there is something new; proxies cut off what
takes a minute."""
_SOONEST_SECONDS, _LATEST_SECONDS = 5.0, 30.0
"""From one look at everything to the next: escapes are to be found within a minute."""
_STRETCH_SECONDS = 0.5
"""For which homes are measured before the hub is listened to again."""
_REST = 150
"""A look that takes long is taken again after so many times as long."""
_REST_AFTER_CHANGE = 20
"""The same where limits have changed: the hub may wait to hear what a home that was full holds."""
_BACK_OFF = (1, 2, 5, 10, 20, 30)
"""Seconds after which a service that can't be reached is asked again."""

Watch = Callable[[MountState, list[Use]], None]


class Asked(Told, Protocol):
    """What of `Service` is used here."""

    def limits(self, epoch: str, number: int, wait: float, asked: int) -> Heard: ...

    def report(self, state: MountState, some: list[Use], gone: list[str]) -> None: ...


class Agent:
    """Of one mount."""

    def __init__(
        self,
        keeper: Keeper,
        service: Service | Asked,
        watch: Watch | None = None,
        backups: Callable[[], Backups | None] = lambda: None,
    ) -> None:
        """Args:
        watch: is told each look at everything, for metrics.
        backups: how they are doing.
        """
        self._keeper, self._service, self._watch = keeper, service, watch
        self._backups = backups
        self._looker = Looker(keeper.find, service)
        self._heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()
        self._taken = threading.Event()
        self._stopped = threading.Event()
        self._next_look = self._may_look = 0.0
        """By the monotonic clock: when to look at everything again, also where nothing changes; and
        from when on where it does."""

    def stop(self) -> None:
        """End `run` soon; from a signal handler too."""
        self._stopped.set()
        self._looker.stop()
        self._heard.put(None)

    def run(self) -> None:
        """Until `stop`. What was heard last holds from the first moment on."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._looker.start()
        while not self._stopped.is_set():
            if heard := self._next():
                self._take(heard)
            elif not self._stopped.is_set():
                self._look()
        self._keeper.keep()

    def _next(self) -> Heard | None:
        """What the hub says; None when it is time to look again, or to stop. Until then, homes are
        measured where they have to be."""
        while True:
            left = max(0.0, self._next_look - time.monotonic())
            measuring = left > 0 and self._keeper.measure(min(_STRETCH_SECONDS, left))
            left = max(0.0, self._next_look - time.monotonic())
            try:
                return self._heard.get(timeout=0 if measuring else left)
            except queue.Empty:
                if not measuring:
                    return None

    def _take(self, heard: Heard) -> None:
        try:
            self._keeper.take(heard)
        except (OSError, StorageError) as error:  # it is kept, and the next look applies it
            log.error("Limits can't be set: %s", error)
        self._taken.set()
        if time.monotonic() >= self._may_look:
            self._look()
        else:
            self._tell()

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._keeper.check()
        except (OSError, StorageError) as error:
            log.error("Limits can't be looked at: %s", error)
        self._keeper.keep()
        cost = time.monotonic() - began
        self._tell()
        ended = time.monotonic()
        self._may_look = ended + _REST_AFTER_CHANGE * cost
        self._next_look = ended + min(max(_SOONEST_SECONDS, _REST * cost), _LATEST_SECONDS)

    def _tell(self) -> None:
        state = replace(self._keeper.state(), backups=self._backups())
        some, gone = self._keeper.news()
        try:
            if self._watch:
                self._watch(state, self._keeper.uses)
        except OSError as error:
            log.warning("Metrics can't be written: %s", error)
        try:
            self._service.report(state, some, gone)
        except ServiceError as error:
            log.debug("Not told: %s", error)  # the listener says so, once
        else:
            self._keeper.told(some, gone)

    def _listen(self) -> None:
        failures = asked = 0
        while not self._stopped.is_set():
            try:
                epoch, number = self._keeper.epoch, self._keeper.number
                heard = self._service.limits(epoch, number, _WAIT_SECONDS, asked)
            except ServiceError as error:
                if not failures:
                    log.warning("%s Limits stay as they are; asking again.", error)
                self._stopped.wait(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
                failures += 1
                continue
            if failures:
                log.info("The quotas service answers again.")
            failures = 0
            asked = max((ask.number for ask in heard.asks), default=asked)
            self._looker.take(heard.asks)
            if heard.whole or heard.number != number:
                self._taken.clear()
                self._heard.put(heard)
                while not (self._taken.wait(1) or self._stopped.is_set()):
                    pass
