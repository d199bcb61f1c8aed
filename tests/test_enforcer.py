"""Warnings and stops at the instants that the curve gives; on a test clock."""

from __future__ import annotations

from datetime import timezone

import pytest
import yaml
from threads import finish

from hub_quotas import outlook
from hub_quotas.corrections import adjust
from hub_quotas.enforcer import Enforcer, Executor
from hub_quotas.messages import refusal
from hub_quotas.notices import Notices
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.store import QuotaStore
from hub_quotas.watch import MINUTE, SECOND, read_place
from hub_quotas.windows import DAY

START = 1_790_000_000 * 10**6  # 21 September 2026, 14:13:20 UTC


class World:
    """A ledger, its enforcer, a hub that stops what it is told to, and a clock."""

    def __init__(self, url: str) -> None:
        self.now = START
        self.store = QuotaStore(url, clock=lambda: self.now)
        self.notices = Notices(self.store)
        self.used_at: dict[str, int] = {}  # as the hub knows
        self.enforcer = Enforcer(self.store, [0.8, 0.95])
        self.executor = Executor(self.store, self.stop, self.last_used)
        self.stopped: list[tuple[int, str]] = []

    async def stop(self, user: str, server: str) -> None:
        for session in self.store.open_sessions(user):
            if session.server == server:
                self.store.close_session(session.id, "stopped")
                self.stopped.append((self.now, user))

    async def last_used(self, user: str, server: str) -> int | None:
        (session,) = (s for s in self.store.open_sessions(user) if s.server == server)
        return self.used_at.get(session.id)

    def was_used(self, id: str, at: int) -> None:
        self.used_at[id] = at
        self.store.seen({}, {id: at})

    def policy(self, text: str) -> None:
        document = yaml.safe_load(text)
        self.store.apply(parse_policy({"groups": document}), "ada", "test")

    def start(self, user: str, group: str = "course", server: str = "", cores: int = 1) -> str:
        id = f"{user}-{server}-{self.now}"
        request = {"cpu": 1000 * cores, "memory": 2**30}
        answer = self.store.reserve(id, user, server, [group], request)
        assert answer.granted, [str(c.limit.text) for c in answer.decisions[0].refusals]
        self.store.start(id)
        return id

    def run(self, length: int, tick: int = 0) -> list[tuple[int, str]]:
        """Let time go on, from one thing that happens to the next; as (when, what was told)."""
        end, told = self.now + length, []
        while True:
            plan = self.enforcer.step()
            finish(self.executor.step())
            told += [(self.now - START, n) for n in self.heard()]
            following = min(self.enforcer.next, self.next_stop(), self.now + (tick or length))
            if plan is not None:
                continue  # what it did may be a change
            if following > end:
                self.now = end
                return told
            self.now = max(following, self.now + 1)

    def next_stop(self) -> int:
        _, following = self.notices.due(self.store.hub)
        return following or 2**62

    def heard(self) -> list[str]:
        """What was told since the last time, in order."""
        with self.store.db.read() as tx:
            rows = tx.all("SELECT id, text FROM notice ORDER BY id")
        new = [row[1] for row in rows if row[0] > getattr(self, "_heard", 0)]
        self._heard = rows[-1][0] if rows else 0
        return new


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.sqlite"
    else:
        from postgres import fresh_database

        url = fresh_database(request.getfixturevalue("postgres_url"))
    made = World(url)
    yield made
    made.store.close()


def test_a_budget_that_runs_out_warns_and_then_stops_at_the_instant(world):
    world.policy("course: {limits: {member.cpu-hours: 2 per 7d then stop after 10m}}")
    world.start("sam")
    told = world.run(3 * HOUR)
    assert [at for at, _ in told] == [
        96 * MINUTE,
        114 * MINUTE,
        120 * MINUTE,
        120 * MINUTE,
        130 * MINUTE,
    ]
    texts = [text for _, text in told]
    assert texts[0] == (
        "You have used 80% of your 2 CPU-hours in any 7 days in course. "
        "If what runs goes on, nothing is left at 16:14 (UTC)."
    )
    assert texts[1].startswith("You have used 95% of")
    assert "New servers are refused, and those that run stop at 16:24 (UTC)." in " ".join(texts)
    why = "your 2 CPU-hours in any 7 days in course is then used up."
    assert f"Your server stops at 16:24 (UTC): {why}" in texts
    assert texts[-1].startswith("Your server was stopped at 16:24 (UTC)")
    assert world.stopped == [(START + 130 * MINUTE, "sam")]
    shown = [notice.text for notice in world.notices.of("sam", ["course"], START)]
    assert len(shown) == 2, "of one budget only the highest share"
    assert shown[0] == texts[-1] and shown[1].startswith("You have used all of your")
    (session,) = world.store.sessions()
    assert session.reason == "member.cpu-hours of course"


