"""Links that carry their launch themselves, signed by an author's key (RFC 7515, EdDSA). Pure.

A book's build signs them where no hub is at hand; each hub to which the author has given the
public key knows them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hub_groups.words import _

from .addresses import LaunchError
from .launch import Launch, as_values, from_values
from .links import Terms

LONGEST_TOKEN = 2_400
"""Characters: a browser keeps the address in a cookie of 4 KB while its reader logs in."""

PrivateKey = Ed25519PrivateKey

_ALGORITHM = "EdDSA"
_TYPE = "launch+jwt"
_PUBLIC, _PRIVATE = "share-links-public:", "share-links-private:"


class BadToken(LaunchError):
    """A token that is none, or was not signed by a key that is known here."""


@dataclass(frozen=True)
class Signed:
    """What a token says.

    Attributes:
        key: the id of the key that has signed it.
    """

    key: str
    launch: Launch
    terms: Terms


def make_key() -> tuple[str, str]:
    """A new pair of keys, as text: the private one, to be kept secret, and the public one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return _PRIVATE + _encoded(private), public_of(key)


def public_of(private: Ed25519PrivateKey) -> str:
    """The public key that belongs to a private one, as text."""
    return _PUBLIC + _encoded(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def read_private(text: str) -> Ed25519PrivateKey:
    """A private key from its text.

    Raises:
        LaunchError: it is none; does not say the text.
    """
    return Ed25519PrivateKey.from_private_bytes(
        _raw(text, _PRIVATE, _("This is no private key of share-links; it begins with '{start}'."))
    )


def read_public(text: str) -> Ed25519PublicKey:
    """A public key from its text.

    Raises:
        LaunchError: it is none.
    """
    return Ed25519PublicKey.from_public_bytes(
        _raw(text, _PUBLIC, _("This is no public key of share-links; it begins with '{start}'."))
    )


def key_id(public: str) -> str:
    """How tokens name the key that they are signed with: a part of its SHA-256."""
    return hashlib.sha256(public.strip().encode()).hexdigest()[:16]


def sign(launch: Launch, private: Ed25519PrivateKey, terms: Terms | None = None) -> str:
    """A token for a launch.

    Raises:
        LaunchError: it would be too long for a link.
    """
    terms = terms or Terms()
    said: dict[str, Any] = {"launch": as_values(launch)}
    if terms.until is not None:
        said["exp"] = terms.until
    if terms.hubs:
        said["aud"] = list(terms.hubs)
    if terms.users:
        said["users"] = list(terms.users)
    if terms.group:
        said["group"] = terms.group
    headers = {"kid": key_id(public_of(private)), "typ": _TYPE}
    token = jwt.encode(said, private, algorithm=_ALGORITHM, headers=headers)
    if len(token) > LONGEST_TOKEN:
        raise LaunchError(_("This is too much for a signed link; store it on the hub instead."))
    return token


def verify(token: str, public: Callable[[str], str | None]) -> Signed:
    """What a token says, where its signature is right. Not whether it has expired.

    Args:
        public: the public key with an id, as text; None where there is none.

    Raises:
        BadToken: it is none, was altered, or its key is not known.
        LaunchError: it was signed, but can't work.
    """
    wrong = BadToken(
        _("This link is damaged, or nobody whom this hub knows has signed it. Copy it as a whole.")
    )
    if len(token) > LONGEST_TOKEN:
        raise wrong
    try:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        text = public(kid) if isinstance(kid, str) else None
        if text is None or header.get("typ") != _TYPE:
            raise wrong
        said = jwt.decode(
            token,
            read_public(text),
            algorithms=[_ALGORITHM],
            # What is over is said by `Terms`, with who to ask; the audience there, too.
            options={"verify_exp": False, "verify_aud": False},
        )
    except (jwt.PyJWTError, InvalidKey, UnsupportedAlgorithm, ValueError) as error:
        if isinstance(error, LaunchError):
            raise
        raise wrong from None
    until, users, hubs = said.get("exp"), said.get("users", []), said.get("aud", [])
    group = said.get("group", "")
    texts = all(isinstance(one, list) for one in (users, hubs)) and all(
        isinstance(one, str) for one in (*users, *hubs, group)
    )
    if not texts or not (until is None or type(until) is int):
        raise wrong
    terms = Terms(until, tuple(users), group, tuple(hubs))
    return Signed(str(kid), from_values(said.get("launch")), terms)


def said_by(token: str) -> Launch:
    """What a token launches, whoever has signed it: for those who check what was made.

    Raises:
        LaunchError: it is none, or can't work.
    """
    try:
        said = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        raise BadToken(_("This link is damaged. Copy it as a whole.")) from None
    return from_values(said.get("launch"))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _raw(text: str, start: str, wrong: str) -> bytes:
    text = text.strip()
    try:
        raw = base64.b64decode(text.removeprefix(start) + "=", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if not text.startswith(start) or len(raw) != 32:
        raise LaunchError(wrong.format(start=start))
    return raw
