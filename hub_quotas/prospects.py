"""What would be said of servers that somebody may start, in words: for pages that offer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hub_groups.store import GroupStore, StoreError

from .costs import per_hour
from .decision import Answer, Decision
from .messages import told, tried
from .policy_store import now
from .quantities import resource, say_duration
from .requests import MEASURED, Amounts, Request
from .store import QuotaStore


@dataclass(frozen=True)
class Prospect:
    """A server that may be started.

    Attributes:
        allowed: whether it would start now.
        group: which would be charged; the first that was tried where none admits it.
        why: why it would not start, whom to ask, and what fits; empty where it would.
        lasts: how long what is left lasts; empty where there is no budget.
        price: what an hour costs; empty where nothing has a price.
    """

    allowed: bool
    group: str
    why: str = ""
    lasts: str = ""
    price: str = ""


def prospects(
    store: QuotaStore,
    members: GroupStore,
    user: str,
    groups: Sequence[str],
    requests: Sequence[Request],
    currency: str = "",
    without: str = "",
    admin: bool = False,
) -> list[Prospect]:
    """Of each request, as `reserve` would decide it: the first group that admits it is charged.

    Args:
        groups: which the user may charge.
        without: the id of a session that would have ended by then.
        admin: whether the user is one of the hub, and so is not told to ask one.

    Raises:
        LedgerError: the ledger can't be reached.
    """
    order = store.policy().in_order(groups) if len(groups) > 1 else groups
    by_group = store.explain_all(user, order, requests, without)
    found = []
    for decisions in zip(*by_group, strict=True):
        granted = next((one for one in decisions if one.allowed), None)
        if granted:
            found.append(_granted(granted, currency))
            continue
        policy, answer = store.policy(), Answer(decisions)
        try:
            managers = members.managers(tried(policy, answer))
        except StoreError:  # without their names
            managers = {}
        again = store.again(user, decisions[0])
        why, _code = told(policy, answer, managers, again, now(), store.zone, admin)
        found.append(Prospect(False, decisions[0].group, why))
    return found


def _granted(decision: Decision, currency: str) -> Prospect:
    lasts = say_duration(decision.lasts) if decision.lasts is not None else ""
    rate = decision.amounts.get("cost", 0)
    return Prospect(
        True, decision.group, lasts=lasts, price=per_hour(rate, currency) if rate else ""
    )


def say_size(limits: Amounts) -> str:
    """`2 cores, 4 GiB`: a server's limits; empty where it has none."""
    parts = []
    for name in (*MEASURED, *sorted(set(limits) - set(MEASURED))):
        kind = resource(name)
        amount = limits.get(name)
        if not amount or kind is None:
            continue
        said = kind.say(amount)
        parts.append(said if name in MEASURED else f"{said} {name}")
    return ", ".join(parts)
