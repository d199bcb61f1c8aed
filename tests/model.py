"""A ledger so plain that it is easily seen to be right, and random histories to compare it with.

The model keeps each session as the list of spans in which it was charged, and goes through all of
them at each question: no curves, no totals, no corrections. `python -m tests.model SEED...` plays
single histories again.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from hub_quotas.corrections import adjust
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.store import QuotaStore

SECOND = 10**6
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 24 * 3600 * SECOND
G = 2**30
BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FOR_EVER = 2**62

Subject = tuple[str, str]
"""User and group; the group itself has no user."""
Amounts = Mapping[str, int]


class Clock:
    """Microseconds since 1970 that pass only when told to."""

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


# -- the model --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """What was charged to whom, from `since` until the next span or the end."""

    since: int
    subjects: frozenset[Subject]
    amounts: Amounts


@dataclass
class Charged:
    """A session: what was charged from when on, and when it really ended."""

    user: str
    group: str
    spans: list[Span]
    end: int | None = None

    @property
    def reserved(self) -> int:
        return self.spans[0].since

    def used(self, subject: Subject, resource: str, begin: int, end: int) -> int:
        total = 0
        for span, following in zip(self.spans, [*self.spans[1:], None], strict=True):
            until = FOR_EVER if following is None else following.since
            if self.end is not None:
                until = min(until, self.end)
            if subject in span.subjects:
                overlap = min(until, end) - max(span.since, begin)
                total += max(0, overlap) * span.amounts.get(resource, 0)
        return total


@dataclass(frozen=True)
class Rule:
    """A limit as the model reads it; `amount` of `resource`, in units of its curve."""

    group: str
    key: str
    text: str
    scope: str
    resource: str
    amount: int
    window: str = ""


@dataclass
class World:
    """What the model knows of a policy: parents, limits and prices."""

    parents: dict[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    prices: list[tuple[date, dict[str, int]]] = field(default_factory=list)

    def path(self, group: str) -> list[str]:
        found = []
        while group:
            found.append(group)
            group = self.parents.get(group) or group.rpartition("/")[0]
        return [*found, "*"]

    def policy(self) -> Policy:
        groups: dict[str, dict] = {group: {"limits": {}} for group in (*self.parents, "*")}
        for group, parent in self.parents.items():
            if parent:
                groups[group]["parent"] = parent
        for rule in self.rules:
            groups[rule.group]["limits"].setdefault(rule.key, []).append(rule.text)
        prices = [{"since": day, **_as_money(costs)} for day, costs in self.prices]
        return parse_policy({"groups": groups, "prices": prices})


def _as_money(costs: Mapping[str, int]) -> dict[str, str]:
    return {name: f"{micro // 10**6}.{micro % 10**6:06}" for name, micro in costs.items()}


def held(window: str, now: int) -> tuple[int, int] | None:
    """The window that holds at `now` in Berlin, where clocks never change at midnight."""
    if window[0].isdigit() and ".." not in window:
        length = {"m": MINUTE, "h": HOUR, "d": DAY}[window[-1]] * int(window[:-1])
        return now - length, now
    if ".." in window:
        first, last = (date.fromisoformat(day) for day in window.split(".."))
        begin, end = midnight(first), midnight(last + timedelta(days=1))
        return (begin, end) if begin <= now < end else None
    day = (EPOCH + timedelta(microseconds=now)).astimezone(BERLIN).date()
    if window == "week":
        first = day - timedelta(days=day.weekday())
    else:
        month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1}.get(window)
        first = day if month is None else date(day.year, month, 1)
    return midnight(first), now


def midnight(day: date) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
    return (local.astimezone(timezone.utc) - EPOCH) // timedelta(microseconds=1)


class Model:
    """The same calls as a `QuotaStore` has, with plain answers."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.world = clock, World()
        self.sessions: dict[str, Charged] = {}
        self.credits: list[tuple[Subject, int, str, int]] = []
        self.last: Counter[Subject] = Counter()  # the instant of the last event, by subject

    def _stamp(
        self, subjects: Sequence[Subject] | frozenset[Subject], earliest: int | None = None
    ) -> int:
        """An event stands at one instant for all that it touches: the clock's, or the latest at
        which any of them was touched before, where the clock has gone back."""
        now = self.clock.now if earliest is None else earliest
        at = max([now, *(self.last[subject] for subject in subjects)])
        self.last.update(dict.fromkeys(subjects, 0))
        for subject in subjects:
            self.last[subject] = at
        return at

    @property
    def open(self) -> dict[str, Charged]:
        return {id: one for id, one in self.sessions.items() if one.end is None}

    def subjects(self, user: str, group: str) -> frozenset[Subject]:
        return frozenset({(user, group), *(("", name) for name in self.world.path(group))})

    def used(self, subject: Subject, resource: str, begin: int, end: int) -> int:
        total = sum(one.used(subject, resource, begin, end) for one in self.sessions.values())
        for whose, at, what, amount in self.credits:
            if (whose, what) == (subject, resource) and begin < at <= end:
                total -= amount
        return total

    def rate(self, subject: Subject, resource: str) -> int:
        return sum(
            one.spans[-1].amounts.get(resource, 0)
            for one in self.open.values()
            if subject in one.spans[-1].subjects
        )

    def admits(self, user: str, group: str, request: Amounts) -> Amounts | None:
        """What a server would be charged for, or None where it is refused."""
        path = self.world.path(group)
        rules = [rule for rule in self.world.rules if rule.group in path]
        amounts = {"servers": 1, **request}
        for name in ("cpu", "memory"):
            own = [rule.amount for rule in rules if rule.key == f"server.{name}"]
            if name not in amounts and own:
                amounts[name] = min(own)
        if cost := self.cost(amounts):
            amounts["cost"] = cost
        return amounts if all(self.passes(rule, user, amounts) for rule in rules) else None

    def cost(self, amounts: Amounts) -> int:
        today = (EPOCH + timedelta(microseconds=self.clock.now)).astimezone(BERLIN).date()
        valid = [costs for since, costs in sorted(self.world.prices) if since <= today]
        units = {"cpu": 1000, "memory": G}
        return sum(
            int(Fraction(price * amounts.get(name, 0), units.get(name, 1)) + Fraction(1, 2))
            for name, price in (valid[-1] if valid else {}).items()
        )

    def passes(self, rule: Rule, user: str, amounts: Amounts) -> bool:
        unlimited = rule.resource in ("cpu", "memory") and rule.resource not in amounts
        asked = amounts.get(rule.resource, 0)
        if rule.scope == "server":
            return not unlimited and asked <= rule.amount
        subjects = [("", rule.group)]
        if rule.scope == "member":
            known = {one.group for one in self.sessions.values()}
            known |= {group for _, group in self.last}
            subjects = [(user, name) for name in known if rule.group in self.world.path(name)]
        if not rule.window:
            rate = sum(self.rate(subject, rule.resource) for subject in subjects)
            return not unlimited and (asked == 0 or rate + asked <= rule.amount)
        span = held(rule.window, self.clock.now)
        if span is None or (asked == 0 and not unlimited):
            return True
        used = sum(self.used(s, rule.resource, span[0], self.clock.now) for s in subjects)
        return not unlimited and used < rule.amount

    def reserve(
        self, id: str, user: str, groups: Sequence[str], request: Amounts
    ) -> tuple[str, Amounts] | None:
        if id in self.sessions:
            one = self.sessions[id]
            return one.group, one.spans[0].amounts
        for group in groups:
            amounts = self.admits(user, group, request)
            if amounts is not None:
                subjects = self.subjects(user, group)
                span = Span(self._stamp(subjects), subjects, amounts)
                self.sessions[id] = Charged(user, group, [span])
                return group, amounts
        return None

    def close(self, id: str, at: int | None = None) -> bool:
        one = self.open.get(id)
        if one is None:
            return False
        subjects = one.spans[-1].subjects
        known = max([self.clock.now, one.spans[-1].since, *(self.last[s] for s in subjects)])
        one.end = known if at is None else min(max(at, one.reserved), known)
        # A late closing stands where it belongs, unless something else has happened since.
        self._stamp(subjects, max(one.end, one.spans[-1].since))
        return True

    def resize(self, id: str, amounts: Amounts) -> bool:
        one = self.open.get(id)
        if one is None:
            return False
        at = self._stamp(one.spans[-1].subjects)
        one.spans.append(Span(at, one.spans[-1].subjects, amounts))
        return True

    def apply(self, world: World) -> None:
        before, self.world = self.world, world
        for _, one in sorted(self.open.items(), key=lambda item: (item[1].reserved, item[0])):
            if before.path(one.group) != world.path(one.group):
                subjects = self.subjects(one.user, one.group)
                at = self._stamp(subjects | one.spans[-1].subjects)
                one.spans.append(Span(at, subjects, one.spans[-1].amounts))

    def adjust(self, subject: Subject, resource: str, amount: int) -> None:
        self.credits.append((subject, self._stamp([subject]), resource, amount))


