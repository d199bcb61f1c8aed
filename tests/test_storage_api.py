"""What the agents of file systems ask of a real hub, and tell it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hubs import TOKEN, Hub, wait_for

from hub_quotas import storage_store
from hub_quotas.storage_agent import record
from hub_quotas.storage_agent.memory import Heard
from hub_quotas.storage_agent.service import MountState, Service, ServiceError, Use

GIB = 2**30


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    made = start_hub("storage")
    wait_for("the roster", lambda: "pat" in ask(made)["users"])
    return made


def ask(hub: Hub, who: str = "homes", **query: Any) -> dict[str, Any]:
    answer = get(hub, TOKEN + who, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(hub: Hub, token: str, path: str = "storage/limits", **query: Any) -> httpx.Response:
    return httpx.get(
        f"{hub.base}services/quotas/api/{path}",
        params=query,
        headers={"Authorization": f"token {token}"},
        timeout=60,
        trust_env=False,
    )


def settled(hub: Hub, amount: int = 10 * GIB) -> Heard:
    """What holds, once the service has looked: it does twice a second."""
    heard = wait_for("the limits", lambda: _if(service(hub).limits("", 0, 0), amount))
    while (number := service(hub).limits(heard.epoch, heard.number, 1).number) != heard.number:
        heard = replace(heard, number=number)
    return heard


def _if(heard: Heard, amount: int) -> Heard | None:
    return heard if heard.limits.get(("user", "prof-ada")) == amount else None


def service(hub: Hub, who: str = "homes") -> Service:
    return Service(f"{hub.base}services/quotas/api", TOKEN + who)


def test_an_agent_learns_what_holds(hub):
    hub.limits("geo: {member.storage: 10G, group.storage: 50G}\ndefault: {member.storage: 1G}")
    wait_for("the limits", lambda: ask(hub)["otherwise"] == GIB)
    found = ask(hub)
    assert found["whole"]
    assert found["users"] == {"pat": 10 * GIB, "prof-ada": 10 * GIB}
    assert found["groups"]["geo"] == 50 * GIB
    assert found["otherwise"] == GIB


def test_it_hears_of_a_change_at_once_and_only_of_that(hub):
    hub.limits("geo: {member.storage: 10G}")
    known = settled(hub)
    heard = []

    def wait() -> None:
        heard.append((service(hub).limits(known.epoch, known.number, 30), time.monotonic()))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(1.5)
    assert not heard
    hub.limits("geo: {member.storage: 12G}")
    changed = time.monotonic()
    waiting.join()
    found, at = heard[0]
    assert at - changed < 3
    assert not found.whole
    assert found.limits == {("user", "pat"): 12 * GIB, ("user", "prof-ada"): 12 * GIB}
    assert found.number > known.number


def test_without_a_change_it_hears_so_after_a_while(hub):
    hub.limits("geo: {member.storage: 10G}")
    known = settled(hub)
    began = time.monotonic()
    found = service(hub).limits(known.epoch, known.number, 2)
    assert time.monotonic() - began >= 2
    assert (found.whole, found.number, found.limits) == (False, known.number, {})


def test_one_of_another_epoch_gets_all(hub):
    hub.limits("geo: {member.storage: 10G}")
    found = ask(hub, epoch="of-before", number=10**6, wait=30)
    assert found["whole"]
    assert set(found["users"]) >= {"pat", "prof-ada"}


def test_who_comes_into_a_group_gets_its_storage(hub):
    hub.limits("geo: {member.storage: 10G}\nbio: {member.storage: 30G}")
    known = settled(hub)
    hub.api("groups/bio", "POST")
    roster = hub.folder / "roster.csv"
    roster.write_text(roster.read_text() + "pat,bio,\n")
    found = service(hub).limits(known.epoch, known.number, 30)
    assert found.limits[("user", "pat")] == 30 * GIB


def test_what_it_says_is_known_of_its_own_mount_alone(hub):
    store = hub.ledger()
    state = MountState("btrfs, simple quotas", 100 * GIB, 60 * GIB, ("pat: something.",))
    uses = [
        Use("user", "pat", 3 * GIB, 10 * GIB),
        Use("group", "geo", GIB, None, "geo is an ordinary directory."),
        Use("other", "homes/old", 7),
    ]
    service(hub).report(state, uses, [])
    service(hub, "scratch").report(MountState("xfs", GIB, GIB), [Use("user", "pat", 5, 6)], [])
    [home, scratch] = storage_store.directories(store, "user", ["pat"])
    assert (scratch.mount, home.mount) == ("homes", "scratch"), "the fullest first"
    assert (scratch.used, scratch.applied) == (3 * GIB, 10 * GIB)
    [geo] = storage_store.directories(store, "group", ["geo"])
    assert geo.problem == "geo is an ordinary directory."
    mounts = {mount.name: mount for mount in storage_store.mounts(store)}
    assert mounts["homes"].problems == ("pat: something.",)
    assert not mounts["homes"].stale
    service(hub).report(state, [], ["user/pat", "other/homes/old"])
    assert [one.mount for one in storage_store.directories(store, "user", ["pat"])] == ["scratch"]
    assert storage_store.directories(store, "other", ["homes/old"]) == []


def test_how_backups_are_doing_is_kept_by_mount(hub):
    test = record.RestoreTest(1_790_000_300, False, ("pat: not what it was.",))
    backups = record.Backups(1_790_000_000, 40, 1, ("homes/kim: no room.",), test)
    service(hub).report(MountState("test", 1, 1, backups=backups), [], [])
    service(hub, "scratch").report(MountState("test", 1, 1), [], [])
    mounts = {mount.name: mount.backup for mount in storage_store.mounts(hub.ledger())}
    assert mounts["scratch"] is None
    tested = storage_store.RestoreTest(1_790_000_300 * 10**6, False, ("pat: not what it was.",))
    assert mounts["homes"] == storage_store.Backup(
        1_790_000_000 * 10**6, 40, 1, ("homes/kim: no room.",), tested
    )
    never = MountState("test", 1, 1, backups=record.Backups())
    service(hub).report(never, [], [])
    mounts = {mount.name: mount.backup for mount in storage_store.mounts(hub.ledger())}
    assert mounts["homes"] == storage_store.Backup()


def test_what_nobody_can_tell_is_not_taken_for_nothing(hub):
    store, state = hub.ledger(), MountState("claims of Kubernetes", 1, 1)
    service(hub).report(state, [Use("user", "unknown", None, 10 * GIB, "It can't shrink.")], [])
    [one] = storage_store.directories(store, "user", ["unknown"])
    assert (one.used, one.share, one.is_over) == (None, 0, False)
    # An agent that has been started again does not know any more what it has told.
    service(hub).report(state, [Use("user", "unknown", GIB, 10 * GIB)], [])
    service(hub).report(state, [Use("user", "unknown", None, 20 * GIB)], [])
    [one] = storage_store.directories(store, "user", ["unknown"])
    assert (one.used, one.applied) == (GIB, 20 * GIB)
    service(hub).report(state, [], ["user/unknown"])


def test_a_report_of_many_goes_in_parts(hub):
    many = [Use("user", f"user-{number}", number) for number in range(4500)]
    service(hub).report(MountState("test", 1, 1), many, [])
    store = hub.ledger()
    assert len(storage_store.directories(store, "user", [use.name for use in many])) == 4500
    service(hub).report(MountState("test", 1, 1), [], [f"user/{use.name}" for use in many])
    assert storage_store.directories(store, "user", [use.name for use in many]) == []


@pytest.mark.parametrize("who", ["jobs", "nobody"])
def test_others_may_not(hub, who):
    with pytest.raises(ServiceError, match=r"refuses \(40[13]\)"):
        service(hub, who).limits("", 0, 0)
    with pytest.raises(ServiceError, match=r"refuses \(40[13]\)"):
        service(hub, who).report(MountState("test", 1, 1), [], [])


def test_not_even_an_admin_without_its_scope(hub):
    answer = get(hub, hub.login("admin").token())
    assert answer.status_code == 403
    assert "custom:quotas:storage" in answer.json()["detail"]


def test_a_stolen_token_opens_nothing_else(hub):
    """Neither the hub's own API nor any other address of the quotas."""
    headers = {"Authorization": f"token {TOKEN}homes"}
    for path in ("users", "users/pat", "groups", "services", "proxy", "info"):
        answer = httpx.get(f"{hub.base}hub/api/{path}", headers=headers, trust_env=False)
        assert answer.status_code in (403, 404), path
    for path in ("groups", "policy", "reservations", "audit", "usage?user=pat"):
        answer = get(hub, TOKEN + "homes", path)
        assert answer.status_code in (403, 404), (path, answer.text)
    before = hub.ledger().held().version
    answer = httpx.put(
        f"{hub.base}services/quotas/api/groups/geo/limits/member.storage",
        json={"value": "1T"},
        headers=headers,
        trust_env=False,
    )
    assert answer.status_code in (403, 404, 405)
    assert hub.ledger().held().version == before


