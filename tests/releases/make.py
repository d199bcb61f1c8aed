"""A small data set of this version, for all later ones to read: `make.py VERSION`.

Written by real use of the stores, as a hub uses them: `VERSION/*.sql`, a database each, as text;
and `VERSION/said.json`, what the stores answered then. tests/test_releases.py brings the databases
to the present schema and asks again. Of a release, a data set is made once and changed never.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hub_groups.memberships import MANAGER, MEMBER
from hub_groups.people import By, archive, archive_of, put_members
from hub_groups.store import GroupStore
from hub_quotas.asking import Asking
from hub_quotas.corrections import adjust
from hub_quotas.more import Wanted
from hub_quotas.policy import parse_policy
from hub_quotas.quantities import HOUR
from hub_quotas.store import QuotaStore
from share_links.launch import Content, Environment, Launch, Target, as_values
from share_links.links import Terms
from share_links.store import LinkStore
from share_links.tokens import make_key

try:
    from hub_quotas import storage_store
except ImportError:  # versions before there was storage
    storage_store = None

HERE = Path(__file__).parent
DATABASES = ("hub_groups", "hub_quotas", "share_links")

START = 1_790_000_000
"""When it all begins: 21 September 2026, 14:13:20 UTC."""
END = START + 30 * 3600
"""When what is in `said.json` was asked."""
G = 2**30
SIZE = {"cpu": 1000, "memory": 4 * G}

POLICY = {
    "plans": {"small": {"limits": {"member.servers": 1, "member.cpu-hours": "40 per 7d"}}},
    "prices": [{"since": "2026-01-01", "cpu": 0.04, "memory": 0.005}],
    "groups": {
        "earth": {"limits": {"group.cost": "2000 per month", "group.memory": "64G"}},
        "earth/geo-101": {
            "plan": "small",
            "managers": ["prof-ada"],
            "limits": {"server.memory": "8G", "member.storage": "10G"},
            "boosts": [
                {
                    "limit": "member.cpu-hours",
                    "amount": "80 per 7d",
                    "member": "kim",
                    "until": "2026-12-18",
                    "why": "thesis",
                }
            ],
        },
    },
}


class Clock:
    """What all stores go by; seconds since 1970, UTC."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at

    def in_microseconds(self) -> int:
        return self.at * 10**6


class Stores:
    """Of one hub, by the URL of each database."""

    def __init__(self, urls: dict[str, str], at: int) -> None:
        self.clock = Clock(at)
        self.groups = GroupStore(urls["hub_groups"], self.clock)
        self.quotas = QuotaStore(urls["hub_quotas"], clock=self.clock.in_microseconds)
        self.links = LinkStore(urls["share_links"], self.clock)

    def close(self) -> None:
        for store in (self.groups, self.quotas, self.links):
            store.close()


def use(stores: Stores) -> None:
    """What happens on a hub in a day."""
    _use_groups(stores.groups)
    _use_quotas(stores.quotas, stores.clock)
    _use_links(stores.links)


def _use_groups(groups: GroupStore) -> None:
    geo = {"prof-ada": MANAGER, "sam": MEMBER, "kim": MEMBER}
    groups.replace_source("roster:geo-101.csv", {"earth/geo-101": geo, "old": {"lee": MEMBER}})
    put_members(groups, "earth", ["lee"], By("prof-ada", "page"), until=END + 86_400)
    put_members(groups, "earth", ["max"], By("prof-ada", "page"), until=END - 3_600)
    archive(groups, "old", By("admin", "page"))
    groups.sync_user("sam", ["physics"], "idp:oidc")


def _use_quotas(quotas: QuotaStore, clock: Clock) -> None:
    quotas.apply(parse_policy(POLICY), "admin", "page")
    geo = ["earth/geo-101"]
    for id, user, hours in (("s1", "sam", 5), ("s2", "kim", 3)):
        assert quotas.reserve(id, user, "", geo, SIZE, profile="small").granted
        quotas.start(id)
        clock.at += hours * 3600
        quotas.close_session(id, "stopped")
    assert quotas.reserve("s3", "sam", "", geo, {**SIZE, "gpu": 1}).granted
    quotas.start("s3")
    assert not quotas.reserve("s4", "sam", "two", geo, SIZE).granted
    clock.at += 3600
    assert quotas.reserve("s5", "lee", "", ["earth"], SIZE).granted
    clock.at += 3600
    quotas.close_session("s5", "gone", at=(clock.at - 1800) * 10**6)
    adjust(quotas, "earth/geo-101", "kim", "cpu", HOUR, "admin", "an outage")
    Asking(quotas).ask(
        "sam",
        geo,
        Wanted("earth/geo-101", "member.cpu-hours", "7d", "60", "2026-12-01", "a thesis"),
    )
    if storage_store:
        mount = storage_store.Mount("homes", "btrfs", 900 * G, 500 * G)
        storage_store.report(quotas, mount, [storage_store.Directory("user", "sam", 3 * G, 10 * G)])


