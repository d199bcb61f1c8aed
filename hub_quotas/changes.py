"""How a policy changes: entry by entry, as the database and the audit log have it. Pure.

An entry is a group, a plan, or the price book: `("group", "geo-101")`, `("plan", "course-small")`,
`("prices", "")`. Its document is what stands under its name in a policy file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hub_groups.words import _

from .boosts import boosts
from .policy import (
    Group,
    Policy,
    checked,
    limits_of_key,
    parse_group,
    parse_plan,
    print_group,
    print_plan,
    print_policy,
    sorted_limits,
)
from .prices import parse_prices, print_prices

Entry = tuple[str, str]

GROUP_ENTRY, PLAN, PRICES = "group", "plan", "prices"

_NONE = Policy()


def documents(policy: Policy, without: Policy = _NONE) -> dict[Entry, Any]:
    """A policy as documents by entry.

    Args:
        without: leave out what is the same object there, and so has the same document: of
            thousands of groups, a change leaves all but one as they are.
    """
    found: dict[Entry, Any] = {
        (GROUP_ENTRY, name): print_group(group)
        for name, group in policy.groups.items()
        if without.groups.get(name) is not group
    }
    found |= {
        (PLAN, name): print_plan(plan)
        for name, plan in policy.plans.items()
        if without.plans.get(name) is not plan
    }
    if policy.prices and policy.prices is not without.prices:
        found[PRICES, ""] = print_prices(policy.prices)
    return found


def put(policy: Policy, changes: Mapping[Entry, Any], kept: bool = False) -> Policy:
    """`policy` with these entries as their documents say; None for one that goes.

    Args:
        kept: whether these are read from the database (see `parse_limit`).

    Raises:
        PolicyError: for the first thing that is wrong; the policy is checked as a whole.
    """
    groups, plans, prices = dict(policy.groups), dict(policy.plans), policy.prices
    for (kind, name), document in changes.items():
        if kind == PRICES:
            prices = parse_prices(document)
        elif kind == PLAN:
            _put(plans, name, None if document is None else parse_plan(name, document, kept))
        else:
            _put(groups, name, None if document is None else parse_group(name, document, kept))
    return checked(Policy(groups, plans, prices))


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def edited(policy: Policy, group: str, key: str, value: object) -> Policy:
    """`policy` with one limit of one group set, or removed (None).

    Raises:
        PolicyError: for a limit that can't be read.
    """
    known = policy.groups.get(group, Group(group))
    kept = tuple(limit for limit in known.limits if limit.key != key)
    added = () if value is None else limits_of_key(group, key, value, (group, key))
    changed = replace(known, limits=sorted_limits((*kept, *added)))
    after = replace(policy, groups={**policy.groups, group: changed})
    # What raised a limit that is no more goes with it, also where it has lapsed.
    held = [b for b in known.boosts if any(boosts(limit, b) for limit in after.limits_of(group))]
    changed = replace(changed, boosts=tuple(held))
    return checked(replace(after, groups={**policy.groups, group: changed}))


def renamed(policy: Policy, old: str, new: str) -> Policy:
    """`policy` with one group by another name, also where others have it as their parent."""
    groups = {}
    for name, group in policy.groups.items():
        group = replace(group, parent=new if group.parent == old else group.parent)
        if name == old:
            limits = tuple(replace(limit, group=new) for limit in group.limits)
            moved = tuple(replace(b, limit=replace(b.limit, group=new)) for b in group.boosts)
            group = replace(group, name=new, limits=limits, boosts=moved)
        groups[group.name] = group
    return checked(replace(policy, groups=groups))


def user_renamed(policy: Policy, old: str, new: str) -> Policy:
    """`policy` with one user by another name, where it gives them more or lets them manage."""
    groups = {}
    for name, group in policy.groups.items():
        managers = tuple(new if who == old else who for who in group.managers)
        given = tuple(replace(b, member=new) if b.member == old else b for b in group.boosts)
        groups[name] = replace(group, managers=managers, boosts=given)
    return replace(policy, groups=groups)


def differences(before: Policy, after: Policy) -> list[tuple[str, str | None, str | None]]:
    """What is to change, as (place, before, after); None for what is not there."""
    return document_differences(print_policy(before), print_policy(after))


def with_plan(policy: Policy, groups: Iterable[str], plan: str) -> Policy:
    """`policy` with one plan for several groups; what else is said of them stays.

    Raises:
        PolicyError: there is no such plan, or a name is none of a group.
    """
    have = documents(policy)
    entries = ((GROUP_ENTRY, group) for group in groups)
    return put(policy, {entry: {**have.get(entry, {}), "plan": plan} for entry in entries})


def document_differences(before: Any, after: Any) -> list[tuple[str, str | None, str | None]]:
    """The same of two documents; None for one that is not there."""
    old, new = (_flat(document or {}) for document in (before, after))
    places = sorted(old.keys() | new.keys())
    return [(p, old.get(p), new.get(p)) for p in places if old.get(p) != new.get(p)]


def said_differences(before: Any, after: Any) -> list[tuple[str, str | None, str | None]]:
    """The same for who reads a page: a boost is one sentence, not a line for each part of it."""
    old, new = _boosts_said(before), _boosts_said(after)
    found = document_differences(_without_boosts(before), _without_boosts(after))
    found += [("", said, None) for said in old if said not in new]
    return found + [("", None, said) for said in new if said not in old]


def _boosts_said(document: Any) -> list[str]:
    entries = document.get("boosts") if isinstance(document, Mapping) else None
    return [_say_boost(entry) for entry in entries or ()]


def _say_boost(entry: Mapping[str, str]) -> str:
    text = _("boost: {limit} is {amount} until {until}")
    if entry.get("member"):
        text = _("boost: {limit} is {amount} for {member} until {until}")
    said = text.format(**{"member": "", **entry, "until": str(entry["until"]).replace("T", " ")})
    return f"{said} ({entry['why']})" if entry.get("why") else said


def _without_boosts(document: Any) -> Any:
    if not isinstance(document, Mapping):
        return document
    return {key: value for key, value in document.items() if key != "boosts"}


def _flat(document: Any, place: tuple[str, ...] = ()) -> dict[str, str]:
    if isinstance(document, list) and any(isinstance(item, dict) for item in document):
        return _flat({str(number): item for number, item in enumerate(document, 1)}, place)
    if not isinstance(document, dict):
        words = ", ".join(map(str, document)) if isinstance(document, list) else str(document)
        return {" · ".join(place): words}
    found: dict[str, str] = {}
    for key, value in document.items():
        found |= _flat(value, place if key in ("groups", "limits") else (*place, str(key)))
    return found
