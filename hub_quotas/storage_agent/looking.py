"""Looks into homes whose owners ask what takes up the room there, one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .backend import StorageError
from .largest import Largest, largest
from .memory import Ask
from .service import ServiceError

log = logging.getLogger("hub-storage-agent")


class Told(Protocol):
    """What of `Service` is used here."""

    def seen(self, ask: Ask, seen: int) -> None: ...

    def answer(self, ask: Ask, found: Largest | None, problem: str = "") -> None: ...


class Looker:
    """In a thread of its own: that it takes long keeps nothing else from being done."""

    def __init__(self, find: Callable[[str, str], Path], service: Told) -> None:
        """Args:
        find: where the home of a kind and name is; raises StorageError.
        """
        self._find, self._service = find, service
        self._waiting: list[Ask] = []
        self._taken: set[Ask] = set()
        self._news = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Break off soon; from a signal handler too."""
        self._stopped = True

    def take(self, asks: Sequence[Ask]) -> None:
        """All that the hub says is asked for now."""
        with self._news:
            self._taken.intersection_update(asks)
            self._waiting = [ask for ask in asks if ask not in self._taken]
            self._news.notify()

    def _run(self) -> None:
        while not self._stopped:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                ask = self._waiting.pop(0)
                self._taken.add(ask)
            try:
                self._look(ask)
            except ServiceError as error:
                log.warning("What is largest in the home of %s is not told: %s", ask.name, error)
                with self._news:  # for the hub will say again that it is asked for
                    self._taken.discard(ask)

    def _look(self, ask: Ask) -> None:
        def say(seen: int) -> bool:
            self._service.seen(ask, seen)
            return not self._stopped

        try:
            found = largest(self._find(ask.kind, ask.name), say=say)
        except StorageError as error:
            self._service.answer(ask, None, str(error))
        else:
            if not self._stopped:  # it is not all that could be found
                self._service.answer(ask, found)
