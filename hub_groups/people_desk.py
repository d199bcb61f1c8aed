"""What managers do with their groups, as pages and API do it alike."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tornado import httpclient

from . import links, people
from .access import GROUP_NAMES, KNOWN_USERS, Access
from .desk import Desk, say_source
from .memberships import (
    BY_PEOPLE,
    LONGEST_NAME,
    MANAGER,
    MEMBER,
    UPLOAD,
    Difference,
    above,
    usable,
)
from .names import PeopleError, Resolved, check_not_reserved, parse_names, resolve
from .pending import waits
from .people import archive, archive_of, change_members, put_members, remove_members
from .roster import read_roster
from .store import GroupStore, Standing, member_of
from .words import _

LARGEST_ROSTER = 1_000_000
"""Bytes."""
_PATIENCE = 2
"""Seconds."""


@dataclass(frozen=True)
class GroupRow:
    """A group in a list.

    Attributes:
        archived: since when it is, in seconds since 1970, UTC; None where it is not.
        waits: how many ask to join.
        depth: how many of the groups in the list it is below.
    """

    group: str
    size: int
    managers: tuple[str, ...]
    archived: int | None
    waits: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Upload:
    """What a roster would change.

    Attributes:
        roll: what it says, by group.
        found: the difference to what the last upload said.
        mark: of this difference: another one is another question.
    """

    roll: Mapping[str, Mapping[str, str]]
    found: Difference
    mark: str


@dataclass(frozen=True)
class Ending:
    """What archiving a group would do.

    Attributes:
        members: how many lose it in the hub.
        links: the codes that are revoked.
        requests: how many who ask to join are not answered.
        below: groups that stay as they are.
    """

    members: int
    links: tuple[str, ...]
    requests: int
    below: tuple[str, ...]


class UnknownNames(PeopleError):
    """The hub does not have some of those who were named, and nobody has said that this is right.

    Attributes:
        names: of these.
    """

    def __init__(self, names: Sequence[str]) -> None:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        super().__init__(
            _(
                "This hub has nobody called {names}. Correct the names, or say that they have not "
                "logged in yet."
            ).format(names=shown)
        )
        self.names = tuple(names)


class NotSure(PeopleError):
    """They would take the group away from themselves, and have not said that they mean it."""

    def __init__(self, group: str) -> None:
        super().__init__(
            _("You would not manage {group} any more, and could not take that back.").format(
                group=group
            )
        )


# -- which groups there are ------------------------------------------------------------------------


async def all_groups(desk: Desk) -> list[str]:
    """Those of the hub, of the archive and of the store that whoever asks sees, by name."""
    in_hub = await desk.group_names()
    known, over = await desk.ask(desk.store.groups), await desk.ask(archive_of, desk.store)
    names = {*in_hub, *known, *over, *desk.access.managed}
    return sorted((name for name in names if desk.access.sees(name)), key=lambda n: n.split("/"))


async def group_is(desk: Desk, group: str) -> bool:
    """Whether there is such a group at all."""
    if not usable(group):
        return False
    if await desk.ask(_in_store, desk.store, group) or group in desk.access.managed:
        return True
    return group in await desk.group_names()


def _in_store(store: GroupStore, group: str) -> bool:
    return bool(store.sizes([group])) or group in archive_of(store)


def rows_of(
    store: GroupStore, access: Access, groups: Sequence[str], known: Collection[str] = ()
) -> list[GroupRow]:
    """Some groups with what a list says of them. Blocks.

    Args:
        known: all groups of the list.
    """
    sizes, managers, over = store.sizes(groups), store.managers(groups), archive_of(store)
    some, everyone = set(groups), set(known)
    waits: dict[str, int] = {}
    for request in links.waiting(store, lambda group: group in some and access.manages(group)):
        waits[request.group] = waits.get(request.group, 0) + 1
    return [
        GroupRow(
            *(name, sizes.get(name, 0), managers.get(name, ())),
            over[name].at if name in over else None,
            waits.get(name, 0),
            sum(one in everyone for one in above(name)),
        )
        for name in groups
    ]


def matching(groups: Iterable[str], words: str) -> list[str]:
    """Those whose name has all of some words."""
    wanted = words.lower().split()
    return [name for name in groups if all(word in name.lower() for word in wanted)]


def check_group_name(group: str) -> None:
    """Raises PeopleError: people can't make a group of that name."""
    check_not_reserved(group)
    if not usable(group) or group != group.strip() or "//" in group or group in (".", ".."):
        raise PeopleError(
            _(
                "A group's name has up to {most} signs that can be printed, and slashes only "
                "between its parts, as in earth-sciences/geo-101."
            ).format(most=LONGEST_NAME)
        )


