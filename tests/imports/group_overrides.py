# The shape of JupyterHub's own example of overrides by group, with profiles beside it.
import os

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.cpu_limit = 2
c.KubeSpawner.mem_limit = "2G"
c.KubeSpawner.storage_capacity = "10Gi"
c.Spawner.group_overrides = {
    "01-alpha": {"groups": ["alpha"], "spawner_override": {"environment": {"TEAM": "alpha"}}},
    "02-beta": {"groups": ["beta"], "spawner_override": {"mem_limit": "6.5G"}},
    "03-both": {
        "groups": ["beta", "gamma"],
        "spawner_override": {"cpu_limit": 8, "storage_capacity": "50Gi"},
    },
    "04-gamma": {"groups": ["gamma"], "spawner_override": {"mem_limit": lambda spawner: 2**34}},
}
if os.environ.get("BIG"):
    c.KubeSpawner.cpu_limit = 4
c.KubeSpawner.extra_resource_limits.update({"nvidia.com/gpu": 1})
