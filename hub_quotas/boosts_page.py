"""Who has more for a while? The boosts of one group: to give one, and to end one."""

from __future__ import annotations

import asyncio

from tornado import web
from tornado.httputil import url_concat

from . import more_desk
from .access import Who
from .desk import QuotaPage, no_such_group
from .limits import PolicyError
from .more import say_limit, say_until
from .more_forms import ERRORS, Typed, number_of, typed_in, value_of, wrong
from .policy import group_name

SAYS = {"value_of": value_of, "say_limit": say_limit, "say_until": say_until}
"""What `_boosts.html` needs besides `boosts`, `typed` and `back`, for pages that include it."""


class BoostsPage(QuotaPage):
    """`?group=G`. Other pages have its forms too, and get their visitors back."""

    who = Who.SEES
    who_changes = Who.MANAGES

    def group_of_path(self) -> str:
        try:
            return group_name(self.get_argument("group", ""))
        except PolicyError:
            raise web.HTTPError(404, no_such_group()) from None

    async def get(self) -> None:
        await self._show(Typed())

    async def post(self) -> None:
        group, typed = self.group_of_path(), typed_in(self)
        try:
            if self.get_body_argument("action") == "end":
                number, version = (
                    number_of(self.get_body_argument(name, "")) for name in ("number", "version")
                )
                await more_desk.end(self, group, number, version)
            else:
                await more_desk.grant(self, typed.wanted, typed.member)
        except ERRORS as error:
            await self._show(wrong(self, typed, error))
            return
        here = url_concat(self.request.path, {"group": group})
        self.redirect(self._back() or f"{here}#boosts")

    def _back(self) -> str:
        """The page of ours from which somebody came; empty for none, or one that is not ours."""
        back = self.get_body_argument("back", "")
        ours = back.startswith(self.context.prefix) and back.isprintable() and "\\" not in back
        return back if ours else ""

    async def _show(self, typed: Typed) -> None:
        group = self.group_of_path()
        boosts = await asyncio.to_thread(more_desk.boosts_of, self.store, self.access, group)
        self.show(
            "boosts.html",
            boosts=boosts,
            typed=typed,
            back=self.get_body_argument("back", ""),
            zone=self.store.zone,
            **SAYS,
        )
