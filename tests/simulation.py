"""Days in the life of several hubs on one ledger, in a second, with what can go wrong.

    python tests/simulation.py --seed 7 --days 3 [--json]

All time and all chance come from the seed, so that what went wrong goes wrong again.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

from hub_quotas.corrections import adjust
from hub_quotas.ledger import POSITIONS
from hub_quotas.policy import parse_policy
from hub_quotas.store import QuotaStore, Session
from hub_quotas.transaction import Database, LedgerError, Transaction

SECOND = 10**6
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 24 * 3600 * SECOND
G = 2**30
BEGIN = 1_774_652_400 * SECOND
"""The evening before the clocks change in Europe, in 2026."""

HUBS = ("north", "south", "east")
USERS = 200
LABS = ("lab-1", "lab-2", "lab-3", "lab-4")
HEARTBEAT = 10 * MINUTE
CAPS = {"uni": {"servers": 40, "memory": 90 * G}, "lab-1": {"servers": 9}, "lab-2": {"cpu": 20_000}}
CLOCK_OFF = 4 * MINUTE
"""At most: two clocks may then differ by 8 minutes, and the ledger refuses 10."""

FAULTS = {"reply lost": 3, "breaks inside": 3, "refused": 1}
"""What can happen to a transaction, and to how many of a hundred."""


class Gone(LedgerError):
    """The database does not answer, as far as the caller can tell."""


class Wrong(AssertionError):
    """An invariant does not hold; the message has the seed."""


class Flaky(Database):
    """A database that fails when it is told to: before, within or after a transaction."""

    def __init__(self, url: str, fault: Callable[[], tuple[str, int]]) -> None:
        super().__init__(url)
        self._fault = fault

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        fault, statements = self._fault()
        if fault == "refused":
            raise Gone(fault)
        with super().write() as tx:
            yield Breaking(tx, statements) if fault == "breaks inside" else tx  # type: ignore[misc]
        if fault == "reply lost":
            raise Gone(fault)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        if self._fault()[0] == "refused":
            raise Gone("refused")
        with super().read() as tx:
            yield tx


class Breaking:
    """A transaction that is cut off after some statements."""

    def __init__(self, tx: Transaction, statements: int) -> None:
        self._tx, self._left = tx, statements

    def __getattr__(self, name: str) -> object:
        if name in ("all", "one", "run"):
            self._left -= 1
            if self._left < 0:
                raise Gone("breaks inside")
        return getattr(self._tx, name)


class Hub:
    """What a hub's processes know. `servers` is in the hub's own database, and so survives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.store: QuotaStore
        self.boots = 0
        self.servers: dict[str, bool] = {}  # by session; whether it has started
        self.to_close: list[tuple[str, int]] = []  # in memory


