"""Rules: which claims of a login become which groups, and how they are written down. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from .memberships import MEMBER, ROLES
from .presets import PRESETS

EVERYTHING = "(?P<value>.*)"
LONGEST_RULE = 2_000
"""Characters of an expression, a pattern or a template."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NAME_OF_GROUP = re.compile(r"[^\W\d]\w*")
_ATOM = r"(?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]()|*+?{}])"
_REPEATED = rf"{_ATOM}(?:[*+?]|\{{\d*,?\d*\}})[?+]?"
_REPEATS_OF_REPEATS = re.compile(
    rf"\((?:\?(?:P<\w+>|:))?(?:{_REPEATED})+\)(?:[*+]|\{{\d+,\d*\}})", re.DOTALL
)
"""Such as `(a+)+`: takes longer than the sun lasts to find that 40 characters don't match."""


class RuleError(ValueError):
    """Rules that can't be used.

    Attributes:
        place: the keys that lead to what is wrong, the number of the entry (from 1) first.
        why: what is wrong there, and what would be right.
    """

    def __init__(self, place: Iterable[str], why: str) -> None:
        self.place = tuple(place)
        self.why = why
        number, *keys = self.place or ("",)
        where = ", ".join([f"rule {number}", *keys]) if number else "rules"
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True)
class Rule:
    """What one claim of a login says about groups.

    Attributes:
        claim: JMESPath over what the login gave: `name`, `groups`, `admin`, `auth_state`. It gives
            a string, a number or a list of them.
        match: a regular expression that a whole string of the claim has to match.
        group: the group, with `{name}` for the named groups of `match`, and `{value}`: the group
            `value` of `match`, or the whole string where it has none.
        role: `member` or `manager`.
        when: JMESPath that has to give something true; empty for always.
        create: whether a group that does not exist is created.
        names: what `{value}` is called instead. Where there are any, other values are left out.
        optional: an absent claim means "no groups" instead of "not said".
        split: what separates the values in a string; empty where it is one value.
        adds: the login tells a part only, so what earlier ones said stays.
    """

    claim: str
    match: str = EVERYTHING
    group: str = "{value}"
    role: str = MEMBER
    when: str = ""
    create: bool = True
    names: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    split: str = ""
    adds: bool = False


KEYS = tuple(f.name for f in fields(Rule))
"""What an entry may say."""

_TEXTS = ("claim", "match", "group", "role", "when", "split")
_SWITCHES = ("create", "optional", "adds")


@lru_cache(maxsize=1000)
def expression(text: str) -> Any:
    """A JMESPath expression, to be asked with `.search(model)`. Raises JMESPathError."""
    return jmespath.compile(text)


@lru_cache(maxsize=1000)
def pattern(text: str) -> re.Pattern[str]:
    """A regular expression. Raises re.error."""
    return re.compile(text, re.DOTALL)


def parse_rules(document: object) -> tuple[Rule, ...]:
    """The rules of a document, those of presets in their places.

    Args:
        document: a list of entries. An entry is a mapping with the keys of Rule, of which `claim`
            is required; or one with `preset` and whatever is to differ in all of its rules.

    Raises:
        RuleError: for the first entry that can't be used.
    """
    if not isinstance(document, (list, tuple)):
        raise RuleError(
            (),
            "rules are a list, each entry with a claim or a preset, such as `- preset: keycloak`.",
        )
    found: list[Rule] = []
    for number, entry in enumerate(document, 1):
        place = (str(number),)
        if not isinstance(entry, Mapping):
            raise RuleError(
                place, f"{_short(entry)} is not a rule; give a claim or a preset, with a colon."
            )
        found += (_rule(place, spec) for spec in _specs(place, entry))
    return tuple(found)


def _specs(place: tuple[str, ...], entry: Mapping[Any, Any]) -> Iterator[Mapping[str, Any]]:
    known = (*KEYS, "preset")
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}."
            raise RuleError((*place, str(key)), f"there is no such key; {hint}")
    if "preset" not in entry:
        yield entry
        return
    name = entry["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        raise RuleError(
            (*place, "preset"), f"{_short(name)} is not a preset; there are: {', '.join(PRESETS)}."
        )
    own = {key: value for key, value in entry.items() if key != "preset"}
    if "claim" in own:
        raise RuleError(
            (*place, "claim"), "a preset has its own claims; leave out one of the two keys."
        )
    for spec in PRESETS[name].rules:
        yield {**spec, **own}


