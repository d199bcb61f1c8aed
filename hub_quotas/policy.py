"""A whole policy: groups in a tree, plans, and the price book. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from typing import Any

from hub_groups.words import _

from .boosts import Boost, boosted, boosts, parse_boosts, print_boosts
from .limits import Limit, PolicyError, mapping, parse_limit
from .prices import PRICED, Price, parse_prices, price_on, print_prices
from .quantities import did_you_mean
from .requests import Amounts
from .windows import length

DEFAULT_GROUP = "default"
"""Charged for users who are in no group."""

WHOLE_HUB = "*"
"""Above all groups: what holds for the whole hub, or for all hubs that share a ledger."""


@dataclass(frozen=True)
class Plan:
    """A named set of limits that groups refer to."""

    name: str
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Group:
    """What a policy says of one group.

    Attributes:
        parent: the group above it, where that is not what its path says.
        plan: the name of its plan, or empty.
        managers: user names.
        priority: groups with a higher one are tried first for a user who does not choose.
        limits: what it sets itself; wins over its plan, key by key.
        boosts: what holds instead, for a while.
    """

    name: str
    parent: str = ""
    plan: str = ""
    managers: tuple[str, ...] = ()
    priority: int = 0
    limits: tuple[Limit, ...] = ()
    boosts: tuple[Boost, ...] = ()


def _remembered() -> Any:
    """For what each start asks: a policy never changes, so its answers don't either."""
    return field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Policy:
    """All that limits anything. Made by `parse_policy` and `edited`, which check it as a whole."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()
    _paths: dict[str, tuple[str, ...]] = _remembered()
    _limits: dict[str, tuple[Limit, ...]] = _remembered()
    _boosts: dict[str, tuple[Boost, ...]] = _remembered()
    _managed: dict[str, set[str]] = _remembered()

    def path(self, group: str) -> tuple[str, ...]:
        """The group and its ancestors, nearest first: `a/b` under `a`, and all under WHOLE_HUB."""
        if group not in self._paths:
            found = [group]
            while above := self._above(found[-1]):
                found.append(above)
            self._paths[group] = tuple(found)
        return self._paths[group]

    @property
    def parents(self) -> dict[str, str]:
        """What makes paths differ from names."""
        return {name: group.parent for name, group in self.groups.items() if group.parent}

    def _above(self, group: str) -> str:
        if group == WHOLE_HUB:
            return ""
        known = self.groups.get(group)
        return (known and known.parent) or group.rpartition("/")[0] or WHOLE_HUB

    def limits_of(self, group: str) -> tuple[Limit, ...]:
        """What holds for a group by itself: its own limits, and its plan's for other keys."""
        known = self.groups.get(group)
        if known is None:
            return ()
        own = {limit.key for limit in known.limits}
        plan = self.plans[known.plan].limits if known.plan else ()
        inherited = (
            replace(limit, group=group, plan=known.plan) for limit in plan if limit.key not in own
        )
        return (*known.limits, *inherited)

    def limits(self, group: str) -> tuple[Limit, ...]:
        """All limits that hold for what is charged to a group: its own and its ancestors'."""
        if group not in self._limits:
            held = [limit for name in self.path(group) for limit in self.limits_of(name)]
            self._limits[group] = tuple(held)
        return self._limits[group]

    def boosts(self, group: str) -> tuple[Boost, ...]:
        """Of the group and of its ancestors, also those that have lapsed."""
        if group not in self._boosts:
            known = (self.groups.get(name) for name in self.path(group))
            held = [boost for entry in known if entry for boost in entry.boosts]
            self._boosts[group] = tuple(held)
        return self._boosts[group]

    def limits_for(self, group: str, user: str, at: int, zone: tzinfo) -> tuple[Limit, ...]:
        """All limits that hold at an instant for what a member has charged to a group."""
        raised = self.boosts(group)
        limits = self.limits(group)
        return boosted(limits, raised, user, at, zone) if raised else limits

    def managers(self, group: str) -> tuple[str, ...]:
        """Whom the policy names as a group's managers."""
        known = self.groups.get(group)
        return known.managers if known else ()

    def managed_by(self, user: str) -> set[str]:
        """The groups of which the policy names a user as a manager."""
        if not self._managed:
            self._managed[""] = set()  # so that it is filled once, where nobody manages anything
            for name, group in self.groups.items():
                for who in group.managers:
                    self._managed.setdefault(who, set()).add(name)
        return set(self._managed.get(user, ()))

    def in_order(self, groups: Iterable[str]) -> list[str]:
        """Groups in the order in which they are tried: by priority, then by name."""

        def rank(name: str) -> tuple[int, str]:
            known = self.groups.get(name)
            return (-known.priority if known else 0, name)

        return sorted(groups, key=rank)

    def cost_rate(self, amounts: Amounts, on: date) -> int:
        """What `amounts` cost on a day, in micro-currency per hour, rounded to the nearest."""
        total = 0
        for name, price in price_on(self.prices, on).per_hour.items():
            unit = PRICED.get(name, 1)
            total += (2 * price * amounts.get(name, 0) + unit) // (2 * unit)
        return total


