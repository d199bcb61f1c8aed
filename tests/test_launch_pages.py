"""The pages on which links are made, on a real hub."""

from __future__ import annotations

import re
import time

import pytest
from gitserver import commit, open_git_server
from hubs import Hub, Visitor, wait_for
from test_open import follow, options, path, text_of

from share_links.launch import Environment, Launch
from share_links.store import LinkStore
from share_links.tokens import make_key, read_private, sign

HOME = "services/launch/"


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("git")
    commit(folder / "work", {"a.ipynb": "{}"})
    with open_git_server(folder / "served") as server:
        server.publish(folder / "work", "geo-book")
        yield server


@pytest.fixture(scope="module")
def ada(hub) -> Visitor:
    return hub.login("prof-ada")


@pytest.fixture(scope="module")
def store(hub):
    found = LinkStore(f"sqlite:///{hub.folder / 'share_links.sqlite'}")
    yield found
    found.close()


def make(visitor: Visitor, **typed: str):
    return visitor.send_form(HOME, **{"until": "2040-01-01", **typed})


def test_making_a_link_and_using_it(hub, ada, repository):
    page = make(
        ada,
        repository=repository.url("geo-book"),
        file="a.ipynb",
        choice="Small",
        label="Week <1>",
        group="geo-101",
        **{"for": "group"},
    )
    assert re.fullmatch(r"/services/launch/links/\w{10}", page.url.path)
    said = text_of(page)
    assert "The link is made." in said
    assert "For members of geo-101." in said
    address = re.search(r'id="made-url">([^<]+)<', page.text)[1]
    assert re.fullmatch(rf"{hub.base}services/launch/go/\w{{5}}-\w{{5}}", address)
    assert f"[Week &lt;1&gt;]({address})" in page.text
    assert "<svg" in page.text
    assert "alert-warning" not in page.text
    lee = hub.login("lee")
    follow(lee, lee.get(address))
    assert options(hub, "lee") == {"profile": "small"}
    said = text_of(ada.get(page.url))
    assert "clicked 1 their server ran 1" in said
    assert "1 click, 0 opened" in text_of(ada.get(HOME))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"repository": "geo-book"}, "'geo-book' is not a repository's address"),
        ({"ref": "main"}, "The branch 'main' needs a repository"),
        ({"file": "../x"}, "is not a path within the repository"),
        ({"choice": "Huge"}, "This hub does not offer 'Huge'."),
        ({"until": "2001-01-01"}, "2001-01-01 is over."),
        ({"until": "soon"}, "“soon” is no day."),
        ({"for": "people"}, "Say for whom the link is"),
        ({"for": "group"}, "Choose the group whose members"),
        ({"join": "1"}, "Readers can only join a group that the link names"),
        ({"join": "1", "group": "default"}, "nobody is put into a group of that name"),
        ({"join": "1", "group": "geo-102"}, "Only who manages geo-102 can let readers join it."),
    ],
)
def test_what_can_not_be_is_said_and_nothing_lost(ada, typed, words):
    page = make(ada, label="kept", **typed)
    assert page.status_code == 400
    assert words in text_of(page)
    assert 'value="kept"' in page.text


def test_it_is_checked_against_repository_hub_and_quota(hub, ada, repository):
    ada.get(HOME)
    xsrf = ada.xsrf("/services/launch")

    def check(**typed: str) -> list[str]:
        answer = ada.post(f"{HOME}check?_xsrf={xsrf}", data=typed)
        return answer.json()["warnings"]

    url = repository.url("geo-book")
    assert check(repository=url, ref="main", choice="Large") == []
    assert check(repository=repository.dumb_url("geo-book"), ref="main") == []
    assert check(repository=url, ref="gone") == [f"{url} has no branch or tag 'gone'."]
    hidden = repository.private_url("geo-book")
    assert check(repository=hidden) == [f"{hidden} can't be read from this hub without a login."]
    for nowhere in ("http://127.0.0.1:9/x", repository.url("none"), "http://169.254.169.254/a"):
        assert check(repository=nowhere) == [
            f"{nowhere} can't be read from this hub without a login."
        ]
    assert check(file="/etc") != []
    hub.limits("geo-101: {server.memory: 512M}")
    try:
        (warning,) = check(choice="Large", group="geo-101")
        assert warning.startswith("geo-101 allows each server at most 512 MiB of memory")
    finally:
        hub.limits("{}")


