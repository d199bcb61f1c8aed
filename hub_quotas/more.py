"""Members who ask for more than a limit gives, and the boost that they get. Pure."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from hub_groups.words import _

from .boosts import Boost, alike, boosted, end_of, parse_until
from .decision import Decision
from .limits import GROUP, SERVER, Limit, PolicyError, parse_limit, read_amount
from .messages import say_group
from .policy import Policy, checked
from .quantities import DURATION, QuantityError, say_duration
from .windows import DAY, Window, format_window, say_day, say_instant, say_window

OPEN, APPROVED, DECLINED, WITHDRAWN = "open", "approved", "declined", "withdrawn"
STATES = (OPEN, APPROVED, DECLINED, WITHDRAWN)

ASKED, ANSWERED = "asked", "answered"
"""Kinds of notices about it."""

LONGEST_WORDS = 1000
"""Characters of what people write to each other."""
FARTHEST = 366 * DAY
"""Microseconds ahead, at most, for which something can be asked and given."""


Link = tuple[str, str]
"""An address and its words."""


@dataclass(frozen=True)
class Wanted:
    """What somebody typed who wants more of something, or wants to give it.

    Attributes:
        group: the one that sets the limit.
        key: of the limit, as in a policy: `member.cpu-hours`.
        window: of a budget, as in a policy; may be left out where the limit has one alone.
        amount: without the window, which stays: `80`, `16G`.
        until: a day or a time in the hub's zone: `2026-12-01`, `2026-12-01T14:00`.
    """

    group: str
    key: str
    window: str
    amount: str
    until: str
    why: str = ""


@dataclass(frozen=True)
class Ask:
    """What somebody has asked for, and the answer.

    Attributes:
        at, answered_at: microseconds since 1970, UTC.
        group: the one that sets the limit.
        key: of the limit.
        amount, given: as in a policy, `80 per 7d`; `given` is empty unless approved.
        until, given_until: as in a boost, a day or a time.
        state: one of STATES.
        answer: words of who answered.
    """

    id: int
    at: int
    user: str
    group: str
    key: str
    amount: str
    until: str
    why: str
    state: str = OPEN
    answered_at: int | None = None
    answered_by: str = ""
    answer: str = ""
    given: str = ""
    given_until: str = ""

    @property
    def limit(self) -> Limit:
        """What they ask to hold for them."""
        return parse_limit(self.group, self.key, self.amount, kept=True)

    @property
    def given_limit(self) -> Limit:
        """What they got."""
        return parse_limit(self.group, self.key, self.given, kept=True)

    @property
    def changed(self) -> bool:
        """Whether they got something else than they asked for."""
        return self.state == APPROVED and (self.given, self.given_until) != (
            self.amount,
            self.until,
        )

    def again(self, other: Ask) -> bool:
        """Whether this is about the same as another."""
        return self.user == other.user and alike(self.limit, other.limit)


class NoSuchAsk(LookupError):
    """There is none of that number, or it is not theirs to see."""


class TooMany(RuntimeError):
    """Somebody asks too often."""


class Answered(RuntimeError):
    """Somebody else was first.

    Attributes:
        ask: as it is now.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        who, state = ask.answered_by, ask.state
        super().__init__(
            {
                APPROVED: _("{who} has approved this already."),
                DECLINED: _("{who} has declined this already."),
                WITHDRAWN: _("{who} has withdrawn this, or asked anew."),
            }[state].format(who=who)
        )


# -- what can be asked for -------------------------------------------------------------------------


def choices(policy: Policy, groups: Iterable[str]) -> list[Limit]:
    """The limits that hold for a member of these groups, as they are set, each once."""
    return list(dict.fromkeys(limit for group in groups for limit in policy.limits(group)))


def chosen(limits: Sequence[Limit], wanted: Wanted) -> Limit:
    """The one that somebody means.

    Raises:
        PolicyError: it is not among them, or one of several windows is not said.
    """
    place = ("limit",)
    found = [limit for limit in limits if (limit.group, limit.key) == (wanted.group, wanted.key)]
    if not found:
        why = _("{group} has no limit {key} that could be raised.")
        group, key = say_group(wanted.group) or "–", wanted.key or "–"
        raise PolicyError(place, why.format(group=group, key=key))
    if len(found) > 1 or wanted.window:
        windows = [say_key(limit.window) for limit in found]
        found = [limit for limit in found if say_key(limit.window) == wanted.window.strip()]
        if not found:
            why = _("{key} of {group} is set for: {windows}. Say for which of them.")
            raise PolicyError(
                ("window",),
                why.format(
                    key=wanted.key, group=say_group(wanted.group), windows=", ".join(windows)
                ),
            )
    return found[0]


def say_key(window: Window | None) -> str:
    """A window as in a policy; empty for a cap."""
    return format_window(window) if window else ""


