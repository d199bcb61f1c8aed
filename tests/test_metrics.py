"""What Prometheus is told is right, has bounded labels, and has no gaps."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import psutil
import pytest
from hubs import PATIENCE, TOKEN, Hub
from ledgers import clock, store, url
from prometheus_client.parser import text_string_to_metric_families
from threads import in_a_thread

from hub_groups.latest import Latest
from hub_quotas import metrics
from hub_quotas.access import Access, Who
from hub_quotas.corrections import adjust
from hub_quotas.latest import Overviews
from hub_quotas.metrics import FAMILIES, Family, Growth, Samples, label
from hub_quotas.metrics_page import Exposition
from hub_quotas.notices import MOST_ATTEMPTS, Notices
from hub_quotas.overview import Overview, overview
from hub_quotas.policy import Policy, parse_policy
from hub_quotas.sessions import new_id
from hub_quotas.storage_store import Directory, Mount, report
from hub_quotas.store import QuotaStore
from hub_quotas.transaction import LedgerError

__all__ = ["clock", "store", "url"]

HOUR = 3600 * 10**6
GIB = 2**30
AMOUNTS = {"cpu": 2000, "memory": 4 * GIB}
POLICY = parse_policy(
    {
        "groups": {
            "*": {"limits": {"group.cost": "10 per month"}},
            "geo": {"limits": {"group.cpu": 8, "member.cpu-hours": "40 per 7d"}},
            "geo/101": {
                "limits": {
                    "group.cpu-hours": "4 per month",
                    "group.gpu": 0,
                    "group.storage": "1T",
                    "member.servers": 2,
                }
            },
            "idle": {"limits": {"group.servers": 3}},
        },
        "prices": [{"since": "2020-01-01", "cpu": 0.5, "memory": 0.25}],
    }
)
WHOLE = {"group": "*"}
COURSE = {"group": "geo/101"}

Said = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Said:
    """What a text says, by name and labels, as Prometheus' own library reads it."""
    found: Said = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"said twice: {key}"
            found[key] = sample.value
    return found


def of(said: Said, family: Family, **labels: str) -> float | None:
    return said.get((family.name, frozenset(labels.items())))


def said_by(exposition: Exposition) -> Said:
    return read(exposition._make().plain.decode())


def open_session(store: QuotaStore, user: str = "sam", group: str = "geo/101") -> str:
    id = new_id(store._clock())
    assert store.reserve(id, user, "", [group], AMOUNTS).granted
    assert store.start(id)
    return id


@pytest.fixture
def exposition(store, monkeypatch) -> Exposition:
    """Of a ledger with limits, whose figures are read anew each time."""
    store.apply(POLICY, "admin", "tests")
    monkeypatch.setattr("hub_quotas.metrics_page.overviews", Fresh())
    return Exposition(lambda: store, per_user=False)


class Fresh:
    def now(self, store: QuotaStore) -> Overview:
        return overview(store)


# -- what is said -----------------------------------------------------------------------------


def test_groups_are_told_in_base_units(store, clock, exposition):
    exposition._make()
    open_session(store)
    clock.now += HOUR
    said = said_by(exposition)
    for group in (COURSE, {"group": "geo"}, WHOLE):
        assert of(said, metrics.IN_USE, **group, resource="cpu") == 2
        assert of(said, metrics.IN_USE, **group, resource="memory") == 4 * GIB
        assert of(said, metrics.IN_USE, **group, resource="servers") == 1
        # Two cores and four GiB cost 2 an hour.
        assert of(said, metrics.IN_USE, **group, resource="cost") == pytest.approx(2 / 3600)
        assert of(said, metrics.USED, **group, resource="cpu") == 2 * 3600
        assert of(said, metrics.USED, **group, resource="memory") == 4 * GIB * 3600
        assert of(said, metrics.USED, **group, resource="cost") == 2
        assert of(said, metrics.MONTH_COST, **group) == 2
    month = {**COURSE, "resource": "cpu", "window": "month"}
    assert of(said, metrics.LIMIT, **month) == 4 * 3600
    assert of(said, metrics.LIMIT_USED, **month) == 2 * 3600
    assert of(said, metrics.LIMIT_RATIO, **month) == 0.5
    cap = {"group": "geo", "resource": "cpu"}
    assert of(said, metrics.LIMIT, **cap) == 8
    assert of(said, metrics.LIMIT_USED, **cap) == 2
    assert of(said, metrics.LIMIT_RATIO, **cap) == 0.25
    assert of(said, metrics.LIMIT_RATIO, **WHOLE, resource="cost", window="month") == 0.2
    assert of(said, metrics.LIMIT, group="idle", resource="servers") == 3
    assert of(said, metrics.COMPUTED) == clock.now / 10**6


