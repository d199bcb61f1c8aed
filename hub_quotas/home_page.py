"""What is left and who waits for an answer, on the hub's home page: put around whatever template
and handler are there."""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jupyterhub.handlers.pages import HomeHandler
from jupyterhub.utils import url_path_join

from hub_groups import access as group_access
from hub_groups.links import waiting
from hub_groups.patience import in_time
from hub_groups.store import GroupStore, StoreError
from hub_groups.words import _, choose, language, ngettext, speak

from .asking import Asking
from .authority import authority
from .decision import Check
from .home_storage import FULL_SHARE, WARN_SHARE
from .messages import headline, title
from .policy import DEFAULT_GROUP, group_name
from .standing import tightest
from .store import QuotaStore
from .usage_words import group_title

log = logging.getLogger("JupyterHub.quotas")

PATIENCE = 0.5
"""Seconds for which the page waits for what is left; then it is shown without."""

_MOST_GROUPS = 3
_MOST_BARS = 2  # of a group

# The template around the hub's own one, or the admin's: theirs is shown as it is, after ours.
_AROUND = (
    "{% extends quota_page %}{% block main %}{{ quota_summary | safe }}{{ super() }}{% endblock %}"
)

# Of their own: a ledger that hangs must not hold up starts, which have other ones.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="quota-home")

Left = Sequence[tuple[str, Sequence[Check]]]


@dataclass(frozen=True)
class Waits:
    """How many wait for an answer that somebody can give.

    Attributes:
        asks: for more of a limit.
        joins: to join a group.
    """

    asks: int = 0
    joins: int = 0


class Summary:
    """What is left for a user, and who waits for an answer of theirs, in a few lines.

    Args:
        open_store, open_groups: they block.
        services: the address below which the pages are.
    """

    def __init__(
        self,
        open_store: Callable[[], QuotaStore],
        open_groups: Callable[[], GroupStore],
        services: str,
    ) -> None:
        self._open_store, self._open_groups, self._services = open_store, open_groups, services

    async def show(self, user: Any, scopes: Iterable[str] = ()) -> str:
        """HTML for one of the hub's users; empty where nothing limits them and nobody waits, and
        where that can't be told in time. Never fails.

        Args:
            scopes: that the user has.
        """
        try:
            model = {"name": user.name, "admin": user.admin, "scopes": frozenset(scopes)}
            model["groups"] = [group.name for group in user.groups]
            work = asyncio.get_running_loop().run_in_executor(_threads, self._read, model)
            # One that was not begun is given up, so that they don't pile up behind one that hangs.
            waits, left = await in_time(work, PATIENCE)
        except Exception as error:
            log.info("What is left is not shown on the home page: %s", error or type(error))
            return ""
        return waits_in_html(waits, self._services) + left_in_html(left, self._services)

    def _read(self, model: dict[str, Any]) -> tuple[Waits, Left]:
        store = self._open_store()
        groups = sorted(map(group_name, model["groups"])) or [DEFAULT_GROUP]
        left = tightest(store, model["name"], groups, _MOST_BARS)
        try:
            return who_waits(store, self._open_groups(), model), left
        except StoreError as error:
            log.info("Who waits is not shown on the home page: %s", error.orig)
            return Waits(), left


def who_waits(store: QuotaStore, groups: GroupStore, model: dict[str, Any]) -> Waits:
    """Of somebody who manages nothing, next to nothing is read. Blocks.

    Args:
        model: of the user, as `authority` takes it.
    """
    mine = authority(store, groups, model)
    asks = Asking(store).to_answer(mine) if mine.admin or mine.managed else 0
    theirs = group_access.access_of(model, False, groups.managed_by(model["name"]))
    if not theirs.may(group_access.Who.MANAGES_ANY):
        return Waits(asks)
    return Waits(asks, len(waiting(groups, theirs.manages)))


