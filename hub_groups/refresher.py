"""Asks the provider of logins about users who do not come by.

A hub refreshes a user at a request of theirs, and so never one whose server just runs on. Here that
is done beside it: one after the other, spread over time, and no faster than a provider can bear.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler
from tornado.httputil import HTTPServerRequest

from .authenticator import GroupsMixin, ProviderDown
from .hub_tables import active_users
from .patience import in_time

log = logging.getLogger("JupyterHub.groups")

_LEAST_SECONDS = 1.0
"""From one user to the next, however many there are."""
_MOST_SECONDS = 60.0
"""From one look at who is active to the next."""
_PATIENCE_SECONDS = 60
_BACK_OFF_SECONDS = 5.0


@dataclass(frozen=True)
class Step:
    """Attributes:
    user: whom to ask about now, if anybody.
    wait: seconds until the next look, from when that has been done.
    """

    user: str | None
    wait: float


def next_step(ages: Mapping[str, float | None], every: float, chance: float) -> Step:
    """Who is due, and how long to wait then. Pure.

    Args:
        ages: of all active users, for how many seconds they have not been refreshed; None for
            those who have not been since the hub came up.
        every: in seconds.
        chance: from 0 to 1; without it, several hubs would ask in step.
    """
    if not ages:
        return Step(None, min(max(_LEAST_SECONDS, every / 2), _MOST_SECONDS))
    pace = max(_LEAST_SECONDS, every / len(ages) * (0.75 + chance / 2))
    oldest = max(ages, key=lambda user: _age(ages[user]))
    missing = every - _age(ages[oldest])
    if missing > 0:
        return Step(None, min(max(_LEAST_SECONDS, missing), _MOST_SECONDS))
    return Step(oldest, min(pace, _MOST_SECONDS))


def _age(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def back_off(failures: int, every: float) -> float:
    """Seconds to leave a provider alone that has failed so many times in a row. Pure."""
    return min(every, _BACK_OFF_SECONDS * 2.0 ** min(failures - 1, 30))


def can_tell(authenticator: Any) -> bool:
    """Whether an authenticator's refresh is more than JupyterHub's own, which says nothing."""
    classes = type(authenticator).__mro__
    own = next(c for c in classes if c is not GroupsMixin and "refresh_user" in vars(c))
    return bool(authenticator.auth_refresh_age) and own is not Authenticator


class Refresher:
    """Of one hub."""

    def __init__(self, app: Any, every: float) -> None:
        self._app, self._every = app, every
        self._active: dict[int, str] = {}
        self._looked_at = float("-inf")
        self._asked_at: dict[str, float] = {}
        """Of those about whom the provider said nothing that would hold."""
        self._refused: set[str] = set()
        self._failures = 0

    async def step(self) -> float:
        """Ask about whoever is due; returns for how many seconds to wait then."""
        step = next_step(self._ages(), self._every, secrets.randbelow(1001) / 1000)
        if step.user is None:
            return step.wait
        try:
            await self._refresh(step.user)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(step.user, error)
            return max(step.wait, back_off(self._failures, self._every))
        if self._failures:
            log.info("The provider of logins answers again")
        self._failures = 0
        return step.wait

    def _ages(self) -> dict[str, float | None]:
        at = time.monotonic()
        if at >= self._looked_at + min(_MOST_SECONDS, self._every / 2):
            since = datetime.now(timezone.utc) - timedelta(seconds=self._every)
            self._active = active_users(self._app.db, since.replace(tzinfo=None))
            self._looked_at = at
            names = set(self._active.values())
            self._refused &= names
            self._asked_at = {n: at for n, at in self._asked_at.items() if n in names}
        # Who is not in the hub's memory has not been here since it came up.
        refreshed = {id: user._auth_refreshed for id, user in self._app.users.items()}
        found: dict[str, float | None] = {}
        for id, name in self._active.items():
            times = [one for one in (refreshed.get(id), self._asked_at.get(name)) if one]
            found[name] = at - max(times) if times else None
        return found

    def _failed(self, user: str, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            expected = isinstance(error, (ProviderDown, asyncio.TimeoutError))
            log.warning(
                "The provider of logins can't say anything about %s now, groups stay as they are; "
                "asking again later: %s",
                user,
                error or "no answer",
                exc_info=None if expected else error,
            )
        self._app.db.rollback()
        # Others first: it may be about this one alone.
        self._asked_at[user] = time.monotonic() - self._every * 3 / 4

    async def _refresh(self, name: str) -> None:
        user = self._app.users.get(name)
        if user is None:
            self._looked_at = float("-inf")
            return
        authenticator, at, before = self._app.authenticator, time.monotonic(), user._auth_refreshed
        result = await in_time(authenticator.ask(user), _PATIENCE_SECONDS)
        if user._auth_refreshed != before or orm.User.find(self._app.db, name) is None:
            return  # they have come by, or are gone
        self._asked_at[name] = at
        if not result:
            if name not in self._refused:
                log.warning("%s has to log in again to be refreshed; their groups stay", name)
            self._refused.add(name)
            return
        self._refused.discard(name)
        told = await authenticator.with_what_we_know(user, result)
        if told is not True:
            await self._save(user, told)
        user._auth_refreshed = at
        self._asked_at.pop(name, None)

    async def _save(self, user: Any, told: dict[str, Any]) -> None:
        """As `BaseHandler.refresh_auth` does, of which only the last part can be had alone."""
        told = {**told, "name": user.name}
        if "auth_state" not in told:
            told["auth_state"] = await user.get_auth_state()
        nobody = SimpleNamespace(set_close_callback=lambda callback: None)
        request = HTTPServerRequest("GET", "/", connection=nobody)  # type: ignore[arg-type]
        await BaseHandler(self._app.tornado_application, request).auth_to_user(told, user)


async def keep_refreshing(app: Any, every: int) -> None:
    """For as long as the hub lives.

    Args:
        every: seconds.
    """
    refresher = None
    wait = _LEAST_SECONDS
    while True:
        await asyncio.sleep(wait)
        if app.http_server is None:  # the hub is still coming up
            continue
        if refresher is None:
            if not can_tell(app.authenticator):
                return
            refresher = Refresher(app, every)
        try:
            wait = await refresher.step()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("Users can't be refreshed now; trying again")
            app.db.rollback()
            wait = _MOST_SECONDS
