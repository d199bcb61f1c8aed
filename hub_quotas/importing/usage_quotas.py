"""The policy of jupyterhub-usage-quotas, as versions 0.1 and 0.2 read it. Pure.

There a policy is a budget of memory or CPU hours for each member of some groups, over the last so
many days, looked at when a server starts. Memory is counted in byte-hours, with suffixes of 1024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..policy import DEFAULT_GROUP
from ..quantities import HOUR, resource
from ..windows import DAY, MINUTE
from .report import ASIDE, CANNOT, DIFFERS, Converted, Draft, SourceError, short
from .sources import Code, Place, Setting, Source

CLASS = "UsageQuotaManager"
_STRATEGIES = ("scope_fallback_strategy", "scope_backup_strategy")
"""The second is what version 0.1 called it."""
_OURS = ("policy", *_STRATEGIES, "failover_open", "prometheus_usage_metrics")
_NOT_NEEDED = (
    *("prometheus_url", "prometheus_auth", "prometheus_scrape_interval"),
    *("prometheus_emit_interval", "prometheus_emit_namespace", "metrics_exporter_token"),
    *("hub_url", "hub_namespace", "escape_username_scheme"),
)
_KEYS = ("resource", "limit", "window", "scope")
_MEMORY = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_CPU = {"": 1, "K": 10**3, "M": 10**4, "G": 10**5, "T": 10**6}
"""As its code has them: M, G and T are not millions, billions and more."""
_UNITS = {"gib-hours": ("memory", 2**30), "cpu-hours": ("cpu", 1)}
_LIMIT = re.compile(r"([0-9]{1,24})([KMGT]?)", re.IGNORECASE)


class _Unreadable(ValueError):
    """Why a policy can't be read."""


@dataclass(frozen=True)
class _Budget:
    """One policy for one group, or for those without one.

    Attributes:
        amount: byte-hours or CPU-hours.
        window: microseconds.
        but: in what it is not what it looks like there.
    """

    resource: str
    amount: int
    window: int
    place: Place
    what: str
    but: str = ""


def convert(source: Source) -> Converted:
    """The policy that says the same, as far as one can.

    Raises:
        SourceError: there is no policy of this kind in it.
    """
    found = source.of(CLASS)
    if not found:
        raise SourceError(
            f"there is no {CLASS} in it: no c.{CLASS}.policy and no hub.config.{CLASS}."
        )
    draft = Draft()
    for setting in found.values():
        if setting.perhaps:
            why = "it stands in an if, a loop or a function; it is taken as if that always ran."
            draft.note(DIFFERS, setting.place, setting.name, why)
    operator = _strategy(draft, found)
    _policies(draft, found.get("policy"), operator)
    _others(draft, found)
    source.note_unread(draft, CLASS)
    return draft.finish()


# -- policies --------------------------------------------------------------------------------------


def _policies(draft: Draft, setting: Setting | None, operator: str) -> None:
    if setting is None:
        return
    if not isinstance(setting.value, list):
        draft.note(CANNOT, setting.place, setting.name, _no_literal(setting.value, "a list"))
        return
    by_group: dict[str, dict[tuple[str, int], list[_Budget]]] = {}
    for number, entry in enumerate(setting.value, 1):
        place = (*setting.place, str(number))
        try:
            groups, budget = _read(draft, entry, place)
        except _Unreadable as error:
            draft.note(CANNOT, place, short(entry), str(error))
            continue
        for group in groups:
            key = (budget.resource, budget.window)
            by_group.setdefault(group, {}).setdefault(key, []).append(budget)
    for group, budgets in by_group.items():
        for some in budgets.values():
            _say(draft, group, _merged(some, operator))
    _several_groups(draft, by_group, setting.place, operator)