# -- random histories -------------------------------------------------------------------------

CURVES = {"cpu-hours": ("cpu", 1000 * HOUR), "memory-hours": ("memory", G * HOUR)}
CURVES |= {"gpu-hours": ("gpu", HOUR), "cost": ("cost", 10**6 * HOUR)}
REQUESTS = [{"cpu": 1000, "memory": G}, {"cpu": 500}, {"memory": 2 * G}, {}, {"cpu": 2000}]
REQUESTS += [{"cpu": 1, "memory": 1, "gpu": 1}, {"cpu": 3000, "memory": 3 * G, "gpu": 2}]
SINCE = [datetime(2026, *day, 12, tzinfo=timezone.utc) for day in ((3, 28), (10, 24), (6, 30))]
SINCE += [datetime(2026, 12, 31, 22, 59, 59, tzinfo=timezone.utc)]  # a second before 2027 in Berlin


class Differs(AssertionError):
    """The ledger and the model do not agree."""


class History:
    """Plays one random history on a ledger and on the model, and compares each answer.

    Args:
        name: put into all names, so that many histories find room in one database.
    """

    def __init__(self, random: Random, store: QuotaStore, clock: Clock, name: str) -> None:
        self.random, self.store, self.clock, self.name = random, store, clock, name
        start = (random.choice(SINCE) - EPOCH) // timedelta(microseconds=1)
        # A database outlives a history, and the policy's entries have instants too.
        clock.now = start + random.choice([0, -3 * DAY, random.randrange(2 * DAY)])
        self.latest = clock.now
        self.model = Model(clock)
        self.groups = [f"{name}-a", f"{name}-a/b", f"{name}-a/b/c", f"{name}-d", f"{name}-e"]
        self.scopes = [*self.groups, "*"]
        self.users = [f"{name}-{who}" for who in ("ada", "bo", "kim")]
        self.ids: list[str] = []
        self.instants = [clock.now]
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []

    def play(self, steps: int) -> None:
        with self.store.db.write() as tx:  # of the histories before, in the same database
            whole = "(SELECT id FROM subject WHERE user_name = '' AND group_name = '*')"
            for table in ("point", "overlay"):
                tx.run(f"DELETE FROM {table} WHERE subject = {whole}")
        self._policy()
        kinds = list(STEPS)
        weights = [STEPS[kind] for kind in kinds]
        for _ in range(steps):
            kind = self.random.choices(kinds, weights)[0]
            getattr(self, f"_{kind}")()
            self.instants.append(self.clock.now)
        self._compare()
        for id in sorted(self.model.open):
            self._same("last close", self.store.close_session(id, "end"), self.model.close(id))
        self._compare()

    def _same(self, what: str, found: object, right: object) -> None:
        if found != right:
            story = "\n".join(self.log)
            raise Differs(f"{what}: ledger {found!r}, model {right!r}\n{story}")

    def _say(self, text: str) -> None:
        self.log.append(f"  {self.clock.now}: {text}")

    # -- steps

    def _reserve(self) -> None:
        again = self.ids and self.random.random() < 0.15
        id = self.random.choice(self.ids) if again else f"{self.name}-{len(self.ids)}"
        if not again:
            self.ids.append(id)
        user = self.random.choice(self.users)
        groups = self.random.sample(self.groups, self.random.choice([1, 1, 2]))
        request = self.random.choice(REQUESTS)
        known = id in self.model.sessions
        self._say(f"reserve {id} {user} {groups} {request}")
        if not known and self.random.random() < 0.2:
            would = [decision.allowed for decision in self.store.explain(user, groups, request)]
            right = [self.model.admits(user, group, request) is not None for group in groups]
            self._same("explain", would, right)
        answer = self.store.reserve(id, user, "", groups, request).granted
        found = answer and (answer.group, dict(answer.amounts))
        right = self.model.reserve(id, user, groups, request)
        self._same("reserve", found, right and (right[0], dict(right[1])))
        self.counts["again" if known else "admitted" if right else "refused"] += 1

    def _id(self) -> str:
        """Mostly of a session that is open."""
        ids = list(self.model.open)
        if not ids or self.random.random() < 0.15:
            ids = [*self.ids, "never"]
        return self.random.choice(ids)

    def _start(self) -> None:
        self.store.start(self._id())

    def _seen(self) -> None:
        self.store.seen(dict.fromkeys([self._id(), "never"], self.clock.now))

    def _resize(self) -> None:
        id, amounts = self._id(), {"servers": 1, **self.random.choice(REQUESTS)}
        self._say(f"resize {id} {amounts}")
        self._same("resize", self.store.resize(id, amounts), self.model.resize(id, amounts))

    def _close(self) -> None:
        id = self._id()
        self._say(f"close {id}")
        self._same("close", self.store.close_session(id, "stopped"), self.model.close(id))
        if self.random.random() < 0.2:
            self._same("close again", self.store.close_session(id, "stopped"), False)

    def _close_late(self) -> None:
        id, at = self._id(), self._instant()
        self._say(f"close {id} at {at}")
        self._same("late close", self.store.close_session(id, "gone", at), self.model.close(id, at))
        self.counts["late"] += 1

    def _void(self) -> None:
        id = self._id()
        self._say(f"void {id}")
        self._same("void", self.store.void(id, "failed"), self.model.close(id, 0))

    def _adjust(self) -> None:
        subject = (self.random.choice(["", *self.users]), self.random.choice(self.scopes))
        resource = self.random.choice(["cpu", "memory", "cost"])
        amount = self.random.choice([HOUR, -HOUR, 1]) * self.random.choice([1, 1000, G])
        self._say(f"adjust {subject} {resource} {amount}")
        user, group = subject
        adjust(self.store, group, user, resource, amount, "root", "test")
        self.model.adjust(subject, resource, amount)

    def _forwards(self) -> None:
        longest = self.random.choice([2, SECOND, MINUTE, HOUR, 8 * HOUR, 2 * DAY])
        self.clock.now += self.random.randrange(1, longest)
        self.latest = max(self.latest, self.clock.now)

    def _back(self) -> None:
        """Never so far behind what was, that the ledger would refuse."""
        step = self.random.choice([1, SECOND, 9 * MINUTE])
        self.clock.now = max(self.clock.now - step, self.latest - 9 * MINUTE)
        self.counts["back"] += 1

    def _policy(self) -> None:
        random, world = self.random, World()
        tree = self.groups[:]
        random.shuffle(tree)
        for place, group in enumerate(tree):
            above = tree[:place] and random.random() < 0.4 and random.choice(tree[:place])
            world.parents[group] = above or ""
            if circular(world):
                world.parents[group] = ""
        for _ in range(random.choice([0, 2, 4, 6, 9])):
            rule = self._rule()
            if all(
                (r.group, r.key, r.window) != (rule.group, rule.key, rule.window)
                for r in world.rules
            ) and (
                rule.window or all((r.group, r.key) != (rule.group, rule.key) for r in world.rules)
            ):
                world.rules.append(rule)
        if random.random() < 0.3:
            days = [date(2026, 1, 1), date(2026, 3, 29), date(2026, 10, 25), date(2027, 1, 1)]
            for day in random.sample(days, 2):
                costs = {"cpu": random.randrange(10**6), "memory": random.randrange(10**5)}
                world.prices.append((day, costs))
        self._say(f"policy {world}")
        self.store.apply(world.policy(), "root", "cli")
        self.model.apply(world)
        self.counts["policies"] += 1

    def _rule(self) -> Rule:
        random = self.random
        group, scope = random.choice(self.scopes), random.choice(["member", "group", "group"])
        if random.random() < 0.25:
            scope = "server"
        if scope != "server" and random.random() < 0.5:
            name = random.choice(list(CURVES))
            curve, unit = CURVES[name]
            hours = random.choice([0, 1, 2, 5, 20, 100])
            window = random.choice(
                [
                    "30m",
                    "3h",
                    "36h",
                    "7d",
                    "day",
                    "week",
                    "month",
                    "quarter",
                    "2026-03-28..2026-03-29",
                    "2026-10-25..2026-12-31",
                ]
            )
            return Rule(
                group,
                f"{scope}.{name}",
                f"{hours} per {window}",
                scope,
                curve,
                hours * unit,
                window,
            )
        name = random.choice(["cpu", "memory", "gpu"] + ["servers"] * (scope != "server"))
        count = random.choice([0, 1, 2, 3, 5])
        text = f"{count}G" if name == "memory" else str(count)
        unit = {"cpu": 1000, "memory": G}.get(name, 1)
        return Rule(group, f"{scope}.{name}", text, scope, name, count * unit)

    # -- questions

    def _instant(self) -> int:
        """Near something that happened: that is where answers go wrong."""
        if self.random.random() < 0.2:
            return self.random.choice([self.clock.now, self.latest + HOUR, self.instants[0] - DAY])
        near = self.random.choice(self.instants)
        return near + self.random.choice([0, 0, -1, 1, self.random.randrange(-HOUR, HOUR)])

    def _used(self) -> None:
        known = sorted(self.model.last) or [("", self.groups[0])]
        user, group = self.random.choice(known)
        if self.random.random() < 0.3:
            user = ""
        begin, end = sorted((self._instant(), self._instant()))
        resource = self.random.choice(["cpu", "memory", "servers", "servers", "gpu", "cost"])
        found = self.store.used(group, user, resource, begin, end)
        right = self.model.used((user, group), resource, begin, end)
        self._same(f"used {group} {user} {resource} {begin} {end}", found, right)
        self.counts["questions"] += 1
        self.counts["nonzero"] += right != 0

    def _compare(self) -> None:
        use = {**self.store.group_use(), "*": self.store.in_use("*")}
        for group in self.scopes:
            for resource in ("cpu", "memory", "servers", "gpu", "cost"):
                found = use.get(group, {}).get(resource, 0)
                self._same(f"{resource} of {group}", found, self.model.rate(("", group), resource))
        for _ in range(4):
            self._used()
        if self.model.sessions:
            id = self.random.choice(list(self.model.sessions))
            found, right = self.store.session(id), self.model.sessions[id]
            assert found is not None
            times = (found.reserved_at, found.closed_at)
            self._same(f"times of {id}", times, (right.reserved, right.end))


