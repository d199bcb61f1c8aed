"""What the kernel is asked of btrfs: its ioctls, and the items of its trees.

The structures are those of the kernel's `btrfs.h` and `btrfs_tree.h`.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from typing import TypeAlias

FIRST_INODE = 256
"""Of each subvolume: by this a directory is known as one."""
ROOT_TREE, QUOTA_TREE = 1, 8
ROOT_REF = 156
STATUS, INFO, LIMIT, RELATION = 240, 242, 244, 246
ON, SIMPLE = 1, 8
"""Flags of the status of quotas."""
LAST = 2**64 - 1
_BUFFER = 1 << 18
_HEADER = struct.Struct("QQQII")
Key: TypeAlias = tuple[int, int, int]
"""Of an item in a tree: object, type, offset, by which they are in order."""


def _code(direction: int, number: int, size: int) -> int:
    """An ioctl of btrfs, as the kernel's `_IOC` makes it."""
    return direction << 30 | size << 16 | 0x94 << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
SYNC = _code(0, 8, 0)
SUBVOL_CREATE = _code(_WRITE, 14, 4096)
SNAP_DESTROY = _code(_WRITE, 15, 4096)
TREE_SEARCH = _code(_BOTH, 17, 112)
INO_LOOKUP = _code(_BOTH, 18, 4096)
SNAP_CREATE = _code(_WRITE, 23, 4096)
SUBVOL_GETFLAGS = _code(_READ, 25, 8)
QUOTA_CTL = _code(_BOTH, 40, 16)
QGROUP_ASSIGN = _code(_WRITE, 41, 24)
QGROUP_CREATE = _code(_WRITE, 42, 16)
QGROUP_LIMIT = _code(_READ, 43, 48)


def ioctl(fd: int, code: int, argument: bytearray) -> None:
    """One step; what tests break off between."""
    fcntl.ioctl(fd, code, argument)


def look_up(fd: int, tree: int, folder: int) -> bytearray:
    """Where a folder is in a tree, 0 for that of the file: the tree's id, and the path at 16."""
    answer = bytearray(4096)
    struct.pack_into("QQ", answer, 0, tree, folder)
    ioctl(fd, INO_LOOKUP, answer)
    return answer


def search(fd: int, tree: int, first: Key, last: Key) -> Iterator[tuple[Key, bytes]]:
    """All items of a tree from one key to another, both included."""
    while first <= last:
        answer = bytearray(112 + _BUFFER)
        span = (tree, first[0], last[0], first[2], last[2], 0, LAST, first[1], last[1])
        struct.pack_into("QQQQQQQIIII4QQ", answer, 0, *span, 2**32 - 1, *[0] * 5, _BUFFER)
        ioctl(fd, TREE_SEARCH, answer)
        (count,) = struct.unpack_from("I", answer, 64)
        if not count:
            return
        place, key = 112, first
        for _ in range(count):
            _transaction, object, offset, kind, length = _HEADER.unpack_from(answer, place)
            place += _HEADER.size
            key = object, kind, offset
            yield key, bytes(answer[place : place + length])
            place += length
        first = _after(*key)


def _after(object: int, kind: int, offset: int) -> Key:
    if offset < LAST:
        return object, kind, offset + 1
    return (object, kind + 1, 0) if kind < 255 else (object + 1, 0, 0)
