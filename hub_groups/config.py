"""The settings of hub_groups, as `c.HubGroups.NAME` in the hub's configuration."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Enum, Integer, List, Unicode
from traitlets.config import Configurable

from .database import default_url

KEEP, STOP = "keep", "stop"


class HubGroups(Configurable):
    """Group membership with its sources."""

    db_url = Unicode(
        help="""
        Database for memberships, as an SQLAlchemy URL.

        Default: the SQLite file `hub_groups.sqlite` beside the hub's own database.
        """
    ).tag(config=True)

    rosters = List(
        Unicode(),
        help="""
        CSV files with the columns `user`, `group` and optionally `role` (`member` or `manager`).

        Read when the hub starts, and again when they change. A roster that can't be read leaves its
        memberships as they were.
        """,
    ).tag(config=True)

    on_removal = Enum(
        [KEEP, STOP],
        KEEP,
        help="""
        What becomes of the running servers of somebody who is no longer in a group.

        `keep`: they go on until they end. `stop`: those that are charged to the group (where
        hub_quotas is used; else all, when the user is in no group any more) are stopped after
        `removal_grace`.
        """,
    ).tag(config=True)

    removal_grace = Integer(
        600, min=0, help="Seconds from when somebody has left a group to `on_removal`."
    ).tag(config=True)

    service_url = Unicode(
        "http://127.0.0.1:0",
        help="""
        Where the pages of all three packages are served, as the hub and its proxy see it.

        Port 0 is a free port. Where the proxy is on another machine (Kubernetes), set an address
        that it can reach, such as `http://hub:10101`.
        """,
    ).tag(config=True)


def settings(app: JupyterHub) -> HubGroups:
    """What the hub's configuration says, with the defaults filled in."""
    found = HubGroups(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "hub_groups.sqlite")
    return found
