"""What `hub-quotas explain` prints: every limit that was looked at. In English. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .decision import Check, Decision
from .limits import MEMBER, Limit
from .messages import amount_of, headline
from .quantities import AMOUNT, resource, say_duration


def explanation(decision: Decision) -> str:
    """Every limit that was looked at, line by line, for the command line, which is in English."""
    asked = ", ".join(
        amount_of(name, amount)
        for name, amount in sorted(decision.amounts.items())
        if (found := resource(name)) and found.kind == AMOUNT and name != "servers" and amount
    )
    verdict = "would start" if decision.allowed else "would be refused"
    lines = [f"A server with {asked or 'no limits'} charged to {decision.group} {verdict}."]
    for check in decision.checks:
        mark = "ok " if check.passed else "NO "
        lines.append(
            f"  {mark} {_set_by(check.limit)}; {headline(check)}{_asks(check)}{_lasting(check)}"
        )
    if not decision.checks:
        lines.append("  No limit holds there.")
    if decision.allowed and decision.lasts is not None:
        lines.append(f"It could run for {say_duration(decision.lasts)} at least.")
    return "\n".join(lines)


def storage_explanation(limits: Iterable[Limit]) -> str:
    """Limits of storage, on which no start of a server depends; for the command line too."""
    lines = ["What may be stored there:"]
    for limit in limits:
        what = "each member's home" if limit.scope == MEMBER else "the group's directory"
        said = f"{limit.kind.say(limit.amount)} in {what}"
        if limit.soft:
            soft, grace = limit.kind.say(limit.soft.amount), say_duration(limit.soft.grace)
            said += f", more than {soft} for {grace} at most"
        lines.append(f"      {_set_by(limit)}; {said}")
    return "\n".join(lines)


def _set_by(limit: Limit) -> str:
    source = f"plan {limit.plan}" if limit.plan else "set there"
    return f"{limit.group} · {limit.key}: {limit.text} ({source})"


def _asks(check: Check) -> str:
    if check.limit.window or check.asked is None:
        return "" if check.asked is not None else "; the server has no limit of its own"
    return f"; asks for {check.limit.kind.say(check.asked)}"


def _lasting(check: Check) -> str:
    return f"; lasts {say_duration(check.lasts)} at least" if check.lasts is not None else ""
