"""When to look into homes: at once where there is a sign of an escape, else each in its turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .backend import Escape

LOOK, SWEEP = 5.0, 0.5
"""Seconds of a call: with a sign of an escape, and without."""


@dataclass(frozen=True)
class Use:
    """Of one project: bytes and inodes, and the limit in bytes; 0 for none."""

    space: int = 0
    inodes: int = 0
    limit: int = 0

    def grew(self, before: Use) -> bool:
        return self.space > before.space or self.inodes > before.inodes


@dataclass
class _Round:
    """One look into all homes, over many calls.

    Attributes:
        homes: that are still to come.
        outside: what projects that are no home's used when it began.
        urgent: there was a sign of an escape.
        looking: the home that it is at.
        found: that not all was right.
    """

    homes: deque[str]
    outside: Mapping[int, Use]
    urgent: bool
    looking: Iterator[Escape | None] | None
    found: bool = False


class Rounds:
    """Of one file system."""

    def __init__(self, look: Callable[[str], Iterator[Escape | None]]) -> None:
        """`look` gives None for each file of a home, and what it found there."""
        self._look = look
        self._clean: Mapping[int, Use] | None = None
        """What projects that are no home's used when the last round began that found nothing."""
        self._before: Mapping[int, Use] = {}
        self._round: _Round | None = None

    def go_on(
        self, homes: Mapping[str, int], uses: Mapping[int, Use], tampered: set[str]
    ) -> list[Escape]:
        """Look for a time; a home that takes longer goes on at the next call.

        Args:
            homes: all of them, with their projects.
            uses: of all projects.
            tampered: homes with a sign of their own.
        """
        ours = set(homes.values())
        outside = {project: use for project, use in uses.items() if project not in ours}
        sign = self._grew(outside) or bool(tampered)
        last = self._round
        if last is None or (not last.urgent and (sign or last.found)):
            same = {project for project, use in uses.items() if use == self._before.get(project)}
            order = sorted(homes, key=lambda home: (home not in tampered, homes[home] in same))
            urgent = sign or last is not None
            self._round = _Round(deque(order), outside, urgent, last.looking if last else None)
        assert self._round
        self._round.found |= bool(tampered)
        self._before = uses
        return self._some(self._round)

    def _grew(self, outside: Mapping[int, Use]) -> bool:
        """Whether projects that are no home's use more than when all was right."""
        if self._clean is None:
            return True
        nothing = Use()
        if any(use.grew(self._clean.get(project, nothing)) for project, use in outside.items()):
            return True
        self._clean = outside  # what is freed is not to be filled unseen
        return False

    def _some(self, round: _Round) -> list[Escape]:
        end = time.monotonic() + (LOOK if round.urgent else SWEEP)
        found = []
        while round.looking or round.homes:
            round.looking = round.looking or self._look(round.homes.popleft())
            for escape in round.looking:
                if escape:
                    round.found = True
                    found.append(escape)
                if time.monotonic() >= end:
                    return found
            round.looking = None
        self._clean = None if round.found else round.outside
        self._round = None
        return found
