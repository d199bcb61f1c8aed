"""What takes up the room in a home."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .backend import StorageError
from .pace import Pace, after_everybody_else
from .walking import Walk, walk

MOST = 20
BUDGET = 10_000
"""Looks at files and directories a second: somebody waits for it."""
_SECONDS = 120.0
_EVERY_SECONDS = 1.0
_DEEPEST = 12
"""Directories further down count as part of the one that deep."""
_MOST_DIRECTORIES = 200_000
_LONGEST_PATH = 4000
"""Bytes; files further down can't be opened by their path anyway."""


@dataclass(frozen=True)
class Found:
    """A directory or a file.

    Attributes:
        path: below the home.
        size: bytes, of a directory with all in it.
    """

    path: str
    size: int
    is_file: bool = False


@dataclass(frozen=True)
class Largest:
    """What takes up the room in a home.

    Attributes:
        found: the largest first. A directory that has nothing but one directory or file is left
            out for that.
        used: bytes of all that was seen.
        complete: whether all was seen before time was up.
    """

    found: tuple[Found, ...]
    used: int
    complete: bool


def largest(
    path: Path,
    most: int = MOST,
    seconds: float = _SECONDS,
    budget: float = BUDGET,
    say: Callable[[int], bool] = lambda _seen: True,
) -> Largest:
    """The largest directories and files of a home, on any file system.

    Args:
        seconds: after which what was seen until then is said.
        budget: looks a second.
        say: is told each second how many files and directories were seen; to go no further it
            returns False.

    Raises:
        StorageError: it can't be read, or is none.
    """
    sums: dict[str, int] = {}
    shells: set[str] = set()
    biggest: list[tuple[int, str]] = []  # a heap, the smallest first
    state, pace = Walk(), Pace(budget)
    seen, said = 0, time.monotonic()
    with after_everybody_else():
        going = pace.start(seconds)
        try:
            for counted in walk(path, state, most):
                if counted:
                    _add(sums, counted.path, counted.own)
                    for size, name in counted.largest:
                        _keep(biggest, size, f"{counted.path}/{name}".lstrip("/"), most)
                    if counted.files + counted.directories == 1 and _depth(counted.path) < _DEEPEST:
                        shells.add(counted.path)
                else:
                    seen += 1
                    if time.monotonic() >= said + _EVERY_SECONDS:
                        going = say(seen)
                        said = time.monotonic()
                going = pace.look() and going and len(sums) < _MOST_DIRECTORIES
                if not going:
                    break
        except OSError as error:
            raise StorageError(f"The home can't be read: {error.strerror}.") from None
    directories = ((size, name) for name, size in sums.items() if name not in shells)
    some = [(size, name, False) for size, name in heapq.nlargest(most, directories)]
    some += [(size, name, True) for size, name in biggest]
    found = tuple(Found(readable(name), size, file) for size, name, file in _first(some, most))
    return Largest(found, state.used, not state.pending and not state.unread)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0


def _add(sums: dict[str, int], path: str, own: int) -> None:
    """To a directory and those above it."""
    names = path.split("/")[:_DEEPEST] if path else []
    for depth in range(1, len(names) + 1):
        above = "/".join(names[:depth])
        sums[above] = sums.get(above, 0) + own


def _keep(biggest: list[tuple[int, str]], size: int, path: str, most: int) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        heapq.heappush(biggest, (size, path))
        if len(biggest) > most:
            heapq.heappop(biggest)


def _first(some: list[tuple[int, str, bool]], most: int) -> list[tuple[int, str, bool]]:
    return sorted(some, key=lambda one: (-one[0], one[1]))[:most]


def readable(name: str) -> str:
    """What is not Unicode can't be said everywhere."""
    return os.fsencode(name).decode(errors="replace")
