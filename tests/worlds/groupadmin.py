"""A hub in which memberships come from everywhere: logins with rules, rosters, SCIM, by hand."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])
folder = Path(world["folder"])

geo = folder / "geo-101.csv"
if not geo.exists():
    rows = "".join(f"student-{n:03},earth-sciences/geo-101,\n" for n in range(40))
    geo.write_text(f"user,group,role\nada,earth-sciences/geo-101,manager\n{rows}")
c.HubGroups.rosters = [str(geo), str(folder / "missing.csv")]
c.HubGroups.scim = world.get("scim", True)
if "rules" in world:
    c.HubGroups.rules = world["rules"]

c.JupyterHub.services += [{"name": "robot", "api_token": world["token"] + "b"}]
c.JupyterHub.load_roles += [
    {"name": "g-read", "users": ["reader"], "scopes": ["custom:groups:read"]},
    {
        "name": "g-robot",
        "services": ["robot"],
        "scopes": ["custom:groups:admin", "access:services!service=groups"],
    },
]
c.Authenticator.manage_groups = True
c.Authenticator.allowed_users = {"reader"}
c.Authenticator.enable_auth_state = False


def say_groups(_authenticator, _handler, auth_model):
    groups = {"kim": ["/course-geo", "/club"]}.get(auth_model["name"], [])
    return {**auth_model, "auth_state": {"oauth_user": {"groups": groups}}, "groups": groups}


c.Authenticator.post_auth_hook = say_groups
