"""The settings of hub_quotas, as `c.HubQuotas.NAME` in the hub's configuration."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Dict, TraitError, Unicode, validate
from traitlets.config import Configurable

from hub_groups.database import default_url

from .limits import PolicyError
from .policy import parse_policy
from .store import QuotaStore, open_store
from .windows import WindowError, read_zone


class HubQuotas(Configurable):
    """Quotas per group."""

    db_url = Unicode(
        help="""
        Database for limits and the ledger, as an SQLAlchemy URL: SQLite, or PostgreSQL as
        `postgresql+psycopg://...` (install `jupyterhub-group-quotas[postgres]`).

        Default: the SQLite file `hub_quotas.sqlite` beside the hub's own database.
        """
    ).tag(config=True)

    policy = Dict(
        help="""
        A policy (groups, plans, prices) that becomes all that holds each time the hub starts.

        The same keys as in a policy file. A policy that can't be read stops the hub with a
        sentence that says what is wrong. Leave it out to set limits in the browser.
        """
    ).tag(config=True)

    hub_name = Unicode(
        "hub",
        help="""
        The name of this hub in the ledger. Hubs that share a ledger need different names.
        """,
    ).tag(config=True)

    time_zone = Unicode(
        "UTC",
        help="""
        The time zone in which days, weeks, months and quarters begin, such as `Europe/Berlin`.
        """,
    ).tag(config=True)

    @validate("time_zone")
    def _known_zone(self, proposal):  # type: ignore[no-untyped-def]
        try:
            read_zone(proposal["value"])
        except WindowError as error:
            raise TraitError(f"c.HubQuotas.time_zone: {error}") from None
        return proposal["value"]

    @validate("policy")
    def _readable_policy(self, proposal):  # type: ignore[no-untyped-def]
        try:
            parse_policy(proposal["value"])
        except PolicyError as error:
            raise TraitError(f"c.HubQuotas.policy: {error}") from None
        return proposal["value"]

    def store(self) -> QuotaStore:
        """The one store of this process."""
        return open_store(self.db_url, read_zone(self.time_zone), self.hub_name)


def settings(app: JupyterHub) -> HubQuotas:
    """What the hub's configuration says, with the defaults filled in."""
    found = HubQuotas(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "hub_quotas.sqlite")
    return found
