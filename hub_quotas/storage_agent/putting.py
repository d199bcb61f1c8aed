"""Puts what was restored in its place. Nothing that is there is deleted or written over."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from . import subvolumes
from .backend import Backend, StorageError
from .reach import (
    ASIDE,
    exchange,
    exists,
    flush,
    free_name,
    move,
    opened,
    opened_below,
    opened_home,
    stamp,
)
from .working import copy

_BESIDE = ".restored-"
_UNFINISHED = ".restoring-"


@dataclass(frozen=True)
class Put:
    """Where something is now. Paths are below the root.

    Attributes:
        aside: where what was there is now; None if nothing was.
        problem: why the limit could not be set; empty for none.
    """

    path: str
    aside: str | None = None
    problem: str = ""


def put_home(
    root: Path, home: str, new: Path, now: datetime, backend: Backend | None = None
) -> Put:
    """Give a restored home its name.

    Args:
        new: on the same file system, in a folder of the agent's own.
        backend: sets the limit that the replaced home had.
    """
    *above, name = home.split("/")
    root.joinpath(*above).mkdir(parents=True, exist_ok=True)
    held = backend.read([home]).get(home) if backend else None
    with opened_below(root, above) as folder, opened(new.parent) as source:
        flush(source)  # a crash must not leave names without their contents
        if not exists(name, folder):
            with suppress(FileExistsError):  # the agent's loop may make one meanwhile
                move(new.name, source, name, folder)
                return Put(home)
        # The new one gets the old one's next name and then they change names: there is always a
        # home, and where this is broken off, both are there.
        aside = free_name(f"{name}{ASIDE}{stamp(now)}", folder)
        move(new.name, source, aside, folder)
        exchange(aside, name, folder)
    problem = ""
    if backend and held and held.limit is not None:
        problem = backend.put({home: held.limit}).get(home, "")
    return Put(home, "/".join([*above, aside]), problem)


def put_beside(
    root: Path, home: str, copy_of_home: Path, path: Sequence[str], now: datetime
) -> Put:
    """Copy one file or folder into a home, under its own name if that is free.

    Args:
        copy_of_home: in a folder of the agent's own.
        path: the names that lead to it.

    Raises:
        StorageError: it is not in the copy, or a link or file of the home is in its way.
    """
    *folders, name = path
    missing = StorageError(f"{'/'.join(path)} is not in this copy of {home}.")
    with ExitStack() as open_ones:
        try:
            source = open_ones.enter_context(opened_below(copy_of_home, folders))
        except FileNotFoundError:
            raise missing from None
        if not exists(name, source):
            raise missing
        top = open_ones.enter_context(opened_home(root, home))
        unfinished = open_ones.enter_context(_unfinished(top, home))
        share = not subvolumes.quotas(root)  # what is shared would not count
        copy(name, source, "new", unfinished, "/".join([home, *path]), share)
        return Put("/".join([home, *folders, _place(top, folders, name, unfinished, now)]))


@contextmanager
def _unfinished(top: int, home: str) -> Iterator[int]:
    """A folder in the home, for moving within one file system, into which its owner can't get."""
    for name in os.listdir(top):
        if name.startswith(_UNFINISHED):
            _remove_own(name, top)
    name = f"{_UNFINISHED}{secrets.token_hex(8)}"
    os.mkdir(name, 0o700, dir_fd=top)
    try:
        with opened(name, top) as fd:
            # The owner may have put another in its place meanwhile.
            if not _is_own(os.fstat(fd)):
                raise StorageError(f"Somebody moves things in {home}; restore when they are gone.")
            yield fd
    finally:
        _remove_own(name, top)


def _is_own(found: os.stat_result) -> bool:
    own = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return own and found.st_uid == os.geteuid()


def _remove_own(name: str, within: int) -> None:
    with suppress(FileNotFoundError):
        if _is_own(os.lstat(name, dir_fd=within)):
            shutil.rmtree(f"/proc/self/fd/{within}/{name}")


def _place(top: int, folders: Sequence[str], name: str, source: int, now: datetime) -> str:
    """Move it to the end of the path; the name that it got."""
    fd = os.dup(top)
    try:
        for number, part in enumerate(folders, 1):
            inner = _step(fd, part, "/".join(folders[:number]), source)
            os.close(fd)
            fd = inner
        for _ in range(100):
            wanted = f"{name}{_BESIDE}{stamp(now)}" if exists(name, fd) else name
            free = free_name(wanted, fd)
            with suppress(FileExistsError):
                move("new", source, free, fd)
                return free
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    finally:
        os.close(fd)
    where = "/".join([*folders, name])
    raise StorageError(f"{where} is on another subvolume or project; restore another folder.")


def _step(fd: int, part: str, where: str, source: int) -> int:
    """Into a folder; one that is missing becomes like the one that it is in."""
    if not exists(part, fd):
        os.mkdir("folder", 0o700, dir_fd=source)
        above = os.fstat(fd)
        with opened("folder", source) as new:
            os.fchown(new, above.st_uid, above.st_gid)
            os.fchmod(new, stat.S_IMODE(above.st_mode))
        move("folder", source, part, fd)
    try:
        return os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise StorageError(f"{where} is a link or a file, and should be a folder.") from None
