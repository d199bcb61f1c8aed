"""A hub on which links launch something: two profiles on a form, and a group with a limit.

`lab` in WORLD for real single-user servers; else the hub's stand-in, which can't pull.
"""

import json
import os
import sys
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])
folder = Path(world["folder"])

roster = folder / "roster.csv"
roster.write_text(
    world.get("roster")
    or "user,group,role\nprof-ada,geo-101,manager\nsam,geo-101,member\nlee,geo-101,member\n"
)
c.HubGroups.rosters = [str(roster)]
c.HubQuotas.currency = "€"

sizes = {"small": ("256M", 0.5), "large": ("1G", 2)}
c.Spawner.options_form = "".join(
    f'<label><input type="radio" name="profile" value="{name}"'
    f"{' checked' if name == 'small' else ''}> {name.title()}</label>"
    for name in sizes
)
c.Spawner.options_from_form = "simple"


def apply_profile(spawner, user_options):
    name = user_options.get("profile", "small")
    if name not in sizes:
        raise ValueError(f"There is no profile {name}")
    spawner.mem_limit, spawner.cpu_limit = sizes[name]
    spawner.environment = {**spawner.environment, "PROFILE": name}


c.Spawner.apply_user_options = apply_profile
if world.get("lab"):
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    c.Spawner.default_url = "/lab"
    as_root = ["--allow-root"] if os.geteuid() == 0 else []
    c.Spawner.args = [*as_root, *world.get("args", ())]
    c.Spawner.http_timeout = 60
    # Readers are users of this machine for the test only: nothing of their tester's is used.
    c.Spawner.environment = {
        **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        "GIT_TERMINAL_PROMPT": "0",
    }
if world.get("subdomains"):
    c.JupyterHub.subdomain_host = world["url"].replace("127.0.0.1", "hub.localhost")
    c.ConfigurableHTTPProxy.command = world["proxy"]
for name, value in world.get("share_links", {}).items():
    setattr(c.ShareLinks, name, value)
for name, value in world.get("hub", {}).items():
    setattr(c.JupyterHub, name, value)
