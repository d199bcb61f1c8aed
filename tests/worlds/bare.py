"""A small hub without us. Settings come from `hubs.Hub` in WORLD."""

import json
import os
import runpy
import sys
from pathlib import Path

import jupyterhub.spawner
import jupyterhub.utils

c = get_config()
world = json.loads(os.environ["WORLD"])

free_port = runpy.run_path(str(Path(__file__).parent / "ports.py"))["free_port"]
jupyterhub.spawner.random_port = jupyterhub.utils.random_port = free_port
c.HubGroups.service_url = f"http://127.0.0.1:{world['pages_port']}"

c.JupyterHub.bind_url = world["url"] + world.get("base_url", "/")
c.JupyterHub.hub_port = world["hub_port"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{world['proxy_port']}"
c.JupyterHub.db_url = f"sqlite:///{world['folder']}/jupyterhub.sqlite"
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": world.get("slow_spawn_timeout", 10)}
c.JupyterHub.allow_named_servers = world.get("named_servers", True)
c.JupyterHub.cleanup_servers = world.get("cleanup_servers", True)
c.JupyterHub.services = [{"name": "tests", "api_token": world["token"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": [
            *("admin:users", "admin:servers", "admin:groups", "admin:server_state"),
            "read:metrics",
        ],
    }
]

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = world["folder"] + "/homes/{username}"
# The hub's own stand-in for a single-user server, which starts in half a second.
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.tests.mocksu"]
c.Spawner.poll_interval = 2
c.Spawner.mem_limit = "512M"
c.Spawner.cpu_limit = 0.5
