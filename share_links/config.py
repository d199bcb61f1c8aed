"""The settings of share_links, in the hub's own configuration file."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Unicode
from traitlets.config import Configurable

from hub_groups.database import default_url


class ShareLinks(Configurable):
    """`c.ShareLinks` in jupyterhub_config.py."""

    db_url = Unicode(
        "",
        help="""
        Where links, authors' keys and counts are: an SQLAlchemy URL (SQLite or PostgreSQL).

        Empty for the SQLite file share_links.sqlite beside the hub's own database.
        """,
    ).tag(config=True)

    snapshot_folder = Unicode(
        "",
        help="""
        The folder in which copies of shared files are kept, as long as their links work.

        Empty for share_links_snapshots beside the links' database; in the hub's working directory
        where that is no file.
        """,
    ).tag(config=True)


def settings(app: JupyterHub) -> ShareLinks:
    """What the hub's configuration says, with the defaults filled in."""
    found = ShareLinks(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "share_links.sqlite")
    beside = default_url(found.db_url, "share_links_snapshots").removeprefix("sqlite:///")
    found.snapshot_folder = found.snapshot_folder or beside
    return found
