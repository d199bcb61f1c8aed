"""A month by the report, by its CSV, by SQL over the sessions and by the curves: one amount."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from random import Random

import pytest
from model import BERLIN, DAY, HOUR, MINUTE, SECOND, midnight, quick_store
from postgres import fresh_database

from hub_quotas.corrections import adjust, correct_end, rename
from hub_quotas.costs import MONEY, month_after, month_span
from hub_quotas.policy import WHOLE_HUB, parse_policy
from hub_quotas.reports import read_report, write_csv
from hub_quotas.sessions import GONE
from hub_quotas.storage_charges import charge_some, note

G = 2**30
MONTHS = [date(2026, 3, 1), date(2026, 10, 1), date(2026, 12, 1)]
"""With a day of 23 hours, with one of 25, and with another year behind it."""
REQUESTS = [{"cpu": 1000, "memory": G}, {"cpu": 500}, {"memory": 3 * G, "nvidia.com/gpu": 1}]
PROFILES = ["", "small", "=large"]


class Months:
    """A random history over the border of a month, with all that can happen to a session."""

    def __init__(self, random: Random, store, clock, name: str) -> None:
        self.random, self.store, self.clock = random, store, clock
        self.month = random.choice(MONTHS)
        clock.now = month_span(self.month, BERLIN)[0] - random.randrange(3 * DAY)
        self.groups = [f"{name}-{group}" for group in ("a", "a/b", "a/b/c", "d", "e/f")]
        self.users = [f"{name}-{user}" for user in ("ada", "=bo", "kim")]
        self.ids: list[str] = []
        self.name = name
        self.happened: Counter[str] = Counter()

    def play(self, steps: int) -> None:
        self._policy()
        weights = list(STEPS.values())
        for kind in self.random.choices(list(STEPS), weights, k=steps):
            getattr(self, f"_{kind}")()
            self.happened[kind] += 1

    def _reserve(self) -> None:
        id, profile = f"{self.name}-{len(self.ids)}", self.random.choice(PROFILES)
        user, group = self.random.choice(self.users), self.random.choice(self.groups)
        request = self.random.choice(REQUESTS)
        assert self.store.reserve(id, user, "lab", [group], request, profile=profile).granted
        self.ids.append(id)

    def _id(self) -> str:
        open_ids = [session.id for session in self.store.open_sessions()]
        mine = [id for id in self.ids if id in open_ids]
        return self.random.choice(mine or ["none"])

    def _adopt(self) -> None:
        id, since = f"{self.name}-{len(self.ids)}", self.clock.now - self.random.randrange(DAY)
        user, group = self.random.choice(self.users), self.random.choice(self.groups)
        amounts = {"servers": 1, "cpu": 700, "cost": self.random.randrange(10**6)}
        self.ids.append(id)
        self.store.adopt(id, user, "lab", group, amounts, since)

    def _resize(self) -> None:
        amounts = {"servers": 1, "cpu": 2000, "cost": self.random.randrange(10**6)}
        self.store.resize(self._id(), amounts)

    def _close(self) -> None:
        self.store.close_session(self._id(), "stopped")

    def _late(self) -> None:
        self.store.close_session(self._id(), "died", self._earlier())

    def _gone(self) -> None:
        id = self._id()
        if self.store.close_session(id, GONE, self._earlier()):
            assert correct_end(self.store, id, "died", self._earlier())

    def _void(self) -> None:
        self.store.void(self._id(), "failed")

    def _earlier(self) -> int:
        return self.clock.now - self.random.randrange(2 * DAY)

    def _credit(self) -> None:
        user, group = self.random.choice(["", *self.users]), self.random.choice(self.groups)
        amount = self.random.choice([HOUR, -HOUR, 3 * MONEY, 1])
        for resource in ("cost", "cpu"):
            adjust(self.store, group, user, resource, amount, "root", "@hub was down")

    def _storage(self) -> None:
        """What homes and shared directories hold, and now and then they are charged."""
        with self.store.db.write() as tx:
            for kind, names in (("user", self.users), ("group", self.groups)):
                uses = [(kind, name, self.random.choice([0, 7, G, 9 * G])) for name in names]
                note(tx, "hub", "homes", uses, self.clock.now)
        if self.random.random() < 0.5:
            group = self.random.choice(self.groups)
            payer = lambda kind, name: name if kind == "group" else group  # noqa: E731
            self.happened["charged"] += charge_some(self.store, payer, 2**62, self.clock.now)

    def _policy(self) -> None:
        """Groups move in the tree, and prices change."""
        tree = self.random.sample(self.groups, len(self.groups))
        groups: dict[str, dict] = {group: {} for group in tree}
        for place, group in enumerate(tree):
            above = tree[:place] and self.random.random() < 0.5 and self.random.choice(tree[:place])
            if above and not any(name.startswith(f"{group}/") for name in tree):
                groups[group] = {"parent": above}
        today = datetime.fromtimestamp(self.clock.now // SECOND, BERLIN).date()
        days = {date(2026, 1, 1), today, today + timedelta(days=1)}
        prices = [
            {"since": day, "cpu": f"0.{self.random.randrange(10**6):06}", "memory": "0.005"}
            | {"storage": f"{self.random.randrange(10)}.5"}
            for day in days
        ]
        self.store.apply(parse_policy({"groups": groups, "prices": prices}), "root", "cli")

    def _rename(self) -> None:
        if self.random.random() < 0.5:
            place = self.random.randrange(len(self.users))
            old, new = self.users[place], f"{self.users[place]}-{self.happened['rename']}"
            names, group = self.users, False
        else:
            place = self.random.randrange(len(self.groups))
            old, new = self.groups[place], f"{self.name}-new-{self.happened['rename']}"
            names, group = self.groups, True
        rename(self.store, old, new, group)
        names[place] = new

    def _forwards(self) -> None:
        longest = self.random.choice([2, MINUTE, 8 * HOUR, 12 * DAY])
        self.clock.now += self.random.randrange(1, longest)


STEPS = {"reserve": 20, "adopt": 2, "resize": 6, "close": 7, "late": 5, "gone": 3, "void": 2}
STEPS |= {"credit": 4, "policy": 4, "rename": 3, "storage": 6, "forwards": 30}

BY_HAND = {
    "sqlite": """
        WITH charge AS (
          SELECT s.closed_at, json_extract(c.value, '$[0]') AS since,
            json_extract(c.value, '$[1]') AS subjects,
            coalesce(json_extract(c.value, '$[2].cost'), 0) AS cost,
            lead(json_extract(c.value, '$[0]')) OVER (PARTITION BY s.id ORDER BY c.key) AS following
          FROM session s, json_each(s.charges) c)
        SELECT coalesce(sum(cost * max(0, min(coalesce(following, ?), coalesce(closed_at, ?), ?)
            - max(since, ?))), 0)
        FROM charge WHERE EXISTS (SELECT 1 FROM json_each(subjects) j WHERE j.value = ?)""",
    "postgresql": """
        WITH charge AS (
          SELECT s.closed_at, (c.value ->> 0)::numeric AS since, c.value -> 1 AS subjects,
            coalesce((c.value -> 2 ->> 'cost')::numeric, 0) AS cost,
            lead((c.value ->> 0)::numeric) OVER (PARTITION BY s.id ORDER BY c.place) AS following
          FROM session s, jsonb_array_elements(s.charges::jsonb) WITH ORDINALITY c (value, place))
        SELECT coalesce(sum(cost * greatest(0, least(following, closed_at, ?)
            - greatest(since, ?))), 0)
        FROM charge WHERE subjects @> to_jsonb(?::int)""",
}
STORAGE_BY_HAND = {
    "sqlite": """
        SELECT coalesce(sum(json_extract(p.value, '$[3]') * max(0,
            min(json_extract(p.value, '$[1]'),
            ?) - max(json_extract(p.value, '$[0]'), ?))), 0)
        FROM storage_charge c, json_each(c.pieces) p
        WHERE EXISTS (SELECT 1 FROM json_each(c.subjects) j WHERE j.value = ?)""",
    "postgresql": """
        SELECT coalesce(sum((p ->> 3)::numeric * greatest(0, least((p ->> 1)::numeric, ?)
            - greatest((p ->> 0)::numeric, ?))), 0)
        FROM storage_charge c, jsonb_array_elements(c.pieces::jsonb) p
        WHERE c.subjects::jsonb @> to_jsonb(?::int)""",
}
"""What a month cost, to whom wants no report: `until`, `begin` and the subject's id go in."""


