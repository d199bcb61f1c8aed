"""All that the API of launches can do, its document and its reference."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from hub_groups import openapi
from hub_groups.web import Context, Routes

from .links_api import OPERATIONS as OPERATIONS
from .links_api import LaunchRest

TAGS = {
    "links": "My launch links",
    "keys": "Keys that my books are signed with",
    "check": "Whether a launch would work",
}

_ABOUT = (
    "Launch links: what the pages show and do. A token changes something only with the scope "
    "`custom:launch:act`; to say whether a launch would work, it needs `read:servers!user` too."
)


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of the API, its document and its reference.

    Args:
        shared: what every handler gets.
    """
    known = openapi.document(
        OPERATIONS,
        "Launches",
        version("jupyterhub-group-quotas"),
        _ABOUT,
        f"{context.prefix}api",
        TAGS,
    )
    return openapi.routes(context, known, OPERATIONS, LaunchRest, shared)
