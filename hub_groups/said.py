"""What a login says about groups: rules applied to its claims. Pure, and never raises."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jmespath.exceptions import JMESPathError

from .memberships import MANAGER, MEMBER, above
from .rules import Rule, expression, fill, pattern

MOST_GROUPS = 1_000
"""From one login."""
MOST_VALUES = 10_000
"""Of one claim."""
LONGEST_VALUE = 1_000
"""Characters of one string of a claim: what a regular expression gets to see."""
LONGEST_GROUP = 255
"""Characters of a group's name, as in the hub's database."""

_DEEPEST = 40
_KEY = r'(?:[A-Za-z_]\w*|"[^"\\]+")'
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY})*")
_ASKING = (JMESPathError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError)
"""What JMESPath raises where claims are of other kinds than an expression expects."""


@dataclass(frozen=True)
class Outcome:
    """What one string of a claim became.

    Attributes:
        value: the string, shortened where it is long.
        group: the group; empty where it became none.
        why: why it became none.
        limit: whether that was for a limit or for what no name may be: worth a line in the log.
    """

    value: str
    group: str = ""
    why: str = ""
    limit: bool = False


@dataclass(frozen=True)
class Step:
    """What one rule came to.

    Attributes:
        number: which rule, from 1; those of presets count one by one.
        unsaid: why the claim says nothing; empty where it does.
        skipped: why the rule does not hold for this login, though its claims are there.
        outcomes: what each string of the claim became, in their order.
    """

    number: int
    rule: Rule
    unsaid: str = ""
    skipped: str = ""
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Said:
    """What a login says about groups.

    Attributes:
        groups: the role in each.
        unsaid: a sentence for each rule whose claim is missing or malformed.
        steps: how it came to that, rule by rule.
    """

    groups: Mapping[str, str]
    unsaid: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def keeps(self) -> bool:
        """Whether what earlier logins said stays beside `groups`: this one tells not all."""
        return bool(self.unsaid) or any(
            step.rule.adds for step in self.steps if not step.skipped and step.outcomes
        )

    def after(self, earlier: Mapping[str, str]) -> dict[str, str]:
        """The groups that hold now, where earlier logins gave `earlier`.

        Where a claim is missing, nobody loses a group or a role; where this login told a part, what
        it told holds for that part.
        """
        if not self.keeps:
            return dict(self.groups)
        found = {**earlier, **self.groups}
        if self.unsaid:
            found |= {group: MANAGER for group, role in earlier.items() if role == MANAGER}
        return found

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for each value that became no group because of a limit."""
        return tuple(
            f"Rule {step.number}: {outcome.value!r} is left out: {outcome.why}."
            for step in self.steps
            for outcome in step.outcomes
            if outcome.limit
        )


class _Missing(Exception):
    """A claim that is not there; the message says what is."""


class _Malformed(Exception):
    """A claim of another kind; the message says of which."""


def apply_rules(
    rules: Sequence[Rule],
    model: Mapping[str, Any],
    existing: Callable[[str], bool] | Collection[str] = (),
) -> Said:
    """What a login says about groups.

    Args:
        rules: checked ones, of `parse_rules`.
        model: what the authenticator gave: `name`, `groups`, `admin`, `auth_state`. Lists may be
            sets or tuples. It is not changed.
        existing: which groups there are, for rules that create none.

    Raises nothing, whatever the model holds.
    """
    exists = existing if callable(existing) else existing.__contains__
    plain = _plain(model, 0)
    groups: dict[str, str] = {}
    steps = []
    for number, rule in enumerate(rules, 1):
        step = _step(number, rule, plain, exists)
        kept = []
        for outcome in step.outcomes:
            if outcome.group and outcome.group not in groups and len(groups) == MOST_GROUPS:
                why = f"this login has {MOST_GROUPS:,} groups already"
                outcome = replace(outcome, group="", why=why, limit=True)
            elif outcome.group and groups.get(outcome.group) != MANAGER:
                groups[outcome.group] = rule.role
            kept.append(outcome)
        steps.append(replace(step, outcomes=tuple(kept)))
    unsaid = tuple(step.unsaid for step in steps if step.unsaid)
    return Said(groups, unsaid, tuple(steps))


def with_parents(groups: Mapping[str, str]) -> dict[str, str]:
    """`groups` and, as a member, each group above one of them: `a` and `a/b` for `a/b/c`."""
    found = dict(groups)
    for group in groups:
        for parent in above(group):
            found.setdefault(parent, MEMBER)
    return found


def _step(number: int, rule: Rule, model: Any, exists: Callable[[str], bool]) -> Step:
    def unsaid(why: str) -> Step:
        return Step(number, rule, unsaid=f"Rule {number}: {why}")

    try:
        if rule.when:
            holds = _ask(rule.when, model)
            if holds is None:
                raise _Missing(f"`when` gives nothing: {_what_is_there(rule.when, model)}.")
            if holds is False or holds in ("", [], {}):
                return Step(number, rule, skipped="`when` is not true of this login.")
        values = _strings(_ask(rule.claim, model))
        if values is None:
            raise _Missing(f"the claim is missing: {_what_is_there(rule.claim, model)}.")
    except _Missing as error:
        too_many = _overage(rule, model)
        if too_many:
            return unsaid(too_many)
        if rule.optional:
            return Step(number, rule)
        return unsaid(str(error))
    except _Malformed as error:
        return unsaid(
            f"the claim {_short(rule.claim)} gives {error}; it has to be a string, a number or a "
            "list of them."
        )
    if rule.split:
        values = [part for value in values for part in value.split(rule.split)]
    distinct = list(dict.fromkeys(value for value in values if value.strip()))
    outcomes = [_outcome(rule, value, exists) for value in distinct[:MOST_VALUES]]
    if len(distinct) > MOST_VALUES:
        rest = f"{len(distinct) - MOST_VALUES:,} more values"
        why = f"only the first {MOST_VALUES:,} of a claim are read"
        outcomes.append(Outcome(rest, why=why, limit=True))
    return Step(number, rule, outcomes=tuple(outcomes))


