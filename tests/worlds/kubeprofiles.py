"""Pods by profile: with options, free text, a GPU, a second container, more than is guaranteed."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "kube.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

if binder := world.get("binder"):
    c.JupyterHub.services += [{"name": "binder", "url": binder, "api_token": "of-binder"}]
    access = ["self", "access:services!service=binder"]
    c.JupyterHub.load_roles += [{"name": "user", "scopes": access}]
for name, value in world.get("share_links", {}).items():
    setattr(c.ShareLinks, name, value)

c.KubeSpawner.profile_list = [
    {
        "display_name": "Small",
        "description": "To start with",
        "default": True,
        "kubespawner_override": {"mem_limit": "256M", "cpu_limit": 0.25},
    },
    {
        "display_name": "Choose yourself",
        "slug": "choose",
        "profile_options": {
            "memory": {
                "display_name": "Memory",
                "choices": {
                    "1g": {
                        "display_name": "1 GB",
                        "default": True,
                        "kubespawner_override": {"mem_limit": "1G", "mem_guarantee": "512M"},
                    },
                    "4g": {"display_name": "4 GB", "kubespawner_override": {"mem_limit": "4G"}},
                },
            },
            "image": {
                "display_name": "Image",
                "choices": {
                    "usual": {"display_name": "The usual", "kubespawner_override": {}},
                },
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Another image",
                    "validation_regex": "^[a-z0-9./:-]+$",
                    "validation_message": "No image has such a name",
                    "kubespawner_override": {"image": "{value}"},
                },
            },
        },
    },
    {
        "display_name": "GPU",
        "slug": "gpu",
        "kubespawner_override": {
            "mem_limit": "2G",
            "cpu_limit": 2,
            "extra_resource_limits": {"nvidia.com/gpu": "1"},
        },
    },
    {
        "display_name": "With a database beside it",
        "slug": "database",
        "kubespawner_override": {
            "mem_limit": "512M",
            "cpu_limit": 0.5,
            "extra_containers": [
                {
                    "name": "database",
                    "image": "postgres:17",
                    "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
                }
            ],
        },
    },
    {
        "display_name": "Guaranteed in part",
        "slug": "burst",
        "kubespawner_override": {
            "mem_guarantee": "256M",
            "mem_limit": "2G",
            "cpu_guarantee": 0.1,
            "cpu_limit": 2,
        },
    },
]
