"""An institution's hub for several groups: profiles by group, and much configured after us.

`profile_list` is a callable that leaves out what a user's groups may not see; options of a profile
nest, with free text. What comes after the drop-ins assigns the hooks and the spawner class anew.
"""

import copy
import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "kube.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

roster = Path(world["folder"]) / "roster.csv"
roster.write_text("user,group,role\nria,research,\nsam,students,\nzoe,students,\nzoe,research,\n")
c.HubGroups.rosters = [str(roster)]


def memory(text, **more):
    return {"display_name": text, "kubespawner_override": {"mem_limit": text}, **more}


IMAGES = {
    "display_name": "Image",
    "choices": {"usual": {"display_name": "Usual", "kubespawner_override": {"image": "server"}}},
    "unlisted_choice": {
        "enabled": True,
        "display_name": "Another image",
        "validation_regex": "^[a-z:.]+$",
        "validation_message": "No such image",
        "kubespawner_override": {"image": "{value}"},
    },
}
PROFILES = [
    {
        "display_name": "Teaching",
        "slug": "teaching",
        "default": True,
        "kubespawner_override": {"cpu_limit": 0.5},
        "profile_options": {
            "image": IMAGES,
            "size": {
                "display_name": "Size",
                "choices": {"small": memory("256M", default=True), "large": memory("1G")},
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Another size",
                    "kubespawner_override": {"mem_limit": "{value}"},
                },
            },
        },
    },
    {"display_name": "Plain", "slug": "plain"},
    {
        "display_name": "GPU",
        "slug": "gpu",
        "allowed_groups": ["research"],
        "kubespawner_override": {
            "mem_limit": "2G",
            "extra_resource_limits": {"nvidia.com/gpu": "1"},
        },
    },
]


async def profiles_of(spawner):
    """As 2i2c's hubs do, by the groups of the login or of the hub."""
    auth_state = await spawner.user.get_auth_state() or {}
    groups = set(auth_state.get("groups", ())) | {group.name for group in spawner.user.groups}
    found = []
    for profile in copy.deepcopy(PROFILES):
        allowed = profile.pop("allowed_groups", None)
        if allowed is None or groups & set(allowed):
            found.append(profile)
    return found


# -- what comes after the drop-ins, in a chart's extraConfig ----------------------------------


from kubespawner import KubeSpawner  # noqa: E402 - reads where the cluster is


class InstitutionSpawner(KubeSpawner):
    async def start(self):
        self.log.info("institution's start for %s", self.user.name)
        return await super().start()


async def pre_spawn_hook(spawner):
    spawner.log.info("institution's pre_spawn_hook for %s", spawner.user.name)
    spawner.environment["INSTITUTION"] = "uni"


async def modify_pod_hook(spawner, pod):
    spawner.log.info("institution's modify_pod_hook for %s", spawner.user.name)
    pod.metadata.annotations["institution"] = "uni"
    return pod


c.KubeSpawner.profile_list = profiles_of
c.KubeSpawner.pre_spawn_hook = pre_spawn_hook
c.KubeSpawner.modify_pod_hook = modify_pod_hook
c.KubeSpawner.group_overrides = {
    "10-research": {
        "groups": ["research"],
        "spawner_override": {"node_selector": {"pool": "research"}, "mem_limit": "3G"},
    }
}
c.JupyterHub.spawner_class = InstitutionSpawner
