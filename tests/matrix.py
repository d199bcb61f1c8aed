"""The rows and columns of the table in `test_matrix.py`: data, and what a user is to read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import podchecks

HUBS = ("5.5", "6.1")
PATHS = ("form", "no-form", "link", "api", "named", "admin")
OUTCOMES = ("admit", "server", "member", "group", "ancestor", "budget")

MIB, GIB = 2**20, 2**30
SPARE = "spare"
"""A group without limits, which makes two groups to choose from."""


@dataclass(frozen=True)
class Kind:
    """One spawner.

    Attributes:
        world: of `worlds/`.
        options: what is chosen on each path where something is admitted; elsewhere `refused`.
        refused: what is chosen where it is to be refused.
        charged: by path, what the ledger then has to say.
        asked: the memory that `refused` asks for.
    """

    world: str
    asked: str
    charged: Mapping[str, Mapping[str, int]]
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_form(self) -> bool:
        return bool(self.refused)

    @property
    def has_pods(self) -> bool:
        return self.world.startswith("kube")


PLAIN = {"servers": 1, "cpu": 500, "memory": 512 * MIB}

# By path a profile, so that each of them is started once.
PROFILES = Kind(
    "kubeprofiles",
    "256 MiB",
    options={
        "form": {"profile": "gpu"},
        "link": {"profile": "burst"},
        "api": {"profile": "database"},
        "named": {"profile": "choose", "profile-option-choose--memory": "1g"},
        "admin": {"profile": "small"},
    },
    refused={"profile": "small"},
    charged={
        "form": {
            "servers": 1,
            "cpu": 2000,
            "memory": 2 * GIB,
            "gpu": 1,
            "nvidia.com/gpu": 1,
        },
        "link": {
            "servers": 1,
            "cpu": 100,
            "cpu+burst": 1900,
            "memory": 256 * MIB,
            "memory+burst": 2 * GIB - 256 * MIB,
        },
        "api": {"servers": 1, "cpu": 1000, "memory": 768 * MIB},
        "named": {"servers": 1, "cpu": 500, "memory": 512 * MIB, "memory+burst": 512 * MIB},
        "admin": {"servers": 1, "cpu": 250, "memory": 256 * MIB},
    },
)
KINDS = {
    "profiles": PROFILES,
    "fancy": Kind("kubefancy", "256 MiB", PROFILES.charged, PROFILES.options, PROFILES.refused),
    "kube": Kind("kube", "512 MiB", dict.fromkeys(PATHS, PLAIN)),
    "simple": Kind("formless", "512 MiB", dict.fromkeys(PATHS, PLAIN)),
    "docker": Kind("docker", "512 MiB", dict.fromkeys(PATHS, PLAIN)),
    "systemd": Kind("systemd", "512 MiB", dict.fromkeys(PATHS, PLAIN)),
}

LIMITS: Mapping[str, Mapping[str, str | int]] = {
    "uni-admit/course": {
        "server.memory": "8G",
        "member.servers": 2,
        "member.cpu-hours": "100 per 7d",
        "group.memory": "100G",
    },
    "uni-admit": {"group.memory": "1T", "group.gpu": 10},
    "uni-server/course": {"server.memory": "100M"},
    "uni-member/course": {"member.servers": 1},
    "uni-group": {},
    "uni-group/course": {"group.memory": "1G"},
    "uni-ancestor": {"group.memory": "1G"},
    "uni-budget/course": {"member.cpu-hours": "10 per 7d"},
}
POLICY = {
    "groups": {
        name: {
            "limits": limits,
            "managers": ["prof-ada"] if "/" in name else ["dean-kim"],
        }
        for name, limits in LIMITS.items()
    }
}
HOLDER = "holder"
HELD = {
    "uni-group/course": {"memory": 900 * MIB, "cpu": 1000},
    "uni-ancestor/other": {"memory": 900 * MIB, "cpu": 1000},
}
"""What somebody else has in use, by group."""


def group_of(outcome: str) -> str:
    return f"uni-{outcome}/course"


def user_of(path: str, outcome: str) -> str:
    return f"pat-{path}-{outcome}"


def roster() -> str:
    """A user for each path and outcome, in the group that admits or refuses; with a second group
    where one is chosen."""
    lines = ["user,group,role"]
    for path, outcome in itertools.product(PATHS, OUTCOMES):
        chooses = path in ("form", "link")
        for group in (group_of(outcome), SPARE) if chooses else (group_of(outcome),):
            lines.append(f"{user_of(path, outcome)},{group},")
    return "\n".join(lines) + "\n"


def words(outcome: str, asked: str) -> list[str]:
    """What a user who is refused has to read: the limit, its use, what helps, and whom to ask."""
    group, whom = group_of(outcome), f"prof-ada, who manages {group_of(outcome)}"
    if outcome == "server":
        said = [
            f"{group} allows each server at most 100 MiB of memory; this one asks for {asked}.",
            "A server with at most 100 MiB of memory would start now.",
        ]
    elif outcome == "member":
        said = [
            f"{group} allows each member 1 server at once, and you have 1 running.",
            "Stop a server that you don't need, and this one can start.",
        ]
    elif outcome == "budget":
        said = [
            f"{group} gives each member 10 CPU-hours in any 7 days, "
            "and you have used 12 CPU-hours.",
            "You can start it on ",
        ]
    else:
        # What a group has as a whole is given by those above it.
        whom = "dean-kim, who manages uni-group"
        if outcome == "ancestor":
            group, whom = "uni-ancestor", "an admin of this hub"
        said = [
            f"{group} may have 1 GiB of memory at once; all its members together have 900 MiB in "
            f"use by 1 server, and this one asks for {asked}.",
            "A server with at most 124 MiB of memory would start now.",
        ]
    return [*said, f"To get more, ask {whom}."]


def is_sampled(hub: str, kind: str, path: str, outcome: str) -> bool:
    """Twelve cells for the default suite: each path and each outcome twice."""
    if (hub, kind) != ("6.1", "profiles"):
        return False
    return path not in PATHS or (PATHS.index(path) + OUTCOMES.index(outcome)) % 6 in (0, 2)


def asked_by(pod: Mapping[str, Any]) -> dict[str, int]:
    """What a pod asks for, summed up here once more: requests, and limits beyond them."""
    totals: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
    for container in pod["spec"]["containers"]:
        given = container.get("resources") or {}
        limits = given.get("limits") or {}
        for part, amounts in (
            ("limits", limits),
            ("requests", {**limits, **(given.get("requests") or {})}),
        ):
            for name, amount in amounts.items():
                number = podchecks.quantity(amount) * (1000 if name == "cpu" else 1)
                totals[part][name] = totals[part].get(name, Decimal(0)) + number
    found = {"servers": 1}
    for name, requested in totals["requests"].items():
        found[name] = int(requested)
        if beyond := int(totals["limits"][name] - requested):
            found[f"{name}+burst"] = beyond
        if name == "nvidia.com/gpu":
            found["gpu"] = found[name]
    return found
