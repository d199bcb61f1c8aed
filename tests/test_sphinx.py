"""Books built by Sphinx: each page has the buttons that it is to have, in every theme."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from books import BUTTONS, KERNEL, SETTINGS, check_buttons, launch_links, opens, write_book

CONF = """\
extensions = ["myst_nb", "share_links.sphinx"]
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"
html_theme = "{theme}"
language = "{language}"
project = "Maps"
"""
TOC = """
```{toctree}
:glob:

*
*/*
```
"""
THEMES = ["alabaster", "furo", "pydata_sphinx_theme", "sphinx_book_theme"]
IN_BODY = {"alabaster": "div.body", "furo": "article", "pydata_sphinx_theme": "article"}


def build(folder: Path, *words: str) -> str:
    """What Sphinx warned of. In this process, since importing it all takes longer than a book."""
    from sphinx.cmd.build import build_main

    said = io.StringIO()
    with redirect_stderr(said):
        code = build_main(["-q", "--no-color", *words, str(folder), str(folder / "_build")])
    assert code == 0, said.getvalue()
    return said.getvalue()


def book(folder: Path, theme: str = "alabaster", language: str = "en", **more: str) -> Path:
    index = "# A book of maps\n" + TOC
    conf = CONF.format(theme=theme, language=language)
    return write_book(folder, {"index.md": index, "conf.py": conf, **more})


def page(folder: Path, name: str) -> str:
    return (folder / "_build" / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", THEMES)
def test_each_page_has_its_buttons(tmp_path, theme):
    book(tmp_path, theme)
    assert build(tmp_path, "-W", "--keep-going") == ""
    for name in set(BUTTONS) - {"links"}:
        shown = launch_links(page(tmp_path, name))
        check_buttons(name, shown)
        if theme in IN_BODY and shown:  # where the page is read, not in a menu
            assert launch_links(page(tmp_path, name), f"{IN_BODY[theme]} a") == shown
    for name in ("genindex", "search"):
        assert launch_links(page(tmp_path, name)) == []


def test_directives_and_the_role_say_what_they_open(tmp_path):
    book(tmp_path)
    build(tmp_path, "-W")
    first, train, see = launch_links(page(tmp_path, "links"))
    assert opens(first.url) == ("intro/first map.ipynb", "gpu")
    assert first.text == "Open on Our hub: docs/book/intro/first map.ipynb"
    assert (train.text, opens(train.url)) == ("Train it", ("gpu/train.ipynb", "gpu"))
    assert train.name == "Train it: Our hub, docs/book/gpu/train.ipynb"
    assert (see.text, opens(see.url)) == ("the map", ("intro/first map.ipynb", "small"))


def test_buttons_speak_the_language_of_the_book(tmp_path):
    book(tmp_path, language="de")
    build(tmp_path)
    check_buttons("text", launch_links(page(tmp_path, "text")), "Öffnen auf")
    (tmp_path / "share_links.yml").write_text(SETTINGS + "language: en\n")
    build(tmp_path)
    check_buttons("text", launch_links(page(tmp_path, "text")))


def test_what_share_links_yml_says_now_holds_for_pages_that_did_not_change(tmp_path):
    book(tmp_path)
    build(tmp_path)
    (tmp_path / "share_links.yml").write_text(SETTINGS.replace("profile: small", "profile: tiny"))
    build(tmp_path)
    (_hub, first), *_ = [(s.text, opens(s.url)) for s in launch_links(page(tmp_path, "text"))]
    assert first == ("text.md", "tiny")
    (see,) = [s for s in launch_links(page(tmp_path, "links")) if s.text == "the map"]
    assert opens(see.url) == ("intro/first map.ipynb", "tiny")


def test_an_index_has_nothing_to_launch_whatever_matches_it(tmp_path):
    book(tmp_path)
    (tmp_path / "share_links.yml").write_text(SETTINGS + "  - {match: '*', launch: true}\n")
    build(tmp_path)
    assert launch_links(page(tmp_path, "index")) != []
    assert launch_links(page(tmp_path, "genindex")) == []


def test_pages_are_read_and_written_by_several_processes(tmp_path):
    book(tmp_path, **{f"more/{n}.md": f"{KERNEL}\n# More\n" for n in range(12)})
    assert build(tmp_path, "-W", "-j", "2") == ""
    for n in range(12):
        ours, _binder = launch_links(page(tmp_path, f"more/{n}"))
        assert opens(ours.url) == (f"more/{n}.md", "small")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("share_links.yml", None, "share_links.yml: there is no such file; `share-links init "),
        ("share_links.yml", "hubs:\n- {label: a}\n", "share_links.yml, line 2: hubs 1 url: '' is"),
        ("own.md", "---\nshare_links: {grup: a}\n---\n# Own\n", "own.md, line 2: share_links grup"),
        ("links.md", "# L\n\n```{launch} no.ipynb\n```\n", "there is no file no.ipynb."),
        ("links.md", "# L\n\n```{launch} ../x.ipynb\n```\n", "'../x.ipynb' is not in the book."),
        ("links.md", "# L\n\n```{launch}\n:hub: X\n```\n", "there is no hub 'X'; there are Our"),
    ],
)
def test_what_can_not_be_used_is_said_and_the_book_is_built(tmp_path, name, text, said):
    book(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    warned = build(tmp_path)
    assert said in warned
    assert len([line for line in warned.splitlines() if "share_links" in line]) <= 2
    assert "A book of maps" in page(tmp_path, "index")
