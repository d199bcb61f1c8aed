"""What there is to have on a hub, and what it costs: rendered from what is in force. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from hub_groups.words import _

from .costs import per_hour
from .limits import KEYS, SCOPES, Limit
from .messages import scope_titles
from .more import say_limit
from .policy import Policy
from .prices import PRICED, price_on
from .quantities import resource, say_duration
from .requests import Amounts
from .windows import say_day

USERS, ADMINS = "users", "admins"
"""Who sees the menu: everybody with a login, or readers and admins."""

_GIB = 2**30
SIZES: tuple[Amounts, ...] = (
    {"cpu": 1000, "memory": 4 * _GIB},
    {"cpu": 2000, "memory": 8 * _GIB},
    {"cpu": 4000, "memory": 16 * _GIB},
    {"cpu": 8000, "memory": 32 * _GIB},
)
"""Servers as they are often offered, to say what an hour of each costs."""
_WITH: Amounts = {"cpu": 4000, "memory": 16 * _GIB}
"""What comes with one of whatever else has a price: a GPU."""


@dataclass(frozen=True)
class Offer:
    """A plan.

    Attributes:
        gives: (whom, what) for each scope that it limits: `each member`, `2 servers, ...`.
        groups: how many have it.
        mine: those of them that are of who looks.
    """

    name: str
    gives: tuple[tuple[str, str], ...]
    groups: int
    mine: tuple[str, ...]


@dataclass(frozen=True)
class Rate:
    """What an hour of something costs: micro-currency."""

    what: str
    rate: int


@dataclass(frozen=True)
class Menu:
    """All of it on one day.

    Attributes:
        units: of one core, one GiB, one GPU.
        sizes: of whole servers.
        storage: micro-currency for a GiB for a month; 0 for nothing.
        until: the last day on which these prices hold for new servers; None for no end.
    """

    offers: tuple[Offer, ...]
    units: tuple[Rate, ...]
    sizes: tuple[Rate, ...]
    storage: int
    until: date | None

    @property
    def costs(self) -> bool:
        """Whether anything does."""
        return bool(self.units or self.storage)


def menu(policy: Policy, day: date, mine: Iterable[str] = ()) -> Menu:
    """What there is on a day.

    Args:
        mine: groups of who looks; the names of other groups are not said.
    """
    own = sorted(mine)
    price = price_on(policy.prices, day)
    priced = {name: rate for name, rate in price.per_hour.items() if rate}
    later = min((one.since for one in policy.prices if one.since > day), default=None)
    having = [(name, group.plan) for name, group in policy.groups.items() if group.plan]
    return Menu(
        offers=tuple(
            Offer(
                name,
                _gives(plan.limits),
                sum(1 for _group, had in having if had == name),
                tuple(group for group in own if _plan_of(policy, group) == name),
            )
            for name, plan in sorted(policy.plans.items())
        ),
        units=tuple(Rate(_unit(name), rate) for name, rate in sorted(priced.items())),
        sizes=tuple(
            Rate(_size(amounts), policy.cost_rate({**amounts, "servers": 1}, day))
            for amounts in _sizes(priced)
        ),
        storage=price.storage,
        until=later - timedelta(days=1) if later else None,
    )


def _plan_of(policy: Policy, group: str) -> str:
    known = policy.groups.get(group)
    return known.plan if known else ""


def _gives(limits: Iterable[Limit]) -> tuple[tuple[str, str], ...]:
    names, every = scope_titles(), sorted(limits, key=_place)
    found = []
    for scope in SCOPES:
        said = [_say(limit) for limit in every if limit.scope == scope]
        if said:
            found.append((names[scope], ", ".join(said)))
    return tuple(found)


def _place(limit: Limit) -> tuple[int, str]:
    """In the order in which the pages have them."""
    return (KEYS.index(limit.key) if limit.key in KEYS else len(KEYS), limit.key)


def _say(limit: Limit) -> str:
    """`40 CPU-hours in any 7 days`, `stops after 12 h`."""
    if limit.resource == "lifetime":
        return _("stops after {length}").format(length=say_duration(limit.amount))
    if limit.resource == "idle":
        return _("stops after {length} without use").format(length=say_duration(limit.amount))
    return say_limit(limit)


def _sizes(priced: Iterable[str]) -> list[Amounts]:
    names = set(priced)
    if not names:
        return []
    others = sorted(names - {*PRICED, "servers"})
    return [*SIZES, *({**_WITH, name: 1} for name in others)]


def _size(amounts: Amounts) -> str:
    found = ((resource(name), amount) for name, amount in amounts.items())
    return ", ".join(kind.say(amount) for kind, amount in found if kind)


def _unit(name: str) -> str:
    known = {
        "cpu": _("A core"),
        "memory": _("A GiB of memory"),
        "gpu": _("A GPU"),
        "servers": _("A server"),
    }
    return known.get(name, name)


def markdown(found: Menu, currency: str = "") -> str:
    """Tables for a page of a book, in Markdown as MyST and Sphinx read it, and in English."""
    parts = []
    if found.offers:
        rows = [
            (
                f"**{_plain(offer.name)}**",
                "<br>".join(f"{_plain(who)}: {_plain(what)}" for who, what in offer.gives),
            )
            for offer in found.offers
        ]
        parts.append(_table(("Plan", "What it gives"), rows))
    if found.units:
        heads = ("What", "An hour")
        for rates in (found.units, found.sizes):
            parts.append(
                _table(heads, [(_plain(one.what), per_hour(one.rate, currency)) for one in rates])
            )
    if found.storage:
        price = per_hour(found.storage, currency)
        parts.append(f"A GiB of storage costs {price} a month.")
    if found.until:
        parts.append(f"These prices hold until {say_day(found.until)}.")
    return "\n\n".join(parts) + "\n" if parts else ""


def _table(heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [heads, ("---", "---"), *rows]
    return "\n".join(f"| {one} | {other} |" for one, other in lines)


def _plain(text: str) -> str:
    """What would mean something in a table is written as what it is."""
    return re.sub(r"([\\`*_{}\[\]<>|$~])", r"\\\1", text)
