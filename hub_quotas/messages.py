"""What people are told: which limit, how much is in use, what fits, whom to ask. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .decision import Check, Decision
from .limits import GROUP, MEMBER, SERVER
from .quantities import RESOURCES

Managers = Mapping[str, Sequence[str]]
"""User names of managers, by group."""


def refusal(decisions: Sequence[Decision], managers: Managers) -> str:
    """Why no server starts, in sentences that name the limit, its use, what fits, and whom to ask.

    Args:
        decisions: the refusal of each group that was tried; at least one.
    """
    parts = [" ".join(_why(check) for check in decision.refusals) for decision in decisions]
    first = decisions[0]
    return " ".join([*parts, _what_fits(decisions), _whom_to_ask(first, managers)])


def _why(check: Check) -> str:
    limit = check.limit
    say = RESOURCES[limit.resource].say
    allowed = say(limit.amount)
    of = "" if limit.resource == "servers" else f" of {limit.resource}"
    if check.asked is None:
        return (
            f"{limit.group} limits {limit.resource}, and this server has no {limit.resource} limit "
            f"of its own; an admin of the hub has to set one (server.{limit.resource} of the group "
            f"is enough)."
        )
    if limit.scope == SERVER:
        return (
            f"{limit.group} allows each server at most {allowed}{of}; "
            f"this one asks for {say(check.asked)}."
        )
    whom = f"{limit.group} allows each member" if limit.scope == MEMBER else f"{limit.group} has"
    whose = "you have" if limit.scope == MEMBER else "all its members together have"
    if limit.resource == "servers":
        return f"{whom} {allowed} at once, and {whose} {check.used} running."
    by = RESOURCES["servers"].say(check.servers)
    return (
        f"{whom} {allowed}{of} at once; {whose} {say(check.used)} in use by {by}, "
        f"and this one asks for {say(check.asked)}."
    )


def _what_fits(decisions: Sequence[Decision]) -> str:
    fits = []
    for decision in decisions:
        room = {name: amount for name, amount in decision.room.items() if name != "servers"}
        unknown = any(check.asked is None for check in decision.refusals)
        if unknown or not all(decision.room.values()):
            continue
        size = " and ".join(
            f"{RESOURCES[name].say(amount)} of {name}" for name, amount in sorted(room.items())
        )
        fits.append(f"{size} in {decision.group}" if len(decisions) > 1 else size)
    if fits:
        return f"A server with at most {', or '.join(fits)} would start now."
    if any(_waits_for_me(decision) for decision in decisions):
        return "Stop a server that you don't need, and this one can start."
    return "Nothing more fits until a server in the group stops."


def _waits_for_me(decision: Decision) -> bool:
    return bool(decision.refusals) and all(
        check.limit.scope == MEMBER and check.used for check in decision.refusals
    )


def _whom_to_ask(decision: Decision, managers: Managers) -> str:
    for check in decision.refusals:
        names = managers.get(check.limit.group)
        if names:
            manages = "who manages" if len(names) == 1 else "who manage"
            return f"To get more, ask {_either(names)}, {manages} {check.limit.group}."
    return "To get more, ask an admin of this hub."


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def headline(check: Check) -> str:
    """One limit and its use, for a row of a page: `1 of 2 servers`, `at most 8 GiB a server`."""
    if check.limit.scope == SERVER:
        return f"at most {RESOURCES[check.limit.resource].say(check.limit.amount)} a server"
    return of(check.limit.resource, check.used, check.limit.amount)


def of(resource: str, used: int, amount: int) -> str:
    """`0.5 of 4 cores`, `512 MiB of 8 GiB`: the unit twice only where it differs."""
    say = RESOURCES[resource].say
    total, (number, _, unit) = say(amount), say(used).rpartition(" ")
    same = total.rpartition(" ")[2].rstrip("s") == unit.rstrip("s")
    return f"{number if same else say(used)} of {total}"


SCOPE_TITLES = {SERVER: "each server", MEMBER: "each member", GROUP: "the whole group"}
