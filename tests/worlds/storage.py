"""A hub with the service of a storage agent, and others that are none.

`homes` in WORLD is where homes are, `roster` who is in which group.
"""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

STORAGE = ["custom:quotas:storage", "access:services!service=quotas"]

for name, scopes in {
    "homes": STORAGE,
    "scratch": STORAGE,
    "jobs": ["custom:quotas:reserve", "access:services!service=quotas"],
}.items():
    c.JupyterHub.services.append({"name": name, "api_token": world["token"] + name})
    c.JupyterHub.load_roles.append({"name": name, "services": [name], "scopes": scopes})

roster = Path(world["folder"]) / "roster.csv"
roster.write_text(world.get("roster", "user,group,role\npat,geo,\nprof-ada,geo,manager\n"))
c.HubGroups.rosters = [str(roster)]
for name, value in world.get("quotas", {}).items():
    setattr(c.HubQuotas, name, value)
if "homes" in world:
    c.SimpleLocalProcessSpawner.home_dir_template = world["homes"] + "/{username}"