def ask_address(limit: Limit) -> str:
    """The page on which more of it is asked for, below the address of the quotas' pages."""
    meant = {"group": limit.group, "limit": limit.key, "window": say_key(limit.window)}
    return f"ask?{urlencode({name: value for name, value in meant.items() if value})}"


def to_more(refused: Decision, admin: bool) -> Link | None:
    """Where whoever is refused changes that, or asks for more; None where more would not help."""
    limit = refused.refusals[0].limit
    if admin:
        return f"groups/{quote(limit.group, safe='*/')}", _("Groups and limits")
    return None if refused.unsized else (ask_address(limit), _("Ask for more"))


def now(policy: Policy, limit: Limit, user: str, at: int, zone: datetime.tzinfo) -> Limit:
    """A limit as it holds for a member at an instant, boosts included; for user `''`, as it holds
    for all."""
    (held,) = boosted([limit], policy.boosts(limit.group), user, at, zone)
    return held


def boost_of(
    policy: Policy, limit: Limit, member: str, wanted: Wanted, at: int, zone: datetime.tzinfo
) -> Boost:
    """The boost that gives what is wanted.

    Args:
        limit: as it is set.
        member: for whom; empty for all.

    Raises:
        PolicyError: it is not more than holds now, is over, or can't be read.
    """
    kind = limit.kind
    try:
        amount, soft = read_amount(kind, wanted.amount)
    except QuantityError as error:
        raise PolicyError(("amount",), str(error)) from None
    held = now(policy, limit, "" if limit.scope == GROUP else member, at, zone)
    already = _("That is {now} now already; write a larger amount.")
    already = already.format(now=say_limit(held) if held.soft else kind.say(held.amount))
    more = replace(limit, amount=amount, soft=soft, plan="", boost=0)
    same = (amount, soft) == (held.amount, held.soft)
    if amount < held.amount or more.lasting < held.lasting or (same and not held.boost):
        raise PolicyError(("amount",), already)
    until = _until(wanted.until, at, zone)
    if same and end_of(until, zone) <= held.boost:
        raise PolicyError(("amount",), already)
    return Boost(more, until, "" if limit.scope == GROUP else member, wanted.why)


def _until(text: str, at: int, zone: datetime.tzinfo) -> datetime.date | datetime.datetime:
    place = ("until",)
    if not text.strip():
        raise PolicyError(place, _("Say until when: a day, such as 2026-12-01."))
    until = parse_until(text.strip(), place)
    ends = end_of(until, zone)
    if ends <= at:
        raise PolicyError(place, _("{when} is over; write a later day.").format(when=text.strip()))
    if ends > at + FARTHEST:
        why = _("{when} is more than a year ahead; write an earlier day.")
        raise PolicyError(place, why.format(when=text.strip()))
    return until


def readable(text: str, place: str, needed: str = "") -> str:
    """What somebody wrote to somebody else, without space around it.

    Args:
        needed: what to say where there is nothing; empty where there need not be anything.

    Raises:
        PolicyError: it is missing, too long, or has characters that nobody can read.
    """
    text = text.replace("\r\n", "\n").strip()  # as forms send it
    if needed and not text:
        raise PolicyError((place,), needed)
    if len(text) > LONGEST_WORDS:
        why = _("This has {n} characters; write at most {most}.")
        raise PolicyError((place,), why.format(n=len(text), most=LONGEST_WORDS))
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\r\n\t" for c in text):
        raise PolicyError((place,), _("This has characters that can't be shown; leave them out."))
    return text


def why_of(wanted: Wanted) -> str:
    """The reason for which somebody asks. Raises PolicyError."""
    return readable(wanted.why, "why", _("Say what you need it for."))


def too_many(most: int, again: int, at: int, zone: datetime.tzinfo) -> str:
    """What somebody is told who asks too often.

    Args:
        again: the instant from which they can ask.
    """
    text = _("You have asked {n} times in 24 hours. You can ask again {when}.")
    return text.format(n=most, when=say_instant(again, at, zone))


# -- what is given ---------------------------------------------------------------------------------


def for_whom(ask: Ask) -> str:
    """The member whom a boost is for that an ask gets; empty where it is for the whole group."""
    return "" if ask.limit.scope == GROUP else ask.user


def as_set(policy: Policy, ask: Ask) -> Limit | None:
    """The limit that an ask is about; None where there is none any more."""
    asked = ask.limit
    return next((limit for limit in policy.limits_of(ask.group) if alike(limit, asked)), None)


def boost_for(
    policy: Policy, ask: Ask, amount: str, until: str, at: int, zone: datetime.tzinfo
) -> Boost:
    """The boost that an ask gets.

    Args:
        amount, until: where it is to be something else than was asked for; else empty.

    Raises:
        PolicyError: the limit is gone, or the amount is less than they have already, or the time
            is over.
    """
    asked, limit = ask.limit, as_set(policy, ask)
    if limit is None:
        why = _("{group} has no {key} with that window any more; decline this.")
        raise PolicyError(("limit",), why.format(group=say_group(ask.group), key=ask.key))
    wanted = Wanted(
        *(ask.group, ask.key, say_key(asked.window)),
        amount.strip() or asked.most,
        until.strip() or ask.until,
        ask.why,
    )
    return boost_of(policy, limit, for_whom(ask), wanted, at, zone)


