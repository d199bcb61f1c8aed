"""A hub that spawns pods. `kubeconfig` in WORLD says where; `base` which world to build on."""

import json
import os
from pathlib import Path

world = json.loads(os.environ["WORLD"])
os.environ["KUBECONFIG"] = world["kubeconfig"]  # is read when the client is imported

load_subconfig(str(Path(__file__).parent / f"{world.get('base', 'base')}.py"))
c = get_config()

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.namespace = f"hub-{world['hub_port']}"
c.KubeSpawner.image = world.get("image", "server")  # `stub` for pods without a process
c.KubeSpawner.poll_interval = 1
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.volumes = [
    {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
