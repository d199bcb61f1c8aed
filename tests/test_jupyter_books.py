"""Jupyter Book 1 and 2, each really installed and built: from nothing to a button."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from books import BUTTONS, SETTINGS, check_buttons, jupyter_book, launch_links, myst_book, opens
from bs4 import BeautifulSoup
from hubs import ROOT
from test_docs import blocks

from hub_quotas.policy import parse_policy
from hub_quotas.store import QuotaStore
from share_links.forms import read

pytestmark = pytest.mark.slow

PRICES = [{"since": "2026-01-01", "cpu": 0.04}]

LINKS = [
    ("Open on Our hub: docs/book/intro/first map.ipynb", ("intro/first map.ipynb", "gpu")),
    ("Train it", ("gpu/train.ipynb", "gpu")),
    ("the map", ("intro/first map.ipynb", "small")),
]


def build(command: Path, folder: Path, *words: str) -> str:
    done = subprocess.run(
        [command, "build", *words], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def shown(folder: Path, page: str, where: str = "a") -> list:
    file = folder / "_build" / "html" / page
    return launch_links(file.read_text(encoding="utf-8"), where)


def test_jupyter_book_1(book_1, tmp_path):
    said = build(book_1, jupyter_book(tmp_path), ".")
    assert "share_links" not in said, "no warnings"
    assert "title: Maps  # of all" in (tmp_path / "_config.yml").read_text()
    for page in set(BUTTONS) - {"links"}:
        check_buttons(page, shown(tmp_path, f"{page}.html"))
    found = shown(tmp_path, "links.html")
    assert [(link.text, opens(link.url)) for link in found] == LINKS
    for page in ("genindex.html", "search.html"):
        assert shown(tmp_path, page) == []


MYST_PAGES = {
    "intro/first map": "first-map",
    "intro/größe": "gr-e",
    "gpu/train": "train",
    "gpu/about": "about",
    "index": "",
}


def test_jupyter_book_2(book_2, tmp_path):
    said = build(book_2, myst_book(tmp_path), "--html")
    assert "share_links (share_links.mjs) loaded: 1 directive, 1 role, 1 transform" in said
    assert "share-links build" not in said, "nothing is missing"
    for page in set(BUTTONS) - {"links"}:
        file = f"{MYST_PAGES.get(page, page)}/index.html".lstrip("/")
        check_buttons(page, shown(tmp_path, file))
        html = (tmp_path / "_build/html" / file).read_text()
        assert "On every page" in html
        assert launch_links(html, "footer a") == [], "a part is no page"
    found = shown(tmp_path, "links/index.html")
    assert [(link.text, opens(link.url)) for link in found] == LINKS


def test_jupyter_book_2_says_what_is_stale_or_missing_and_goes_on(book_2, tmp_path):
    myst_book(tmp_path)
    (tmp_path / "share_links.yml").write_text(SETTINGS + "language: de\n")
    said = build(book_2, tmp_path, "--html")
    old = "share_links.yml has changed since share_links.json was made; run: share-links build"
    assert said.count(old) == 1
    check_buttons("text", shown(tmp_path, "text/index.html"))
    (tmp_path / "share_links.json").unlink()
    said = build(book_2, tmp_path, "--html")
    assert said.count("share_links.json is missing; run: share-links build") == 1
    assert shown(tmp_path, "text/index.html") == []
    assert "the map" in (tmp_path / "_build/html/links/index.html").read_text()


def test_jupyter_book_2_in_german(book_2, tmp_path):
    from share_links.cli import main

    myst_book(tmp_path)
    (tmp_path / "share_links.yml").write_text(SETTINGS + "language: de\n")
    assert main(["build", str(tmp_path)]) == 0
    build(book_2, tmp_path, "--html")
    check_buttons("text", shown(tmp_path, "text/index.html"), "Öffnen auf")


def test_the_book_of_a_community(book_2, tmp_path):
    """docs/community.md, from a copy of the example to a folder that a hub serves."""
    book = tmp_path / "examples" / "community"
    shutil.copytree(ROOT / "examples" / "community", book)
    shutil.copytree(ROOT / "docs" / "template", book / "theme")
    settings = (book / "myst.yml").read_text()
    assert settings.count("template: book-theme") == 1
    (book / "myst.yml").write_text(settings.replace("book-theme", "./theme"))
    db = f"sqlite:///{tmp_path}/quotas.sqlite"
    policy = {"plans": {"small": {"limits": {"member.servers": 2}}}, "prices": PRICES}
    QuotaStore(db).apply(parse_policy(policy), "tests", "tests")
    script = "".join(blocks("docs/community.md", "bash"))
    assert script.count("sqlite:////srv/jupyterhub/hub_quotas.sqlite") == 1
    script = script.replace("sqlite:////srv/jupyterhub/hub_quotas.sqlite", db)
    path = f"{book_2.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "⚠" not in said, said
    assert "⛔" not in said, said
    html = tmp_path / "hub-book" / "_build" / "html"

    def page(name: str) -> BeautifulSoup:
        return BeautifulSoup((html / name / "index.html").read_text(), "html.parser")

    hub = "https://jupyter.example.edu/"
    start = page(".").find("a", string="Start a server")
    assert start["href"] == f"{hub}hub/spawn"
    (button,) = (a for a in page("material").select("a") if "launch/open" in a["href"])
    assert button["href"].startswith(hub)
    assert read(button["href"]).launch.target.file == "notebooks/first-steps.ipynb"
    assert "2 servers" in page("plans").get_text()
    assert "0.04 USD" in page("plans").get_text()
    assert page("help").find("a", string="write for help")["href"] == f"{hub}services/quotas/help"
    for name in (".", "material", "help"):
        inside = [a["href"] for a in page(name).select("main a")]
        for address in (address for address in inside if not address.startswith("https://")):
            assert (html / name / address / "index.html").exists(), (name, address)


def test_the_benchmark_of_books_measures_myst_too(book_2):
    words = ["--pages", "20", "--rounds", "0", "--json", "--myst", str(book_2)]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "books.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["myst_share"] > 0
