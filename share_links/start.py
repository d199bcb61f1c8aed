"""`share-links init`: the first `share_links.yml`, and a line in the book's own configuration.

What somebody has written stays as it is, with its comments: a line is added where that can be done
without reading more into the file than YAML says; where not, they are told what to add.
"""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from hub_groups.documents import FileError, read_text, read_yaml

from . import repository
from .book import FILE
from .book_files import JUPYTER_BOOK, MYST
from .book_links import write_text

PLUGIN = "share_links.mjs"
EXTENSION = "share_links.sphinx"

_STARTER = """\
# Launch links of this book. What else can stand here: docs/books.md of jupyterhub-group-quotas.
hubs:
  - label: {label}
    url: {hub}{form}
content:
{repository}{ref}{subfolder}
# environment: {{profile: small}}

# pages:
#   - match: gpu/*
#     environment: {{profile: gpu}}
"""


def start(folder: Path, hub: str, label: str, form: str) -> list[str]:
    """Set a book up; returns what was done, a sentence each.

    Raises:
        FileError: there is no such folder, or a file in it can't be read or written.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: there is no such folder.")
    return [_settings(folder, hub, label, form), *_engine(folder)]


def _settings(folder: Path, hub: str, label: str, form: str) -> str:
    file = folder / FILE
    if file.exists():
        return f"{file} is there already, and stays as it is."
    found = repository.found(folder)
    address = found.repository or "https://github.com/earth/geo-book"
    text = _STARTER.format(
        label=json.dumps(label, ensure_ascii=False),
        hub=hub,
        form="" if form == "resolved" else f"\n    form: {form}",
        repository=f"  repository: {address}\n",
        ref=f"  ref: {json.dumps(found.ref, ensure_ascii=False)}\n" if found.ref else "",
        subfolder=f"  subfolder: {json.dumps(found.subfolder, ensure_ascii=False)}\n"
        if found.subfolder
        else "",
    )
    write_text(file, text)
    if not found.repository:
        return f"Wrote {file}. Git knows no remote here: put your repository's address in it."
    return f"Wrote {file}: readers get {address}, {found.ref or 'its default branch'}."


def _engine(folder: Path) -> list[str]:
    """The book's own configuration."""
    if (folder / MYST).exists():
        script = (files("share_links") / "static" / PLUGIN).read_text(encoding="utf-8")
        write_text(folder / PLUGIN, script)
        return [
            f"Wrote {folder / PLUGIN}.",
            _register(folder / MYST, "project", "plugins", PLUGIN),
            f"Now, and before each build of the book: share-links build {folder}",
        ]
    if (folder / JUPYTER_BOOK).exists():
        return [_register(folder / JUPYTER_BOOK, "sphinx", "extra_extensions", EXTENSION)]
    return [f'Add "{EXTENSION}" to the extensions in conf.py.']


def _register(file: Path, section: str, key: str, entry: str) -> str:
    by_hand = f"Add this to {file}:\n{section}:\n  {key}:\n    - {entry}"
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        read_text(file)  # which says why
        return by_hand
    changed = with_entry(text, section, key, entry)
    if changed is None:
        return by_hand
    if changed == text:
        return f"{file} names {entry} already."
    file.write_bytes(changed.encode())
    return f"Added {entry} to {file}."


def with_entry(text: str, section: str, key: str, entry: str) -> str | None:
    """A text of YAML with one more entry in the list `section.key`, and nothing else changed.

    Returns:
        None where that can't be done by adding lines.

    Raises:
        FileError: it is not YAML.
    """
    document, root = read_yaml(text, section)
    wanted = copy.deepcopy(document) if document is not None else {}
    if not isinstance(wanted, dict) or not isinstance(wanted.get(section) or {}, dict):
        return None
    inside = wanted[section] = wanted.get(section) or {}
    if not isinstance(inside.get(key, []), list):
        return None
    if entry in inside.get(key, []):
        return text
    inside[key] = [entry, *inside.get(key, [])]

    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    at, added = _place(root, len(lines), section, key, entry)
    if lines and at == len(lines) and not lines[-1].endswith(end):
        lines[-1] += end
    lines[at:at] = [line + end for line in added]
    changed = "".join(lines)
    try:
        right = read_yaml(changed, section)[0] == wanted
    except FileError:
        right = False
    return changed if right else None


def _place(root: Any, last: int, section: str, key: str, entry: str) -> tuple[int, list[str]]:
    """The number of the line to add before, and the lines."""
    found = _child(root, section)
    if found is None:
        return last, [f"{section}:", f"  {key}:", f"    - {entry}"]
    name, inside = found
    entries = _child(inside, key)
    if entries and isinstance(entries[1], yaml.SequenceNode):
        start = entries[1].start_mark
        return start.line, [f"{' ' * start.column}- {entry}"]
    indent = " " * (inside.start_mark.column if isinstance(inside, yaml.MappingNode) else 2)
    return name.start_mark.line + 1, [f"{indent}{key}:", f"{indent}  - {entry}"]


def _child(node: Any, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((pair for pair in pairs if pair[0].value == key), None)
