"""The hub's address, for who has no login yet: the book of its community."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyterhub.handlers.pages import RootHandler

from .community import ADDRESS

Where = str | Callable[[Any], Any]


def show_community(app: Any, folder: str, first: bool) -> None:
    """Say where the book is; with `first`, lead who has no login to it.

    A book that is not there stops nothing: it may be about to be built anew.
    """
    where = f"{app.base_url}services/launch/{ADDRESS}"
    app.log.info("share_links: the community's book is at %s", where)
    if not (Path(folder) / "index.html").is_file():
        app.log.warning("share_links: there is no index.html in %s yet: build the book", folder)
    if first:
        # Where services have hosts of their own, the hub makes them up later.
        app.default_url = led_there(app.default_url, lambda: f"{_host(app)}{where}")


def _host(app: Any) -> str:
    return app._service_map["launch"].host if app.subdomain_host else ""


def led_there(theirs: Where, where: Callable[[], str]) -> Callable[[Any], Any]:
    """`c.JupyterHub.default_url` as an admin has it, but on the hub's own address for who has no
    login."""

    def default_url(handler: Any) -> Any:
        if isinstance(handler, RootHandler) and handler.current_user is None:
            return where()
        return theirs(handler) if callable(theirs) else theirs

    return default_url
