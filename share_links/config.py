"""The settings of share_links, in the hub's own configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyterhub.app import JupyterHub
from traitlets import Bool, Dict, TraitError, Unicode, validate
from traitlets.config import Configurable

from hub_groups.config import DatabaseUrl
from hub_groups.database import default_url
from hub_groups.documents import FileError
from hub_quotas.quantities import QuantityError, resource

BINDER = "binder"
"""The name of the service."""


class ShareLinks(Configurable):
    """`c.ShareLinks` in jupyterhub_config.py."""

    db_url = DatabaseUrl(
        "",
        help="""
        Database for links, authors' keys and counts, as an SQLAlchemy URL: SQLite, or PostgreSQL as
        `postgresql+psycopg://...` (install `jupyterhub-group-quotas[postgres]`).

        Empty for the SQLite file share_links.sqlite beside the hub's own database.
        """,
    ).tag(config=True)

    snapshot_folder = Unicode(
        "",
        help="""
        The folder in which copies of shared files are kept, as long as their links work.

        Empty for share_links_snapshots beside the links' database; in the hub's working directory
        where that is no file.
        """,
    ).tag(config=True)

    hubs_file = Unicode(
        "",
        help="""
        A YAML file with the hubs that readers choose from at `/services/launch/choose`, beside
        this one, as in `share_links.yml`: `hubs: [{label: My university, url: "https://..."}]`.
        """,
    ).tag(config=True)

    @validate("hubs_file")
    def _readable_hubs(self, proposal: Any) -> str:
        from .book_files import read_hubs  # cryptography and more, which few hubs need at a start

        file: str = proposal["value"]
        try:
            read_hubs(Path(file)) if file else ()
        except FileError as error:
            raise TraitError(f"c.ShareLinks.hubs_file: {error}") from None
        return file

    community = Unicode(
        "",
        help="""
        A folder with the built book of the hub's community, which anybody may read at
        `/services/launch/community/`. Empty for none.

        Its scripts run at the hub's own address: have in it only what you would have in the hub's
        templates.
        """,
    ).tag(config=True)

    community_first = Bool(
        False,
        help="""
        Whether who comes to the hub's address without a login sees that book, instead of the page
        on which they log in.
        """,
    ).tag(config=True)

    build_takes = Dict(
        {"cpu": "1", "memory": "2G"},
        help="""
        What making the environment of a repository takes, as limits of a server are written: so
        much is charged to the reader's group while a BinderHub makes one. A BinderHub is used
        where the hub has a service of the name `binder`, which builds only
        (`c.BinderHub.enable_api_only_mode`).
        """,
    ).tag(config=True)

    @validate("build_takes")
    def _check_build_takes(self, proposal: Any) -> dict[str, str]:
        said: dict[str, str] = proposal["value"]
        try:
            read_size(said)
        except QuantityError as error:
            raise TraitError(f"c.ShareLinks.build_takes: {error}") from None
        return said


def read_size(said: Mapping[str, str]) -> dict[str, int]:
    """Amounts by resource, in each resource's smallest unit.

    Raises:
        QuantityError: there is no such resource, or no such amount of it.
    """
    found = {}
    for name, text in said.items():
        kind = resource(name)
        if kind is None:
            raise QuantityError(f"there is no resource '{name}'; write, for example, memory: 2G")
        found[name] = kind.parse(str(text))
    return found


def binder_url(app: JupyterHub) -> str:
    """The address of the hub's BinderHub, as the hub reaches it; empty where it has none."""
    service: Mapping[str, Any] = next((s for s in app.services if s.get("name") == BINDER), {})
    url = str(service.get("url") or "").rstrip("/")
    return f"{url}{app.base_url}services/{BINDER}/" if url else ""


def settings(app: JupyterHub) -> ShareLinks:
    """What the hub's configuration says, with the defaults filled in."""
    found = ShareLinks(config=app.config)
    found.db_url = found.db_url or default_url(app.db_url, "share_links.sqlite")
    beside = default_url(found.db_url, "share_links_snapshots").removeprefix("sqlite:///")
    found.snapshot_folder = found.snapshot_folder or beside
    return found
