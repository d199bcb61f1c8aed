"""What the agent writes down of backups, for reports: JSON files in its state folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .backend import StorageError

BACKUP, RESTORE_TEST = "backup.json", "restore-test.json"


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