# -- members ---------------------------------------------------------------------------------------


def check_users(users: Iterable[str]) -> None:
    """Raises PeopleError: the hub can't have a user of that name."""
    if any(not usable(user) for user in users):
        raise PeopleError(_("This is no user name. Choose who is meant on the group's page."))


async def known_users(desk: Desk, names: Collection[str]) -> frozenset[str]:
    """Those of some names that the hub has.

    Raises:
        PeopleError: it can't be asked now.
    """
    found: set[str] = set()
    wanted = sorted(names)
    try:
        for start in range(0, len(wanted), 1_000):
            some = wanted[start : start + 1_000]
            found |= set(await desk.context.hub_api(KNOWN_USERS, "POST", some))
    except (httpclient.HTTPError, OSError):
        raise PeopleError(
            _("The hub can't be asked now whom it knows. Try again in a minute.")
        ) from None
    return frozenset(found)


async def not_logged_in(desk: Desk, users: Collection[str]) -> frozenset[str]:
    """Those of some users whom the hub does not have yet; none where it can't be asked."""
    try:
        return frozenset(users) - await known_users(desk, users)
    except PeopleError:
        return frozenset()


async def whom(desk: Desk, text: str) -> Resolved:
    """Whom a pasted list means.

    Raises:
        PeopleError: nobody, or what is no list of names.
    """
    pasted = parse_names(text)
    if not pasted:
        raise PeopleError(_("Write whom to add: user names or e-mail addresses."))
    candidates = {name for one in pasted for name in one.candidates}
    return resolve(pasted, await known_users(desk, candidates))


async def add(
    desk: Desk, group: str, text: str, role: str, until: int | None, new: bool
) -> tuple[str, ...]:
    """Make those of a pasted list members by hand; returns their names.

    Args:
        until: when it ends, in seconds since 1970, UTC; None for never.
        new: also those whom the hub does not have yet.

    Raises:
        UnknownNames, PeopleError: nobody was added.
    """
    check_not_reserved(group)
    found = await whom(desk, text)
    if found.unknown and not new:
        raise UnknownNames(found.unknown)

    def put() -> None:
        # A list of members that has a manager in it makes nobody less.
        above_that = {
            s.membership.user
            for s in desk.store.standings(groups=[group], role=MANAGER)
            if role == MEMBER and s.membership.source in BY_PEOPLE
        }
        names = [name for name in found.all if name not in above_that]
        put_members(desk.store, group, names, desk.by(), role, until)

    await desk.ask(put)
    return found.all


async def remove(desk: Desk, group: str, users: Sequence[str], sure: bool) -> dict[str, list[str]]:
    """Take out what people have set; returns who stays all the same, with the sources that say so.

    Args:
        sure: also where they would not manage the group themselves any more.

    Raises:
        NotSure: nothing was done.
    """
    check_users(users)
    if not sure:
        await _check_own(desk, group, users)
    stay = await desk.ask(remove_members, desk.store, group, users, desk.by())
    return await _sources(desk, group, stay)


async def change(
    desk: Desk,
    group: str,
    users: Sequence[str],
    role: str | None,
    end: tuple[int | None] | None,
    sure: bool,
) -> dict[str, list[str]]:
    """Another role or end, as far as people have set it; the rest as for `remove`."""
    check_users(users)
    if role == MEMBER and not sure:
        await _check_own(desk, group, users)
    stay = await desk.ask(change_members, desk.store, group, users, desk.by(), role=role, end=end)
    return await _sources(desk, group, stay)


async def wait_for_hub(desk: Desk, group: str) -> None:
    """Until the hub has what has changed about the user who asks and a group, but not for long: it
    is told once a second, or later where they have just logged in."""
    until = time.monotonic() + _PATIENCE
    while await desk.ask(waits, desk.store, desk.user, group):  # noqa: ASYNC110 - of the hub
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.1)


