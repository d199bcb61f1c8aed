"""Memberships by source, in a real database file."""

from __future__ import annotations

import pytest

from hub_groups.database import default_url
from hub_groups.memberships import Known, Membership
from hub_groups.store import GroupStore


@pytest.fixture
def store(tmp_path):
    store = GroupStore(f"sqlite:///{tmp_path}/groups.sqlite")
    yield store
    store.close()


def roster(*pairs: str, role: str = "member") -> list[Membership]:
    return [Membership(*pair.split(":"), "roster:r", role) for pair in pairs]


def test_a_source_replaces_only_what_it_said_itself(store):
    store.replace_source("roster:r", roster("sam:a", "sam:b"))
    assert store.sync_user("sam", [], "idp:login", ["c"]).groups == set("abc")
    store.replace_source("roster:r", roster("sam:b"))
    assert store.sync_user("sam", "abc").groups == set("bc")
    assert store.sync_user("sam", "bc", "idp:login", []).groups == {"b"}


def test_since_stays_while_a_membership_stays(store):
    store.replace_source("roster:r", roster("sam:a"))
    before = store.standings("sam")
    store.replace_source("roster:r", roster("sam:a", "kim:a"))
    assert store.standings("sam") == before
    assert len(store.standings()) == 2


def test_what_is_by_hand_is_known_by_its_source(store):
    store.sync_user("sam", ["by-hand"], "idp:login", ["a"])
    assert {(s.membership.group, s.membership.source) for s in store.standings("sam")} == {
        ("a", "idp:login"),
        ("by-hand", "manual"),
    }
    assert store.known() == {
        "sam": Known(frozenset({"a", "by-hand"}), frozenset({"a"}), frozenset({"by-hand"}))
    }


def test_managers(store):
    store.replace_source("roster:r", roster("ada:geo", "bo:geo", role="manager"))
    store.replace_source("roster:s", roster("sam:geo"))
    assert store.managers(["geo", "other"]) == {"geo": ("ada", "bo")}
    assert store.managed_by("ada") == ("geo",)
    assert store.managed_by("sam") == ()


@pytest.mark.parametrize(
    ("hub", "ours"),
    [
        ("sqlite:////srv/jupyterhub/jupyterhub.sqlite", "sqlite:////srv/jupyterhub/x.sqlite"),
        ("sqlite:///jupyterhub.sqlite", "sqlite:///{cwd}/x.sqlite"),
        ("sqlite://", "sqlite:///{cwd}/x.sqlite"),
        ("postgresql://hub:secret@db/hub", "sqlite:///{cwd}/x.sqlite"),
    ],
)
def test_the_database_is_beside_the_hubs_own(hub, ours, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_url(hub, "x.sqlite") == ours.format(cwd=tmp_path)
