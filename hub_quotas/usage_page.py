"""How much do I have left, and until when? The page for everybody."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone, tzinfo
from functools import partial
from urllib.parse import quote

from tornado import web
from tornado.httputil import url_concat

from hub_groups.rest import Refusal
from hub_groups.words import _

from . import usage_words
from .costs import hours
from .desk import QuotaPage
from .home_storage import Shelf, shelves
from .limits import MEMBER
from .looks_api import look_into_home
from .messages import short_reason
from .more import ask_address
from .notices import Told
from .notices_api import told_to
from .quantities import resource, whole
from .spending import spending_of_user
from .standing import DAYS, PAGE, standing
from .stopping import stop_server
from .storage_looks import looks
from .storage_trend import drawn, say_full_at
from .svg import Svg, sparkline
from .usage import GroupStanding, Standing

_MOST_PAGES = 99_999


class UsagePage(QuotaPage):
    """What each of my groups lets me use, what I used, what runs, and what ran."""

    async def get(self) -> None:
        await self._show()

    async def post(self) -> None:
        """Stop a server, or ask what takes up the room in my home."""
        action = self.get_body_argument("action", "")
        if action == "look":
            await self._look()
            return
        if action != "stop":
            raise web.HTTPError(400, _("There is nothing of that name to do here."))
        server = self.get_body_argument("server", "", strip=False)
        try:
            session, _over = await stop_server(self, server)
        except Refusal as refusal:
            self.set_status(refusal.status)
            await self._show(refusal.detail)
            return
        self.redirect(url_concat(self.request.path, {"stopping": session}), status=303)

    async def _look(self) -> None:
        try:
            await look_into_home(self)
        except Refusal as refusal:
            self.set_status(refusal.status)
            await self._show(refusal.detail)
            return
        self.redirect(f"{self.request.path}#storage", status=303)

    async def _show(self, wrong: str = "") -> None:
        mine = list(self.access.groups)
        page = _number(self.get_query_argument("page", "1"))
        found, told = await asyncio.to_thread(self._standing, mine, PAGE * (page - 1))
        shelved = await asyncio.to_thread(shelves, self.store, self.user, mine)
        looked = await asyncio.to_thread(looks, self.store, self.user)
        server = next(
            (one.server for one in found.running if one.up and one.hub == self.store.hub), None
        )
        stopping = self.get_query_argument("stopping", "")
        stopped = next((one for one in found.history.items if one.id == stopping), None)
        self.show(
            "usage.html",
            standing=found,
            told=told,
            shelves=shelved,
            looks={look.mount: look for look in looked},
            folder=partial(lab_folder, self.context.hub.removesuffix("hub/"), self.user, server),
            storage=resource("storage"),
            course=partial(course, zone=self.store.zone),
            say_full_at=partial(say_full_at, at=found.at, zone=self.store.zone),
            spending=await asyncio.to_thread(spending_of_user, self.store, self.user),
            hours=hours,
            wrong=wrong,
            stopping=stopping,
            stopped=stopped,
            costs=any(one.used.get("cost") for one in found.history.items),
            page=page,
            pages=max(1, -(-found.history.total // PAGE)),
            managers=await asyncio.to_thread(self.managers_of, [one.group for one in found.groups]),
            in_no_group=not self.current_user.get("groups"),
            hub=self.store.hub,
            zone=self.store.zone,
            words=usage_words,
            instant=partial(usage_words.instant, present=found.at, zone=self.store.zone),
            until=partial(usage_words.until, present=found.at, zone=self.store.zone),
            exactly=partial(usage_words.exactly, zone=self.store.zone),
            machine=lambda at: datetime.fromtimestamp(at / 10**6, timezone.utc).isoformat(),
            ask_address=ask_address,
            plot=plot,
            reason=short_reason,
            say_whose=usage_words.say_whose,
            MEMBER=MEMBER,
            DAYS=DAYS,
        )

    def _standing(self, groups: list[str], offset: int) -> tuple[Standing, list[Told]]:
        told = told_to(self.store, self.user, groups)
        return standing(self.store, self.user, groups, offset), told


def lab_folder(base: str, user: str, server: str | None, path: str, is_file: bool) -> str:
    """Where JupyterLab shows a folder, or the one that a file is in; empty where it can't: it does
    not open hidden ones.

    Args:
        base: of the hub's and its users' addresses: `/`.
        server: of the user; empty for the default one, None where none runs.
        path: below their home.
    """
    folder = path.rpartition("/")[0] if is_file else path
    unknown = "\N{REPLACEMENT CHARACTER}" in folder
    if server is None or unknown or any(name.startswith(".") for name in folder.split("/")):
        return ""
    parts = ["user", user, *([server] if server else []), "lab", "tree"]
    address = base + "/".join(quote(part, safe="") for part in parts)
    return f"{address}/{quote(folder)}" if folder else address


def plot(group: GroupStanding) -> Svg | None:
    """What I used on each of the last days; None where that is next to nothing."""
    if usage_words.hours(sum(group.days), group.days_of) == "0":
        return None
    title = usage_words.say_days(group.days, group.days_of)
    return sparkline([float(day) for day in group.days], 240, 32, title)


def course(one: Shelf, what: str, zone: tzinfo) -> Svg | None:
    """What a directory held on the last days.

    Args:
        what: it is, for who can't see it.
        zone: that of the hub.
    """
    held = one.directory
    if held.used is None:
        return None
    return drawn(one.days, held.used, held.applied, one.at, one.full_at, what, zone)


def _number(text: str) -> int:
    return min(max(1, whole(text) or 1), _MOST_PAGES)
