"""The settings of hub_groups, as `c.HubGroups.NAME` in the hub's configuration."""

from __future__ import annotations

from jupyterhub.app import JupyterHub
from traitlets import Bool, Dict, Enum, Integer, List, TraitError, Unicode, Union
from traitlets.config import Configurable

from .database import default_url, with_driver

KEEP, STOP = "keep", "stop"


class DatabaseUrl(Unicode):  # type: ignore[type-arg]
    """The URL of a database that our stores can use, or nothing."""

    def validate(self, obj, value):  # type: ignore[no-untyped-def]
        url = super().validate(obj, value)
        try:
            if url:
                with_driver(url)
        except ValueError as error:
            raise TraitError(f"c.{type(obj).__name__}.{self.name}: {error}.") from None
        return url


class HubGroups(Configurable):
    """Group membership with its sources."""

    db_url = DatabaseUrl(
        help="""
        Database for memberships, as an SQLAlchemy URL: SQLite, or PostgreSQL as
        `postgresql+psycopg://...` (install `jupyterhub-group-quotas[postgres]`).

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

    ldap = Dict(
        help="""
        A directory whose groups count, read by LDAP without waiting for a login.

        The keys are those of `hub_groups.ldap_source.LdapSettings`; the how-to *Take groups from a
        directory* has examples.
        """,
    ).tag(config=True)

    ldap_every = Integer(
        60, min=10, help="Seconds from one reading of the directory to the next."
    ).tag(config=True)

    rules = Union(
        [List(), Unicode()],
        help="""
        How the claims of a login become groups: a list of rules, or the path of a YAML file.

        Where this is set, the rules that admins write on the groups pages do not count. Without any
        rules, a login's own groups count, where `c.Authenticator.manage_groups` is on.
        """,
    ).tag(config=True)

    scim = Bool(
        False,
        help="""
        Whether a directory (Entra ID, Okta, Keycloak) may push its users and groups, by SCIM 2.0.

        At `/services/groups/scim/v2/`, with a token that an admin makes on the groups pages. Needs
        the extra `scim`: `pip install jupyterhub-group-quotas[scim]`.
        """,
    ).tag(config=True)

    scim_username = Enum(
        ["userName", "lowercase", "localpart"],
        "lowercase",
        help="""
        What the hub's user is called whose `userName` a directory sends by SCIM: the same, the same
        in lower case (as JupyterHub has it), or what is before its `@`, in lower case.
        """,
    ).tag(config=True)

    absent_is_none = Bool(
        False,
        help="""
        Whether a login without the claim that groups are in means "no groups".

        Without rules, for OAuthenticators with `auth_state_groups_key`; a rule has `optional`. Some
        providers leave the claim out for users who are in no group, such as Keycloak since 22:
        where this is `False`, who is taken out of their last group there keeps it here. Where it is
        `True`, everybody loses their groups when the claim is switched off by mistake.
        """,
    ).tag(config=True)

    refresh_every = Integer(
        1800,
        min=0,
        help="""
        Seconds after which users are asked about at the provider of logins without coming by: those
        who have a running server or were active in that time. 0 for never.

        As a refresh by the hub, which only happens when a user comes by. Nobody is asked about
        where `c.Authenticator.auth_refresh_age` is 0, or where the authenticator can't tell.
        """,
    ).tag(config=True)

    parents = Bool(
        False,
        help="""
        Whether a member of `a/b` is in the hub's group `a` too.

        Limits of `a` count for members of `a/b` in any case; this is for the hub's own access
        control. It holds for what logins say, and a directory that is read by LDAP.
        """,
    ).tag(config=True)

    dry_run = Bool(
        False, help="Log what a login would change by the rules, and change nothing."
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
