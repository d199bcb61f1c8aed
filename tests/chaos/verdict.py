"""Is the ledger equal to the record? Pure.

A session is charged from its reservation to its end. The record has the true instants, and allows:

- start: the ledger was asked, decided, and then the process started. So the reservation lies
  between the hub's question and the first instruction of the process. Exact.
- stopped: a hub stopped the server and lived to tell. The end lies between the true end of the
  process and the moment at which that hub saw that it had ended, however long it took to tell a
  ledger that was away. Exact.
- died: the server died, and a hub that had seen it alive lived to notice and tell. The end lies
  between the last time that this hub saw it alive and the first poll that said otherwise: no
  poll can know better.
- unwatched: the server ended while no hub lived, or the hub that could have told was killed
  before it did, or before the ledger's database was back to hear it. How long it ran after a hub
  last saw it is not known to anybody: the end lies between that and the true end, to within one
  heartbeat. While the database is away there are no heartbeats.
- never ran: the hub was killed, or gave up, after the reservation and before the process. If a
  hub told the ledger, the end is no later than that; otherwise the session holds no longer than
  one heartbeat.

All of it by the ledger's clock, which may have stepped: an instant of the record is what that
clock said then, and a clock that was set back stands still in the ledger until it is past the
latest instant that it has been to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.record import Clock, Record, Run, Told

SECOND = 10**6
LATE = SECOND // 2
"""Microseconds by which a heartbeat may come late, as it takes its own time."""
AT_ONCE = SECOND // 2
"""Microseconds between an answer to a hub and what it does then."""

STARTED, STOPPED, DIED, UNWATCHED, NEVER_RAN = "start", "stopped", "died", "unwatched", "never ran"


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a session; microseconds since 1970, UTC, by the ledger's clock."""

    id: str
    user: str
    server: str
    reserved_at: int
    closed_at: int | None
    reason: str | None = None


@dataclass(frozen=True)
class Wrong:
    """Something in the ledger that is not so: by how much, and where to look."""

    what: str
    seconds: float
    session: str
    story: str


@dataclass
class Verdict:
    """What is wrong; how many ends of each kind there were; how far off the ends were.

    Attributes:
        off: by kind, the largest distance of an end from the truth in seconds, whatever is
            allowed: from the true end, or where nobody stopped the server, from the time between
            when it was last seen alive and then.
    """

    wrong: list[Wrong] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    off: dict[str, float] = field(default_factory=dict)

    @property
    def wrong_seconds(self) -> float:
        return round(sum(wrong.seconds for wrong in self.wrong), 3)


@dataclass(frozen=True)
class Bounds:
    """Between which instants of the record something may be in the ledger, and why."""

    kind: str
    earliest: int
    latest: int


def end_of(run: Run, record: Record, heartbeat: int) -> Bounds:
    """Where the end of what ran may be. The first hub that told the ledger counts."""
    assert run.ended is not None
    first = next(iter(record.told.get(run.session, [])), None)
    margin = heartbeat + LATE
    if first and first.at >= run.ended and _was_heard(first, run.ended, record, margin):
        noticed = first.at if first.dead is None else max(first.dead, run.ended) + AT_ONCE
        if first.stopped is not None and first.stopped <= run.ended:
            return Bounds(STOPPED, run.ended, noticed)
        if first.alive is not None:
            return Bounds(DIED, min(first.alive, run.ended), noticed)
    earliest = _last_seen(run, record) - margin
    for away, back in reversed(record.away):
        if away <= run.ended and back >= earliest:  # no heartbeat could be written
            earliest = min(earliest, away - margin)
    return Bounds(UNWATCHED, earliest, run.ended + margin)


def _last_seen(run: Run, record: Record) -> int:
    """Alive, by whatever hub."""
    assert run.ended is not None
    return max((at for at in record.alive[run.session] if at <= run.ended), default=run.started)


def _was_heard(told: Told, ended: int, record: Record, margin: int) -> bool:
    """Whether the hub lived until the ledger could hear it."""
    back = max((back for away, back in record.away if away <= told.at and back >= ended), default=0)
    return record.killed.get(told.hub, back + margin) >= back + margin