def _ask(text: str, model: Any) -> Any:
    try:
        return expression(text).search(model)
    except (*_ASKING, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise _Missing(f"{_short(text)} can't be answered from these claims: {why}.") from None


def _outcome(rule: Rule, value: str, exists: Callable[[str], bool]) -> Outcome:
    shown = value if len(value) <= 100 else f"{value[:100]}…"
    if len(value) > LONGEST_VALUE:
        return Outcome(shown, why=f"it is longer than {LONGEST_VALUE:,} characters", limit=True)
    found = pattern(rule.match).fullmatch(value)
    if not found:
        return Outcome(shown, why="it does not match")
    parts = {"value": value, **found.groupdict()}
    if rule.names:
        name = rule.names.get(parts["value"] or "")
        if name is None:
            return Outcome(shown, why="it is not in `names`")
        parts["value"] = name
    group = _trimmed(fill(rule.group, parts))
    wrong = _wrong(group)
    if wrong:
        return Outcome(shown, why=f"its group {wrong}", limit=True)
    if not rule.create and not exists(group):
        return Outcome(shown, why=f"there is no group {group}, and the rule creates none")
    return Outcome(shown, group)


def _trimmed(group: str) -> str:
    while (cut := group.strip().strip("/")) != group:
        group = cut
    return group


def _wrong(group: str) -> str:
    """What keeps this from being a group's name, as the hub and the quotas have them."""
    if not group:
        return "would have no name"
    if len(group) > LONGEST_GROUP:
        return f"would have a name of more than {LONGEST_GROUP} characters"
    if "//" in group:
        return "would have an empty part between slashes"
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in group):
        return "would have control characters in its name"
    return ""


def _plain(value: Any, depth: int) -> Any:
    """With lists instead of sets and tuples, as JMESPath knows no others; cut off far down."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        in_order = sorted(value) if all(isinstance(item, str) for item in value) else value
        return [_plain(item, depth + 1) for item in in_order]
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return value


def _strings(value: Any) -> list[str] | None:
    """The strings that a claim gives; None where it is missing. Raises _Malformed."""
    if value is None:
        return None
    if not isinstance(value, list):
        return [_string(value)]
    items = [item for each in value for item in (each if isinstance(each, list) else [each])]
    there = [item for item in items if item is not None]
    if items and not there:  # of [a, b] where neither is there
        return None
    try:
        return [_string(item) for item in there]
    except _Malformed as error:
        raise _Malformed(f"a list with {error}") from None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise _Malformed("true or false, which belongs into `when`")
    if isinstance(value, int) and abs(value) < 10**30:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 10**15 else repr(value)
    if isinstance(value, dict):
        raise _Malformed(f"an object ({_keys(value)}), of which the claim has to name a part")
    if isinstance(value, list):
        raise _Malformed("lists in lists in a list")
    raise _Malformed(f"something else ({type(value).__name__})")


def _keys(value: Mapping[str, Any]) -> str:
    names = sorted(_bare(key) for key in value)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"it has: {', '.join(names[:12])}{more}" if names else "it is empty"


def _bare(key: str) -> str:
    shown = key if len(key) <= 60 else f"{key[:60]}…"
    return shown if shown.isprintable() else repr(shown)


def _what_is_there(text: str, model: Any) -> str:
    """For a path: how far it leads, and what is there. Names of keys, never what they hold."""
    if not _PATH.fullmatch(text):
        return f"{_short(text)} gives nothing for this login"
    here, walked = model, ""
    for found in re.finditer(_KEY, text):
        key = found[0].strip('"')
        if not isinstance(here, dict):
            return f"{walked} has no {_bare(key)}, as it is no object"
        if here.get(key) is None:
            return f"{walked or 'this login'} has no {_bare(key)}; {_keys(here)}"
        here, walked = here[key], text[: found.end()]
    return f"{_short(text)} gives nothing for this login"


def _overage(rule: Rule, model: Any) -> str:
    """What to do where a provider says that it left the claim out because it is too long."""
    for claims in _claims(model):
        elsewhere = claims.get("_claim_names")
        names = list(elsewhere) if isinstance(elsewhere, dict) else []
        if claims.get("hasgroups") not in (None, False):
            names.append("groups")
        for name in names:
            if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", rule.claim):
                return (
                    f"the provider left '{_bare(name)}' out, because this user has too many groups "
                    "for a token (an overage). Let it send fewer: in Entra, Token configuration, "
                    "only the groups that are assigned to the application."
                )
    return ""


def _claims(model: Any) -> Iterator[dict[str, Any]]:
    state = model.get("auth_state") if isinstance(model, dict) else None
    if isinstance(state, dict):
        yield state
        yield from (value for value in state.values() if isinstance(value, dict))


def _short(text: str) -> str:
    return f"`{text}`" if len(text) <= 80 else f"`{text[:80]}…`"
