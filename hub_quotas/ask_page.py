"""Can I have more? The page on which members ask, and see what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tornado.httputil import url_concat

from hub_groups.words import _

from . import more_desk
from .asking import Asking
from .decision import Check
from .desk import QuotaPage
from .limits import GROUP, SERVER, Limit, PolicyError, like
from .more import OPEN, Ask, Wanted, choices, holds, now, say_key, say_limit, say_until
from .more_forms import ERRORS, Typed, number_of, typed_in, value_of, wrong
from .outlook import time_of
from .policy import WHOLE_HUB


@dataclass(frozen=True)
class Choice:
    """One limit of which somebody can ask for more.

    Attributes:
        check: the limit as it holds for them now, and what is used of it.
    """

    check: Check

    @property
    def limit(self) -> Limit:
        return self.check.limit

    @property
    def value(self) -> str:
        return value_of(self.limit)

    @property
    def counted(self) -> bool:
        """Whether any of it is ever used up."""
        return self.limit.scope != SERVER and self.limit.resource != "storage"


@dataclass(frozen=True)
class Asked:
    """What somebody has asked.

    Attributes:
        holds: whether they have it now.
        people: who can answer; empty where only admins can, and where it was answered.
    """

    ask: Ask
    holds: bool
    people: tuple[str, ...]


class AskPage(QuotaPage):
    """One of my limits, how much, until when, and why; and what I have asked before."""

    async def get(self) -> None:
        """`?group=G&limit=K&window=W`, as links on other pages have it, is chosen already."""
        group, key, window = (
            self.get_query_argument(name, "") for name in ("group", "limit", "window")
        )
        await self._show(Typed(Wanted(group, key, window, "", "")))

    async def post(self) -> None:
        typed = typed_in(self)
        if self.get_body_argument("check", ""):
            await self._show_checked(typed)
            return
        try:
            if self.get_body_argument("action", "ask") == "withdraw":
                await more_desk.withdraw(self, number_of(self.get_body_argument("id", "")))
                self.redirect(f"{self.request.path}#asked")
                return
            asked = await more_desk.ask(self, typed.wanted)
        except ERRORS as error:
            await self._show(wrong(self, typed, error))
            return
        self.redirect(url_concat(self.request.path, {"asked": str(asked.id)}))

    async def _show_checked(self, typed: Typed) -> None:
        """While they type: what is still empty is not wrong yet."""
        check, asks_for = Asking(self.store).check, None
        try:
            more = await asyncio.to_thread(check, self.user, self.access.groups, typed.wanted)
            asks_for = more.limit
        except PolicyError as error:
            wanted = typed.wanted
            empty = {"amount": not wanted.amount.strip(), "until": not wanted.until}
            if not empty.get(error.place[0]):
                typed = wrong(self, typed, error)
        await self._show(typed, checking=True, asks_for=asks_for)

    async def _show(
        self, typed: Typed, checking: bool = False, asks_for: Limit | None = None
    ) -> None:
        offered, asked = await asyncio.to_thread(self._read)
        by_group: dict[str, list[Choice]] = {}
        for choice in offered:
            by_group.setdefault(choice.limit.group, []).append(choice)
        chosen = _meant(offered, typed.wanted)
        confirmed = self.get_query_argument("asked", "")
        self.show(
            "ask.html",
            by_group=by_group,
            chosen=chosen,
            hint=hint(chosen.limit) if chosen else "",
            has_managers=bool(chosen and await asyncio.to_thread(self._answerers, chosen.limit)),
            typed=typed,
            checking=checking,
            asks_for=asks_for,
            asked=asked,
            confirmed=next((one for one in asked if str(one.ask.id) == confirmed), None),
            zone=self.store.zone,
            say_limit=say_limit,
            say_until=say_until,
        )

    def _answerers(self, limit: Limit) -> tuple[str, ...]:
        return more_desk.answerers(self.store.policy(), self, limit.group, limit.scope)

    def _read(self) -> tuple[list[Choice], list[Asked]]:
        asking, policy, at = Asking(self.store), self.store.policy(), time_of(self.store)
        zone, groups = self.store.zone, self.access.groups
        mine = [now(policy, limit, self.user, at, zone) for limit in choices(policy, groups)]
        use = asking.use((limit, self.user) for limit in mine)
        offered = [Choice(Check(limit, use[limit, self.user], None)) for limit in mine]
        asked = []
        for ask in asking.of(self.user):
            people: tuple[str, ...] = ()
            if ask.state == OPEN:
                people = more_desk.answerers(policy, self, ask.group, ask.limit.scope)
            asked.append(Asked(ask, holds(policy, ask, at, zone), people))
        return offered, asked


def example(limit: Limit) -> str:
    """What could be typed to get more of it than there is now."""
    if not limit.amount:
        return like(limit.kind).partition(" ")[0]
    return limit.kind.format(2 * limit.amount)


def hint(limit: Limit) -> str:
    """What stands in the empty field: of what all share, whose it is, since nobody asks for a part
    of it."""
    if limit.scope != GROUP:
        return example(limit)
    text = _("{amount} for the whole group, now {now}")
    if limit.group == WHOLE_HUB:
        text = _("{amount} for the whole hub, now {now}")
    return text.format(amount=example(limit), now=limit.kind.format(limit.amount))


def _meant(offered: list[Choice], wanted: Wanted) -> Choice | None:
    """The one that is closest to what an address or a form says."""

    def closeness(choice: Choice) -> tuple[bool, bool, bool]:
        limit = choice.limit
        same = (limit.key == wanted.key, limit.group == wanted.group)
        return (*same, say_key(limit.window) == wanted.window)

    return max(offered, key=closeness, default=None)
