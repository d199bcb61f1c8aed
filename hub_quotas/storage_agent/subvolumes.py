"""Subvolumes of btrfs: made, copied, removed, and found inside of one.

The structures are those of the kernel's `btrfs.h` and `btrfs_tree.h`.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from .backend import find_mount

_FIRST_INODE = 256
"""Of each subvolume: by this a directory is known as one."""
_ROOT_TREE, _ROOT_REF = 1, 156
_QUOTA_TREE, _STATUS = 8, 240
_ON, _SIMPLE = 1, 8
_LAST = 2**64 - 1
_READ_ONLY = 2


def _code(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0x94 << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
_CREATE = _code(_WRITE, 14, 4096)
_DESTROY = _code(_WRITE, 15, 4096)
_SEARCH = _code(_BOTH, 17, 4096)
_LOOKUP = _code(_BOTH, 18, 4096)
_SNAPSHOT = _code(_WRITE, 23, 4096)
_FLAGS = _code(_READ, 25, 8)


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
        for _offset, item in _search(fd, _QUOTA_TREE, 0, _STATUS):
            (flags,) = struct.unpack_from("<Q", item, 16)
            return "" if not flags & _ON else "simple" if flags & _SIMPLE else "full"
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
    return os.fstat(folder).st_ino == _FIRST_INODE


def create(name: str, within: int) -> None:
    fcntl.ioctl(within, _CREATE, bytearray(struct.pack("q4088s", 0, os.fsencode(name))))


def snapshot(subvolume: int, name: str, within: int, writable: bool = False) -> None:
    """All of a subvolume as it is now, but for the subvolumes inside.

    Raises:
        FileExistsError: the name is taken.
    """
    flags = 0 if writable else _READ_ONLY
    fields = struct.pack("qQQ32x4040s", subvolume, 0, flags, os.fsencode(name))
    fcntl.ioctl(within, _SNAPSHOT, bytearray(fields))


def destroy(name: str, within: int) -> None:
    """One with all that is in it."""
    fcntl.ioctl(within, _DESTROY, bytearray(struct.pack("q4088s", 0, os.fsencode(name))))


def is_read_only(subvolume: int) -> bool:
    answer = bytearray(8)
    fcntl.ioctl(subvolume, _FLAGS, answer)
    return bool(struct.unpack("Q", answer)[0] & _READ_ONLY)


def inside(subvolume: int) -> list[str]:
    """The paths of the subvolumes in one, at any depth."""
    id, _path = _look_up(subvolume, 0, _FIRST_INODE)
    return sorted(_below(subvolume, id, ""))


def _below(fd: int, id: int, prefix: str) -> Iterator[str]:
    for inner, folder, name in _references(fd, id):
        _id, path = _look_up(fd, id, folder)
        yield f"{prefix}{path}{name}"
        yield from _below(fd, inner, f"{prefix}{path}{name}/")


def _look_up(fd: int, tree: int, folder: int) -> tuple[int, str]:
    """The id of a tree, 0 for that of the file, and the path of a folder in it with a slash after
    it; empty for the tree's own."""
    answer = bytearray(4096)
    struct.pack_into("QQ", answer, 0, tree, folder)
    fcntl.ioctl(fd, _LOOKUP, answer)
    (id,) = struct.unpack_from("Q", answer)
    return id, os.fsdecode(bytes(answer[16:]).partition(b"\0")[0])


def _references(fd: int, id: int) -> Iterator[tuple[int, int, str]]:
    """Those directly in a subvolume: its id, the folder that it is in, its name there."""
    for inner, item in _search(fd, _ROOT_TREE, id, _ROOT_REF):
        folder, _sequence, size = struct.unpack_from("<QQH", item)
        yield inner, folder, os.fsdecode(item[18 : 18 + size])


def _search(fd: int, tree: int, object: int, kind: int) -> Iterator[tuple[int, bytes]]:
    """The items of one object that are of one type: offset, item."""
    first = 0
    while True:
        answer = bytearray(4096)
        span = (tree, object, object, first, _LAST, 0, _LAST, kind, kind, 2**32 - 1, 0)
        struct.pack_into("QQQQQQQIIII", answer, 0, *span)
        fcntl.ioctl(fd, _SEARCH, answer)
        (count,) = struct.unpack_from("I", answer, 64)
        if not count:
            return
        place = 104
        for _ in range(count):
            _transaction, _object, offset, _kind, length = struct.unpack_from(
                "QQQII", answer, place
            )
            yield offset, bytes(answer[place + 32 : place + 32 + length])
            place += 32 + length
            first = offset + 1
