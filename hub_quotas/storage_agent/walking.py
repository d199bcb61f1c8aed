"""Going through all of a directory, which its owner changes meanwhile, or sets traps in."""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .backend import mount_table

_BLOCK = 512
"""Bytes of what stat(2) counts in, on any file system."""
_SUBVOLUME = 256
"""The inode of each subvolume of btrfs, which are devices of their own and yet no mounts."""
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Link = tuple[int, int]
"""Device and inode of a file with more than one name."""


@dataclass
class Walk:
    """How far it has come; a directory is counted wholly or not at all.

    Attributes:
        pending: directories that are still to be counted, below the top; the last one first.
        used: bytes.
        links: those that are counted already.
        unread: why a directory could not be read; empty where all could be.
    """

    pending: list[str] = field(default_factory=lambda: [""])
    used: int = 0
    links: set[Link] = field(default_factory=set)
    unread: str = ""


@dataclass(frozen=True)
class Counted:
    """A directory.

    Attributes:
        path: below the top; empty for that.
        own: bytes of itself, and of the files in it.
        files: how many files are in it.
        directories: how many directories are.
        largest: bytes and names of the largest files in it, as many as were asked for.
    """

    path: str
    own: int
    files: int
    directories: int
    largest: tuple[tuple[int, str], ...] = ()


def walk(top: Path, state: Walk, most: int = 0) -> Iterator[Counted | None]:
    """Go on from where the state is. Symbolic links and mounts are not gone into, also where they
    take the place of a directory meanwhile.

    Args:
        most: how many files of each directory to name.

    Yields:
        After each look at something None, and after each directory what it has.

    Raises:
        OSError: the top can't be read, or is none.
    """
    mounted = _mounts_below(top)
    here, last = "", os.open(top, _OPEN)
    try:
        root = os.dup(last)
        try:
            device = os.fstat(root).st_dev
            while state.pending:
                path = state.pending[-1]
                try:
                    fd, looks = _open(root, path, here, last)
                except OSError as error:
                    state.pending.pop()
                    if error.errno not in _VANISHED:
                        state.unread = f"{path or '.'} can't be read: {error.strerror}"
                    continue
                os.close(last)
                here, last = path, fd
                for _look in range(looks):
                    yield None
                found = os.fstat(fd)
                if path in mounted or found.st_dev != device and found.st_ino != _SUBVOLUME:
                    state.pending.pop()
                    continue
                yield (yield from _count(fd, path, found, state, most))
        finally:
            os.close(root)
    finally:
        os.close(last)


def _open(root: int, path: str, here: str, last: int) -> tuple[int, int]:
    """Go down name by name, so that none of them is a link. Most directories are right below the
    last one: where a thousand are in one another, it need not start at the top each time.

    Returns:
        The directory, and how many looks it took.
    """
    if here and path.startswith(f"{here}/"):
        root, path = last, path[len(here) + 1 :]
    fd, names = os.dup(root), path.split("/") if path else []
    for name in names:
        try:
            deeper = os.open(name, _OPEN, dir_fd=fd)
        finally:
            os.close(fd)
        fd = deeper
    return fd, len(names)


def _count(
    fd: int, path: str, found: os.stat_result, state: Walk, most: int
) -> Generator[None, None, Counted]:
    own, files = found.st_blocks * _BLOCK, 0
    inner: list[str] = []
    links: set[Link] = set()
    largest: list[tuple[int, str]] = []  # a heap, the smallest first
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                one = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _VANISHED:
                    state.unread = f"{_joined(path, entry.name)} can't be read: {error.strerror}"
                continue
            yield None
            if stat.S_ISDIR(one.st_mode):
                inner.append(_joined(path, entry.name))
                continue
            files += 1
            if one.st_nlink > 1:
                link = (one.st_dev, one.st_ino)
                if link in state.links or link in links:
                    continue
                links.add(link)
            own += one.st_blocks * _BLOCK
            if most:
                heapq.heappush(largest, (one.st_blocks * _BLOCK, entry.name))
                if len(largest) > most:
                    heapq.heappop(largest)
    state.pending.pop()
    state.pending += inner
    state.used += own
    state.links |= links
    return Counted(path, own, files, len(inner), tuple(largest))


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _mounts_below(top: Path) -> frozenset[str]:
    """Paths below the top that something is mounted at, which may be of the same device."""
    text = ""
    with suppress(OSError):
        text = Path("/proc/self/mounts").read_text(errors="surrogateescape")
    above = f"{top.resolve()}/"
    places = (where for _device, where, _kind in mount_table(text))
    return frozenset(where[len(above) :] for where in places if where.startswith(above))
