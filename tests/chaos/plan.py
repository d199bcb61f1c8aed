"""What is going to be done to a hub. Pure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

HEARTBEAT = 3
"""Seconds; a hub in production has a longer one."""
SHARES = {"hub": 25, "service": 20, "server": 55}
STEPS = (2, -1, 30, -10, 120, -3, 5, -20, 60, -45)
"""Seconds of the clock's steps, one after the other; more forward than back."""


@dataclass(frozen=True)
class Blow:
    """One thing that is done to the hub; of these a seed makes the same ones again.

    Attributes:
        what: hub, service, server, database, clock.
        wait: seconds before it.
        length: seconds for which the hub or the database stays away, or by which the clock steps.
        pick: which of the living, as a fraction.
    """

    what: str
    wait: float
    length: float
    pick: float


def plan(seed: int) -> Iterator[Blow]:
    """Blows by chance without an end, and between them outages and clock steps. Pure."""
    chance = random.Random(seed)
    for number in itertools.count():
        (what,) = chance.choices(list(SHARES), SHARES.values())
        # A hub that is down for longer than a heartbeat, every now and then.
        length = chance.choice([chance.uniform(0, 1), chance.uniform(0, 2 * HEARTBEAT)])
        yield Blow(what, chance.uniform(0.02, 2.5), length, chance.random())
        if number % 10 == 4:
            # Beyond the ten seconds for which SQLite waits for a lock, and well within.
            yield Blow("database", 0.5, chance.choice([2, 5, 13]), 0)
        if number % 6 == 2:
            yield Blow("clock", 0.2, STEPS[number // 6 % len(STEPS)], 0)
