"""YAML files (and so JSON) that people write, with the line of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .words import _

_DEEPEST = 50
_LARGEST = 10**6


class FileError(ValueError):
    """A file that can't be used; the message names it, the line, and what would be right."""


def read_text(file: Path) -> str:
    """The text of a file, without a byte order mark. Raises FileError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{file}: {why}.") from None


class _Alias(Exception):
    """A few of them can stand for billions of lines."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _Alias(self.peek_event().anchor)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


def read_yaml(text: str, file: str, aliases: bool = False) -> tuple[Any, yaml.Node | None]:
    """What a text says, and its nodes for `line_of`.

    Args:
        file: what it is called in messages.
        aliases: read `*name` too, where all that they stand for is not too large.

    Raises:
        FileError: it is not YAML, or has a key twice.
    """
    if _depth(text) > _DEEPEST:  # PyYAML takes minutes to say that it can't read them
        raise FileError(
            _("{file}: this can't be read: there are {n} brackets and more.").format(
                file=file, n=_DEEPEST
            )
        )
    try:
        loader = yaml.SafeLoader(text) if aliases else _Loader(text)
        try:
            root = loader.get_single_node()
            if aliases and _written_out(root, {}) > _LARGEST:
                raise ValueError
            _refuse_twins(file, root)
            # Parsed once: a book has a thousand pages.
            return (None if root is None else loader.construct_document(root)), root
        finally:
            loader.dispose()
    except _Alias as alias:
        raise FileError(
            _("{file}: '*{name}' is not read; write it out.").format(file=file, name=alias)
        ) from None
    except yaml.MarkedYAMLError as error:
        line = _said(error.problem_mark.line) if error.problem_mark else ""
        raise FileError(
            _("{place}: this is not YAML: {why}.").format(place=f"{file}{line}", why=error.problem)
        ) from None
    except FileError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError):  # a tag's own, as of a day 2026-02-30
        raise FileError(_("{file}: this is not YAML that can be read.").format(file=file)) from None


def line_of(node: Any, place: Iterable[str]) -> str:
    """`, line 7`: of the innermost key of `place` that is there. Entries of lists count from 1."""
    line = line_number(node, place)
    return "" if line is None else _said(line - 1)


def line_number(node: Any, place: Iterable[str]) -> int | None:
    """The line of the innermost key of `place` that is there, from 1; None for none of them."""
    line = None
    for key in place:
        if isinstance(node, yaml.SequenceNode) and key.isdigit():
            node = node.value[int(key) - 1]
            line = node.start_mark.line
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next((pair for pair in pairs if str(pair[0].value) == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return None if line is None else line + 1


def _written_out(node: Any, known: dict[int, int]) -> int:
    """How many nodes there are with each alias written out. Raises ValueError for no end."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError
        return known[id(node)]
    known[id(node)] = 0  # so far: whoever meets it again is inside it
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
    known[id(node)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(node)]


def _depth(text: str) -> int:
    """How many brackets and dashes are open at once, at most."""
    depth = deepest = 0
    for sign in re.findall(r"[\[{\]}]", text):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    dashes = max((len(found) // 2 for found in re.findall(r"(?:[-?:] )+", text)), default=0)
    return max(deepest, dashes)


def _said(line: int) -> str:
    return _(", line {n}").format(n=line + 1)


def _refuse_twins(file: str, node: Any) -> None:
    """YAML's readers take the last of two equal keys and say nothing."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(file, item)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.value) in seen:
                first = seen[str(key.value)]
                raise FileError(
                    _(
                        "{file}, line {line}: '{key}' stands here a second time; the first is in "
                        "line {first}."
                    ).format(file=file, line=line, key=key.value, first=first)
                )
            seen[str(key.value)] = line
            _refuse_twins(file, value)
