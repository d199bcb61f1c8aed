"""The limits of one group as a form: what stands in each field, where it comes from, and what was
typed. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub_groups.words import _

from .access import Access, ceiling
from .limits import KEYS, SERVER, Limit, PolicyError
from .policy import Group, Policy, limits_of_key
from .quantities import DURATION, TIME, resource

PREFIX = "limit:"
"""Of the names of fields; the key follows."""
NEW_KEY, NEW_AMOUNT = "new_key", "new_amount"
"""The names of the fields of a limit that is added."""
SIZE = "size:"
"""Of the names of fields that count only where SET_SIZE names their resource too."""
SET_SIZE = "set_size"

_LONGEST = 300
_BETWEEN = re.compile(r",(?!\s*soft\b)", re.IGNORECASE)
_COMMA = re.compile(r"(?<![-.0-9])(?P<before>[0-9]+),(?P<after>[0-9]+)")
_THOUSAND = 3
"""Two windows of one budget; not a limit and the soft one that goes with it."""


@dataclass(frozen=True)
class Field:
    """One limit of the form.

    Attributes:
        text: what stands there: of the group itself, or as it was typed.
        plan_text: what its plan says, which holds where the field is empty.
        wrong: why what was typed can't be read.
        means: how what was typed is understood, where it differs.
        most: what whoever edits can't exceed, where there is something.
        saved: whether that is what holds.
    """

    key: str
    text: str
    plan_text: str = ""
    wrong: str = ""
    means: str = ""
    most: Limit | None = None
    editable: bool = True
    saved: bool = True


def texts_of(limits: tuple[Limit, ...]) -> dict[str, str]:
    """By key; several windows of one budget stand in one field."""
    found: dict[str, list[str]] = {}
    for limit in limits:
        found.setdefault(limit.key, []).append(limit.text)
    return {key: ", ".join(texts) for key, texts in sorted(found.items())}


def typed_limits(arguments: Mapping[str, str]) -> dict[str, str]:
    """What a form says, by key; a new limit with the others."""
    found = {
        _cut(name.removeprefix(PREFIX)): _cut(value)
        for name, value in arguments.items()
        if name.startswith(PREFIX)
    }
    key, amount = new_limit(arguments)
    if key and amount:
        found[key] = amount
    name = arguments.get(SET_SIZE, "")
    if size := _cut(arguments.get(f"{SIZE}{name}", "")):
        found[f"{SERVER}.{name}"] = size
    return found


def new_limit(arguments: Mapping[str, str]) -> tuple[str, str]:
    """Key and amount of the limit that a form adds, as far as they are there."""
    return _cut(arguments.get(NEW_KEY, "")), _cut(arguments.get(NEW_AMOUNT, ""))


def half_typed(arguments: Mapping[str, str]) -> dict[str, str]:
    """By the name of its field, what is missing of a limit that a form adds."""
    key, amount = new_limit(arguments)
    if amount and not key:
        return {NEW_KEY: _("Choose which limit this is.")}
    return {NEW_AMOUNT: _("Write an amount.")} if key and not amount else {}


def hint_of(key: str) -> str:
    """How an amount of one limit is written; empty where there is no such limit."""
    name = key.partition(".")[2]
    found = resource(name) if name else None
    if found is None:
        return ""
    if name == "cpu":
        return _("Such as 2, or 500m for half a core.")
    if name == "memory":
        return _("Such as 8G, which is 8 × 1024³ bytes, or 512M.")
    if name == "storage":
        return _(
            "Such as 10G; or with a soft limit, above which people may be for a while: "
            "12G soft 10G for 7d."
        )
    if found.kind == TIME:
        return _(
            "An amount and its window, such as 40 per 7d, 2000 per month or "
            "200 per 2026-09-01..2026-12-20; what happens when it is used up stands behind it: "
            "then stop after 10m."
        )
    if found.kind == DURATION:
        return _("Such as 30m, 8h or 2d.")
    return _("A whole number, such as 2.")


def changed_keys(before: Iterable[Limit], after: Iterable[Limit]) -> set[str]:
    """Of the limits that only one of two has."""
    old, new = ({(limit.key, limit.text) for limit in limits} for limits in (before, after))
    return {key for key, _text in old ^ new}


def say_saved(keys: Collection[str], agents: bool) -> str:
    """From when on it holds that the limits of some keys have changed, or something else.

    Args:
        agents: whether any storage agent reports.
    """
    stored = [key for key in keys if key.partition(".")[2] == "storage"]
    said = _("Saved. It holds from the next start of a server on.")
    if not stored:
        return said
    if len(stored) == len(keys):
        said = _("Saved.")
    if agents:
        return f"{said} {_('The storage agent has it within seconds.')}"
    return f"{said} {_('Limits of storage hold once a storage agent reports: none does now.')}"


def _cut(text: str) -> str:
    """What is longer than any limit is not shown again as a whole."""
    text = text.strip()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def value_of(text: str) -> Any:
    """What a field says, as a policy has it: a text, a list for several windows, None for none."""
    parts = [part.strip() for part in _BETWEEN.split(text) if part.strip()]
    if not parts:
        return text.strip() or None  # commas alone are no way to take a limit away
    return parts if len(parts) > 1 else parts[0]


def read_typed(group: str, typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed as the `limits` of a document, and by key why something can't be read."""
    read: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for key, text in typed.items():
        value = value_of(text)
        if value is None:
            continue
        if comma := _COMMA.search(text):
            wrong[key] = _("'{text}' has a comma in it: write {right}.").format(
                text=comma[0], right=_with_point(comma)
            )
            continue
        try:
            limits = limits_of_key(group, key, value, (key,))
        except PolicyError as error:
            wrong[key] = error.why
        else:
            texts = [limit.text for limit in limits]
            read[key] = texts if len(texts) > 1 else texts[0]
    return read, wrong


