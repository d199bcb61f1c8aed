"""Memberships by source, in a real database file."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres import fresh_database
from traitlets import TraitError

from hub_groups import pending, scim_tables
from hub_groups import store as store_module
from hub_groups.config import HubGroups
from hub_groups.database import default_url, open_engine, writing
from hub_groups.memberships import Membership
from hub_groups.migrate import GROUPS
from hub_groups.people import By, archive, put_members, remove_members, rename_user, restore
from hub_groups.record import Conflict, events, rules_text, save_rules
from hub_groups.store import GroupStore
from hub_quotas.cli import main as hub_quotas

BY = By("ada", "page")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/groups.sqlite"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
    store = GroupStore(url, clock=lambda: store.at)
    store.at = 1000
    yield store
    store.close()


def roll(*pairs: str, role: str = "member") -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for pair in pairs:
        user, _, group = pair.partition(":")
        found.setdefault(group, {})[user] = role
    return found


def sources(store, user: str) -> set[tuple[str, str]]:
    return {(s.membership.group, s.membership.source) for s in store.standings(user)}


def test_a_source_replaces_only_what_it_said_itself(store):
    store.replace_source("roster:r", roll("sam:a", "sam:b"))
    assert store.sync_user("sam", [], "idp:login", {"c": "member"}).groups == set("abc")
    store.replace_source("roster:r", roll("sam:b"))
    assert store.sync_user("sam", "abc").groups == set("bc")
    assert store.sync_user("sam", "bc", "idp:login", {}).groups == {"b"}


def test_a_login_that_is_called_something_else_replaces_what_it_said(store):
    store.replace_source("roster:r", roll("sam:a"))
    store.sync_user("sam", [], "idp:oauth 2.0", {"b": "member", "c": "member"})
    assert store.sync_user("sam", "abc", "idp:keycloak").groups == set("abc"), "it says nothing"
    assert store.sync_user("sam", "abc", "idp:keycloak", {"c": "member"}).groups == set("ac")
    assert sources(store, "sam") == {("a", "roster:r"), ("c", "idp:keycloak")}


def test_a_source_replaces_what_it_said_of_some_groups(store):
    store.replace_source("roster:r", roll("sam:a", "sam:b"))
    found = store.replace_source("roster:r", roll("kim:a", "kim:b"), groups=["a"])
    assert [one.user for one in (*found.added, *found.removed)] == ["kim", "sam"]
    assert store.roll("roster:r") == roll("kim:a", "sam:b")


def test_since_stays_while_a_membership_stays(store):
    store.replace_source("roster:r", roll("sam:a"))
    before = store.standings("sam")
    store.at += 10
    found = store.replace_source("roster:r", roll("sam:a", "kim:a"))
    assert store.standings("sam") == before
    assert (found.added, found.removed) == ((Membership("kim", "a", "roster:r"),), ())


def test_what_is_by_hand_is_known_by_its_source(store):
    store.sync_user("sam", ["by-hand"], "idp:login", {"a": "member"})
    assert sources(store, "sam") == {("a", "idp:login"), ("by-hand", "manual")}


def test_a_manager_by_hand_stays_one(store):
    put_members(store, "geo", ["ada"], BY, role="manager")
    assert store.sync_user("ada", [], is_new=True).groups == {"geo"}
    assert store.sync_user("ada", ["geo"]).groups == {"geo"}
    assert store.managers(["geo"]) == {"geo": ("ada",)}
    assert store.standings("ada")[0].added_by == "ada"


def test_what_has_ended_is_gone_at_the_next_merge_and_without_one(store):
    put_members(store, "geo", ["sam", "kim"], BY, until=1100)
    store.sync_user("sam", ["geo"])
    pending.settle(store, pending.take(store, 10))
    store.at = 1100
    assert store.managers(["geo"]) == {}
    assert store.sync_user("sam", ["geo"]).groups == frozenset()
    waits = {(p.user, p.wanted, p.had) for p in pending.take(store, 10)}
    assert waits == {("kim", False, True), ("sam", False, True)}
    assert {event.what for event in events(store, user="kim")} == {"ended", "put"}


def test_who_another_source_has_in_a_group_stays_in_it(store):
    store.replace_source("ldap", roll("sam:geo"))
    put_members(store, "geo", ["sam", "kim"], BY)
    assert remove_members(store, "geo", ["sam", "kim"], BY) == ("sam",)
    assert sources(store, "sam") == {("geo", "ldap")}
    assert sources(store, "kim") == set()


def test_a_change_while_another_is_on_its_way_is_not_lost(store):
    put_members(store, "geo", ["sam"], BY)
    taken = pending.take(store, 10)
    remove_members(store, "geo", ["sam"], BY)
    pending.settle(store, taken)  # the hub has it now
    assert [(p.user, p.wanted, p.had) for p in pending.take(store, 10)] == [("sam", False, True)]
    assert store.sync_user("sam", ["geo"]).groups == frozenset(), "not taken for set by hand"


def test_what_is_set_by_hand_while_a_login_is_written_is_not_lost(postgres_url, monkeypatch):
    """On PostgreSQL both can write at once; the login has not seen it."""
    store = GroupStore(fresh_database(postgres_url))
    store.sync_user("sam", [], "idp:x", {"geo": "member"})
    known, others = store_module._known, iter([True])

    def then_somebody(db, user):
        found = known(db, user)
        if next(others, False):
            put_members(store, "seminar", ["sam"], BY)
            put_members(store, "bio", ["sam"], BY)
        return found

    monkeypatch.setattr(store_module, "_known", then_somebody)
    store.write_user("sam", ["geo"], "idp:x", {"geo": "member", "bio": "member"})
    waits = {(pair.group, pair.wanted, pair.had) for pair in pending.take(store, 10)}
    assert waits == {("seminar", True, False), ("bio", True, False)}
    assert store.sync_user("sam", ["geo"]).groups == {"geo", "seminar", "bio"}
    assert ("seminar", "manual") in sources(store, "sam")
    store.close()


def test_pairs_of_users_whom_the_hub_does_not_know_sleep(store):
    put_members(store, "geo", ["later"], BY)
    pending.settle(store, [], unknown=pending.take(store, 10))
    assert pending.take(store, 10) == []
    put_members(store, "geo", ["later"], BY, role="manager")
    assert len(pending.take(store, 10)) == 1, "awake again"
    put_members(store, "geo", ["new"], BY)
    pending.settle(store, [], unknown=pending.take(store, 10))
    store.sync_user("new", [], is_new=True)  # and the hub is killed before it writes that
    assert [(pair.user, pair.wanted) for pair in pending.take(store, 10)] == [("new", True)]


def test_an_archived_group_has_nobody_until_it_is_restored(store):
    store.replace_source("ldap", roll("sam:geo"))
    put_members(store, "geo", ["kim"], BY)
    pending.settle(store, pending.take(store, 10))
    archive(store, "geo", BY)
    assert {(p.user, p.wanted) for p in pending.take(store, 10)} == {("sam", False), ("kim", False)}
    assert store.sync_user("kim", ["geo"]).groups == frozenset()
    pending.settle(store, pending.take(store, 10))
    restore(store, "geo", BY)
    assert store.sync_user("kim", []).groups == {"geo"}
    assert sources(store, "kim") == {("geo", "manual")}


def test_who_is_renamed_while_a_group_is_archived_has_it_when_it_is_restored(store):
    put_members(store, "geo", ["kim"], BY)
    pending.settle(store, pending.take(store, 10))
    archive(store, "geo", BY)
    pending.settle(store, pending.take(store, 10))
    rename_user(store, "kim", "kim2")
    restore(store, "geo", BY)
    assert store.sync_user("kim2", []).groups == {"geo"}
    assert sources(store, "kim2") == {("geo", "manual")}


def test_a_hub_that_was_killed_before_it_said_what_it_did_loses_nothing_by_hand(store):
    put_members(store, "geo", ["kim"], BY)
    pending.settle(store, pending.take(store, 10))
    remove_members(store, "geo", ["kim"], BY)
    pending.take(store, 10)  # the hub takes kim out, and is killed
    put_members(store, "geo", ["kim"], BY)
    assert store.sync_user("kim", []).groups == {"geo"}
    assert sources(store, "kim") == {("geo", "manual")}


def test_who_left_is_known_though_the_hub_got_them_by_a_login_and_was_killed(store):
    store.sync_user("kim", [], "idp:x", {"geo": "member"})  # the hub writes it, and says nothing
    store.replace_source("idp:x", {})
    taken = pending.take(store, 10)  # the hub takes kim out, and is killed
    assert [(pair.group, pair.wanted, pair.had) for pair in taken] == [("geo", False, True)]
    pending.settle(store, taken)
    assert pending.left_before(store, store.at) == [("kim", "geo")]


def test_managers_and_members(store):
    store.replace_source("roster:r", roll("ada:geo", "bo:geo", role="manager"))
    store.replace_source("roster:s", roll("sam:geo", "ada:geo"))
    assert store.managers(["geo", "other"]) == {"geo": ("ada", "bo")}
    assert store.managed_by("ada") == ("geo",)
    assert store.managed_by("sam") == ()
    members, count = store.members("geo", limit=2)
    assert ([(m.user, m.role, len(m.standings)) for m in members], count) == (
        [("ada", "manager", 2), ("bo", "manager", 1)],
        3,
    )
    assert [m.user for m in store.members("geo", search="A", offset=1)[0]] == ["sam"]
    assert store.sizes(["geo", "other"]) == {"geo": 3}


def test_names_that_the_hub_can_not_have_are_left_out(store):
    store.replace_source("ldap", roll("sam:a", "line\nbreak:a", f"{'x' * 256}:a"))
    assert store.roll("ldap") == roll("sam:a")
    assert store.sync_user("sam", [], "idp:x", {"": "member", "b\x00": "member"}).groups == {"a"}


def test_nothing_is_written_where_nothing_changes(store):
    store.replace_source("ldap", roll("sam:a"))
    store.sync_user("sam", ["a", "h"], "idp:x", {"b": "member"})
    store.sync_user("sam", ["a", "b", "h"], "idp:x", {"b": "member"})
    before = events(store)
    with writing(store.engine):  # who wants to write has to wait
        assert store.sync_user("sam", ["a", "b", "h"], "idp:x", {"b": "member"}).groups
    assert events(store) == before


def test_rules_are_not_overwritten_by_who_has_not_seen_them(store):
    save_rules(store, "one", 0, "ada")
    with pytest.raises(Conflict):
        save_rules(store, "two", 0, "bo")
    assert rules_text(store).text == "one"


def test_migrations_make_the_schema(store):
    with store.engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": GROUPS.table})
        assert compare_metadata(context, scim_tables.scim_user.metadata) == []
    GROUPS.downgrade(store.engine, "base")
    assert sa.inspect(store.engine).get_table_names() == [GROUPS.table]
    GROUPS.upgrade(store.engine)


def test_a_database_from_before_there_were_versions_is_taken_over(tmp_path):
    url = f"sqlite:///{tmp_path}/groups.sqlite"
    engine = open_engine(url)
    with writing(engine) as db:
        for text in (
            'CREATE TABLE membership ("user" TEXT, "group" TEXT, '
            "source TEXT, role TEXT, since TEXT)",
            'CREATE TABLE applied ("user" TEXT, "group" TEXT)',
            "INSERT INTO membership VALUES ('sam', 'a', 'manual', 'member', "
            "'2026-01-01T00:00:00+00:00')",
        ):
            db.execute(sa.text(text))
    store = GroupStore(url)
    assert store.standings("sam")[0].since == 1767225600
    assert store.sync_user("sam", ["a"]).groups == {"a"}
    store.close()


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


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_psycopg_3_whatever_it_is_called(postgres_url, scheme):
    """SQLAlchemy 2.0 takes `postgresql://` for psycopg2, which is not what our extra installs."""
    _scheme, _colon, rest = fresh_database(postgres_url).partition(":")
    store = GroupStore(f"{scheme}:{rest}")
    assert store.sync_user("sam", ["a"]).groups == {"a"}
    assert store.engine.dialect.driver == "psycopg"
    store.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:secret@db/x", "postgresql+psycopg2://u:secret@db/x"]
)
def test_no_other_database_is_taken_and_the_sentence_has_no_password(url):
    with pytest.raises(TraitError) as refused:
        HubGroups(db_url=url)
    assert str(refused.value).startswith("c.HubGroups.db_url: a database is named like sqlite:")
    assert "secret" not in str(refused.value)


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as Python says that it is not there
    assert hub_quotas(["usage", "--db", "postgresql://u:secret@db/x"]) == 1
    assert capsys.readouterr().err == (
        "--db: PostgreSQL needs psycopg: pip install 'jupyterhub-group-quotas[postgres]'.\n"
    )
