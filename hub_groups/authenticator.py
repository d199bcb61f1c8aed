"""The authenticator mixin: merges memberships at each login and refresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from jupyterhub import orm
from jupyterhub.utils import maybe_future
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from .claims import After, Rules, by_itself, by_rules, only_logged
from .config import HubGroups
from .hub_writer import merging
from .memberships import LOGIN
from .outcome import UserRows, outcome_of
from .rules import Rule
from .store import StoreError, open_store

_OUTAGE = 500
"""From this status on it is the provider that has failed, not the user."""
_TRIES = 3


class ProviderDown(RuntimeError):
    """The provider of logins can't say anything now; the message is why."""


class GroupsMixin:
    """Put around whatever authenticator class the hub is configured with.

    `manage_groups` may be on or off. With it off, the hub ignores the groups of a login, and so
    do we, but for what rules say; what rosters, directories and people say still holds.
    """

    group_settings: HubGroups  # set by `with_groups`

    # The traitlets attributes and methods of the class below that this one uses.
    log: logging.Logger
    manage_groups: bool
    login_service: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._store = open_store(self.group_settings.db_url)
        self._rules = Rules(self._store, self.group_settings)
        self._first_login: dict[str, frozenset[str]] = {}

    @property
    def _source(self) -> str:
        return f"{LOGIN}{(self.login_service or 'login').lower()}"

    def _look(self, user: str) -> tuple[UserRows, tuple[Rule, ...] | None]:
        """What the store has of a user, and the rules that hold. In a thread."""
        rows = self._store.known(user)
        return rows, self._rules.now(rows.rules)

    def _said(
        self, model: Mapping[str, Any], rules: tuple[Rule, ...] | None, db: Any
    ) -> After | None:
        """What a login says about groups; None where it says nothing, so that what it said last
        holds."""
        if rules == ():
            key = getattr(self, "auth_state_groups_key", None)
            claim = key if isinstance(key, str) else ""
            absent = self.group_settings.absent_is_none
            said = by_itself(model, claim, absent) if self.manage_groups else None
        else:
            parents = self.group_settings.parents
            said = by_rules(rules, model, lambda name: _exists(db, name), parents)
        return only_logged(model["name"], said) if said and self.group_settings.dry_run else said

    async def _merge(
        self, name: str, user: Any, model: Mapping[str, Any] | None, db: Any, is_new: bool = False
    ) -> frozenset[str]:
        """The groups of a user, with what a login says where it says something about groups.

        Once more where somebody has changed their groups by hand while we were at it, or that
        would be lost.

        Args:
            user: None for one whom the hub has yet to make.
            model: what the login said; None where there was none.
        """
        groups, said = frozenset[str](), None
        for tried in range(_TRIES):
            current = _groups_of(user)
            merging.begin(name)
            try:
                rows, rules = await asyncio.to_thread(self._look, name)
                if model is not None and not tried:
                    said = self._said(model, rules, db)
                what = (name, current, self._source, said)
                found = outcome_of(name, rows, self._store.clock(), *what[1:], is_new)
                groups = found.result.groups
                if found.writes:
                    write = self._store.write_user
                    groups = (await asyncio.to_thread(write, *what, is_new=is_new)).groups
            finally:
                merging.end(name)
            if _groups_of(user) == current:
                break
        return groups

    def _as_before(self, name: str, user: Any, error: StoreError) -> frozenset[str]:
        """The groups of somebody of whom the store can't say anything now: those that they have.
        Whatever it would have said is so from their next login or refresh on."""
        self.log.error("Groups can't be read, %s has those of before: %s", name, error.orig)
        return _groups_of(user)

    async def run_post_auth_hook(self, handler: Any, auth_model: Any) -> Any:
        """Each login. The admin's own post_auth_hook has run inside super()."""
        model = await super().run_post_auth_hook(handler, auth_model)  # type: ignore[misc]
        if not model:
            return model
        user = handler.find_user(model["name"])  # None at the first login
        await asyncio.sleep(0)  # that was one query of the hub's database, and here is another
        try:
            groups = await self._merge(model["name"], user, model, handler.db, is_new=not user)
        except StoreError as error:
            groups = self._as_before(model["name"], user, error)
        if self.manage_groups:
            model["groups"] = sorted(groups)
        elif user:
            user.sync_groups(sorted(groups))
        else:
            self._first_login[model["name"]] = groups
        return model

    def add_user(self, user: Any) -> Any:
        """A user that is new, or, when the hub starts, each user that it knows."""
        added = super().add_user(user)  # type: ignore[misc]
        return added if isinstance(user, orm.User) else self._sync_new(user, added)

    async def _sync_new(self, user: Any, added: Any) -> Any:
        result = await maybe_future(added)
        groups = self._first_login.pop(user.name, None)
        if groups is None:  # created by an admin or the API, not by a login
            try:
                groups = await self._merge(user.name, user, None, user.db, is_new=True)
            except StoreError as error:
                groups = self._as_before(user.name, user, error)
        user.sync_groups(sorted(groups))
        return result

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        """Every few minutes of activity, and before a spawn where so configured."""
        try:
            result = await self.ask(user, handler)
        except ProviderDown as error:
            self.log.warning(
                "The provider of logins can't say anything about %s now: %s", user.name, error
            )
            result = True  # they stay logged in, with the groups that they had
        return await self.with_what_we_know(user, result) if result else result

    async def ask(self, user: Any, handler: Any = None) -> Any:
        """What the configured authenticator's own refresh says.

        Raises:
            ProviderDown
        """
        try:
            return await super().refresh_user(user, handler)  # type: ignore[misc]
        except (HTTPClientError, HTTPError, OSError, ValueError) as error:
            # Of tornado's errors, 599 is no answer at all. A ValueError is an answer that is none:
            # the page of a proxy before it, or one without a user name.
            if getattr(error, "code", getattr(error, "status_code", _OUTAGE)) < _OUTAGE:
                raise
            raise ProviderDown(str(error)) from error

    async def with_what_we_know(self, user: Any, result: Any) -> Any:
        """What the hub is to make of `result`, which a refresh has said: True or a dict."""
        model = {"name": user.name} if result is True else result
        try:
            groups = await self._merge(user.name, user, model, user.db)
        except StoreError as error:
            groups = self._as_before(user.name, user, error)
        current = _groups_of(user)
        if self.manage_groups:
            unchanged = result is True and groups == current
            return True if unchanged else {**model, "groups": sorted(groups)}
        if groups != current:
            user.sync_groups(sorted(groups))
        return result


def _groups_of(user: Any) -> frozenset[str]:
    return frozenset(group.name for group in user.groups) if user else frozenset()


def _exists(db: Any, name: str) -> bool:
    return orm.Group.find(db, name) is not None


def with_groups(authenticator: type, settings: HubGroups) -> type:
    """`authenticator` with GroupsMixin over it; the same class again where it is there already."""
    if issubclass(authenticator, GroupsMixin):
        authenticator.group_settings = settings
        return authenticator
    # Another name than the wrapped class, or traitlets would apply that class's section twice.
    return type(
        f"Groups{authenticator.__name__}",
        (GroupsMixin, authenticator),
        {
            "__module__": authenticator.__module__,
            "__doc__": authenticator.__doc__,
            "group_settings": settings,
        },
    )