def test_a_link_is_its_makers(hub, ada, store):
    page = make(ada, label="mine")
    sam, admin = hub.login("sam"), hub.login("admin")
    assert sam.get(page.url).status_code == 404
    assert sam.send_form(HOME).status_code in (200, 303)
    xsrf = sam.xsrf("/services/launch")
    assert sam.post(f"{page.url.path.lstrip('/')}?_xsrf={xsrf}").status_code == 404
    id = page.url.path.rpartition("/")[2]
    assert not store.link(id).revoked
    page = admin.send_form(page.url.path.lstrip("/"))
    assert "The link is taken back" in text_of(page)
    assert store.link(id).revoked
    assert "taken back" in text_of(ada.get(HOME))


def test_keys_are_added_and_removed(ada):
    public = make_key()[1]
    page = ada.send_form(f"{HOME}keys", public=public, label="Geo book")
    assert "The key is added" in text_of(page)
    assert "Geo book" in text_of(page)
    assert "given before" in text_of(ada.send_form(f"{HOME}keys", public=public))
    page = ada.send_form(f"{HOME}keys", public="share-links-private:x")
    assert page.status_code == 400
    assert "no public key" in text_of(page)
    page = ada.get(f"{HOME}keys")
    id = re.search(r'name="remove" value="(\w+)"', page.text)[1]
    assert "The key is removed" in text_of(ada.send_form(f"{HOME}keys", remove=id))
    assert ada.send_form(f"{HOME}keys", remove=id).status_code == 404


def test_one_signed_link_is_taken_back_and_the_others_work_on(hub, ada, store):
    private, public = make_key()
    store.add_key(public, "prof-ada")
    tokens = (
        sign(Launch(None, Environment(name)), read_private(private)) for name in ("small", "large")
    )
    first, second = (f"services/launch/open?signed={token}" for token in tokens)
    sam = hub.login("sam")
    assert sam.get(first).status_code != 403
    other = hub.login("lee")
    page = other.send_form(f"{HOME}keys", link=f"{hub.base}{first}")
    assert (page.status_code, "No key of yours" in text_of(page)) == (400, True)
    page = ada.send_form(f"{HOME}keys", link=f"{hub.base}{first}")
    assert "The link is taken back" in text_of(page)
    page = sam.get(first)
    assert (page.status_code, "This link was taken back." in text_of(page)) == (403, True)
    assert sam.get(second).status_code != 403
    page = ada.send_form(f"{HOME}keys", link="https://x.org/")
    assert (page.status_code, "This link is damaged" in text_of(page)) == (400, True)


def test_who_has_said_yes_can_be_asked_again(hub):
    reader, offer = hub.login("agrees"), "Ask me again"
    assert offer not in text_of(reader.get(HOME)), "they have been asked nothing yet"
    where = path(hub, Launch(None, Environment("small")))
    page = reader.send_form(where, remember="1")
    wait_for("the server", lambda: hub.server("agrees"))
    assert "/progress/" in str(page.url)
    time.sleep(2)
    assert "/launch/open" not in str(reader.get(where).url), "not asked any more"
    assert offer in text_of(reader.get(HOME))
    page = reader.send_form(HOME, **{"ask-again": "1"})
    assert "You will be asked again" in text_of(page)
    assert offer not in text_of(page)
    assert "nobody whom this hub knows" in text_of(reader.get(where))