def test_a_cap_of_nothing_has_no_share_and_storage_no_use(store, exposition):
    said = said_by(exposition)
    assert of(said, metrics.LIMIT, **COURSE, resource="gpu") == 0
    assert of(said, metrics.LIMIT_USED, **COURSE, resource="gpu") == 0
    assert of(said, metrics.LIMIT_RATIO, **COURSE, resource="gpu") is None
    assert of(said, metrics.LIMIT_USED, **COURSE, resource="storage") is None


def test_when_a_budget_runs_out_is_told(store, clock, exposition):
    open_session(store)
    clock.now += HOUR
    said = said_by(exposition)
    cost = {**WHOLE, "resource": "cost", "window": "month"}
    # At a pace of 2 in the last 7 days, the other 8 last for four times that, which is longer
    # than this month; the 2 left of 4 core-hours last for 7 days.
    assert of(said, metrics.RUNS_OUT, **cost) is None
    course = {**COURSE, "resource": "cpu", "window": "month"}
    assert of(said, metrics.RUNS_OUT, **course) == (clock.now + 7 * 24 * HOUR) / 10**6


def test_a_boost_of_a_group_is_its_limit_while_it_lasts(store, clock, exposition):
    boost = {"limit": "group.cpu", "amount": 16, "until": "2026-09-22"}
    boosted = {"groups": {"geo": {"limits": {"group.cpu": 8}, "boosts": [boost]}}}
    store.apply(parse_policy(boosted), "admin", "tests")
    assert of(said_by(exposition), metrics.LIMIT, group="geo", resource="cpu") == 16
    clock.now += 48 * HOUR
    assert of(said_by(exposition), metrics.LIMIT, group="geo", resource="cpu") == 8