def _rule(place: tuple[str, ...], spec: Mapping[str, Any]) -> Rule:
    if "claim" not in spec:
        raise RuleError(place, "there is no claim; add one, such as auth_state.oauth_user.groups.")
    for key in _TEXTS:
        value = spec.get(key, "")
        if not isinstance(value, str):
            raise RuleError((*place, key), f"{_short(value)} is not text; put it in quotes.")
        if len(value) > LONGEST_RULE:
            raise RuleError((*place, key), f"longer than {LONGEST_RULE:,} characters.")
        if key in ("claim", "match", "group") and key in spec and not value.strip():
            raise RuleError((*place, key), "this is empty.")
    for key in _SWITCHES:
        if not isinstance(spec.get(key, False), bool):
            raise RuleError((*place, key), f"{_short(spec[key])} is neither true nor false.")
    rule = Rule(**{**spec, "names": _names((*place, "names"), spec.get("names"))})
    _check_expression((*place, "claim"), rule.claim)
    if rule.when:
        _check_expression((*place, "when"), rule.when)
    if rule.role not in ROLES:
        raise RuleError(
            (*place, "role"), f"{_short(rule.role)} is not a role; it is {' or '.join(ROLES)}."
        )
    _check_template((*place, "group"), rule.group, _check_pattern((*place, "match"), rule.match))
    return rule


def _names(place: tuple[str, ...], names: object) -> dict[str, str]:
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise RuleError(place, f"{_short(names)} is not a table of values and their names.")
    for value, name in names.items():
        if not isinstance(name, (str, int)) or isinstance(name, bool) or not str(name).strip():
            raise RuleError(
                (*place, str(value)), f"{_short(name)} is not a name; put it in quotes."
            )
    return {str(value): str(name) for value, name in names.items()}


def _check_expression(place: tuple[str, ...], text: str) -> None:
    try:
        parsed = expression(text).parsed
        functions = list(_functions(parsed))
    except (JMESPathError, ValueError, RecursionError) as error:
        at = getattr(error, "lex_position", None)
        near = f" near {_short(text[at:])}" if isinstance(at, int) and text[at:] else ""
        raise RuleError(
            place,
            f"not a JMESPath expression{near}; a key with other signs than letters, digits and _ "
            'stands in double quotes, as in auth_state."is-member".',
        ) from None
    known = Functions.FUNCTION_TABLE
    for name in functions:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}()?" if close else f"it has: {', '.join(known)}."
            raise RuleError(place, f"JMESPath has no function {name}(); {hint}")


def _functions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node["type"] == "function_expression":
            yield str(node["value"])
        for child in node["children"]:
            yield from _functions(child)


def _check_pattern(place: tuple[str, ...], text: str) -> frozenset[str]:
    """The names of its groups."""
    try:
        compiled = pattern(text)
    except (re.error, OverflowError, RecursionError) as error:
        at = getattr(error, "pos", None)
        where = f" (at character {at + 1})" if isinstance(at, int) else ""
        why = getattr(error, "msg", str(error))
        raise RuleError(place, f"not a regular expression: {why}{where}.") from None
    repeated = _REPEATS_OF_REPEATS.search(text)
    if repeated:
        raise RuleError(
            place,
            f"{_short(repeated[0])} repeats what repeats itself, which can take forever; put a "
            "separator into the brackets, as in ([^/]+/)*.",
        )
    return frozenset(compiled.groupindex)


def _check_template(place: tuple[str, ...], text: str, known: frozenset[str]) -> None:
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        raise RuleError(place, f"{_short(text)} has a single bracket; write {{name}} for a part.")
    for name in _PLACEHOLDER.findall(text):
        if name not in known | {"value"}:
            there = ", ".join(f"{{{each}}}" for each in sorted(known | {"value"}))
            raise RuleError(
                place,
                f"{{{name}}} is not a named group of match, which gives: {there}; "
                f"name one with (?P<{name if _NAME_OF_GROUP.fullmatch(name) else 'name'}>...).",
            )


def fill(template: str, parts: Mapping[str, str | None]) -> str:
    """`template` with its placeholders filled; a part that did not match is empty."""
    return _PLACEHOLDER.sub(lambda found: parts.get(found[1]) or "", template)


def _short(value: object) -> str:
    """A value in a message, however long it is."""
    text = str(value)
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
