"""A hub with the service of a storage agent, and others that are none.

`homes` in WORLD is where homes are, `roster` who is in which group, `lab` for JupyterLab.
"""

import json
import os
import sys
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
if world.get("lab"):
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
    c.Spawner.default_url = "/lab"
    c.Spawner.http_timeout = 60
    c.Spawner.mem_limit, c.Spawner.cpu_limit = "2G", 2
