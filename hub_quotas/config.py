"""The settings of hub_quotas, as `c.HubQuotas.NAME` in the hub's configuration."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Unicode
from traitlets.config import Configurable

from hub_groups.database import default_url


class HubQuotas(Configurable):
    """Quotas per group."""

    db_url = Unicode(
        help="""
        Database for limits and the ledger, as an SQLAlchemy URL.

        Default: the SQLite file `hub_quotas.sqlite` beside the hub's own database.
        """
    ).tag(config=True)


def settings(app: JupyterHub) -> HubQuotas:
    """What the hub's configuration says, with the defaults filled in."""
    found = HubQuotas(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "hub_quotas.sqlite")
    return found
