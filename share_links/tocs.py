"""The pages of a book, by its table of contents: `_toc.yml` of Jupyter Book 1, `myst.yml`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

PAGES = (".md", ".ipynb")
_SUFFIXES = ("", *PAGES, ".rst", ".txt", ".tex")
"""In the order in which a name finds its file."""

_NO_PAGES = ("_build", "node_modules", "_templates", "_static")


@dataclass(frozen=True)
class Contents:
    """What a table of contents says.

    Attributes:
        pages: paths within the book, in its order.
        missing: what it names and what is not there.
    """

    pages: tuple[str, ...]
    missing: tuple[str, ...] = ()


def all_pages(files: Iterable[str]) -> Contents:
    """Every file that is a page: a book without a table of contents."""
    return Contents(tuple(sorted(file for file in files if is_page(file))))


def is_page(file: str) -> bool:
    """Whether a file of a book's folder could be a page."""
    *folders, name = file.split("/")
    inner = any(part.startswith(".") or part in _NO_PAGES for part in folders)
    return name.endswith(PAGES) and not inner and not name.startswith(".")


def myst_pages(document: object, files: Collection[str]) -> Contents | None:
    """What `myst.yml` says; None where it has no table of contents.

    Pages of `parts`, such as a footer, are in none.

    Args:
        files: all that there are in the book's folder.
    """
    project = _mapping(_mapping(document).get("project"))
    if not isinstance(project.get("toc"), list):
        return None
    return _contents(project["toc"], files, ("children",))


def jupyter_book_pages(document: object, files: Collection[str]) -> Contents:
    """What `_toc.yml` says, in any of its formats."""
    return _contents([document], files, ("parts", "chapters", "sections", "subtrees", "entries"))


def without_parts(document: object, contents: Contents) -> Contents:
    """Without what `myst.yml` uses as a part of every page, or leaves out."""
    myst = _mapping(document)
    project, site = _mapping(myst.get("project")), _mapping(myst.get("site"))
    out = [*_texts(_mapping(project.get("parts"))), *_texts(_mapping(site.get("parts")))]
    out += _texts({"exclude": project.get("exclude")})
    kept = (page for page in contents.pages if not any(_is(page, one) for one in out))
    return Contents(tuple(kept), contents.missing)


def _is(page: str, pattern: str) -> bool:
    pattern = _normal(pattern)
    return page == pattern or fnmatchcase(page, pattern)


def _contents(entries: list[Any], files: Collection[str], inside: tuple[str, ...]) -> Contents:
    pages: dict[str, None] = {}
    missing: list[str] = []
    for name, is_pattern in _named(entries, inside):
        if is_pattern:
            pages |= dict.fromkeys(sorted(f for f in files if is_page(f) and _matches(f, name)))
        elif file := _file(name, files):
            pages[file] = None
        else:
            missing.append(name)
    return Contents(tuple(pages), tuple(missing))


def _named(entries: Iterable[Any], inside: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Files and patterns, in the order of the book."""
    for entry in entries:
        said = {"file": entry} if isinstance(entry, str) else _mapping(entry)
        for key in ("root", "file"):
            if isinstance(said.get(key), str):
                yield _normal(said[key]), False
        for key in ("glob", "pattern"):
            if isinstance(said.get(key), str):
                yield _normal(said[key]), True
        for key in inside:
            if isinstance(said.get(key), list):
                yield from _named(said[key], inside)


def _file(name: str, files: Collection[str]) -> str:
    return next((name + suffix for suffix in _SUFFIXES if name + suffix in files), "")


def _matches(file: str, pattern: str) -> bool:
    """As both kinds of books do it: `*` stays in its folder, `**` does not; `_toc.yml` may leave
    out the suffix."""
    if "**" in pattern:
        return fnmatchcase(file, pattern.replace("**/", "*").replace("**", "*"))
    same_depth = file.count("/") == pattern.count("/")
    bare = str(PurePosixPath(file).with_suffix(""))
    return same_depth and (fnmatchcase(file, pattern) or fnmatchcase(bare, pattern))


def _normal(path: str) -> str:
    return str(PurePosixPath(path))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(values: Mapping[str, Any]) -> list[str]:
    """All texts of a mapping, one by one or in lists."""
    found: list[str] = []
    for value in values.values():
        found += [one for one in (value if isinstance(value, list) else [value]) if _is_text(one)]
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)
