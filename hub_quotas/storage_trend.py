"""What a directory held lately, and when it is full if that goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone, tzinfo
from itertools import combinations
from statistics import median

from hub_groups.words import _

from .burndown import BurnDown, picture
from .quantities import resource
from .svg import Svg, sparkline
from .usage_words import day_of
from .windows import DAY

LATELY = 14
"""Days that are taken for what comes."""
_AT_LEAST = 5
_AHEAD = 365
_DRAWN = 3
"""Days, at least: fewer make no picture."""
_GROWTH = 0.01
"""Of the limit, within LATELY: less is no growth that anybody has to think of."""


def full_at(days: Sequence[int], used: int, limit: int | None, at: int) -> int | None:
    """The instant at which nothing more can be written, at the pace of the last days; None where
    that can't be said, is more than a year ahead, or is so already.

    The pace is the median of those between any two of the days, so that one day on which much came
    or went is not taken for all that come.

    Args:
        days: the most bytes on each, the present one last.
        used, limit: bytes, now.
        at: microseconds since 1970, UTC.
    """
    some = days[-LATELY:]
    if limit is None or used >= limit or len(some) < _AT_LEAST:
        return None
    pairs = combinations(enumerate(some), 2)
    pace = median((later - earlier) / (day - before) for (before, earlier), (day, later) in pairs)
    if pace * LATELY < limit * _GROWTH:
        return None
    ahead = (limit - used) / pace
    return at + round(ahead * DAY) if ahead <= _AHEAD else None


def say_full_at(when: int, at: int, zone: tzinfo) -> str:
    """`Full around 12 December at this pace.`"""
    if when < at + DAY:
        return _("Full within a day at this pace.")
    day, here = (
        datetime.fromtimestamp(i // 10**6, timezone.utc).astimezone(zone) for i in (when, at)
    )
    return _("Full around {day} at this pace.").format(day=day_of(day, here))


def drawn(
    days: Sequence[int],
    used: int,
    limit: int | None,
    at: int,
    full: int | None,
    what: str,
    zone: tzinfo,
) -> Svg | None:
    """A picture of the last days, with the limit as a line and where it leads; None of too few.

    Args:
        full: see `full_at`.
        what: it is, for who can't see it.
        zone: that of the hub.
    """
    if len(days) < _DRAWN:
        return None
    levels = [*days[:-1], used]
    storage = resource("storage")
    assert storage
    text = _("{what}, the last {n} days: from {begin} to {end}")
    said = text.format(
        what=what, n=len(days), begin=storage.say(levels[0]), end=storage.say(levels[-1])
    )
    if limit is None:
        return sparkline([float(level) for level in levels], 600, 60, said)
    instants = [at - DAY * before for before in reversed(range(len(levels)))]
    end = at + (instants[-1] - instants[0]) // 3
    burn = BurnDown(instants, levels, limit, storage.say(limit), end, full, rolling=True)
    return picture(burn, said, zone)
