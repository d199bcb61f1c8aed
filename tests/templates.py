"""What of a template people read that no catalogue knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment

SAME_EVERYWHERE = {
    *("JupyterHub", "HTML", "Markdown", "GiB", "CPU", "yaml"),  # names
    *("JupyterLab", "Notebook", "RStudio", "VS Code"),
    "share-links-public:…",
    *("nvidia.com/a100", "course-small", "2026-10"),  # examples of what is typed
    *("ABCD-EFGH-JKMN", "earth-sciences/geo-101", "login, email, number, email local part"),
    *("2 · 16G · 40 hours a week", "group,plan,managers,member.servers"),
}
READ = {"title", "placeholder", "aria-label", "alt", "data-ask", "label"}
"""Attributes that people read or hear."""
UNREAD = {"code", "pre", "script", "style"}

_TRANSLATORS = {"_", "gettext", "ngettext", "pgettext"}
_HOLE = " "
_WORDS = re.compile(r"[A-Za-z]{2}")
# Text in an expression: a capital letter or two words, and not classes, attributes or a format.
_SENTENCE = re.compile(r"(?=[A-Z][a-z]|\s*[a-z]+ [a-z]+)[^=<>%]*")
_ATTRIBUTE = re.compile(r"[\w-]+=\"[^\"]*\"")  # of a tag that is elsewhere, in a macro
_CLASSES = re.compile(r"( ?[a-z]+(-[a-z0-9]+)+)+")


def untranslated(source: str) -> list[str]:
    """The texts of a template that are outside of `_()` and `trans`."""
    plain, strings = _split(source)
    parser = _Reader()
    parser.feed(plain)
    parser.close()
    found = [" ".join(_ATTRIBUTE.sub("", text).split()) for text in parser.read]
    texts = (text.strip(" ·,;:().–") for text in [*found, *strings])
    return [text for text in texts if _WORDS.search(text) and text not in SAME_EVERYWHERE]


def _split(source: str) -> tuple[str, list[str]]:
    """The HTML, with a hole for each expression; and the text in expressions that is not marked."""
    tokens = list(Environment(extensions=["jinja2.ext.i18n"]).lex(source))
    html, strings, in_trans = [], [], False
    for block in _blocks(tokens):
        kind, first = block[0][1], [value for _, type_, value in block if type_ == "name"][:1]
        if kind == "data":
            html.append("" if in_trans else block[0][2])
        elif kind == "block_begin" and first in (["trans"], ["endtrans"]):
            in_trans = first == ["trans"]
            html.append("" if in_trans else _HOLE)
        elif kind in ("variable_begin", "block_begin"):
            html.append(_HOLE if kind == "variable_begin" else "")
            strings += _unmarked(block)
    return "".join(html), strings


def _blocks(tokens: list[tuple[int, str, str]]) -> Iterator[list[tuple[int, str, str]]]:
    block: list[tuple[int, str, str]] = []
    for token in tokens:
        block.append(token)
        if token[1] in ("data", "variable_end", "block_end", "comment_end"):
            yield block
            block = []


def _unmarked(block: list[tuple[int, str, str]]) -> Iterator[str]:
    """Strings of an expression that read like text and are no argument of a translator."""
    words = [token for token in block if token[1] != "whitespace"]
    marked_until = depth = 0
    for before, (_, kind, value) in zip([words[0], *words], words, strict=False):
        if kind == "operator" and value in "([{":
            depth += 1
            if value == "(" and before[1] == "name" and before[2] in _TRANSLATORS:
                marked_until = marked_until or depth
        elif kind == "operator" and value in ")]}":
            marked_until = 0 if depth == marked_until else marked_until
            depth -= 1
        elif kind == "string" and not marked_until:
            text = value[1:-1]
            if _SENTENCE.fullmatch(text) and not _CLASSES.fullmatch(text):
                yield text


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in UNREAD
        self.read += [value for name, value in attrs if name in READ and value]

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in UNREAD

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.read.append(data)
