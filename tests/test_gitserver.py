"""The git server of the tests serves as real ones do."""

from __future__ import annotations

import subprocess

import pytest
from gitserver import PASSWORD, USER, commit, git, open_git_server

BRANCH = "übung/größe-2"


@pytest.fixture
def served(tmp_path):
    commit(tmp_path / "work", {"intro/a b.ipynb": "{}", "big.bin": b"\x00" * 3_000_000})
    commit(tmp_path / "work", {"ä.md": "ä"}, BRANCH)
    with open_git_server(tmp_path / "served") as server:
        server.publish(tmp_path / "work", "geo-book")
        yield server


@pytest.mark.parametrize("kind", ["url", "dumb_url"])
@pytest.mark.parametrize("name", ["geo-book", "geo-book.git"])
def test_anybody_clones(served, tmp_path, kind, name):
    address = getattr(served, kind)(name)
    git(tmp_path, "clone", "--quiet", "--branch", BRANCH, address, "copy")
    assert (tmp_path / "copy" / "ä.md").read_text() == "ä"
    assert (tmp_path / "copy" / "intro" / "a b.ipynb").exists()


def test_trees_can_be_had_without_files(served, tmp_path):
    words = ("--depth", "1", "--filter", "blob:none", "--bare", served.url("geo-book"), "copy")
    git(tmp_path, "clone", "--quiet", *words)
    size = sum(f.stat().st_size for f in (tmp_path / "copy").rglob("*.pack"))
    assert 0 < size < 2_000


def test_a_password_is_needed(served, tmp_path):
    address = served.private_url("geo-book")
    words = ["git", "-c", "credential.helper=", "ls-remote", address]
    asked = subprocess.run(
        words, capture_output=True, text=True, env={"GIT_TERMINAL_PROMPT": "0", "PATH": "/usr/bin"}
    )
    assert asked.returncode != 0
    assert "could not read Username" in asked.stderr
    known = address.replace("://", f"://{USER}:{PASSWORD}@")
    assert f"refs/heads/{BRANCH}" in git(tmp_path, "ls-remote", known)


def test_what_is_pushed_is_there(served, tmp_path):
    work = tmp_path / "work"
    at = commit(work, {"more.bin": bytes(2_000_000)}, "more")
    git(work, "push", "--quiet", "origin", "more")
    assert at in git(work, "ls-remote", served.url("geo-book"), "refs/heads/more")
    assert "POST /smart/geo-book/git-receive-pack" in served.requests
    assert not git(work, "ls-remote", served.url("geo-book"), "refs/heads/nothing")
