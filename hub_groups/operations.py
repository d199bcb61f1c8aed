"""All that the API of the groups can do, its document and its reference."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from . import admin_api, openapi, people_api
from .desk import GroupsRest
from .web import Context, Routes

OPERATIONS = (*people_api.OPERATIONS, *admin_api.OPERATIONS)

TAGS = {
    "me": "My groups",
    "groups": "Groups and their members",
    "links": "Join links and requests",
    "sources": "Sources and rules",
    "audit": "What was changed",
    "scim": "Tokens for SCIM",
}

_ABOUT = (
    "Who is in which group, and why: what the pages show and do. Who may see and do what is the "
    "same too. A token changes something only with the scope `custom:groups:act`, "
    "`custom:groups:manage` or `custom:groups:admin`."
)


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of the API, its document and its reference.

    Args:
        shared: what every handler gets.
    """
    known = openapi.document(
        OPERATIONS,
        "Groups",
        version("jupyterhub-group-quotas"),
        _ABOUT,
        f"{context.prefix}api",
        TAGS,
    )
    return openapi.routes(context, known, OPERATIONS, GroupsRest, shared)
