"""The record of a campaign, read: what ran, what the hubs saw of it, and what the clock said.

Nothing here comes from the ledger. Times are microseconds since 1970, UTC, by the machine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A process that ran: its session is only what its hub gave it as a name."""

    session: str
    user: str
    server: str
    pid: int
    started: int
    ended: int | None = None


@dataclass(frozen=True)
class Told:
    """A hub has told the ledger of an end, and has an answer.

    Attributes:
        alive: when that hub last saw the server alive: it started it, or polled it.
        dead: when that hub was first told by a poll that it is not.
        stopped: when that hub began to stop it, if it did.
    """

    at: int
    hub: int
    alive: int | None = None
    dead: int | None = None
    stopped: int | None = None


@dataclass(frozen=True)
class Clock:
    """What the ledger's clock said: `(since, added)`, by time."""

    steps: tuple[tuple[int, int], ...] = ()

    def added(self, at: int) -> int:
        return next((added for since, added in reversed(self.steps) if since <= at), 0)

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The earliest and the latest that it said between two instants."""
        inside = [since for since, _ in self.steps if begin < since <= end]
        said = [at + self.added(at) for at in (begin, end, *inside)]
        said += [at - 1 + self.added(at - 1) for at in inside]
        return min(said), max(said)

    def latest(self, at: int) -> int:
        """The latest that it ever said. A ledger whose clock was set back waits there."""
        instants = [at, *(since - 1 for since, _ in self.steps if since <= at)]
        return max(instant + self.added(instant) for instant in instants)

    def stepped(self, begin: int, end: int) -> int:
        """By how much it stepped in between, either way; microseconds."""
        inside = [since for since, _ in self.steps if begin < since <= end]
        return sum(abs(self.added(at) - self.added(at - 1)) for at in inside)


@dataclass
class Record:
    """All of it.

    Attributes:
        runs: in the order in which they started.
        told: by session, each time that a hub told the ledger that it has ended.
        asked: by user and server, when a hub was about to ask the ledger.
        alive: by session, when hubs saw the server alive.
        killed: by hub, when.
        away: from when until when the ledger's database was.
        clock: the hub's.
    """

    runs: list[Run] = field(default_factory=list)
    told: dict[str, list[Told]] = field(default_factory=dict)
    asked: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    alive: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    killed: dict[int, int] = field(default_factory=dict)
    away: list[tuple[int, int]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


def read(lines: Iterable[Line]) -> Record:
    """Put together what belongs together. Pure."""
    record = Record()
    runs: list[dict[str, Any]] = []
    steps: list[tuple[int, int]] = []
    alive: dict[tuple[int, str], int] = {}
    dead: dict[tuple[int, str], int] = {}
    stopped: dict[tuple[int, str], int] = {}
    gone = 0
    # A line is written a moment after its instant, and another process may come in between.
    for line in sorted(lines, key=lambda line: line["at"]):
        what, at, session = line["what"], line["at"], line.get("session")
        if what == "start":
            names = ("session", "user", "server", "pid")
            runs.append({**{name: line[name] for name in names}, "started": at})
        elif what == "end":
            next(run for run in reversed(runs) if run["pid"] == line["pid"])["ended"] = at
        elif what == "ask":
            record.asked.setdefault((line["user"], line["server"]), []).append(at)
        elif what == "alive":
            alive[line["hub"], session] = at
            record.alive[session].append(at)
        elif what == "dead":
            dead.setdefault((line["hub"], session), at)
        elif what == "kill" and line["kind"] == "hub":
            record.killed[line["pid"]] = at
        elif what == "step":
            steps.append((at, line["added"]))
        elif what == "away":
            gone = at
        elif what == "back":
            record.away.append((gone, at))
        elif what == "stop":
            stopped.setdefault((line["hub"], session), at)
        elif what == "told" and session:
            key = (line["hub"], session)
            told = Told(at, line["hub"], alive.get(key), dead.get(key), stopped.get(key))
            record.told.setdefault(session, []).append(told)
    record.runs = [Run(**run) for run in runs]
    record.clock = Clock(tuple(steps))
    return record


class Tail:
    """The record while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path, self._place = path, 0
        self.lines: list[Line] = []
        path.touch()

    def read(self) -> list[Line]:
        """All lines so far."""
        with self.path.open("rb") as file:
            file.seek(self._place)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._place += len(new)
        self.lines += [json.loads(line) for line in new.splitlines()]
        return self.lines

    def alive(self) -> dict[int, Line]:
        """The processes that run now, by id: each with the line of its start."""
        found: dict[int, Line] = {}
        for line in self.read():
            if line["what"] == "start":
                found[line["pid"]] = line
            elif line["what"] == "end":
                found.pop(line["pid"], None)
        return found
