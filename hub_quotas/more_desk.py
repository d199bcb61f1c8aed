"""Asking for more, answering, and boosts, as pages and API do it alike, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

from tornado.httpclient import HTTPClientError

from hub_groups.web import Context
from hub_groups.words import _, in_english

from .access import Access, NotAllowed, check_acts
from .asking import Asking, SendTo
from .boosts import Boost
from .changes import GROUP_ENTRY, Entry
from .delivery import Ways, to_all, who_answers, who_hears
from .desk import Desk
from .limits import GROUP, Limit, PolicyError
from .messages import say_group
from .more import Ask, Wanted, boost_of, chosen, ended, granted, readable, say_ask
from .outlook import time_of
from .policies import Held
from .policy import DEFAULT_GROUP, Policy, group_name
from .store import QuotaStore

# -- asking and answering --------------------------------------------------------------------------


async def ask(desk: Desk, wanted: Wanted) -> Ask:
    """Ask for more, and tell those who can answer.

    Raises:
        PolicyError, TooMany, NotAllowed: nothing was asked.
    """
    check_acts(desk.access)
    if desk.current_user.get("kind", "user") != "user":
        raise NotAllowed(_("Only users ask for more."))
    ways = _ways(desk.context)

    def asked() -> Ask:
        policy = desk.store.policy()
        scope = wanted.key.partition(".")[0]
        known = wanted.group in policy.groups  # what people type is not looked up
        people = who_hears(policy, desk.groups, wanted.group, scope) if known else ()
        return Asking(desk.store).ask(
            *(desk.user, desk.access.groups, wanted),
            lambda ask: in_english(say_ask, ask, link_to(desk.context, ask)),
            to_all((name for name in people if name != desk.user), ways, webhook=True),
        )

    return await asyncio.to_thread(asked)


def answerers(policy: Policy, desk: Desk, group: str, scope: str) -> tuple[str, ...]:
    """Who can answer; empty where only admins can. Blocks."""
    if group not in policy.groups:
        return ()
    return who_answers(policy, desk.groups, group, scope)


def link_to(context: Context, ask: Ask) -> str:
    """Where it can be answered. Without the hub's address where the hub was not told that: a
    request's own is what whoever sends it wants it to be."""
    return f"{context.settings['public_url'] or context.prefix}asks#ask-{ask.id}"


async def approve(desk: Desk, id: int, amount: str = "", until: str = "", words: str = "") -> Ask:
    """Raises as `Asking.approve`."""
    return await asyncio.to_thread(
        Asking(desk.store).approve,
        *(id, desk.access, desk.by(), amount, until, words, _asker(desk)),
    )


async def decline(desk: Desk, id: int, words: str = "") -> Ask:
    """Raises as `Asking.decline`."""
    return await asyncio.to_thread(Asking(desk.store).decline, id, desk.access, words, _asker(desk))


async def withdraw(desk: Desk, id: int) -> Ask:
    """Raises as `Asking.withdraw`."""
    return await asyncio.to_thread(Asking(desk.store).withdraw, id, desk.access)


def _asker(desk: Desk) -> Callable[[Ask], SendTo]:
    ways = _ways(desk.context)
    return lambda ask: to_all([ask.user], ways)


def _ways(context: Context) -> Ways:
    return Ways(**context.settings["ways"])


# -- boosts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoostRow:
    """One boost of a group.

    Attributes:
        number: from 1 on, as it stands in the group's entry.
        ends: microseconds since 1970, UTC.
        holds: whether it has not lapsed.
        may_end: whether whoever looks may take it away.
    """

    number: int
    boost: Boost
    ends: int
    holds: bool
    may_end: bool


@dataclass(frozen=True)
class GroupBoosts:
    """The boosts of a group, for a page.

    Attributes:
        at: when it was looked at; microseconds since 1970, UTC.
        version: of the group's entry.
        source: the file that manages it; empty for none.
        rows: those that hold first.
        limits: those that whoever looks may raise.
    """

    group: str
    at: int
    version: int
    source: str
    rows: tuple[BoostRow, ...]
    limits: tuple[Limit, ...]


def boosts_of(store: QuotaStore, access: Access, group: str) -> GroupBoosts:
    """What there is, and what somebody may do about it. Blocks."""
    held, at = store.held(), time_of(store)
    entry = (GROUP_ENTRY, group)
    source, known = held.sources.get(entry, ""), held.policy.groups.get(group)
    rows = []
    for number, boost in enumerate(known.boosts if known else (), 1):
        ends = boost.ends(store.zone)
        may_end = not source and access.gives(held.policy, boost.limit)
        rows.append(BoostRow(number, boost, ends, at < ends, may_end))
    rows.sort(key=lambda row: (not row.holds, row.ends))
    limits = [limit for limit in held.policy.limits_of(group) if access.gives(held.policy, limit)]
    return GroupBoosts(
        group,
        at,
        held.versions.get(entry, 0),
        source,
        tuple(rows),
        () if source else tuple(sorted(limits, key=lambda limit: limit.key)),
    )


async def grant(desk: Desk, wanted: Wanted, member: str, expected: int | None = None) -> Held:
    """Give a boost without being asked.

    Args:
        member: empty for all.
        expected: the version of the group's entry when it was looked at, if it must be that.

    Raises:
        PolicyError, NotAllowed, Conflict: nothing was given.
    """
    check_acts(desk.access)
    wanted = replace(wanted, why=readable(wanted.why, "why"))
    member = readable(member, "member")
    at = await asyncio.to_thread(time_of, desk.store)

    def change(policy: Policy) -> Policy:
        limit = chosen(policy.limits_of(wanted.group), wanted)
        if member and limit.scope == GROUP:
            text = _("{key} is what all members use together; leave the member out.")
            raise PolicyError(("member",), text.format(key=limit.key))
        boost = boost_of(policy, limit, member, wanted, at, desk.store.zone)
        return granted(policy, boost, at, desk.store.zone)

    policy = await desk.policy()
    change(policy)  # what is wrong with it comes before who is a member
    if member and not await _belongs(desk, policy, member, wanted.group):
        text = _("{member} is not in {group}, nor in a group below it.")
        raise PolicyError(("member",), text.format(member=member, group=say_group(wanted.group)))
    return await desk.edit(change, wanted.why, _version(policy, wanted.group, expected))


async def end(desk: Desk, group: str, number: int, expected: int) -> Held:
    """Take a boost away before it lapses.

    Args:
        expected: the version of the group's entry when it was looked at, so that it is the right
            one.

    Raises:
        PolicyError, NotAllowed, Conflict: nothing was taken away.
    """
    check_acts(desk.access)
    versions = _version(await desk.policy(), group, expected)
    return await desk.edit(lambda policy: ended(policy, group, number), expected=versions)


def _version(policy: Policy, group: str, expected: int | None) -> dict[Entry, int]:
    if expected is None or group not in policy.groups:
        return {}
    return {(GROUP_ENTRY, group): expected}


async def _belongs(desk: Desk, policy: Policy, user: str, group: str) -> bool:
    """Whether a user of the hub is charged to a group, or to one below it."""
    try:
        model = await desk.context.hub_api(f"users/{quote(user, safe='')}")
    except HTTPClientError as error:
        if error.code >= 500:
            raise
        return False
    names = [group_name(name) for name in model.get("groups") or ()] or [DEFAULT_GROUP]
    return any(group in policy.path(name) for name in names)
