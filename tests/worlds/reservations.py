"""A hub with services that hold resources for users, and one that may not."""

import json
import os
from pathlib import Path

import hub_quotas.reservations

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

# A hub can't be told this: holders would have to know.
if "lasts_seconds" in world:
    hub_quotas.reservations.LASTS = int(world["lasts_seconds"] * 10**6)

RESERVE = ["custom:quotas:reserve", "access:services!service=quotas"]

for name, scopes in {
    "jobs": RESERVE,
    "builds": RESERVE,
    "nosy": ["access:services!service=quotas"],
    "outside": ["custom:quotas:reserve"],
}.items():
    c.JupyterHub.services.append({"name": name, "api_token": world["token"] + name})
    c.JupyterHub.load_roles.append({"name": name, "services": [name], "scopes": scopes})

exec(world.get("config", ""))  # noqa: S102
