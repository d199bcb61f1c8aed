"""What the page about my usage says: instants, sizes, and why a server ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo

from hub_groups.words import _, ngettext, pgettext

from .decision import Decision
from .messages import say_group
from .policy import DEFAULT_GROUP
from .quantities import RESOURCES, resource, say_duration
from .requests import Amounts
from .usage import Choice, GroupStanding, Running, size

_MINUTE = 60 * 10**6


def instant(at: int, present: int, zone: tzinfo) -> str:
    """`today at 14:40`, `on Tuesday at 08:00`, `on 24 December at 08:00`: an instant
    (microseconds), to the next full minute where it is to come, else to the last."""
    up = -(-at // _MINUTE) if at > present else at // _MINUTE
    when, here = _local(up * _MINUTE, zone), _local(present, zone)
    time, days = f"{when:%H:%M}", (when.date() - here.date()).days
    if days == 0:
        return _("today at {time}").format(time=time)
    if days == 1:
        return _("tomorrow at {time}").format(time=time)
    if days == -1:
        return _("yesterday at {time}").format(time=time)
    if 1 < days < 7:
        return _("on {weekday} at {time}").format(weekday=_weekdays()[when.weekday()], time=time)
    day = day_of(when, here)
    return _("on {day} at {time}").format(day=day, time=time)


def until(at: int, present: int, zone: tzinfo) -> str:
    """`15:10`, `Tuesday, 08:00`, `11 December, 00:00`: an instant to come, after "until"."""
    when, here = _local(-(-at // _MINUTE) * _MINUTE, zone), _local(present, zone)
    time, days = f"{when:%H:%M}", (when.date() - here.date()).days
    if days == 0:
        return time
    day = day_of(when, here)
    if days == 1:
        day = pgettext("until", "tomorrow")
    elif 1 < days < 7:
        day = _weekdays()[when.weekday()]
    return _("{day}, {time}").format(day=day, time=time)


def day_of(when: datetime, here: datetime) -> str:
    """`24 December`; with the year where that is another one than `here`."""
    month = _months()[when.month - 1]
    if when.year == here.year:
        return _("{day} {month}").format(day=when.day, month=month)
    return _("{day} {month} {year}").format(day=when.day, month=month, year=when.year)


def exactly(at: int, zone: tzinfo) -> str:
    """`2026-11-24 14:39:31 CET`."""
    return f"{_local(at, zone):%Y-%m-%d %H:%M:%S %Z}"


def short(at: int, zone: tzinfo) -> str:
    """`2026-11-24 14:39`, for a table."""
    return f"{_local(at, zone):%Y-%m-%d %H:%M}"


def say_size(draws: Amounts) -> str:
    """`2 cores · 8 GiB · 1 GPU`; empty where nothing of that is counted."""
    found = ((resource(name), amount) for name, amount in size(draws).items())
    return " · ".join(kind.say(amount) for kind, amount in found if kind)


def said_once(group: GroupStanding) -> tuple[Choice, ...]:
    """What was started lately, without what would read the same: as another of these, as one that
    has a name too, or as the largest server that would start."""
    found = {(one.name, *_said(one.decision)): one for one in group.tried}
    named = {said[1:] for said in found if said[0]}
    return tuple(
        one
        for (name, *said), one in found.items()
        if name or not (tuple(said) in named or _is_largest(one, group))
    )


def lasts_is_said(group: GroupStanding) -> bool:
    """Whether one with a name that is as large as the largest says already how long that lasts."""
    return any(_is_largest(one, group) for one in said_once(group))


def _is_largest(choice: Choice, group: GroupStanding) -> bool:
    return group.largest is not None and _said(choice.decision) == _said(group.largest)


def _said(decision: Decision) -> tuple[str, bool, str]:
    lasts = "" if decision.lasts is None else say_duration(decision.lasts)
    return say_size(decision.amounts), decision.allowed, lasts


def number(name: str, amount: int) -> str:
    """An amount of time or money, without its unit; for a table."""
    return RESOURCES[name].say(amount).partition(" ")[0]


def hours(amount: int, name: str) -> str:
    """How many hours of CPU, or of one of anything else."""
    return number("cpu-hours" if name == "cpu" else "gpu-hours", amount)


def say_whose(name: str) -> str:
    """A group, to whom it is for: those who are in none have never heard of `default`."""
    return _("everybody without a group") if name == DEFAULT_GROUP else say_group(name)


def group_title(name: str) -> str:
    """The same at the start of a line."""
    return _("Everybody without a group") if name == DEFAULT_GROUP else name


def say_server(name: str) -> str:
    """A server at the begin of a line."""
    return name or _("Default server")


def say_ended(reason: str) -> str:
    """Why a server ended, by the reason that the ledger has."""
    known = {
        "stopped": _("It was stopped"),
        "failed": _("It did not come up"),
        "died": _("It ended by itself"),
        "gone": _("It was gone when the hub came back"),
        "expired": _("Its service did not renew it"),
        "released": _("Its service let go of it"),
    }
    if reason in known:
        return known[reason]
    key, of, group = reason.partition(" of ")
    if of and resource(key.partition(".")[2]):
        text = _("A limit stopped it: {key} of {group}")
        return text.format(key=key, group=say_whose(group))
    return reason


def say_held(server: Running) -> str:
    """Who else holds it, where it is not a server of this hub."""
    if server.service:
        return _("held by the service {name}").format(name=server.service)
    return _("on the hub {name}").format(name=server.hub)


def say_days(days: Sequence[int], name: str) -> str:
    """What a plot of the last days shows, for who can't see it."""
    one = _("CPU-hours") if name == "cpu" else _("Hours of servers")
    numbers = [hours(amount, name) for amount in (sum(days), max(days, default=0))]
    return ngettext(
        "{what}, the last day: {total} in all",
        "{what}, each of the last {n} days: {total} in all, at most {most} on one",
        len(days),
    ).format(what=one, n=len(days), total=numbers[0], most=numbers[1])


def _local(at: int, zone: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=at)).astimezone(zone)


def _weekdays() -> tuple[str, ...]:
    return (
        *(_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday")),
        *(_("Friday"), _("Saturday"), _("Sunday")),
    )


def _months() -> tuple[str, ...]:
    return (
        *(_("January"), _("February"), _("March"), _("April"), _("May"), _("June"), _("July")),
        *(_("August"), _("September"), _("October"), _("November"), _("December")),
    )
