"""Many processes reserve and close against one cap, and some are killed at random instants.

    python tests/stress.py --seconds 30 --json [--url postgresql+psycopg://...]

Run it as a program: it forks, and so must have no threads or connections of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.sharedctypes import RawArray
from pathlib import Path

from hub_quotas.ledger import POSITIONS
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import Session, new_id
from hub_quotas.store import QuotaStore

G = 2**30
CAPS = {"servers": 6, "memory": 12 * G}
GROUPS = ("hall/a", "hall/b", "hall/b/c", "hall/d")
USERS = 8
COUNTERS = ("attempts", "admitted", "closed", "rivals", "moves")
PATIENCE = 30
"""Seconds after which a worker that does not end by itself is stuck."""


@dataclass
class Report:
    """What came of a run.

    Attributes:
        oversubscribed: instants with more in use than a cap allows; by the ledger's points, and
            by its sessions.
        leaked: sessions open, or amounts in use, after all that workers left was closed.
        rivals: sessions that a process closed which is not their own.
        moves: of a group with all that runs in it, to another place in the tree.
        unequal: groups with another amount in use than the sessions below them have.
        errors: what went wrong in workers, other than that they were killed.
    """

    database: str = ""
    seconds: float = 0
    processes: int = 0
    threads: int = 0
    attempts: int = 0
    admitted: int = 0
    closed: int = 0
    rivals: int = 0
    moves: int = 0
    kills: int = 0
    oversubscribed: int = 0
    unequal: int = 0
    leaked: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.oversubscribed or self.unequal or self.leaked or self.errors)


def policy(above: str) -> Policy:
    """The caps, and one group that moves about below them."""
    limits = {"group.servers": CAPS["servers"], "group.memory": f"{CAPS['memory'] // G}G"}
    groups = {"hall": {"limits": limits}, "hall/a": {}, "hall/b": {}, "hall/d": {"parent": above}}
    return parse_policy({"groups": groups})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--attempts", type=int, default=0, help="go on until there are so many")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--url", help="of an empty database; a new SQLite file if not given")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/ledger.sqlite"
        size = (options.seconds, options.attempts, options.processes, options.threads)
        report = run(url, Path(folder), *size)
    print(
        f"{report.attempts} attempts, {report.admitted} admitted, {report.kills} kills: "
        f"{report.oversubscribed} oversubscribed, {report.leaked} leaked, "
        f"{report.unequal} groups with another amount in use than their sessions have"
    )
    for error in report.errors[:10]:
        print(f"error: {error}")
    if options.json:
        print(json.dumps({**asdict(report), "good": report.good}))
    return 0 if report.good else 1


def run(
    url: str, folder: Path, seconds: float, attempts: int = 0, processes: int = 4, threads: int = 2
) -> Report:
    """Torment an empty database.

    Args:
        folder: an empty one, for what workers have to say.
        seconds: how long, and up to ten times as long where
        attempts: that many have not been made.
    """
    store = QuotaStore(url)
    store.apply(policy("hall/a"), "root", "cli")
    store.close()  # a fork must inherit no connection
    begun = time.monotonic()
    report = Report(url.partition(":")[0], processes=processes, threads=threads)
    cells = RawArray("q", processes * threads * len(COUNTERS) + 1)  # the last one says to stop
    fork = multiprocessing.get_context("fork")

    def begin(number: int) -> multiprocessing.process.BaseProcess:
        process = fork.Process(target=work, args=(url, number, threads, cells, folder))
        process.start()
        return process

    workers = {number: begin(number) for number in range(processes)}
    chance = random.Random()
    elapsed = 0.0
    while (
        elapsed < seconds or elapsed < 10 * seconds and sum(cells[: -1 : len(COUNTERS)]) < attempts
    ):
        time.sleep(chance.uniform(0.02, 0.3))
        number = chance.randrange(processes)
        workers[number].kill()
        workers[number].join()
        report.kills += workers[number].exitcode == -signal.SIGKILL
        workers[number] = begin(number)
        elapsed = time.monotonic() - begun
    cells[-1] = True
    for worker in workers.values():
        worker.join(PATIENCE)
        if worker.is_alive():
            report.errors.append(f"{worker.name} is stuck")
            worker.kill()
            worker.join()
    for place, name in enumerate(COUNTERS):
        setattr(report, name, sum(cells[place : -1 : len(COUNTERS)]))
    report.errors += [log.read_text().strip() for log in sorted(folder.glob("*.error"))]
    inspect(url, report)
    report.seconds = round(time.monotonic() - begun, 1)
    return report


# -- a worker ---------------------------------------------------------------------------------


def work(url: str, number: int, threads: int, cells, folder: Path) -> None:
    """A hub's process: closes what it left when it was killed, and goes on."""
    try:
        store = QuotaStore(url, hub=f"hub-{number}")
        for session in store.open_sessions():
            if session.hub == store.hub:
                store.close_session(session.id, "gone", session.seen_at)
        begin = number * threads * len(COUNTERS)
        places = [range(begin + n * len(COUNTERS), len(cells)) for n in range(threads)]
        all_of_them = [
            threading.Thread(target=_hammer, args=(store, cells, place, folder)) for place in places
        ]
        for thread in all_of_them:
            thread.start()
        for thread in all_of_them:
            thread.join()
        store.close()
    except Exception as error:
        _tell(folder, error)
    sys.stdout.flush()


