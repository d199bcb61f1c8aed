"""The Littlest JupyterHub's way to us: a plugin, which it finds by the entry point `tljh`.

It calls its plugins when it has set what its own `config.yaml` says, and before it loads the files
of `jupyterhub_config.d`. That order is nothing to us: what is activated waits for all of it.
"""

from __future__ import annotations

import pluggy
from traitlets.config import Config

import hub_groups
import hub_quotas
import share_links

hookimpl = pluggy.HookimplMarker("tljh")  # which is all that `tljh.hooks.hookimpl` is


@hookimpl
def tljh_custom_jupyterhub_config(c: Config) -> None:
    """What our three drop-ins do elsewhere."""
    for package in (hub_groups, hub_quotas, share_links):
        package.activate(c)