def _read(draft: Draft, entry: Any, place: Place) -> tuple[list[str], _Budget]:
    if not isinstance(entry, Mapping):
        raise _Unreadable(_no_literal(entry, "resource, limit, window and scope"))
    draft.unknown(entry, _KEYS, place)
    scope = entry.get("scope")
    if not isinstance(scope, Mapping):
        raise _Unreadable("it has no scope, and so is for nobody.")
    draft.unknown(scope, ("group",), (*place, "scope"))
    groups = scope.get("group")
    if not isinstance(groups, list) or not groups:
        raise _Unreadable("its scope names no group; there it fails for everybody.")
    for group in groups:
        if not isinstance(group, (str, int)):
            why = "only names that are written out are read."
            draft.note(CANNOT, (*place, "scope", "group"), short(group), why)
    names = dict.fromkeys(str(group) for group in groups if isinstance(group, (str, int)))
    return list(names), _budget(draft, entry, place)


def _budget(draft: Draft, entry: Mapping[Any, Any], place: Place) -> _Budget:
    name, limit, window = (entry.get(key) for key in ("resource", "limit", "window"))
    if name not in ("memory", "cpu"):
        raise _Unreadable(f"its resource is {short(name)}; there it is memory or cpu.")
    amount, but = _amount(draft, name, limit, place)
    if isinstance(window, bool) or not isinstance(window, (int, float)) or not window > 0:
        raise _Unreadable(f"its window is {short(window)}; there it is a number of days.")
    length = round(Decimal(str(window)) * DAY / MINUTE) * MINUTE
    if window != int(window):
        but += "there a window of part of a day makes the query fail, and everybody may start; "
    unit = f" {limit.get('unit', '')}" if isinstance(limit, Mapping) else ""
    shown = limit.get("value") if isinstance(limit, Mapping) else limit
    what = f"{name}: {short(shown)}{unit} in {window:g} {'day' if window == 1 else 'days'}"
    return _Budget(name, amount, length, place, what, but)


def _amount(draft: Draft, name: str, limit: Any, place: Place) -> tuple[int, str]:
    """Byte-hours or CPU-hours, and in what they are not what they look like."""
    if isinstance(limit, Mapping):  # version 0.1
        draft.unknown(limit, ("value", "unit"), (*place, "limit"))
        value, unit = limit.get("value"), str(limit.get("unit", "")).lower()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise _Unreadable(f"its limit is {short(value)}; there it is a number.")
        if _UNITS.get(unit, ("", 0))[0] != name:
            raise _Unreadable(f"its unit is {short(limit.get('unit'))}; {name} has another one.")
        return int(Decimal(str(value)) * _UNITS[unit][1]), ""
    if isinstance(limit, Code):
        raise _Unreadable(f"its limit is {limit}, which is code and not run.")
    match = None if isinstance(limit, bool) else _LIMIT.fullmatch(str(limit))
    if not match or (isinstance(limit, str) and not match[2]):
        raise _Unreadable(
            f"its limit is {short(limit)}; there it is a number, or one with K, M, G or T."
        )
    number, suffix = int(match[1]), match[2]
    but = ""
    if suffix != suffix.upper():
        but = f"there the small '{suffix}' is an error at each start, and everybody may start; "
    factor = (_MEMORY if name == "memory" else _CPU)[suffix.upper()]
    if name == "cpu" and suffix.upper() in ("M", "G", "T"):
        but += f"there '{suffix}' of CPU-hours is {factor:,}; "
    return number * factor, but


def _merged(budgets: list[_Budget], operator: str) -> _Budget:
    """What holds of several policies with one resource and window for one group."""
    first = budgets[0]
    if len(budgets) == 1:
        return first
    amounts = [budget.amount for budget in budgets]
    amount = sum(amounts) if operator == "sum" else (min if operator == "min" else max)(amounts)
    others = ", ".join(budget.place[-1] for budget in budgets[1:])
    what = f"{first.what}, with {others} by '{operator}'"
    but = "".join(dict.fromkeys(budget.but for budget in budgets))
    return _Budget(first.resource, amount, first.window, first.place, what, but)


