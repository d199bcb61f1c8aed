"""The authenticator mixin: merges memberships at each login and refresh, and at the hub's start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.utils import maybe_future
from sqlalchemy.orm import object_session

from .config import HubGroups
from .memberships import merge
from .roster import RosterError, parse_roster
from .store import open_store


class GroupsMixin:
    """Put around whatever authenticator class the hub is configured with.

    `manage_groups` may be on or off. With it off, the hub ignores the groups of a login, and so
    do we: what rosters and people say still holds.
    """

    group_settings: HubGroups  # set by `with_groups`

    # The traitlets attributes and methods of the class below that this one uses.
    log: logging.Logger
    manage_groups: bool
    login_service: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._store = open_store(self.group_settings.db_url)
        for roster in self.group_settings.rosters:
            self._read_roster(Path(roster))
        self._at_start = self._store.known()
        self._first_login: dict[str, frozenset[str]] = {}

    def _read_roster(self, path: Path) -> None:
        try:
            memberships = parse_roster(path.read_text(encoding="utf-8-sig"), path.name)
        except (OSError, UnicodeDecodeError, RosterError) as error:
            self.log.error("Roster %s not read, its memberships stay as they were: %s", path, error)
        else:
            self._store.replace_source(f"roster:{path.name}", memberships)

    @property
    def _source(self) -> str:
        return f"idp:{(self.login_service or 'login').lower()}"

    async def _merge(
        self, user: str, model: dict[str, Any] | None, current: Iterable[str]
    ) -> frozenset[str]:
        """The groups of `user`, with what the login says where it says something about groups."""
        said = (model or {}).get("groups")
        if not self.manage_groups or said is None:
            merged = await asyncio.to_thread(self._store.sync_user, user, current)
        else:
            merged = await asyncio.to_thread(
                self._store.sync_user, user, current, self._source, said
            )
        return merged.groups

    async def run_post_auth_hook(self, handler: Any, auth_model: Any) -> Any:
        """Each login. The admin's own post_auth_hook has run inside super()."""
        model = await super().run_post_auth_hook(handler, auth_model)  # type: ignore[misc]
        if not model:
            return model
        user = handler.find_user(model["name"])  # None at the first login
        await asyncio.sleep(0)  # that was one query of the hub's database, and here is another
        current = [group.name for group in user.groups] if user else []
        groups = await self._merge(model["name"], model, current)
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
        if isinstance(user, orm.User):  # the hub starts: nothing waits for us, nothing is served
            self._sync_at_start(user)
            return added
        return self._sync_new(user, added)

    def _sync_at_start(self, user: orm.User) -> None:
        """Only users who differ cost a transaction."""
        known = self._at_start.get(user.name)
        if known is None:
            return
        current = {group.name for group in user.groups}
        if merge(current, known).groups == current == known.applied:
            return
        groups = self._store.sync_user(user.name, current).groups
        if groups == current:
            return
        db = object_session(user)
        assert db is not None, "the hub hands over users of its own session"
        here = {g.name: g for g in db.query(orm.Group).filter(orm.Group.name.in_(groups))}
        for name in groups - here.keys():
            here[name] = orm.Group(name=name)
            db.add(here[name])
        user.groups = list(here.values())
        db.commit()

    async def _sync_new(self, user: Any, added: Any) -> Any:
        result = await maybe_future(added)
        groups = self._first_login.pop(user.name, None)
        if groups is None:  # created by an admin or the API, not by a login
            groups = await self._merge(user.name, None, [g.name for g in user.groups])
        user.sync_groups(sorted(groups))
        return result

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        """Every few minutes of activity, and before a spawn where so configured."""
        result = await super().refresh_user(user, handler)  # type: ignore[misc]
        if not result:
            return result
        model = {"name": user.name} if result is True else result
        current = {group.name for group in user.groups}
        groups = await self._merge(user.name, model, current)
        if self.manage_groups:
            unchanged = result is True and groups == current
            return True if unchanged else {**model, "groups": sorted(groups)}
        if groups != current:
            user.sync_groups(sorted(groups))
        return result


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
