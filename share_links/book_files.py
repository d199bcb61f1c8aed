"""A book's folder: `share_links.yml`, the table of contents, and what pages say of themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub_groups.documents import FileError, line_of, read_text, read_yaml

from . import repository
from .addresses import LaunchError
from .book import (
    FILE,
    NOTHING_SAID,
    Book,
    BookError,
    BookHub,
    Choice,
    Found,
    Page,
    parse_book,
    parse_choice,
    parse_hubs,
)
from .sources import frontmatter, has_kernel
from .tocs import (
    Contents,
    all_pages,
    jupyter_book_pages,
    myst_pages,
    without_parts,
)
from .tokens import PrivateKey, read_private

MYST, JUPYTER_BOOK = "myst.yml", "_config.yml"
KEY = "SHARE_LINKS_KEY"
"""The environment variable with the private key that links are signed with."""
_TOC = "_toc.yml"


@dataclass(frozen=True)
class Opened:
    """A book as it is in its folder.

    Attributes:
        contents: its pages.
        found: what git says of the folder.
    """

    folder: Path
    book: Book
    contents: Contents
    found: Found


def open_book(folder: Path) -> Opened:
    """Raises FileError: there is no book that can be used."""
    found = repository.found(folder)
    return Opened(folder, read_book(folder, found), read_contents(folder), found)


def read_book(folder: Path, found: Found) -> Book:
    """What `share_links.yml` says.

    Raises:
        FileError: it is not there, or can't be used.
    """
    file = folder / FILE
    if not file.exists():
        raise FileError(f"{file}: there is no such file; `share-links init {folder}` writes one.")
    document, root = read_yaml(read_text(file), str(file))
    try:
        book = parse_book({} if document is None else document, found)
    except BookError as error:
        raise FileError(f"{file}{line_of(root, error.place)}: {error}") from None
    return replace(book, key=_key())


def read_hubs(file: Path) -> tuple[BookHub, ...]:
    """The hubs that readers choose from.

    Raises:
        FileError: it can't be read, or used.
    """
    document, root = read_yaml(read_text(file), str(file))
    try:
        return parse_hubs(document)
    except BookError as error:
        raise FileError(f"{file}{line_of(root, error.place)}: {error}") from None


def _key() -> PrivateKey | None:
    """What links are signed with. From the environment: where a book is built, secrets are there,
    and never in a file of the book."""
    text = os.environ.get(KEY, "")
    try:
        return read_private(text) if text else None
    except LaunchError as error:
        raise FileError(f"{KEY}: {error}") from None


def read_contents(folder: Path) -> Contents:
    """The pages of a book: those of its table of contents, or all that there are.

    Raises:
        FileError: a table of contents can't be read.
    """
    files = frozenset(_files(folder))
    myst = _document(folder / MYST)
    if (listed := myst_pages(myst, files)) is not None:
        return listed
    if (folder / _TOC).exists():
        return jupyter_book_pages(_document(folder / _TOC), files)
    return without_parts(myst, all_pages(files))


def read_page(folder: Path, book: Book, path: str) -> Page:
    """A page, with what it says of itself.

    Raises:
        FileError: the page can't be read, or says what can't be used.
    """
    if not path.endswith(".md"):
        return Page(path, runs=path.endswith(".ipynb"))
    return page_of(folder, book, path, read_text(folder / path))


def page_of(folder: Path, book: Book, path: str, text: str) -> Page:
    """The same, of a page whose text is known."""
    head = frontmatter(text) if path.endswith(".md") else ""
    if "kernelspec" not in head and "share_links" not in head:  # YAML takes a while
        return Page(path, runs=path.endswith(".ipynb"))
    file = str(folder / path)
    said, root = read_yaml("\n" + head, file)  # below the line that begins it
    own: Choice = NOTHING_SAID
    if isinstance(said, dict) and "share_links" in said:
        try:
            own = parse_choice(book, said["share_links"])
        except BookError as error:
            raise FileError(f"{file}{line_of(root, error.place)}: {error}") from None
    return Page(path, has_kernel(said), own)


def _document(file: Path) -> Any:
    return read_yaml(read_text(file), str(file))[0] if file.exists() else None


def _files(folder: Path) -> Iterator[str]:
    """All files, with forward slashes, but those of builds and hidden folders."""
    for here, inner, names in os.walk(folder):
        inner[:] = [
            n for n in inner if not n.startswith(".") and n not in ("_build", "node_modules")
        ]
        below = Path(here).relative_to(folder).as_posix()
        yield from (name if below == "." else f"{below}/{name}" for name in names)
