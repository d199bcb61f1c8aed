"""How things below the mount are named and reached. Owners may put a link in the place of anything
in their homes, at any time; nothing here goes through one."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from .backend import StorageError

ASIDE = ".before-restore-"
"""Between the name of a home and the time when a restored one took its place."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KEEP, _EXCHANGE = 1, 2
_SKIPPED = frozenset({"lost+found"})


def stamp(when: datetime) -> str:
    """`2026-11-29T030000Z`, as names of files have it."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ")


def home_name(text: str) -> str:
    """The path of a home below the root, in its one form.

    Raises:
        StorageError: it is none.
    """
    parts = path_parts(text)
    if parts[0].startswith("."):
        raise StorageError(f"{text!r} begins with a dot, which no home does.")
    return "/".join(parts)


def path_parts(text: str) -> tuple[str, ...]:
    """The names in a path that must lead down.

    Raises:
        StorageError: it leads elsewhere, or nowhere.
    """
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise StorageError(f"{text!r} leads out; write a path from there down, without '..'.")
    if not parts or "\0" in text:
        raise StorageError(f"{text!r} names nothing; write a path like sub/file.")
    return tuple(parts)


def find_homes(root: Path, patterns: Iterable[str]) -> list[str]:
    """Those that exist, without those that a restored one has replaced.

    Args:
        patterns: `homes/*`, or `homes/{username}`.
    """
    found: set[str] = set()
    for pattern in patterns:
        path_parts(pattern)
        found.update(glob.glob(re.sub(r"\{\w+\}", "*", pattern), root_dir=root))
    return sorted(
        home
        for home in found
        if (root / home).is_dir()
        and not (root / home).is_symlink()
        and ASIDE not in home
        and home not in _SKIPPED
    )


@contextmanager
def opened(path: Path | str, within: int | None = None) -> Iterator[int]:
    """A folder that is not a link."""
    fd = os.open(path, _FOLDER, dir_fd=within)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_below(top: Path, parts: Sequence[str]) -> Iterator[int]:
    """A folder, each step to which from `top` is a folder and not a link.

    Raises:
        FileNotFoundError
        StorageError: something on the way is no folder.
    """
    fd = os.open(top, _FOLDER)
    try:
        for number, part in enumerate(parts, 1):
            try:
                inner = os.open(part, _FOLDER, dir_fd=fd)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                where = "/".join(parts[:number])
                raise StorageError(
                    f"{where} is a link or a file, and should be a folder."
                ) from None
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_home(root: Path, home: str) -> Iterator[int]:
    """The folder of a home.

    Raises:
        StorageError: it does not exist, or is not a folder.
    """
    with ExitStack() as open_one:
        try:
            fd = open_one.enter_context(opened_below(root, home.split("/")))
        except FileNotFoundError:
            raise StorageError(f"There is no {home} below {root}.") from None
        yield fd


def exists(name: str, within: int) -> bool:
    try:
        os.lstat(name, dir_fd=within)
    except FileNotFoundError:
        return False
    return True


def move(old: str, old_folder: int, new: str, new_folder: int) -> None:
    """Rename, unless the new name is taken.

    Raises:
        FileExistsError: it is.
    """
    _rename(old, old_folder, new, new_folder, _KEEP)


def exchange(one: str, other: str, folder: int) -> None:
    """Two names for each other's things, in one step."""
    _rename(one, folder, other, folder, _EXCHANGE)


def flush(folder: int) -> None:
    """All that was written to the file system that a folder is on is on disk afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(folder):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _rename(old: str, old_folder: int, new: str, new_folder: int, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(old_folder, os.fsencode(old), new_folder, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


def free_name(wanted: str, within: int) -> str:
    """The name, or with a number after it if it is taken."""
    name, number = wanted, 1
    while exists(name, within):
        number += 1
        name = f"{wanted}-{number}"
    return name