def waits_in_html(waits: Waits, services: str) -> str:
    """How many wait, with the pages on which they are answered."""
    asks = ngettext("{n} request for more", "{n} requests for more", waits.asks)
    joins = ngettext("{n} person asks to join", "{n} people ask to join", waits.joins)
    found = {"quotas/asks": (asks, waits.asks), "groups/groups": (joins, waits.joins)}
    links = [
        f'<a href="{html.escape(services + page)}">{html.escape(text.format(n=count))}</a>'
        for page, (text, count) in found.items()
        if count
    ]
    if not links:
        return ""
    heading = html.escape(_("Waiting for your answer"))
    return (
        f'<section class="container mb-4" aria-label="{heading}" lang="{language()}">'
        '<div class="border rounded p-3 d-flex flex-wrap align-items-baseline column-gap-4">'
        f'<span class="h5 mb-0">{heading}</span>{"".join(links)}</div></section>'
    )


def left_in_html(left: Left, services: str) -> str:
    """A few limits of a few groups, and where there is more."""
    if not left:
        return ""
    parts = []
    for group, checks in left[:_MOST_GROUPS]:
        rows = "".join(_row(check) for check in checks)
        parts.append(
            f'<div><div class="fw-bold">{html.escape(group_title(group))}</div>'
            f'<ul class="list-unstyled mb-0">{rows}</ul></div>'
        )
    heading, link = html.escape(_("What I have left")), html.escape(_("My usage"))
    return (
        f'<section class="container mb-4" aria-label="{heading}" lang="{language()}">'
        '<div class="border rounded p-3">'
        f'<div class="d-flex flex-wrap justify-content-between column-gap-3 mb-2">'
        f'<span class="h5 mb-0">{heading}</span>'
        f'<a href="{html.escape(services)}quotas/">{link}</a></div>'
        f'<div class="d-flex flex-wrap column-gap-5 row-gap-3">{"".join(parts)}</div>'
        "</div></section>"
    )


def _row(check: Check) -> str:
    limit, most = check.limit, check.limit.amount
    left = html.escape(
        _("{limit}: {amount} left").format(limit=title(check), amount=limit.kind.say(check.left))
    )
    return (
        '<li class="d-flex align-items-center gap-2">'
        f'<meter class="flex-shrink-0" max="{most or 1}" value="{check.used if most else 1}"'
        f' low="{(most or 1) * WARN_SHARE}" high="{(most or 1) * FULL_SHARE}" optimum="0"'
        f' aria-label="{html.escape(headline(check))}"></meter>'
        f"<span>{left}</span></li>"
    )


@lru_cache(maxsize=4)
def _around(environment: jinja2.Environment) -> jinja2.Template:
    return environment.from_string(_AROUND)


class WithSummary(HomeHandler):
    """Over the handler of the home page."""

    quota_summary: Summary

    def render_template(self, name: Any, sync: bool = False, **ns: Any) -> Any:
        """Text where it is `sync`, as for pages of errors, else to be awaited."""
        if name == "home.html" and not sync:
            return self._home(ns)
        return super().render_template(name, sync, **ns)

    async def _home(self, ns: dict[str, Any]) -> str:
        speak(choose(self.request.headers.get("Accept-Language", "")))
        theirs = self.get_template("home.html")
        summary = await self.quota_summary.show(self.current_user, self.expanded_scopes)
        if summary:
            around = _around(theirs.environment)
            mine = {**ns, "quota_page": theirs, "quota_summary": summary}
            try:
                return str(await super().render_template(around, **mine))
            except jinja2.TemplateError:
                log.exception("The home page is shown without what is left")
        return str(await super().render_template("home.html", **ns))


def put_around_home(app: Any, summary: Summary) -> None:
    """When the hub has its handlers, put ours over that of the home page: the hub's own, or one
    derived from it. Where an admin has another one, the page is theirs."""

    def wrap(_change: Any) -> None:
        address = url_path_join(app.hub_prefix, "home")
        for index, entry in enumerate(app.handlers):
            if entry[0] == address:
                theirs = entry[1]
                if issubclass(theirs, HomeHandler) and not issubclass(theirs, WithSummary):
                    ours = type("QuotaHome", (WithSummary, theirs), {"quota_summary": summary})
                    app.handlers[index] = (address, ours, *entry[2:])
                return

    app.observe(wrap, "handlers")
