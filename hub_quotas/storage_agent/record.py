"""What the agent writes down of backups, for reports: JSON files in its state folder."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .backend import StorageError

log = logging.getLogger("hub-storage-agent")

BACKUP, RESTORE_TEST = "backup.json", "restore-test.json"
_MOST_NAMED = 50


@dataclass(frozen=True)
class RestoreTest:
    """How the last one went.

    Attributes:
        at: seconds since 1970.
        ok: whether all that it restored was as it should be.
        problems: sentences, where it was not.
    """

    at: int
    ok: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backups:
    """How the backups of a mount are doing.

    Attributes:
        last_ok: when a home was backed up last, in seconds since 1970; None for never.
        homes: how many have a backup.
        failures: of how many homes the last backup failed.
        failed: some of them, as `HOME: WHY`.
    """

    last_ok: int | None = None
    homes: int = 0
    failures: int = 0
    failed: tuple[str, ...] = ()
    restore_test: RestoreTest | None = None


class BackupRecords:
    """Of a state folder; a record that has not changed is not read again."""

    def __init__(self, state: Path, root: Path) -> None:
        """Args:
        root: what homes are below: the failures of those that are no more are none.
        """
        self._state, self._root = state, root
        self._seen: list[int] | None = None
        self._known: Backups | None = None

    def read(self) -> Backups | None:
        """None where nothing was ever backed up or tested from here, or it can't be read."""
        files = [self._state / name for name in (BACKUP, RESTORE_TEST)]
        seen = [_changed(file) for file in files]
        if seen != self._seen:
            self._seen, self._known = seen, None
            try:
                backup, test = (read_record(file) for file in files)
                if backup or test:
                    self._known = summary(backup, test, self._root)
            except StorageError as error:
                log.warning("%s", error)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("The records of backups in %s are no records: %s", self._state, error)
        return self._known


def _changed(file: Path) -> int:
    """When, in nanoseconds since 1970; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def summary(backup: dict[str, Any], test: dict[str, Any], root: Path) -> Backups:
    """What records say.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: they are none.
    """
    homes = backup.get("homes", {})
    good = [_seconds(entry["good"]) for entry in homes.values() if "good" in entry]
    failed = [
        f"{home}: {entry['problem']}"
        for home, entry in sorted(homes.items())
        if "failed" in entry and os.path.lexists(root / home)
    ]
    return Backups(
        max(good, default=None),
        len(good),
        len(failed),
        tuple(failed[:_MOST_NAMED]),
        RestoreTest(_seconds(test["when"]), bool(test["ok"]), tuple(map(str, test["problems"])))
        if test
        else None,
    )


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def read_record(file: Path) -> dict[str, Any]:
    """Empty where there is none.

    Raises:
        StorageError: it is not what `write_record` writes.
    """
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StorageError(f"{file} can't be read ({error}); move it away.") from None
    if not isinstance(found, dict):
        raise StorageError(f"{file} is not a JSON object; move it away.")
    return found


def write_record(file: Path, record: dict[str, Any]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_name(f".{file.name}.unfinished")
    with open(unfinished, "w") as output:
        json.dump(record, output, indent=1, sort_keys=True)
        output.flush()
        os.fsync(output.fileno())
    unfinished.replace(file)