def by_hand(store, subject: int, begin: int, until: int) -> int:
    kind = store.db.engine.dialect.name
    untils = [until] * 3 if kind == "sqlite" else [until]
    with store.db.read() as tx:
        (cost,) = tx.one(BY_HAND[kind], *untils, begin, subject)
        (storage,) = tx.one(STORAGE_BY_HAND[kind], until, begin, subject)
    return int(cost) + int(storage)


def by_curve(store, subject: int, user: str, group: str, begin: int, until: int) -> int:
    """Of a curve, with what was taken off it put on again."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT amount FROM correction WHERE subject = ? AND resource = 'cost'"
            " AND at > ? AND at <= ?",
            *(subject, begin, until),
        )
    return store.used(group, user, "cost", begin, until) + sum(int(row[0]) for row in rows)


def rows_of(store, group: str, month: date) -> list[dict[str, str]]:
    out = io.StringIO()
    write_csv(store, group, month, out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def subjects(store) -> dict[tuple[str, str], int]:
    with store.db.read() as tx:
        return {(u, g): id for id, u, g in tx.all("SELECT id, user_name, group_name FROM subject")}


def compare(store, month: date) -> Counter[str]:
    """All that is said of a month agrees; returns how much there was to compare."""
    known, found = subjects(store), Counter()
    for (user, group), subject in known.items():
        if user:
            continue
        report = read_report(store, group, month)
        begin, until = report.begin, report.until
        cost = by_hand(store, subject, begin, until)
        assert report.total.cost == cost == by_curve(store, subject, "", group, begin, until), group
        with_storage = (*report.profiles, report.storage)
        for lines in (report.members, report.groups, with_storage, report.days):
            assert sum(line.cost for line in lines) == cost, group
        rows = rows_of(store, group, month)
        use = [row for row in rows if row["kind"] in ("use", "storage")]
        assert sum(int(row["cost_units"]) for row in use) == cost, group
        assert sum(int(row["cost_units"]) for row in rows) == report.total.net
        assert report.total.net == store.used(group, "", "cost", begin, until)
        assert abs(sum(float(row["cost"]) for row in use) - cost / MONEY) <= 1e-6 * (len(use) + 1)
        assert len({row["session"] for row in rows} - {""}) == report.sessions
        stored = report.storage.used.get("storage", 0)
        assert stored == store.used(group, "", "storage", begin, until)
        assert report.storage.cost == store.used(group, "", "storage+cost", begin, until)
        hours = sum(float(row.get("storage_gib_hours", 0)) for row in rows)
        assert hours == pytest.approx(stored / (G * HOUR), abs=1e-5 * (len(rows) + 1))
        found["storage"] += report.storage.cost > 0
        assert sum(float(row["cpu_hours"]) for row in use) == pytest.approx(
            report.total.used.get("cpu", 0) / (1000 * HOUR), abs=1e-5 * (len(use) + 1)
        )
        alone = group != WHOLE_HUB and all(line.name == group for line in report.groups)
        for line in report.members if alone else ():
            if not line.cost or not line.name:  # credits alone, perhaps further below; shared
                continue
            mine = known[line.name, group]
            curve = by_curve(store, mine, line.name, group, begin, until)
            assert line.cost == by_hand(store, mine, begin, until) == curve
            if all(other == group for u, other in known if u == line.name):  # credits, too
                assert line.net == store.used(group, line.name, "cost", begin, until)
            found["members"] += 1
        for day in report.days if group == WHOLE_HUB else ():
            today = date.fromisoformat(day.name)
            edges = [midnight(today), min(midnight(today + timedelta(days=1)), until)]
            assert day.cost == by_hand(store, subject, *edges), day.name
            found["days"] += day.cost > 0
        found["groups"] += cost > 0
        found["credits"] += report.total.credited != 0
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_url"))
    with quick_store(url) as found:
        yield found


@pytest.mark.parametrize("seeds", [range(20), range(20, 40)], ids=str)
def test_a_random_month_agrees_to_the_smallest_unit(ledger, seeds):
    store, clock = ledger
    happened: Counter[str] = Counter()
    for seed in seeds:
        history = Months(Random(seed), store, clock, f"h{seed}")
        history.play(40)
        happened += history.happened
        first = history.month
        now = datetime.fromtimestamp(clock.now // SECOND, timezone.utc).astimezone(BERLIN).date()
        for month in (first, month_after(first)):
            happened += compare(store, month)
        happened["second month"] += now >= month_after(first)
        with store.db.write() as tx:  # of one history after the other
            tables = ("overlay", "correction", "point", "session", "storage_held", "storage_charge")
            for table in tables:
                tx.run(f"DELETE FROM {table}")  # noqa: S608
            tx.run("DELETE FROM subject")
        store.points.forget_ids()
    compared = ("groups", "members", "days", "credits", "second month", "charged", "storage")
    assert all(happened[kind] >= 2 for kind in (*STEPS, *compared)), happened
