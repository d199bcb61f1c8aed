"""What users are told, above the hub's home and spawn pages, beside what the admin announces."""

from __future__ import annotations

import asyncio
import html
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.user import User

from hub_groups.words import _

from .notices import SHOWN, Notices, Told
from .off_loop import off_loop
from .policy import DEFAULT_GROUP, Policy, group_name
from .policy_store import now
from .store import QuotaStore
from .transaction import LedgerError

log = logging.getLogger("JupyterHub.quotas")

PAGES = ("announcement_home", "announcement_spawn")
_REFRESH_SECONDS = 5
_MOST = 3


@dataclass(frozen=True)
class Current:
    """What all are told now, newest first."""

    of_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def texts(self, user: str, groups: Callable[[], Iterable[str]]) -> list[str]:
        """For one user. `groups`: the user's in the hub, asked only where a group is told."""
        found = [*self.of_users.get(user, ())]
        if self.of_groups:
            mine = [group_name(name) for name in groups()] or [DEFAULT_GROUP]
            above = dict.fromkeys(name for group in mine for name in self.policy.path(group))
            found += [text for name in above for text in self.of_groups.get(name, ())]
        return found


def current(notices: Iterable[Told], policy: Policy) -> Current:
    """Notices by whom they are for."""
    of_users: dict[str, tuple[str, ...]] = {}
    of_groups: dict[str, tuple[str, ...]] = {}
    for told in notices:
        where, name = (of_users, told.user) if told.user else (of_groups, told.group)
        where[name] = (*where.get(name, ()), told.text)
    return Current(of_users, of_groups, policy)


class Banner:
    """The hub's pages ask it each time that they are shown: it only looks at what is in memory.

    Args:
        open_store: blocks.
        usage: the address of the page about my usage.
    """

    def __init__(self, open_store: Callable[[], QuotaStore], usage: str) -> None:
        self._open_store, self._usage = open_store, usage
        self._current = Current()
        self._reads = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._told_error = False

    def beside(self, template_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The admin's template variables, with ours after the announcement of each page."""
        out = dict(template_vars)
        for page in PAGES:
            # Of a page that has none of its own, the one for all pages, which ours would hide.
            own = template_vars.get(page, template_vars.get("announcement"))
            out[page] = self._after(own)
        return out

    def _after(self, own: Any) -> Callable[[Any], str]:
        def announcement(user: Any) -> str:
            said = own(user) if callable(own) else own
            return f"{said or ''}{self.show(user)}"

        return announcement

    def show(self, user: Any) -> str:
        """HTML for one of the hub's users; empty for none, and where nobody is told anything."""
        self.start()
        try:
            if not isinstance(user, User):
                return ""
            texts = self._current.texts(user.name, lambda: (group.name for group in user.groups))
        except Exception:
            log.exception("Notices are not shown")
            return ""
        return in_html(texts, self._usage, f"{self._usage}help") if texts else ""

    def start(self) -> None:
        """Keep up with the ledger from now on, where an event loop runs."""
        if self._task is None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return
            self._task = asyncio.ensure_future(self._keep_reading())

    async def _keep_reading(self) -> None:
        while True:
            try:
                self._current = await off_loop(self._read)
                self._told_error = False
            except Exception as error:
                if not self._told_error:
                    log.warning("Notices are shown as they were: %s", error)
                self._told_error = True
            await asyncio.sleep(_REFRESH_SECONDS)

    def _read(self) -> Current:
        # At most one thread waits for a database that hangs: the others are for starts.
        if not self._reads.acquire(blocking=False):
            raise LedgerError("The ledger has not answered yet.")
        try:
            store = self._open_store()
            return current(Notices(store).current(now() - SHOWN), store.policy())
        finally:
            self._reads.release()


def in_html(texts: list[str], usage: str, get_help: str) -> str:
    """A few texts and where there is more, for the yellow box at the top of a page."""
    shown = [html.escape(text) for text in texts[:_MOST]]
    link = _link(usage, _("My usage"))
    if len(texts) > _MOST:
        text = html.escape(_("{n} more in {page}"))
        link = text.format(n=len(texts) - _MOST, page=link)
    where = f"{link} · {_link(get_help, _('Get help'))}"
    return f'<div role="status">{"<br>".join([*shown, where])}</div>'


def _link(address: str, words: str) -> str:
    return f'<a class="alert-link" href="{html.escape(address)}">{html.escape(words)}</a>'
