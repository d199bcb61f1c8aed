"""What else happens to a hub: the ledger's database goes away, the clock steps."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
from chaos.note import note, true_now
from hubs import wait_for

CLOCK = Path(__file__).parent / "clock" / "sitecustomize.py"
PROMPT = 2
"""Seconds within which a hub answers, whatever its ledger does."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else holds the write lock of an SQLite file."""
    connection = sqlite3.connect(file, isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def stopped(folder: Path, url: str) -> Iterator[None]:
    """The PostgreSQL server below `folder` is down; each connection ends at once."""
    (data,) = folder.glob("postgres-*/data")
    command = shlex.split((data / "postmaster.opts").read_text())
    server = int((data / "postmaster.pid").read_text().split()[0])
    os.kill(server, signal.SIGINT)  # what `pg_ctl stop -m fast` sends
    wait_for("PostgreSQL to stop", lambda: not (data / "postmaster.pid").exists())
    try:
        yield
    finally:
        owner = pwd.getpwuid(data.stat().st_uid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        with (folder / "postgres.log").open("ab") as log:
            subprocess.Popen(
                command,
                cwd=data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **(user if os.geteuid() == 0 else {}),
            )
        wait_for("PostgreSQL to be back", lambda: _answers(url))


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("+psycopg", "", 1)).close()
    except psycopg.OperationalError:
        return False
    return True


class SteppingClock:
    """The clock of a hub and its services: put `folder` first on their PYTHONPATH."""

    def __init__(self, folder: Path, record: Path) -> None:
        self.folder, self.record, self._added = folder, record, 0
        folder.mkdir()
        (folder / CLOCK.name).write_text(CLOCK.read_text())
        self._write()

    def step(self, seconds: float) -> None:
        self._added += int(seconds * 10**6)
        self._write()
        note(str(self.record), "step", added=self._added)

    def _write(self) -> None:
        # In place and in one go: they have it mapped into their memory.
        with open(os.open(self.folder / "offset", os.O_RDWR | os.O_CREAT), "wb", 0) as file:
            file.write(self._added.to_bytes(8, "little", signed=True))


class Doctor(threading.Thread):
    """Asks all the time whether the hub still serves.

    Attributes:
        slow: the answers that took too long, or never came, from a hub that was up all the while.
        slowest: seconds.
    """

    PATHS = ("hub/health", "hub/login")

    def __init__(self, hub, up: threading.Event) -> None:
        super().__init__(daemon=True)
        self.hub, self.up = hub, up
        self.slow: list[str] = []
        self.slowest = 0.0
        self.asked = 0

    def run(self) -> None:
        while True:
            self.up.wait()
            life = self.hub.process.pid
            for path in self.PATHS:
                begun = time.monotonic()
                try:
                    status = httpx.get(f"{self.hub.base}{path}", timeout=10).status_code
                except httpx.HTTPError as error:
                    status = repr(error)
                seconds = time.monotonic() - begun
                time.sleep(0.2)
                if not self.up.is_set() or self.hub.process.pid != life:
                    break  # it was killed while it answered
                self.asked += 1
                self.slowest = max(self.slowest, seconds)
                if seconds > PROMPT or status != 200:
                    self.slow.append(f"{path}: {status} after {seconds:.1f} s at {true_now()}")
