"""What every kind of file system does for the agent, and which one a mount has."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class StorageError(RuntimeError):
    """Limits can't be set or read; the message says what was wrong and what would be right."""


@dataclass(frozen=True)
class Held:
    """What the file system says of one home. Bytes.

    Attributes:
        used: as the file system counts it, which may be some seconds ago; None where nobody can
            tell.
        limit: beyond which it refuses to write; None for none.
        asked: what a volume of its own was asked to be. It may be larger, and always has a limit.
    """

    used: int | None
    limit: int | None = None
    asked: int | None = None


_BLOCK = 4096
"""Bytes; some file systems count limits in whole blocks, and round them down."""


def holds(held: Held, limit: int | None) -> bool:
    """Whether what a file system says is the limit that was set."""
    if held.asked is not None and held.limit is not None:
        return limit is None or held.asked - _BLOCK < limit <= held.limit
    if held.limit is None or limit is None:
        return held.limit is limit
    return abs(limit - held.limit) < _BLOCK


def said(amount: int | None) -> str:
    """Bytes as `10 GiB`; the largest unit of which it is at least one."""
    if amount is None:
        return "no limit"
    size, units = float(amount), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.4g} {units[0]}"


@dataclass(frozen=True)
class Escape:
    """Something in a home that was not counted there, and is now.

    Attributes:
        home: its path below the mount.
        what: one sentence.
    """

    home: str
    what: str


class Backend(Protocol):
    """One mount. Homes are directories below it, by their relative paths; each call may block.

    All of it is idempotent: what was broken off halfway is right after the next call.
    """

    @property
    def name(self) -> str:
        """For people: `btrfs, simple quotas`."""

    def prepare(self) -> None:
        """Turn counting on where it is off.

        Raises:
            StorageError: it is off, and can't be turned on while the file system is mounted.
        """

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        """Make a home that does not exist, so that it can be limited; one that does stays as it is.

        Args:
            owner: user and group by number.
        """

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        """Set limits in bytes, None for none; of homes that don't exist, nothing is said.

        Never deletes or truncates: below what is used, nothing more can be written.

        Returns:
            Why, for each home whose limit could not be set.
        """

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        """What is used and what holds, of those that exist and are counted."""

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Find what owners have put beyond their limits, and count it again."""


class Place(Protocol):
    """What homes are below."""

    def listed(self, parent: str) -> Iterable[str]:
        """The names of the directories in one of them, by its path; empty for the place itself.

        Raises:
            OSError
        """

    def room(self) -> tuple[int, int]:
        """Bytes, of all of it and free."""


class Folder:
    """A directory as a place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def listed(self, parent: str) -> Iterable[str]:
        with os.scandir(self._path / parent) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def room(self) -> tuple[int, int]:
        found = os.statvfs(self._path)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def find_mount(path: Path, mounts: str | None = None) -> tuple[Path, str, str]:
    """Where the file system of a directory is mounted, its type, and its device.

    Args:
        mounts: the text of /proc/self/mounts, if not that.
    """
    path = path.resolve()
    text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    found: tuple[Path, str, str] | None = None
    for device, where, kind in mount_table(text):
        if path.is_relative_to(where) and (not found or Path(where).is_relative_to(found[0])):
            found = Path(where), kind, device
    if found is None:
        raise StorageError(f"{path} is on no mounted file system.")
    return found


def mount_table(text: str) -> Iterator[tuple[str, str, str]]:
    """Device, place and type of each mount, of the text of /proc/self/mounts."""
    for line in text.split("\n"):
        if line:
            device, where, kind, *_rest = (_unescaped(word) for word in line.split(" "))
            yield device, where, kind


def _unescaped(word: str) -> str:
    """As the kernel writes spaces, tabs, newlines and backslashes in its table of mounts."""
    for code, sign in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        word = word.replace(f"\\{code}", sign)
    return word


def find_backend(path: Path) -> Backend:
    """The backend for a directory, by the type of its file system; where none sets limits there,
    one that only measures.

    Raises:
        StorageError: nothing can be said of it.
    """
    if not path.is_dir():
        raise StorageError(f"{path} is not a directory.")
    _mount, kind, device = find_mount(path)
    makers: dict[str, Callable[[], Backend]] = {
        "btrfs": lambda: _btrfs(path),
        "ceph": lambda: _ceph(path),
        "ext4": lambda: _projects(path, kind, device),
        "fuse.ceph": lambda: _ceph(path),
        "fuse.ceph-fuse": lambda: _ceph(path),
        "fuse.zfs": lambda: _zfs(path),
        "xfs": lambda: _projects(path, kind, device),
        "zfs": lambda: _zfs(path),
    }
    return makers[kind]() if kind in makers else _measuring(path, kind)


def _btrfs(path: Path) -> Backend:
    from .btrfs import Btrfs

    return Btrfs(path)


def _projects(path: Path, kind: str, device: str) -> Backend:
    from .project import ProjectQuotas

    return ProjectQuotas(path, kind, device)


def _ceph(path: Path) -> Backend:
    from .cephfs import CephFS

    return CephFS(path)


def _zfs(path: Path) -> Backend:
    from .zfs import Zfs

    return Zfs(path)


def _measuring(path: Path, kind: str) -> Backend:
    from .measuring import Measuring

    return Measuring(path, kind)
