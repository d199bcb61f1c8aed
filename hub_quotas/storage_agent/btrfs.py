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
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
_BUFFER = 1 << 20


def _code(direction: int, number: int, size: int) -> int:
    """An ioctl of btrfs, as the kernel's `_IOC` makes it."""
    return direction << 30 | size << 16 | 0x94 << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
_SUBVOL_CREATE = _code(_WRITE, 14, 4096)
_TREE_SEARCH = _code(_BOTH, 17, 112)
_INO_LOOKUP = _code(_BOTH, 18, 4096)
_QUOTA_CTL = _code(_BOTH, 40, 16)
_QGROUP_ASSIGN = _code(_WRITE, 41, 24)
_QGROUP_CREATE = _code(_WRITE, 42, 16)
_QGROUP_LIMIT = _code(_READ, 43, 48)
_ENABLE, _ENABLE_SIMPLE = 1, 4


def _ioctl(fd: int, code: int, argument: bytearray) -> None:
    """One step; what tests break off between."""
    fcntl.ioctl(fd, code, argument)


@dataclass(frozen=True)
class _Groups:
    """The quota tree, by the ids of its groups.

    Attributes:
        flags: of the status; 0 where quotas are off.
        used: bytes, at the last commit of the file system.
        above: for each group, those that it is a member of.
    """

    flags: int
    used: Mapping[int, int]
    limits: Mapping[int, int]
    above: Mapping[int, frozenset[int]]


class Btrfs:
    """A directory on btrfs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        flags = self._groups().flags
        if not flags & _ON:
            return "btrfs, without quotas"
        return "btrfs, simple quotas" if flags & _SIMPLE else "btrfs, full quotas"

    def prepare(self) -> None:
        if self._groups().flags & _ON:
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
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        groups, found = self._groups(), {}
        for home in homes:
            try:
                id = self._id(home)
            except (StorageError, OSError):
                continue
            above = _LEVEL_1 | (id or 0)
            if id and above in groups.used:
                counted = above in groups.above.get(id, ())
                limit = groups.limits.get(above, _NONE) if counted else _NONE
                found[home] = Held(groups.used[above], None if limit == _NONE else limit)
        return found

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Members of the group above are, with simple quotas, all that are made inside; with full
        ones, those that this makes members."""
        groups, within = self._groups(), self._subvolumes()
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
                if outer is None or id in ids or _LEVEL_1 | outer in groups.above.get(id, ()):
                    continue
                if _LEVEL_1 | outer in groups.used:
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
        """The id of a home's subvolume, which is that of its quota group; None where there is no
        such directory."""
        path = self._path / home
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            if os.fstat(fd).st_ino != _FIRST_INODE:
                raise StorageError(
                    f"{home} is an ordinary directory, which btrfs can't limit. Make it a subvolume"
                    f" while its owner has no server: hub-storage-agent convert {home}"
                )
            answer = bytearray(4096)
            struct.pack_into("QQ", answer, 0, 0, _FIRST_INODE)
            _ioctl(fd, _INO_LOOKUP, answer)
            (id,) = struct.unpack_from("Q", answer)
            return int(id)
        finally:
            os.close(fd)

    def _groups(self) -> _Groups:
        flags, used, limits = 0, {}, {}
        above: dict[int, set[int]] = {}
        with self._open() as fd:
            try:
                for object, kind, offset, item in _search(fd, _QUOTA_TREE, _STATUS, _RELATION):
                    if kind == _STATUS:
                        flags = struct.unpack_from("<Q", item, 16)[0]
                    elif kind == _INFO:
                        used[offset] = struct.unpack_from("<Q", item, 8)[0]
                    elif kind == _LIMIT:
                        set_, amount = struct.unpack_from("<QQ", item)
                        limits[offset] = amount if set_ & _LIMITS_REFERENCED else _NONE
                    elif kind == _RELATION and object < offset:  # each stands there both ways
                        above.setdefault(object, set()).add(offset)
            except OSError as error:
                if error.errno != errno.ENOENT:  # no quotas, no tree
                    raise _explained(self._path, error) from None
        return _Groups(flags, used, limits, {id: frozenset(some) for id, some in above.items()})

    def _subvolumes(self) -> dict[int, int]:
        """For each subvolume, the one that it is in."""
        with self._open() as fd:
            refs = _search(fd, _ROOT_TREE, _ROOT_REF, _ROOT_REF)
            return {inner: outer for outer, _kind, inner, _item in refs}


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


def _search(fd: int, tree: int, first: int, last: int) -> Iterator[tuple[int, int, int, bytes]]:
    """All items of a tree whose type is in a range: object, type, offset, item."""
    low = (0, first, 0)
    while True:
        answer = bytearray(112 + _BUFFER)
        span = (tree, low[0], _LAST, low[2], _LAST, 0, _LAST, low[1], last, 2**32 - 1, 0)
        struct.pack_into("QQQQQQQIIII4QQ", answer, 0, *span, 0, 0, 0, 0, _BUFFER)
        _ioctl(fd, _TREE_SEARCH, answer)
        (count,) = struct.unpack_from("I", answer, 64)
        if not count:
            return
        place = 112
        for _ in range(count):
            _transaction, object, offset, kind, length = struct.unpack_from("QQQII", answer, place)
            place += 32
            if first <= kind <= last:
                yield object, kind, offset, bytes(answer[place : place + length])
            place += length
        low = _after(object, kind, offset)


def _after(object: int, kind: int, offset: int) -> tuple[int, int, int]:
    """The next key: they are in order of object, type and offset."""
    if offset < _LAST:
        return object, kind, offset + 1
    return (object, kind + 1, 0) if kind < 255 else (object + 1, 0, 0)


def _explained(path: Path, error: OSError) -> StorageError:
    if error.errno == errno.EPERM:
        return StorageError(f"{path}: setting limits on btrfs takes the capability CAP_SYS_ADMIN.")
    return StorageError(f"{path}: {error.strerror or error}.")
