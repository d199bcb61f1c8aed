"""Who may see and do what. Pure; the one place for it, for pages and API alike.

A hub admin may do everything. A manager of a group, and so of all below it, sees its use, and sets
the limits of its members and subgroups within what the group was given. A member sees their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hub_groups.words import _

from .changes import GROUP_ENTRY, Entry, documents
from .limits import GROUP, MEMBER, SERVER, Limit
from .policy import WHOLE_HUB, Group, Policy

ADMIN = "custom:quotas:admin"
READ = "custom:quotas:read"
MANAGE = "custom:quotas:manage"
ACT = "custom:quotas:act"
RESERVE = "custom:quotas:reserve"
STORAGE = "custom:quotas:storage"
METRICS = "read:metrics"
"""The hub's own, for which Prometheus has a token."""
SCOPES = {
    ADMIN: {"description": "Set all quotas, plans and prices"},
    READ: {"description": "See the quotas and the use of all groups"},
    MANAGE: {"description": "Manage the quotas of groups: with !group=NAME, of one"},
    ACT: {"description": "With a token, do what its owner may do on the quota pages"},
    RESERVE: {"description": "Hold and release resources for users under their quotas"},
    STORAGE: {"description": "Apply limits of storage to a file system, and report its use"},
}
"""As `c.JupyterHub.custom_scopes` has them."""

ON_PAGES = (ADMIN, READ, MANAGE)
"""What a login on the pages brings with it, where somebody has it."""


class Who(Enum):
    """Who may ask for a page or an address."""

    USER = "everybody who is logged in"
    MANAGES_ANY = "managers of some group, readers, admins"
    SEES = "managers of the group, readers, admins"
    MANAGES = "managers of the group, admins"
    READS = "readers, admins"
    ADMIN = "admins"
    RESERVES = "services that hold resources"
    STORES = "storage agents"
    SCRAPES = "whoever may read the hub's metrics, readers, admins"


class NotAllowed(RuntimeError):
    """Somebody may not change what they want to change; the message says why, and who may."""


@dataclass(frozen=True)
class Access:
    """What somebody may see and do.

    Attributes:
        user: their name.
        groups: theirs in the hub, without those above; `default` for who has none.
        admin: may do everything.
        reads: sees everything.
        managed: the groups that they manage, without those below.
        acts: may change anything at all: always on pages, with a token only where it says so.
        scopes: of their token or login.
    """

    user: str
    groups: tuple[str, ...] = ()
    admin: bool = False
    reads: bool = False
    managed: frozenset[str] = frozenset()
    acts: bool = True
    scopes: frozenset[str] = frozenset()

    def manages(self, policy: Policy, group: str) -> bool:
        return self.admin or (self.acts and not self.managed.isdisjoint(policy.path(group)))

    def sees(self, policy: Policy, group: str) -> bool:
        return self.reads or self.manages(policy, group)

    def may(self, who: Who, policy: Policy, group: str = "") -> bool:
        """Args:
        group: what it is about; empty for none.
        """
        if who is Who.USER:
            return True
        if who is Who.RESERVES:
            return RESERVE in self.scopes
        if who is Who.STORES:
            return STORAGE in self.scopes
        if who is Who.SCRAPES:
            return METRICS in self.scopes or self.reads
        if who is Who.SEES:
            return self.sees(policy, group)
        if who is Who.MANAGES:
            return self.manages(policy, group)
        if who is Who.READS:
            return self.reads
        if who is Who.MANAGES_ANY:
            return self.reads or (self.acts and bool(self.managed))
        return self.admin

    def gives(self, policy: Policy, limit: Limit) -> bool:
        """Whether they may give more of a limit than it says: of what the group has as a whole,
        only who manages a group above it."""
        if self.admin or not self.manages(policy, limit.group):
            return self.admin
        return limit.scope != GROUP or self.ceiling_group(policy, limit.group) != limit.group

    def ceiling_group(self, policy: Policy, group: str) -> str | None:
        """The highest group on the way up that they manage: what it was given they can't change.
        None for admins, and where they manage nothing there."""
        if self.admin:
            return None
        return next((name for name in reversed(policy.path(group)) if name in self.managed), None)


