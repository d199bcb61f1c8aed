"""A hub for scale.py, with or without the bundle: its servers are addresses, its proxy a mapping.

What it is to do is in the file SCALE; what its event loop does is at /hub/figures.
"""
# ruff: noqa: F821 - the hub puts `c`, `get_config` and `load_subconfig` there

import json
import os
import sys
from pathlib import Path

from jupyterhub.spawner import Spawner
from tornado import web
from tornado.ioloop import IOLoop

sys.path.insert(0, str(Path(__file__).parent))
from loop_probe import LoopProbe
from no_proxy import NoProxy

c = get_config()
scale = json.loads(Path(os.environ["SCALE"]).read_text())
probe = LoopProbe()


class StubSpawner(Spawner):
    """Each server is there at once, and is the same."""

    async def start(self):
        return scale["stub"]

    async def poll(self):
        return None

    async def stop(self, now=False):
        pass


class Figures(web.RequestHandler):
    def get(self):
        self.finish(probe.figures())


c.JupyterHub.bind_url = "http://127.0.0.1:0"  # nothing is there
c.JupyterHub.hub_port = scale["port"]
c.JupyterHub.db_url = f"sqlite:///{scale['folder']}/jupyterhub.sqlite"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = StubSpawner
c.JupyterHub.extra_handlers = [(r"/figures", Figures)]
c.JupyterHub.init_spawners_timeout = -1  # it is up when it knows all servers
c.JupyterHub.cleanup_servers = False  # which would take a minute
c.JupyterHub.services = [{"name": "benchmark", "api_token": scale["token"]}]
c.JupyterHub.load_roles = [
    {
        "name": "benchmark",
        "services": ["benchmark"],
        "scopes": ["admin:users", "admin:servers", "read:metrics"],
    }
]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Spawner.cpu_limit = 1
c.Spawner.mem_limit = "2G"
c.Spawner.options_form = "<label>Anything else? <input name='else'></label>"

if scale["bundle"]:
    c.HubQuotas.policy = scale["policy"]
    # Where pip installs the drop-ins.
    for drop_in in sorted((Path(sys.prefix) / "etc/jupyterhub/jupyterhub_config.d").glob("*.py")):
        load_subconfig(str(drop_in))
    from hub_groups import authenticator
    from hub_quotas import banner, kube, off_loop, reconcile, refusal, spawner

    # The hub side: what the hub calls, and what runs on its loop by itself.
    for module in (authenticator, banner, kube, off_loop, reconcile, refusal, spawner):
        probe.watch(module)

IOLoop.current().add_callback(probe.start)