def _tell(folder: Path, error: Exception) -> None:
    (folder / f"{new_id(now())}.error").write_text(repr(error))


def _hammer(store: QuotaStore, cells, place: range, folder: Path) -> None:
    attempts, admitted, closed, rivals, moves = place[: len(COUNTERS)]
    try:
        while not cells[-1]:
            id, user = new_id(now()), f"user-{random.randrange(USERS)}"
            groups = random.sample(GROUPS, random.choice([1, 2]))
            request = {"memory": random.choice([G, 2 * G, 5 * G])}
            cells[attempts] += 1
            answer = store.reserve(id, user, "", groups, request)
            if answer.granted:
                cells[admitted] += 1
                if random.random() < 0.1:
                    answer = store.reserve(id, user, "", groups, request)
                    assert answer.granted, "the same answer as the first time"
                if random.random() < 0.5:
                    store.start(id)
                time.sleep(random.choice([0, 0, random.uniform(0, 0.01)]))
                if random.random() < 0.1:
                    store.resize(id, {"servers": 1, "memory": G // 2})
                how = random.random()
                cells[closed] += (
                    store.void(id, "failed")
                    if how < 0.1
                    else store.close_session(id, "late", now() - 2000)
                    if how < 0.3
                    else store.close_session(id, "stopped")
                )
            elif random.random() < 0.05:
                store.apply(policy(random.choice(["hall", "hall/a", "hall/b"])), "root", "cli")
                cells[moves] += 1
            elif random.random() < 0.1:
                # As when the hub and the process that compares it with the ledger both see an end.
                for other in random.sample(open_ones := store.open_sessions(), len(open_ones))[:1]:
                    cells[rivals] += store.close_session(other.id, "rival")
    except Exception as error:
        _tell(folder, error)


# -- what they left ---------------------------------------------------------------------------


def inspect(url: str, report: Report) -> None:
    """Look for more in use than the caps allow, now and ever; then close what is left."""
    store = QuotaStore(url, hub="inspector")
    try:
        report.unequal += unequal(store)
        for session in store.open_sessions():
            store.close_session(session.id, "left behind")
        report.leaked = len(store.open_sessions())
        for use in store.group_use().values():
            report.leaked += sum(amount != 0 for amount in use.values())
        report.oversubscribed = above_a_cap(store) + above_a_cap_by_sessions(store.sessions())
    except Exception as error:
        report.errors.append(f"at the end: {error!r}")
    finally:
        store.close()


def unequal(store: QuotaStore) -> int:
    """Groups that have more or less in use than the sessions below them."""
    count = 0
    sessions, tree = store.open_sessions(), store.policy()
    for group, use in store.group_use().items():
        below = [session.granted for session in sessions if group in tree.path(session.group)]
        names = {*use, *(name for amounts in below for name in amounts)}
        count += any(use.get(n, 0) != sum(b.get(n, 0) for b in below) for n in names)
    return count


def above_a_cap(store: QuotaStore) -> int:
    """Points of the ledger at which the whole had more in use than a cap, or less than nothing."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT state FROM point JOIN subject ON subject.id = point.subject"
            " WHERE user_name = '' AND group_name = 'hall'"
        )
    rates = [json.loads(state)[1::2] for (state,) in rows]
    return sum(
        not 0 <= rate[POSITIONS.index(name)] <= cap for rate in rates for name, cap in CAPS.items()
    )


def above_a_cap_by_sessions(sessions: list[Session]) -> int:
    """The same from when each session began and ended, which the points do not know."""
    changes = []
    for session in sessions:
        begun = session.charges[0]
        end = session.closed_at or begun.since
        # Resizes make servers smaller; a late closing frees earlier than could be known.
        for name in CAPS:
            changes.append((begun.since, 1, name, begun.amounts[name]))
            for before, after in zip(session.charges, session.charges[1:], strict=False):
                if after.since < end:
                    change = after.amounts[name] - before.amounts[name]
                    changes.append((after.since, 0, name, change))
            held = [charge for charge in session.charges if charge.since <= end]
            last = (held if held[-1].since < end else held[:-1]) or held
            changes.append((max(end, begun.since), 0, name, -last[-1].amounts[name]))
    return _too_much(changes)


def _too_much(changes: list[tuple[int, int, str, int]]) -> int:
    found, use, instants = 0, dict.fromkeys(CAPS, 0), sorted(changes)
    for place, (at, _, name, change) in enumerate(instants):
        use[name] += change
        if place + 1 == len(instants) or instants[place + 1][0] > at:
            found += any(use[n] > cap for n, cap in CAPS.items())
    return found


if __name__ == "__main__":
    sys.exit(main())
