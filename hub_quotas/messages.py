"""What people are told: which limit, how much is used, what fits, whom to ask. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import partial, reduce

from hub_groups.words import _, join, ngettext

from .decision import Answer, Check, Decision
from .limits import GROUP, MEMBER, SERVER, Limit
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy
from .quantities import resource, say_duration
from .requests import Amounts
from .watch import STOPPED, STOPS_SOON, USED_UP, Notice
from .windows import say_instant, say_window

Managers = Mapping[str, Sequence[str]]
"""User names of managers, by group."""


def scope_titles() -> dict[str, str]:
    """What the scopes of limits are called."""
    return {SERVER: _("each server"), MEMBER: _("each member"), GROUP: _("the whole group")}


def say_group(name: str) -> str:
    """A group in a sentence."""
    return _("this hub") if name == WHOLE_HUB else name


def begin(text: str, group: str) -> str:
    """A sentence that begins with a group: `This hub limits ...`, `geo-101 limits ...`."""
    if group == DEFAULT_GROUP and text.startswith(f"{group} "):
        return _("The group {sentence}").format(sentence=text)  # nobody reads it as a name
    return text[:1].upper() + text[1:] if group == WHOLE_HUB else text


def refusal(
    decisions: Sequence[Decision],
    managers: Managers,
    again: str = "",
    admin: bool = False,
    above: Mapping[str, Sequence[str]] = {},
) -> str:
    """Why no server starts, in sentences that name the limit, its use, what fits, and whom to ask.

    Args:
        decisions: the refusal of each group that was tried; at least one.
        again: when the first of them would admit it, if that is known: `on Tue 24 Nov at 08:00`.
        admin: whether an admin of the hub reads it, who has nobody to ask.
        above: of each group, those above it, nearest first.
    """
    parts = [_whys([decision]) for decision in decisions]
    if any(check.limit.group == DEFAULT_GROUP for d in decisions for check in d.refusals):
        text = _("The group {group} is for everybody without a group.")
        parts.append(text.format(group=DEFAULT_GROUP))
    parts.append(_("You can start it {again}.").format(again=again) if again else "")
    mine = _("You can change this under Groups and limits.") if admin else ""
    first = decisions[0]
    ask = _who_sets if first.unsized else partial(_whom_to_ask, above=above)
    parts += [_what_fits(decisions), mine or ask(first, managers)]
    return " ".join(part for part in parts if part)


def reasons(decisions: Sequence[Decision]) -> str:
    """Of a refusal, only which limits refused: nobody's name, and no advice."""
    return _whys(decisions)


def _whys(decisions: Sequence[Decision]) -> str:
    whys = (_why(check) for decision in decisions for check in decision.refusals)
    return " ".join(dict.fromkeys(whys))  # several limits may lack the same amount


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
    admin: bool = False,
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
    above = {name: policy.path(name)[1:] for name in managers}
    said = refusal(answer.decisions, managers, when, admin, above)
    return said, reason_code(answer.decisions[0])


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
    return begin(_why_in_words(check), check.limit.group)


def _why_in_words(check: Check) -> str:
    limit, kind = check.limit, check.limit.kind
    group = say_group(limit.group)
    if check.asked is None:
        return _incomplete(kind.curve).format(group=group, key=f"{SERVER}.{kind.curve}")
    if not limit.amount and not limit.window:
        return _("{group} allows no {resource}.").format(group=group, resource=things(kind.name))
    if limit.scope == SERVER:
        text = _("{group} allows each server at most {allowed}; this one asks for {asked}.")
    elif limit.window:
        return _why_budget(check)
    elif limit.resource == "servers":
        text = _(
            "{group} may have {allowed} at once, and all its members together have {used} running."
        )
        if limit.scope == MEMBER:
            text = _("{group} allows each member {allowed} at once, and you have {used} running.")
        return text.format(group=group, allowed=kind.say(limit.amount), used=check.used)
    elif limit.scope == MEMBER:
        text = _(
            "{group} allows each member {allowed} at once; you have {used} in use by {servers}, "
            "and this one asks for {asked}."
        )
    else:
        text = _(
            "{group} may have {allowed} at once; all its members together have {used} in use by "
            "{servers}, and this one asks for {asked}."
        )
    return text.format(
        group=group,
        allowed=amount_of(kind.name, limit.amount),
        used=kind.say(check.used),
        servers=_say("servers", check.use.servers),
        asked=kind.say(check.asked),
    )


def _incomplete(name: str) -> str:
    """What is missing where a server gets no limit on what every server takes."""
    if name == "memory":
        return _(
            "{group} is not set up completely: it limits memory, but does not say how much "
            "memory each server gets ({key})."
        )
    return _(
        "{group} is not set up completely: it limits CPU, but does not say how many cores "
        "each server gets ({key})."
    )


