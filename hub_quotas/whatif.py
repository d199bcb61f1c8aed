"""What a change of limits would have done to what has started: told before it is saved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone, tzinfo

from hub_groups.words import _, ngettext

from .boosts import boosts
from .decision import concerns_a_start
from .limits import SERVER, Limit
from .messages import of, things
from .policy import Policy
from .replay import Limits, Refused
from .requests import MEASURED


@dataclass(frozen=True)
class Full:
    """A limit of which nothing is left now.

    Attributes:
        used: by the whole group.
        members: how many have used all that each member has; 0 where it is the group's.
    """

    limit: Limit
    used: int = 0
    members: int = 0

    @property
    def text(self) -> str:
        kind = self.limit.kind
        if self.members:
            text = ngettext(
                "Now: {n} member has {amount} in use or more: their next start would be refused.",
                "Now: {n} members have {amount} in use or more: their next start would be refused.",
                self.members,
            )
            return text.format(n=self.members, amount=kind.say(self.limit.amount))
        what = _("the next start would be refused")
        if kind.curve not in ("servers", "cost", *MEASURED):
            what = _("the next start with {resource} would be refused")
            what = what.format(resource=things(kind.curve))
        text = (
            _("Now: {use} used: {what}.") if self.limit.window else _("Now: {use} in use: {what}.")
        )
        return text.format(use=of(kind.name, self.used, self.limit.amount), what=what)


@dataclass(frozen=True)
class WhatIf:
    """What limits would have done to what has started.

    Attributes:
        limits: those that are new or changed.
        days: how many days were asked about.
        since: the begin of what was looked at: of these days, or later where more has started in
            them than can be looked at; microseconds since 1970, UTC.
        whole: whether these are all starts of the days.
        used_since: servers that ended earlier are not counted in windows that reach back further,
            there were too many; None where all are.
        starts: how many were looked at.
        refused: those that would have been refused, oldest first.
        stops: how many servers that run now would be stopped by a budget that is used up.
        begin: of all records, where that is within the days.
        full: those of which nothing is left now.
        sizes: of MEASURED, on what servers would need limits of their own that nothing gives them.
        zone: the hub's.
    """

    limits: tuple[Limit, ...]
    days: int
    since: int
    zone: tzinfo
    whole: bool = True
    used_since: int | None = None
    starts: int = 0
    refused: tuple[Refused, ...] = ()
    stops: int = 0
    begin: int | None = None
    full: tuple[Full, ...] = ()
    sizes: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Who would have been refused, by name."""
        return tuple(sorted({one.user for one in self.refused}))

    @property
    def text(self) -> str:
        """All of it, in a few sentences."""
        parts = [self._what_of_starts]
        if self.begin is not None and self.whole:
            text = _("Records go back to {when} only.")
            parts.append(text.format(when=self._say(self.begin)))
        parts += [one.text for one in self.full]
        if self.stops:
            text = ngettext(
                "{n} server that runs now would be stopped.",
                "{n} servers that run now would be stopped.",
                self.stops,
            )
            parts.append(text.format(n=self.stops))
        if self.used_since is not None:
            text = _("Servers that ended before {when} are not counted.")
            parts.append(text.format(when=self._say(self.used_since)))
        return " ".join(parts)

    @property
    def _what_of_starts(self) -> str:
        members = len(self.members)
        if not self.limits:
            text = _("This limits no start more than before.")
        elif not self.starts:
            text = _("There were no starts in the last {days} days.")
        elif not self.refused and self.whole:
            text = _("In the last {days} days this would have refused no start.")
        elif not self.refused:
            text = _("This would have refused none of the last {starts} starts, since {since}.")
        elif not self.whole:
            text = ngettext(
                "This would have refused {refused} of the last {starts} starts, since {since}, "
                "of {members} member.",
                "This would have refused {refused} of the last {starts} starts, since {since}, "
                "of {members} members.",
                members,
            )
        elif self.starts == 1:
            text = _("In the last {days} days this would have refused the only start.")
        else:
            text = ngettext(
                "In the last {days} days this would have refused {refused} of {starts} starts, "
                "of {members} member.",
                "In the last {days} days this would have refused {refused} of {starts} starts, "
                "of {members} members.",
                members,
            )
        return text.format(
            days=self.days,
            refused=len(self.refused),
            starts=self.starts,
            members=members,
            since=self._say(self.since),
        )

    def _say(self, at: int) -> str:
        when = datetime.fromtimestamp(at // 10**6, timezone.utc).astimezone(self.zone)
        return f"{when:%Y-%m-%d %H:%M}"


def sizes_needed(policy: Policy, group: str) -> tuple[str, ...]:
    """Of what every server takes: what servers that are charged to a group need a limit of their
    own on to start, since it is limited there and no `server` limit gives them one."""
    limits = [limit for limit in policy.limits(group) if concerns_a_start(limit)]
    given = {limit.resource for limit in limits if limit.scope == SERVER}
    counted = {limit.kind.curve for limit in limits if limit.scope != SERVER}
    return tuple(name for name in MEASURED if name in counted and name not in given)


def say_size_needed(name: str) -> str:
    """What to do where servers need a limit of their own on one of MEASURED."""
    if name == "memory":
        return _(
            "A server without a memory limit of its own would not start: set 'Memory, each server' "
            "too, which such servers then get."
        )
    return _(
        "A server without a CPU limit of its own would not start: set 'CPU, each server' too, "
        "which such servers then get."
    )


def changed(before: Policy, after: Policy) -> Limits:
    """The limits on starts that are new or others in `after`, whether a group's own or its plan's;
    also those that are boosted otherwise, or are above groups that they were not above."""
    gained = _gained(before, after)
    found = {}
    for name in after.groups:
        old = set() if name in gained else set(_effective(before, name))
        new = _effective(after, name)
        limits = tuple(
            limit for what, limit in new.items() if what not in old and concerns_a_start(limit)
        )
        if limits:
            found[name] = limits
    return found


def _effective(policy: Policy, name: str) -> Mapping[object, Limit]:
    """The limits of a group, by all that matters of them."""
    raised = policy.groups[name].boosts if name in policy.groups else ()
    return {
        (
            replace(limit, plan=""),
            tuple((b.limit, b.until, b.member) for b in raised if boosts(limit, b)),
        ): limit
        for limit in policy.limits_of(name)
    }


def _gained(before: Policy, after: Policy) -> set[str]:
    """The groups that others have come below."""
    if before.parents == after.parents:
        return set()
    names = {*before.groups, *after.groups}
    return {above for n in names for above in set(after.path(n)) - set(before.path(n))}
