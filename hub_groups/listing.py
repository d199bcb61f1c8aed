"""Which groups and users the hub has and who is in a group, told in a query or two.

The hub's own REST API makes objects of all users of all groups that it lists: with 100,000 users,
seconds in which it does nothing else.
"""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join
from tornado import web

from .access import GROUP_NAMES, KNOWN_USERS

MOST_USERS = 1_000
"""Of whom one can ask at once."""


class GroupNames(APIHandler):
    """GET the names of all groups, for who may list all: the hub refuses a scope for some."""

    @needs_scope("list:groups")
    def get(self) -> None:
        names = self.db.query(orm.Group.name).order_by(orm.Group.name)
        self.write(json.dumps([name for (name,) in names]))


class GroupUsers(APIHandler):
    """GET the names of all users of a group."""

    @needs_scope("read:groups")
    def get(self, group_name: str) -> None:
        group = orm.Group.find(self.db, group_name)
        if group is None:
            raise web.HTTPError(404, f"There is no group {group_name}.")
        seats = orm.user_group_map.c
        users = self.db.query(orm.User.name).join(orm.user_group_map, seats.user_id == orm.User.id)
        users = users.filter(seats.group_id == group.id)
        # By id, and sorted here, or the database walks through all users by their names.
        self.write(json.dumps(sorted(name for (name,) in users)))


class KnownUsers(APIHandler):
    """POST a JSON list of names, to hear which of them the hub has."""

    @needs_scope("read:users:name")
    def post(self) -> None:
        asked = self.get_json_body()
        names = asked if isinstance(asked, list) else [None]
        if len(names) > MOST_USERS or not all(isinstance(name, str) for name in names):
            raise web.HTTPError(400, f"Send a list of up to {MOST_USERS} names.")
        found = self.db.query(orm.User.name).filter(orm.User.name.in_(names))
        self.write(json.dumps(sorted(name for (name,) in found)))


def list_groups(app: Any) -> None:
    """Let the hub answer these addresses, beside those of its own REST API."""

    def add(_change: Any) -> None:
        address = url_path_join(app.hub_prefix, "api", GROUP_NAMES)
        if not any(entry[0] == address for entry in app.handlers):
            ours = [(address, GroupNames), (rf"{address}/([^/]+)", GroupUsers)]
            ours.append((url_path_join(app.hub_prefix, "api", KNOWN_USERS), KnownUsers))
            app.handlers[:0] = ours

    app.observe(add, "handlers")
