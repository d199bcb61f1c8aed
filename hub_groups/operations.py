"""All that the API of the groups can do, its document and its reference."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from tornado import web

from . import admin_api, openapi, people_api, rest
from .desk import GroupsRest
from .openapi import ReferencePage
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


@lru_cache
def document(prefix: str) -> dict[str, Any]:
    """The OpenAPI document of the API at an address."""
    return openapi.document(
        OPERATIONS, "Groups", version("jupyterhub-group-quotas"), _ABOUT, f"{prefix}api", TAGS
    )


class DocumentFile(web.RequestHandler):
    """The document for programs. It says nothing of this hub, so anybody may read it."""

    def initialize(self, context: Context) -> None:
        self.context = context

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(rest.dump(document(self.context.prefix)))


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of the API, its document and its reference.

    Args:
        shared: what every handler gets.
    """
    api = f"{context.prefix}api"
    reference = {"context": context, "document": document(context.prefix)}
    return [
        (f"{api}/openapi.json", DocumentFile, {"context": context}),
        (f"{api}/?", ReferencePage, reference),
        *rest.routes(api, OPERATIONS, GroupsRest, shared),
    ]
