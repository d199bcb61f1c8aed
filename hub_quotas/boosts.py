"""Boosts: limits that hold instead of what is set, until a day or an hour. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hub_groups.words import _

from .limits import GROUP, Limit, PolicyError, parse_limit
from .windows import YEARS, day_end, instant

_KEYS = ("limit", "amount", "until", "member", "why")


@dataclass(frozen=True)
class Boost:
    """One limit of a group is another one for a while, and lapses by itself.

    Attributes:
        limit: what holds in its place.
        until: the last day, or the instant in the hub's time zone, up to which it does.
        member: for this member alone; empty for all.
        why: for the audit log and the pages.
    """

    limit: Limit
    until: datetime.date | datetime.datetime
    member: str = ""
    why: str = ""

    def ends(self, zone: datetime.tzinfo) -> int:
        """Microseconds since 1970, UTC."""
        return end_of(self.until, zone)


def end_of(until: datetime.date | datetime.datetime, zone: datetime.tzinfo) -> int:
    """The instant at which a day or a time in a zone is over; microseconds since 1970, UTC."""
    if isinstance(until, datetime.datetime):
        return instant(until, zone)
    return day_end(until, zone)


def boosted(
    limits: Iterable[Limit], boosts: Iterable[Boost], user: str, at: int, zone: datetime.tzinfo
) -> tuple[Limit, ...]:
    """`limits` as they hold for a member at an instant."""
    held: dict[tuple[Any, ...], Limit] = {}
    for boost in boosts:
        ends = boost.ends(zone)
        if at < ends and boost.member in ("", user):
            held[_place(boost.limit)] = replace(boost.limit, boost=ends)
    return tuple(held.get(_place(limit), limit) for limit in limits)


def boosts(limit: Limit, boost: Boost) -> bool:
    """Whether a boost is of this limit."""
    return alike(limit, boost.limit)


def alike(limit: Limit, other: Limit) -> bool:
    """Whether these are one limit, whatever its amount."""
    return _place(limit) == _place(other)


def _place(limit: Limit) -> tuple[Any, ...]:
    """Two windows of one budget are two limits."""
    return limit.group, limit.key, limit.window


def parse_boosts(
    group: str, entries: Any, place: tuple[str, ...], kept: bool = False
) -> tuple[Boost, ...]:
    """A list of `{limit: KEY, amount: AMOUNT, until: DAY, member: NAME, why: WORDS}`.

    Args:
        kept: see `parse_limit`.

    Raises:
        PolicyError: for the first that can't be read.
    """
    if entries is None:
        return ()
    example = "- {limit: member.cpu-hours, amount: 80 per 7d, until: 2026-12-01}"
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise PolicyError(place, _("write a list: {example}").format(example=example))
    return tuple(
        _parse(group, entry, (*place, str(number)), kept) for number, entry in enumerate(entries, 1)
    )


def _parse(
    group: str, entry: Mapping[Any, Any], place: tuple[str, ...], kept: bool = False
) -> Boost:
    for key in entry:
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            raise PolicyError(
                (*place, str(key)),
                _("there is nothing of that name here: {known}.").format(known=known),
            )
    key = str(entry.get("limit") or "")
    where = (*place, "amount" if key else "limit")
    limit = parse_limit(group, key, entry.get("amount"), where, kept)
    member = str(entry.get("member") or "")
    if member and limit.scope == GROUP:
        why = _("{key} is what all members use together; leave the member out.").format(
            key=limit.key
        )
        raise PolicyError((*place, "member"), why)
    until = parse_until(entry.get("until"), (*place, "until"))
    return Boost(limit, until, member, str(entry.get("why") or ""))


def parse_until(value: object, place: tuple[str, ...]) -> datetime.date | datetime.datetime:
    """A day or a time, as in `2026-12-01` or `2026-12-01T14:00`.

    Raises:
        PolicyError: it is neither, or of a year that can't be counted.
    """
    until = value if isinstance(value, datetime.date) else _read_until(str(value or ""), place)
    if until.year not in YEARS:
        why = _("the year {year} can't be counted; write one from {first} to {last}.").format(
            year=until.year, first=YEARS[0], last=YEARS[-1]
        )
        raise PolicyError(place, why)
    return until


def _read_until(text: str, place: tuple[str, ...]) -> datetime.date:
    kind = datetime.datetime if "T" in text or ":" in text else datetime.date
    try:
        return kind.fromisoformat(text)
    except ValueError:
        why = _("'{text}' is not a day or time; write 2026-12-01 or 2026-12-01T14:00.").format(
            text=text
        )
        raise PolicyError(place, why) from None


def print_boosts(boosts: Iterable[Boost]) -> list[dict[str, str]]:
    return [
        {
            "limit": boost.limit.key,
            "amount": boost.limit.text,
            "until": boost.until.isoformat(),
            **({"member": boost.member} if boost.member else {}),
            **({"why": boost.why} if boost.why else {}),
        }
        for boost in boosts
    ]
