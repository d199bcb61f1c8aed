"""A hub in which somebody has each role of the quotas."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

c.JupyterHub.services += [
    {"name": "reserver", "api_token": world["token"] + "r"},
    {"name": "agent", "api_token": world["token"] + "a"},
    {"name": "robot", "api_token": world["token"] + "b"},
]
c.JupyterHub.load_groups = {"science/geo": {"users": []}}
c.JupyterHub.load_roles += [
    {"name": "q-admin", "users": ["boss"], "scopes": ["custom:quotas:admin"]},
    {"name": "q-read", "users": ["reader"], "scopes": ["custom:quotas:read"]},
    {"name": "q-geo", "users": ["tutor"], "scopes": ["custom:quotas:manage!group=science/geo"]},
    {
        "name": "q-robot",
        "services": ["robot"],
        "scopes": [
            *("custom:quotas:admin", "access:services!service=quotas"),
            *("custom:groups:admin", "access:services!service=groups"),
        ],
    },
    {
        "name": "q-hold",
        "services": ["reserver"],
        "scopes": ["custom:quotas:reserve", "access:services!service=quotas"],
    },
    {
        "name": "q-store",
        "services": ["agent"],
        "scopes": ["custom:quotas:storage", "access:services!service=quotas"],
    },
]
c.Authenticator.allowed_users = {"boss", "reader", "tutor"}
