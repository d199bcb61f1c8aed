"""What a body says that asks for a reservation. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .quantities import AMOUNT, QuantityError, did_you_mean, resource
from .requests import Amounts

_LONGEST_TEXT = 200
_KEYS = ("id", "user", "group", "name", "limits", "guarantees")


class BadInput(ValueError):
    """A body that can't be understood; the message names the key and says what would be right."""


@dataclass(frozen=True)
class Hold:
    """What a body says.

    Attributes:
        id: chosen by who asks, so that asking again does not charge twice; or ''.
        group: the one to charge, or '' for any of the user's.
        limits, guarantees: None where the body says nothing of amounts.
    """

    id: str = ""
    user: str = ""
    group: str = ""
    name: str = ""
    limits: Amounts | None = None
    guarantees: Amounts | None = None


def read_hold(body: bytes, *keys: str) -> Hold:
    """What a body of JSON says; only `keys` may be there, or any if none are given.

    Raises:
        BadInput: the first thing that is wrong.
    """
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise BadInput("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadInput('The body is not a JSON object, such as {"user": "sam"}.')
    known = keys or _KEYS
    for key in found:
        if key not in known:
            hint = did_you_mean(key, list(known)) or f" There are: {', '.join(known)}."
            raise BadInput(f"{key}: there is no such key.{hint}")
    hold = Hold(
        id=_id(found),
        user=_text(found, "user"),
        group=_text(found, "group"),
        name=_text(found, "name"),
        limits=_amounts(found, "limits"),
        guarantees=_amounts(found, "guarantees"),
    )
    if hold.guarantees is not None and hold.limits is None:
        raise BadInput("guarantees: say the limits too.")
    for name, amount in (hold.guarantees or {}).items():
        if amount > (hold.limits or {}).get(name, amount):
            raise BadInput(f"guarantees.{name}: this is more than limits.{name}.")
    return hold


def _id(found: Mapping[str, Any]) -> str:
    try:
        return uuid.UUID(found["id"]).hex if found.get("id") is not None else ""
    except (ValueError, AttributeError, TypeError):
        raise BadInput("id: this is not a UUID.") from None


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key)
    if text is None:
        return ""
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise BadInput(f"{key}: write a text of at most {_LONGEST_TEXT} characters in one line.")
    return text


def _amounts(found: Mapping[str, Any], key: str) -> Amounts | None:
    spec = found.get(key)
    if spec is None:
        return None
    if not isinstance(spec, dict):
        raise BadInput(f'{key}: write an object, such as {{"cpu": "2", "memory": "4G"}}.')
    return {name: _amount(f"{key}.{name}", name, value) for name, value in spec.items()}


def _amount(place: str, name: str, value: object) -> int:
    known = resource(name)
    if known is None or known.kind != AMOUNT or name == "storage":
        hint = did_you_mean(name, ["cpu", "memory", "gpu", "servers"])
        raise BadInput(f"{place}: there is no resource of that name.{hint}")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadInput(f"{place}: write an amount.")
    try:
        return known.parse(str(value))
    except QuantityError as error:
        raise BadInput(f"{place}: {error}") from None
