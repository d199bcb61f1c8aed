"""Groups come from rosters and logins, survive restarts, and keep what people set by hand."""

from __future__ import annotations

import pytest


@pytest.fixture
def hub(fresh_hub):
    return fresh_hub("groups")


def test_roster_login_and_hand_come_together(hub):
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster", "from-login"}

    hub.api("groups/by-hand", "POST")
    hub.api("groups/by-hand/users", "POST", json={"users": ["kim"]})
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster", "from-login", "by-hand"}, "kept at a login"

    (hub.folder / "roster.csv").write_text("user,group\nkim,new-in-roster\n")
    hub.stop()
    hub.start()
    assert hub.groups("kim") == {"new-in-roster", "from-login", "by-hand"}, "before any login"
    hub.login("kim")
    assert hub.groups("kim") == {"new-in-roster", "from-login", "by-hand"}

    hub.api("groups/by-hand/users", "DELETE", json={"users": ["kim"]})
    hub.login("kim")
    assert hub.groups("kim") == {"new-in-roster", "from-login"}, "taken away by hand stays away"


def test_a_broken_roster_changes_nothing_and_is_named(hub):
    hub.login("kim")
    (hub.folder / "roster.csv").write_text("user,group\nkim,\n")
    hub.stop()
    hub.start()
    assert "roster.csv, line 2: 'group' is empty" in hub.log
    assert hub.groups("kim") == {"from-roster", "from-login"}


def test_the_groups_page_says_where_from(hub):
    page = hub.login("kim").get("services/groups/").text
    assert "from-roster" in page
    assert "roster:roster.csv" in page
    assert "idp:login" in page
    assert "prof-ada" not in page, "others are for managers and admins"
    hub.login("prof-ada")
    assert "kim" in hub.login("prof-ada").get("services/groups/").text


def test_without_manage_groups_rosters_still_count(fresh_hub):
    hub = fresh_hub("groups", manage_groups=False)
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster"}
    hub.login("kim")
    assert hub.groups("kim") == {"from-roster"}


def test_a_user_whom_an_admin_creates_gets_their_groups(hub):
    assert hub.api("users/kim", "POST").is_success
    assert hub.groups("kim") == {"from-roster"}
