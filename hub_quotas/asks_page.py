"""Who asks for more? The page on which managers answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tornado.httputil import url_concat

from . import more_desk
from .access import Who, room
from .asking import Asking
from .changes import GROUP_ENTRY
from .decision import Check
from .desk import QuotaPage
from .limits import SERVER, Limit
from .more import Ask, Wanted, as_set, holds, now, say_key, say_limit, say_until
from .more_forms import ERRORS, Typed, number_of, typed_in, wrong
from .outlook import time_of

_SHOWN = 50


@dataclass(frozen=True)
class Waiting:
    """Something that was asked, with what there is to know before answering.

    Attributes:
        mine: what they have now, and what is used of it; None where the limit is gone.
        room: the tightest limit beyond which nothing can be given, and what is used of it.
        answers: whether whoever looks may answer at all.
        gives: whether they may give it.
        source: the file that says what the group has; empty for none.
    """

    ask: Ask
    mine: Check | None
    room: Check | None
    answers: bool
    gives: bool
    source: str

    @property
    def counted(self) -> bool:
        return self.ask.limit.scope != SERVER and self.ask.limit.resource != "storage"


class AsksPage(QuotaPage):
    """What waits for an answer, in the groups that one manages; and what was answered."""

    who = Who.MANAGES_ANY
    who_changes = Who.MANAGES_ANY

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        typed, id = typed_in(self), 0
        try:
            id = number_of(self.get_body_argument("id", ""))
            if self.get_body_argument("action") == "decline":
                ask = await more_desk.decline(self, id, typed.words)
            else:
                wanted = typed.wanted
                ask = await more_desk.approve(self, id, wanted.amount, wanted.until, typed.words)
        except ERRORS as error:
            await self._show(id, wrong(self, typed, error))
            return
        told = url_concat(self.request.path, {"answered": str(ask.id)})
        self.redirect(f"{told}#done")  # not to where the form was

    async def _show(self, id: int = 0, typed: Typed | None = None) -> None:
        """Args:
        id, typed: what could not be answered, and what was typed.
        """
        count, waiting, answered = await asyncio.to_thread(self._read)
        confirmed = self.get_query_argument("answered", "")
        self.show(
            "asks.html",
            waiting=waiting,
            count=count,
            answered=answered,
            declining=self.get_body_argument("action", "") == "decline",
            defaults=_as_asked,
            id=id if any(one.ask.id == id for one in waiting) else 0,
            typed=typed,
            confirmed=next((ask for ask, _ in answered if str(ask.id) == confirmed), None),
            zone=self.store.zone,
            say_limit=say_limit,
            say_until=say_until,
            mailed=bool(self.context.settings["ways"]["smtp_url"]),
        )

    def _read(self) -> tuple[int, list[Waiting], list[tuple[Ask, bool]]]:
        """How many wait, and the first of each."""
        asking, held, at = Asking(self.store), self.store.held(), time_of(self.store)
        policy, zone = held.policy, self.store.zone

        def sees(group: str) -> bool:
            return self.access.sees(policy, group)

        found, asks = [], asking.waiting(sees)
        for ask in asks[:_SHOWN]:
            limit = as_set(policy, ask)
            mine = now(policy, limit, ask.user, at, zone) if limit else None
            gives = self.access.gives(policy, ask.limit)
            found.append((ask, mine, room(self.access, policy, ask.limit) if gives else None))
        use = asking.use((limit, ask.user) for ask, *limits in found for limit in limits if limit)

        def check(limit: Limit | None, user: str) -> Check | None:
            return Check(limit, use[limit, user], None) if limit else None

        waiting = [
            Waiting(
                ask,
                check(mine, ask.user),
                check(most, ask.user),
                self.access.manages(policy, ask.group),
                self.access.gives(policy, ask.limit),
                held.sources.get((GROUP_ENTRY, ask.group), ""),
            )
            for ask, mine, most in found
        ]
        answered = asking.answered(sees)[:_SHOWN]
        return len(asks), waiting, [(ask, holds(policy, ask, at, zone)) for ask in answered]


def _as_asked(ask: Ask) -> Typed:
    """What stands in the form before anything is typed."""
    limit = ask.limit
    return Typed(Wanted(ask.group, ask.key, say_key(limit.window), limit.most, ask.until))
