"""An admin whose configuration comes after the drop-ins and assigns everything again."""

import json
import os
from pathlib import Path

from jupyterhub.auth import DummyAuthenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])


class MySpawner(SimpleLocalProcessSpawner):
    async def start(self):
        self.log.info("admin's own spawner")
        return await super().start()


class MyAuthenticator(DummyAuthenticator):
    pass


def pre_spawn_hook(spawner):
    spawner.log.info("admin's pre_spawn_hook")


def post_stop_hook(spawner):
    spawner.log.info("admin's post_stop_hook")


async def post_auth_hook(authenticator, handler, auth_model):
    authenticator.log.info("admin's post_auth_hook")
    return auth_model


c.JupyterHub.spawner_class = MySpawner
c.JupyterHub.authenticator_class = MyAuthenticator
c.Spawner.pre_spawn_hook = pre_spawn_hook
c.MySpawner.post_stop_hook = post_stop_hook
c.MySpawner.home_dir_template = world["folder"] + "/homes/{username}"
c.MyAuthenticator.post_auth_hook = post_auth_hook
c.JupyterHub.services = [
    {"name": "tests", "api_token": world["token"]},
    {"name": "mine", "api_token": world["token"] + "mine"},
]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:servers", "admin:groups", "list:services"],
    },
    {"name": "user", "scopes": ["self"]},
]