def distance(at: int, bounds: Bounds, clock: Clock) -> int:
    """Microseconds by which an instant of the ledger lies outside."""
    earliest, latest = clock.span(bounds.earliest, bounds.latest)
    latest = max(latest, clock.latest(bounds.latest))
    return max(earliest - at, at - latest, 0)


def judge(entries: Iterable[Entry], record: Record, heartbeat: int, end: int) -> Verdict:
    """Compare each session with what ran for it.

    Args:
        heartbeat: microseconds.
        end: of the record; what still runs then runs until then.
    """
    return _Judge(record, heartbeat, end).judge(entries)


class _Judge:
    def __init__(self, record: Record, heartbeat: int, end: int) -> None:
        self.record, self.heartbeat, self.end = record, heartbeat, end
        self.verdict = Verdict()

    def judge(self, entries: Iterable[Entry]) -> Verdict:
        runs: dict[str, list[Run]] = {}
        for run in self.record.runs:
            runs.setdefault(run.session, []).append(run)
        for entry in entries:
            first, *others = runs.pop(entry.id, []) or [None]
            if first:
                self._begin(entry, first)
                self._end(entry, first)
            else:
                self._never_ran(entry)
            for other in others:
                self._uncharged(other, "a second process of one session")
        for run in (run for left in runs.values() for run in left):
            self._uncharged(run, "no such session")
        return self.verdict

    def _begin(self, entry: Entry, run: Run) -> None:
        asked = self.record.asked.get((run.user, run.server), [])
        before = [at for at in asked if at <= run.started]
        if before:
            bounds = Bounds(STARTED, before[-1], run.started)
            self._check(entry, entry.reserved_at, bounds, run, run.started)
        else:
            self._uncharged(run, "no hub asked the ledger")

    def _end(self, entry: Entry, run: Run) -> None:
        if entry.closed_at is None:
            return  # counted as a leak where nothing runs any more
        if run.ended is None:
            self._uncharged(run, "still runs, and its session is closed")
            return
        bounds = end_of(run, self.record, self.heartbeat)
        self._check(entry, entry.closed_at, bounds, run, run.ended)
        seen = run.ended if bounds.kind == STOPPED else _last_seen(run, self.record)
        off = distance(entry.closed_at, Bounds(bounds.kind, seen, run.ended), self.record.clock)
        # Between two heartbeats it may have stepped.
        self._count(bounds.kind, off - self.record.clock.stepped(bounds.earliest, bounds.latest))

    def _never_ran(self, entry: Entry) -> None:
        if entry.closed_at is None:
            return
        latest = entry.reserved_at + self.heartbeat + LATE
        for told in self.record.told.get(entry.id, [])[:1]:
            latest = max(latest, self.record.clock.latest(told.at))
        held = entry.closed_at - entry.reserved_at
        self._count(NEVER_RAN, held)
        if entry.closed_at > latest:
            story = f"{entry.user}/{entry.server} {entry.reason}: held for {held / SECOND:.3f} s"
            self._wrong(NEVER_RAN, entry.closed_at - latest, entry.id, story)

    def _check(self, entry: Entry, at: int, bounds: Bounds, run: Run, true: int) -> None:
        off = distance(at, bounds, self.record.clock)
        if not off:
            return

        def say(instant: int) -> str:
            return f"{(instant - true) / SECOND:+.3f}"

        ledger = say(at - self.record.clock.added(true))
        story = (
            f"{run.user}/{run.server} {entry.reason}: ledger {ledger}, "
            f"allowed {say(bounds.earliest)} to {say(bounds.latest)} s from {true}"
        )
        self._wrong(bounds.kind, off, entry.id, story)

    def _uncharged(self, run: Run, why: str) -> None:
        length = (run.ended or self.end) - run.started
        self._wrong("uncharged", length, run.session, f"{run.user}/{run.server}: {why}")

    def _wrong(self, what: str, off: int, session: str, story: str) -> None:
        self.verdict.wrong.append(Wrong(what, round(off / SECOND, 3), session, story))

    def _count(self, kind: str, off: int) -> None:
        self.verdict.ends[kind] = self.verdict.ends.get(kind, 0) + 1
        most = max(self.verdict.off.get(kind, 0), round(off / SECOND, 3))
        self.verdict.off[kind] = most