def _with_point(comma: re.Match[str]) -> str:
    """`2.5` for `2,5`; `1000` for `1,000`."""
    point = "" if len(comma["after"]) == _THOUSAND else "."
    return f"{comma['before']}{point}{comma['after']}"


def merged(before: Mapping[str, Any], typed: Mapping[str, str], read: Mapping[str, Any]) -> Any:
    """The `limits` of a document after a form: what the form does not name stays, what it empties
    goes."""
    kept = {key: value for key, value in before.items() if key not in typed}
    return {**kept, **read}


def fields(
    policy: Policy,
    access: Access,
    name: str,
    typed: Mapping[str, str] = {},
    wrong: Mapping[str, str] = {},
) -> list[Field]:
    """The fields of a group's form, by key."""
    group = policy.groups.get(name, Group(name))
    own = texts_of(group.limits)
    plan = texts_of(policy.plans[group.plan].limits) if group.plan in policy.plans else {}
    found = []
    for key in sorted({*own, *plan, *typed}, key=_place):
        text = typed.get(key, own.get(key, ""))
        found.append(
            Field(
                key=key,
                text=text,
                plan_text=plan.get(key, ""),
                wrong=wrong.get(key, ""),
                means=_means(name, key, text, own.get(key, "")) if key in typed else "",
                most=_most(policy, access, name, key, text or plan.get(key, "")),
                editable=access.admin or not _given(access, policy, name, key),
                saved=text == own.get(key, ""),
            )
        )
    return found


def _place(key: str) -> tuple[int, str]:
    return (KEYS.index(key) if key in KEYS else len(KEYS), key)


def _given(access: Access, policy: Policy, name: str, key: str) -> bool:
    """Whether a manager of this very group can't change it: it is what the group was given."""
    return access.ceiling_group(policy, name) == name and key.startswith("group.")


def _most(policy: Policy, access: Access, name: str, key: str, text: str) -> Limit | None:
    top = access.ceiling_group(policy, name)
    value = value_of(text)
    if top is None or value is None:
        return None
    try:
        limits = limits_of_key(name, key, value, (key,))
    except PolicyError:
        return None
    found = [most for limit in limits if (most := ceiling(policy, top, limit))]
    return min(found, key=lambda most: most.amount, default=None)


def _means(name: str, key: str, text: str, before: str) -> str:
    read, _wrong = read_typed(name, {key: text})
    if key not in read:
        return ""
    value = read[key]
    plain = ", ".join(value) if isinstance(value, list) else str(value)
    return plain if plain not in (text, before) else ""
