"""What the store says comes to the hub's own tables in slices, and each slice is for good."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from jupyterhub import orm
from threads import in_a_thread

from hub_groups import hub_writer, pending
from hub_groups.hub_writer import write_some
from hub_groups.store import GroupStore

USERS = [f"user{n}" for n in range(9)]
GROUPS = ("a", "b", "c")


@pytest.fixture
def store(tmp_path):
    store = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_writer, "_SLICE", 5)
    monkeypatch.setattr(hub_writer, "_BATCH", 12)
    monkeypatch.setattr(hub_writer, "merging", hub_writer.Merging())
    db = orm.new_session_factory(f"sqlite:///{tmp_path / 'hub.sqlite'}")()
    db.add_all(orm.User(name=name) for name in USERS)
    db.commit()
    yield SimpleNamespace(db=db)
    db.close()


def roll(*left_out: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {g: {u: "member" for u in USERS if (u, g) not in left_out} for g in GROUPS}


def seats(app) -> set[tuple[str, str]]:
    query = sa.select(orm.User.name, orm.Group.name).join(orm.User.groups)
    return {(user, group) for user, group in app.db.execute(query)}


def pairs(said: dict[str, dict[str, str]]) -> set[tuple[str, str]]:
    return {(user, group) for group, users in said.items() for user in users}


async def write_all(app, store: GroupStore) -> None:
    while await write_some(app, store):
        pass


@in_a_thread
async def test_all_of_it_arrives_and_only_what_goes_goes(app, store):
    store.replace_source("ldap", roll())
    await write_all(app, store)
    assert seats(app) == pairs(roll())
    # Of each two of these users and two of these groups, one seat stays.
    fewer = roll(("user1", "a"), ("user2", "b"), ("user3", "a"), ("user3", "c"))
    store.replace_source("ldap", fewer)
    await write_all(app, store)
    assert seats(app) == pairs(fewer)
    assert set(pending.left_before(store, store.clock())) == pairs(roll()) - pairs(fewer)
    assert pending.take(store, 100) == []


@in_a_thread
async def test_what_the_hub_has_in_memory_is_read_anew(app, store):
    users = app.db.query(orm.User).all()
    assert not any(user.groups for user in users)
    store.replace_source("ldap", roll())
    await write_all(app, store)
    assert all({group.name for group in user.groups} == set(GROUPS) for user in users)


@in_a_thread
async def test_what_was_written_is_settled_also_where_the_next_slice_fails(app, store, monkeypatch):
    store.replace_source("ldap", roll())
    write, calls = hub_writer.write, []

    def fails_the_second_time(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("no database")
        return write(*args)

    monkeypatch.setattr(hub_writer, "write", fails_the_second_time)
    with pytest.raises(OSError, match="no database"):
        await write_some(app, store)
    waits = {(pair.user, pair.group) for pair in pending.take(store, 100)}
    assert waits == pairs(roll()) - seats(app)
    assert len(waits) == len(pairs(roll())) - 5
    await write_all(app, store)
    assert seats(app) == pairs(roll())


@in_a_thread
async def test_who_has_left_is_known_though_the_hub_was_killed_before_it_said_so(
    app, store, monkeypatch
):
    store.replace_source("ldap", roll())
    await write_all(app, store)
    store.replace_source("ldap", roll(("user1", "a")))

    def killed(*_args):
        raise SystemExit

    with monkeypatch.context() as then:
        then.setattr(pending, "settle", killed)
        with pytest.raises(SystemExit):
            await write_some(app, store)
    assert ("user1", "a") not in seats(app)
    assert pending.left_before(store, store.clock()) == []
    await write_all(app, store)
    assert pending.left_before(store, store.clock()) == [("user1", "a")]


@in_a_thread
async def test_who_logs_in_between_two_slices_is_left_alone(app, store, monkeypatch):
    store.replace_source("ldap", roll())
    write = hub_writer.write

    def then_a_login(*args):
        hub_writer.merging.begin("user3")
        return write(*args)

    monkeypatch.setattr(hub_writer, "write", then_a_login)
    await write_all(app, store)
    theirs = {("user3", group) for group in GROUPS}
    assert seats(app) == pairs(roll()) - theirs
    assert {(pair.user, pair.group) for pair in pending.take(store, 100)} == theirs


@in_a_thread
async def test_what_changes_while_it_is_written_goes_on_waiting(app, store, monkeypatch):
    store.replace_source("ldap", roll())
    write, calls = hub_writer.write, []

    def then_a_change(*args):
        if not calls:
            store.replace_source("ldap", roll(("user0", "a")))
        calls.append(args)
        return write(*args)

    monkeypatch.setattr(hub_writer, "write", then_a_change)
    await write_some(app, store)
    assert ("user0", "a") in seats(app), "it was to be there when it was taken"
    (again,) = [p for p in pending.take(store, 100) if (p.user, p.group) == ("user0", "a")]
    assert again.had and not again.wanted
    await write_all(app, store)
    assert seats(app) == pairs(roll(("user0", "a")))


@in_a_thread
async def test_users_whom_the_hub_does_not_know_hold_nobody_up(app, store):
    store.replace_source(
        "ldap", {"a": dict.fromkeys([*USERS, *(f"new{n}" for n in range(20))], "member")}
    )
    await write_all(app, store)
    assert seats(app) == {(user, "a") for user in USERS}
    assert pending.take(store, 100) == []
