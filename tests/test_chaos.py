"""The verdict of a kill campaign, and a short campaign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chaos.plan import Blow, plan
from chaos.record import read
from chaos.verdict import SECOND, Entry, judge

ROOT = Path(__file__).parent.parent
HEARTBEAT = 30 * SECOND
HUB, NEXT_HUB = 1, 2


class Story:
    """What happened, in seconds."""

    def __init__(self) -> None:
        self.lines: list[dict] = []

    def add(self, at: float, what: str, **values) -> Story:
        who = {"session": "s", "user": "ada", "server": ""}
        self.lines.append({"what": what, "at": round(at * SECOND), **who, **values})
        return self

    def ran(self, ended: float, hub: int = HUB) -> Story:
        """Asked for at 10 s, it ran from 11 s on; seen alive until a second before its end."""
        self.add(10, "ask", hub=hub, session=None).add(11, "start", pid=7).add(ended, "end", pid=7)
        return self.add(ended - 1, "alive", hub=hub)

    def stopped(self, ended: float, hub: int = HUB) -> Story:
        self.add(ended - 0.5, "stop", hub=hub)
        return self.noticed(ended + 0.1, hub)

    def noticed(self, at: float, hub: int = HUB) -> Story:
        return self.add(at, "dead", hub=hub).add(at + 0.1, "told", hub=hub)

    def judged(self, begin: float, end: float):
        entry = Entry("s", "ada", "", round(begin * SECOND), round(end * SECOND), "stopped")
        return judge([entry], read(self.lines), HEARTBEAT, 1000 * SECOND)


def test_a_session_that_is_what_ran():
    verdict = Story().ran(100).stopped(100).judged(10.5, 100.05)
    assert (verdict.wrong, verdict.ends) == ([], {"stopped": 1})
    assert verdict.off == {"stopped": 0.05}


@pytest.mark.parametrize(
    ("begin", "end", "wrong"),
    [
        (9, 100, 1),  # charged before the hub asked
        (11.5, 100, 0.5),  # ran before it was charged
        (10.5, 98, 2),
        (10.5, 104, 3.4),  # half a second after the hub knew
        (9, 98, 3),
    ],
)
def test_seconds_beyond_what_is_allowed_of_a_stop(begin, end, wrong):
    assert Story().ran(100).stopped(100).judged(begin, end).wrong_seconds == wrong


@pytest.mark.parametrize(("end", "wrong"), [(99, 0), (101, 0), (97, 2), (105, 2.5)])
def test_of_a_death_that_a_hub_noticed_by_its_polls(end, wrong):
    verdict = Story().ran(100).noticed(102).judged(10.5, end)
    assert (verdict.wrong_seconds, list(verdict.ends)) == (wrong, ["died"])


@pytest.mark.parametrize(("end", "wrong"), [(69, 0), (130, 0), (60, 8.5), (140, 9.5)])
def test_of_a_death_while_no_hub_lived(end, wrong):
    story = Story().ran(100).add(99.5, "kill", kind="hub", pid=HUB).noticed(150, NEXT_HUB)
    verdict = story.judged(10.5, end)
    assert (verdict.wrong_seconds, list(verdict.ends)) == (wrong, ["unwatched"])


def test_a_stop_that_a_ledger_hears_of_late_is_exact_unless_the_hub_is_killed_before():
    def story() -> Story:
        return Story().add(90, "away").add(110, "back").ran(100).stopped(100)

    assert story().judged(10.5, 85).wrong_seconds == 15
    killed = story().add(109, "kill", kind="hub", pid=HUB).judged(10.5, 85)
    assert (killed.wrong, list(killed.ends)) == ([], ["unwatched"])


def test_a_stop_that_another_hub_finds_is_not_one_that_was_told():
    story = Story().ran(100).add(99.5, "stop", hub=HUB)
    story.add(100.1, "kill", kind="hub", pid=HUB).noticed(150, NEXT_HUB)
    assert story.judged(10.5, 150).wrong_seconds == 19.5


def test_what_runs_without_a_session_is_wrong_for_as_long_as_it_ran():
    story = Story().ran(100).add(20, "start", pid=8, session="other").add(50, "end", pid=8)
    story.stopped(100).add(19, "ask", hub=HUB)
    (wrong,) = story.judged(10.5, 100).wrong
    assert (wrong.what, wrong.seconds, wrong.session) == ("uncharged", 30, "other")


def test_what_runs_on_after_its_session_is_wrong():
    story = Story().add(10, "ask", hub=HUB).add(11, "start", pid=7)
    assert story.judged(10.5, 100).wrong_seconds == 1000 - 11


def test_a_reservation_for_nothing_holds_for_a_heartbeat():
    story = Story().add(10, "ask", hub=HUB).add(12, "kill", kind="hub", pid=HUB)
    assert story.judged(10.5, 20).wrong_seconds == 0
    assert story.judged(10.5, 51).wrong_seconds == 10


def test_a_clock_that_steps_forward_is_what_counts():
    story = Story().ran(100).stopped(100).add(50, "step", added=60 * SECOND)
    assert story.judged(10.5, 160).wrong_seconds == 0
    assert story.judged(10.5, 100).wrong_seconds == 60


def test_a_ledger_waits_for_a_clock_that_was_set_back():
    story = Story().ran(100).stopped(100).add(95, "step", added=-20 * SECOND)
    for end in (80, 95):  # what it says, and the latest that it ever said
        assert story.judged(10.5, end).wrong_seconds == 0
    assert story.judged(10.5, 100).wrong_seconds == 5


def test_a_seed_plans_the_same_blows_again():
    def first(seed: int) -> list[Blow]:
        return [blow for _, blow in zip(range(300), plan(seed), strict=False)]

    assert first(1) == first(1) != first(2)
    assert {blow.what for blow in first(1)} == {"hub", "service", "server", "database", "clock"}


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize("database", [[], ["--postgres"]], ids=["sqlite", "postgres"])
def test_a_short_campaign(database, tmp_path, request):
    if database:
        request.getfixturevalue("postgres_url")  # says why where there can be none
    command = [sys.executable, "tests/chaos", "--json", "--kills", "15", "--seed", "1"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path), *database],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    for what in ("leaked", "lost", "strays", "curves"):
        assert report[what] == 0, report
    # None at all is for a campaign by hand: on a busy machine one heartbeat may be late.
    assert report["wrong_seconds"] <= report["heartbeat_seconds"], report
    assert report["kills"] >= 15 and report["sessions"] > 5, report
    assert report["database_outages"] >= 1 <= report["clock_steps"], report
    assert report["slow"] == [], report
