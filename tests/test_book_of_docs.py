"""The documentation is a book that builds without the network, and nothing in it leads nowhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from hubs import ROOT

from share_links.forms import read

DOCS = ROOT / "docs"
LEFT_OUT = (".*", "build", "_build", "*.egg-info", "__pycache__", "node_modules")
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


def test_each_page_stands_in_the_contents_once():
    toc = yaml.safe_load((DOCS / "myst.yml").read_text())["project"]["toc"]
    named = [entry["file"] for part in toc for entry in part.get("children", [part])]
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))


def broken_links(site: Path) -> Iterator[str]:
    """What leads nowhere within a built site: addresses of pages and files, and anchors."""
    found = {
        page: BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for page in site.rglob("*.html")
    }
    anchors = {page: {tag["id"] for tag in soup.select("[id]")} for page, soup in found.items()}
    for page, soup in found.items():
        for tag in soup.select("[href], [src]"):
            address = str(tag.get("href") or tag.get("src"))
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            where = (site if parts.path.startswith("/") else page.parent) / unquote(
                parts.path.lstrip("/")
            )
            target = page if not parts.path else where.resolve()
            target = target / "index.html" if target.is_dir() else target
            if (
                not target.is_file()
                or parts.fragment
                and unquote(parts.fragment) not in anchors.get(target, ())
            ):
                yield f"{page.relative_to(site)}: {address}"


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="here">A</h1><a href="#gone">x</a>')
    (tmp_path / "index.html").write_text(
        '<a href="a/">1</a><a href="/a/#here">2</a><a href="a/#there">3</a><a href="b/">4</a>'
        '<img src="c.png"><a href="https://example.org/z">5</a>'
    )
    assert sorted(broken_links(tmp_path)) == [
        "a/index.html: #gone",
        "index.html: a/#there",
        "index.html: b/",
        "index.html: c.png",
    ]


@pytest.fixture(scope="module")
def built(book_2, tmp_path_factory) -> tuple[str, Path]:
    """What `make docs` says and makes, of a copy of the project."""
    copy = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for folder in ("node_modules", "public"):  # without them, MyST would install the template
        (copy / "docs/template" / folder).mkdir(exist_ok=True)
    commands = copy / "venv" / "bin"
    commands.mkdir(parents=True)
    here = Path(sys.executable).parent
    for command in (here / "python", here / "share-links", book_2):
        (commands / command.name).symlink_to(command)
    for name in (".docs", ".package"):
        (copy / "venv" / name).touch()
    done = subprocess.run(
        ["make", "docs", "VENV=venv"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **NO_NETWORK, "no_proxy": "localhost,127.0.0.1"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said, (copy / "docs" / "_build" / "html").resolve()


@pytest.mark.slow
def test_it_builds_without_a_warning(built):
    said, site = built
    assert [line for line in said.splitlines() if "⚠" in line or "⛔" in line] == []
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert pages <= {page.parent.name for page in site.rglob("index.html")}


@pytest.mark.slow
def test_nothing_in_it_leads_nowhere(built):
    _said, site = built
    assert list(broken_links(site)) == []
    for page in DOCS.glob("*.md"):
        built_page = site / page.stem / "index.html"
        for anchor in re.findall(r"\]\(#([^)]+)\)", page.read_text(encoding="utf-8")):
            text = built_page.read_text(encoding="utf-8")
            assert f'href="#{anchor}"' in text, f"MyST took another; write {page.name}#{anchor}"


@pytest.mark.slow
def test_launch_buttons_are_on_the_tutorial(built):
    _said, site = built
    where = {}
    for page in site.rglob("index.html"):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for button in soup.select("main .launch-button"):
            where[page.parent.name] = read(str(button["href"])).launch
    assert list(where) == ["tutorial"]
    launch = where["tutorial"]
    assert launch.content.repository == "file:///tmp/first-hub/book"
    assert launch.target.file == "first-map.ipynb"
