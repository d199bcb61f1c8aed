"""What a spawner is going to ask for: one reader for each kind, chosen by what it has."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jupyterhub.utils import maybe_future

from .pods import asks_for, beside_the_notebook
from .quantities import parse_memory
from .requests import Amounts

Asked = tuple[Mapping[str, int], Mapping[str, int]]
"""Limits and guarantees by resource; a resource without one is missing."""


@dataclass(frozen=True)
class Found:
    """What a server will ask for.

    Attributes:
        beside: what of that is not the notebook's own, but its sidecars'.
    """

    asked: Asked
    beside: Asked = ({}, {})


async def read(spawner: Any) -> Found:
    """What the server will ask for, as the spawner is set up at this moment.

    Raises:
        QuantityError: the spawner is set up with something that is no amount.
    """
    if hasattr(spawner, "get_pod_manifest"):
        pod = as_sent(spawner, await spawner.get_pod_manifest())
        return Found(asks_for(pod), beside_the_notebook(pod))
    if hasattr(spawner, "extra_host_config"):
        extra = spawner.extra_host_config
        extra = await maybe_future(extra(spawner) if callable(extra) else extra)
        return Found(_docker(_traits(spawner), extra or {}))
    if hasattr(spawner, "unit_extra_properties"):
        return Found(_systemd(_traits(spawner), spawner.unit_extra_properties))
    return Found(_traits(spawner))


async def as_started(spawner: Any, options: Mapping[str, Any] | None = None) -> Any:
    """A copy of a spawner with the `group_overrides` that the hub applies when it starts.

    Args:
        options: user options to apply too; not the profiles of KubeSpawner.
    """
    copied, overrides = copy.copy(spawner), spawner.group_overrides
    if callable(overrides):
        overrides = await maybe_future(overrides(spawner))
    copied.group_overrides = overrides
    unshare(copied, [override["spawner_override"] for override in overrides.values()])
    await copied.apply_group_overrides()
    if options is not None:
        # What the admin's own code changes in place must not be the hub's own spawner's.
        own = copied._trait_values
        for name, value in own.items():
            if isinstance(value, (dict, list)) and name != "config":
                own[name] = copy.deepcopy(value)
        copied.user_options = dict(options)
        if hasattr(copied, "_run_apply_user_options"):  # JupyterHub 5.3
            await maybe_future(copied._run_apply_user_options(copied.user_options))
    return copied


async def as_chosen(spawner: Any, options: Mapping[str, Any]) -> Any:
    """A copy of a spawner as it would start with these user options.

    Raises:
        Exception: of any kind, as the hub or its admin's own code says that it can't.
    """
    started = await as_started(spawner, options)
    return await spawner.with_profile(started) if hasattr(spawner, "with_profile") else started


def unshare(spawner: Any, overrides: Iterable[Mapping[str, Any]]) -> None:
    """What overrides would change in place becomes a copied spawner's own."""
    for name in {name for override in overrides for name in override}:
        if isinstance(getattr(spawner, name, None), dict):
            setattr(spawner, name, copy.deepcopy(getattr(spawner, name)))


def as_sent(spawner: Any, pod: Any) -> dict[str, Any]:
    """A pod as the Kubernetes API gets it."""
    sent: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(pod)
    return sent


def _traits(spawner: Any) -> Asked:
    """JupyterHub's own traits, which every spawner has. Nothing, and 0, are no limit."""
    return (
        _named(spawner.cpu_limit, spawner.mem_limit),
        _named(spawner.cpu_guarantee, spawner.mem_guarantee),
    )


def _named(cores: float | None, memory: int | None) -> dict[str, int]:
    found = {"cpu": round(1000 * cores)} if cores else {}
    return {**found, "memory": int(memory)} if memory else found


def _docker(asked: Asked, host_config: Mapping[str, Any]) -> Asked:
    """DockerSpawner lets `extra_host_config` win over its limits."""
    limits, guarantees = dict(asked[0]), dict(asked[1])
    if "mem_limit" in host_config:
        _set(limits, "memory", _bytes(host_config["mem_limit"]))
    if "mem_reservation" in host_config:
        _set(guarantees, "memory", _bytes(host_config["mem_reservation"]))
    if host_config.get("nano_cpus"):
        limits["cpu"] = -(-host_config["nano_cpus"] // 10**6)
    elif "cpu_quota" in host_config:
        period = host_config.get("cpu_period", 100_000)
        _set(limits, "cpu", max(0, -(-1000 * host_config["cpu_quota"] // period)))
    gpus = sum(_devices(request) for request in host_config.get("device_requests") or ())
    if gpus:
        limits["gpu"] = gpus
    return limits, guarantees


def _devices(request: Mapping[str, Any]) -> int:
    ids = request.get("DeviceIDs") or request.get("device_ids")
    count = request.get("Count", request.get("count", 0))
    # Docker's -1 is all there are, which only the machine knows: one at least.
    return len(ids) if ids else max(1, count or 0)


def _systemd(asked: Asked, properties: Mapping[str, Any]) -> Asked:
    """SystemdSpawner lets `unit_extra_properties` win over its limits."""
    limits, guarantees = dict(asked[0]), dict(asked[1])
    if "MemoryMax" in properties:
        _set(limits, "memory", _bytes(properties["MemoryMax"]))
    if "CPUQuota" in properties:
        percent = str(properties["CPUQuota"]).strip().rstrip("%")
        _set(limits, "cpu", 10 * round(float(percent)) if percent else 0)
    if "MemoryMin" in properties:
        _set(guarantees, "memory", _bytes(properties["MemoryMin"]))
    return limits, guarantees


def _bytes(value: object) -> int:
    """Docker and systemd write bytes as limits do: `1g`, `512M`; `infinity` is no limit."""
    return 0 if value in (None, "", "infinity") else parse_memory(str(value))


def _set(amounts: dict[str, int], name: str, amount: int) -> None:
    amounts.pop(name, None)
    if amount:
        amounts[name] = amount


def hold(spawner: Any, found: Found, limits: Amounts, guarantees: Amounts) -> None:
    """Set the spawner's own limits so that the server as a whole gets these."""
    for name, trait in (("cpu", "cpu"), ("memory", "mem")):
        for kind, asked, beside, gets in (
            ("limit", found.asked[0], found.beside[0], limits),
            ("guarantee", found.asked[1], found.beside[1], guarantees),
        ):
            amount = gets.get(name, 0) - beside.get(name, 0)
            if gets.get(name) == asked.get(name) or amount <= 0:
                continue
            if kind == "guarantee" and not getattr(spawner, f"{trait}_guarantee"):
                continue  # Kubernetes takes the limit for it
            setattr(spawner, f"{trait}_{kind}", amount / 1000 if name == "cpu" else amount)
    extra = getattr(spawner, "extra_resource_limits", None) or {}
    gpus = [name for name in extra if name.endswith("/gpu")]
    for name in extra:
        fits = limits.get("gpu" if gpus == [name] else name)
        if fits is not None and fits < found.asked[0].get(name, 0):
            spawner.extra_resource_limits = {**extra, name: str(min(fits, limits[name]))}
