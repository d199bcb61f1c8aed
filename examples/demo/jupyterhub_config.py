"""The demo's hub: what an admin of a small hub would write, and nothing that is special to us.

Started by `run.py`, which says where the data goes and which ports are free.
"""

import os
import sys
from pathlib import Path

c = get_config()

here = Path(__file__).parent
data = Path(os.environ["DEMO_DATA"])

# -- The five lines that add group quotas to any hub ------------------------------------------
drop_ins = Path(sys.prefix) / "etc/jupyterhub/jupyterhub_config.d"
for drop_in in sorted(drop_ins.glob("*.py")):
    load_subconfig(str(drop_in))

c.HubGroups.rosters = [str(here / "roster.csv")]

# -- Addresses and data -----------------------------------------------------------------------
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['DEMO_PORT']}"
c.JupyterHub.hub_port = int(os.environ["DEMO_HUB_PORT"])
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['DEMO_PROXY_PORT']}"
c.ConfigurableHTTPProxy.pid_file = str(data / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{data / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(data / "cookie_secret")

# -- People: a dummy login that, like a university's, also says some groups ---------------------
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "demo"  # noqa: S105
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.Authenticator.manage_groups = True

groups_by_login = {
    "kim": ["earth-sciences/climate-lab"],
    "lee": ["earth-sciences/climate-lab"],
}


def say_groups(_authenticator, _handler, auth_model):
    return {**auth_model, "groups": groups_by_login.get(auth_model["name"], [])}


c.Authenticator.post_auth_hook = say_groups

# -- Servers: two profiles ----------------------------------------------------------------------
# "simple", and where the hub can write cgroups, the kernel holds servers to their limits.
c.JupyterHub.spawner_class = "hub_quotas.cgroups.LimitedSimpleLocalProcessSpawner"
c.JupyterHub.allow_named_servers = True
c.SimpleLocalProcessSpawner.home_dir_template = str(data / "homes" / "{username}")
c.Spawner.default_url = "/lab"
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]  # fine on a laptop, never on a real hub

profiles = {
    "small": {"title": "Small", "cpu": 1, "memory": "512M"},
    "large": {"title": "Large", "cpu": 2, "memory": "2G"},
}

radio = """
<div class="form-check">
  <input class="form-check-input" type="radio" name="profile" id="{name}" value="{name}" {checked}>
  <label class="form-check-label" for="{name}">{title}: {cpu} CPU, {memory} memory</label>
</div>
"""
c.Spawner.options_form = "".join(
    radio.format(name=name, checked="checked" if name == "small" else "", **profile)
    for name, profile in profiles.items()
)
c.Spawner.options_from_form = "simple"


def apply_profile(spawner, user_options):
    profile = profiles[user_options.get("profile", "small")]
    spawner.cpu_limit = profile["cpu"]
    spawner.mem_limit = profile["memory"]


c.Spawner.apply_user_options = apply_profile
