"""XFS and ext4: each home is a project of its own, whose number is on all that is in it.

The number follows from the inode of the home's directory, so that no two homes get the same: not
one that was copied, not one that got the name of another. New files get the number of the directory
that they are made in, for as long as that has the flag for it.

What holds, and from when on:

- What is written in the ordinary way is refused beyond the limit, at once. XFS answers ENOSPC, ext4
  EDQUOT. ext4 exempts root (CAP_SYS_RESOURCE), XFS does not.
- Whoever owns a file may give it another number, or none, with `chattr`, if they have a shell on a
  machine that has the file system mounted itself (not in a user namespace, and not over NFS). So
  the owner of a home can get out; `repair` finds it and counts it again. What they wrote stays.
- The directory of a home: at the next `repair`.
- Numbers that are no home's, which is where files without one are: their use grew, so the next
  `repair` looks into homes, those first whose use changed. It takes `LOOK` seconds of each call,
  some 100,000 files; homes with more than that altogether take more calls. Where the rest of the
  file system loses as much as an owner got out, nothing grew; then it is the next point. Where
  other things grow all the time, it looks all the time: homes are best on a file system of their
  own.
- Numbers of other homes, who are charged meanwhile: with no sign that could be seen, all homes are
  looked through in turn, `SWEEP` seconds of each call. Ten million files at a call each 20 seconds
  take about two hours.
- A file that is open but has no name any more can't be found, until it is closed.
- Other directories of the file system that owners may write to are no home's: not counted.

The structures are those of the kernel's `fs.h` and `quota.h`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .backend import Escape, Held, StorageError, find_mount
from .rounds import Rounds, Use
from .tree import Tree

_BASE = 1_000_000
"""Below are the numbers that administrators choose."""
_SPAN = 3_000_000_019
_CHOICES = 8
"""Inodes of large file systems are beyond 32 bits, numbers of projects are not: some meet."""

_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C581F, 0x401C5820
_INHERIT, _IMMUTABLE = 0x200, 0x8
_PROJECTS = 2
_GET, _SET, _NEXT = 0x800007, 0x800008, 0x800009
_TURN_ON, _STATE = 0x5801, 0x5805
_COUNTED, _ENFORCED = 1 << 4, 1 << 5
_SPACE = 1
_VERSION = 0x80087601
_SYSCALL = 443
"""`quotactl_fd`, of Linux 5.14, by the same number on all machines that Python runs on."""
_libc = ctypes.CDLL(None, use_errno=True)


def _ioctl(fd: int, code: int, argument: bytearray, project: int | None = None) -> None:
    """One step; what tests break off between.

    Args:
        project: for a command of quotactl.
    """
    if project is None:
        fcntl.ioctl(fd, code, argument)
        return
    buffer = (ctypes.c_char * len(argument)).from_buffer(argument)
    command, id = ctypes.c_uint(code << 8 | _PROJECTS), ctypes.c_uint(project)
    failed = _libc.syscall(_SYSCALL, fd, command, id, buffer)
    if failed and ctypes.get_errno() == errno.ENOSYS:
        failed = _libc.quotactl(command, _device(os.readlink(f"/proc/self/fd/{fd}")), id, buffer)
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _device(path: str) -> bytes:
    """What an older kernel has to be given."""
    _mount, _kind, device = find_mount(Path(path))
    if not device.startswith("/") or not os.path.exists(device):  # as /dev/root
        number = os.stat(path).st_dev
        device = f"/dev/block/{os.major(number)}:{os.minor(number)}"
    return os.fsencode(device)


@dataclass(frozen=True)
class _Home:
    """A directory that is there.

    Attributes:
        born: the inode's generation, which differs where one is used again.
        project: whose number it has; 0 for none.
        inherited: what is made inside gets it too.
    """

    fd: int
    inode: int
    born: int
    project: int
    inherited: bool

    @property
    def key(self) -> tuple[int, int]:
        return self.inode, self.born


class ProjectQuotas:
    """A directory on XFS or ext4.

    Limits are whole blocks of the file system: they are rounded down, but to no less than one.
    """

    def __init__(self, path: Path, kind: str, device: str) -> None:
        self._path = path
        self._kind = kind
        self._device = device
        self._block = os.statvfs(path).f_frsize
        self._projects: dict[tuple[int, int], int] = {}
        """Of homes that are whole; what the directory says, its owner may have changed."""
        self._rounds = Rounds(self._look)

    @property
    def name(self) -> str:
        state = self._state()
        if not state & _COUNTED:
            return f"{self._kind}, without project quotas"
        return f"{self._kind}, project quotas{'' if state & _ENFORCED else ' without limits'}"

    def prepare(self) -> None:
        state = self._state()
        if not state & _COUNTED:
            raise StorageError(f"{self._path}: {self._kind} counts no projects. {self._advice()}")
        if not state & _ENFORCED:
            try:
                with self._open() as top:
                    _ioctl(top, _TURN_ON, bytearray(struct.pack("I", _ENFORCED)), 0)
            except OSError as error:
                raise self._explained(error) from None

    def create(self, home: str, owner: tuple[int, int], mode: int) -> None:
        """It gets its name last: one that is there has its owner."""
        path = self._path / home
        if os.path.lexists(path):
            return
        new = path.with_name(f".{path.name}.new")
        try:
            new.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chown(new, *owner, follow_symlinks=False)
            new.chmod(mode)
            new.rename(path)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}.") from None

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        problems = {}
        with self._open() as top:
            for home, limit in limits.items():
                try:
                    with self._home(top, home) as found:
                        if found:
                            self._put(top, found, limit)
                except StorageError as error:
                    problems[home] = str(error)
                except OSError as error:
                    problems[home] = f"{home}: {error.strerror or error}."
        return problems

    def read(self, homes: Collection[str]) -> dict[str, Held]:
        held = {}
        with self._open() as top:
            for home in homes:
                with suppress(StorageError, OSError), self._home(top, home) as found:
                    if found and found.inherited and found.project == self._project(found):
                        use = _used(top, found.project)
                        held[home] = Held(use.space, use.limit or None)
        return held

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Finds what is said at the top of this file."""
        escapes, projects = [], {}
        with self._open() as top:
            uses = dict(_all_used(top))
            for home in homes:
                with suppress(StorageError, OSError), self._home(top, home) as found:
                    project = found and self._project(found)
                    if not found or not project:
                        continue
                    if uses.get(project, Use()).limit:
                        self._projects.setdefault(found.key, project)
                    if found.key in self._projects:  # else it still has to be put
                        projects[home] = project
                        if _assign(found.fd, project):
                            what = "Its directory was not in its project, and is again."
                            escapes.append(Escape(home, what))
        return escapes + self._rounds.go_on(projects, uses, {escape.home for escape in escapes})

    # -- one home -----------------------------------------------------------------------------

    def _put(self, top: int, home: _Home, limit: int | None) -> None:
        """The limit comes last: a home that has one is whole, so it need not be looked through."""
        project = self._project(home)
        if project is None:
            project = self._unused(top, home)
            if _used(top, project).limit:  # that of a home that is gone
                _limit(top, project, 0)
        moved = _assign(home.fd, project)
        known = home.key in self._projects
        use = _used(top, project)
        if moved or not (known or use.limit):
            self._gather(home, project)
        self._projects[home.key] = project
        wanted = 0 if limit is None else max(1, limit // self._block) * self._block
        if use.limit != wanted:
            _limit(top, project, wanted)

    def _project(self, home: _Home) -> int | None:
        """The number that a home has or had; None where it never was a project."""
        own = home.project in _choices(home.inode)
        return self._projects.get(home.key, home.project if own else None)

    def _unused(self, top: int, home: _Home) -> int:
        for project in _choices(home.inode):
            if not _used(top, project).inodes:
                return project
        raise StorageError(
            f"The {_CHOICES} numbers of projects for the inode {home.inode} are all in use, from"
            f" {_choices(home.inode)[0]} on; one of them has to have no files."
        )

    def _gather(self, home: _Home, project: int) -> None:
        for _ in range(3):
            tree = Tree(home.fd)
            for fd in tree:
                _assign(fd, project)
            if not tree.missed:
                return
        raise StorageError(
            f"{tree.missed} of the files and directories inside could not be opened, or moved"
            " away meanwhile; its owner should have no server while it is counted first."
        )

    @contextmanager
    def _home(self, top: int, home: str) -> Iterator[_Home | None]:
        """None where there is no such directory."""
        try:
            fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
        except FileNotFoundError:
            yield None
            return
        try:
            status = os.fstat(fd)
            if status.st_dev != os.fstat(top).st_dev:
                raise StorageError(f"{home} is on another file system than {self._path}.")
            yield _Home(fd, status.st_ino, *_attributes(fd))
        finally:
            os.close(fd)

    def _look(self, home: str) -> Iterator[Escape | None]:
        """Nothing for each file that is looked at, then what was found."""
        count, problems = 0, set()
        try:
            with self._open() as top, self._home(top, home) as found:
                project = found and self._project(found)
                if not found or not project:
                    return
                tree = Tree(found.fd)
                for fd in tree:
                    try:
                        count += _assign(fd, project)
                    except OSError as error:
                        problems.add(str(error.strerror))
                    yield None
                if tree.missed:
                    problems.add(f"{tree.missed} can't be opened, or move about")
        except (StorageError, OSError) as error:
            problems.add(str(error))
        what = []
        if count:
            what.append(f"{count} files or directories inside were not counted, and are now.")
        if problems:
            what.append(f"Not all could be counted: {', '.join(sorted(problems))}.")
        yield Escape(home, " ".join(what)) if what else None

    # -- the file system ----------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[int]:
        fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _state(self) -> int:
        answer = bytearray(256)
        try:
            with self._open() as top:
                _ioctl(top, _STATE, answer, 0)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.ESRCH, errno.EINVAL):
                return 0
            raise self._explained(error) from None
        return int(struct.unpack_from("H", answer, 2)[0])

    def _advice(self) -> str:
        if self._kind == "xfs":
            return (
                "Unmount it and mount it with the option prjquota, as mounting it again does not"
                " turn them on; for the root, that is rootflags=prjquota for the kernel."
            )
        return (
            f"Unmount it, run `tune2fs -O quota,project -Q prjquota {self._device}`, and mount it"
            " with the option prjquota."
        )

    def _explained(self, error: OSError) -> StorageError:
        if error.errno == errno.EPERM:
            return StorageError(
                f"{self._path}: setting limits on {self._kind} takes the capability CAP_SYS_ADMIN."
            )
        return StorageError(f"{self._path}: {error.strerror or error}.")


