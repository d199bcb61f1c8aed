"""What people are told: which limit, how much is used, what fits, whom to ask. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone, tzinfo

from .decision import Answer, Check, Decision
from .limits import GROUP, MEMBER, SERVER, Limit
from .policy import WHOLE_HUB, Policy
from .quantities import AMOUNT, resource, say_duration
from .requests import MEASURED
from .watch import STOPPED, STOPS_SOON, USED_UP, Notice
from .windows import say_window

Managers = Mapping[str, Sequence[str]]
"""User names of managers, by group."""

SCOPE_TITLES = {SERVER: "each server", MEMBER: "each member", GROUP: "the whole group"}


def say_group(name: str) -> str:
    """A group in a sentence."""
    return "this hub" if name == WHOLE_HUB else name


def refusal(decisions: Sequence[Decision], managers: Managers, again: str = "") -> str:
    """Why no server starts, in sentences that name the limit, its use, what fits, and whom to ask.

    Args:
        decisions: the refusal of each group that was tried; at least one.
        again: when the first of them would admit it, if that is known: `on Tue 24 Nov at 08:00`.
    """
    parts = [" ".join(_why(check) for check in decision.refusals) for decision in decisions]
    parts.append(f"You can start it {again}." if again else "")
    parts += [_what_fits(decisions), _whom_to_ask(decisions[0], managers)]
    return " ".join(part for part in parts if part)


def tried(policy: Policy, answer: Answer) -> set[str]:
    """The groups whose limits were looked at."""
    return {name for d in answer.decisions for name in policy.path(d.group)}


def told(
    policy: Policy,
    answer: Answer,
    members: Managers,
    again: int | None,
    present: int,
    zone: tzinfo,
) -> tuple[str, str]:
    """The words and the code of a refusal.

    Args:
        members: who manages the groups that were tried, by their memberships; those whom the
            policy names are added.
        again: the instant at which the first group would admit it, if that is known.
    """
    managers = {
        name: tuple(dict.fromkeys([*members.get(name, ()), *policy.managers(name)]))
        for name in tried(policy, answer)
    }
    when = say_instant(again, present, zone) if again else ""
    return refusal(answer.decisions, managers, when), reason_code(answer.decisions[0])


def reason_code(decision: Decision) -> str:
    """What kind of limit refused: `quota-server`, `quota-member`, `quota-group`, `quota-ancestor`,
    or `quota-budget`. For logs and metrics: never another word."""
    first = decision.refusals[0]
    if first.limit.window:
        return "quota-budget"
    return "quota-ancestor" if first.limit.group != decision.group else f"quota-{first.limit.scope}"


def short_reason(decision: Decision) -> str:
    """Why one choice of several can't be had: its first refusal."""
    return _why(decision.refusals[0])


def _why(check: Check) -> str:
    limit, kind = check.limit, check.limit.kind
    group = say_group(limit.group)
    allowed = kind.say(limit.amount)
    if check.asked is None:
        return (
            f"{group} limits {kind.curve}, and this server has no {kind.curve} limit of its "
            f"own; an admin of the hub has to set one (server.{kind.curve} of the group is enough)."
        )
    if not limit.amount and not limit.window:
        return f"{group} allows no {_things(kind.name)}."
    if limit.scope == SERVER:
        return (
            f"{group} allows each server at most {allowed}{_of(kind.name)}; "
            f"this one asks for {kind.say(check.asked)}."
        )
    whose = "you have" if limit.scope == MEMBER else "all its members together have"
    if limit.window:
        whom = f"{group} gives each member" if limit.scope == MEMBER else f"{group} has"
        what = f"a budget of {allowed}" if kind.name == "cost" else allowed
        used = f"{whom} {what} {say_window(limit.window)}, and {whose} used {kind.say(check.used)}."
        if limit.reaction.size:
            size = " and ".join(f"{_say(n, a)}{_of(n)}" for n, a in limit.reaction.size)
            used += f" Until there is more, only servers with at most {size} start."
        return used
    whom = f"{group} allows each member" if limit.scope == MEMBER else f"{group} has"
    if limit.resource == "servers":
        return f"{whom} {allowed} at once, and {whose} {check.used} running."
    by = _say("servers", check.use.servers)
    return (
        f"{whom} {allowed}{_of(kind.name)} at once; {whose} {kind.say(check.used)} in use by {by}, "
        f"and this one asks for {kind.say(check.asked)}."
    )


