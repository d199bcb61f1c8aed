"""The settings of hub_groups, as `c.HubGroups.NAME` in the hub's configuration."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import List, Unicode
from traitlets.config import Configurable

from .database import default_url


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

        Read when the hub starts. A roster that can't be read leaves its memberships as they were.
        """,
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
