"""The real DockerSpawner without a Docker daemon: its "containers" are processes.

What the daemon would have been told is in `containers/NAME.json`. `extra_host_config` in WORLD is
the admin's; `memory` in the user's options is the memory limit.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from docker.errors import APIError
from dockerspawner import DockerSpawner
from jupyterhub.utils import random_port

sys.path.insert(0, str(Path(__file__).parent.parent))
from processes import Processes, on_port  # noqa: E402

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])
containers = Processes(Path(world["folder"]) / "containers")


class LocalDockerSpawner(DockerSpawner):
    """Only the calls to the daemon are replaced."""

    async def pull_image(self, image):
        pass

    async def docker(self, method, *args, **kwargs):
        return await getattr(self, f"docker_{method}")(*args, **kwargs)

    async def docker_inspect_container(self, name):
        told = containers.told(name)
        if not told:
            raise APIError("No such container", SimpleNamespace(status_code=404))
        code = containers.exit_code(name)
        if code is not None and "pid" in told and told["host_config"]["AutoRemove"]:
            containers.forget(name)
            raise APIError("No such container", SimpleNamespace(status_code=404))
        state = {"Running": code is None, "ExitCode": code, "Error": "", "FinishedAt": ""}
        return {"Id": name, "Config": {"Env": told["Env"]}, "State": state}

    async def docker_create_container(self, name, command, environment, **told):
        env = [f"{key}={value}" for key, value in environment.items()]
        port = random_port()
        containers.write(name, {**told, "Cmd": command, "Env": env, "port": port})
        return {"Id": name}

    async def docker_start(self, name):
        told = containers.told(name)
        environment = on_port(dict(line.split("=", 1) for line in told["Env"]), told["port"])
        containers.start(name, told["Cmd"], environment)

    async def docker_port(self, name, _port):
        return [{"HostIp": "127.0.0.1", "HostPort": containers.told(name)["port"]}]

    async def docker_stop(self, name, **_options):
        await containers.stop(name)

    async def docker_remove_container(self, name, **_options):
        await containers.stop(name)
        containers.forget(name)


c.JupyterHub.spawner_class = LocalDockerSpawner
c.DockerSpawner.client_kwargs = {"version": "1.45"}  # not `auto`, which asks the daemon
c.DockerSpawner.remove = True
c.DockerSpawner.extra_host_config = world.get("extra_host_config", {})
