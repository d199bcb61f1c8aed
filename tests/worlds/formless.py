"""A hub without a spawn form; its roster puts everybody in one group."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

roster = Path(world["folder"]) / "roster.csv"
if not roster.exists():
    roster.write_text("user,group,role\nprof-ada,course,manager\n")
c.HubGroups.rosters = [str(roster)]


# As an admin's later configuration does: hooks of its own, a spawner class set again.
def pre_spawn_hook(spawner):
    size = spawner.user_options.get("memory", "")
    if size:
        spawner.mem_limit = size[0] if isinstance(size, list) else size


c.Spawner.pre_spawn_hook = pre_spawn_hook
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"

c.HubQuotas.currency = "€"
