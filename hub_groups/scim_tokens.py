"""The tokens with which directories may send users and groups. Only their digests are stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from .database import reading, writing
from .scim_tables import scim_token

_LONGEST_NAME = 100  # characters
_USED_STEP = 60_000_000  # µs: "last used" is no more exact, so that most requests write nothing


@dataclass(frozen=True)
class Token:
    """A token, without what it says. Times are microseconds since 1970, UTC.

    Attributes:
        used: when it was last used, to the minute; None for never.
        expires: from when on it is of no use; None for never.
    """

    id: str
    name: str
    created: int
    used: int | None
    expires: int | None


class ScimTokens:
    """Any number of tokens may be valid at once, so that they can be rotated."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(self, name: str, now: int, expires: int | None = None) -> str:
        """A new token: what has to be given to the directory, and is shown only here.

        Args:
            name: what it is for.
            now, expires: microseconds since 1970.

        Raises:
            ValueError: it has no name, too long a one, or would be expired already.
        """
        name = name.strip()
        if not name or len(name) > _LONGEST_NAME or "\0" in name:
            raise ValueError(f"A token needs a name of 1 to {_LONGEST_NAME} characters.")
        if expires is not None and expires <= now:
            raise ValueError("A token has to expire in the future.")
        id = secrets.token_hex(6)
        token = f"scim-{id}-{secrets.token_urlsafe(32)}"
        row = {"id": id, "name": name, "digest": _digest(token), "created": now, "expires": expires}
        with writing(self._engine) as db:
            db.execute(sa.insert(scim_token).values(row))
        return token

    def all(self) -> list[Token]:
        """All tokens, the oldest first; also those that have expired."""
        with reading(self._engine) as db:
            rows = db.execute(sa.select(scim_token).order_by(scim_token.c.created, scim_token.c.id))
            return [_token(row) for row in rows]

    def revoke(self, id: str) -> bool:
        """Make a token useless at once; whether there was one."""
        with writing(self._engine) as db:
            return db.execute(sa.delete(scim_token).where(scim_token.c.id == id)).rowcount > 0

    def check(self, text: str, now: int) -> Token | None:
        """Which token this is; None where it is none that holds now. Remembers its use."""
        id = text.split("-")[1] if text.count("-") > 1 else ""
        with reading(self._engine) as db:
            row = db.execute(
                sa.select(scim_token).where(scim_token.c.id == _plain(id))
            ).one_or_none()
        # Compared even where there is none: how long it takes tells nothing.
        right = hmac.compare_digest(row.digest if row else _digest(""), _digest(text))
        if not row or not right or (row.expires is not None and row.expires <= now):
            return None
        if row.used is None or now - row.used >= _USED_STEP:
            with writing(self._engine) as db:
                db.execute(sa.update(scim_token).where(scim_token.c.id == row.id).values(used=now))
        return _token(row)


def _digest(token: str) -> str:
    # The token has 256 random bits, so nothing slower than SHA-256 is needed to keep it secret.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _plain(id: str) -> str:
    return id if id.isascii() and id.isalnum() else ""


def _token(row: sa.Row[tuple[object, ...]]) -> Token:
    return Token(row.id, row.name, row.created, row.used, row.expires)
