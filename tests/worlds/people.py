"""A hub in which somebody has each role of the groups; a roster has two courses."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

roster = Path(world["folder"]) / "roster.csv"
roster.write_text(
    "user,group,role\n"
    "manager,science/course,manager\nmember,science/course,\nkim,science/course,\n"
    "other-manager,elsewhere,manager\nhead,science,manager\n" + world.get("more_roster", "")
)
c.HubGroups.rosters = [str(roster)]
c.JupyterHub.services += [{"name": "groups-robot", "api_token": world["token"] + "g"}]
c.JupyterHub.load_roles += [
    {"name": "g-read", "users": ["reader"], "scopes": ["custom:groups:read"]},
    {
        "name": "g-robot",
        "services": ["groups-robot"],
        "scopes": ["custom:groups:admin", "access:services!service=groups"],
    },
]
