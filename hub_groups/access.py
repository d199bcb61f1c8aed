"""Who may see and do what with memberships. Pure; the one place for it, for pages and API alike.

An admin of the hub may do everything. A manager of a group, and so of all below it by its name,
sees and sets its members. A member sees their own groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .memberships import above
from .words import _

ADMIN = "custom:groups:admin"
READ = "custom:groups:read"
MANAGE = "custom:groups:manage"
ACT = "custom:groups:act"
METRICS = "read:metrics"
"""The hub's own, for which Prometheus has a token."""
SCOPES = {
    ADMIN: {"description": "Set all memberships, sources and rules"},
    READ: {"description": "See the members of all groups, and where they come from"},
    MANAGE: {"description": "Manage the members of groups: with !group=NAME, of one"},
    ACT: {"description": "With a token, do what its owner may do on the groups pages"},
}
"""As `c.JupyterHub.custom_scopes` has them."""

GROUP_NAMES = "group-quotas/groups"
"""Below the hub's REST API, the address of the names of all groups; with a name behind it, of those
of its users (`listing`)."""

KNOWN_USERS = "group-quotas/users"
"""Below the hub's REST API, the address that says which of some users the hub knows (`listing`)."""

ON_PAGES = (ADMIN, READ, MANAGE)
"""What a login on the pages brings with it, where somebody has it."""


class Who(Enum):
    """Who may ask for a page or an address."""

    USER = "everybody who is logged in"
    ACTS = "everybody who is logged in; with a token, one that may act"
    MANAGES_ANY = "managers of some group, readers, admins"
    SEES = "managers of the group, readers, admins"
    MANAGES = "managers of the group, admins"
    MANAGES_ABOVE = "managers of a group above it, admins"
    READS = "readers, admins"
    ADMIN = "admins"
    SCRAPES = "whoever may read the hub's metrics, readers, admins"


@dataclass(frozen=True)
class Access:
    """What somebody may see and do.

    Attributes:
        user: their name.
        admin: may do everything.
        reads: sees everything.
        managed: the groups that they manage, without those below.
        everywhere: manages all groups, by a scope.
        acts: may change anything at all: always on pages, with a token only where it says so.
        for_self: may change what is their own: not with a token for a group.
        scopes: of their token or login.
    """

    user: str
    admin: bool = False
    reads: bool = False
    managed: frozenset[str] = frozenset()
    everywhere: bool = False
    acts: bool = True
    for_self: bool = True
    scopes: frozenset[str] = frozenset()

    def manages(self, group: str) -> bool:
        if self.admin or self.everywhere:
            return True
        return self.acts and not self.managed.isdisjoint([group, *above(group)])

    def manages_above(self, group: str) -> bool:
        """Whether they may say that a group is over: who manages it alone may not."""
        if self.admin or self.everywhere:
            return True
        return self.acts and not self.managed.isdisjoint(above(group))

    def sees(self, group: str) -> bool:
        return self.reads or self.manages(group)

    def may(self, who: Who, group: str = "") -> bool:
        """Args:
        group: what it is about; empty for none.
        """
        if who is Who.USER:
            return True
        if who is Who.ACTS:
            return self.for_self
        if who is Who.MANAGES_ABOVE:
            return self.manages_above(group)
        if who is Who.SCRAPES:
            return METRICS in self.scopes or self.reads
        if who is Who.SEES:
            return self.sees(group)
        if who is Who.MANAGES:
            return self.manages(group)
        if who is Who.READS:
            return self.reads
        if who is Who.MANAGES_ANY:
            return self.reads or self.everywhere or (self.acts and bool(self.managed))
        return self.admin


def access_of(model: Mapping[str, Any], by_token: bool, managed: Iterable[str]) -> Access:
    """What the hub's model of somebody comes to.

    Args:
        by_token: whether they have shown a token: one without the scope ACT changes nothing.
        managed: the groups of which they are a manager.
    """
    scopes = frozenset(model.get("scopes", ()))
    acts = not by_token or not scopes.isdisjoint({ACT, ADMIN})
    admin = ADMIN in scopes or bool(model.get("admin") and acts)
    prefix = f"{MANAGE}!group="
    by_scope = {scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)}
    # A token for one group is for that one, whatever else its owner manages.
    own = managed if acts else ()
    return Access(
        user=str(model["name"]),
        admin=admin,
        reads=admin or READ in scopes,
        managed=frozenset({*own, *by_scope}),
        everywhere=MANAGE in scopes,
        acts=acts or bool(by_scope) or MANAGE in scopes,
        for_self=acts,
        scopes=scopes,
    )


def refusal_of(who: Who) -> str:
    """Why somebody may not, in words."""
    if who in (Who.ADMIN, Who.READS):
        return _("Only admins of this hub can do that.")
    if who is Who.ACTS:
        return _("This token may only look: it needs the scope {scope}.").format(scope=ACT)
    if who is Who.MANAGES_ABOVE:
        return _("Only managers of a group above this one and admins of this hub can do that.")
    return _("Only managers of the group and admins of this hub can do that.")
