"""The one hook of its plugins that is called while the hub reads its configuration."""

import pluggy

hookspec = pluggy.HookspecMarker("tljh")


@hookspec
def tljh_custom_jupyterhub_config(c):
    """Configure the hub."""
