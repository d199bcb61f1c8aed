"""A hub with a roster of its test's own, and settings for its notices."""

import json
import os
from pathlib import Path

world = json.loads(os.environ["WORLD"])
(Path(world["folder"]) / "roster.csv").write_text(world["roster"])
load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()

if world.get("knows_its_address"):
    c.JupyterHub.public_url = world["url"] + world.get("base_url", "/")
scopes = ["access:services!service=quotas", "custom:quotas:act"]
c.JupyterHub.load_roles[0]["scopes"] = [*c.JupyterHub.load_roles[0]["scopes"], *scopes]
for name, value in world.get("quotas", {}).items():
    setattr(c.HubQuotas, name, value)
c.JupyterHub.load_roles += [
    {"name": "readers", "users": ["reader"], "scopes": ["custom:quotas:read"]}
]
