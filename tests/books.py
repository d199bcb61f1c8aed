"""Books to test with, in each kind's own layout, and what a reader finds on their pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup

from share_links.cli import main
from share_links.forms import read

REPOSITORY = "https://git.example.org/earth/geo-book"

SETTINGS = f"""\
# Where readers go.
hubs:
  - label: Our hub
    url: https://hub.example.org/jupyter
  - label: Binder
    form: binder
content:
  repository: {REPOSITORY}
  ref: main
  subfolder: docs/book
environment: {{profile: small}}
group: earth/geo-101
pages:
  - match: gpu/*
    environment: {{profile: gpu, options: {{image: pangeo}}}}
    hubs: [Our hub]
  - match: named.md
    file: intro/first map.ipynb
  - match: "*off.ipynb"
    launch: false
"""


def notebook(*cells: str) -> str:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "id": f"c{n}", "source": cell}
                for n, cell in enumerate(cells)
            ],
            "metadata": kernel,
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


KERNEL = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"

PAGES = {
    "index.md": "# A book of maps\n\nRead on.\n",
    "intro/first map.ipynb": notebook("# The first map"),
    "intro/größe.ipynb": notebook("# Größe"),
    "gpu/train.ipynb": notebook("# Training"),
    "gpu/about.md": "# About\n\nOnly text.\n",
    "text.md": f"{KERNEL}\n# Text that runs\n",
    "own.md": "---\nshare_links:\n  environment: {profile: large}\n---\n\n# Own\n",
    "named.md": "# Named\n",
    "off.ipynb": notebook("# Not to run"),
    "links.md": (
        "# Links\n\n"
        "```{launch} intro/first map.ipynb\n:profile: gpu\n:hub: Our hub\n```\n\n"
        "```{launch} /gpu/train.ipynb\n:label: Train it\n```\n\n"
        "See {launch}`the map <intro/first map.ipynb>`.\n"
    ),
}

MAP, BIG, TRAIN = "intro/first map.ipynb", "intro/größe.ipynb", "gpu/train.ipynb"
BOTH = ("Our hub", "Binder")

BUTTONS: dict[str, dict[str, tuple[str, str]]] = {
    "index": {},
    "intro/first map": dict.fromkeys(BOTH, (MAP, "small")),
    "intro/größe": dict.fromkeys(BOTH, (BIG, "small")),
    "gpu/train": {"Our hub": (TRAIN, "gpu")},
    "gpu/about": {},
    "text": dict.fromkeys(BOTH, ("text.md", "small")),
    "own": dict.fromkeys(BOTH, ("own.md", "large")),
    "named": dict.fromkeys(BOTH, (MAP, "small")),
    "off": {},
    "links": {},
}
"""For each page, by hub: which file opens, in which profile."""


def write_book(folder: Path, more: dict[str, str] | None = None) -> Path:
    for name, text in {"share_links.yml": SETTINGS, **PAGES, **(more or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


class Shown(NamedTuple):
    """A link on a page, as a reader and a screen reader find it."""

    text: str
    name: str
    url: str


def launch_links(html: str, where: str = "a") -> list[Shown]:
    """All links that launch something, in their order."""
    found = []
    for link in BeautifulSoup(html, "html.parser").select(where):
        url = str(link.get("href", ""))
        if "hub.example.org" in url or "mybinder.org" in url:
            assert not link.get("onclick")
            text = " ".join(link.get_text().split())
            name = link.get("aria-label") or link.get("title") or text
            found.append(Shown(text, str(name), url))
    return found


def opens(url: str) -> tuple[str, str]:
    """The file and the profile of a link."""
    launch = read(url).launch
    # Binder's servers start in the repository, and know no profiles.
    file = launch.target.file.removeprefix("docs/book/")
    return file, launch.environment.profile


def check_buttons(page: str, shown: list[Shown], open_on: str = "Open on") -> None:
    """Exactly the right links, by names that say where they lead."""
    wanted = BUTTONS[page]
    assert [link.text for link in shown] == [f"{open_on} {hub}" for hub in wanted], page
    for link, (hub, (file, profile)) in zip(shown, wanted.items(), strict=True):
        assert opens(link.url) == (file, "" if hub == "Binder" else profile), (page, hub)
        assert link.name == f"{open_on} {hub}: docs/book/{file}"


TOC_MYST = """\
# What MyST reads.
version: 1
project:
  title: Maps
  toc:
    - file: index.md
    - title: First
      children:
        - pattern: intro/*
    - file: gpu/train.ipynb
    - file: gpu/about.md
    - file: text.md
    - file: own.md
    - file: named.md
    - file: off.ipynb
    - file: links.md
site:
  template: ./theme
  parts:
    navbar_end: navbar_end.md  # on every page
"""

TOC_BOOK = """\
format: jb-book
root: index
parts:
  - caption: First
    chapters:
      - glob: intro/*
  - chapters:
      - file: gpu/train
        sections:
          - file: gpu/about
      - file: text
      - file: own
      - file: named
      - file: "off"
      - file: links
"""

CONFIG_BOOK = """\
title: Maps  # of all
execute:
  execute_notebooks: "off"
"""


def myst_book(folder: Path) -> Path:
    theme = Path(__file__).parent.parent / "docs" / "template"
    shutil.copytree(theme, folder / "theme")
    write_book(folder, {"myst.yml": TOC_MYST, "navbar_end.md": f"{KERNEL}\nOn every page\n"})
    assert main(["init", str(folder)]) == 0
    assert main(["build", str(folder)]) == 0
    return folder


def jupyter_book(folder: Path) -> Path:
    more = {"_toc.yml": TOC_BOOK, "_config.yml": CONFIG_BOOK}
    assert main(["init", str(write_book(folder, more))]) == 0
    return folder
