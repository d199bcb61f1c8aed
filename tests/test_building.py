"""An image is made once for all who wait, and charged as long as it is made: on a real ledger."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from threads import in_a_thread

from hub_groups.store import GroupStore
from hub_quotas import reservations
from hub_quotas.store import QuotaStore
from share_links import building
from share_links.building import Builder, Wish
from share_links.clicks import Clicks
from share_links.store import LinkStore

SPEC = "https://git.example.org/env"
COMMIT = "a" * 40
WISH = Wish("sam", SPEC, COMMIT, ["geo-101"])
WORKS = {"phase": "building", "message": "Step 1\n"}
READY = {"phase": "ready", "message": "Done", "imageName": "registry/env:1"}


class Binder:
    """Events, one after the other, as fast as it may."""

    def __init__(self, *events: object) -> None:
        self.events, self.asked = events, []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, path: str):
        self.asked.append(path)
        for event in self.events:
            await self.go.wait()
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture
def ledger(tmp_path):
    url = f"sqlite:///{tmp_path / 'quotas.sqlite'}"
    store = QuotaStore(url)
    yield store
    store.close()


@pytest.fixture
def links(tmp_path):
    store = LinkStore(f"sqlite:///{tmp_path / 'links.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def builder(tmp_path, ledger, links):
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    said = {
        **{"db_url": f"sqlite:///{tmp_path / 'quotas.sqlite'}", "time_zone": "UTC"},
        **{"hub_name": "hub", "currency": "", "charged": "guarantee", "capped": "limit"},
        "clamp": False,
    }
    takes = {"cpu": 1000, "memory": 2**31}
    yield Builder("http://binder/", takes, links, Clicks(links, groups, said))
    groups.close()


def sessions(ledger: QuotaStore) -> list[tuple]:
    with ledger.db.read() as tx:
        sql = "SELECT user_name, server_name, group_name, state, reason FROM session"
        return [tuple(row) for row in tx.all(f"{sql} ORDER BY reserved_at")]


async def held(ledger: QuotaStore):
    for _unused in range(200):
        if found := reservations.of(ledger, "launch"):
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is held")


@in_a_thread
async def test_it_is_charged_as_long_as_it_is_made_and_remembered(builder, ledger, links):
    binder, lines = Binder(WORKS, READY), deque()
    binder.go.clear()
    making = asyncio.ensure_future(builder.image(WISH, binder, lines))
    session = await held(ledger)
    assert (session.user, session.server, session.group) == ("sam", "build-env", "geo-101")
    assert session.granted == {"servers": 0, "cpu": 1000, "memory": 2**31}
    binder.go.set()
    assert await making == "registry/env:1"
    assert list(lines) == ["Step 1", "Done"]
    assert reservations.of(ledger, "launch") == []
    assert sessions(ledger) == [("sam", "build-env", "geo-101", "closed", "built")]
    assert links.built(SPEC, COMMIT) == "registry/env:1"
    assert await builder.image(WISH, binder, lines) == "registry/env:1"
    assert len(binder.asked) == 1


@in_a_thread
async def test_one_for_all_who_wait(builder, ledger):
    binder, lines = Binder(WORKS, READY), [deque() for _unused in range(4)]
    binder.go.clear()
    all_of_them = [asyncio.ensure_future(builder.image(WISH, binder, one)) for one in lines]
    await asyncio.sleep(0.1)
    binder.go.set()
    assert await asyncio.gather(*all_of_them) == ["registry/env:1"] * 4
    assert [list(one) for one in lines] == [["Step 1", "Done"]] * 4
    assert len(binder.asked) == len(sessions(ledger)) == 1


@in_a_thread
async def test_what_is_found_costs_nothing(builder, ledger):
    assert await builder.image(WISH, Binder(READY), deque()) == "registry/env:1"
    assert [one[3:] for one in sessions(ledger)] == [("voided", "found")]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([WORKS, {"phase": "failed", "message": "no such package"}], "made: no such package"),
        ([WORKS], "does not answer"),
        ([WORKS, ConnectionRefusedError()], "does not answer"),
    ],
)
def test_what_fails_ends_and_is_tried_again(builder, ledger, links, events, words):
    @in_a_thread
    async def run():
        failure = await builder.image(WISH, Binder(*events), deque())
        assert words in failure.text
        assert reservations.of(ledger, "launch") == []
        assert links.built(SPEC, COMMIT) == ""
        assert await builder.image(WISH, Binder(WORKS, READY), deque()) == "registry/env:1"

    run()


@in_a_thread
async def test_it_takes_no_place_of_a_server(builder, ledger):
    ledger.set_limit("geo-101", "member.servers", "0", "admin", "page")
    assert await builder.image(WISH, Binder(WORKS, READY), deque()) == "registry/env:1"


@in_a_thread
async def test_without_room_nothing_is_asked(builder, ledger):
    ledger.set_limit("geo-101", "group.memory", "1G", "admin", "page")
    binder = Binder(READY)
    failure = await builder.image(WISH, binder, deque())
    assert "memory" in failure.text
    assert "for all" in failure.fix
    assert binder.asked == []


@in_a_thread
async def test_a_long_build_is_renewed(builder, ledger, monkeypatch):
    monkeypatch.setattr(building, "_RENEW_SECONDS", 0.05)
    binder = Binder(WORKS, READY)
    binder.go.clear()
    making = asyncio.ensure_future(builder.image(WISH, binder, deque()))
    before = (await held(ledger)).seen_at
    for _unused in range(200):
        await asyncio.sleep(0.05)
        if (await held(ledger)).seen_at > before:
            break
    else:
        raise AssertionError("it was not renewed")
    binder.go.set()
    await making


@in_a_thread
async def test_an_image_that_can_not_be_had_any_more_is_made_anew(builder, links):
    assert await builder.image(WISH, Binder(READY), deque()) == "registry/env:1"
    await builder.forget("registry/env:1")
    again = {**READY, "imageName": "registry/env:2"}
    assert await builder.image(WISH, Binder(again), deque()) == "registry/env:2"


@in_a_thread
async def test_a_branch_whose_commit_nobody_knows_is_asked_about_each_time(builder, links):
    binder, branch = Binder(READY), Wish("sam", SPEC, "main", ["geo-101"])
    for _unused in range(2):
        assert await builder.image(branch, binder, deque()) == "registry/env:1"
    assert len(binder.asked) == 2
    assert links.built(SPEC, "main") == ""
