"""Soft limits of storage: since when a directory is above one, and what its agent is told."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hubs import TOKEN, Hub, wait_for
from ledgers import START, Clock, clock, store, url
from threads import finish

from hub_groups.store import open_store as open_group_store
from hub_quotas import storage_store
from hub_quotas.policy import parse_policy
from hub_quotas.storage_agent.memory import Heard
from hub_quotas.storage_agent.service import MountState, Use
from hub_quotas.storage_agent.service import Service as HubService
from hub_quotas.storage_store import Directory, Mount
from hub_quotas.storage_wanted import WantedLimits
from hub_quotas.store import QuotaStore

__all__ = ["clock", "store", "url"]

GIB, DAY = 2**30, 24 * 3600 * 10**6
SECOND = 10**6


class Service:
    """What agents ask and tell, of a process that can be started again."""

    def __init__(self, store: QuotaStore, clock: Clock, folder) -> None:
        self.store, self.clock = store, clock
        self.members = open_group_store(f"sqlite:///{folder}/hub_groups.sqlite")
        self.members.replace_source("roster:r", {"geo": {"pat": "member", "kim": "member"}})
        self.restart()

    def restart(self) -> None:
        self.wanted = WantedLimits(self.store, self.members)

    def allow(self, *texts: str) -> None:
        keys = ("member.storage", "group.storage")
        limits = {"geo": {"limits": dict(zip(keys, texts, strict=False))}}
        self.store.apply(parse_policy({"groups": limits}), "tests", "tests")
        self.wanted.look()

    def says(self, used: Mapping[str, int], mount: str = "homes", kind: str = "user") -> None:
        some = [Directory(kind, name, amount, 12 * GIB) for name, amount in used.items()]
        finish(self.wanted.report(Mount(mount, "test", GIB, GIB), some, []))

    def told(self, mount: str = "homes") -> dict[str, int | None]:
        """As an agent hears it that asks for all."""
        self.wanted.look()
        found = finish(self.wanted.get(mount, "", 0, 0, 0))
        return {**found.limits.users, **found.limits.groups}

    def above(self, name: str, kind: str = "user") -> dict[str, int | None]:
        """By mount, since when."""
        found = storage_store.directories(self.store, kind, [name])
        return {one.mount: one.above for one in found}


@pytest.fixture
def service(store, clock, tmp_path, monkeypatch) -> Service:
    monkeypatch.setattr("hub_quotas.storage_wanted._AGAIN_SECONDS", 0)  # clocks here stand still
    return Service(store, clock, tmp_path)


def test_its_grace_runs_from_the_first_report_and_ends_when_it_is_below(service, clock):
    service.allow("12G soft 10G for 7d")
    service.says({"pat": 10 * GIB, "kim": 9 * GIB})
    assert service.above("pat") == {"homes": None}, "all of it may be used"
    service.says({"pat": 11 * GIB})
    clock.now += 5 * DAY
    service.says({"pat": 10 * GIB + 1})
    assert service.above("pat") == {"homes": START}
    assert service.told()["pat"] == 12 * GIB
    clock.now = START + 7 * DAY - 1
    assert service.told()["pat"] == 12 * GIB
    clock.now += 1
    assert service.told() == {"pat": 10 * GIB, "kim": 12 * GIB, "geo": None}
    service.says({"pat": 10 * GIB})
    assert service.told()["pat"] == 12 * GIB
    clock.now += SECOND
    service.says({"pat": 11 * GIB})
    assert service.above("pat") == {"homes": clock.now}, "a fresh grace"
    assert service.told()["pat"] == 12 * GIB


def test_each_mount_has_its_own(service, clock):
    service.allow("12G soft 10G for 7d")
    service.says({"pat": 11 * GIB})
    clock.now += DAY
    service.says({"pat": 11 * GIB}, "scratch")
    service.says({"kim": 11 * GIB}, "scratch")
    clock.now = START + 7 * DAY
    assert service.told()["pat"] == 10 * GIB
    assert service.told("scratch") == {"pat": 12 * GIB, "kim": 12 * GIB, "geo": None}
    service.says({"pat": 1}, "scratch")
    assert service.told()["pat"] == 10 * GIB, "what is elsewhere does not count"


def test_a_service_that_starts_again_goes_on(service, clock):
    service.allow("12G soft 10G for 7d", "50G soft 40G for 1d")
    service.says({"pat": 11 * GIB})
    service.says({"geo": 41 * GIB}, kind="group")
    clock.now += 7 * DAY
    service.restart()
    assert service.above("pat") == {"homes": START}
    assert service.told() == {"pat": 10 * GIB, "kim": 12 * GIB, "geo": 40 * GIB}


def test_a_soft_limit_that_comes_later_gives_all_of_its_grace(service, clock):
    """Also where the service was away while it came."""
    service.allow("12G")
    service.says({"pat": 11 * GIB, "kim": 11 * GIB})
    clock.now += 30 * DAY
    service.told()
    service.allow("12G soft 10G for 7d")
    assert service.told()["pat"] == 12 * GIB
    assert service.above("pat") == {"homes": START + 30 * DAY}
    service.allow("12G soft 11G for 7d")
    service.told()
    assert service.above("pat") == {"homes": None}
    limits = {"geo": {"limits": {"member.storage": "12G soft 9G for 7d"}}}
    service.restart()
    service.store.apply(parse_policy({"groups": limits}), "tests", "tests")
    clock.now += DAY
    assert service.told()["pat"] == 12 * GIB
    assert service.above("pat") == {"homes": START + 31 * DAY}
    service.allow("12G soft 8G for 7d")
    service.told()
    assert service.above("pat") == {"homes": START + 31 * DAY}, "it was above all the time"


def test_without_a_soft_limit_any_more_nothing_is_above(service):
    service.allow("12G soft 10G for 7d")
    service.says({"pat": 11 * GIB})
    service.allow("12G")
    assert service.told()["pat"] == 12 * GIB
    assert service.above("pat") == {"homes": None}
    service.allow("12G soft 10G for 7d")
    service.told()
    service.members.replace_source("roster:r", {"geo": {"kim": "member"}})
    assert service.told() == {"kim": 12 * GIB, "pat": None, "geo": None}
    assert service.above("pat") == {"homes": None}, "who left the group"


# -- on a hub -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("storage")


def agent(hub: Hub) -> HubService:
    return HubService(f"{hub.base}services/quotas/api", f"{TOKEN}homes")


def says(hub: Hub, used: int, applied: int, shared: int = 0) -> None:
    uses = [Use("user", "pat", used, applied), Use("group", "geo", shared, 50 * GIB)]
    agent(hub).report(MountState("test", 1, 1), uses, [])


def hears(hub: Hub, amount: int) -> Heard:
    """Once it has heard that for pat's home; nothing sooner than it waits for changes."""

    def look() -> Heard | None:
        heard = agent(hub).limits("", 0, 0)
        return heard if heard.limits.get(("user", "pat")) == amount else None

    return wait_for(f"{amount} for pat", look)