def _of(name: str) -> str:
    """Bytes and cores need saying of what; `4 GPUs` do not."""
    return f" of {name}" if name in MEASURED else ""


def _things(name: str) -> str:
    """`GPUs`, `memory`: what a resource is an amount of."""
    return name if name in MEASURED else _say(name, 2).partition(" ")[2]


def _say(name: str, amount: int) -> str:
    found = resource(name)
    assert found
    return found.say(amount)


def _what_fits(decisions: Sequence[Decision]) -> str:
    fits = []
    for decision in decisions:
        if decision.full or any(check.asked is None for check in decision.refusals):
            continue
        room = {name: a for name, a in decision.room.items() if name not in ("servers", "cost")}
        without = [name for name, amount in room.items() if not amount]
        size = " and ".join(
            f"{_say(name, amount)}{_of(name)}" for name, amount in sorted(room.items()) if amount
        )
        size = f"at most {size}" if size else "any size"
        size += "".join(f", without {_things(name)}" for name in without)
        fits.append(f"{size} in {decision.group}" if len(decisions) > 1 else size)
    if fits:
        return f"A server with {', or '.join(fits)} would start now."
    if any(_waits_for_me(decision) for decision in decisions):
        return "Stop a server that you don't need, and this one can start."
    if any(check.limit.window is None for d in decisions for check in d.refusals):
        return "Nothing more fits until a server in the group stops."
    return ""


def _waits_for_me(decision: Decision) -> bool:
    return bool(decision.refusals) and all(
        check.limit.scope == MEMBER and check.limit.window is None and check.used
        for check in decision.refusals
    )


