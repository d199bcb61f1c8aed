"""What can I do, and whom do I ask? The page that fills a request for help with the facts, after
showing them to who asks."""

from __future__ import annotations

import asyncio

from hub_groups.words import in_english

from .desk import QuotaPage
from .support import Section, compose, link, subject, titles
from .support_desk import facts_of

LONGEST = 5000
"""How much of what is typed into one field is taken."""


class HelpPage(QuotaPage):
    """First the facts, each of which can be left out or changed; then the text that is made of
    them, to copy or to send. The hub itself sends and keeps nothing."""

    async def get(self) -> None:
        """`?what=...`: what other pages write into the first field."""
        facts = await facts_of(self)
        await self._show(self.get_query_argument("what", "")[:LONGEST], facts, facts, "")

    async def post(self) -> None:
        facts = await facts_of(self)
        known = {one.key for one in facts}
        typed = tuple(
            Section(key, self._typed(f"text:{key}"))
            for key in titles()
            if key in known or self._typed(f"text:{key}")
        )
        chosen = set(self.get_body_arguments("with"))
        kept = tuple(one for one in typed if one.key in chosen)
        what = self._typed("what")
        await self._show(what, typed, kept, in_english(compose, what, kept))

    def _typed(self, name: str) -> str:
        return "\n".join(self.get_body_argument(name, "").splitlines())[:LONGEST]

    async def _show(
        self, what: str, parts: tuple[Section, ...], kept: tuple[Section, ...], text: str
    ) -> None:
        contact = self.context.settings["support"]
        self.show(
            "help.html",
            what=what,
            parts=parts,
            kept={one.key for one in kept},
            text=text,
            link=link(contact, subject(what), text) if text else None,
            contact=contact,
            titles=titles(),
            managers=await asyncio.to_thread(self.managers_of, self.access.groups),
            in_no_group=not self.current_user.get("groups"),
        )