def test_a_ceiling_for_the_whole_hub_warns_stops_and_refuses(world):
    """Of money, and for groups that have no limit and nothing above them."""
    ceiling = {"*": {"limits": {"group.cost": "1 per month then stop after 5m"}}}
    document = {"prices": [{"since": "2026-01-01", "cpu": "0.25"}], "groups": ceiling}
    world.store.apply(parse_policy(document), "ada", "test")
    world.start("sam", "course")
    world.start("kim", "lab/deep")
    told = world.run(3 * HOUR)  # two cores take two hours for it
    assert [at for at, text in told if " has used " in text] == [
        96 * MINUTE,
        114 * MINUTE,
        2 * HOUR,
    ]
    assert "This hub has used 80% of its budget of 1.00 a month" in told[0][1]
    assert sorted(world.stopped) == [(START + 125 * MINUTE, user) for user in ("kim", "sam")]
    assert {session.reason for session in world.store.sessions()} == {"group.cost of *"}
    answer = world.store.reserve("one-more", "bo", "", ["anywhere"], {"cpu": 1000})
    (refused,) = answer.decisions[0].refusals
    assert (refused.limit.group, refused.limit.key) == ("*", "group.cost")
    assert refusal(answer.decisions, {}).startswith("This hub has a budget of 1.00 a month")
    world.now += 10 * DAY  # 1 October
    world.start("bo", "anywhere")


def test_a_long_grace_counts_from_the_instant_at_which_nothing_was_left(world):
    world.policy("course: {limits: {group.cpu-hours: 2 per month then stop after 30m}}")
    world.start("sam")
    world.start("kim")
    world.run(65 * MINUTE)
    world.store.close_session(world.store.open_sessions("kim")[0].id, "stopped")
    world.run(HOUR, tick=MINUTE)
    assert world.stopped == [(START + 90 * MINUTE, "sam")]


def test_a_second_server_brings_the_end_nearer(world):
    world.policy("course: {limits: {group.cpu-hours: 2 per month then stop after 0m}}")
    world.start("sam")
    world.run(30 * MINUTE)
    world.start("kim", cores=2)  # 1.5 core-hours left, at 3 cores
    world.run(HOUR)
    assert sorted(world.stopped) == [(START + 60 * MINUTE, user) for user in ("kim", "sam")]


def test_who_stops_a_server_in_time_is_not_stopped(world):
    world.policy("course: {limits: {group.cpu-hours: 2 per month then stop after 0m}}")
    id = world.start("sam")
    world.start("kim")
    world.run(50 * MINUTE)
    world.store.close_session(id, "stopped")
    world.run(11 * MINUTE)
    (order,) = world.notices.orders().values()
    assert order.at == START + 70 * MINUTE
    world.run(8 * MINUTE)
    assert world.stopped == []
    world.run(2 * MINUTE)
    assert world.stopped == [(START + 70 * MINUTE, "kim")]


def test_old_use_that_leaves_the_window_keeps_a_server_going(world):
    world.policy("course: {limits: {member.cpu-hours: 2 per 3h then stop after 0m}}")
    id = world.start("sam", cores=1)
    world.run(90 * MINUTE)
    world.store.close_session(id, "stopped")
    world.run(70 * MINUTE)  # of 1.5 core-hours, none has left the window of 3 hours
    world.start("sam")
    world.run(80 * MINUTE)  # 2.0 would be used up after 30, were it not that old use leaves at 20
    assert world.stopped == []


def test_a_boost_moves_the_end_and_lapses_by_itself(world):
    limits = "limits: {member.cpu-hours: 2 per month then stop after 0m}"
    world.policy(f"course: {{{limits}}}")
    world.start("sam")
    world.start("kim")
    world.run(100 * MINUTE)
    boost = "{limit: member.cpu-hours, amount: 10 per month then stop after 0m, member: sam,"
    world.policy(f"course: {{{limits}, boosts: [{boost} until: 2026-09-21T18:00}}]}}")
    world.run(2 * HOUR)
    assert world.stopped == [(START + 120 * MINUTE, "kim")]
    world.run(HOUR)
    lapses = 1_790_013_600 * 10**6  # 18:00 UTC
    assert world.stopped[1:] == [(lapses, "sam")]


def test_lifetime_and_idleness(world):
    world.policy("course: {limits: {server.lifetime: 8h, server.idle: 1h}}")
    idle, busy = world.start("sam"), world.start("kim")
    world.was_used(idle, START + 30 * MINUTE)
    for hour in range(1, 9):
        world.was_used(busy, START + hour * HOUR - 5 * MINUTE)
        world.run(50 * MINUTE, tick=MINUTE)
        world.run(10 * MINUTE, tick=MINUTE)
    assert world.stopped == [(START + 90 * MINUTE, "sam"), (START + 8 * HOUR, "kim")]


