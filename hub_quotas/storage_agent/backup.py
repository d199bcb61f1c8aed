"""Backups of homes in a repository of restic: one for each home, each by itself.

On btrfs, restic reads a read-only snapshot that is made for it and removed afterwards, so that a
backup is of one moment. Elsewhere, and on btrfs with full quotas (`subvolumes.quotas`), it reads
the home as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from . import subvolumes
from .backend import Backend, StorageError
from .putting import Put, put_beside, put_home
from .reach import opened, opened_home
from .record import BACKUP, read_record, write_record
from .restic import Restic, Saved
from .snapshots import make_folder
from .working import Work, remove, working

KEEP = {"daily": 7, "weekly": 5, "monthly": 12}
_FETCHED = "fetched"
_PRUNE_EVERY = timedelta(days=7)


@dataclass(frozen=True)
class Done:
    """One home in a run of the backup.

    Attributes:
        problem: why it has no new backup; empty if it has.
        remark: what should be known of one that it has; empty for nothing.
        bytes: what it holds.
    """

    home: str
    problem: str = ""
    remark: str = ""
    bytes: int = 0


def back_up(
    root: Path,
    homes: Iterable[str],
    state: Path,
    keep: Mapping[str, int] | None = None,
    say: Callable[[Done], None] = lambda _done: None,
) -> list[Done]:
    """Back up homes, drop old backups, and once a week free their space.

    Args:
        state: the folder with the record of it, which is written after each home.
        keep: how many backups, by `daily`, `weekly`, `monthly`; if not those of KEEP.
        say: is told each home when it is done.

    Raises:
        StorageError: nothing could be done, or old backups could not be dropped.
    """
    restic, done = Restic(), []
    with working(root, "backup") as work:
        record = read_record(state / BACKUP)
        restic.unlock()
        parents = {saved.home: saved for saved in restic.saved()}
        for home in homes:
            one = _back_up(root, home, parents.get(home), restic, work, record)
            write_record(state / BACKUP, record)
            done.append(one)
            say(one)
        restic.forget(keep or KEEP)
        now = datetime.now(timezone.utc)
        if _is_due(record.get("pruned"), now):
            restic.prune()
            record["pruned"] = now.isoformat(timespec="seconds")
            write_record(state / BACKUP, record)
    return done


def _is_due(pruned: str | None, now: datetime) -> bool:
    return pruned is None or datetime.fromisoformat(pruned) + _PRUNE_EVERY <= now


def _back_up(
    root: Path,
    home: str,
    parent: Saved | None,
    restic: Restic,
    work: Work,
    record: dict[str, Any],
) -> Done:
    when = datetime.now(timezone.utc)
    now = when.isoformat(timespec="seconds")
    entry = record.setdefault("homes", {}).setdefault(home, {})
    try:
        with _still(root, home, work) as (folder, remark):
            summary = restic.save(home, folder, when, parent, (work.lock,))
    except (StorageError, OSError) as error:
        entry.update(failed=now, problem=str(error))
        return Done(home, str(error))
    size = summary["total_bytes_processed"]
    entry.clear()
    entry.update(good=now, id=summary["snapshot_id"], bytes=size, remark=remark)
    return Done(home, remark=remark, bytes=size)


@contextmanager
def _still(root: Path, home: str, work: Work) -> Iterator[tuple[Path, str]]:
    """The folder that the home is below by its path, where nobody writes if that can be had; and
    why it can't."""
    with opened_home(root, home) as fd:
        if not subvolumes.can_be_snapshot(root, fd):
            yield root, ""
            return
        if inside := subvolumes.inside(fd):
            # A snapshot would lack them. A backup that is not of one moment is better than none.
            yield root, f"read while in use, for the subvolumes inside: {', '.join(inside)}"
            return
        # The path is the same each time.
        copy = work.path / home
        copy.parent.mkdir(parents=True, exist_ok=True)
        with opened(copy.parent) as folder:
            subvolumes.snapshot(fd, copy.name, folder)
    try:
        yield work.path, ""
    finally:
        remove(copy)


def find_saved(restic: Restic, home: str, at: str) -> Saved:
    """A backup of a home.

    Args:
        at: `latest`, or the beginning of its id.

    Raises:
        StorageError: there is no such one.
    """
    found = restic.saved(home)
    if not found:
        raise StorageError(f"{home} has no backup.")
    if at == "latest":
        return found[-1]
    fitting = [saved for saved in found if len(at) >= 4 and saved.id.startswith(at)]
    if len(fitting) != 1:
        last = ", ".join(f"{saved.id[:8]} ({saved.when:%Y-%m-%d %H:%M})" for saved in found[-3:])
        raise StorageError(f"{home} has no backup {at}; the last ones are: {last}.")
    return fitting[0]


def fetch(saved: Saved, restic: Restic, work: Work, path: Sequence[str] = ()) -> Path:
    """Write a backup, or one file or folder of it, into a folder of the agent's own.

    Returns:
        The folder that is the home: an ordinary one, unless there is one already.

    Raises:
        StorageError: not all of it could be.
    """
    restic.restore(saved, work.path / _FETCHED, path, (work.lock,))
    return work.path / _FETCHED / saved.home


def restore_backup(
    root: Path,
    home: str,
    at: str = "latest",
    path: Sequence[str] = (),
    backend: Backend | None = None,
    now: datetime | None = None,
) -> tuple[Saved, Put]:
    """Put a home, or one file or folder of it, back as it was when it was backed up.

    Args:
        at: `latest`, or the beginning of a backup's id.
        path: the names that lead to the file or folder; empty for all of the home.
        backend: sets the limit that the replaced home had.

    Raises:
        StorageError: it can't be; then everything is as before.
    """
    now = now or datetime.now(timezone.utc)
    restic = Restic()
    saved = find_saved(restic, home, at)
    with working(root) as work:
        if not path:
            make_folder(root, f"{_FETCHED}/{home}", work)
        copy = fetch(saved, restic, work, path)
        if path:
            return saved, put_beside(root, home, copy, path, now)
        return saved, put_home(root, home, copy, now, backend)
