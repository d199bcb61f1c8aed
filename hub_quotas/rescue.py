"""The server of somebody whose home is full: a small one, with some more room for a while. Pure.

JupyterLab does not start in a home that is full, so its owner could not delete anything either. A
rescue server keeps what it has to write itself somewhere else (see `rescue_server`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .requests import Request
from .windows import DAY

SIZE = {"cpu": 1000, "memory": 2**30}
"""What a rescue server gets at most: enough for a terminal and a file browser."""
LASTS = 60 * 60 * 10**6
"""Microseconds for which there is more room."""

_ENOUGH = 32 * 2**20
_LEAST_ROOM, _MOST_ROOM = 64 * 2**20, 2**30
_MORE_WHEN_OVER = 16 * 2**20


@dataclass(frozen=True)
class Rescue:
    """More room for a home.

    Attributes:
        amount: bytes, the limit that holds meanwhile.
        since: when it was worked out; microseconds since 1970, UTC.
        until: when the home's own limit holds again.
    """

    amount: int
    since: int
    until: int


def is_full(used: int, limit: int | None) -> bool:
    """Whether a home has so little left that a server might not start in it. Bytes."""
    return limit is not None and limit - used < min(_ENOUGH, limit // 50 + 1)


def rescue_of(used: int, limit: int, before: Rescue | None, at: int) -> Rescue:
    """More room for a home that is full, from `at` on.

    Within a day it is the same room again: who fills that too gets no more by starting anew.

    Args:
        used: bytes that the home holds.
        limit: bytes, the one that holds without a rescue.
        before: the last one.
    """
    if before and at < before.since + DAY and before.amount >= limit:
        return replace(before, until=at + LASTS)
    room = min(max(limit // 10, _LEAST_ROOM), _MOST_ROOM)
    return Rescue(max(limit + room, used + _MORE_WHEN_OVER), at, at + LASTS)


def fullest_folder(largest: Iterable[tuple[str, int, bool]], used: int) -> str:
    """The folder to open: as deep as still holds half of what the one above it does.

    Args:
        largest: path below the home, bytes, and whether it is a file, the largest first; of a
            folder with all in it.
        used: bytes of the whole home.

    Returns:
        its path; empty for the home itself.
    """
    folder, size = "", used
    for path, bytes_there, is_file in largest:
        if folder and not path.startswith(f"{folder}/"):
            continue
        if 2 * bytes_there < size:
            break
        if is_file:
            return path.rpartition("/")[0]
        folder, size = path, bytes_there
    return folder


def small(request: Request) -> Request:
    """What a rescue server asks for, in the place of what was asked for.

    What nobody needs for deleting files (GPUs) is left to others.
    """
    nothing = dict.fromkeys({*request.limits, *request.guarantees}, 0)
    shrunk = replace(request, clamp=True).held_to({**nothing, **SIZE})
    return replace(shrunk, clamp=request.clamp)
