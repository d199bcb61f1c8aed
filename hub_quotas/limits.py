"""One limit: `SCOPE.RESOURCE = AMOUNT [soft AMOUNT for TIME] [per WINDOW]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hub_groups.words import _

from .quantities import (
    AMOUNT,
    DURATION,
    RESOURCES,
    TIME,
    QuantityError,
    Resource,
    did_you_mean,
    format_duration,
    parse_duration,
    resource,
)
from .windows import Window, WindowError, format_window, parse_window

SERVER = "server"
"""Any one server."""
MEMBER = "member"
"""All servers of one member charged to the group or below it."""
GROUP = "group"
"""Everything charged to the group or below it."""
STORAGE = "storage"
"""The one resource that is kept on a file system, and is there while nothing runs."""
SCOPES = (SERVER, MEMBER, GROUP)

CHARGED_GROUP = "charged_group"
"""The spawn option that names the group to charge: in the spawn form, a link, or the API."""


class PolicyError(ValueError):
    """A policy that can't be read.

    Attributes:
        place: the keys that lead to what is wrong, outermost first.
        why: what is wrong there, and what would be right.
    """

    def __init__(self, place: Iterable[str], why: str) -> None:
        self.place = tuple(place)
        self.why = why
        super().__init__(f"{' · '.join(self.place)}: {why}" if self.place else why)


def mapping(value: Any, place: tuple[str, ...], keys: tuple[str, ...] = ()) -> Mapping[Any, Any]:
    """What stands under a key of a policy, nothing where nothing does. Raises PolicyError.

    Args:
        keys: those that there are; none where they are names.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PolicyError(
            place or ("policy",),
            _("expected 'key: value' lines, found {value!r}.").format(value=value),
        )
    for key in value:
        if keys and key not in keys:
            hint = did_you_mean(str(key), list(keys))
            raise PolicyError(
                (*place, str(key)),
                _("there is nothing of that name here.{hint} Known: {keys}.").format(
                    hint=hint, keys=", ".join(keys)
                ),
            )
    return value


REFUSE, DOWNSIZE, STOP = "refuse", "downsize", "stop"
GRACE = 5 * 60 * 10**6
"""Microseconds between the end of a budget and the stop of its servers, if nothing else is set."""


@dataclass(frozen=True)
class Reaction:
    """What happens when a budget is used up.

    Attributes:
        kind: REFUSE new servers; DOWNSIZE: refuse those that are larger than `size`; STOP: refuse,
            and stop those that run after a grace period.
        grace: microseconds.
        size: (resource, amount) of the largest server that may still start.
    """

    kind: str = REFUSE
    grace: int = GRACE
    size: tuple[tuple[str, int], ...] = ()

    @property
    def text(self) -> str:
        """As written in a policy: `stop after 10m`, `downsize to cpu 1 and memory 2G`."""
        if self.kind == STOP and self.grace != GRACE:
            return f"stop after {format_duration(self.grace)}"
        if self.kind != DOWNSIZE:
            return self.kind
        parts = ((name, resource(name), amount) for name, amount in self.size)
        return "downsize to " + " and ".join(f"{n} {r.format(a)}" for n, r, a in parts if r)


SOFT_GRACE = 7 * 24 * 60 * 60 * 10**6
"""Microseconds above a soft limit, if nothing else is set: a week, as Linux has it."""
_LONGEST_SOFT_GRACE = 365 * 24 * 60 * 60 * 10**6


@dataclass(frozen=True)
class Soft:
    """A soft limit: more than it may be there for a while.

    Attributes:
        amount: in the smallest unit of the resource; less than the hard limit's.
        grace: microseconds above it, after which it holds as the hard limit does.
    """

    amount: int
    grace: int = SOFT_GRACE


@dataclass(frozen=True)
class Limit:
    """`group` allows each `scope` at most `amount` of `resource`, at once or within a window.

    Attributes:
        group: the group that sets it; empty in a plan.
        resource: a name that `quantities.resource` knows.
        amount: in the smallest unit of the resource.
        window: None for a cap on what runs at once, else the span of a budget.
        plan: the plan that it comes from; empty where the group sets it itself.
        reaction: what happens when a budget is used up.
        boost: microseconds since 1970, UTC, until which this holds instead of what is set.
        soft: of storage alone: what may be there for good; then `amount` is the hard limit.
    """

    group: str
    scope: str
    resource: str
    amount: int
    window: Window | None = None
    plan: str = ""
    reaction: Reaction = Reaction()
    boost: int = 0
    soft: Soft | None = None

    @property
    def key(self) -> str:
        """As written in a policy: `member.servers`."""
        return f"{self.scope}.{self.resource}"

    @property
    def text(self) -> str:
        """The amount as written in a policy: `12G soft 10G for 7d`, `40 per 7d then stop`."""
        window = f" per {format_window(self.window)}" if self.window else ""
        return f"{self.most}{window}{_then(self.reaction)}"

    @property
    def most(self) -> str:
        """The same without window and reaction."""
        amount = self.kind.format(self.amount)
        if self.soft is None:
            return amount
        grace = format_duration(self.soft.grace)
        return f"{amount} soft {self.kind.format(self.soft.amount)} for {grace}"

    @property
    def lasting(self) -> int:
        """What may be there for good."""
        return self.soft.amount if self.soft else self.amount

    @cached_property
    def kind(self) -> Resource:
        found = resource(self.resource)
        assert found, f"no limit is made for a resource that does not exist: {self.resource}"
        return found


