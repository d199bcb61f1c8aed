"""All that is in a directory whose owner may change it meanwhile, and means no good."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Generator, Iterator

_HOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_GONE = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EXDEV}
_LIST = list[tuple[str, int]]
"""Names and inodes."""


_OPENAT2 = 437
_NO_MOUNTS = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Tree:
    """The directories and ordinary files below a directory.

    Links are not followed, pipes and devices not opened, other mounts not entered. It takes two
    descriptors, however deep it gets.

    Attributes:
        missed: how many could not be opened, or moved away while it was in them; what is made or
            removed meanwhile is not among these.
    """

    def __init__(self, top: int) -> None:
        """`top` is a descriptor, which has to stay open."""
        self._top = top
        self.missed = 0

    def __iter__(self) -> Iterator[int]:
        """A descriptor of each, open until the next; of a directory before what is in it."""
        device = os.fstat(self._top).st_dev
        here = os.open(".", _HOW | os.O_DIRECTORY, dir_fd=self._top)
        above: list[tuple[int, _LIST]] = []
        try:
            inner = yield from self._files(here, device)
            while True:
                if inner:
                    name, inode = inner.pop()
                    if (fd := self._open(here, name, device, inode)) is None:
                        continue
                    above.append((os.fstat(here).st_ino, inner))
                    os.close(here)
                    here = fd
                    yield here
                    inner = yield from self._files(here, device)
                elif above:
                    inode, inner = above.pop()
                    up = os.open("..", _HOW | os.O_DIRECTORY, dir_fd=here)
                    os.close(here)
                    here = up
                    status = os.fstat(here)
                    if (status.st_dev, status.st_ino) != (device, inode):
                        self.missed += 1
                        return
                else:
                    return
        finally:
            os.close(here)

    def _files(self, here: int, device: int) -> Generator[int, None, _LIST]:
        """Those of one directory; returns the directories in it."""
        directories, files = _listed(here)
        for name, inode in files:
            if (fd := self._open(here, name, device, inode)) is not None:
                try:
                    yield fd
                finally:
                    os.close(fd)
        return directories

    def _open(self, here: int, name: str, device: int, inode: int) -> int | None:
        """None where there is something else by now, or another mount."""
        try:
            fd = _opened(here, name)
        except OSError as error:
            self.missed += error.errno not in _GONE
            return None
        status = os.fstat(fd)
        same = (status.st_dev, status.st_ino) == (device, inode)
        if same and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return fd
        os.close(fd)
        return None


def _opened(here: int, name: str) -> int:
    """Without asking another mount, which an owner may have made to never answer.

    Raises:
        OSError: EXDEV for another mount.
    """
    how = struct.pack("QQQ", _HOW | os.O_CLOEXEC, 0, _NO_MOUNTS)
    fd: int = _libc.syscall(_OPENAT2, here, os.fsencode(name), how, ctypes.c_size_t(len(how)))
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EPERM):  # before Linux 5.6, or forbidden in a container
        return os.open(name, _HOW, dir_fd=here)
    raise OSError(number, os.strerror(number))


def _listed(here: int) -> tuple[_LIST, _LIST]:
    directories, files = [], []
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append((entry.name, entry.inode()))
            elif entry.is_file(follow_symlinks=False):
                files.append((entry.name, entry.inode()))
    return directories, files
