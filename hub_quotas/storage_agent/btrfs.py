"""btrfs: each home is a subvolume, limited by a quota group of level 1 above its own.

A limit on the subvolume's own group (level 0) does not hold: an owner may make a subvolume in
theirs, with a group of its own. With simple quotas (Linux 6.7), what is made inside is a member of
the groups above from its first byte on; with full quotas, `repair` makes it one.

The structures are those of the kernel's `btrfs.h` and `btrfs_tree.h`.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from . import btrfs_calls as calls
from .backend import Escape, Held, StorageError

_LEVEL_1 = 1 << 48
_NONE = 2**64 - 1
_LIMITS_REFERENCED = 1
_ENABLE, _ENABLE_SIMPLE = 1, 4
_FEW = 3


class Btrfs:
    """A directory on btrfs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, tuple[tuple[int, int], int]] = {}

    @property
    def name(self) -> str:
        flags = self._flags()
        if not flags & calls.ON:
            return "btrfs, without quotas"
        return "btrfs, simple quotas" if flags & calls.SIMPLE else "btrfs, full quotas"

    def prepare(self) -> None:
        if self._flags() & calls.ON:
            return
        with self._open() as fd:
            try:
                calls.ioctl(fd, calls.QUOTA_CTL, bytearray(struct.pack("QQ", _ENABLE_SIMPLE, 0)))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY):
                    raise _explained(self._path, error) from None
                # A kernel before 6.7.
                calls.ioctl(fd, calls.QUOTA_CTL, bytearray(struct.pack("QQ", _ENABLE, 0)))

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        path = self._path / home
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(str(Path(home).parent)) as fd:
            try:
                name = os.fsencode(path.name)
                calls.ioctl(fd, calls.SUBVOL_CREATE, bytearray(struct.pack("q4088s", 0, name)))
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
                calls.ioctl(top, calls.SYNC, bytearray())
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        used = {id: _number(item, 8) for id, item in self._level_1(calls.INFO)}
        limits = {}
        for id, item in self._level_1(calls.LIMIT):
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
        if self._flags() & calls.SIMPLE:
            return []
        counted, within = self._members(), self._subvolumes()
        limited = {id for id, _item in self._level_1(calls.LIMIT)}
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
                    _new(top, calls.QGROUP_ASSIGN, struct.pack("QQQ", 1, id, _LEVEL_1 | outer))
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
        if now.st_ino != calls.FIRST_INODE or not stat.S_ISDIR(now.st_mode):
            raise StorageError(
                f"{home} is an ordinary directory, which btrfs can't limit. While its owner has "
                "no server, move it aside, let the agent make it, and copy what was in it."
            )
        same = now.st_dev, now.st_ctime_ns
        known = self._ids.get(home)
        if known is None or known[0] != same:
            known = self._ids[home] = same, _id_of(self._path / home)
        return known[1]

    def _flags(self) -> int:
        """Of the status; 0 where quotas are off."""
        for _key, item in self._quotas((0, calls.STATUS, 0), (0, calls.STATUS, 0)):
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
        keys = self._quotas((1, calls.RELATION, 0), (calls.LAST, calls.RELATION, calls.LAST))
        return {(low, high) for (low, kind, high), _item in keys if kind == calls.RELATION}

    def _quotas(self, first: calls.Key, last: calls.Key) -> Iterator[tuple[calls.Key, bytes]]:
        with self._open() as fd:
            try:
                yield from calls.search(fd, calls.QUOTA_TREE, first, last)
            except OSError as error:
                if error.errno != errno.ENOENT:  # no quotas, no tree
                    raise _explained(self._path, error) from None

    def _subvolumes(self) -> dict[int, int]:
        """For each subvolume, the one that it is in."""
        with self._open() as fd:
            keys = calls.search(
                fd,
                calls.ROOT_TREE,
                (1, calls.ROOT_REF, 0),
                (calls.LAST, calls.ROOT_REF, calls.LAST),
            )
            return {inner: outer for (outer, kind, inner), _item in keys if kind == calls.ROOT_REF}


def _id_of(home: Path) -> int:
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return _number(calls.look_up(fd, 0, calls.FIRST_INODE), 0)
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
    _new(top, calls.QGROUP_CREATE, struct.pack("QQ", 1, above))
    _new(top, calls.QGROUP_ASSIGN, struct.pack("QQQ", 1, id, above))
    amount = _NONE if limit is None else limit
    wanted = struct.pack("QQQQQQ", above, _LIMITS_REFERENCED, amount, 0, 0, 0)
    calls.ioctl(top, calls.QGROUP_LIMIT, bytearray(wanted))


def _new(top: int, code: int, argument: bytes) -> None:
    """Make something that may be there already."""
    with suppress(FileExistsError):
        calls.ioctl(top, code, bytearray(argument))


def _explained(path: Path, error: OSError) -> StorageError:
    if error.errno == errno.EPERM:
        return StorageError(f"{path}: setting limits on btrfs takes the capability CAP_SYS_ADMIN.")
    return StorageError(f"{path}: {error.strerror or error}.")
