"""The test that backups can be restored: some homes, at random, are, and are compared."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .backend import StorageError
from .backup import fetch
from .reach import opened_below
from .record import RESTORE_TEST, write_record
from .restic import Restic, Saved, Sum
from .working import working

_PIECE = 1 << 20
_COARSE = 0.1
"""Seconds by which a time of change may be behind the clock."""
_ROOM = 0.8
"""The part of the free space that a test may take."""


def run_restore_test(root: Path, state: Path, count: int = 3, subset: str = "5%") -> dict[str, Any]:
    """Restore the newest backups of some homes into a folder of the agent's own, compare them with
    what restic says of them and with files that have not changed since, and remove them.

    Args:
        state: the folder for the record of it.
        count: how many homes.
        subset: how much of all data is read in the repository, like `5%`.

    Returns:
        The record: `when`, `ok`, `problems`, and of each home in `homes` its `id`, `bytes`,
        `files`, and `compared`, the number of files that were the same in the home.
    """
    record: dict[str, Any] = {"homes": {}, "problems": []}
    record["when"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        restic = Restic()
        restic.unlock()
        newest = {saved.home: saved for saved in restic.saved()}
        if not newest:
            raise StorageError("There is no backup to test.")
        for home in random.sample(sorted(newest), min(count, len(newest))):
            try:
                record["homes"][home] = _test(root, newest[home], restic, record["problems"])
            except (StorageError, OSError) as error:
                record["problems"].append(f"{home}: {error}")
        restic.check(subset)
    except (StorageError, OSError) as error:
        record["problems"].append(str(error))
    record["ok"] = not record["problems"]
    write_record(state / RESTORE_TEST, record)
    return record


def _test(root: Path, saved: Saved, restic: Restic, problems: list[str]) -> dict[str, Any]:
    expected = restic.sum(saved)
    with working(root) as work:
        room = os.statvfs(work.path)
        if expected.bytes > room.f_bavail * room.f_frsize * _ROOM:
            raise StorageError(f"there is no room below {root} for its {expected.bytes} bytes.")
        copy = fetch(saved, restic, work)
        if (found := _sum(copy)) != expected:
            problems.append(f"{saved.home}: restic says {expected}, restored are {found}.")
        compared, different = _compare(copy, root / saved.home, saved.when)
    problems += [f"{saved.home}/{path} is not what it was in the home." for path in different]
    return {
        "id": saved.id[:8],
        "bytes": found.bytes,
        "files": found.files,
        "compared": compared,
    }


def _walk(top: Path) -> Iterator[tuple[tuple[str, ...], str, int, os.stat_result]]:
    """Everything below: the names of the folders to it, its own, the folder, and what it is."""
    for path, folders, files, fd in os.fwalk(top):
        parts = Path(path).relative_to(top).parts
        for name in folders + files:
            yield parts, name, fd, os.lstat(name, dir_fd=fd)


def _sum(top: Path) -> Sum:
    files, folders, links, others, size = 0, 1, 0, 0, 0
    for _parts, _name, _fd, found in _walk(top):
        if stat.S_ISREG(found.st_mode):
            files, size = files + 1, size + found.st_size
        elif stat.S_ISDIR(found.st_mode):
            folders += 1
        elif stat.S_ISLNK(found.st_mode):
            links += 1
        else:
            others += 1
    return Sum(files, folders, links, others, size)


def _compare(copy: Path, home: Path, saved: datetime) -> tuple[int, list[str]]:
    """How many files are the same in the home, and which are not, of those that nobody has written
    since."""
    compared, different = 0, []
    for parts, name, fd, found in _walk(copy):
        if not stat.S_ISREG(found.st_mode):
            continue
        try:
            with opened_below(home, parts) as folder:
                same = _same(name, fd, found, folder, saved)
        except (OSError, StorageError):  # it is gone, or something else by now
            continue
        compared += same is True
        if same is False:
            different.append("/".join([*parts, name]))
    return compared, different


def _same(name: str, fd: int, found: os.stat_result, folder: int, saved: datetime) -> bool | None:
    """None where it has changed since."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for its writer
    with (
        open(os.open(name, flags, dir_fd=folder), "rb") as live,
        open(os.open(name, flags, dir_fd=fd), "rb") as restored,
    ):
        before = os.fstat(live.fileno())
        if not stat.S_ISREG(before.st_mode) or before.st_ctime >= saved.timestamp() - _COARSE:
            return None
        same = _facts(before) == _facts(found)
        while same and (piece := live.read(_PIECE)):
            same = piece == restored.read(_PIECE)
        same = same and not restored.read(1)
        # Written while it was compared.
        return same if os.fstat(live.fileno()).st_ctime_ns == before.st_ctime_ns else None


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_size
