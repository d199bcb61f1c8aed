"""Random histories, and what the ledger itself says of them when limits hold from an instant on.

A what-if is right where it refuses what a second ledger refuses, in which the same servers ask
`QuotaStore.reserve` under these limits, at their instants. `python tests/replays.py SEED...` plays
single histories again.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random
from typing import Any

from model import (
    BERLIN,
    CURVES,
    DAY,
    EPOCH,
    FOR_EVER,
    HOUR,
    MINUTE,
    REQUESTS,
    SECOND,
    SINCE,
    Clock,
    G,
    World,
    circular,
    held,
    quick_store,
)

from hub_quotas.corrections import adjust
from hub_quotas.history import what_if
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.quantities import resource
from hub_quotas.requests import GUARANTEE, LIMIT, Request
from hub_quotas.sessions import VOIDED, Session
from hub_quotas.store import QuotaStore

GROUPS = ["a", "a/b", "a/b/c", "d", "e"]
USERS = ["ada", "bo", "kim"]
PLAN = "small"
WINDOWS = ["30m", "3h", "36h", "2d", "7d", "day", "week", "month", "quarter"]
WINDOWS += ["2026-03-28..2026-03-30", "2026-10-25..2026-12-31", "2026-01-01..2026-03-29"]
THEN = ["", "", " then stop", " then downsize to cpu 1 and memory 1G"]
PRICED_SINCE = [date(2026, 1, 1), date(2026, 3, 29), date(2026, 10, 25)]
LENGTH = 80

BOTH = [
    Request({"memory": 3 * G, "cpu": 2000}, {"memory": G}, charged, capped)
    for charged in (GUARANTEE, LIMIT)
    for capped in (GUARANTEE, LIMIT)
]
ASKED = [*REQUESTS, *BOTH, {"cpu": 500, "memory": G, "servers": 0}, {"example.com/fpga": 1}]


@dataclass(frozen=True)
class Rule:
    """One limit of a group; of the plan, where that is empty."""

    group: str
    key: str
    amount: str
    window: str = ""
    then: str = ""

    @property
    def text(self) -> str:
        return f"{self.amount}{f' per {self.window}' if self.window else ''}{self.then}"

    @property
    def place(self) -> tuple[str, str, str]:
        return self.group, self.key, self.window


def _unit(rule: Rule) -> str:
    """Nobody may write a few bytes."""
    return "M" if rule.key.endswith(".memory") else ""


@dataclass(frozen=True)
class Document:
    """A policy in the making.

    Attributes:
        planned: the groups that have the plan.
    """

    parents: Mapping[str, str]
    rules: Sequence[Rule] = ()
    planned: Sequence[str] = ()
    boosts: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    prices: Sequence[dict[str, Any]] = ()

    def policy(self) -> Policy:
        groups: dict[str, dict[str, Any]] = {
            name: {
                "parent": self.parents.get(name, ""),
                "limits": self._limits(name),
                "boosts": self.boosts.get(name, []),
                "plan": PLAN if name in self.planned else "",
            }
            for name in (*GROUPS, "*")
        }
        plans = {PLAN: {"limits": self._limits("")}}
        return parse_policy({"groups": groups, "plans": plans, "prices": [*self.prices]})

    def _limits(self, group: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for rule in self.rules:
            if rule.group == group:
                found.setdefault(rule.key, []).append(rule.text)
        return found


class Differs(AssertionError):
    """The what-if and the ledger do not agree."""


class Comparison:
    """One random history, in which some limits are new or changed; and what both say.

    Args:
        first: where it happens.
        second: where it happens again.
    """

    def __init__(
        self, random: Random, first: tuple[QuotaStore, Clock], second: tuple[QuotaStore, Clock]
    ) -> None:
        self.random = random
        (self.store, self.clock), (self.other, self.other_clock) = first, second
        self.clock.now = (random.choice(SINCE) - EPOCH) // timedelta(microseconds=1) - 2 * DAY
        self.latest = self.clock.now
        self.days = random.choice([1, 1, 2, 3])
        self.asked: dict[str, Any] = {}
        self.credited = self.moved = False
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []

    def play(self, steps: int = LENGTH) -> None:
        for store in (self.store, self.other):
            empty(store)
        self._policies()
        self.store.apply(self.first.policy(), "root", "cli")
        moves_at = self.random.randrange(steps + 1)
        for step in range(steps):
            if step == moves_at:
                self.store.apply(self.before.policy(), "root", "cli")
            (kind,) = self.random.choices(list(STEPS), list(STEPS.values()))
            getattr(self, f"_{kind}")()
        sessions = [session for session in self.store.sessions() if session.state != VOIDED]
        self.clock.now = max(self.clock.now, self.latest)
        edges = [session.reserved_at + self.days * DAY for session in sessions]
        edges = [edge for edge in edges if edge >= self.clock.now]
        if edges and self.random.random() < 0.2:
            self.clock.now = self.random.choice(edges)
        self._become(sessions)
        self._compare(sessions)

    def _say(self, text: str) -> None:
        self.log.append(f"  {self.clock.now}: {text}")

    # -- policies

    def _policies(self) -> None:
        """The first there is, the one that is to change, and what of it does."""
        random, rules = self.random, self._rules(5)
        number = random.randrange(1, 4)
        changed, kept = rules[:number], rules[number:]
        self.planned = random.sample(GROUPS, random.choice([1, 2]))
        # Where a group has a key itself, its plan's windows of it do not hold.
        own = {rule.key for rule in rules if rule.group in self.planned}
        for place, rule in enumerate(changed):
            if rule.key not in own and random.random() < 0.6:
                changed[place] = replace(rule, group="")
        self.changed = list({rule.place: rule for rule in changed}.values())
        # A limit of each server would change what servers are granted, and so what they ask for.
        self.kept = [rule for rule in kept if not rule.key.startswith("server")]
        was = [
            replace(rule, amount=random.choice("0123458") + rule.amount[1:])
            for rule in self.changed
            if not rule.key.startswith("server") and random.random() < 0.4
        ]
        prices = [{"since": day, "cpu": "0.25", "memory": "0.05"} for day in PRICED_SINCE]
        self.prices = random.sample(prices, random.choice([0, 1, 2]))
        one, other = self._tree(), self._tree()
        first, before, self.tree = random.choice([(one,) * 3, (one, one, other), (other, one, one)])
        self.moved = not first == before == self.tree
        self.first = Document(first, prices=self.prices)
        self.before = Document(before, [*self.kept, *was], self.planned, {}, self.prices)

    def _become(self, sessions: list[Session]) -> None:
        """What it becomes, and that in which they differ; some budgets last to the very instant
        at which somebody starts something."""
        changed = [self._at_the_edge(rule, sessions) for rule in self.changed]
        changed = [
            replace(rule, amount=f"7{_unit(rule)}") if rule in self.before.rules else rule
            for rule in changed
        ]
        boosts = self._boosts(changed)
        gained = _gained(self.before.parents, self.tree)
        new = [*changed, *(rule for rule in self.kept if rule.group in gained)]
        rest = (self.planned, boosts, self.prices)
        self.after = Document(self.tree, [*self.kept, *changed], *rest)
        self.only = Document(self.tree, new, *rest)
        self._say(f"days {self.days}\n  before {self.before}\n  after {self.after}")

    def _at_the_edge(self, rule: Rule, sessions: list[Session]) -> Rule:
        name = rule.key.partition(".")[2]
        if not sessions or name not in CURVES or self.random.random() < 0.3:
            return rule
        start = self.random.choice(sessions)
        span = held(rule.window, start.reserved_at)
        if span is None:
            return rule
        group, path = rule.group or self.planned[0], World(dict(self.tree)).path
        used = sum(
            used_by(session, CURVES[name][0], *span)
            for session in sessions
            if group in path(session.group)
            if rule.key.startswith("group") or session.user == start.user
        )
        kind = resource(name)
        assert kind
        # Such that it can be written down: an hour has threes in it.
        amount = used // 9 * 9 + self.random.choice([0, 9])
        return replace(rule, amount=kind.format(amount))

    def _tree(self) -> dict[str, str]:
        tree, parents = GROUPS[:], dict.fromkeys(GROUPS, "")
        self.random.shuffle(tree)
        for place, group in enumerate(tree):
            if tree[:place] and self.random.random() < 0.3:
                parents[group] = self.random.choice(tree[:place])
            if circular(World(parents)):
                parents[group] = ""
        return parents

    def _rules(self, count: int) -> list[Rule]:
        rules = [self._rule() for _ in range(count)]
        return list({rule.place: rule for rule in rules}.values())

    def _rule(self) -> Rule:
        random = self.random
        group, scope = random.choice([*GROUPS, "*"]), random.choice(["member", "group"])
        if random.random() < 0.6:
            name, hours = random.choice(list(CURVES)), random.choice("01258")
            return Rule(
                *(group, f"{scope}.{name}", hours), random.choice(WINDOWS), random.choice(THEN)
            )
        if random.random() < 0.2:
            scope = "server"
        names = ["cpu", "memory", "gpu"] + ["servers", "example.com/fpga"] * (scope != "server")
        name, count = random.choice(names), random.choice("01235")
        return Rule(group, f"{scope}.{name}", f"{count}G" if name == "memory" else count)

    def _boosts(self, rules: list[Rule]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for rule in rules:
            if self.random.random() < 0.3:
                day = (EPOCH + timedelta(microseconds=self.clock.now)).date()
                amount = self.random.choice("018") + _unit(rule)
                boost = {
                    "limit": rule.key,
                    "amount": replace(rule, amount=amount, then="").text,
                    "until": day + timedelta(days=self.random.randrange(10)),
                }
                if not rule.key.startswith("group") and self.random.random() < 0.6:
                    boost["member"] = self.random.choice(USERS)
                found.setdefault(rule.group or self.planned[0], []).append(boost)
        return found

    # -- steps

    def _reserve(self) -> None:
        id, user, group = self._new()
        request = self.random.choice(ASKED)
        if self.store.reserve(id, user, "", [group], request).granted:
            self.asked[id] = request
            self._say(f"reserve {id} {user} {group} {request}")

    def _new(self) -> tuple[str, str, str]:
        id = f"{self.random.randrange(2**40):010x}"  # not in the order of time
        return id, self.random.choice(USERS), self.random.choice(GROUPS)

    def _adopt(self) -> None:
        id, user, group = self._new()
        since = self.clock.now - self.random.randrange(6 * HOUR)
        amounts = {"servers": 1, "cpu": 1000, "memory": G}
        day = (EPOCH + timedelta(microseconds=since)).astimezone(BERLIN).date()
        cost = self.store.policy().cost_rate(amounts, day)
        self.asked[id] = amounts
        self.store.adopt(
            id, user, "", group, {**amounts, **({"cost": cost} if cost else {})}, since
        )
        self._say(f"adopt {id} {user} {group} since {since}")

    def _open(self) -> str:
        ids = [session.id for session in self.store.open_sessions()]
        return self.random.choice(ids) if ids else "none"

    def _resize(self) -> None:
        id, amounts = self._open(), {"servers": 1, **self.random.choice(REQUESTS), "cost": 500_000}
        self.store.resize(id, amounts)
        self._say(f"resize {id} {amounts}")

    def _close(self) -> None:
        id = self._open()
        self.store.close_session(id, "stopped")
        self._say(f"close {id}")

    def _close_late(self) -> None:
        id, at = self._open(), self.clock.now - self.random.choice([1, MINUTE, 3 * HOUR, DAY])
        self.store.close_session(id, "gone", at)
        self._say(f"close {id} at {at}")

    def _void(self) -> None:
        id = self._open()
        self.store.void(id, "failed")
        self._say(f"void {id}")

    def _forwards(self) -> None:
        longest = self.random.choice([2, SECOND, HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, DAY])
        self.clock.now += self.random.randrange(1, longest)
        self.latest = max(self.latest, self.clock.now)

    def _back(self) -> None:
        self.clock.now = max(self.clock.now - 5 * MINUTE, self.latest - 9 * MINUTE)

    def _adjust(self) -> None:
        """Which a what-if leaves out."""
        group, user = self.random.choice(GROUPS), self.random.choice(["", *USERS])
        adjust(self.store, group, user, "cpu", 1000 * HOUR, "root", "test")
        self.credited = True

    # -- both answers

    def _compare(self, sessions: list[Session]) -> None:
        since = self.clock.now - self.days * DAY
        found = what_if(self.store, self.before.policy(), self.after.policy(), self.days)
        ids = [one.start.id for one in found.refused]
        right = self._replayed(sessions, since)
        self._same("refused", ids, right)
        concerned = {limit.group for limit in found.limits}
        path = World(dict(self.after.parents)).path
        began = [s for s in sessions if s.reserved_at >= since and concerned & {*path(s.group)}]
        self._same("starts", found.starts, len(began))
        self._same("members", set(found.members), {s.user for s in began if s.id in ids})
        self.counts["refused"] += len(ids)
        self.counts["admitted"] += len(began) - len(ids)
        self.counts["some of both"] += 0 < len(ids) < len(began)
        if not self.moved and not self.credited:
            stops = self._stops()
            self._same("stops", found.stops, stops)
            self.counts["stops"] += stops

    def _same(self, what: str, found: object, right: object) -> None:
        if found != right:
            story = "\n".join(self.log)
            raise Differs(f"{what}: what-if {found!r}, ledger {right!r}\n{story}")

    def _replayed(self, sessions: list[Session], since: int) -> list[str]:
        """What the other ledger refuses when only what changes holds, from `since` on."""
        store, clock, refused = self.other, self.other_clock, []
        events = sorted(event for session in sessions for event in events_of(session))
        known = {session.id: session for session in sessions}
        clock.now = min([since, *(event[0] for event in events)])
        store.apply(replace(self.only, rules=(), boosts={}).policy(), "root", "cli")
        limited = False
        for at, _, id, number, amounts in events:
            if at >= since and not limited:
                store.apply(self.only.policy(), "root", "cli")
                limited = True
            clock.now = at
            if number == 0:
                session = known[id]
                answer = store.reserve(id, session.user, "", [session.group], self.asked[id])
                if not answer.granted:
                    refused.append(id)
                    limit = answer.decisions[0].refusals[0].limit
                    self._say(f"the ledger refuses {id}: {limit.group} {limit.key} {limit.text}")
                    self.counts["budget" if limit.window else f"{limit.scope} cap"] += 1
                    self.counts["plan"] += bool(limit.plan)
                    self.counts["boosted"] += bool(limit.boost)
                    self.counts["whole hub"] += limit.group == "*"
            elif id not in refused and amounts is None:
                assert store.close_session(id, "ended")
            elif id not in refused:
                assert store.resize(id, amounts)
        return refused

    def _stops(self) -> int:
        """How many servers run under a used up budget, by the ledger in which it all happened."""
        self.store.apply(self.only.policy(), "root", "cli")
        count = 0
        for session in self.store.open_sessions():
            (decision,) = self.store.explain(session.user, [session.group], {})
            count += any(
                check.limit.reaction.kind == "stop"
                and check.use.used is not None
                and not check.left
                for check in decision.checks
            )
        return count


STEPS = {
    "reserve": 40,
    "adopt": 2,
    "resize": 7,
    "close": 14,
    "close_late": 5,
    "void": 3,
    "adjust": 1,
    "forwards": 40,
    "back": 2,
}


def events_of(session: Session) -> Iterator[tuple[int, bool, str, int, Any]]:
    """(instant, whether a server begins at it, id, number, amounts or None for the end), which
    sort so that what ends makes room for what begins, and begins before it ends."""
    began, ended = session.reserved_at, session.closed_at
    for number, charge in enumerate(session.charges):
        if ended is None or charge.since <= ended:
            yield charge.since, charge.since == began, session.id, number, charge.amounts
    if ended is not None:
        yield ended, ended == began, session.id, len(session.charges), None


def used_by(session: Session, resource: str, begin: int, end: int) -> int:
    """Amount x microseconds of one session within a span."""
    charges, ended = session.charges, FOR_EVER if session.closed_at is None else session.closed_at
    until = [*(charge.since for charge in charges[1:]), ended]
    return sum(
        charge.amounts.get(resource, 0) * max(0, min(after, ended, end) - max(charge.since, begin))
        for charge, after in zip(charges, until, strict=True)
    )


def _gained(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """The groups that are above a group that they were not above."""
    old, new = World(dict(before)), World(dict(after))
    return {above for group in GROUPS for above in {*new.path(group)} - {*old.path(group)}}


def empty(store: QuotaStore) -> None:
    """A ledger in which nothing has happened."""
    with store.db.write() as tx:
        for table in ("point", "overlay", "correction", "session", "subject"):
            tx.run(f"DELETE FROM {table}")
    store.points.forget_ids()


def compare_seeds(
    seeds: Iterable[int], first: tuple[QuotaStore, Clock], second: tuple[QuotaStore, Clock]
) -> Counter[str]:
    """Play histories; returns what happened, counted."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        one = Comparison(Random(seed), first, second)
        try:
            one.play()
        except Exception as error:
            story = "\n".join(one.log)
            raise Differs(f"python tests/replays.py {seed}\n{error}\n{story}") from error
        counts += one.counts
        counts["histories"] += 1
    return counts


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        ledgers = [quick_store(f"sqlite:///{folder}/{name}.sqlite") for name in ("one", "two")]
        with ledgers[0] as one, ledgers[1] as two:
            print(dict(compare_seeds(map(int, sys.argv[1:]), one, two)))
