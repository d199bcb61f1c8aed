"""Lines of the record of what happened, from whichever process saw it."""

from __future__ import annotations

import json
import os
import time


def true_now() -> int:
    """Microseconds since 1970, UTC, by the machine: not by the clock that a campaign steps."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000


def note(path: str, what: str, at: int | None = None, **values: object) -> None:
    """Append a line, in one write: those of several processes do not mix."""
    line = json.dumps({"what": what, "at": true_now() if at is None else at, **values}) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