def test_an_agent_hears_within_seconds_and_the_pages_say_it(hub):
    hub.limits("geo: {member.storage: 12G soft 10G for 7d, group.storage: 50G soft 40G for 7d}")
    known = hears(hub, 12 * GIB)
    pat, ada = hub.login("pat"), hub.login("prof-ada")

    def usage() -> str:
        return " ".join(pat.get("services/quotas/").text.split())

    says(hub, 9 * GIB, 12 * GIB)
    wait_for("the membership", lambda: "10 GiB for good, up to 12 GiB for 7 days." in usage())
    says(hub, 11 * GIB, 12 * GIB, shared=45 * GIB)
    text = usage()
    assert "This is above 10 GiB. If it still is <time" in text
    assert "nothing more can be written until it is below." in text
    assert '<line x1="83.3%"' in text, "where the soft limit is on the bar"
    wait_for("the other's", lambda: "geo" in hub.groups("prof-ada"))
    text = " ".join(ada.get("services/quotas/groups/geo").text.split())
    assert "It went above its soft limit" in text
    assert "This is above 40 GiB. If it still is" in text

    with hub.ledger().db.write() as tx:  # nobody waits for a week
        tx.run("UPDATE storage_use SET above = above - ? WHERE kind = 'user'", 8 * DAY)
    says(hub, 11 * GIB, 12 * GIB)
    began = time.monotonic()
    found = agent(hub).limits(known.epoch, known.number, 30)
    assert found.limits == {("user", "pat"): 10 * GIB}
    says(hub, 11 * GIB, 10 * GIB)
    assert (
        "there has been more than 10 GiB for longer than 7 days. Nothing of it is lost. "
        "Delete 1 GiB to go on."
    ) in usage()
    says(hub, 10 * GIB, 10 * GIB)
    found = agent(hub).limits(found.epoch, found.number, 30)
    assert found.limits == {("user", "pat"): 12 * GIB}
    assert time.monotonic() - began < 10


def test_it_is_typed_on_the_group_page_with_or_without_a_comma(hub):
    hub.limits("geo: {member.storage: 12G}")
    admin = hub.login("admin")
    page = "services/quotas/groups/geo"
    for typed in ("14G, soft 10G for 2 days", "14G soft 10G for 2d"):
        assert admin.get(page).status_code == 200
        fields = {"limit:member.storage": typed}
        answer = admin.post(page, data={**fields, "_xsrf": admin.xsrf("/services/quotas/")})
        assert answer.status_code in (200, 303), answer.text
        [limit] = hub.ledger().policy().groups["geo"].limits
        assert limit.text == "14G soft 10G for 2d"
