"""Links, keys, agreements and counts in a real database."""

from __future__ import annotations

import pytest
from postgres import fresh_database

from share_links import store as stores
from share_links.addresses import LaunchError
from share_links.launch import Content, Environment, Launch, Target
from share_links.links import Terms
from share_links.schema import metadata
from share_links.store import LINKS, Author, LinkStore, TooManyLinks
from share_links.tokens import make_key

BOOK = Launch(
    Content("https://github.com/earth/geo-book", "main"),
    Environment("gpu", {"image": "x"}),
    target=Target(file="a.ipynb"),
)


class Clock:
    at = 1_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = f"sqlite:///{tmp_path / 'links.sqlite'}"
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_url"))
    found = LinkStore(url, Clock())
    yield found
    found.close()


def test_a_link_from_making_to_taking_back(store):
    terms = Terms(until=2_000, users=("sam", "lee"), group="geo-101")
    link = store.make(BOOK, "ada", terms, "Week 1")
    assert store.link(link.id) == link
    assert (link.launch, link.terms, link.by, link.label) == (BOOK, terms, "ada", "Week 1")
    assert [one.link for one in store.links_of("ada")] == [link]
    assert store.links_of("sam") == []
    assert not store.revoke(link.id, "sam")
    assert store.revoke(link.id, "admin", anybodys=True)
    assert not store.revoke(link.id, "ada")
    (found,) = store.links_of("ada")
    assert (found.link.revoked, found.revoked_by) == (True, "admin")
    assert store.link("none") is None


def test_nobody_has_more_than_there_may_be(store, monkeypatch):
    monkeypatch.setattr(stores, "MOST_LINKS", 2)
    first, _second = store.make(BOOK, "ada"), store.make(BOOK, "ada", Terms(until=1_001))
    with pytest.raises(TooManyLinks, match="You have 2 links already"):
        store.make(BOOK, "ada")
    store.make(BOOK, "sam")
    store.clock.at = 1_001  # the second is over
    store.make(BOOK, "ada")
    store.revoke(first.id, "ada")
    store.make(BOOK, "ada")


def test_keys(store, monkeypatch):
    _private, public = make_key()
    key = store.add_key(f"{public}\n", "ada", "Geo book")
    assert store.author(key.id, "x") == Author("ada", public, revoked=False)
    assert store.keys_of("ada") == [key]
    with pytest.raises(LaunchError, match="given before"):
        store.add_key(public, "sam")
    with pytest.raises(LaunchError, match="no public key"):
        store.add_key("x", "sam")
    assert not store.remove_key(key.id, "sam")
    assert store.remove_key(key.id, "ada")
    assert store.author(key.id, "x") is None
    assert store.keys_of("ada") == []
    with pytest.raises(LaunchError, match="given before"):
        store.add_key(public, "sam")
    monkeypatch.setattr(stores, "MOST_KEYS", 0)
    with pytest.raises(TooManyLinks):
        store.add_key(make_key()[1], "ada")


def test_signed_links_that_were_taken_back(store):
    key = store.add_key(make_key()[1], "ada").id
    store.revoke_token("x", "ada")
    store.revoke_token("x", "ada")
    assert store.author(key, "x").revoked
    assert not store.author(key, "y").revoked


def test_what_readers_agreed_to(store):
    assert not store.has_agreed("sam", "x")
    assert not store.agrees_to_any("sam")
    store.agree("sam", "x")
    store.agree("sam", "x")
    assert store.agrees_to_any("sam")
    assert not store.agrees_to_any("lee")
    assert store.has_agreed("sam", "x")
    assert not store.has_agreed("lee", "x")
    assert not store.has_agreed("sam", "y")
    assert store.forget_agreements("sam") == 1
    assert not store.agrees_to_any("sam")
    assert not store.has_agreed("sam", "x")


def test_counts(store):
    store.count({})
    store.count({("a", 1, "clicked"): 2, ("a", 1, "opened"): 1, ("b", 1, "clicked"): 1})
    store.count({("a", 1, "clicked"): 3, ("a", 2, "clicked"): 1})
    assert store.counts(["a", "c"]) == {"a": {"clicked": 6, "opened": 1}}
    assert store.counts(["a"], since=2) == {"a": {"clicked": 1}}


def test_migrations_make_the_schema(store):
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": LINKS.table})
        assert compare_metadata(context, metadata) == []
    LINKS.downgrade(store.engine, "base")
    assert set(sa.inspect(store.engine).get_table_names()) == {LINKS.table}
    LINKS.upgrade(store.engine)