def parse_policy(document: Any) -> Policy:
    """A policy from a mapping, as YAML or JSON gives it.

    Raises:
        PolicyError: for the first thing that is wrong; nothing is half-read.
    """
    top = mapping(document, (), ("groups", "plans", "prices"))
    groups = {}
    for name, spec in mapping(top.get("groups"), ("groups",)).items():
        group = parse_group(name, spec)
        if group.name in groups:
            raise PolicyError(("groups", str(name)), _("this group stands here twice."))
        groups[group.name] = group
    plans = {
        str(name): parse_plan(str(name), spec)
        for name, spec in mapping(top.get("plans"), ("plans",)).items()
    }
    return checked(Policy(groups, plans, parse_prices(top.get("prices"))))


def print_policy(policy: Policy) -> dict[str, Any]:
    """The mapping that `parse_policy` reads back to an equal policy."""
    document: dict[str, Any] = {}
    if policy.plans:
        document["plans"] = {name: print_plan(plan) for name, plan in sorted(policy.plans.items())}
    if policy.prices:
        document["prices"] = print_prices(policy.prices)
    if policy.groups:
        groups = sorted(policy.groups.items())
        document["groups"] = {name: print_group(group) for name, group in groups}
    return document


def longest_window(policy: Policy) -> int:
    """The length of the longest window that some limit names, in microseconds; 0 for none."""
    every: list[Group | Plan] = [*policy.groups.values(), *policy.plans.values()]
    windows = [limit.window for entry in every for limit in entry.limits if limit.window]
    return max((length(window) for window in windows), default=0)


def group_name(name: object) -> str:
    """A group's name as the hub has it, without the leading slash that some providers send.

    Raises:
        PolicyError: for an empty name, an empty part between slashes, or what can't be shown.
    """
    text = str(name).strip().strip("/")
    if not text or "//" in text or not _can_be_shown(text):
        raise PolicyError((), _("{name} is not the name of a group.").format(name=_short(name)))
    return text


def _can_be_shown(name: str) -> bool:
    """Names are keys in databases and in addresses: no control characters, no halves of pairs."""
    return len(name) <= 255 and all(unicodedata.category(sign) not in ("Cc", "Cs") for sign in name)


def _short(value: object) -> str:
    """A value in a message, however long it is."""
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return repr(text)


def parse_group(name: object, spec: Any, kept: bool = False) -> Group:
    """One group from its entry in a policy; `kept` as in `parse_limit`. Raises PolicyError."""
    group = group_name(name)
    place = ("groups", str(name))
    keys = ("parent", "plan", "managers", "priority", "limits", "boosts")
    entry = mapping(spec, place, keys)
    managers = entry.get("managers") or []
    if not isinstance(managers, list) or not all(isinstance(who, str) and who for who in managers):
        raise PolicyError(
            (*place, "managers"), _("write a list of user names: [prof-ada, prof-bo].")
        )
    priority = entry.get("priority") or 0
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise PolicyError(
            (*place, "priority"), _("'{priority}' is not a whole number.").format(priority=priority)
        )
    parent = entry.get("parent")
    if parent and group == WHOLE_HUB:
        raise PolicyError(
            (*place, "parent"),
            _("nothing is above '{name}', the whole hub.").format(name=WHOLE_HUB),
        )
    return Group(
        name=group,
        parent=group_name(parent) if parent else "",
        plan=_word(entry.get("plan"), (*place, "plan")),
        managers=tuple(managers),
        priority=priority,
        limits=_limits(group, entry.get("limits"), (*place, "limits"), kept),
        boosts=parse_boosts(group, entry.get("boosts"), (*place, "boosts"), kept),
    )


