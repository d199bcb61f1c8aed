"""Groups come from rosters and logins, survive restarts, and keep what people set by hand."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import httpx
import psutil
import pytest
from hubs import Hub, wait_for

from hub_groups.people import By, archive, put_members, remove_members, restore
from hub_groups.scim_tokens import ScimTokens
from hub_groups.store import GroupStore

BY = By("tests", "cli")


@pytest.fixture
def hub(fresh_hub):
    hub = fresh_hub("groups")
    wait_for("the roster", lambda: "roster:roster.csv" in rolls(hub))
    return hub


def store(hub: Hub, folder: str = ".") -> GroupStore:
    return GroupStore(f"sqlite:///{hub.folder / folder / 'hub_groups.sqlite'}")


def rolls(hub: Hub) -> set[str]:
    return {standing.membership.source for standing in store(hub).standings()}


def reaches(hub: Hub, user: str, *groups: str) -> None:
    """Without a login."""
    try:
        wait_for(f"{user} to be in {groups}", lambda: hub.groups(user) == set(groups), 20)
    except AssertionError as error:
        raise AssertionError(f"{error} They are in {hub.groups(user)}.") from None


def test_roster_login_and_hand_come_together(hub):
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster", "from-login"}

    hub.api("groups/by-hand", "POST")
    hub.api("groups/by-hand/users", "POST", json={"users": ["kim"]})
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster", "from-login", "by-hand"}, "kept at a login"

    (hub.folder / "roster.csv").write_text("user,group\nkim,new-in-roster\n")
    reaches(hub, "kim", "new-in-roster", "from-login", "by-hand")
    hub.stop()
    hub.start()
    hub.login("kim")
    assert hub.groups("kim") == {"new-in-roster", "from-login", "by-hand"}

    hub.api("groups/by-hand/users", "DELETE", json={"users": ["kim"]})
    hub.login("kim")
    assert hub.groups("kim") == {"new-in-roster", "from-login"}, "taken away by hand stays away"


@pytest.mark.slow
def test_a_broken_roster_changes_nothing_and_is_named(hub):
    hub.login("kim")
    (hub.folder / "roster.csv").write_text("user,group\nkim,\n")
    wait_for("a complaint", lambda: "roster.csv, line 2: 'group' is empty" in hub.log)
    hub.stop()
    hub.start()
    assert hub.groups("kim") == {"from-roster", "from-login"}


def test_what_is_set_on_a_page_is_in_the_hub_at_once_and_ends_by_itself(hub):
    hub.login("kim")
    groups = store(hub)
    put_members(groups, "seminar", ["kim"], BY, until=groups.clock() + 10)
    reaches(hub, "kim", "from-roster", "from-login", "seminar")
    reaches(hub, "kim", "from-roster", "from-login")
    put_members(groups, "seminar", ["kim"], BY)
    archive(groups, "from-roster", BY)
    reaches(hub, "kim", "from-login", "seminar")
    hub.login("kim")
    assert hub.groups("kim") == {"from-login", "seminar"}
    restore(groups, "from-roster", BY)
    reaches(hub, "kim", "from-roster", "from-login", "seminar")


def test_what_was_set_before_a_user_was_there_is_theirs(hub):
    groups = store(hub)
    put_members(groups, "seminar", ["later", "created"], BY)
    hub.login("later")
    assert hub.groups("later") == {"seminar"}
    assert hub.api("users/created", "POST").is_success
    assert hub.groups("created") == {"seminar"}
    hub.login("created")
    assert hub.groups("created") == {"seminar"}


@pytest.mark.slow
def test_a_renamed_user_keeps_what_people_gave_them(hub):
    hub.login("kim")
    put_members(store(hub), "seminar", ["kim"], BY, role="manager")
    reaches(hub, "kim", "from-roster", "from-login", "seminar")
    assert hub.api("users/kim", "PATCH", json={"name": "kim2"}).is_success
    wait_for("the rename", lambda: store(hub).managed_by("kim2") == ("seminar",))
    hub.login("kim2")
    assert hub.groups("kim2") == {"seminar"}, "the roster and the login know the old name"
    assert {s.membership.source for s in store(hub).standings("kim2")} == {"manual"}


@pytest.mark.slow
def test_another_person_of_the_same_name_gets_nothing_by_hand(hub):
    hub.login("kim")
    put_members(store(hub), "seminar", ["kim"], BY)
    reaches(hub, "kim", "from-roster", "from-login", "seminar")
    assert hub.api("users/kim", "DELETE").is_success
    wait_for("the end of it", lambda: "seminar" not in rolls_of(hub, "kim"))
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster", "from-login"}


def rolls_of(hub: Hub, user: str) -> set[str]:
    return {standing.membership.group for standing in store(hub).standings(user)}


def test_the_groups_page_says_where_from(hub):
    page = hub.login("kim").get("services/groups/").text
    assert "from-roster" in page
    assert "roster roster.csv" in page
    assert "login (login)" in page
    assert "prof-ada" not in page, "others are for managers and admins"
    hub.login("prof-ada")
    ada = hub.login("prof-ada")
    assert "groups/from-roster" in ada.get("services/groups/").text
    assert "kim" in ada.get("services/groups/groups/from-roster").text


@pytest.mark.slow
def test_without_manage_groups_rosters_still_count(fresh_hub):
    hub = fresh_hub("groups", manage_groups=False)
    wait_for("the roster", lambda: "roster:roster.csv" in rolls(hub))
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster"}
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster"}


@pytest.mark.slow
def test_a_user_whom_an_admin_creates_gets_their_groups(hub):
    assert hub.api("users/kim", "POST").is_success
    assert hub.groups("kim") == {"from-roster"}


@pytest.mark.parametrize("quotas", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_servers_of_who_has_left_stop_after_a_while_where_asked(fresh_hub, quotas):
    hub = fresh_hub("groups", on_removal="stop", removal_grace=2, quotas=quotas)
    groups = store(hub)
    stays = ["another"] if quotas else []
    for group in ("seminar", *stays):
        put_members(groups, group, ["sam"], BY)
    hub.login("sam")
    hub.api("users/sam/server", "POST", json={"user_options": {"charged_group": "seminar"}})
    wait_for("the server", lambda: hub.server("sam"))
    remove_members(groups, "seminar", ["sam"], BY)
    reaches(hub, "sam", *stays)
    assert hub.server("sam"), "not before the time that they have"
    wait_for("the end", lambda: hub.api("users/sam").json()["servers"] == {})
    assert "sam is no longer in seminar" in hub.log


def test_what_a_directory_pushes_is_in_the_hub_within_seconds(fresh_hub):
    hub = fresh_hub("groups", scim=True)
    token = ScimTokens(store(hub).engine).create("Okta", time.time_ns() // 1000)
    hub.login("kim")
    put_members(store(hub), "seminar", ["kim"], BY)
    reaches(hub, "kim", "from-roster", "from-login", "seminar")
    with httpx.Client(
        base_url=f"{hub.base}services/groups/scim/v2/",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"},
    ) as directory:
        names = "urn:ietf:params:scim:schemas:core:2.0:"
        user = {"schemas": [f"{names}User"], "userName": "Kim"}
        kim = directory.post("Users", json=user).json()["id"]
        group = {"schemas": [f"{names}Group"], "displayName": "pushed", "members": [{"value": kim}]}
        where = f"Groups/{directory.post('Groups', json=group).json()['id']}"
        reaches(hub, "kim", "from-roster", "from-login", "seminar", "pushed")
        hub.login("kim")
        assert "pushed" in hub.groups("kim")
        gone = {"op": "Remove", "path": f'members[value eq "{kim}"]'}
        message = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
        assert directory.patch(where, json={**message, "Operations": [gone]}).is_success
        reaches(hub, "kim", "from-roster", "from-login", "seminar")
    assert token not in hub.log


@pytest.mark.slow
def test_without_its_database_everybody_has_the_groups_of_before(fresh_hub):
    hub = fresh_hub("groups", away=True)
    assert "The memberships can't be reached, groups stay as they are: unable to open" in hub.log
    hub.login("kim")
    assert hub.groups("kim") == set()
    assert hub.api("users/kim/server", "POST").is_success
    assert hub.api("users/sam", "POST").is_success
    (hub.folder / "away").mkdir()
    hub.login("kim")
    assert hub.groups("kim") >= {"from-login"}
    put_members(store(hub, "away"), "seminar", ["sam"], BY)
    reaches(hub, "sam", "seminar")

    hub.api("groups/from-login/users", "DELETE", json={"users": ["kim"]})
    with sqlite3.connect(hub.folder / "away/hub_groups.sqlite", isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")  # for longer than anybody waits for it
        hub.login("kim")
        assert "kim has those of before: database is locked" in hub.log
        db.execute("COMMIT")
    hub.login("kim")
    assert hub.groups("kim") >= {"from-login"}, "no one has taken it away there"


@pytest.mark.slow
def test_who_a_login_takes_out_of_a_group_is_stopped_too(fresh_hub):
    hub = fresh_hub("groups", on_removal="stop", removal_grace=2)
    hub.login("kim")
    hub.api("users/kim/server", "POST", json={"user_options": {"charged_group": "from-login"}})
    wait_for("the server", lambda: hub.server("kim"))
    hub.kill()
    hub.start()
    wait_for("the server", lambda: hub.server("kim"))
    (hub.folder / "from-login.txt").write_text("nobody")
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster"}
    wait_for("the end", lambda: hub.api("users/kim").json()["servers"] == {})
    assert "kim is no longer in from-login" in hub.log


@pytest.mark.slow
def test_a_dead_pages_process_loses_nothing(hub):
    """The hub brings changes to itself, whoever wrote them."""
    hub.login("kim")
    os.kill(pages_process(hub), signal.SIGKILL)
    put_members(store(hub), "seminar", ["kim"], BY)
    reaches(hub, "kim", "from-roster", "from-login", "seminar")


def pages_process(hub: Hub) -> int:
    hub_process = psutil.Process(hub.process.pid)
    return next(p.pid for p in hub_process.children() if "hub_groups.host" in " ".join(p.cmdline()))
