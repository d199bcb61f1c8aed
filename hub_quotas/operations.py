"""The REST API of the quotas: every operation that there is, its document, and its addresses."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from hub_groups import openapi
from hub_groups.rest import Operation
from hub_groups.web import Context, Routes

from . import (
    groups_api,
    looks_api,
    members_api,
    menu_page,
    more_api,
    notices_api,
    policy_api,
    reports_api,
    reservations_api,
    storage_api,
    storage_use_api,
    support_desk,
    usage_api,
    whatif_api,
)
from .desk import QuotaRest

OPERATIONS: tuple[Operation, ...] = (
    *usage_api.OPERATIONS,
    *support_desk.OPERATIONS,
    *looks_api.OPERATIONS,
    *notices_api.OPERATIONS,
    *groups_api.OPERATIONS,
    *members_api.OPERATIONS,
    *more_api.OPERATIONS,
    *menu_page.OPERATIONS,
    *policy_api.OPERATIONS,
    *whatif_api.OPERATIONS,
    *reports_api.OPERATIONS,
    *reservations_api.OPERATIONS,
    *storage_api.OPERATIONS,
    *storage_use_api.OPERATIONS,
)

TAGS = {
    "me": "What I use and may use",
    "groups": "Groups, their limits, members and servers",
    **more_api.TAGS,
    "what-if": "What other limits would have refused",
    "costs": "What servers cost, and reports",
    "reservations": "What runs beside the hub, under the same limits",
    "storage": "What the agents of file systems ask and say",
    "menu": "What there is to have, for everybody",
    "policy": "Plans, prices, the whole policy, and its changes",
}

_ABOUT = (
    "Everything that the quota pages show and do. Send a token of the hub as "
    "'Authorization: token ...'. Names of groups that contain a slash are written with %2F. "
    "Amounts are written as in a policy. Errors are problem details (RFC 9457)."
)


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of the API, its document and its reference.

    Args:
        shared: what every handler gets.
    """
    known = openapi.document(
        OPERATIONS,
        "Quotas",
        version("jupyterhub-group-quotas"),
        _ABOUT,
        f"{context.prefix}api",
        TAGS,
    )
    return openapi.routes(context, known, OPERATIONS, QuotaRest, shared)