def print_group(group: Group) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "parent": group.parent,
        "plan": group.plan,
        "managers": list(group.managers),
        "priority": group.priority,
        "limits": _print_limits(group.limits),
        "boosts": print_boosts(group.boosts),
    }
    return {key: value for key, value in entry.items() if value}


def parse_plan(name: str, spec: Any, kept: bool = False) -> Plan:
    """One plan from its entry in a policy; `kept` as in `parse_limit`. Raises PolicyError."""
    entry = mapping(spec, ("plans", name), ("limits",))
    if not name.strip() or not _can_be_shown(name):
        raise PolicyError(
            ("plans",), _("{name} is not the name of a plan.").format(name=_short(name))
        )
    return Plan(name, _limits("", entry.get("limits"), ("plans", name, "limits"), kept))


def print_plan(plan: Plan) -> dict[str, Any]:
    return {"limits": _print_limits(plan.limits)}


def checked(policy: Policy) -> Policy:
    """`policy`, if what its parts say of each other is right. Raises PolicyError."""
    for name, group in policy.groups.items():
        if group.plan and group.plan not in policy.plans:
            hint = did_you_mean(group.plan, list(policy.plans))
            raise PolicyError(
                ("groups", name, "plan"),
                _("there is no plan called '{plan}'.{hint}").format(plan=group.plan, hint=hint),
            )
        if group.parent and group.parent not in policy.groups:
            hint = did_you_mean(group.parent, list(policy.groups))
            raise PolicyError(
                ("groups", name, "parent"),
                _("there is no group called '{parent}' here.{hint}").format(
                    parent=group.parent, hint=hint
                ),
            )
    for name, group in policy.groups.items():
        if group.parent:
            _refuse_cycle(policy, name)
        for number, boost in enumerate(group.boosts, 1):
            if not any(boosts(limit, boost) for limit in policy.limits_of(name)):
                raise PolicyError(
                    ("groups", name, "boosts", str(number)),
                    _("{name} has no {key} with that window to boost.").format(
                        name=name, key=boost.limit.key
                    ),
                )
    return policy


def _refuse_cycle(policy: Policy, start: str) -> None:
    seen = [start]
    while above := policy._above(seen[-1]):
        if above in seen:
            circle = " → ".join([*seen, above])
            raise PolicyError(
                ("groups", start, "parent"),
                _("a group is above itself: {circle}.").format(circle=circle),
            )
        seen.append(above)


def _limits(group: str, spec: Any, place: tuple[str, ...], kept: bool) -> tuple[Limit, ...]:
    found: list[Limit] = []
    for key, value in mapping(spec, place).items():
        found += limits_of_key(group, str(key), value, (*place, str(key)), kept)
    return sorted_limits(found)


def limits_of_key(
    group: str, key: str, value: object, place: tuple[str, ...], kept: bool = False
) -> tuple[Limit, ...]:
    """One limit, or several windows of one budget as a list; `kept` as in `parse_limit`."""
    values = value if isinstance(value, list) and value else [value]
    limits = tuple(parse_limit(group, key, one, place, kept) for one in values)
    if len({limit.window for limit in limits}) < len(limits):
        raise PolicyError(place, _("the same window stands here twice."))
    return limits


def _print_limits(limits: Iterable[Limit]) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    for limit in limits:
        texts.setdefault(limit.key, []).append(limit.text)
    return {key: values[0] if len(values) == 1 else values for key, values in texts.items()}


def sorted_limits(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    return tuple(sorted(limits, key=lambda limit: (limit.key, limit.text)))


def _word(value: object, place: tuple[str, ...]) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise PolicyError(place, _("'{value}' is not a name.").format(value=value))
