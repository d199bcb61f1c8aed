"""Users and groups as a directory (SCIM) has them, and what can be asked about them.

Pure: values in, values out. No I/O, no clock.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from .scim_changes import local_part

USER, GROUP = "User", "Group"
LONGEST_PAGE = 200
"""Resources in one answer."""

LONGEST_NAME = 255
"""Characters in a userName, a displayName of a group or an externalId, as in the hub's database."""


class Refused(Exception):
    """What was sent can't be stored, and why."""


class Taken(Refused):
    """Somebody else has that name."""


class Missing(Exception):
    """There is no such user or group."""


@dataclass(frozen=True)
class UserRow:
    """A user as stored. Times are microseconds since 1970.

    Attributes:
        document: what SCIM says about them, but for what is worked out (id, meta, groups).
    """

    id: str
    user_name: str
    external_id: str | None
    active: bool
    document: dict[str, Any]
    version: int = 1
    created: int = 0
    modified: int = 0


@dataclass(frozen=True)
class GroupRow:
    """A group as stored, without its members."""

    id: str
    display_name: str
    external_id: str | None
    document: dict[str, Any]
    version: int = 1
    created: int = 0
    modified: int = 0


@dataclass(frozen=True)
class Is:
    """That a column of the index has a value: `id`, `external_id`, `name` or `member`."""

    column: str
    value: str


@dataclass(frozen=True)
class Both:
    """That all of several conditions hold."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """That one of several conditions holds."""

    terms: tuple[Condition, ...]


Condition = Is | Both | Either


def key(name: str) -> str:
    """A name as it is compared: SCIM's names are the same in upper and lower case."""
    return plain(plain(name).lower())


def plain(text: str) -> str:
    """A text as it is compared where upper and lower case differ."""
    return unicodedata.normalize("NFC", text)


def check_text(what: str, text: str | None) -> None:
    """Raises:
    Refused: it can't be a name, and why.
    """
    if text is not None and "\0" in text:
        raise Refused(f"The {what} holds the character U+0000, which can't be stored.")
    if text is not None and len(text) > LONGEST_NAME:
        raise Refused(f"The {what} is longer than {LONGEST_NAME} characters.")
    if what != "externalId" and not (text or "").strip():
        raise Refused(f"The {what} is empty.")


def columns(row: UserRow | GroupRow) -> dict[str, Any]:
    """What is stored of a row.

    Raises:
        Refused: its document holds what a database can't store.
    """
    name = row.user_name if isinstance(row, UserRow) else row.display_name
    found = {
        "id": row.id,
        "name_key": key(name),
        "external_id": None if row.external_id is None else plain(row.external_id),
        "version": row.version,
        "document": _written(row.document),
        "created": row.created,
        "modified": row.modified,
    }
    if isinstance(row, UserRow):
        local_key = key(local_part(name))
        return {**found, "user_name": name, "local_key": local_key, "active": row.active}
    return {**found, "display_name": name}


def _written(document: dict[str, Any]) -> str:
    """Raises:
    Refused: it holds what a database can't store.
    """
    text = json.dumps(document, ensure_ascii=False)
    if "\\u0000" in text.replace("\\\\", ""):
        raise Refused("A text holds the character U+0000, which can't be stored.")
    return text
