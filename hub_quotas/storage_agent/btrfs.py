"""btrfs: each home is a subvolume, limited by a quota group of level 1 above its own.

A limit on the subvolume's own group (level 0) does not hold: an owner may make a subvolume in
theirs, with a group of its own. With simple quotas (Linux 6.7), what is made inside is a member of
the groups above from its first byte on; with full quotas, `repair` makes it one.

The structures are those of the kernel's `btrfs.h` and `btrfs_tree.h`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from .backend import Escape, Held, StorageError

_FIRST_INODE = 256
"""Of each subvolume: by this a directory is known as one."""
_ROOT_TREE, _QUOTA_TREE = 1, 8
_ROOT_REF = 156
_STATUS, _INFO, _LIMIT, _RELATION = 240, 242, 244, 246
_ON, _SIMPLE = 1, 8
_LEVEL_1 = 1 << 48
_NONE = 2**64 - 1
_LAST = 2**64 - 1
_LIMITS_REFERENCED = 1
_BUFFER = 1 << 18
_HEADER = struct.Struct("QQQII")
_Key: TypeAlias = tuple[int, int, int]
"""Of an item in a tree: object, type, offset, by which they are in order."""


def _code(direction: int, number: int, size: int) -> int:
    """An ioctl of btrfs, as the kernel's `_IOC` makes it."""
    return direction << 30 | size << 16 | 0x94 << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
_SUBVOL_CREATE = _code(_WRITE, 14, 4096)
_TREE_SEARCH = _code(_BOTH, 17, 112)
_INO_LOOKUP = _code(_BOTH, 18, 4096)
_SYNC = _code(0, 8, 0)
_QUOTA_CTL = _code(_BOTH, 40, 16)
_QGROUP_ASSIGN = _code(_WRITE, 41, 24)
_QGROUP_CREATE = _code(_WRITE, 42, 16)
_QGROUP_LIMIT = _code(_READ, 43, 48)
_ENABLE, _ENABLE_SIMPLE = 1, 4
_FEW = 3


def _ioctl(fd: int, code: int, argument: bytearray) -> None:
    """One step; what tests break off between."""
    fcntl.ioctl(fd, code, argument)


class Btrfs:
    """A directory on btrfs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, tuple[tuple[int, int], int]] = {}

    @property
    def name(self) -> str:
        flags = self._flags()
        if not flags & _ON:
            return "btrfs, without quotas"
        return "btrfs, simple quotas" if flags & _SIMPLE else "btrfs, full quotas"

    def prepare(self) -> None:
        if self._flags() & _ON:
            return
        with self._open() as fd:
            try:
                _ioctl(fd, _QUOTA_CTL, bytearray(struct.pack("QQ", _ENABLE_SIMPLE, 0)))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY):
                    raise _explained(self._path, error) from None
                # A kernel before 6.7.
                _ioctl(fd, _QUOTA_CTL, bytearray(struct.pack("QQ", _ENABLE, 0)))

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        path = self._path / home
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(str(Path(home).parent)) as fd:
            try:
                name = os.fsencode(path.name)
                _ioctl(fd, _SUBVOL_CREATE, bytearray(struct.pack("q4088s", 0, name)))
            except FileExistsError:
                return
            except OSError as error:
                raise _explained(path, error) from None
        new = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(new, mode)
            os.fchown(new, *owner)
        finally:
            os.close(new)

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        problems = {}
        with self._open() as top:
            for home, limit in limits.items():
                try:
                    if id := self._id(home):
                        _limit(top, id, limit)
                except StorageError as error:
                    problems[home] = str(error)
                except OSError as error:
                    problems[home] = f"{home}: {error.strerror or error}."
            if len(limits) <= _FEW:  # or what is read next is of up to half a minute ago
                _ioctl(top, _SYNC, bytearray())
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        used = {id: _number(item, 8) for id, item in self._level_1(_INFO)}
        limits = {}
        for id, item in self._level_1(_LIMIT):
            if _number(item, 0) & _LIMITS_REFERENCED and _number(item, 8) != _NONE:
                limits[id] = _number(item, 8)
        found = {}
        for home in homes:
            try:
                subvolume = self._id(home)
            except (StorageError, OSError):
                continue
            if subvolume in used:
                found[home] = Held(used[subvolume], limits.get(subvolume))
        return found

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """With simple quotas there is nothing to find: the kernel makes all that is made inside a
        member of the groups above."""
        if self._flags() & _SIMPLE:
            return []
        counted, within = self._members(), self._subvolumes()
        limited = {id for id, _item in self._level_1(_LIMIT)}
        ids = {}
        for home in homes:
            try:
                if id := self._id(home):
                    ids[id] = home
            except (StorageError, OSError):
                continue
        found = []
        with self._open() as top:
            for id in within:
                outer = next((up for up in _outer(within, id) if up in ids), None)
                if outer is None or id in ids or (id, _LEVEL_1 | outer) in counted:
                    continue
                if outer in limited:
                    _new(top, _QGROUP_ASSIGN, struct.pack("QQQ", 1, id, _LEVEL_1 | outer))
                    what = f"the subvolume {id} inside was not counted, and is now."
                    found.append(Escape(ids[outer], what))
        return found

    @contextmanager
    def _open(self, below: str = ".") -> Iterator[int]:
        fd = os.open(self._path / below, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _id(self, home: str) -> int | None:
        """The id of a home's subvolume; None where there is no such directory.

        Looked up once for as long as its directory does not change: numbers of devices are used
        again, times of change are not.
        """
        try:
            now = os.lstat(f"{self._path}/{home}")
        except FileNotFoundError:
            return None
        if now.st_ino != _FIRST_INODE or not stat.S_ISDIR(now.st_mode):
            raise StorageError(
                f"{home} is an ordinary directory, which btrfs can't limit. While its owner has "
                "no server, move it aside, let the agent make it, and copy what was in it."
            )
        same = now.st_dev, now.st_ctime_ns
        known = self._ids.get(home)
        if known is None or known[0] != same:
            known = self._ids[home] = same, _look_up(self._path / home)
        return known[1]

    def _flags(self) -> int:
        """Of the status; 0 where quotas are off."""
        for _key, item in self._quotas((0, _STATUS, 0), (0, _STATUS, 0)):
            return _number(item, 16)
        return 0

    def _level_1(self, kind: int) -> Iterator[tuple[int, bytes]]:
        """What there is of the groups of homes, by the id of the home's subvolume."""
        for (_object, _kind, group), item in self._quotas(
            (0, kind, _LEVEL_1), (0, kind, 2 * _LEVEL_1 - 1)
        ):
            yield group - _LEVEL_1, item

    def _members(self) -> set[tuple[int, int]]:
        """Which group is a member of which."""
        keys = self._quotas((1, _RELATION, 0), (_LAST, _RELATION, _LAST))
        return {(low, high) for (low, kind, high), _item in keys if kind == _RELATION}

    def _quotas(self, first: _Key, last: _Key) -> Iterator[tuple[_Key, bytes]]:
        with self._open() as fd:
            try:
                yield from _search(fd, _QUOTA_TREE, first, last)
            except OSError as error:
                if error.errno != errno.ENOENT:  # no quotas, no tree
                    raise _explained(self._path, error) from None

    def _subvolumes(self) -> dict[int, int]:
        """For each subvolume, the one that it is in."""
        with self._open() as fd:
            keys = _search(fd, _ROOT_TREE, (1, _ROOT_REF, 0), (_LAST, _ROOT_REF, _LAST))
            return {inner: outer for (outer, kind, inner), _item in keys if kind == _ROOT_REF}