class Simulation:
    """One run; `counts` says what happened, `digest` in which order.

    Args:
        folder: an empty one.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.random = seed, Random(seed)
        self.url = f"sqlite:///{folder}/ledger.sqlite"
        self.now, self.offset, self.gone_until = BEGIN, 0, 0
        self.counts: Counter[str] = Counter()
        self._digest = sha256()
        self._events: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = 0
        self._forced: list[bool] = []
        self._sessions = 0
        self._closings: Counter[str] = Counter()
        self._credits: Counter[tuple[int, str]] = Counter()  # since the last look
        self._all_credits: Counter[tuple[str, str]] = Counter()
        self._totals: dict[tuple[int, str], int] = {}
        self.parents = dict.fromkeys(LABS, "uni/physics")
        # Looks on, and nothing happens to it.
        self.witness = QuotaStore(self.url, hub="witness", clock=self.clock)
        self.hubs = [Hub(name) for name in HUBS]
        self._apply(self.witness)
        for hub in self.hubs:
            self._boot(hub)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def clock(self) -> int:
        return self.now + self.offset

    def say(self, text: str) -> None:
        self._digest.update(f"{self.now} {self.offset} {text}\n".encode())

    def fail(self, text: str) -> None:
        raise Wrong(f"python tests/simulation.py --seed {self.seed}: at {self.now}: {text}")

    # -- the run

    def run(self, days: float) -> None:
        end = BEGIN + int(days * DAY)
        for user in range(USERS):
            self._in(self.random.randrange(DAY // 2), self._arrive, f"user-{user}")
        for place, hub in enumerate(self.hubs):
            self._in(place * MINUTE, self._beat, hub)
        for what in (self._restart, self._outage, self._step_clock, self._move, self._adjust):
            self._in(self.random.randrange(6 * HOUR), what)
        while self._events[0][0] < end:
            self.now, _, event, arguments = heapq.heappop(self._events)
            event(*arguments)
            self.counts["events"] += 1
            self._check()
        self._finish()

    def _in(self, delay: int, event: Callable[..., None], *arguments: object) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + delay, self._order, event, arguments))

    def _fault(self) -> tuple[str, int]:
        """What happens to the next transaction, and after how many statements."""
        if self.now < self.gone_until:
            return "refused", 0
        if self._forced and self._forced.pop():
            self.counts["breaks inside"] += 1
            return "breaks inside", self.random.randrange(5, 40)
        chance = self.random.randrange(100)
        for fault, share in FAULTS.items():
            if (chance := chance - share) < 0:
                self.counts[fault] += 1
                return fault, self.random.randrange(30)
        return "", 0

    def _call(self, what: str, call: Callable[[], object]) -> tuple[bool, object]:
        """Whether the hub learns what came of a call, and that."""
        self.counts["calls"] += 1
        try:
            found = call()
        except Gone as fault:
            self.say(f"{what}: {fault}")
            return False, None
        self.say(f"{what}: {found}")
        if self.random.random() < 0.02:
            self.counts["repeated"] += 1
            self._call(f"{what} again", call)
        return True, found

    # -- hubs and their users

    def _boot(self, hub: Hub) -> None:
        if hub.boots:
            hub.store.close()
        hub.store = QuotaStore(self.url, hub=hub.name, clock=self.clock)
        hub.store.db.close()
        hub.store.db = Flaky(self.url, self._fault)
        hub.boots += 1

    def _arrive(self, user: str) -> None:
        """A user starts a server, and comes again on another day or soon."""
        self._in(self.random.choice([HOUR, 9 * HOUR, DAY]), self._arrive, user)
        self._sessions += 1
        hub, id = self.random.choice(self.hubs), f"session-{self._sessions}"
        groups = self.random.sample(LABS, self.random.choice([1, 2]))
        request = {"cpu": self.random.choice([500, 1000, 4000])}
        if self.random.random() < 0.8:
            request["memory"] = self.random.choice([1, 2, 4, 8]) * G
        if self.random.random() < 0.1:
            request[f"example.com/board-{self.random.randrange(4)}"] = 1
        hub.servers[id] = False
        self._reserve(hub, hub.boots, id, user, groups, request, 0)

    def _reserve(
        self,
        hub: Hub,
        boot: int,
        id: str,
        user: str,
        groups: Sequence[str],
        request: dict[str, int],
        tries: int,
    ) -> None:
        if boot != hub.boots:
            return  # the process that waited is no more
        learnt, answer = self._call(
            f"reserve {id} {user} {groups} {request}",
            lambda: hub.store.reserve(id, user, "", groups, request).granted,
        )
        if learnt and answer:
            self.counts["admitted"] += 1
            self._in(self.random.randrange(MINUTE), self._up, hub, boot, id)
        elif learnt:
            self.counts["refused"] += 1
            del hub.servers[id]
        elif tries < 3:
            delay = self.random.choice([0, SECOND, 20 * SECOND])
            arguments = (hub, boot, id, user, groups, request, tries + 1)
            self._in(delay, self._reserve, *arguments)
        else:
            self._end(hub, id)

    def _up(self, hub: Hub, boot: int, id: str) -> None:
        if boot != hub.boots:
            return
        if self.random.random() < 0.1:
            del hub.servers[id]
            learnt, found = self._call(f"void {id}", lambda: self._once(id, hub.store.void, "bad"))
            if not learnt:
                hub.to_close.append((id, 0))
            return
        hub.servers[id] = True
        self._call(f"start {id}", lambda: hub.store.start(id))
        self._in(self.random.choice([MINUTE, HOUR, 3 * HOUR, 12 * HOUR]), self._end, hub, id)
        if self.random.random() < 0.1:
            self._in(self.random.randrange(HOUR), self._shrink, hub, id)

    def _shrink(self, hub: Hub, id: str) -> None:
        if id in hub.servers:
            amounts = {"servers": 1, "cpu": 250, "memory": G // 2}
            self._call(f"resize {id}", lambda: hub.store.resize(id, amounts))

    def _end(self, hub: Hub, id: str) -> None:
        if hub.servers.pop(id, None) is None:
            return
        at = self.clock()
        learnt, _ = self._call(
            f"close {id}", lambda: self._once(id, hub.store.close_session, "end")
        )
        if not learnt:
            hub.to_close.append((id, at))

    def _once(self, id: str, close: Callable[..., bool], reason: str, *at: int) -> bool:
        closed = close(id, reason, *at)
        self._closings[id] += closed
        if self._closings[id] > 1:
            self.fail(f"{id} was closed twice")
        return closed

    def _beat(self, hub: Hub) -> None:
        """Close what is still to be closed, and what nobody knows any more; the rest was seen."""
        self._in(HEARTBEAT, self._beat, hub)
        waiting, hub.to_close = hub.to_close, []
        for id, at in waiting:
            if not self._close_as_of(hub, id, at):
                hub.to_close.append((id, at))
        learnt, sessions = self._call("open", lambda: _Quiet(hub.store.open_sessions()))
        if not learnt:
            return
        assert isinstance(sessions, list)
        mine = [session for session in sessions if session.hub == hub.name]
        asked_for = {*hub.servers, *(id for id, _ in hub.to_close)}
        for session in mine:
            if session.id not in asked_for:
                self.counts["reconciled"] += self._close_as_of(hub, session.id, session.seen_at)
        ids = [session.id for session in mine if session.id in hub.servers]
        self._call("seen", lambda: hub.store.seen(dict.fromkeys(ids, self.clock())))

    def _close_as_of(self, hub: Hub, id: str, at: int) -> bool:
        self.counts["late"] += 1
        learnt, _ = self._call(
            f"close {id} at {at}", lambda: self._once(id, hub.store.close_session, "gone", at)
        )
        return learnt

    # -- what goes wrong

    def _restart(self) -> None:
        self._in(self.random.randrange(6 * HOUR), self._restart)
        hub = self.random.choice(self.hubs)
        self.say(f"restart {hub.name}")
        self.counts["restarts"] += 1
        hub.to_close.clear()
        # Starts that were under way are lost, and some servers end unseen.
        for id, up in list(hub.servers.items()):
            if not up or self.random.random() < 0.2:
                del hub.servers[id]
        self._boot(hub)

    def _outage(self) -> None:
        self._in(self.random.randrange(12 * HOUR), self._outage)
        self.gone_until = self.now + self.random.randrange(30 * MINUTE)
        self.counts["outages"] += 1

    def _step_clock(self) -> None:
        self._in(self.random.randrange(3 * HOUR), self._step_clock)
        self.offset = self.random.randrange(-CLOCK_OFF, CLOCK_OFF)
        self.counts["clock steps"] += 1

    # -- admins

    def _move(self) -> None:
        """A lab changes its faculty."""
        self._in(self.random.randrange(4 * HOUR), self._move)
        before = dict(self.parents)
        # A faculty that is new has to be made: what is remembered of that must not outlive it.
        new = f"uni/new-{self.counts['moves'] // 6}"
        above = self.random.choice(["uni/physics", "uni/bio", new, new])
        self.parents[self.random.choice(LABS)] = above
        self.counts["moves"] += 1
        hub = self.random.choice(self.hubs)
        self._forced = [self.random.random() < 0.5]  # else it would seldom break off half-way
        learnt, _ = self._call(f"move {self.parents}", lambda: self._apply(hub.store))
        if not learnt:
            held = self.witness.policy().groups
            self.parents = {lab: held[lab].parent for lab in LABS}
            assert self.parents in (before, {**before, **self.parents})

    def _apply(self, store: QuotaStore) -> None:
        groups: dict[str, dict[str, object]] = {
            "uni/physics": {"limits": {"member.cpu-hours": "30 per week"}},
            "uni/bio": {"limits": {"group.cpu-hours": "400 per day", "server.memory": "4G"}},
        }
        groups |= {above: {} for above in self.parents.values() if above not in groups}
        groups |= {lab: {"parent": parent} for lab, parent in self.parents.items()}
        groups["uni"] = {"limits": {"group.servers": 40, "group.memory": "90G"}}
        groups["uni"]["limits"] |= {"server.memory": "8G"}  # type: ignore[operator]
        groups["lab-1"]["limits"] = {"group.servers": 9}
        groups["lab-2"]["limits"] = {"group.cpu": 20}
        store.apply(parse_policy({"groups": groups}), "root", "cli")

    def _adjust(self) -> None:
        """By the witness: an admin who gets no reply looks before trying again."""
        self._in(self.random.randrange(8 * HOUR), self._adjust)
        group, amount = self.random.choice(LABS), self.random.choice([-1, 1]) * 1000 * HOUR
        adjust(self.witness, group, "", "cpu", amount, "root", "for the simulation")
        with self.witness.db.read() as tx:
            (id,) = tx.one(
                "SELECT id FROM subject WHERE user_name = '' AND group_name = ?", group
            ) or (0,)
        self._credits[id, "cpu"] += amount
        self._all_credits[group, "cpu"] += amount
        self.counts["credits"] += 1

    # -- invariants

    def _path(self, group: str) -> list[str]:
        found = []
        while group:
            found.append(group)
            group = self.parents.get(group) or group.rpartition("/")[0]
        return found

    def _check(self) -> None:
        sessions = self.witness.open_sessions()
        right: dict[str, Counter[str]] = {}
        for session in sessions:
            for group in self._path(session.group):
                right.setdefault(group, Counter()).update(session.granted)
        use = self.witness.group_use()
        for group in sorted({*use, *right}):
            found = {name: amount for name, amount in use.get(group, {}).items() if amount}
            wanted = {name: amount for name, amount in right.get(group, {}).items() if amount}
            if found != wanted:
                self.fail(f"{group} has {found} in use, its open sessions {wanted}")
        for group, caps in CAPS.items():
            for name, cap in caps.items():
                if use.get(group, {}).get(name, 0) > cap:
                    self.fail(f"{group} has {use[group][name]} {name} in use, and may {cap}")
        self._check_totals()

    def _check_totals(self) -> None:
        with self.witness.db.read() as tx:
            rows = tx.all(
                "SELECT subject, max(at), state FROM point JOIN subject ON subject.id = subject"
                " WHERE user_name = '' GROUP BY subject"
            )
        for subject, _, state in rows:
            for name, total in zip(POSITIONS, json.loads(state)[::2], strict=False):
                lowest = self._totals.get((subject, name), 0) - self._credits[subject, name]
                if total < min(lowest, self._totals.get((subject, name), 0)):
                    self.fail(f"the total {name} of subject {subject} went down to {total}")
                self._totals[subject, name] = total
        self._credits.clear()

    def _finish(self) -> None:
        """Close all, and add up by hand what has been charged."""
        self.gone_until = 0
        self.now += HOUR
        for session in self.witness.open_sessions():
            self._once(session.id, self.witness.close_session, "end")
        self._check()
        if self.witness.open_sessions():
            self.fail("sessions are left")
        charged = -self._all_credits
        by_subject: Counter[tuple[int, str]] = Counter()
        sessions = self.witness.sessions()
        if len(sessions) != len({session.id for session in sessions}):
            self.fail("a session stands there twice")
        for session in sessions:
            _add_up(session, by_subject)
        with self.witness.db.read() as tx:
            names = {
                row[0]: (row[1], row[2])
                for row in tx.all("SELECT id, user_name, group_name FROM subject")
            }
        for id, (user, group) in sorted(names.items()):
            for name in ("cpu", "memory", "servers"):
                right = by_subject[id, name]
                if not user:
                    right -= self._all_credits[group, name]
                found = self.witness.used(group, user, name, 0, self.now + DAY)
                if found != right:
                    self.fail(f"{user} in {group} used {found} {name}, its sessions {right}")
        self.counts["sessions"] = len(sessions)
        self.say(f"{sorted(by_subject.items())} {sorted(charged.items())}")

    def close(self) -> None:
        for store in (self.witness, *(hub.store for hub in self.hubs)):
            store.close()


class _Quiet(list[Session]):
    """Sessions, of which the digest takes only how many there are."""

    def __str__(self) -> str:
        return f"{len(self)} sessions"


def _add_up(session: Session, used: Counter[tuple[int, str]]) -> None:
    assert session.closed_at is not None and session.closed_at >= session.reserved_at
    ends = [charge.since for charge in session.charges[1:]] + [session.closed_at]
    for charge, end in zip(session.charges, ends, strict=True):
        length = max(0, min(end, session.closed_at) - charge.since)
        for subject in charge.subjects:
            for name, amount in charge.amounts.items():
                used[subject, name] += amount * length


def simulate(seed: int, days: float, folder: Path) -> Simulation:
    """Run it; raises Wrong, or whatever else a hub would have seen, with the seed."""
    simulation = Simulation(seed, folder)
    try:
        simulation.run(days)
    except Wrong:
        raise
    except Exception as error:
        story = f"python tests/simulation.py --seed {seed}: at {simulation.now}: {error!r}"
        raise Wrong(story) from error
    finally:
        simulation.close()
    return simulation


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        done = simulate(options.seed, options.days, Path(folder))
    print(", ".join(f"{count} {what}" for what, count in sorted(done.counts.items())))
    if options.json:
        print(json.dumps({"seed": done.seed, "digest": done.digest, **done.counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