def _say(draft: Draft, group: str, budget: _Budget, but: str = "") -> None:
    name = f"{budget.resource}-hours"
    kind = resource(name)
    assert kind
    unit = 1000 if budget.resource == "cpu" else 1
    amount = kind.format(budget.amount * unit * HOUR)
    length = f"{budget.window // DAY}d" if budget.window % DAY == 0 else _minutes(budget.window)
    but = (budget.but + but).removesuffix("; ")
    draft.say(group, f"member.{name}", f"{amount} per {length}", budget.place, budget.what, but)


def _minutes(window: int) -> str:
    return f"{window // MINUTE}m"


def _several_groups(
    draft: Draft,
    by_group: Mapping[str, Mapping[tuple[str, int], Any]],
    place: Place,
    operator: str,
) -> None:
    if len(by_group) < 2:
        return
    keys = [set(budgets) for budgets in by_group.values()]
    shared = any(one & other for n, one in enumerate(keys) for other in keys[n + 1 :])
    there = f"one budget, the {operator} of them" if shared else "all of them at once"
    why = (
        f"whoever is in several of these groups has there {there}; here each server is charged to "
        "one group, and each group's budget holds for what is charged to it."
    )
    draft.note(DIFFERS, place, f"members of several of {len(by_group)} groups", why)


# -- all else --------------------------------------------------------------------------------------


def _strategy(draft: Draft, found: Mapping[str, Setting]) -> str:
    """The operator for several policies, after what the strategy says of people without one."""
    setting = next((found[name] for name in _STRATEGIES if name in found), None)
    if setting is None:
        return "min"
    value, place = setting.value, setting.place
    if not isinstance(value, Mapping):
        draft.note(CANNOT, place, setting.name, _no_literal(value, "a mapping"))
        return "min"
    draft.unknown(value, ("empty", "intersection"), place)
    empty = value.get("empty")
    if isinstance(empty, Mapping) and empty:
        draft.unknown(empty, _KEYS[:3], (*place, "empty"))
        try:
            budget = _budget(draft, empty, (*place, "empty"))
        except _Unreadable as error:
            draft.note(CANNOT, (*place, "empty"), short(empty), str(error))
        else:
            why = "there also for who is in groups of which no policy says anything."
            _say(draft, DEFAULT_GROUP, budget, why)
    elif empty is not None and empty != {}:
        draft.note(CANNOT, (*place, "empty"), short(empty), _no_literal(empty, "a policy"))
    operator = value.get("intersection", "min")
    if operator not in ("min", "max", "sum"):
        why = "it is min, max or sum there; min is taken."
        draft.note(CANNOT, (*place, "intersection"), f"intersection: {short(operator)}", why)
        return "min"
    why = "several policies of one group are put together by it; groups are not."
    draft.note(DIFFERS, (*place, "intersection"), f"intersection: {operator}", why)
    return str(operator)


def _others(draft: Draft, found: Mapping[str, Setting]) -> None:
    failover = found.get("failover_open")
    is_open = failover is None or failover.value is not False
    why = (
        'a setting of the hub and no part of a policy: c.HubQuotas.on_outage = "allow"; '
        "without it, nobody starts a server while the ledger can't be reached."
        if is_open
        else "as it is here by itself."
    )
    what = f"failover_open: {is_open}" + ("" if failover else " (not set)")
    where = failover.place if failover else (CLASS,)
    draft.note(DIFFERS if is_open else ASIDE, where, what, why)
    if metrics := found.get("prometheus_usage_metrics"):
        why = "here what counts is what servers are guaranteed, from start to end, to the second."
        draft.note(DIFFERS, metrics.place, metrics.name, why)
    for name, setting in found.items():
        if name in _NOT_NEEDED:
            why = "not needed: the ledger is the hub's own, and asks no Prometheus."
            draft.note(ASIDE, setting.place, name, why)
    rest = {n: s for n, s in found.items() if n not in _OURS + _NOT_NEEDED}
    for name, setting in rest.items():
        draft.unknown({name: setting.value}, _OURS + _NOT_NEEDED, setting.place[:-1])


def _no_literal(value: Any, expected: str) -> str:
    if isinstance(value, Code):
        return "it is code, which is not run; write what it comes to."
    return f"there it is {expected}, and not {short(value)}."
