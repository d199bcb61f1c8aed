"""The extension for Sphinx, and so for Jupyter Book 1: `extensions = ["share_links.sphinx"]`.

It reads `share_links.yml` once, where the configuration is. Buttons are plain links.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst.directives import unchanged
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from hub_groups.documents import FileError

from . import repository
from .addresses import LaunchError
from .book import Book, Link, links
from .book_files import read_book, read_page
from .buttons import html_row
from .sources import OPTIONS, Wanted, choice, role, target

logger = logging.getLogger(__name__)

_AFTER_THEMES = 900  # sphinx-book-theme fills its header at 501
_books: dict[str, Book] = {}
"""By the folder of the sources. Processes that Sphinx forks have it too."""


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    # All pages are made anew when what it holds changes.
    app.add_config_value("share_links_said", "", "env")
    app.connect("config-inited", _read)
    app.connect("html-page-context", _add_buttons, priority=_AFTER_THEMES)
    app.add_directive("launch", LaunchDirective)
    app.add_role("launch", LaunchRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class LaunchDirective(SphinxDirective):
    """`launch FILE`: links to each hub, or to one, where it stands."""

    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = dict.fromkeys(OPTIONS, unchanged)

    def run(self) -> list[nodes.Node]:
        file = self.arguments[0] if self.arguments else ""
        found = _found(self.env, Wanted(file, self.options), self.get_location())
        row = nodes.paragraph(classes=["share-links"])
        for number, node in enumerate(found):
            row += [nodes.Text(" "), node] if number else [node]
        return [row] if found else []


class LaunchRole(SphinxRole):
    """`{launch}` with a file, or with a label and `<a file>`: a link to the first hub."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        wanted = role(self.text)
        found = _found(self.env, wanted, self.get_location())
        text = wanted.options.get("label", wanted.file)
        return (list(found[:1]) or [nodes.Text(text)]), []


def _read(app: Any, config: Any) -> None:
    folder = Path(app.srcdir)
    _books.pop(str(folder), None)
    try:
        book = read_book(folder, repository.found(folder))
    except FileError as error:
        logger.warning("share_links: %s", error)
    else:
        _books[str(folder)] = book
        config.share_links_said = repr(book)


def _add_buttons(
    app: Any, name: str, _template: str, context: dict[str, Any], doctree: object
) -> None:
    env = app.env
    book = _books.get(str(env.srcdir))
    if doctree is None or book is None:  # an index, a search page
        return
    path = Path(env.doc2path(name, base=False)).as_posix()
    try:
        page = read_page(Path(env.srcdir), book, path)
        found = links(book, page, language=_language(env))
    except (FileError, LaunchError) as error:
        logger.warning("share_links: %s", error, location=name)
        return
    if "header_buttons" in context:  # sphinx-book-theme
        context["header_buttons"] += [_header_button(link) for link in found]
    elif found:
        before, heading, after = context.get("body", "").partition("</h1>")
        row = html_row(found)
        context["body"] = before + heading + row + after if heading else row + before


def _header_button(link: Link) -> dict[str, str]:
    return {
        "type": "link",
        "url": link.url,
        "text": link.text,
        "tooltip": link.label,
        "icon": "fas fa-rocket",
        "label": "share-links",
    }


def _found(env: Any, wanted: Wanted, location: str) -> list[nodes.reference]:
    folder, book = Path(env.srcdir), _books.get(str(env.srcdir))
    if book is None:
        return []
    here = Path(env.doc2path(env.docname, base=False)).as_posix()
    try:
        path = target(here, wanted.file)
        if not (folder / path).exists():
            raise LaunchError(f"there is no file {path}.")
        found = links(
            book,
            read_page(folder, book, path),
            choice(wanted.options, book),
            label=wanted.options.get("label", ""),
            language=_language(env),
        )
    except (FileError, LaunchError) as error:
        logger.warning("share_links: %s", error, location=location)
        return []
    shown = []
    for link in found:
        # Two links that lead to different files are not to read the same.
        text = link.label if wanted.file and not wanted.options.get("label") else link.text
        shown.append(nodes.reference(text, text, refuri=link.url, reftitle=link.label))
    return shown


def _language(env: Any) -> str:
    return (env.config.language or "").partition("_")[0].partition("-")[0]