def test_who_was_used_at_the_last_moment_goes_on(world):
    world.policy("course: {limits: {server.idle: 1h}}")
    id = world.start("sam")
    world.was_used(id, START)
    world.run(59 * MINUTE)
    orders = world.notices.orders()
    assert orders[id].at == START + HOUR
    world.now = START + HOUR
    world.used_at = {id: START + HOUR - SECOND}  # the ledger has not heard of it yet
    finish(world.executor.step())
    assert world.stopped == []
    world.run(HOUR - 2 * SECOND)
    assert world.stopped == [], "an hour from when it was used"
    world.run(SECOND)
    assert world.stopped == [(START + 2 * HOUR - SECOND, "sam")]


def test_downsized_servers_may_still_start(world):
    world.policy(
        "course: {limits: {group.cpu-hours: 1 per month then downsize to cpu 1 and memory 2G}}"
    )
    world.start("sam", cores=2)
    told = world.run(HOUR)
    assert (
        "Until there is more, only servers with at most 1 core of cpu and 2 GiB of memory start."
        in (told[-1][1])
    )
    assert world.stopped == []
    world.start("kim", cores=1)
    big = {"cpu": 2000, "memory": 2**30}
    assert not world.store.explain("kim", ["course"], big)[0].allowed


def test_a_warning_is_told_once_and_again_when_it_is_true_again(world):
    world.policy("course: {limits: {member.cpu-hours: 10 per 24h}}")
    id = world.start("sam")
    world.run(8 * HOUR)
    world.store.close_session(id, "stopped")
    world.run(16 * HOUR)
    first = len([1 for told in world.notices.current(0)])
    assert first == 1
    world.run(8 * HOUR)
    assert world.notices.current(0) == []
    world.start("sam")
    told = world.run(9 * HOUR)
    assert [text[:17] for _, text in told] == ["You have used 80%"]


def test_another_enforcer_takes_over_when_the_first_is_gone(world):
    assert world.notices.lead("one")
    assert not world.notices.lead("two")
    assert world.notices.lead("one")
    world.now += 11 * SECOND
    assert world.notices.lead("two")
    assert not world.notices.lead("one")
    world.notices.step_down("two")
    assert world.notices.lead("one")


def test_nothing_is_looked_at_while_nothing_happens(world):
    world.policy("course: {limits: {member.cpu-hours: 10 per 24h}}")
    world.start("sam")
    assert world.enforcer.step()
    assert world.enforcer.step() is None
    world.now += 10 * MINUTE
    assert world.enforcer.step() is None
    world.start("kim")
    assert world.enforcer.step()


def test_the_fingerprint_changes_with_all_that_counts(world):
    world.policy("course: {limits: {member.cpu-hours: 10 per 24h}}")
    seen = {outlook.fingerprint(world.store)}

    def changed() -> bool:
        before = len(seen)
        seen.add(outlook.fingerprint(world.store))
        return len(seen) > before

    id = world.start("sam")
    assert changed()
    world.now += MINUTE
    world.store.resize(id, {"servers": 1, "cpu": 2000})
    assert changed()
    world.was_used(id, world.now)
    assert changed()
    world.store.close_session(id, "gone", world.now - SECOND)
    assert changed()
    world.policy("course: {limits: {member.cpu-hours: 11 per 24h}}")
    assert changed()
    assert not changed()
    assert world.store.zone == timezone.utc


def test_a_stop_costs_only_the_courses_that_it_is_about(world, monkeypatch):
    world.policy("""
        course: {limits: {member.cpu-hours: 10 per 24h, group.cpu-hours: 100 per 24h}}
        other: {limits: {member.cpu-hours: 10 per 24h}}
    """)
    id = world.start("sam")
    world.start("kim")
    world.start("bo", group="other")
    computed = []
    courses = outlook.courses

    def counted(store, wanted, shares):
        computed.extend(sorted(read_place(name)[1:] for name in wanted))
        return courses(store, wanted, shares)

    monkeypatch.setattr(outlook, "courses", counted)
    world.enforcer.step()
    assert len(computed) == 4
    computed.clear()
    world.now += MINUTE
    world.store.close_session(id, "died", world.now - SECOND)
    world.enforcer.step()
    assert computed == [("group.cpu-hours", "")], "sam has none running"
    computed.clear()
    id = world.start("lou")
    world.now += MINUTE
    world.start("kim", server="second")
    world.now += MINUTE
    world.store.close_session(id, "died", world.now - 90 * SECOND)
    world.enforcer.step()
    assert computed == [("group.cpu-hours", ""), ("member.cpu-hours", "kim")]
    computed.clear()
    with world.store.db.read() as tx:
        (late,) = tx.all("SELECT session FROM overlay WHERE since < until AND session = ?", id)[:1]
    assert late, "that was before kim's second server, so it was laid over the curve"
    adjust(world.store, "other", "bo", "cpu", 1000 * HOUR, "ada", "a credit")
    world.enforcer.step()
    assert computed == [("member.cpu-hours", "bo")]
