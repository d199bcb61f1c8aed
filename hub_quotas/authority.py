"""What somebody may do here: by the hub, by their memberships and by the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_groups.store import GroupStore

from .access import Access, access_of
from .policy import DEFAULT_GROUP, group_name
from .store import QuotaStore


def authority(
    store: QuotaStore, groups: GroupStore, model: Mapping[str, Any], by_token: bool = False
) -> Access:
    """Blocks.

    Args:
        model: the hub's of a user or a service: `name`, `kind`, `admin`, `groups`, `scopes`.
        by_token: whether they have shown a token.
    """
    mine = sorted(group_name(name) for name in model.get("groups") or [])
    managed: set[str] = set()
    if model.get("kind", "user") == "user":
        managed = {*groups.managed_by(model["name"]), *store.policy().managed_by(model["name"])}
    return access_of(model, by_token, mine or [DEFAULT_GROUP], managed)
