"""The text of pages: what they say of themselves, and the launch directives on them. Pure.

Sphinx and MyST parse their pages themselves. This is for what has to be known before that.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .addresses import LaunchError
from .book import Book, Choice
from .launch import Environment

OPTIONS = ("profile", "image", "group", "view", "hub", "label")
"""What a `launch` directive takes, each as a text."""

_FRONTMATTER = re.compile(r"---[ \t]*\r?\n(.*?\r?\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|$)", re.DOTALL)
_DIRECTIVE = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}|:{3,})\{launch\}[ \t]*(?P<file>[^\n]*)\n"
    r"(?P<body>.*?)^[ \t>]*(?P=fence)",
    re.DOTALL | re.MULTILINE,
)
_FENCE = re.compile(r"[ \t>]*(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_CODE = ("{code", "{literalinclude}", "{sourcecode}")
_ROLE = re.compile(r"\{launch\}(?P<ticks>`+)(?P<text>[^`]+)(?P=ticks)")
_OPTION = re.compile(r"^[ \t>]*:(?P<name>[\w-]+):[ \t]*(?P<value>[^\n]*?)[ \t]*$", re.MULTILINE)
_WITH_LABEL = re.compile(r"(?P<label>.*?)\s*<(?P<file>[^<>]+)>", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """A `launch` directive or role, as it is written.

    Attributes:
        file: relative to its page, or from the book's top with a `/`; empty for the page itself.
        options: some of OPTIONS.
    """

    file: str
    options: Mapping[str, str] = field(default_factory=dict)


def frontmatter(text: str) -> str:
    """The YAML that a page begins with; empty where it has none."""
    found = _FRONTMATTER.match(text.removeprefix("\ufeff"))
    return found[1] if found else ""


def has_kernel(said: object) -> bool:
    """Whether a page with this frontmatter is a notebook: for MyST, jupytext, Jupyter Book 1."""
    if not isinstance(said, Mapping):
        return False
    return any(
        isinstance(part, Mapping) and "kernelspec" in part for part in (said, said.get("jupyter"))
    )


def markdown_of(path: str, text: str) -> str:
    """The Markdown on a page; of a notebook that of its cells.

    Raises:
        ValueError: it is no notebook.
    """
    if not path.endswith(".ipynb"):
        return text
    notebook = json.loads(text)
    cells = notebook.get("cells", []) if isinstance(notebook, dict) else []
    parts = []
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, dict) and cell.get("cell_type") in ("markdown", "raw"):
            source = cell.get("source", "")
            parts.append(source if isinstance(source, str) else "".join(map(str, source)))
    return "\n\n".join(parts)


def wanted(markdown: str) -> Iterator[tuple[str, Wanted]]:
    """The launch directives and roles on a page, each by what the plugin for MyST finds it."""
    if "{launch" not in markdown:
        return
    markdown = _without_code(markdown)
    for found in _DIRECTIVE.finditer(markdown):
        said = {one["name"]: one["value"] for one in _OPTION.finditer(found["body"])}
        options = {name: value for name, value in said.items() if name in OPTIONS and value}
        file = found["file"].strip()
        yield _key(file, *(options.get(name, "") for name in OPTIONS)), Wanted(file, options)
    for found in _ROLE.finditer(markdown):
        text = found["text"].strip()
        yield _key(text), role(text)


def _without_code(markdown: str) -> str:
    """A page without what it only shows: blocks of code, but not directives."""
    kept: list[str] = []
    directives: list[str] = []
    code = ""
    for line in markdown.splitlines():
        found = _FENCE.match(line)
        fence, info = (found["fence"], found["info"].strip()) if found else ("", "")
        if code:
            if fence.startswith(code) and not info:
                code = ""
            continue
        if fence and directives and not info and fence.startswith(directives[-1]):
            directives.pop()
        elif fence and info.startswith("{") and not info.startswith(_CODE):
            directives.append(fence)
        elif fence:
            code = fence
            continue
        kept.append(line)
    return "\n".join(kept)


def _key(*written: str) -> str:
    """As JavaScript's JSON.stringify writes it."""
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def role(text: str) -> Wanted:
    """`FILE`, or `LABEL <FILE>`."""
    text = text.strip()
    if found := _WITH_LABEL.fullmatch(text):
        return Wanted(found["file"], {"label": found["label"]})
    return Wanted(text)


def target(page: str, file: str) -> str:
    """The path within the book that a directive on a page names.

    Raises:
        LaunchError: it leads out of the book.
    """
    if not file:
        return page
    folder = "" if file.startswith("/") else posixpath.dirname(page)
    path = posixpath.normpath(posixpath.join(folder, file.lstrip("/")))
    if path.startswith("../") or path in ("..", "."):
        raise LaunchError(f"'{file}' is not in the book.")
    return path


def choice(options: Mapping[str, str], book: Book) -> Choice:
    """What a directive says about its launch.

    Raises:
        LaunchError: it does not go together, or names a hub that the book does not have.
    """
    said: dict[str, Any] = {"launch": True}
    if options.get("profile") or options.get("image"):
        said["environment"] = Environment(
            profile=options.get("profile", ""), image=options.get("image", "")
        )
    if hub := options.get("hub"):
        known = [one.label for one in book.hubs]
        if hub not in known:
            raise LaunchError(f"there is no hub '{hub}'; there are {', '.join(known)}.")
        said["hubs"] = (hub,)
    return Choice(**said, group=options.get("group") or None, view=options.get("view") or None)