def _use_links(links: LinkStore) -> None:
    book = Launch(
        Content("https://github.com/earth/geo-book", "main"),
        Environment("gpu", {"image": "x"}),
        target=Target(file="intro/first-map.ipynb"),
    )
    link = links.make(book, "prof-ada", Terms(until=END + 86_400, users=("sam",)), "Week 1")
    gone = links.make(book, "prof-ada", Terms(), "Week 0")
    links.revoke(gone.id, "prof-ada")
    links.add_key(make_key()[1], "prof-ada", "Book")
    links.agree("sam", "prof-ada")
    links.count({(link.id, START // 86_400, "opened"): 3})


def said(stores: Stores) -> dict[str, Any]:
    """What the stores answer, as JSON has it."""
    answers = _of_groups(stores.groups), _of_quotas(stores.quotas), _of_links(stores.links)
    found: dict[str, Any] = json.loads(
        json.dumps({k: v for each in answers for k, v in each.items()})
    )
    return found


def _of_groups(groups: GroupStore) -> dict[str, Any]:
    memberships = [standing.membership for standing in groups.standings()]
    return {
        "archived": sorted(archive_of(groups)),
        "memberships": [[m.user, m.group, m.source, m.role, m.until] for m in memberships],
    }


def _of_quotas(quotas: QuotaStore) -> dict[str, Any]:
    geo, begin, end = "earth/geo-101", START * 10**6, END * 10**6
    policy = quotas.policy()
    charged = (("earth", ""), (geo, ""), (geo, "sam"), (geo, "kim"))
    homes = storage_store.directories(quotas, "user", ["sam"]) if storage_store else []
    return {
        "limits": {
            user: sorted(
                [limit.group, limit.key, limit.text]
                for limit in policy.limits_for(geo, user, end, quotas.zone)
            )
            for user in ("sam", "kim")
        },
        "in use": quotas.group_use(),
        "used": {
            f"{resource}: {group} {user}": quotas.used(group, user, resource, begin, end)
            for resource in ("cpu", "memory", "cost", "gpu")
            for group, user in charged
        },
        "sessions": [
            [s.id, s.user, s.group, s.state, s.reserved_at, s.closed_at] for s in quotas.sessions()
        ],
        "refused": [c.limit.key for c in quotas.explain("sam", [geo], SIZE)[0].refusals],
        "asks": [[one.key, one.why] for one in Asking(quotas).of("sam")],
        "homes": [[home.name, home.used, home.applied, home.mount] for home in homes],
    }


def _of_links(links: LinkStore) -> dict[str, Any]:
    made = [one.link for one in links.links_of("prof-ada")]
    return {
        "links": [
            [link.label, link.id, as_values(link.launch), asdict(link.terms), link.revoked]
            for link in made
        ],
        "keys": [[key.id, key.public, key.label] for key in links.keys_of("prof-ada")],
        "agreed": links.has_agreed("sam", "prof-ada"),
        "counts": links.counts([link.id for link in made]),
    }


def main(version: str) -> str:
    """Write a data set; returns what there is to say."""
    folder = HERE / version
    if folder.exists() and ".dev" not in version:
        sys.exit(f"{folder}: is there already. What a release has written is not changed.")
    with tempfile.TemporaryDirectory() as work:
        urls = {name: f"sqlite:///{work}/{name}.sqlite" for name in DATABASES}
        stores = Stores(urls, START)
        use(stores)
        stores.clock.at = END
        answers = said(stores)
        stores.close()
        folder.mkdir(exist_ok=True)
        for name in DATABASES:
            with sqlite3.connect(f"{work}/{name}.sqlite") as db:
                (folder / f"{name}.sql").write_text("\n".join(db.iterdump()) + "\n")
    (folder / "said.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
    return f"{folder}: written."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python tests/releases/make.py VERSION")
    print(main(sys.argv[1]))
