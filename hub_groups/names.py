"""Names of users as people paste them, and days as they type them. Pure.

From an e-mail, a spreadsheet or another page: with commas, semicolons, blanks or lines between
them, as user names or e-mail addresses, also as `Surname, Given <mail>`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from .memberships import LONGEST_NAME
from .words import _

MOST_NAMES = 1_000
"""In one go."""

_LONGEST_TEXT = 100_000

_LINES = re.compile(r"[\r\n;\t]+")
_BETWEEN = re.compile(r"[\s,]+")
_QUOTED = re.compile(r"[\"“”„][^\"“”„<>]*[\"“”„](?=\s*<)")
_ADDRESS = re.compile(r"([^<>]*)<\s*(?:mailto:)?([^<>\s]*)\s*>", re.IGNORECASE)
_AROUND = "\"'“”„‘’()[]{}"


class PeopleError(ValueError):
    """Something that can't be done as it was asked; the message says why and what would be
    right."""


@dataclass(frozen=True)
class Pasted:
    """Somebody as they were pasted.

    Attributes:
        text: what stood there.
        candidates: the user names that may be meant, the most likely first.
    """

    text: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Resolved:
    """Whom a pasted list is about.

    Attributes:
        known: user names that the hub has, in the order of the list.
        unknown: user names that it does not have.
    """

    known: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.known, *self.unknown)


def parse_names(text: str) -> tuple[Pasted, ...]:
    """Whom a pasted list names, each once, in its order.

    In `Surname, Given <mail>` the address counts; what is before it and starts with a capital
    letter is taken for the name, since user names are in lower case.

    Raises:
        PeopleError: for more than `MOST_NAMES`, and for what can be no user name.
    """
    if len(text) > _LONGEST_TEXT:
        raise PeopleError(_too_many())
    found: dict[tuple[str, ...], Pasted] = {}
    for line in _LINES.split(text):
        for token in _tokens(line):
            one = _pasted(token)
            if one:
                found.setdefault(one.candidates, one)
    if len(found) > MOST_NAMES:
        raise PeopleError(_too_many())
    return tuple(found.values())


def resolve(pasted: Iterable[Pasted], in_hub: Collection[str]) -> Resolved:
    """Whom they mean, given which of the candidates the hub has.

    An address that it does not have is taken as the others of the list are: as a whole, or what is
    before the @.
    """
    people = list(pasted)
    known: dict[str, None] = {}
    strangers: list[Pasted] = []
    by_local_part = False
    for one in people:
        name = next((name for name in one.candidates if name in in_hub), None)
        if name is None:
            strangers.append(one)
            continue
        known[name] = None
        by_local_part |= "@" in one.text and "@" not in name
    unknown: dict[str, None] = {}
    for one in strangers:
        local = [name for name in one.candidates if "@" not in name]
        unknown[(local if by_local_part and local else one.candidates)[0]] = None
    return Resolved(tuple(known), tuple(name for name in unknown if name not in known))


def _too_many() -> str:
    return _("That are too many names: at most {most} go at once. Upload a roster instead.").format(
        most=f"{MOST_NAMES:,}"
    )


def _tokens(line: str) -> Iterable[str]:
    """The names of one line."""
    line = _QUOTED.sub("", line)
    end = 0
    for found in _ADDRESS.finditer(line):
        before, address = found.groups()
        yield from _BETWEEN.split(_without_display_name(before))
        yield address
        end = found.end()
    yield from _BETWEEN.split(line[end:])


def _without_display_name(before: str) -> str:
    """What is left of `sam, Doe, Jane ` before an address: `sam`."""
    pieces = before.split(",")
    if before.strip(" ,"):
        pieces.pop()  # `Jane`, `Jane Doe`, or nothing but blanks
    if pieces and pieces[-1].strip()[:1].isupper():
        pieces.pop()
    return ",".join(pieces)


def _pasted(token: str) -> Pasted | None:
    text = token.strip().strip(_AROUND).removeprefix("mailto:").strip(".:")
    if not text:
        return None
    if not text.isprintable() or len(text) > LONGEST_NAME or "<" in text or ">" in text:
        shown = "".join(c if c.isprintable() else "?" for c in text[:40])
        raise PeopleError(
            _(
                "“{text}” is no user name. Write names or e-mail addresses with commas, blanks or "
                "lines between them."
            ).format(text=shown)
        )
    lower = text.lower()
    candidates = [text, lower]
    local, at, domain = lower.partition("@")
    if at and local and domain:
        candidates = [lower, text, local]
    elif not at:
        # A name that the hub would not have in capitals is more likely meant in lower case.
        candidates = [text, lower] if text == lower else [lower, text]
    return Pasted(text, tuple(dict.fromkeys(candidates)))


# -- groups ----------------------------------------------------------------------------------------


def check_not_reserved(group: str) -> None:
    """Raises PeopleError: limits mean something else by this name than a group. One of that name
    that the hub or a login has goes on as it is; people put nobody into it."""
    meaning = {"default": _("everybody without a group"), "*": _("the whole hub")}.get(group)
    if meaning:
        raise PeopleError(
            _(
                "“{group}” means {meaning}, so nobody is put into a group of that name: choose "
                "another name."
            ).format(group=group, meaning=meaning)
        )


# -- days ------------------------------------------------------------------------------------------

_EPOCH = date(1970, 1, 1)
_LATEST = 4_102_444_800  # 2100: what is later is meant as never


def read_end(text: str, at: int) -> int | None:
    """When something ends, in seconds since 1970, UTC; None for an empty text.

    Args:
        text: a day (`2026-12-24`), of which the end counts, or an instant (`2026-12-24T18:00Z`;
            UTC where it says no zone).
        at: the present, in seconds: an end is after it.

    Raises:
        PeopleError: it is neither, or over.
    """
    text = text.strip()
    if not text:
        return None
    end = _instant(text)
    if end is None:
        raise PeopleError(
            _("“{text}” is no day. Write it as 2026-12-24.").format(text=_shown(text))
        )
    if end <= at:
        raise PeopleError(
            _("{text} is over. Choose a day that is still to come.").format(text=_shown(text))
        )
    if end > _LATEST:
        raise PeopleError(_("{text} is too far away. Leave it empty for no end.").format(text=text))
    return end


def _instant(text: str) -> int | None:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return ((date.fromisoformat(text) - _EPOCH) + timedelta(days=1)).days * 86_400
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        if "T" not in text.upper():
            return None
        if found.tzinfo is None:
            found = found.replace(tzinfo=timezone.utc)
        return int(found.timestamp())
    except (ValueError, OverflowError):
        return None


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def last_day(until: int) -> date:
    """The day at the end of which, or on which, something ends."""
    return datetime.fromtimestamp(until - 1, timezone.utc).date()
