"""A campaign: users start and stop servers while everything is killed at random instants."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from chaos.note import note, true_now
from chaos.plan import HEARTBEAT, Blow, plan
from chaos.record import Clock, Record, Tail, read
from chaos.trouble import Doctor, SteppingClock, locked, stopped
from chaos.verdict import SECOND, UNWATCHED, Entry, Verdict, judge
from hubs import Hub, wait_for

from hub_quotas.policy import parse_policy
from hub_quotas.reconcile import GRACE_SECONDS
from hub_quotas.store import QuotaStore

USERS = {"lab/a": ["ada", "bo", "cy"], "lab/b": ["di", "ed"]}
SERVERS = ("", "one")
LIMITS = {"lab": {"limits": {"group.servers": 8}}, "lab/a": {}, "lab/b": {}}
RESOURCES = ("cpu", "memory", "servers")


@dataclass
class Report:
    """What came of a campaign.

    Attributes:
        kills: SIGKILLs that hit a living process; each of these by what it hit: hub, service,
            server.
        sessions, ran: in the ledger; processes.
        leaked: sessions open in the ledger, or amounts in use, after all servers were stopped.
        lost: servers that ran when all was quiet and every server that hubs knew had been stopped.
        strays: processes of pages that outlived their hub.
        wrong_seconds: by how much the ledger is outside of what `verdict.py` allows; of all
            sessions.
        curves: subjects whose curve is not the sum of their sessions.
        ends: sessions by how they ended; see `verdict.py`.
        max_error_seconds: by that, the largest distance of a session's end from the truth.
        slow: answers of a hub that took too long while it was up.
    """

    seed: int
    database: str
    kills: int = 0
    hub: int = 0
    service: int = 0
    server: int = 0
    database_outages: int = 0
    clock_steps: int = 0
    sessions: int = 0
    ran: int = 0
    leaked: int = 0
    lost: int = 0
    strays: int = 0
    wrong_seconds: float = 0
    curves: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    max_error_seconds: dict[str, float] = field(default_factory=dict)
    max_error_unwatched_seconds: float = 0
    heartbeat_seconds: int = HEARTBEAT
    answers: int = 0
    slowest_answer_seconds: float = 0
    slow: list[str] = field(default_factory=list)
    wrong: list[dict] = field(default_factory=list)
    seconds: float = 0

    @property
    def good(self) -> bool:
        bad = (self.leaked, self.lost, self.strays, self.wrong_seconds, self.curves)
        return not any(bad)


class Campaign:
    """One hub with its users, its ledger, and a record of what really runs."""

    def __init__(self, folder: Path, seed: int, url: str | None) -> None:
        self.folder, self.seed = folder, seed
        self.url = url or f"sqlite:///{folder / 'hub_quotas.sqlite'}"
        self.report = Report(seed, self.url.partition(":")[0])
        self.tail = Tail(folder / "record.jsonl")
        self.clock = SteppingClock(folder / "clock", self.tail.path)
        (folder / "places").mkdir()
        os.environ["PYTHONPATH"] = str(self.clock.folder)
        groups = {name: {"users": users} for name, users in USERS.items()}
        self.hub = Hub(folder, "chaos", groups=groups, record=str(self.tail.path), db_url=self.url)
        self.up, self.over = threading.Event(), threading.Event()
        self.outage: threading.Thread | None = None

    def run(self, kills: int) -> Report:
        """Until so many have hit something that lived."""
        begun = time.monotonic()
        store = QuotaStore(self.url)
        store.apply(parse_policy({"groups": LIMITS}), "chaos", "cli")
        store.close()
        self._start_hub()
        doctor = Doctor(self.hub, self.up)
        doctor.start()
        users = [
            threading.Thread(target=self._use, args=(user,))
            for names in USERS.values()
            for user in names
        ]
        for user in users:
            user.start()
        try:
            for blow in plan(self.seed):
                if self.report.kills >= kills:
                    break
                time.sleep(blow.wait)
                getattr(self, f"_{blow.what}")(blow)
        finally:
            self.over.set()
        for thread in [*users, *([self.outage] if self.outage else [])]:
            thread.join()
        self._settle()
        self._inspect()
        report = self.report
        report.answers, report.slow = doctor.asked, doctor.slow
        report.slowest_answer_seconds = round(doctor.slowest, 2)
        report.seconds = round(time.monotonic() - begun, 1)
        return report

    # -- blows -----------------------------------------------------------------------------------

    def _kill(self, what: str, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has ended by itself meanwhile
        note(str(self.tail.path), "kill", kind=what, pid=pid)
        setattr(self.report, what, getattr(self.report, what) + 1)
        self.report.kills += 1

    def _hub(self, blow: Blow) -> None:
        self.up.clear()
        self._kill("hub", self.hub.process.pid)
        self.hub.process.wait()
        # Half of the time somebody dies while nobody is watching.
        time.sleep(blow.length * blow.pick)
        if blow.pick < 0.5:
            self._server(blow)
        time.sleep(blow.length * (1 - blow.pick))
        self._start_hub()

    def _start_hub(self) -> None:
        self.hub.start()
        self.up.set()

    def _service(self, _blow: Blow) -> None:
        for child in psutil.Process(self.hub.process.pid).children():
            try:
                if "hub_groups.host" in child.cmdline():
                    self._kill("service", child.pid)
            except psutil.Error:
                continue

    def _server(self, blow: Blow) -> None:
        alive = sorted(self.tail.alive())
        if alive:
            self._kill("server", alive[int(blow.pick * len(alive))])

    def _clock(self, blow: Blow) -> None:
        self.clock.step(blow.length)
        self.report.clock_steps += 1

    def _database(self, blow: Blow) -> None:
        if self.outage:
            self.outage.join()
        self.outage = threading.Thread(target=self._be_away, args=(blow.length,))
        self.outage.start()
        self.report.database_outages += 1

    def _be_away(self, seconds: float) -> None:
        note(str(self.tail.path), "away")
        with self._away():
            time.sleep(seconds)
        note(str(self.tail.path), "back")

    def _away(self):
        if self.report.database == "sqlite":
            return locked(self.folder / "hub_quotas.sqlite")
        return stopped(self.folder, self.url)

    # -- users -----------------------------------------------------------------------------------

    def _use(self, user: str) -> None:
        chance = random.Random(f"{self.seed} {user}")
        while not self.over.is_set():
            server = chance.choice(SERVERS)
            method = chance.choice(["POST", "POST", "DELETE"])
            with quiet():
                self.hub.api(self._path(user, server), method)
            time.sleep(chance.uniform(0, 1.5))

    @staticmethod
    def _path(user: str, server: str) -> str:
        return f"users/{user}/server" + (f"s/{server}" if server else "")

    # -- the end ---------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Everything is stopped in order, and the ledger has time to hear of it."""
        for user in (user for names in USERS.values() for user in names):
            for server in SERVERS:
                wait_for(f"{user}/{server} to stop", lambda u=user, s=server: self._gone(u, s))
        # Time for a heartbeat that finds a server missing, and for one that closes its session.
        time.sleep(2 * HEARTBEAT + 2 * GRACE_SECONDS)

    def _gone(self, user: str, server: str) -> bool:
        servers = self.hub.api(f"users/{user}").json()["servers"]
        found = servers.get(server)
        if not found or found["stopped"]:
            return True
        self.hub.api(self._path(user, server), "DELETE")
        return False

    def _inspect(self) -> None:
        report, lost = self.report, self.tail.alive()
        self.up.clear()
        self.hub.stop()
        for pid in lost:
            os.kill(pid, signal.SIGKILL)
        wait_for("the last of them to end", lambda: not self.tail.alive())
        report.strays = self._end_strays()
        store = QuotaStore(self.url)
        sessions = store.sessions()
        report.lost, report.sessions = len(lost), len(sessions)
        report.leaked = len(store.open_sessions()) + sum(
            amount != 0 for use in store.group_use().values() for amount in use.values()
        )
        report.curves = _unequal(store, sessions)
        store.close()
        entries = [
            Entry(s.id, s.user, s.server, s.reserved_at, s.closed_at, s.reason) for s in sessions
        ]
        record = read(self.tail.read())
        if report.database != "sqlite":  # it is asked for the time, and its clock does not step
            record.clock = Clock()
        self._conclude(record, judge(entries, record, HEARTBEAT * SECOND, true_now()))

    def _end_strays(self) -> int:
        time.sleep(2)  # they look once a second
        found = 0
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder) and "hub_groups.host" in process.cmdline():
                    process.kill()
                    found += 1
            except psutil.Error:
                continue
        return found

    def _conclude(self, record: Record, verdict: Verdict) -> None:
        report = self.report
        report.ran = len(record.runs)
        report.ends, report.max_error_seconds = verdict.ends, verdict.off
        report.max_error_unwatched_seconds = verdict.off.get(UNWATCHED, 0)
        report.wrong_seconds = verdict.wrong_seconds
        report.wrong = [vars(wrong) for wrong in verdict.wrong]


def _unequal(store: QuotaStore, sessions) -> int:
    """Subjects for which the curve says other than the sum of their sessions, to the last unit."""
    expected: dict[tuple[str, str, str], int] = {}
    end = max((s.closed_at or s.seen_at for s in sessions), default=0) + 1
    for session in sessions:
        until = [c.since for c in session.charges[1:]] + [session.closed_at or end]
        for charge, stop in zip(session.charges, until, strict=True):
            for subject in ((session.group, session.user), *((g, "") for g in session.path)):
                for resource in RESOURCES:
                    key = (*subject, resource)
                    used = charge.amounts.get(resource, 0) * (stop - charge.since)
                    expected[key] = expected.get(key, 0) + used
    return sum(
        store.used(group, user, resource, 0, end) != used
        for (group, user, resource), used in expected.items()
    )


@contextmanager
def quiet():
    """Somebody whose hub is not there tries again later."""
    with suppress(httpx.HTTPError):
        yield