@pytest.mark.parametrize(
    "body",
    [
        {"backend": "x", "size": -1, "free": 0},
        {"backend": "x", "size": 0, "free": 0, "directories": [{"kind": "user", "name": ""}]},
        {"backend": "x", "size": 2**63, "free": 0},
        {"backend": "x", "size": 0, "free": 0, "backups": {"last_ok": 10**16}},
        {
            "backend": "x",
            "size": 0,
            "free": 0,
            "directories": [{"kind": "planet", "name": "x", "used": 0}],
        },
        {"backend": "x", "size": 0, "free": 0, "directories": [{"kind": "user", "name": "x"}]},
    ],
)
def test_nonsense_is_refused(hub, body):
    answer = httpx.post(
        f"{hub.base}services/quotas/api/storage/use",
        json=body,
        headers={"Authorization": f"token {TOKEN}homes"},
        trust_env=False,
    )
    assert answer.status_code == 400


def test_the_client_follows_nobody_and_says_what_was_wrong(hub):
    with pytest.raises(ServiceError, match="can't be reached"):
        Service("http://127.0.0.1:9/services/quotas/api", "x").limits("", 0, 0)
    with pytest.raises(ServiceError, match="leads to"):
        Service(f"{hub.base}hub", "x")._ask("/home", None, 9)
    with pytest.raises(ServiceError, match="is not an address"):
        Service("hub.example.org/services/quotas/api", "x")
    with pytest.raises(ServiceError, match="something else"):
        Service(f"{hub.base}hub/login?", "x").limits("", 0, 0)