def _why_budget(check: Check) -> str:
    limit, kind = check.limit, check.limit.kind
    assert limit.window
    amount = kind.say(limit.amount)
    if kind.name == "cost":
        amount = _("a budget of {amount}").format(amount=amount)
    text = _("{group} has {amount} {window}, and all its members together have used {used}.")
    if limit.scope == MEMBER:
        text = _("{group} gives each member {amount} {window}, and you have used {used}.")
    said = text.format(
        group=say_group(limit.group),
        amount=amount,
        window=say_window(limit.window),
        used=kind.say(check.used),
    )
    return f"{said} {_only_small(limit)}" if limit.reaction.size else said


def _only_small(limit: Limit) -> str:
    """What a budget that is used up still allows."""
    size = both(amount_of(name, amount) for name, amount in limit.reaction.size)
    text = _("Until there is more, only servers with at most {size} start.")
    return text.format(size=size)


def amount_of(name: str, amount: int) -> str:
    """Bytes and cores need saying of what; `4 GPUs` do not."""
    said = _say(name, amount)
    if name == "memory":
        return _("{amount} of memory").format(amount=said)
    return _("{amount} of cpu").format(amount=said) if name == "cpu" else said


def things(name: str) -> str:
    """`GPUs`, `memory`: what a resource is an amount of."""
    known = {
        "cpu": _("cpu"),
        "memory": _("memory"),
        "gpu": _("GPUs"),
        "servers": _("servers"),
    }
    return known.get(name, name)


def _say(name: str, amount: int) -> str:
    found = resource(name)
    assert found
    return found.say(amount)


def both(texts: Iterable[str]) -> str:
    """`a and b`."""
    return reduce(lambda one, other: _("{one} and {other}").format(one=one, other=other), texts)


def _what_fits(decisions: Sequence[Decision]) -> str:
    fits = []
    for decision in decisions:
        if decision.full or decision.unsized:
            continue
        size = _say_room(decision.room)
        if len(decisions) > 1:
            size = _("{size} in {group}").format(size=size, group=decision.group)
        fits.append(size)
    if fits:
        either = reduce(lambda a, b: _("{one}, or {other}").format(one=a, other=b), fits)
        return _("A server with {size} would start now.").format(size=either)
    if any(_waits_for_me(decision) for decision in decisions):
        return _("Stop a server that you don't need, and this one can start.")
    waits = [check for d in decisions if not d.unsized for check in d.refusals]
    if any(check.limit.window is None for check in waits):
        return _("Nothing more fits until a server in the group stops.")
    return ""


def _say_room(room: Amounts) -> str:
    """`at most 2 cores of cpu and 4 GiB of memory, without GPUs`."""
    room = {name: amount for name, amount in room.items() if name not in ("servers", "cost")}
    sizes = [amount_of(name, amount) for name, amount in sorted(room.items()) if amount]
    said = _("at most {size}").format(size=both(sizes)) if sizes else _("any size")
    for name in (name for name, amount in room.items() if not amount):
        said = _("{size}, without {resource}").format(size=said, resource=things(name))
    return said


def _waits_for_me(decision: Decision) -> bool:
    return bool(decision.refusals) and all(
        check.limit.scope == MEMBER and check.limit.window is None and check.used
        for check in decision.refusals
    )


def _whom_to_ask(decision: Decision, managers: Managers, above: Managers) -> str:
    for check in decision.refusals:
        limit = check.limit
        # What a group has as a whole, those who manage it can't give.
        own = () if limit.scope == GROUP else (limit.group,)
        for group in (*own, *above.get(limit.group, ())):
            if managers.get(group):
                return ask_for_more(managers[group], group)
    return ask_for_more((), "")


def _who_sets(decision: Decision, managers: Managers) -> str:
    """Who completes what is not set up: more would not help, and the reader can't."""
    groups = [check.limit.group for check in decision.refusals if check.asked is None]
    group = next((name for name in (*groups, decision.group) if managers.get(name)), "")
    if not group:
        return _("You have done nothing wrong: an admin of this hub has to set that.")
    return ngettext(
        "You have done nothing wrong: {names}, who manages {group}, has to set that.",
        "You have done nothing wrong: {names}, who manage {group}, have to set that.",
        len(managers[group]),
    ).format(names=join(managers[group], _("or")), group=say_group(group))


def ask_for_more(managers: Sequence[str], group: str) -> str:
    """Whom to ask: managers of a group, or an admin where there are none."""
    if not managers:
        return _("To get more, ask an admin of this hub.")
    return ngettext(
        "To get more, ask {names}, who manages {group}.",
        "To get more, ask {names}, who manage {group}.",
        len(managers),
    ).format(names=join(managers, _("or")), group=say_group(group))


def title(check: Check) -> str:
    """What a limit is about, for a row: `CPU, me`, `GPU-hours, the whole group, a month`."""
    limit = check.limit
    whom = _("me") if limit.scope == MEMBER else scope_titles()[limit.scope]
    name = resource_title(limit.resource)
    if not limit.window:
        return _("{resource}, {whom}").format(resource=name, whom=whom)
    return _("{resource}, {whom}, {window}").format(
        resource=name, whom=whom, window=say_window(limit.window)
    )


