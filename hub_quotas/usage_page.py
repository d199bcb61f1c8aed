"""How much do I have left? The page for everybody."""

from __future__ import annotations

import asyncio

from .decision import Decision
from .desk import QuotaPage
from .notices import Told
from .notices_api import told_to
from .sessions import Session


class UsagePage(QuotaPage):
    """What each of my groups lets me use, what I used, and what runs."""

    async def get(self) -> None:
        mine = list(self.access.groups)
        decisions, sessions, told = await asyncio.to_thread(self._standing, mine)
        managers = await asyncio.to_thread(self.groups.managers, mine)
        self.show(
            "usage.html",
            decisions=decisions,
            sessions=sessions,
            told=told,
            managers=managers,
            sees_groups=self.access.reads or bool(self.access.managed),
        )

    def _standing(self, groups: list[str]) -> tuple[list[Decision], list[Session], list[Told]]:
        decisions = self.store.explain(self.user, groups, {})
        told = told_to(self.store, self.user, groups)
        return decisions, self.store.open_sessions(self.user), told