def test_history_is_the_most_of_each_day(hub):
    store = hub.ledger()
    for used in (5, 9, 2):
        service(hub).report(MountState("test", 1, 1), [Use("user", "daily", used)], [])
    with store.db.read() as tx:
        [held] = storage_store.read_days(tx, "user", ["daily"], 30, store.present(tx)).values()
    assert held[-1] == 9


def test_a_manager_sees_whose_home_is_full(hub):
    hub.limits("geo: {member.storage: 10G, group.storage: 50G}")
    settled(hub)
    uses = [
        Use("user", "pat", 10 * GIB - 1, 10 * GIB),
        Use("user", "prof-ada", GIB, 10 * GIB),
        Use("group", "geo", 60 * GIB, 50 * GIB),
    ]
    service(hub).report(MountState("test", 1, 1), uses, [])
    service(hub, "scratch").report(MountState("xfs", 1, 1), [], ["user/pat"])
    ada = hub.login("prof-ada")
    wait_for("the membership", lambda: "geo" in hub.groups("prof-ada"))
    pat = hub.login("pat")
    wait_for("the other's", lambda: "geo" in hub.groups(pat.user))

    def page() -> str:
        return " ".join(ada.get("services/quotas/groups/geo").text.split())

    wait_for("both members", lambda: "1 of 2 homes are full or nearly so." in page())
    text = page()
    assert "60 GiB of 50 GiB used." in text
    assert "Nothing more can be written there." in text
    assert text.index("pat</span>: 10 GiB") < text.index("prof-ada</span>: 1 GiB of 10 GiB used.")
    assert ", last 30 days</th>" in text, "what homes hold is not what the table is about"
