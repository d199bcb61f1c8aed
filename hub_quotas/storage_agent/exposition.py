"""Metrics as a file, for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .record import Backups
from .service import MountState, Use

_NAME = "hub_storage"


def metrics(state: MountState, uses: Iterable[Use], now: float) -> str:
    """In the text format of Prometheus: sums alone, so that it does not grow with users. Pure.

    Args:
        now: seconds since 1970.
    """
    some = list(uses)
    limited = [use for use in some if use.applied is not None]
    known = [use for use in limited if use.used is not None]
    lines = []
    for name, what, value in (
        *_of_backups(state.backups),
        ("directories", "Homes and shared directories", len(some)),
        ("directories_limited", "Of them, those with a limit", len(limited)),
        (
            "directories_full",
            "Of them, those that hold at least 95 % of it",
            sum((use.used or 0) >= 0.95 * (use.applied or 0) for use in known),
        ),
        (
            "directories_with_problems",
            "Whose limit can't be set",
            sum(bool(u.problem) for u in some),
        ),
        ("used_bytes", "What directories hold", sum(use.used or 0 for use in some)),
        ("limit_bytes", "What they may hold", sum(use.applied or 0 for use in limited)),
        ("filesystem_size_bytes", "The file system as a whole", state.size),
        ("filesystem_free_bytes", "What is free there", state.free),
        ("last_look_seconds", "When all was looked at last, since 1970", int(now)),
    ):
        lines += [
            f"# HELP {_NAME}_{name} {what}.",
            f"# TYPE {_NAME}_{name} gauge",
            f"{_NAME}_{name} {value}",
        ]
    return "\n".join(lines) + "\n"


def _of_backups(found: Backups | None) -> Iterator[tuple[str, str, int]]:
    """What has never been is left out."""
    if found is None:
        return
    if found.last_ok is not None:
        yield "backup_last_ok_seconds", "When a home was backed up last, since 1970", found.last_ok
    yield "backup_homes", "Homes that have a backup", found.homes
    yield "backup_failures", "Homes whose last backup failed", found.failures
    if test := found.restore_test:
        yield "restore_test_last_seconds", "When restoring was tested last, since 1970", test.at
        yield "restore_test_ok", "Whether all was as it should be then", int(test.ok)


def write_metrics(path: Path, state: MountState, uses: Iterable[Use]) -> None:
    """Put the file in its place when it is whole: the collector may read at any moment."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(metrics(state, uses, time.time()))
    os.replace(new, path)
