"""Settings of a hub, from a `jupyterhub_config.py` or the values of a Helm chart. Pure.

Python is read and never run: what is a literal counts, and of a list or mapping with code in it all
but that code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .report import CANNOT, Draft, SourceError

Place = tuple[str, ...]
_BLOCKS = ("singleuser", "quotaEnforcer")


@dataclass(frozen=True)
class Code:
    """What is no literal, and so is known only when it runs."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Setting:
    """One trait that is set: `c.CLASS.NAME = VALUE`.

    Attributes:
        place: where it stands, outermost key first.
        perhaps: it stands in an `if`, a loop or a function, so that it may not hold.
    """

    cls: str
    name: str
    value: Any
    place: Place
    perhaps: bool = False


@dataclass(frozen=True)
class Unread:
    """Something that changes a setting and that can't be read; `cls` is empty for unknown."""

    cls: str
    place: Place
    what: str
    why: str


@dataclass
class Source:
    """What a file says.

    Attributes:
        settings: in the order in which they take effect.
        blocks: parts of a chart's values by their name: the place and the mapping.
        nodes: the expressions of a Python file by their place, for their lines.
    """

    settings: list[Setting] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    blocks: dict[str, list[tuple[Place, Mapping[Any, Any]]]] = field(default_factory=dict)
    nodes: dict[Place, ast.AST] = field(default_factory=dict)

    def of(self, *classes: str) -> dict[str, Setting]:
        """What holds for the last of some classes, each of which inherits from those before it."""
        return {
            setting.name: setting
            for cls in classes
            for setting in self.settings
            if setting.cls == cls
        }

    def note_unread(self, draft: Draft, *classes: str) -> None:
        """Note what may change settings of these classes."""
        for one in self.unread:
            if not one.cls or one.cls in classes:
                draft.note(CANNOT, one.place, one.what, one.why)

    def line(self, place: Place) -> int:
        """The line of a place in a Python file; 0 where that is not known."""
        node = self.nodes.get(place[:1])
        line: int = getattr(node, "lineno", 0)
        for key in place[1:]:
            node = _inside(node, key)
            if node is None:
                break
            line = getattr(node, "lineno", line)
        return line


def _inside(node: ast.AST | None, key: str) -> ast.AST | None:
    if isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            if isinstance(name, ast.Constant) and str(name.value) == key:
                return value
    if isinstance(node, (ast.List, ast.Tuple)) and key.isdigit() and int(key) <= len(node.elts):
        return node.elts[int(key) - 1]
    return None


def read_values(document: Any) -> Source:
    """The settings in a chart's values, at whatever depth the chart is a part of another one, or in
    a mapping of classes as traitlets has it.

    Raises:
        SourceError: it is no mapping.
    """
    if not isinstance(document, Mapping):
        raise SourceError("expected 'key: value' lines, as in the values of a Helm chart.")
    source = Source()
    _classes(document, (), source)
    _walk(document, (), source)
    return source


def _walk(values: Mapping[Any, Any], place: Place, source: Source) -> None:
    # A chart runs `extraConfig` behind everything else, and its parts in the order of their names.
    for key, value in sorted(values.items(), key=lambda pair: pair[0] == "extraConfig"):
        here = (*place, str(key))
        if key == "extraConfig":
            texts = value.items() if isinstance(value, Mapping) else [("", value)]
            for name, text in sorted(texts, key=lambda pair: str(pair[0])):
                if isinstance(text, str):
                    _read_block(text, (*here, str(name)) if name else here, source)
        if not isinstance(value, Mapping):
            continue
        if key in _BLOCKS:
            source.blocks.setdefault(key, []).append((here, value))
        if key == "config":
            _classes(value, here, source)
        else:
            _walk(value, here, source)


def _classes(values: Mapping[Any, Any], place: Place, source: Source) -> None:
    for cls, traits in values.items():
        if isinstance(traits, Mapping) and str(cls)[:1].isupper():
            for name, value in traits.items():
                where = (*place, str(cls), str(name))
                source.settings.append(Setting(str(cls), str(name), value, where))


def _read_block(text: str, place: Place, source: Source) -> None:
    try:
        found = read_python(text)
    except SourceError as error:
        source.unread.append(Unread("", place, place[-1], f"it is not read: {error.why}"))
        return
    for one in found.settings:
        where = (*place, *one.place)
        source.settings.append(Setting(one.cls, one.name, one.value, where, one.perhaps))
    source.unread += [
        Unread(one.cls, (*place, *one.place), one.what, one.why) for one in found.unread
    ]


def read_python(text: str) -> Source:
    """The settings that a `jupyterhub_config.py` makes, without running it.

    Raises:
        SourceError: it is not Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError(f"this is not Python: {error.msg}.", line=error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError):
        raise SourceError("this is not Python that can be read.") from None
    source = Source()
    for node, perhaps in _statements(tree.body, False):
        _read_statement(node, perhaps, source)
    return source


def _statements(body: list[ast.stmt], perhaps: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for node in body:
        yield node, perhaps
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, []), True)
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body, True)


def _read_statement(node: ast.stmt, perhaps: bool, source: Source) -> None:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if trait := _trait(target):
                cls, name = trait
                place = (f"c.{cls}.{name}",)
                source.nodes[place] = node.value
                source.settings.append(Setting(cls, name, literal(node.value), place, perhaps))
        return
    changed: ast.AST | None = None
    why = "it is changed by code; only what is assigned as a whole is read."
    if isinstance(node, ast.AugAssign):
        changed = node.target
    elif isinstance(node, ast.AnnAssign) and node.value is None:
        changed, why = node.target, "a colon sets nothing in Python; it would have to be '='."
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        changed = called.value if isinstance(called, ast.Attribute) else None
    if changed is not None and (trait := _trait(changed)):
        cls, name = trait
        place = (f"c.{cls}.{name}",)
        source.nodes.setdefault(place, node)
        source.unread.append(Unread(cls, place, ast.unparse(node), why))


def _trait(node: ast.AST) -> tuple[str, str] | None:
    """Class and trait of `c.CLASS.NAME`."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "c"
    ):
        return node.value.attr, node.attr
    return None


def literal(node: ast.expr) -> Any:
    """What an expression stands for where that is plain to see, else a Code, also within it."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {(Code("**") if key is None else _key(key)): literal(value) for key, value in pairs}
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Code(ast.unparse(node))
    return sorted(value, key=str) if isinstance(value, (set, frozenset)) else value


def _key(node: ast.expr) -> Any:
    value = literal(node)
    return Code(ast.unparse(node)) if isinstance(value, (list, dict)) else value