def resource_title(name: str) -> str:
    """`CPU`, `GPU-hours`, `Memory`: at the start of a line."""
    known = {
        "cpu": "CPU",
        "memory": _("Memory"),
        "gpu": _("GPUs"),
        "servers": _("Servers"),
        "storage": _("Storage"),
        "cpu-hours": _("CPU-hours"),
        "memory-hours": _("Memory-hours"),
        "gpu-hours": _("GPU-hours"),
        "cost": _("Cost"),
        "lifetime": _("Lifetime"),
        "idle": _("Idle"),
    }
    return known.get(name, name[:1].upper() + name[1:])


def headline(check: Check) -> str:
    """One limit and its use, for a row of a page: `1 of 2 servers`, `at most 8 GiB a server`."""
    amount = check.limit.kind.say(check.limit.amount)
    if check.limit.scope == SERVER:
        return _("at most {amount} a server").format(amount=amount)
    if check.use.used is None:
        return _("{amount}, not now").format(amount=amount)
    return of(check.limit.resource, check.used, check.limit.amount)


def of(name: str, used: int, amount: int) -> str:
    """`0.5 of 4 cores`, `512 MiB of 8 GiB`: the unit twice only where it differs."""
    found = resource(name)
    assert found
    if name == "cpu":
        one_or_more = 1 if amount == 1000 else 2  # 0.5 cores
        text = ngettext("{used} of {total} core", "{used} of {total} cores", one_or_more)
        return text.format(used=found.format(used), total=found.format(amount))
    if name == "servers":
        text = ngettext("{used} of {total} server", "{used} of {total} servers", amount)
        return text.format(used=used, total=amount)
    if name == "gpu":
        text = ngettext("{used} of {total} GPU", "{used} of {total} GPUs", amount)
        return text.format(used=used, total=amount)
    total, said = found.say(amount), found.say(used)
    number, _space, unit = said.rpartition(" ")
    same = number and unit == total.rpartition(" ")[2]
    return _("{used} of {total}").format(used=number if same else said, total=total)


def notice(told: Notice, present: int, zone: tzinfo) -> str:
    """What people are told, in a sentence or two."""
    if told.kind in (STOPS_SOON, STOPPED):
        return _stop(told, present, zone)
    limit = told.limit
    budget, group = _budget(limit), say_group(limit.group)
    if told.kind == USED_UP:
        text = _("{group} has used all of its {budget}.")
        if told.user:
            text = _("You have used all of your {budget} in {group}.")
        said = begin(text.format(group=group, budget=budget), limit.group)
        return f"{said} {_reaction(told, present, zone)}"
    text = _("{group} has used {share} of its {budget}.")
    if told.user:
        text = _("You have used {share} of your {budget} in {group}.")
    said = begin(text.format(share=f"{told.share:.0%}", group=group, budget=budget), limit.group)
    if told.used_up is None:
        return said
    ends = _("If what runs goes on, nothing is left {when}.")
    return f"{said} {ends.format(when=say_instant(told.used_up, present, zone))}"


def _stop(told: Notice, present: int, zone: tzinfo) -> str:
    assert told.stops_at
    past = told.kind == STOPPED
    if told.server:
        text = _("Your server '{server}' stops {when}: {why}")
        if past:
            text = _("Your server '{server}' was stopped {when}: {why}")
    else:
        text = (
            _("Your server was stopped {when}: {why}")
            if past
            else _("Your server stops {when}: {why}")
        )
    when = say_instant(told.stops_at, present, zone)
    return text.format(server=told.server, when=when, why=_why_it_stops(told.limit, past))


def _budget(limit: Limit) -> str:
    """`40 CPU-hours in any 7 days`."""
    assert limit.window
    text = _("budget of {amount} {window}") if limit.resource == "cost" else _("{amount} {window}")
    return text.format(amount=limit.kind.say(limit.amount), window=say_window(limit.window))


def say_end(limit: Limit) -> str:
    """What a limit on how long servers run does."""
    text = _("{group} stops servers that are not used for {length}.")
    if limit.resource == "lifetime":
        text = _("{group} lets each server run for {length}.")
    return text.format(group=say_group(limit.group), length=say_duration(limit.amount))


def _why_it_stops(limit: Limit, past: bool) -> str:
    if limit.resource == "lifetime":
        return say_end(limit)
    if limit.resource == "idle":
        if past:
            return _("it had not been used for {length}.").format(length=say_duration(limit.amount))
        return f"{say_end(limit)} {_('Use it, and it goes on.')}"
    if limit.scope == MEMBER:
        text = _("your {budget} in {group} is then used up.")
        if past:
            text = _("your {budget} in {group} is used up.")
    else:
        text = _("the group's {budget} in {group} is then used up.")
        if past:
            text = _("the group's {budget} in {group} is used up.")
    return text.format(budget=_budget(limit), group=say_group(limit.group))


def _reaction(told: Notice, present: int, zone: tzinfo) -> str:
    if told.stops_at is not None:
        text = _("New servers are refused, and those that run stop {when}.")
        return text.format(when=say_instant(told.stops_at, present, zone))
    if told.limit.reaction.size:
        return _only_small(told.limit)
    return _("New servers are refused until there is more; those that run go on.")
