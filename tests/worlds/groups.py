"""A login that says groups, and a roster that says others."""

import json
import os
import sys
from pathlib import Path

c = get_config()
world = json.loads(os.environ["WORLD"])

if world.get("quotas", True):
    load_subconfig(str(Path(__file__).parent / "base.py"))
else:
    load_subconfig(str(Path(__file__).parent / "bare.py"))
    drop_ins = Path(sys.prefix) / "etc/jupyterhub/jupyterhub_config.d"
    load_subconfig(str(drop_ins / "10-hub-groups.py"))

roster = Path(world["folder"]) / "roster.csv"
if not roster.exists():
    roster.write_text("user,group,role\nkim,from-roster,\nprof-ada,from-roster,manager\n")
c.HubGroups.rosters = [str(roster)]
if world.get("away"):
    c.HubGroups.db_url = f"sqlite:///{world['folder']}/away/hub_groups.sqlite"
c.HubGroups.scim = world.get("scim", False)
c.HubGroups.on_removal = world.get("on_removal", "keep")
c.HubGroups.removal_grace = world.get("removal_grace", 600)

c.Authenticator.manage_groups = world.get("manage_groups", True)


def say_groups(_authenticator, _handler, auth_model):
    said = Path(world["folder"]) / "from-login.txt"
    kim = said.read_text() if said.exists() else "kim"
    groups = ["from-login"] if auth_model["name"] == kim else []
    return {**auth_model, "groups": groups} if world.get("manage_groups", True) else auth_model


c.Authenticator.post_auth_hook = say_groups
