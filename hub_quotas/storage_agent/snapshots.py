"""Snapshots of homes, in `.snapshots` below the root: read-only subvolumes on btrfs, else copies.
On btrfs with full quotas they are copies too (`subvolumes.quotas`).

`.snapshots/homes%2Fanna/2026-11-29T030000Z-end-of-term` has all that was in `homes/anna` then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from . import subvolumes
from .backend import Backend, StorageError
from .putting import Put, put_beside, put_home
from .reach import move, opened, opened_home, stamp
from .working import Work, copy, store, working

_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(?:-([A-Za-z0-9][A-Za-z0-9._-]*))?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Snapshot:
    """Of one home.

    Attributes:
        label: why it was made; empty for the usual ones.
        lacks: the subvolumes of the home that are not in it; known only when it is made.
    """

    home: str
    name: str
    when: datetime
    label: str
    path: Path
    lacks: tuple[str, ...] = ()


def make_snapshot(root: Path, home: str, label: str = "", now: datetime | None = None) -> Snapshot:
    """Keep a home as it is now.

    Raises:
        StorageError: there is no such home, or not all of it could be kept; then nothing is.
    """
    if label and not _LABEL.fullmatch(label):
        raise StorageError(f"{label!r} is no label; take letters, digits, '.', '_' and '-'.")
    now = now or datetime.now(timezone.utc)
    name = f"{stamp(now)}-{label}" if label else stamp(now)
    folder = _folder(root, home)
    with opened_home(root, home) as fd:
        folder.mkdir(mode=0o700, exist_ok=True)
        with opened(folder) as target:
            lacks: Sequence[str] = ()
            try:
                if subvolumes.can_be_snapshot(root, fd):
                    lacks = subvolumes.inside(fd)
                    subvolumes.snapshot(fd, name, target)
                else:
                    _copy(root, home, fd, name, target)
            except FileExistsError:
                raise StorageError(f"{home} has a snapshot {name} already.") from None
    found = _NAME.fullmatch(name)
    assert found
    return Snapshot(home, name, _when(found[1]), label, folder / name, tuple(lacks))


def _folder(root: Path, home: str) -> Path:
    return store(root) / quote(os.fsencode(home), safe="")


def _when(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def _is_subvolume(root: Path, fd: int) -> bool:
    return subvolumes.on_btrfs(root) and subvolumes.is_subvolume(fd)


def _copy(root: Path, home: str, fd: int, name: str, target: int) -> None:
    with working(root) as work:
        copy(".", fd, "copy", work.lock, home)
        move("copy", work.lock, name, target)


def list_snapshots(root: Path, home: str) -> list[Snapshot]:
    """The oldest first."""
    folder = _folder(root, home)
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if match := _NAME.fullmatch(path.name):
            found.append(Snapshot(home, path.name, _when(match[1]), match[2] or "", path))
    return found


def prune(root: Path, home: str, label: str, keep: int) -> list[Snapshot]:
    """Delete a home's snapshots of one label but for the newest.

    Returns:
        Those that are deleted.

    Raises:
        StorageError: what has the name of a snapshot is none of the agent's.
    """
    if keep < 1:
        raise StorageError(f"--keep {keep} would delete every snapshot; keep 1 or more.")
    old = [one for one in list_snapshots(root, home) if one.label == label][:-keep]
    for one in old:
        with opened(one.path) as fd, opened(one.path.parent) as folder, working(root) as work:
            if not _is_subvolume(root, fd):
                # It takes a while: what is left of one that is broken off has no such name.
                move(one.name, folder, "old", work.lock)
            elif subvolumes.is_read_only(fd):
                subvolumes.destroy(one.name, folder)
            else:
                raise StorageError(f"{one.path} can be written, so it is not a snapshot.")
    return old


def find_snapshot(root: Path, home: str, name: str) -> Snapshot:
    """By its name, or `latest`.

    Raises:
        StorageError: there is none.
    """
    all_of_them = list_snapshots(root, home)
    if name == "latest" and all_of_them:
        return all_of_them[-1]
    for one in all_of_them:
        if one.name == name:
            return one
    there = ", ".join(one.name for one in all_of_them[-3:]) or "none"
    raise StorageError(f"{home} has no snapshot {name}; the last ones are: {there}.")


def restore_snapshot(
    root: Path,
    snapshot: Snapshot,
    path: Sequence[str] = (),
    backend: Backend | None = None,
    now: datetime | None = None,
) -> Put:
    """Put a home, or one file or folder of it, back as it was.

    Args:
        path: the names that lead to the file or folder; empty for all of the home.
        backend: sets the limit that the replaced home had.

    Raises:
        StorageError: it can't be; then everything is as before.
    """
    now = now or datetime.now(timezone.utc)
    if path:
        return put_beside(root, snapshot.home, snapshot.path, path, now)
    with working(root) as work, opened(snapshot.path) as source:
        if _is_subvolume(root, source) and not subvolumes.quotas(root):
            subvolumes.snapshot(source, "new", work.lock, writable=True)
        else:
            # What it shares would not count, or not be counted rightly.
            share = not subvolumes.quotas(root)
            make_folder(root, "new", work)
            copy(".", source, "new", work.lock, snapshot.home, share)
        return put_home(root, snapshot.home, work.path / "new", now, backend)


def make_folder(root: Path, path: str, work: Work) -> Path:
    """An empty one that can be a home: on btrfs a subvolume, which can be limited."""
    new = work.path / path
    new.parent.mkdir(parents=True, exist_ok=True)
    if subvolumes.on_btrfs(root):
        with opened(new.parent) as folder:
            subvolumes.create(new.name, folder)
    else:
        os.mkdir(new, 0o700)
    return new
