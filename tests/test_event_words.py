"""The audit log in words: every kind of entry that the code writes, and what no version knows."""

from __future__ import annotations

import ast

import pytest
from hubs import ROOT

from hub_groups.event_words import KINDS, say_who, tell
from hub_groups.memberships import MANAGER, Membership
from hub_groups.pending import lapse
from hub_groups.people import (
    By,
    archive,
    forget_user,
    put_members,
    remove_members,
    rename_user,
    restore,
)
from hub_groups.record import Event, events, note, save_rules
from hub_groups.rows import write
from hub_groups.store import GroupStore, writing

BY = By("ada", "page")


@pytest.fixture
def store(tmp_path) -> GroupStore:
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}", clock=lambda: 1_800_000_000)
    yield groups
    groups.close()


def last(store: GroupStore):
    return tell(events(store, limit=1)[0])


def test_what_people_do(store):
    put_members(store, "geo", ["kim"], BY, role=MANAGER, until=1_902_000_000)
    assert last(store).text == "ada put kim into geo as manager until 2030-04-09"
    put_members(store, "geo", ["kim"], BY)
    assert last(store).text == "ada put kim into geo"
    remove_members(store, "geo", ["kim"], BY)
    assert last(store).text == "ada took kim out of geo"
    archive(store, "geo", BY)
    assert last(store).text == "ada archived geo"
    restore(store, "geo", BY)
    assert last(store).text == "ada took geo out of the archive"
    save_rules(store, "[]\n#", 0, "ada")
    assert last(store).text == "ada wrote the rules for logins (2 lines)"
    note(store, "ada", "page", "token-made", name="Okta")
    assert last(store).text == "ada made the SCIM token Okta"
    note(store, "ada", "page", "token-revoked", name="Okta")
    assert last(store).text == "ada revoked the SCIM token Okta"


def test_what_sources_and_the_hub_do(store):
    store.replace_source("roster:geo.csv", {"geo": {"kim": "member", "ada": "manager"}})
    told = last(store)
    assert told.text == "roster geo.csv: 2 memberships came or changed"
    assert told.added == ("ada in geo (manager)", "kim in geo")
    store.replace_source("roster:geo.csv", {}, by="ada")
    assert last(store).text == "ada applied what roster geo.csv says: 2 went"
    store.sync_user("kim", ["by-hand"], "idp:github", {"lab": "member"})
    told = last(store)
    assert told.text == "kim logged in: login (github) said other groups than before"
    assert told.added == ("by-hand (by hand)", "lab")
    rename_user(store, "kim", "kim2")
    assert last(store).text == "kim is called kim2 now"
    forget_user(store, "kim2")
    told = last(store)
    assert told.text == "kim2 was deleted in the hub, and what people had set went too"
    assert told.removed == ("by-hand",)
    with writing(store.engine) as db:
        write(db, 1, [Membership("sam", "geo", "manual", until=5)])
    lapse(store)
    assert last(store).text == "sam is no longer in geo: the time is over"


@pytest.mark.parametrize(
    ("what", "detail", "text"),
    [
        (
            "link",
            {"until": 86_400, "asks": False},
            "a link by which people join geo, until 1970-01-01",
        ),
        (
            "link",
            {"until": 86_400, "asks": True},
            "by which people ask to join geo, until 1970-01-01",
        ),
        ("revoked", {"id": 1}, "ada took back a link to geo"),
        ("joined", {"link": 1, "by": "prof"}, "kim joined geo by a link of prof"),
        ("asked", {"link": 1, "by": "prof"}, "kim asked to join geo by a link of prof"),
        ("approved", {}, "ada let kim join geo"),
        ("declined", {}, "ada did not let kim join geo"),
        ("withdrawn", {}, "kim no longer asks to join geo"),
    ],
)
def test_what_comes_of_join_links(what, detail, text):
    assert tell(Event(1, 1, "ada", "page", what, "geo", "kim", detail)).text.endswith(text)


@pytest.mark.parametrize(
    ("what", "detail"), [("put-aside", {}), ("synced", {}), ("merged", {"put": 3}), ("rules", {})]
)
def test_what_another_version_wrote_is_told_by_its_name(what, detail):
    event = Event(1, 1, "ada", "page", what, "geo", "kim", detail)
    assert tell(event).text == f"ada: {what} kim geo"


def test_names_are_names_whatever_they_hold():
    event = Event(1, 1, "{who}%s", "page", "put", "{0}", "<b>", {"role": "member", "until": None})
    assert tell(event).text == "{who}%s put <b> into {0}"
    assert say_who("scim") == "directory (SCIM)"


def test_every_kind_that_is_written_is_known():
    """Where it is a text; what comes of links is a variable (tested above)."""
    written = set()
    for path in (ROOT / "hub_groups").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", "")
            if name in ("log_event", "note"):
                flat = []
                for one in node.args:
                    starred = isinstance(one, ast.Starred) and isinstance(one.value, ast.Tuple)
                    flat += one.value.elts if starred else [one]
                what = flat[4 if name == "log_event" else 3]
                if isinstance(what, ast.Constant):
                    written.add(what.value)
    assert written <= set(KINDS)
    assert len(written) >= 10
