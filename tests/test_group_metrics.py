"""Metrics of groups: no more series than there may be, counted when something has changed."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub_groups import group_metrics
from hub_groups.counts import sizes, waiting
from hub_groups.group_metrics import MOST_GROUPS, GroupExposition
from hub_groups.people import By, archive, put_members
from hub_groups.record import Run, save_run
from hub_groups.store import GroupStore

SETTINGS = {"rosters": ["/x/geo.csv"], "ldap": {}, "ldap_every": 60, "parents": False}


@pytest.fixture
def store(tmp_path) -> GroupStore:
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    yield groups
    groups.close()


def said(exposition: GroupExposition) -> dict[tuple[str, str], float]:
    text = exposition._make().plain.decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_member_of_several_sources_is_one(store):
    store.replace_source("ldap", {"geo": {"kim": "member", "sam": "member"}})
    store.replace_source("scim", {"geo": {"kim": "member"}, "lab": {"kim": "member"}})
    found = sizes(store, 1)
    assert (found.largest, found.groups, found.memberships) == ({"geo": 2}, 2, 3)


def test_series_are_bounded_however_many_groups_and_sources_there_are(store):
    store.replace_source("ldap", {f"g{n:04}": {"kim": "member"} for n in range(MOST_GROUPS + 300)})
    store.replace_source("idp:x", {"big": {f"u{n}": "member" for n in range(5)}})
    for n in range(50):
        store.replace_source(f"roster:{n}.csv", {"big": {f"r{n}": "member"}})
        store.replace_source(f"odd{n}", {"big": {f"o{n}": "member"}})
        save_run(store, Run(f"roster:{n}.csv", 1, problem="x"))
    save_run(store, Run("roster:geo.csv", 7, 5, held="too many"))
    found = said(GroupExposition(store, SETTINGS))
    assert len(found) < MOST_GROUPS + 30
    assert found["jupyterhub_group_members", "big"] == 105
    assert found["jupyterhub_group_members_other", ""] == 301
    assert found["jupyterhub_groups", ""] == MOST_GROUPS + 301
    assert found["jupyterhub_group_memberships", "roster"] == 50
    assert found["jupyterhub_group_memberships", "other"] == 50
    assert found["jupyterhub_group_source_good_timestamp_seconds", "roster:geo.csv"] == 5
    assert found["jupyterhub_group_source_held", "roster:geo.csv"] == 1
    assert not any("user" in name or "kim" in labels for name, labels in found)


def test_what_waits_and_what_is_over_is_told(store):
    put_members(store, "geo", ["kim", "sam"], By("ada", "page"))
    archive(store, "old", By("ada", "page"))
    assert (waiting(store).pairs, waiting(store).archived) == (2, 1)
    found = said(GroupExposition(store, SETTINGS))
    assert found["jupyterhub_group_pairs_pending", ""] == 2
    assert found["jupyterhub_groups_archived", ""] == 1
    assert found["jupyterhub_group_join_requests_open", ""] == 0


def test_members_are_counted_when_something_has_changed(store, monkeypatch):
    counted = []
    monkeypatch.setattr(group_metrics, "sizes", lambda *given: counted.append(1) or sizes(*given))
    monkeypatch.setattr(group_metrics, "_REST", 0)
    exposition = GroupExposition(store, SETTINGS)
    for _ in range(3):
        said(exposition)
    assert len(counted) == 1
    put_members(store, "geo", ["kim"], By("ada", "page"))
    assert said(exposition)["jupyterhub_group_members", "geo"] == 1
    assert len(counted) == 2


def test_a_database_that_is_gone_is_told(store, monkeypatch):
    exposition = GroupExposition(store, SETTINGS)

    def fail(*_given):
        raise group_metrics.StoreError("x", {}, Exception("gone"))

    monkeypatch.setattr(group_metrics, "last_change", fail)
    assert said(exposition) == {("jupyterhub_group_store_up", ""): 0}


def test_names_end_no_label(store):
    put_members(store, 'a"b\\c', ["kim"], By("ada", "page"))
    assert said(GroupExposition(store, SETTINGS))["jupyterhub_group_members", 'a"b\\c'] == 1