STEPS = {
    "reserve": 36,
    "start": 2,
    "seen": 1,
    "resize": 7,
    "close": 9,
    "close_late": 9,
    "void": 4,
    "adjust": 4,
    "forwards": 30,
    "back": 6,
    "policy": 4,
    "used": 8,
}


def circular(world: World) -> bool:
    for start in world.parents:
        seen, group = set(), start
        while group:
            if group in seen:
                return True
            seen.add(group)
            group = world.parents.get(group) or group.rpartition("/")[0]
    return False


# -- many of them -----------------------------------------------------------------------------

PER_DATABASE = 20
"""Histories that share a database: few, as `group_use` tells of all groups there ever were."""
LENGTH = 24


class Seeded(AssertionError):
    """A history that differs, with what plays it again."""


def play_seed(seed: int, store: QuotaStore, clock: Clock) -> Counter[str]:
    history = History(Random(seed), store, clock, f"h{seed}")
    try:
        history.play(LENGTH)
    except Exception as error:
        raise Seeded(f"python -m tests.model {seed}\n{error!r}\n{error}") from error
    return history.counts


def play_seeds(seeds: Sequence[int], folder: Path | None = None) -> Counter[str]:
    """Play histories on SQLite, without waiting for the disk; returns what happened, counted."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        template = Path(place) / "template.sqlite"
        QuotaStore(f"sqlite:///{template}").close()
        for first in range(0, len(seeds), PER_DATABASE):
            path = Path(place) / f"{first}.sqlite"
            shutil.copy(template, path)
            with quick_store(f"sqlite:///{path}") as (store, clock):
                for seed in seeds[first : first + PER_DATABASE]:
                    counts += play_seed(seed, store, clock)
            path.unlink()
    return counts


@contextmanager
def quick_store(url: str) -> Iterator[tuple[QuotaStore, Clock]]:
    """A ledger with a virtual clock in Berlin; on SQLite, one that forgets when the power fails."""
    clock = Clock()
    store = QuotaStore(url, BERLIN, "hub", clock)
    if not store.db.postgres:
        store.db.close()
        sa.event.listen(store.db.engine, "connect", _do_not_wait)
    try:
        yield store, clock
    finally:
        store.close()


def _do_not_wait(connection, _record) -> None:
    connection.execute("PRAGMA synchronous = OFF")


if __name__ == "__main__":
    print(dict(play_seeds([int(seed) for seed in sys.argv[1:]])))