def _choices(inode: int) -> list[int]:
    return [_BASE + (inode + number * (_SPAN // _CHOICES)) % _SPAN for number in range(_CHOICES)]


def _attributes(fd: int) -> tuple[int, int, bool]:
    """Of a directory: its birth, its project, and whether that is inherited."""
    version, found = bytearray(8), bytearray(28)
    _ioctl(fd, _VERSION, version)
    _ioctl(fd, _GET_ATTRIBUTES, found)
    flags, project = struct.unpack_from("I8xI", found)
    return int.from_bytes(version[:4], "little"), project, bool(flags & _INHERIT)


def _assign(fd: int, project: int) -> bool:
    """Make something a part of a project; whether it was not.

    What an administrator made immutable can't be changed in this either; it does not grow.
    """
    attributes = bytearray(28)
    _ioctl(fd, _GET_ATTRIBUTES, attributes)
    flags, present = struct.unpack_from("I8xI", attributes)
    wanted = flags | (_INHERIT if stat.S_ISDIR(os.fstat(fd).st_mode) else 0)
    if (wanted, project) == (flags, present) or flags & _IMMUTABLE:
        return False
    struct.pack_into("I", attributes, 0, wanted)
    struct.pack_into("I", attributes, 12, project)
    _ioctl(fd, _SET_ATTRIBUTES, attributes)
    return True


def _used(top: int, project: int) -> Use:
    answer = bytearray(72)
    try:
        _ioctl(top, _GET, answer, project)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return _parsed(answer)


def _all_used(top: int) -> Iterator[tuple[int, Use]]:
    project = 0
    while True:
        answer = bytearray(72)
        try:
            _ioctl(top, _NEXT, answer, project)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                return
            raise
        (found,) = struct.unpack_from("I", answer, 68)
        yield found, _parsed(answer)
        project = found + 1


def _parsed(answer: bytearray) -> Use:
    """The limit is in KiB, the rest is not."""
    limit, _soft, space, _inodes_limit, _inodes_soft, inodes = struct.unpack_from("6Q", answer)
    return Use(space, inodes, limit << 10)


def _limit(top: int, project: int, limit: int) -> None:
    wanted = struct.pack("8QII", limit >> 10, 0, 0, 0, 0, 0, 0, 0, _SPACE, 0)
    _ioctl(top, _SET, bytearray(wanted), project)
