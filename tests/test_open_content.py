"""Content that a launch pulls: real servers, nbgitpuller and git."""

from __future__ import annotations

import json

import pytest
from gitserver import PASSWORD, commit, git, open_git_server
from hubs import Hub, Visitor
from test_open import follow, path, text_of

from share_links.launch import Content, Environment, Launch, Target

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
STRANGE = "Übung 1/a & b #1 + 100%.ipynb"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("git")
    with open_git_server(folder) as server:
        yield server


@pytest.fixture(scope="module")
def history(server, tmp_path_factory) -> dict[str, str]:
    """Commits of the book by what they are."""
    book = tmp_path_factory.mktemp("book") / "geo-book"
    first = commit(book, {"a.ipynb": NOTEBOOK, STRANGE: NOTEBOOK, "v": "1"})
    git(book, "tag", "v1")
    second = commit(book, {"v": "2"})
    commit(book, {"v": "3"}, branch="größe/neu")
    git(book, "checkout", "--quiet", "main")
    server.publish(book, "geo-book")
    return {"first": first, "second": second}


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    return start_hub("launches", lab=True)


@pytest.fixture(scope="module")
def sam(hub, history) -> Visitor:
    """Somebody whose server runs."""
    visitor = hub.login("sam")
    page = follow(visitor, visitor.send_form(path(hub, Launch(None, Environment("small")))))
    assert page.status_code == 303
    return visitor


def opened(hub: Hub, sam: Visitor, content: Content, file: str = "a.ipynb", **more: str):
    where = path(hub, Launch(content, target=Target(file=file, **more)))
    return follow(sam, sam.send_form(where))


def read(hub: Hub, file: str) -> str:
    return (hub.folder / "homes" / "sam" / file).read_text()


def test_a_branch_with_any_file(hub, sam, server):
    page = opened(hub, sam, Content(server.url("geo-book")), STRANGE)
    assert page.headers["Location"] == (
        "/user/sam/lab/tree/geo-book/%C3%9Cbung%201/a%20%26%20b%20%231%20%2B%20100%25.ipynb"
    )
    assert read(hub, "geo-book/v") == "2"
    # What the reader has changed stays when there is something new.
    (hub.folder / "homes/sam/geo-book/a.ipynb").write_text("{}")
    assert opened(hub, sam, Content(server.url("geo-book"), "main")).status_code == 303
    assert read(hub, "geo-book/a.ipynb") == "{}"


@pytest.mark.parametrize(
    ("ref", "version"), [("v1", "1"), ("größe/neu", "3"), ("first", "1"), ("second", "2")]
)
def test_a_tag_a_branch_of_any_name_and_a_commit(hub, sam, server, history, ref, version):
    ref = history.get(ref, ref)
    content = Content(server.url("geo-book"), ref, "" if len(ref) == 40 else f"at {version}")
    page = opened(hub, sam, content)
    assert page.status_code == 303, text_of(page)
    assert read(hub, f"{content.into}/v") == version
    # Again: what is there stays as it is.
    (hub.folder / "homes/sam" / content.into / "mine").write_text("x")
    page = opened(hub, sam, content)
    assert page.status_code == 303, text_of(page)
    assert read(hub, f"{content.into}/mine") == "x"


def test_plain_files_over_http(hub, sam, server):
    page = opened(hub, sam, Content(server.dumb_url("geo-book"), folder="dumb"))
    assert page.status_code == 303, text_of(page)
    assert read(hub, "dumb/v") == "2"


def test_a_notebook_in_the_classic_view(hub, sam, server):
    page = opened(hub, sam, Content(server.url("geo-book")), view="notebook")
    assert page.headers["Location"] == "/user/sam/notebooks/geo-book/a.ipynb"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda s: Content(s.url("geo-book"), "gone"), "has no branch or tag 'gone'."),
        (lambda s: Content(s.url("geo-book"), "a" * 40), "has no commit aaaaaaaaaaaa."),
        (lambda s: Content(s.url("none"), "main"), "it is not there, is private, or can't be"),
        (lambda s: Content(s.private_url("geo-book"), folder="p"), "is not there, is private"),
        (lambda s: Content(s.private_url("geo-book"), "a" * 40, "q"), "asks for a login"),
        (lambda s: Content(s.url("none"), "a" * 40), "There is no repository at"),
        (lambda s: Content("http://127.0.0.1:9/x", "b" * 40), "can't be reached from this hub"),
    ],
)
def test_what_can_not_be_pulled_is_explained(hub, sam, server, content, words):
    page = opened(hub, sam, content(server))
    assert page.status_code == 200
    said = text_of(page)
    assert words in said, said
    assert "Open the server all the same" in said
    assert PASSWORD not in page.text


def test_a_file_that_is_not_there(hub, sam, server):
    page = opened(hub, sam, Content(server.url("geo-book"), "main"), "gone.ipynb")
    assert "geo-book has no file gone.ipynb at main." in text_of(page)
    assert 'href="/user/sam/lab/tree/geo-book"' in page.text


def test_a_folder_that_is_something_else(hub, sam, server, history):
    content = Content(server.url("geo-book"), "main", "notes")
    (hub.folder / "homes/sam/notes").mkdir()
    (hub.folder / "homes/sam/notes/mine").write_text("x")
    said = text_of(opened(hub, sam, content))
    assert "Your home has a folder notes that is something else." in said
    pinned = Content(server.url("geo-book"), history["first"], "kept")
    (hub.folder / "homes/sam/kept").mkdir()
    assert "a folder kept that is something else" in text_of(opened(hub, sam, pinned))


def test_a_folder_that_somebody_else_changes(hub, sam, server):
    content = Content(server.url("geo-book"), "main", "merge")
    opened(hub, sam, content)
    (hub.folder / "homes/sam/merge/.git/index.lock").write_text("")
    said = text_of(opened(hub, sam, content))
    assert "Something else is changing the folder merge at the moment." in said


@pytest.mark.slow
def test_a_server_that_can_not_pull(start_hub, server, history):
    """An image without nbgitpuller: nobody lands on a page that is not there."""
    args = ["--ServerApp.jpserver_extensions=nbgitpuller=False", "--ServerApp.root_dir=work"]
    hub = start_hub("launches", lab=True, args=args)
    (hub.folder / "homes/lee/work").mkdir(parents=True)
    lee = hub.login("lee")
    launch = Launch(Content(server.url("geo-book")), Environment("small"))
    said = text_of(follow(lee, lee.send_form(path(hub, launch))))
    assert "can't pull content: it has no nbgitpuller" in said
    pinned = Launch(Content(server.url("geo-book"), history["first"]))
    page = follow(lee, lee.send_form(path(hub, pinned)))
    assert page.status_code == 303
    assert (hub.folder / "homes/lee/work" / pinned.folder / "v").read_text() == "1"