def test_counters_never_go_back(store, clock):
    """Not by a late end, not by a credit; and what comes after these is counted in full."""
    store.apply(POLICY, "admin", "tests")
    growth, told = Growth(), [0]

    def core_hours(after: int = 0) -> float:
        clock.now += after
        growth.add(overview(store).groups)
        told.append(growth.used.get("geo/101", {}).get("cpu", 0))
        assert told[-1] >= told[-2]
        return told[-1] / 1000 / HOUR

    core_hours()
    session = open_session(store)
    assert core_hours(after=HOUR) == 2
    store.close_session(session, "died", clock.now - HOUR // 2)
    assert core_hours() == 2
    assert core_hours(after=HOUR) == 2
    adjust(store, "geo/101", "", "cpu", HOUR * 1000, "admin", "an outage")
    assert core_hours() == 2
    open_session(store)
    assert core_hours(after=HOUR) == 4
    assert Growth().used == {}, "another process begins at 0, as counters do"


def test_use_before_this_process_is_not_counted_again(store, clock):
    store.apply(POLICY, "admin", "tests")
    open_session(store)
    clock.now += HOUR
    growth = Growth()
    growth.add(overview(store).groups)
    assert growth.used["geo/101"]["cpu"] == 0
    open_session(store, "ada", "new")
    clock.now += HOUR
    growth.add(overview(store).groups)
    assert growth.used["geo/101"]["cpu"] == 2 * 1000 * HOUR
    assert growth.used["new"]["cpu"] == 2 * 1000 * HOUR, "all of a group that is new since"


def test_no_series_comes_with_what_is_measured(store, clock, exposition):
    """Figures in a label would make a new series at each scrape."""
    open_session(store)
    exposition._per_user = True
    clock.now += HOUR
    before = said_by(exposition)
    clock.now += HOUR + 1
    after = said_by(exposition)
    assert before.keys() == after.keys()
    assert before != after


def test_groups_of_long_ago_are_left_out(store, clock, exposition):
    session = open_session(store, group="old-course")
    clock.now += HOUR
    store.close_session(session, "stopped")
    old = {"group": "old-course", "resource": "cpu"}
    assert of(said_by(exposition), metrics.IN_USE, **old) == 0
    clock.now += 60 * 24 * HOUR
    assert of(said_by(exposition), metrics.IN_USE, **old) is None
    assert of(said_by(exposition), metrics.LIMIT, group="idle", resource="servers") == 3


def test_names_are_escaped():
    nasty = 'a"b\\c\nd} 1\n# x'
    samples = Samples()
    samples.add(metrics.MONTH_COST, label("group", nasty), 1.5)
    assert of(read(samples.text()), metrics.MONTH_COST, group=nasty) == 1.5


def test_each_family_says_what_it_is_about_and_only_its_labels(store, clock, exposition):
    exposition._per_user = True
    open_session(store)
    report(store, Mount("homes", "xfs", 9, 9), [Directory("group", "geo", 1, 2)])
    clock.now += HOUR
    by_name = {family.name: family for family in FAMILIES}
    seen = set()
    for name, labels in said_by(exposition):
        family = by_name[name]
        seen.add(name)
        assert {key for key, _ in labels} <= {*family.labels}, name
    assert seen == by_name.keys()
    text = exposition._make().plain.decode()
    for family in FAMILIES:
        assert text.count(f"# TYPE {family.name} {family.kind}\n") == 1
        assert text.count(f"# HELP {family.name} ") == 1


def test_users_are_named_only_where_the_admin_wants_that(store, clock, exposition):
    session = open_session(store)
    clock.now += HOUR
    assert "sam" not in exposition._make().plain.decode()
    exposition._per_user = True
    said = said_by(exposition)
    assert of(said, metrics.MEMBER_IN_USE, **COURSE, user="sam", resource="cpu") == 2
    week = {"group": "geo", "user": "sam", "resource": "cpu", "window": "7d"}
    assert of(said, metrics.MEMBER_LIMIT, **week) == 40 * 3600
    assert of(said, metrics.MEMBER_LIMIT_USED, **week) == 2 * 3600
    assert of(said, metrics.MEMBER_LIMIT_RATIO, **week) == 0.05
    assert of(said, metrics.MEMBER_LIMIT_USED, **COURSE, user="sam", resource="servers") == 1
    store.close_session(session, "stopped")
    assert "sam" not in exposition._make().plain.decode(), "of users without a server nothing"


def test_what_waits_is_counted(store, clock, exposition):
    notices = Notices(store)
    to = [("email", f"{name}@example.org") for name in ("ada", "bo", "sam")]
    notices.tell("a stem", "used-up", "sam", "geo", "All is used.", [*to, ("webhook", "webhook")])
    for mail in notices.to_send():
        if mail.address.startswith("ada"):
            notices.sent(mail)
    with store.db.write() as tx:
        lost = "UPDATE delivery SET attempts = ? WHERE address = 'bo@example.org'"
        tx.run(lost, MOST_ATTEMPTS)
        for state in ("open", "open", "declined"):
            tx.run(
                "INSERT INTO ask (at, user_name, group_name, limit_key, amount, until, why, state)"
                " VALUES (0, 'sam', 'geo', 'member.cpu-hours', '80 per 7d', '2026-12-01', '', ?)",
                state,
            )
    id = open_session(store)
    assert store.reserve(new_id(clock.now), "ada", "", ["geo"], AMOUNTS, hub="jobs").granted
    said = said_by(exposition)
    assert of(said, metrics.UNSENT, channel="email") == 1
    assert of(said, metrics.UNDELIVERABLE, channel="email") == 1
    assert of(said, metrics.UNSENT, channel="webhook") == 1
    assert of(said, metrics.UNDELIVERABLE, channel="webhook") == 0
    assert of(said, metrics.ASKS) == 2
    assert of(said, metrics.SESSIONS, hub=store.hub, state="running") == 1
    assert of(said, metrics.SESSIONS, hub="jobs", state="reserved") == 1
    store.close_session(id, "stopped")
    assert of(said_by(exposition), metrics.SESSIONS, hub=store.hub, state="running") is None


def test_it_is_told_whether_limits_act(store, clock, exposition):
    assert of(said_by(exposition), metrics.ENFORCER_UP) == 0
    assert Notices(store).lead("a process")
    assert of(said_by(exposition), metrics.ENFORCER_UP) == 1
    clock.now += HOUR
    assert of(said_by(exposition), metrics.ENFORCER_UP) == 0


# -- when the ledger is away, and while figures are read ---------------------------------------


def test_without_the_ledger_the_last_figures_stay_for_a_while(store, clock, exposition):
    open_session(store)
    before = said_by(exposition)

    def away() -> QuotaStore:
        raise LedgerError("it is away")

    exposition._open_store = away
    said = said_by(exposition)
    assert of(said, metrics.LEDGER_UP) == 0
    assert said.keys() == before.keys()
    exposition._read_at -= 301
    said = said_by(exposition)
    assert {name for name, _ in said} == {metrics.LEDGER_UP.name, metrics.COMPUTED.name}
    assert of(said, metrics.COMPUTED) == clock.now / 10**6
    exposition._open_store = lambda: store
    said = said_by(exposition)
    assert of(said, metrics.LEDGER_UP) == 1
    assert said.keys() == before.keys()


def test_a_process_that_never_had_the_ledger_says_so():
    def away() -> QuotaStore:
        raise LedgerError("it is away")

    said = said_by(Exposition(away, per_user=False))
    assert {name: value for (name, _), value in said.items()} == {metrics.LEDGER_UP.name: 0}


class Slow:
    """Something that takes as long as a test wants, and counts how often it was computed."""

    def __init__(self) -> None:
        self.count, self.go_on = 0, threading.Event()

    def __call__(self) -> int:
        self.count += 1
        assert self.go_on.wait(PATIENCE)
        time.sleep(0.06)  # long enough not to be waited for
        return self.count


async def in_time(latest: Latest[int], value: int) -> None:
    for _ in range(PATIENCE * 100):
        if await latest.get() == value:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it never was {value}")


@in_a_thread
async def test_who_asks_gets_the_last_one_while_the_next_is_computed(monkeypatch):
    monkeypatch.setattr("hub_groups.latest._REST", 0)
    slow = Slow()
    latest = Latest(slow)
    first = [asyncio.ensure_future(latest.get()) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in first), "there is nothing yet"
    slow.go_on.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    slow.go_on.clear()
    began = time.monotonic()
    assert [await latest.get() for _ in range(5)] == [1, 1, 1, 1, 1]
    assert time.monotonic() - began < 0.05
    slow.go_on.set()
    await in_time(latest, 2)


@in_a_thread
async def test_what_is_quick_is_waited_for(monkeypatch):
    monkeypatch.setattr("hub_groups.latest._REST", 0)
    numbers = iter(range(9))
    latest = Latest(lambda: next(numbers))
    assert [await latest.get() for _ in range(3)] == [0, 1, 2]


@in_a_thread
async def test_what_is_good_is_not_computed_again(monkeypatch):
    monkeypatch.setattr("hub_groups.latest._REST", 10**6)
    numbers = iter(range(9))
    latest = Latest(lambda: next(numbers))
    assert [await latest.get() for _ in range(3)] == [0, 0, 0]
    assert latest.now() == 0
    assert latest.now(since=time.monotonic()) == 1, "unless it has to be newer"


@in_a_thread
async def test_an_overview_is_no_older_than_the_policy(monkeypatch, tmp_path):
    monkeypatch.setattr("hub_groups.latest._REST", 10**6)
    store = QuotaStore(f"sqlite:///{tmp_path}/quotas.sqlite")
    overviews = Overviews()
    assert not (await overviews.latest(store)).of("geo").limits
    store.apply(POLICY, "admin", "tests")
    assert (await overviews.latest(store)).of("geo").limits
    assert await overviews.latest(store) is await overviews.latest(store)
    store.close()


# -- who may ask ------------------------------------------------------------------------------


def test_who_may_scrape():
    for access, may in [
        (Access("prometheus", scopes=frozenset({"read:metrics"})), True),
        (Access("admin", admin=True, reads=True), True),
        (Access("reader", reads=True), True),
        (Access("manager", managed=frozenset({"*"})), False),
        (Access("sam"), False),
    ]:
        assert access.may(Who.SCRAPES, Policy()) is may, access


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("formless")


@pytest.fixture(scope="module")
def address(hub) -> str:
    """Without the proxy, which unpacks what is packed: some do."""
    children = psutil.Process(hub.process.pid).children(recursive=True)
    (pages,) = [child for child in children if "hub_groups.host" in child.cmdline()]
    (port,) = [
        connection.laddr.port
        for connection in pages.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    return f"http://127.0.0.1:{port}/services/quotas/metrics"


def scrape(address: str, token: str = "", **headers: str) -> httpx.Response:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.get(address, headers=headers, timeout=PATIENCE, trust_env=False)


def test_the_scope_of_the_hubs_own_metrics_opens_these(hub, address):
    hub.login("sam")
    assert hub.api("users/sam/server", "POST").is_success
    answer = scrape(address, TOKEN)  # with admin:users and the like, but not access:services
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert of(read(answer.text), metrics.LEDGER_UP) == 1
    assert "etag" not in answer.headers
    assert "user=" not in answer.text
    assert hub.api("users/sam/server", "DELETE").is_success
    admin = hub.login("admin")
    assert scrape(address, admin.token("read:metrics")).status_code == 200
    admin.get("services/quotas/")  # which logs them in there
    assert admin.get("services/quotas/metrics").status_code == 200, "in a browser too"


def test_others_are_refused_in_plain_words(hub, address):
    anonymous, wrong = scrape(address), scrape(address, "0" * 32)
    for answer in (anonymous, wrong):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    member, manager = hub.login("sam"), hub.login("prof-ada")
    admin = hub.login("admin")
    member.get("services/quotas/")
    refused = [
        scrape(address, member.token()),
        scrape(address, manager.token()),
        scrape(address, admin.token("list:groups")),
        member.get("services/quotas/metrics"),
    ]
    for answer in refused:
        assert answer.status_code == 403
        assert answer.text == "This takes a token with the scope read:metrics.\n"
    for answer in (anonymous, *refused):
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_it_is_packed_for_who_takes_that(address):
    plain = scrape(address, TOKEN, **{"Accept-Encoding": "identity"})
    packed = scrape(address, TOKEN, **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert read(packed.text).keys() == read(plain.text).keys(), "httpx has unpacked it"
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