def _look_up(home: Path) -> int:
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        answer = bytearray(4096)
        struct.pack_into("QQ", answer, 0, 0, _FIRST_INODE)
        _ioctl(fd, _INO_LOOKUP, answer)
        return _number(answer, 0)
    finally:
        os.close(fd)


def _number(item: bytes | bytearray, place: int) -> int:
    return int.from_bytes(item[place : place + 8], "little")


def _outer(within: Mapping[int, int], id: int) -> Iterator[int]:
    while id := within.get(id, 0):
        yield id


def _limit(top: int, id: int, limit: int | None) -> None:
    """Limit a subvolume. The limit comes last, so that where one is seen, it holds.

    Args:
        top: through the subvolume itself, a limit can't be raised once it is reached.
    """
    above = _LEVEL_1 | id
    _new(top, _QGROUP_CREATE, struct.pack("QQ", 1, above))
    _new(top, _QGROUP_ASSIGN, struct.pack("QQQ", 1, id, above))
    amount = _NONE if limit is None else limit
    wanted = struct.pack("QQQQQQ", above, _LIMITS_REFERENCED, amount, 0, 0, 0)
    _ioctl(top, _QGROUP_LIMIT, bytearray(wanted))


def _new(top: int, code: int, argument: bytes) -> None:
    """Make something that may be there already."""
    with suppress(FileExistsError):
        _ioctl(top, code, bytearray(argument))


def _search(fd: int, tree: int, first: _Key, last: _Key) -> Iterator[tuple[_Key, bytes]]:
    """All items of a tree from one key to another, both included."""
    while first <= last:
        answer = bytearray(112 + _BUFFER)
        span = (tree, first[0], last[0], first[2], last[2], 0, _LAST, first[1], last[1])
        struct.pack_into("QQQQQQQIIII4QQ", answer, 0, *span, 2**32 - 1, *[0] * 5, _BUFFER)
        _ioctl(fd, _TREE_SEARCH, answer)
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


def _after(object: int, kind: int, offset: int) -> _Key:
    if offset < _LAST:
        return object, kind, offset + 1
    return (object, kind + 1, 0) if kind < 255 else (object + 1, 0, 0)


def _explained(path: Path, error: OSError) -> StorageError:
    if error.errno == errno.EPERM:
        return StorageError(f"{path}: setting limits on btrfs takes the capability CAP_SYS_ADMIN.")
    return StorageError(f"{path}: {error.strerror or error}.")
