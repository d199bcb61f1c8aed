"""Pods by what the admin's hooks make of a user's options.

`traits` in them is set on the spawner before it starts, `pod_memory` in the finished pod. `config`
in WORLD is more of the admin's configuration.
"""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "kube.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])


async def pre_spawn_hook(spawner):
    for name, value in spawner.user_options.get("traits", {}).items():
        setattr(spawner, name, value)


def modify_pod_hook(spawner, pod):
    memory = spawner.user_options.get("pod_memory")
    if memory:
        pod.spec.containers[0].resources.limits["memory"] = memory
        pod.spec.containers[0].resources.requests = {}
    pod.metadata.annotations["admins-hook"] = "ran"
    return pod


c.KubeSpawner.pre_spawn_hook = pre_spawn_hook
c.KubeSpawner.modify_pod_hook = modify_pod_hook
exec(world.get("config", ""))  # noqa: S102
