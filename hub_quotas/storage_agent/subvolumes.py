"""Subvolumes of btrfs: made, copied, removed, and found inside of one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from . import btrfs_calls as calls
from .backend import find_mount

_READ_ONLY = 2


def on_btrfs(path: Path) -> bool:
    return find_mount(path)[1] == "btrfs"


def quotas(path: Path) -> str:
    """`simple` or `full` where a file system is btrfs and counts, else empty.

    With simple ones, blocks that are shared are on the account of the one who wrote them. With full
    ones, a snapshot of what has a limit makes the kernel lose count, and until all is counted anew
    no limit holds.
    """
    if not on_btrfs(path):
        return ""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _key, item in calls.search(fd, calls.QUOTA_TREE, *_all_of(0, calls.STATUS)):
            (flags,) = struct.unpack_from("<Q", item, 16)
            return "" if not flags & calls.ON else "simple" if flags & calls.SIMPLE else "full"
    except FileNotFoundError:  # no quotas, no tree
        pass
    finally:
        os.close(fd)
    return ""


def can_be_snapshot(path: Path, folder: int) -> bool:
    """Whether a folder on the file system of a path can be kept by `snapshot`."""
    return on_btrfs(path) and is_subvolume(folder) and quotas(path) != "full"


def is_subvolume(folder: int) -> bool:
    """Of a folder that is on btrfs."""
    return os.fstat(folder).st_ino == calls.FIRST_INODE


def create(name: str, within: int) -> None:
    calls.ioctl(within, calls.SUBVOL_CREATE, bytearray(struct.pack("q4088s", 0, os.fsencode(name))))


def snapshot(subvolume: int, name: str, within: int, writable: bool = False) -> None:
    """All of a subvolume as it is now, but for the subvolumes inside.

    Raises:
        FileExistsError: the name is taken.
    """
    flags = 0 if writable else _READ_ONLY
    fields = struct.pack("qQQ32x4040s", subvolume, 0, flags, os.fsencode(name))
    calls.ioctl(within, calls.SNAP_CREATE, bytearray(fields))


def destroy(name: str, within: int) -> None:
    """One with all that is in it."""
    calls.ioctl(within, calls.SNAP_DESTROY, bytearray(struct.pack("q4088s", 0, os.fsencode(name))))


def is_read_only(subvolume: int) -> bool:
    answer = bytearray(8)
    calls.ioctl(subvolume, calls.SUBVOL_GETFLAGS, answer)
    return bool(struct.unpack("Q", answer)[0] & _READ_ONLY)


def inside(subvolume: int) -> list[str]:
    """The paths of the subvolumes in one, at any depth."""
    id, _path = _look_up(subvolume, 0, calls.FIRST_INODE)
    return sorted(_below(subvolume, id, ""))


def _below(fd: int, id: int, prefix: str) -> Iterator[str]:
    for inner, folder, name in _references(fd, id):
        _id, path = _look_up(fd, id, folder)
        yield f"{prefix}{path}{name}"
        yield from _below(fd, inner, f"{prefix}{path}{name}/")


def _look_up(fd: int, tree: int, folder: int) -> tuple[int, str]:
    """The id of a tree, 0 for that of the file, and the path of a folder in it with a slash after
    it; empty for the tree's own."""
    answer = calls.look_up(fd, tree, folder)
    (id,) = struct.unpack_from("Q", answer)
    return id, os.fsdecode(bytes(answer[16:]).partition(b"\0")[0])


def _references(fd: int, id: int) -> Iterator[tuple[int, int, str]]:
    """Those directly in a subvolume: its id, the folder that it is in, its name there."""
    for (_id, _kind, inner), item in calls.search(
        fd, calls.ROOT_TREE, *_all_of(id, calls.ROOT_REF)
    ):
        folder, _sequence, size = struct.unpack_from("<QQH", item)
        yield inner, folder, os.fsdecode(item[18 : 18 + size])


def _all_of(object: int, kind: int) -> tuple[calls.Key, calls.Key]:
    """From the first to the last item of one object that is of one type."""
    return (object, kind, 0), (object, kind, calls.LAST)