def granted(policy: Policy, boost: Boost, at: int, zone: datetime.tzinfo) -> Policy:
    """`policy` with one boost more; those that it follows and that have lapsed go.

    Raises:
        PolicyError: the group has no such limit.
    """
    name = boost.limit.group
    if name not in policy.groups:
        raise PolicyError(("limit",), _("{group} has no limits.").format(group=name))
    group = policy.groups[name]
    kept = tuple(
        old
        for old in group.boosts
        if old.member != boost.member or not alike(boost.limit, old.limit) or at < old.ends(zone)
    )
    group = replace(group, boosts=(*kept, boost))
    return checked(replace(policy, groups={**policy.groups, name: group}))


def ended(policy: Policy, name: str, number: int) -> Policy:
    """`policy` without one boost.

    Args:
        number: from 1 on, as they stand in the group.

    Raises:
        PolicyError: there is none of that number.
    """
    held = policy.groups[name].boosts if name in policy.groups else ()
    if not 1 <= number <= len(held):
        raise PolicyError(("boost",), _("{group} has no such boost.").format(group=name))
    group = replace(policy.groups[name], boosts=(*held[: number - 1], *held[number:]))
    return replace(policy, groups={**policy.groups, name: group})


def holds(policy: Policy, ask: Ask, at: int, zone: datetime.tzinfo) -> bool:
    """Whether somebody has now what they got."""
    if ask.state != APPROVED:
        return False
    given = (ask.given_limit, ask.given_until, for_whom(ask))
    known = policy.groups.get(ask.group)
    return any(
        at < boost.ends(zone) and given == (boost.limit, boost.until.isoformat(), boost.member)
        for boost in (known.boosts if known else ())
    )


# -- what is said of it ----------------------------------------------------------------------------


def say_limit(limit: Limit) -> str:
    """`80 CPU-hours in any 7 days`, `16 GiB of memory`, `3 servers`."""
    amount, name = limit.kind.say(limit.amount), limit.resource
    window = say_window(limit.window) if limit.window else ""
    if name == "cost":
        return _("a budget of {amount} {window}").format(amount=amount, window=window)
    if limit.window:
        return _("{amount} {window}").format(amount=amount, window=window)
    if limit.soft:
        text = _("{amount} of storage, more than {soft} for {grace} at most")
        soft, grace = limit.kind.say(limit.soft.amount), say_duration(limit.soft.grace)
        return text.format(amount=amount, soft=soft, grace=grace)
    if name in ("memory", "storage") or limit.kind.kind == DURATION:
        return _("{amount} of {resource}").format(amount=amount, resource=_things(name))
    return amount


def _things(name: str) -> str:
    return {
        "memory": _("memory"),
        "storage": _("storage"),
        "lifetime": _("lifetime"),
        "idle": _("idle time"),
    }[name]


def say_until(until: str | datetime.date) -> str:
    """`12 Dec 2026`, `12 Dec 2026, 14:00`."""
    when = parse_until(until, ("until",))
    day = say_day(when)
    if not isinstance(when, datetime.datetime):
        return day
    return _("{day}, {time}").format(day=day, time=f"{when:%H:%M}")


def say_ask(ask: Ask, link: str) -> str:
    """What those are told who can answer. In one line, but for the link."""
    text = {
        GROUP: _("{user} asks for {what} for the whole of {group} until {until}: {why}"),
        SERVER: _("{user} asks for {what} for each server in {group} until {until}: {why}"),
    }.get(ask.limit.scope, _("{user} asks for {what} in {group} until {until}: {why}"))
    said = text.format(
        user=ask.user,
        what=say_limit(ask.limit),
        group=say_group(ask.group),
        until=say_until(ask.until),
        why=" ".join(ask.why.split()),
    )
    return f"{said}\n{_('Answer: {link}').format(link=link)}"


def say_answer(ask: Ask) -> str:
    """What somebody is told who has asked."""
    asked, until = say_limit(ask.limit), say_until(ask.until)
    if ask.state == DECLINED:
        text = _("{by} has declined what you asked for: {asked} in {group} until {until}.")
    else:
        text = _("{by} has approved what you asked for: {asked} in {group} until {until}.")
        if ask.changed:
            text = _(
                "{by} has given you {given} in {group} until {given_until}; "
                "you had asked for {asked} until {until}."
            )
    said = text.format(
        by=ask.answered_by,
        asked=asked,
        until=until,
        group=say_group(ask.group),
        given=say_limit(ask.given_limit) if ask.given else "",
        given_until=say_until(ask.given_until) if ask.given else "",
    )
    return f"{said}\n{ask.answer}" if ask.answer else said
