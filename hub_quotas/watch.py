"""What happens next to servers that run: warnings, and stops. Pure.

Everything is an instant that is computed from the curve, not found by looking again and again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from .limits import MEMBER, STOP, Limit
from .quantities import DURATION
from .windows import format_window

SECOND = 10**6
MINUTE = 60 * SECOND
SOON = 10 * MINUTE
"""Microseconds before the stop of a server at which its user is warned."""
HORIZON = 60 * MINUTE
"""Microseconds for which courses are known ahead, exactly."""
LOOK_AGAIN = HORIZON // 2
FALLEN = 0.95
"""Of a share: so much lower, a warning is over, and may come again."""

SHARE, USED_UP, STOPS_SOON, STOPPED = "share", "used-up", "stops-soon", "stopped"


@dataclass(frozen=True)
class Watched:
    """A server that runs.

    Attributes:
        since: when it was up, or reserved; microseconds since 1970, UTC.
        active_at: when it was used last, where that is known.
        limits: all that hold for it now.
    """

    id: str
    user: str
    server: str
    group: str
    since: int
    limits: tuple[Limit, ...]
    active_at: int | None = None

    @cached_property
    def facts(self) -> tuple[object, ...]:
        """All but when it was used: what courses are about."""
        return self.id, self.user, self.server, self.group, self.since, self.limits

    def used(self, at: int | None) -> Watched:
        """The same, with another instant at which it was used last."""
        again = replace(self, active_at=at)
        computed = self.__dict__.keys() - again.__dict__.keys()
        again.__dict__.update({name: self.__dict__[name] for name in computed})
        return again

    @cached_property
    def budgets(self) -> dict[str, tuple[Limit, str]]:
        """Those that it draws on, by place: limit, and whose."""
        found = {}
        for limit in self.limits:
            if limit.window is not None:
                owner = whose(limit, self.user)
                found[place(limit, owner)] = (limit, owner)
        return found

    @cached_property
    def ends(self) -> tuple[tuple[str, Limit], ...]:
        """The limits that stop it, by place."""
        return tuple(
            (place(limit, whose(limit, self.user)), limit)
            for limit in self.limits
            if limit.kind.kind == DURATION
            or (limit.window is not None and limit.reaction.kind == STOP)
        )

    @cached_property
    def boosted_until(self) -> int:
        """When the first of its boosts lapses; 0 for none."""
        return min((limit.boost for limit in self.limits if limit.boost), default=0)


@dataclass(frozen=True)
class Course:
    """How the use of a budget goes on, if what runs goes on.

    Attributes:
        user: whose it is; empty for a whole group.
        at: the instant of which this is true.
        levels: (share, when it is reached) by rising share, 1 among them; `at` for one that is
            reached already, None for one that is not within HORIZON.
    """

    limit: Limit
    user: str
    at: int
    used: int
    levels: tuple[tuple[float, int | None], ...]

    @cached_property
    def reached(self) -> float:
        """The highest share that is reached; 0 for none."""
        shares = (share for share, when in self.levels if when is not None and when <= self.at)
        return max(shares, default=0)

    @property
    def used_up(self) -> int | None:
        """When nothing is left of it."""
        return self.levels[-1][1]

    @cached_property
    def next(self) -> int:
        """When to look at it again."""
        ahead = (when for _, when in self.levels if when is not None and when > self.at)
        return min(ahead, default=self.at + LOOK_AGAIN)


class Order(NamedTuple):
    """A server is to stop.

    Attributes:
        at: microseconds since 1970, UTC.
        cause: the place of the limit, see `place`.
    """

    session: str
    at: int
    cause: str


@dataclass(frozen=True)
class Notice:
    """Something that people are told.

    Attributes:
        stem: what it is about; while it is true, it is told once.
        user: who is told; empty for a whole group.
        share: of the budget, or 0.
        stops_at: of what is to stop.
    """

    stem: str
    kind: str
    user: str
    group: str
    limit: Limit
    share: float = 0
    used_up: int | None = None
    stops_at: int | None = None
    server: str = ""


@dataclass(frozen=True)
class Plan:
    """What to do now, and when something happens next."""

    tell: tuple[Notice, ...]
    over: tuple[str, ...]  # stems of what is no longer true
    orders: tuple[Order, ...]
    next: int


def place(limit: Limit, user: str) -> str:
    """A limit of one user, or of a whole group, as one text."""
    window = format_window(limit.window) if limit.window else ""
    return json.dumps([limit.group, limit.key, window, user])


def read_place(text: str) -> tuple[str, str, str]:
    """The group, key and user of a place."""
    group, key, _, user = json.loads(text)
    return group, key, user


def say_place(text: str) -> str:
    """`member.cpu-hours of geo-101`."""
    group, key, _ = read_place(text)
    return f"{key} of {group}"


def whose(limit: Limit, user: str) -> str:
    """To whom the use of a limit belongs."""
    return user if limit.scope == MEMBER else ""


def budgets(servers: Iterable[Watched]) -> dict[str, tuple[Limit, str]]:
    """The budgets of what runs, by place: limit, and whose."""
    found: dict[str, tuple[Limit, str]] = {}
    for server in servers:
        found |= server.budgets
    return found


def warned_of(told: Iterable[str]) -> set[str]:
    """The places of the budgets that these stems of notices are about."""
    return {stem.split(" ", 2)[2] for stem in told if stem.startswith(f"{SHARE} ")}


def plan(
    at: int,
    servers: Sequence[Watched],
    courses: Mapping[str, Course],
    orders: Mapping[str, Order],
    told: Iterable[str],
) -> Plan:
    """What to do at an instant.

    Args:
        courses: of all budgets of what runs, and of those that somebody was warned of.
        orders: that stand, by session; there is one for each that stops within SOON.
        told: stems of notices that are still true.
    """
    open_stems = set(told)
    warned = warned_of(open_stems)
    tell: list[Notice] = []
    still: set[str] = set()
    for name, course in courses.items():
        if not course.reached and name not in warned:
            continue
        new, kept = _of_course(name, course, open_stems)
        tell += new
        still |= kept
    wanted: list[Order] = []
    turns = [course.next for course in courses.values()]
    for server in servers:
        if server.boosted_until > at:
            turns.append(server.boosted_until)
        end = _end(at, server, courses, orders.get(server.id))
        if end is None:
            continue
        order, limit = end
        warn_at = order.at - SOON
        used_up = limit.window is not None and (courses[order.cause].used_up or at) <= at
        if used_up or at >= warn_at:  # not of each server that may be idle in two hours
            wanted.append(order)
            turns.append(order.at if order.at > at else at + LOOK_AGAIN)
        if used_up:
            # It may have room again before its servers stop.
            turns.append(at + max(SECOND, (order.at - at) // 8))
        if at < warn_at:
            turns.append(warn_at)
            continue
        stem = f"{STOPS_SOON} {server.id} {order.cause}"
        still.add(stem)
        if stem not in open_stems:
            owner = (server.user, server.group)
            when = courses[order.cause].used_up if limit.window else None
            tell.append(Notice(stem, STOPS_SOON, *owner, limit, 0, when, order.at, server.server))
    over = tuple(sorted(stem for stem in open_stems - still if not stem.startswith(STOPPED)))
    return Plan(tuple(tell), over, tuple(wanted), min(turns, default=at + LOOK_AGAIN))


def _of_course(name: str, course: Course, open_stems: set[str]) -> tuple[list[Notice], set[str]]:
    """The warning that is due, if any, and the stems of those that are still true."""
    stems = {share: f"{SHARE} {share:g} {name}" for share, _ in course.levels}
    amount = course.limit.amount
    kept = {
        stem
        for share, stem in stems.items()
        if stem in open_stems and (not amount or course.used >= share * amount * FALLEN)
    }
    reached = course.reached
    if not reached or any(stems[share] in kept for share in stems if share >= reached):
        return [], kept
    kind = USED_UP if reached == 1 else SHARE
    notice = Notice(
        stem=stems[reached],
        kind=kind,
        user=course.user,
        group=course.limit.group,
        limit=course.limit,
        share=reached,
        used_up=course.used_up,
        stops_at=(course.at + course.limit.reaction.grace)
        if kind == USED_UP and course.limit.reaction.kind == STOP
        else None,
    )
    return [notice], kept | {stems[reached]}


def _end(
    at: int, server: Watched, courses: Mapping[str, Course], standing: Order | None
) -> tuple[Order, Limit] | None:
    """When a server has to stop, and by which limit; None where nothing says so."""
    first: tuple[int, str, Limit] | None = None
    for name, limit in server.ends:
        if limit.window is None:
            begin = server.since if limit.resource == "lifetime" else server.active_at
            if begin is None:
                continue
            stop = begin + limit.amount
        else:
            used_up = courses[name].used_up
            if used_up is None:
                continue
            stop = used_up + limit.reaction.grace
            # A budget that was used up before now keeps the instant that was computed for it.
            if used_up <= at and standing and standing.cause == name:
                stop = min(stop, standing.at)
        if first is None or (stop, name) < first[:2]:
            first = stop, name, limit
    return (Order(server.id, *first[:2]), first[2]) if first else None


@dataclass
class Cache:
    """Courses that are still true: a course is until something that counts for it changes, or
    until its next turn."""

    courses: dict[str, Course] = field(default_factory=dict)

    def stale(
        self, needed: Mapping[str, tuple[Limit, str]], acting: Iterable[str], at: int
    ) -> list[str]:
        """Those that are missing, have come to a turn, or are about to stop something; others than
        the needed are dropped."""
        about_to_stop = set(acting)
        self.courses = {name: course for name, course in self.courses.items() if name in needed}
        return [
            name
            for name, (limit, _) in needed.items()
            if (known := self.courses.get(name)) is None
            or known.next <= at
            or (known.limit is not limit and known.limit != limit)
            or (name in about_to_stop and known.at < at)
        ]

    def forget(self, changed: Iterable[tuple[str, str]]) -> None:
        """Something was started, stopped or changed in these groups: (group, user), and
        (group, '') for each."""
        touched = set(changed)
        self.courses = {
            name: course
            for name, course in self.courses.items()
            if (course.limit.group, course.user) not in touched
        }
