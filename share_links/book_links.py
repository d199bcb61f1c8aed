"""All links of a book at once: for its build, and in bulk for wherever they are needed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_groups.documents import FileError, read_text

from .addresses import LaunchError
from .book import FILE, Link, links
from .book_files import Opened, page_of, read_page
from .buttons import html_row, markdown_link
from .sources import Wanted, choice, markdown_of, target, wanted

TABLE = "share_links.json"


@dataclass(frozen=True)
class BookLinks:
    """The links of a book.

    Attributes:
        pages: the buttons of each page, in the order of the book.
        launches: those of directives and roles, by page and by how they are written.
        problems: what could not be used, a sentence each.
    """

    pages: dict[str, tuple[Link, ...]]
    launches: dict[str, dict[str, tuple[Link, ...]]]
    problems: tuple[str, ...]


def book_links(opened: Opened) -> BookLinks:
    """The links of all pages. What can't be used on one page does not stop the others."""
    found = BookLinks({}, {}, ())
    problems = [
        f"{opened.folder}: the table of contents names {name}, which is not there."
        for name in opened.contents.missing
    ]
    for path in opened.contents.pages:
        file = opened.folder / path
        found.pages[path] = ()
        try:
            text = read_text(file)
            found.pages[path] = links(opened.book, page_of(opened.folder, opened.book, path, text))
            for key, one in wanted(markdown_of(path, text)):
                found.launches.setdefault(path, {})[key] = launches(opened, path, one)
        except FileError as error:
            problems.append(str(error))
        except LaunchError as error:
            problems.append(f"{file}: {error}")
        except ValueError:
            problems.append(f"{file}: this is no notebook.")
    return BookLinks(found.pages, found.launches, tuple(problems))


def launches(opened: Opened, path: str, one: Wanted) -> tuple[Link, ...]:
    """The links of a directive or role on a page.

    Raises:
        FileError, LaunchError: it says what can't be used.
    """
    named = target(path, one.file)
    if not (opened.folder / named).exists():
        raise LaunchError(f"there is no file {named}.")
    page = read_page(opened.folder, opened.book, named)
    label = one.options.get("label", "")
    found = links(opened.book, page, choice(one.options, opened.book), label=label)
    if one.file and not label:  # two that lead to different files are not to read the same
        return tuple(Link(link.hub, link.url, link.label, link.label) for link in found)
    return found


def write_table(opened: Opened, found: BookLinks) -> Path:
    """Write what the plugin for MyST looks up; returns the file.

    Raises:
        FileError: it can't be written.
    """
    document = {
        "made_from": hashlib.sha256((opened.folder / FILE).read_bytes()).hexdigest(),
        "pages": {page: _plain(some) for page, some in found.pages.items()},
        "launches": {
            page: {key: _plain(some) for key, some in by_key.items()}
            for page, by_key in found.launches.items()
        },
    }
    file = opened.folder / TABLE
    write_text(file, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return file


def write_text(file: Path, text: str) -> None:
    """Raises FileError: it can't be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}.") from None


def _plain(some: tuple[Link, ...]) -> list[dict[str, str]]:
    return [{"url": link.url, "text": link.text, "label": link.label} for link in some]


def each(found: BookLinks) -> Iterator[tuple[str, Link]]:
    """All buttons, with their page."""
    for page, some in found.pages.items():
        for link in some:
            yield page, link


def as_html(found: BookLinks) -> str:
    """A row of buttons for each page."""
    return "\n".join(html_row(some) for some in found.pages.values() if some)


def as_markdown(found: BookLinks) -> str:
    """A list of links."""
    return "\n".join(f"- {markdown_link(link.url, link.label)}" for _page, link in each(found))


def as_csv(found: BookLinks) -> str:
    """A table: page, hub, address."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["page", "hub", "url"])
    writer.writerows([page, link.hub, link.url] for page, link in each(found))
    return out.getvalue().rstrip("\n")


PRINTED: dict[str, Callable[[BookLinks], Any]] = {
    "html": as_html,
    "markdown": as_markdown,
    "csv": as_csv,
}
