"""Something puts its own spawner class into the hub's settings, behind the configuration."""

from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()

c.JupyterHub.tornado_settings = {"spawner_class": SimpleLocalProcessSpawner}
