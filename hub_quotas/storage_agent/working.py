"""`.snapshots` below the root, where only the agent gets in, and its folder for what is unfinished.

What a run leaves there when it is broken off is removed by the next one. A run's folder is locked
for as long as it works, also by the programs that it starts: those may outlive it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import subvolumes
from .backend import StorageError
from .reach import opened

STORE, _WORK = ".snapshots", ".work"


@dataclass(frozen=True)
class Work:
    """A folder for one run.

    Attributes:
        lock: a file descriptor for programs that work in it to inherit.
    """

    path: Path
    lock: int


def store(root: Path) -> Path:
    """The folder for snapshots, made where it is missing."""
    return _own_folder(root / STORE)


def _own_folder(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    with opened(path) as fd:
        if os.fstat(fd).st_uid != os.geteuid():
            raise StorageError(f"{path} belongs to somebody else; it should be the agent's own.")
        os.fchmod(fd, 0o700)
    return path


@contextmanager
def working(root: Path, name: str | None = None) -> Iterator[Work]:
    """A new folder, which is gone afterwards.

    Args:
        name: for what must not happen twice at a time.

    Raises:
        StorageError: it happens already.
    """
    above = _own_folder(store(root) / _WORK)
    path = above / (name or secrets.token_hex(8))
    with opened(above) as all_of_it:
        fcntl.flock(all_of_it, fcntl.LOCK_EX)
        _clean(above)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            raise StorageError(f"Another {name} of {root} is at work; wait for its end.") from None
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield Work(path, lock)
    finally:
        try:
            remove(path)
        finally:
            os.close(lock)


def _clean(above: Path) -> None:
    """Remove what nobody works in."""
    for path in above.iterdir():
        try:
            with opened(path) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
        except (BlockingIOError, FileNotFoundError):  # at work, or has just removed it itself
            continue


def remove(path: Path) -> None:
    """A folder of the agent's own with all that is in it, subvolumes too."""
    if subvolumes.on_btrfs(path.parent):
        with opened(path.parent) as parent:
            if _removed_subvolume(path.name, parent):
                return
        for _path, folders, _files, fd in os.fwalk(path):
            folders[:] = [name for name in folders if not _removed_subvolume(name, fd)]
    shutil.rmtree(path)


def _removed_subvolume(name: str, within: int) -> bool:
    try:
        with opened(name, within) as fd:
            if not subvolumes.is_subvolume(fd):
                return False
    except NotADirectoryError:  # os.fwalk counts links to folders as folders
        return False
    subvolumes.destroy(name, within)
    return True


def copy(
    source: str, folder: int, target: str, target_folder: int, what: str, share: bool = True
) -> None:
    """All of a file or folder with all that belongs to it; `.` for what is in a folder.

    Args:
        folder, target_folder: where the two names are.
        what: is copied, for the message.
        share: blocks, where the file system can.

    Raises:
        StorageError: not all of it could be; what could is there.
    """
    how = "--reflink=auto" if share else "--reflink=never"
    ends = f"/proc/self/fd/{folder}/{source}", f"/proc/self/fd/{target_folder}/{target}"
    done = subprocess.run(  # noqa: S603
        ["cp", "--archive", how, "--no-target-directory", "--", *ends],  # noqa: S607
        pass_fds=(folder, target_folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        first = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        for fd, end in ((folder, ""), (target_folder, " (copy)")):
            first = first.replace(f"/proc/self/fd/{fd}", f"{what}{end}")
        raise StorageError(f"{what} can't be copied: {first.removeprefix('cp: ')}.")