_PER = re.compile(
    r"(?P<amount>.*?)(?P<per>\s+(?:per|an?|each|every|in\s+any)\s+|\s*/\s*|\s+(?=\S+\.\.))(?P<window>.+)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_SOFT = re.compile(r"\bsoft\b", re.IGNORECASE)
_FOR = re.compile(r"\bfor\b", re.IGNORECASE)
_OF_SERVERS = ("cpu", "memory", "gpu", "lifetime", "idle")
_OF_OTHERS = tuple(name for name, known in RESOURCES.items() if known.kind != DURATION)
KEYS = tuple(
    f"{scope}.{name}"
    for scope in SCOPES
    for name in (_OF_SERVERS if scope == SERVER else _OF_OTHERS)
)
"""All limits there are, but for those of Kubernetes extended resources (`group.nvidia.com/gpu`)."""


def parse_limit(
    group: str, key: str, value: object, place: Iterable[str] = (), kept: bool = False
) -> Limit:
    """One limit from its key and value, as in `member.cpu-hours: 40 per 7d`.

    Args:
        place: where it stands, for error messages; the group and key if not given.
        kept: whether it is read from the database: what an earlier version has let in has to stay
            readable, or no server at all would start.

    Raises:
        PolicyError: for an unknown key, an amount or window that can't be read, a budget without
            a window or a cap with one.
    """
    place = tuple(place) or (group, key)
    scope, _dot, name = key.partition(".")
    found = resource(name) if name else None
    if scope not in SCOPES or found is None:
        hint = did_you_mean(key, list(KEYS))
        raise PolicyError(
            place,
            _("there is no limit of that name.{hint} Limits are {keys}.").format(
                hint=hint, keys=", ".join(KEYS)
            ),
        )
    if key not in KEYS and name in RESOURCES:
        raise PolicyError(place, _wrong_scope(scope, found))
    if scope == SERVER and found.kind == TIME:
        raise PolicyError(place, _wrong_scope(scope, found))
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise PolicyError(
            place,
            _("the amount is missing; write, for example, {key}: {example}").format(
                key=key, example=like(found)
            ),
        )
    budget, then, reaction_text = str(value).strip().partition(" then ")
    text, per, window_text = _budget(budget.strip())
    if parts := _soft_parts(budget):
        if name != STORAGE:
            why = _("only storage has a soft limit; write the amount without 'soft'.")
            raise PolicyError(place, why)
        lesser, per, window_text = _budget(parts[1])
        text = f"{parts[0]} soft {lesser} for {window_text}" if per else budget.strip()
    if found.kind == TIME and not per:
        raise PolicyError(
            place,
            _("a budget needs a window; write, for example, {text}.").format(
                text=_budget_like(text)
            ),
        )
    if found.kind != TIME and per:
        raise PolicyError(place, _cap_with_window(scope, found, text))
    if then and name == STORAGE:
        why = _("storage has no 'then': what is full takes nothing more. Write {text} alone.")
        raise PolicyError(place, why.format(text=text))
    if then and not per:
        why = _(
            "only a budget has a 'then'; new servers are refused at a cap. Write {text} alone."
        ).format(text=text)
        raise PolicyError(place, why)
    try:
        window = parse_window(window_text.strip()) if per else None
        reaction = parse_reaction(reaction_text, kept) if then else Reaction()
        amount, held = read_amount(found, text, kept)
        return Limit(group, scope, name, amount, window, reaction=reaction, soft=held)
    except (QuantityError, WindowError) as error:
        raise PolicyError(place, str(error)) from None


def read_amount(found: Resource, text: str, kept: bool = False) -> tuple[int, Soft | None]:
    """An amount, of storage also with a soft limit: `12G soft 10G for 7d`.

    Args:
        kept: see `parse_limit`.

    Raises:
        QuantityError: it can't be read, is too little to be meant, or the soft limit is not the
            lesser one.
    """
    parts = _soft_parts(text) if found.name == STORAGE else None
    read = found.parse if kept else found.parse_meant
    if parts is None:
        return read(text), None
    hard_text, soft_text, grace_text = parts
    example = "12G soft 10G for 7d"
    if not hard_text or not soft_text:
        why = _("a hard limit stands before 'soft' and a soft one after it; write {example}.")
        raise QuantityError(why.format(example=example))
    hard, amount = read(hard_text), read(soft_text)
    if amount >= hard:
        right = found.format(hard)
        if amount > hard:
            right = Limit("", MEMBER, STORAGE, amount, soft=Soft(hard)).most
        why = _("the soft limit has to be less than the hard one before it; write {right}.")
        raise QuantityError(why.format(right=right))
    grace = SOFT_GRACE if grace_text is None else parse_duration(grace_text)
    if not 0 < grace <= _LONGEST_SOFT_GRACE:
        why = _("'{text}' is not how long it may be above a soft limit; write 1m to 365d.")
        raise QuantityError(why.format(text=grace_text))
    return hard, Soft(amount, grace)


def _soft_parts(text: str) -> tuple[str, str, str | None] | None:
    """What stands before `soft`, after it, and after `for`; None where there is no soft limit."""
    hard, *rest = _SOFT.split(text, maxsplit=1)
    if not rest:
        return None
    soft, *grace = (part.strip(" ,;") for part in _FOR.split(rest[0], maxsplit=1))
    return hard.strip(" ,;"), soft, grace[0] if grace else None


def _budget_like(text: str) -> str:
    """`40 per month`, of what somebody has written of it: `40`, `40 hours a`, `40 Stunden`."""
    number = _NUMBER.match(text)
    return f"{number[0] if number else 40} per month"


def _budget(text: str) -> tuple[str, str, str]:
    """Amount, separator and window: `40 per 7d`, or as people say it: `40 hours a week`, `40/week`,
    `40 in any 7 days`."""
    match = _PER.fullmatch(text)
    if match:
        return match["amount"], match["per"], match["window"]
    return text.removesuffix(" per"), "", ""


def parse_reaction(text: str, kept: bool = False) -> Reaction:
    """What happens when a budget is used up: `refuse`, `stop`, `stop after 10m`,
    `downsize to cpu 1 and memory 2G`.

    Args:
        kept: see `parse_limit`.

    Raises:
        QuantityError: it can't be read.
    """
    kind, _space, rest = text.strip().partition(" ")
    rest = rest.strip()
    if kind in (REFUSE, STOP) and not rest:
        return Reaction(kind)
    if kind == STOP and rest.startswith("after "):
        return Reaction(STOP, parse_duration(rest.removeprefix("after ")))
    if kind == DOWNSIZE and rest.startswith("to "):
        return Reaction(DOWNSIZE, size=_size(rest.removeprefix("to "), kept))
    raise QuantityError(
        _(
            "'{text}' is not what can happen when a budget is used up; write 'then "
            "refuse', 'then stop after 10m' or 'then downsize to cpu 1 and memory 2G'."
        ).format(text=text.strip())
    )


def _size(text: str, kept: bool) -> tuple[tuple[str, int], ...]:
    size = {}
    for part in text.split(" and "):
        name, _space, amount = part.strip().partition(" ")
        found = resource(name)
        if found is None or found.kind != AMOUNT or name in ("servers", STORAGE) or not amount:
            raise QuantityError(
                _("'{part}' is not a size; write, for example, memory 2G.").format(part=part)
            )
        size[name] = found.parse(amount) if kept else found.parse_meant(amount)
    return tuple(sorted(size.items()))


def _then(reaction: Reaction) -> str:
    return "" if reaction == Reaction() else f" then {reaction.text}"


def like(found: Resource) -> str:
    """How much of it a limit may be, for one: `8G`, `40 per 7d`."""
    examples = {"memory": "8G", "storage": "10G", AMOUNT: "2", TIME: "40 per 7d", DURATION: "8h"}
    return examples.get(found.name) or examples[found.kind]


def _wrong_scope(scope: str, found: Resource) -> str:
    if scope == SERVER and found.kind == TIME:
        return _(
            "a budget is for a member or a group; write member.{name} or group.{name}."
        ).format(name=found.name)
    if scope == SERVER:
        return _("this is counted by member or group; write member.{name}.").format(name=found.name)
    return _("a {name} is for a server; write server.{name}.").format(name=found.name)


def _cap_with_window(scope: str, found: Resource, text: str) -> str:
    if found.name == STORAGE:
        return _("storage has no window: it is what is there. Write {text} alone.").format(
            text=text
        )
    hours = f"{found.name}-hours"
    if found.kind == AMOUNT and resource(hours):
        why = _(
            "a cap on what runs at once has no window; write {text} alone. "
            "For a budget, write {key}: 40 per 7d."
        )
        return why.format(text=text, key=f"{scope if scope != SERVER else MEMBER}.{hours}")
    return _("a cap on what runs at once has no window; write {text} alone.").format(text=text)