def access_of(
    model: Mapping[str, Any],
    by_token: bool,
    groups: Iterable[str],
    managed: Iterable[str],
) -> Access:
    """What the hub's model of somebody comes to.

    Args:
        by_token: whether they have shown a token: one without the scope ACT changes nothing.
        managed: the groups of which they are a manager, by membership or policy.
    """
    scopes = frozenset(model.get("scopes", ()))
    acts = not by_token or not scopes.isdisjoint({ACT, ADMIN})
    admin = ADMIN in scopes or bool(model.get("admin") and acts)
    prefix = f"{MANAGE}!group="
    by_scope = {scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)}
    everywhere = {WHOLE_HUB} if MANAGE in scopes else set()
    # A token for one group is for that one, whatever else its owner manages.
    own = managed if acts else ()
    return Access(
        user=str(model["name"]),
        groups=tuple(groups),
        admin=admin,
        reads=admin or READ in scopes,
        managed=frozenset({*own, *by_scope, *everywhere}),
        acts=acts or bool(by_scope or everywhere),
        scopes=scopes,
    )


# -- what may be changed -----------------------------------------------------------------------


def not_managed(group: str) -> str:
    return _("You do not manage {group}.").format(group=group)


def check_acts(access: Access) -> None:
    """Whether somebody may do anything here.

    Raises:
        NotAllowed: their token may only look.
    """
    if not (access.admin or access.acts):
        raise NotAllowed(
            _("This token may not change anything: it needs the scope {scope}.").format(scope=ACT)
        )


def check_changes(access: Access, before: Policy, after: Policy) -> None:
    """Whether somebody may make `before` into `after`.

    Raises:
        NotAllowed: for the first thing that they may not do.
    """
    if access.admin:
        return
    check_acts(access)
    old, new = documents(before, without=after), documents(after, without=before)
    for entry in sorted(old.keys() | new.keys()):
        if old.get(entry) != new.get(entry):
            _check_entry(access, entry, before, after)


def _check_entry(access: Access, entry: Entry, before: Policy, after: Policy) -> None:
    kind, name = entry
    if kind != GROUP_ENTRY:
        raise NotAllowed(_("Only admins of this hub change plans and prices."))
    top = access.ceiling_group(before, name)
    if top is None or not access.manages(after, name):
        raise NotAllowed(not_managed(name))
    old, new = (policy.groups.get(name, Group(name)) for policy in (before, after))
    if (old.parent, old.priority) != (new.parent, new.priority):
        raise NotAllowed(_("Only admins of this hub move groups in the tree."))
    if name == top:
        if (old.plan, old.managers) != (new.plan, new.managers):
            raise NotAllowed(
                _("Plan and managers of {group} are set by who manages the group above it.").format(
                    group=name
                )
            )
        if _given(old.limits) != _given(new.limits) or _given_boosts(old) != _given_boosts(new):
            raise NotAllowed(
                _("What {group} has as a whole is set by who manages the group above it.").format(
                    group=name
                )
            )
    for limit in (*after.limits_of(name), *(boost.limit for boost in new.boosts)):
        if limit in before.limits_of(name) or limit in [boost.limit for boost in old.boosts]:
            continue
        most = ceiling(after, top, limit)
        if most is not None and limit.amount > most.amount:
            raise NotAllowed(
                _("{key}: {group} has {most} itself, so nobody below can have {asked}.").format(
                    key=limit.key,
                    group=most.group if most.group != WHOLE_HUB else _("this hub"),
                    most=most.kind.say(most.amount),
                    asked=limit.kind.say(limit.amount),
                )
            )


def ceiling(policy: Policy, top: str, limit: Limit) -> Limit | None:
    """The tightest limit that a manager of `top` can't change and `limit` can't exceed: of the same
    resource and window, for a scope as wide or wider."""
    found = []
    for name in policy.path(top):
        for other in policy.limits_of(name):
            if (other.resource, other.window) != (limit.resource, limit.window):
                continue
            wider = _WIDTH[other.scope] >= _WIDTH[limit.scope]
            if wider and (name != top or other.scope == GROUP):
                found.append(other)
    return min(found, key=lambda other: other.amount, default=None)


def room(access: Access, policy: Policy, limit: Limit) -> Limit | None:
    """The limit beyond which nothing more can be given: for managers the one that they can't
    change, for admins what the group has as a whole."""
    top = access.ceiling_group(policy, limit.group)
    if top is None:
        path = policy.path(limit.group)
        top = next(iter(path[1:] if limit.scope == GROUP else path), None)
    return ceiling(policy, top, limit) if top else None


_WIDTH = {SERVER: 0, MEMBER: 1, GROUP: 2}


def _given(limits: Iterable[Limit]) -> set[tuple[str, str]]:
    """What the group as a whole was given."""
    return {(limit.key, limit.text) for limit in limits if limit.scope == GROUP}


def _given_boosts(group: Group) -> set[tuple[str, str, str]]:
    return {
        (boost.limit.key, boost.limit.text, boost.until.isoformat())
        for boost in group.boosts
        if boost.limit.scope == GROUP
    }
