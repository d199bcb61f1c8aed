"""The words of pages in the language of who reads them.

Texts are English in the code. A catalogue of gettext has them in another language; what it does
not have stays English.
"""

from __future__ import annotations

import gettext as catalogues
from collections.abc import Callable, Iterable
from contextvars import ContextVar, copy_context
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""Those that there are, by code."""

DOMAIN = "group_quotas"
"""One catalogue for all three packages."""

_FOLDER = Path(__file__).parent / "locale"
T = TypeVar("T")
_language: ContextVar[str] = ContextVar("language", default="en")


def speak(language: str) -> None:
    """From now on, in this task and what it starts."""
    _language.set(language)


def language() -> str:
    """The code of the language that is spoken."""
    return _language.get()


def speaking(language: str, call: Callable[..., T], *values: object) -> T:
    """`call(*values)` in a language, which nothing after it speaks."""

    def run() -> T:
        speak(language)
        return call(*values)

    return copy_context().run(run)


def in_english(call: Callable[..., T], *values: object) -> T:
    """`call(*values)`, for somebody of whom nobody knows what they read."""
    return speaking("en", call, *values)


def choose(accepted: str) -> str:
    """The first known language that a browser's `Accept-Language` asks for, or English."""
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(","):
        name, _, rest = part.strip().partition(";")
        try:
            weight = float(rest.strip().removeprefix("q=")) if rest else 1.0
        except ValueError:
            continue
        wanted.append((-weight, name.partition("-")[0].lower()))
    known = (name for weight, name in sorted(wanted, key=lambda w: w[0]) if name in LANGUAGES)
    return next(known, "en")


def gettext(text: str) -> str:
    """A text in the language that is spoken."""
    return _catalogue(_language.get()).gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """The same, of one or of several."""
    return _catalogue(_language.get()).ngettext(one, many, count)


def pgettext(context: str, text: str) -> str:
    """The same, of a text that means different things in different places."""
    return _catalogue(_language.get()).pgettext(context, text)


def join(items: Iterable[str], word: str) -> str:
    """`a, b or c`, with the word between the last two."""
    *first, last = items
    return f"{', '.join(first)} {word} {last}" if first else last


_ = gettext


@lru_cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    return catalogues.translation(DOMAIN, _FOLDER, [language], fallback=True)