def _whom_to_ask(decision: Decision, managers: Managers) -> str:
    for check in decision.refusals:
        names = managers.get(check.limit.group)
        if names:
            manages = "who manages" if len(names) == 1 else "who manage"
            return f"To get more, ask {_either(names)}, {manages} {say_group(check.limit.group)}."
    return "To get more, ask an admin of this hub."


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def say_instant(at: int, present: int, zone: tzinfo) -> str:
    """`at 15:10`, `on Tue 24 Nov at 08:00`: an instant (microseconds), to the next full minute."""
    when, here = (
        datetime.fromtimestamp(instant, timezone.utc).astimezone(zone)
        for instant in (-(-at // 60_000_000) * 60, present // 10**6)
    )
    day = "" if when.date() == here.date() else f"on {when:%a} {when.day} {when:%b} "
    return f"{day}at {when:%H:%M} ({when:%Z})"


def title(check: Check) -> str:
    """What a limit is about, for a row: `CPU, me`, `GPU-hours, the whole group, a month`."""
    whom = "me" if check.limit.scope == MEMBER else SCOPE_TITLES[check.limit.scope]
    window = f", {say_window(check.limit.window)}" if check.limit.window else ""
    return f"{resource_title(check.limit.resource)}, {whom}{window}"


def resource_title(name: str) -> str:
    """`CPU`, `GPU-hours`, `Memory`: at the start of a line."""
    words = {"cpu": "CPU", "gpu": "GPUs", "cpu-hours": "CPU-hours", "gpu-hours": "GPU-hours"}
    return words.get(name, name[:1].upper() + name[1:])


def headline(check: Check) -> str:
    """One limit and its use, for a row of a page: `1 of 2 servers`, `at most 8 GiB a server`."""
    if check.limit.scope == SERVER:
        return f"at most {check.limit.kind.say(check.limit.amount)} a server"
    if check.use.used is None:
        return f"{check.limit.kind.say(check.limit.amount)}, not now"
    return of(check.limit.resource, check.used, check.limit.amount)


def of(name: str, used: int, amount: int) -> str:
    """`0.5 of 4 cores`, `512 MiB of 8 GiB`: the unit twice only where it differs."""
    found = resource(name)
    assert found
    total, (number, _, unit) = found.say(amount), found.say(used).rpartition(" ")
    same = total.rpartition(" ")[2].rstrip("s") == unit.rstrip("s")
    return f"{number if same and number else found.say(used)} of {total}"


def explanation(decision: Decision) -> str:
    """Every limit that was looked at, line by line, to paste into an answer to a user."""
    asked = ", ".join(
        f"{_say(name, amount)}{_of(name)}"
        for name, amount in sorted(decision.amounts.items())
        if (found := resource(name)) and found.kind == AMOUNT and name != "servers" and amount
    )
    verdict = "would start" if decision.allowed else "would be refused"
    lines = [f"A server with {asked or 'no limits'} charged to {decision.group} {verdict}."]
    for check in decision.checks:
        mark = "ok " if check.passed else "NO "
        source = f"plan {check.limit.plan}" if check.limit.plan else "set there"
        lines.append(
            f"  {mark} {check.limit.group} · {check.limit.key}: {check.limit.text} ({source}); "
            f"{headline(check)}{_asks(check)}{_lasting(check)}"
        )
    if not decision.checks:
        lines.append("  No limit holds there.")
    if decision.allowed and decision.lasts is not None:
        lines.append(f"It could run for {say_duration(decision.lasts)} at least.")
    return "\n".join(lines)


def _asks(check: Check) -> str:
    if check.limit.window or check.asked is None:
        return "" if check.asked is not None else "; the server has no limit of its own"
    return f"; asks for {check.limit.kind.say(check.asked)}"


def _lasting(check: Check) -> str:
    return f"; lasts {say_duration(check.lasts)} at least" if check.lasts is not None else ""


def notice(told: Notice, present: int, zone: tzinfo) -> str:
    """What people are told, in a sentence or two."""
    limit, group = told.limit, say_group(told.limit.group)
    if told.kind in (STOPS_SOON, STOPPED):
        server = f"server '{told.server}'" if told.server else "server"
        assert told.stops_at
        when = say_instant(told.stops_at, present, zone)
        stops = "was stopped" if told.kind == STOPPED else "stops"
        return f"Your {server} {stops} {when}: {_why_it_stops(limit, told.kind == STOPPED)}"
    who, its = ("You have", "your") if told.user else (f"{group} has", "its")
    amount = f"{its} {_budget(limit)}{f' in {group}' if told.user else ''}"
    if told.kind == USED_UP:
        return f"{who} used all of {amount}. {_reaction(told, present, zone)}"
    ends = ""
    if told.used_up is not None:
        ends = f" If what runs goes on, nothing is left {say_instant(told.used_up, present, zone)}."
    return f"{who} used {told.share:.0%} of {amount}.{ends}"


def _budget(limit: Limit) -> str:
    """`40 CPU-hours in any 7 days`."""
    assert limit.window
    what = "budget of " if limit.resource == "cost" else ""
    return f"{what}{limit.kind.say(limit.amount)} {say_window(limit.window)}"


def _why_it_stops(limit: Limit, past: bool) -> str:
    group = say_group(limit.group)
    if limit.resource == "lifetime":
        return f"{group} lets each server run for {say_duration(limit.amount)}."
    if limit.resource == "idle":
        length = say_duration(limit.amount)
        if past:
            return f"it had not been used for {length}."
        return f"{group} stops servers that are not used for {length}. Use it, and it goes on."
    whose = "your" if limit.scope == MEMBER else "the group's"
    return f"{whose} {_budget(limit)} in {group} {'is' if past else 'is then'} used up."


def _reaction(told: Notice, present: int, zone: tzinfo) -> str:
    reaction = told.limit.reaction
    if told.stops_at is not None:
        when = say_instant(told.stops_at, present, zone)
        return f"New servers are refused, and those that run stop {when}."
    if reaction.size:
        size = " and ".join(f"{_say(name, a)}{_of(name)}" for name, a in reaction.size)
        return f"Until there is more, only servers with at most {size} start."
    return "New servers are refused until there is more; those that run go on."