async def _check_own(desk: Desk, group: str, users: Collection[str]) -> None:
    access = desk.access
    if access.user not in users or access.admin or access.everywhere:
        return
    mine = await desk.ask(desk.store.standings, access.user, [group, *above(group)], MANAGER)
    left = [s for s in mine if s.membership.group != group or s.membership.source not in BY_PEOPLE]
    if mine and not left:
        raise NotSure(group)


async def _sources(desk: Desk, group: str, users: Sequence[str]) -> dict[str, list[str]]:
    if not users:
        return {}
    found: dict[str, list[str]] = {user: [] for user in users}
    for standing in await desk.ask(desk.store.standings, None, [group]):
        one = standing.membership
        if one.user in found and one.source not in BY_PEOPLE:
            found[one.user].append(one.source)
    return found


def say_stay(stay: Mapping[str, Sequence[str]]) -> str:
    """Who stays, and by what; empty for nobody."""
    some = list(stay.items())[:5]
    texts = [
        _("{user} stays, by {sources}").format(
            user=user, sources=", ".join(map(say_source, dict.fromkeys(sources)))
        )
        for user, sources in some
    ]
    return "; ".join(texts) + (" …" if len(stay) > 5 else "") + ("." if texts else "")


async def only_in_hub(desk: Desk, group: str) -> list[str]:
    """Who is in a group of the hub by hand there, so that the store hears of it at their next
    login. Empty where the hub can't be asked."""
    try:
        in_hub = await desk.context.hub_api(f"{GROUP_NAMES}/{quote(group, safe='')}")
    except (httpclient.HTTPError, OSError):
        return []

    def here() -> set[str]:
        return {s.membership.user for s in desk.store.standings(groups=[group])}

    known = await desk.ask(here)
    return [user for user in in_hub if user not in known]


# -- rosters ---------------------------------------------------------------------------------------


def upload(store: GroupStore, group: str, content: bytes, name: str, user: str = "") -> Upload:
    """What a roster for a group would change. Blocks.

    Args:
        content: the file, up to `LARGEST_ROSTER`.
        name: of the file, for what is wrong with it.
        user: which column is the user name; empty for what is usual.

    Raises:
        RosterError, PeopleError: it can't be read.
    """
    if len(content) > LARGEST_ROSTER:
        raise PeopleError(
            _("The file is too large: at most {most} bytes.").format(most=f"{LARGEST_ROSTER:,}")
        )
    if not content.strip():
        raise PeopleError(_("The file is empty. Choose a roster, as CSV."))
    roll = read_roster(content, name, group, user)
    for where, users in roll.items():
        check_group_name(where)
        if wrong := next((one for one in users if not usable(one)), None):
            raise PeopleError(
                _("{name}: “{user}” is no user name.").format(name=name, user=wrong[:40])
            )
    found = store.difference(UPLOAD, roll, [group, *(g for g in roll if g != group)])
    digest = hashlib.sha256(repr(found).encode("utf-8", "replace")).hexdigest()
    return Upload(roll, found, digest[:32])


def as_roster(roll: Mapping[str, Mapping[str, str]]) -> str:
    """A roster of our own kind that says the same."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("user", "group", "role"))
    for group, users in roll.items():
        writer.writerows((user, group, role) for user, role in users.items())
    return out.getvalue()


# -- the end of a group ----------------------------------------------------------------------------


def ending(store: GroupStore, group: str) -> Ending:
    """What archiving would do. Blocks."""
    at = store.clock()
    held = [link.code for link in links.links_of(store, group) if not link.over(at)]
    below = [name for name in store.groups() if name.startswith(f"{group}/")]
    asked = links.waiting(store, lambda name: name == group)
    return Ending(store.sizes([group]).get(group, 0), tuple(held), len(asked), tuple(below))


def end_group(store: GroupStore, group: str, by: people.By) -> None:
    """Archive a group; its links are revoked. Blocks."""
    archive(store, group, by)
    links.revoke_all(store, group, by)


def by_group(standings: Sequence[Standing]) -> list[tuple[str, str, tuple[Standing, ...]]]:
    """Somebody's groups: each with their role there and all the reasons."""
    found: dict[str, list[Standing]] = {}
    for standing in standings:
        found.setdefault(standing.membership.group, []).append(standing)
    return [
        (group, (member := member_of("", some)).role, member.standings)
        for group, some in found.items()
    ]
