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
    seen = [at for at in record.alive.get(run.session, []) if at <= run.ended]
    earliest = (seen[-1] if seen else run.started) - margin
    for away, back in reversed(record.away):
        if away <= run.ended and back >= earliest:  # no heartbeat could be written
            earliest = min(earliest, away - margin)
    return Bounds(UNWATCHED, earliest, run.ended + margin)


def _was_heard(told: Told, ended: int, record: Record, margin: int) -> bool:
    """Whether the hub lived until the ledger could hear it."""
    back = max((back for away, back in record.away if away <= told.at and back >= ended), default=0)
    return record.killed.get(told.hub, back + margin) >= back + margin


def distance(at: int, bounds: Bounds, clock: Clock) -> int:
    """Microseconds by which an instant of the ledger lies outside."""
    earliest, latest = clock.span(bounds.earliest, bounds.latest)
    latest = max(latest, clock.latest(bounds.latest))
    return max(earliest - at, at - latest, 0)


def judge(
    entries: Iterable[Entry], record: Record, clock: Clock, heartbeat: int, end: int
) -> Verdict:
    """Compare each session with what ran for it.

    Args:
        heartbeat: microseconds.
        end: of the record; what still runs then runs until then.
    """
    verdict = Verdict()
    by_session: dict[str, list[Run]] = {}
    for run in record.runs:
        by_session.setdefault(run.session, []).append(run)
    known = set()
    for entry in entries:
        known.add(entry.id)
        told = record.told.get(entry.id, [])
        runs = by_session.get(entry.id, [])
        if runs:
            _judge_run(verdict, entry, runs[0], record, clock, heartbeat, end)
        else:
            _judge_never_ran(verdict, entry, told, clock, heartbeat)
        for other in runs[1:]:
            _uncharged(verdict, other, end, "a second process of one session")
    for session, runs in by_session.items():
        if session not in known:
            for run in runs:
                _uncharged(verdict, run, end, "no such session")
    return verdict


def _judge_run(
    verdict: Verdict,
    entry: Entry,
    run: Run,
    record: Record,
    clock: Clock,
    heartbeat: int,
    end: int,
) -> None:
    asked = [at for at in record.asked.get((run.user, run.server), []) if at <= run.started]
    if not asked:
        _uncharged(verdict, run, end, "nobody asked the ledger")
        return
    _check(verdict, entry, entry.reserved_at, Bounds(STARTED, asked[-1], run.started), clock, run)
    if entry.closed_at is None:
        return  # counted as a leak where nothing runs any more
    if run.ended is None:
        _uncharged(verdict, run, end, "still runs, and its session is closed")
        return
    bounds = end_of(run, record, heartbeat)
    seen = [at for at in record.alive.get(run.session, []) if at <= run.ended] or [run.started]
    exact = run.ended if bounds.kind == STOPPED else seen[-1]
    off = distance(entry.closed_at, Bounds(bounds.kind, exact, run.ended), clock)
    _count(verdict, bounds.kind, max(0, off - clock.stepped(bounds.earliest, bounds.latest)))
    _check(verdict, entry, entry.closed_at, bounds, clock, run)


def _judge_never_ran(
    verdict: Verdict, entry: Entry, told: list[Told], clock: Clock, heartbeat: int
) -> None:
    if entry.closed_at is None:
        return
    first = next(iter(told), None)
    latest = entry.reserved_at + heartbeat + LATE
    if first:
        latest = max(latest, clock.span(first.at, first.at)[1], clock.latest(first.at))
    off = entry.closed_at - entry.reserved_at
    _count(verdict, NEVER_RAN, off)
    if entry.closed_at > latest:
        seconds = (entry.closed_at - latest) / SECOND
        story = f"charged for {off / SECOND:.3f} s, {entry.reason}, told {told}"
        verdict.wrong.append(Wrong(NEVER_RAN, seconds, entry.id, story))


def _count(verdict: Verdict, kind: str, off: int) -> None:
    verdict.ends[kind] = verdict.ends.get(kind, 0) + 1
    verdict.off[kind] = max(verdict.off.get(kind, 0), round(off / SECOND, 3))


def _check(verdict: Verdict, entry: Entry, at: int, bounds: Bounds, clock: Clock, run: Run) -> None:
    off = distance(at, bounds, clock)
    if not off:
        return
    ended = run.ended if bounds.kind != STARTED else run.started
    assert ended is not None

    def say(instant: int) -> str:
        return f"{(instant - ended) / SECOND:+.3f}"

    story = (
        f"{run.user}/{run.server} {entry.reason}: ledger {say(at - clock.added(ended))}, "
        f"allowed {say(bounds.earliest)} to {say(bounds.latest)} s from the truth; ran "
        f"{((run.ended or ended) - run.started) / SECOND:.3f} s; true instant {ended}"
    )
    verdict.wrong.append(Wrong(bounds.kind, round(off / SECOND, 3), entry.id, story))


def _uncharged(verdict: Verdict, run: Run, end: int, why: str) -> None:
    seconds = ((run.ended or end) - run.started) / SECOND
    story = f"{run.user}/{run.server} ran {seconds:.3f} s: {why}"
    verdict.wrong.append(Wrong("uncharged", seconds, run.session, story))
