"""XFS and ext4: each home is a project of its own, whose number is on all that is in it.

The number follows from the inode of the home's directory, so that no two homes get the same: not
one that was copied, not one that got the name of another. New files get the number of the directory
that they are made in, for as long as that has the flag for it.

What holds, and from when on:

- What is written in the ordinary way is refused beyond the limit, at once. XFS answers ENOSPC, ext4
  EDQUOT. ext4 exempts root (CAP_SYS_RESOURCE), XFS does not.
- Whoever owns a file may give it another number, or none, with `chattr`, if they have a shell on a
  machine that has the file system mounted itself (not in a user namespace, and not over NFS). So
  the owner of a home can get out; `repair` finds it and counts it again.
- The directory of a home: at the next `repair`.
- Numbers that are no home's, which is where files without one are: their use grew, so the next
  `repair` looks into homes, those first whose use changed. It takes `LOOK` seconds of each call,
  some 100,000 files; homes with more than that altogether take more calls. Where the rest of the
  file system loses as much as an owner got out, nothing grew; then it is the next point.
- Numbers of other homes, who are charged meanwhile: with no sign that could be seen, all homes are
  looked through in turn, `SWEEP` seconds of each call. Ten million files at a call each 20 seconds
  take an hour or two.
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
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .backend import Escape, Held, StorageError
from .tree import Tree

LOOK, SWEEP = 5.0, 0.5
"""Seconds of a call of `repair`: with a sign of an escape, and without."""

_BASE = 1_000_000
"""Below are the numbers that administrators choose."""
_SPAN = 3_000_000_019
_CHOICES = 8
"""Inodes of large file systems are beyond 32 bits, numbers of projects are not: some meet."""

_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C581F, 0x401C5820
_INHERIT = 0x200
_PROJECTS = 2
_GET, _SET, _NEXT = 0x800007, 0x800008, 0x800009
_TURN_ON, _STATE = 0x5801, 0x5805
_COUNTED, _ENFORCED = 1 << 4, 1 << 5
_SPACE = 1
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
    command = code << 8 | _PROJECTS
    if _libc.syscall(_SYSCALL, fd, ctypes.c_uint(command), ctypes.c_uint(project), buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@dataclass(frozen=True)
class _Use:
    """Of one project: bytes and inodes, and the limit in bytes; 0 for none."""

    space: int = 0
    inodes: int = 0
    limit: int = 0

    def grew(self, before: _Use) -> bool:
        return self.space > before.space or self.inodes > before.inodes


@dataclass(frozen=True)
class _Home:
    """A directory that is there.

    Attributes:
        project: whose number it has; 0 for none.
        inherited: what is made inside gets it too.
    """

    fd: int
    inode: int
    project: int
    inherited: bool


class ProjectQuotas:
    """A directory on XFS or ext4.

    Limits are whole blocks of the file system: they are rounded down, but to no less than one.
    """

    def __init__(self, path: Path, kind: str, device: str) -> None:
        self._path = path
        self._kind = kind
        self._device = device
        self._block = os.statvfs(path).f_frsize
        self._projects: dict[int, int] = {}
        """By inode, of homes that are whole: an owner may have changed what the directory says."""
        self._clean: dict[int, _Use] | None = None
        """What projects that are no home's used when the last round began that found nothing."""
        self._before: dict[int, _Use] = {}
        self._round: _Round | None = None

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
        new.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(new, *owner, follow_symlinks=False)
        new.chmod(mode)
        new.rename(path)

    def put(self, limits: Mapping[str, int | None]) -> dict[str, str]:
        problems = {}
        with self._open() as top:
            for home, limit in limits.items():
                try:
                    with self._home(home) as found:
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
                with suppress(StorageError, OSError), self._home(home) as found:
                    if found and found.inherited and found.project == self._project(found):
                        use = _used(top, found.project)
                        held[home] = Held(use.space, use.limit or None)
        return held

    def repair(self, homes: Collection[str]) -> list[Escape]:
        """Finds what is said at the top of this file."""
        escapes, projects = [], {}
        for home in homes:
            with suppress(StorageError, OSError), self._home(home) as found:
                if found and (project := self._project(found)):
                    projects[home] = project
                    if _assign(found.fd, project, directory=True):
                        what = "its directory was not in its project, and is again."
                        escapes.append(Escape(home, what))
        with self._open() as top:
            uses = dict(_all_used(top))
        ours = set(projects.values())
        outside = {project: use for project, use in uses.items() if project not in ours}
        if self._clean is not None:  # what is freed there is not to be filled unseen
            self._clean = {
                project: _less(use, self._clean[project])
                for project, use in outside.items()
                if project in self._clean
            }
        grew = self._clean is None or any(
            use.grew(self._clean.get(project, _Use())) for project, use in outside.items()
        )
        if self._round is None or ((grew or escapes) and not self._round.urgent):
            changed = {
                home: uses.get(project) != self._before.get(project)
                for home, project in projects.items()
            }
            first = [escape.home for escape in escapes]
            order = sorted(projects, key=lambda home: (home not in first, not changed[home]))
            self._round = _Round(deque(order), outside, urgent=bool(grew or escapes))
        self._before = uses
        end = time.monotonic() + (LOOK if self._round.urgent else SWEEP)
        found = self._go_on(self._round, end)
        return escapes + found

    # -- one home -----------------------------------------------------------------------------

    def _put(self, top: int, home: _Home, limit: int | None) -> None:
        """The limit comes last: a home that has one is whole, so it need not be looked through."""
        project = self._project(home)
        if project is None:
            project = self._unused(top, home)
            if _used(top, project).limit:  # that of a home that is gone
                _limit(top, project, 0)
        moved = _assign(home.fd, project, directory=True)
        known = self._projects.get(home.inode) == project
        use = _used(top, project)
        if moved or not (known or use.limit):
            self._gather(home, project)
        self._projects[home.inode] = project
        wanted = 0 if limit is None else max(1, limit // self._block) * self._block
        if use.limit != wanted:
            _limit(top, project, wanted)

    def _project(self, home: _Home) -> int | None:
        """The number that a home has or had; None where it never was a project."""
        own = home.project in _choices(home.inode)
        return self._projects.get(home.inode, home.project if own else None)

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
    def _home(self, home: str) -> Iterator[_Home | None]:
        """None where there is no such directory."""
        try:
            fd = os.open(self._path / home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield None
            return
        try:
            if os.fstat(fd).st_dev != self._path.stat().st_dev:
                raise StorageError(f"{home} is on another file system than {self._path}.")
            flags, project = _attributes(fd)
            yield _Home(fd, os.fstat(fd).st_ino, project, bool(flags & _INHERIT))
        finally:
            os.close(fd)

    # -- all of them --------------------------------------------------------------------------

    def _go_on(self, round: _Round, end: float) -> list[Escape]:
        """Look through homes until a time; a home that takes longer goes on at the next call."""
        found = []
        while time.monotonic() < end:
            if round.looking is None:
                if not round.homes:
                    self._clean = None if round.found else round.outside
                    self._round = None
                    break
                round.looking = self._look(round.homes.popleft())
            for escape in round.looking:
                if escape:
                    round.found = True
                    found.append(escape)
                if time.monotonic() >= end:
                    return found
            round.looking = None
        return found

    def _look(self, home: str) -> Iterator[Escape | None]:
        """One for each file, at most one of them an escape."""
        with suppress(StorageError, OSError), self._home(home) as found:
            project = found and self._project(found)
            if not found or not project:
                return
            count, refused, tree = 0, "", Tree(found.fd)
            for fd in tree:
                try:
                    count += _assign(fd, project)
                except OSError as error:
                    refused = str(error.strerror)
                yield None
            if count:
                yield Escape(home, f"{count} files or directories were not counted, and are now.")
            if refused or tree.missed:
                why = refused or f"{tree.missed} can't be opened, or move about"
                yield Escape(home, f"files or directories may not be counted: {why}.")

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


@dataclass
class _Round:
    """One look into all homes, over many calls.

    Attributes:
        homes: that are still to come.
        outside: what projects that are no home's used when it began.
        urgent: there was a sign of an escape.
        looking: the home that it is at.
    """

    homes: deque[str]
    outside: dict[int, _Use]
    urgent: bool
    looking: Iterator[Escape | None] | None = None
    found: bool = False


def _choices(inode: int) -> list[int]:
    return [_BASE + (inode + number * (_SPAN // _CHOICES)) % _SPAN for number in range(_CHOICES)]


def _less(one: _Use, other: _Use) -> _Use:
    return _Use(min(one.space, other.space), min(one.inodes, other.inodes))


def _attributes(fd: int) -> tuple[int, int]:
    """Flags, and the number of the project."""
    found = bytearray(28)
    _ioctl(fd, _GET_ATTRIBUTES, found)
    flags, project = struct.unpack_from("I8xI", found)
    return flags, project


def _assign(fd: int, project: int, directory: bool = False) -> bool:
    """Make something a part of a project; whether it was not."""
    attributes = bytearray(28)
    _ioctl(fd, _GET_ATTRIBUTES, attributes)
    flags, present = struct.unpack_from("I8xI", attributes)
    if directory or stat.S_ISDIR(os.fstat(fd).st_mode):
        wanted = flags | _INHERIT
    else:
        wanted = flags
    if (wanted, project) == (flags, present):
        return False
    struct.pack_into("I", attributes, 0, wanted)
    struct.pack_into("I", attributes, 12, project)
    _ioctl(fd, _SET_ATTRIBUTES, attributes)
    return True


def _used(top: int, project: int) -> _Use:
    answer = bytearray(72)
    try:
        _ioctl(top, _GET, answer, project)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return _parsed(answer)


def _all_used(top: int) -> Iterator[tuple[int, _Use]]:
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


def _parsed(answer: bytearray) -> _Use:
    """The limit is in KiB, the rest is not."""
    limit, _soft, space, _inodes_limit, _inodes_soft, inodes = struct.unpack_from("6Q", answer)
    return _Use(space, inodes, limit << 10)


def _limit(top: int, project: int, limit: int) -> None:
    wanted = struct.pack("8QII", limit >> 10, 0, 0, 0, 0, 0, 0, 0, _SPACE, 0)
    _ioctl(top, _SET, bytearray(wanted), project)
