"""Snapshots of claims: Kubernetes' VolumeSnapshots, which the driver of their storage makes.

A snapshot notes what its claim was like, so that it can be made again when it is gone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .backend import StorageError
from .claims import quantity
from .kubernetes import Kubernetes, KubernetesError

GROUP = "snapshot.storage.k8s.io"
_MANAGER = {"app.kubernetes.io/managed-by": "hub-storage-agent"}
_LABEL_KEY = "hub-storage-agent/label"
_CLAIM_KEY = "hub-storage-agent/claim"
"""Annotation: what the claim was like, in JSON."""
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_LONGEST_NAME = 253
_LOOK_SECONDS, _SAY_SECONDS = 1.0, 10.0
_ERROR_SECONDS = 15.0
"""Drivers try again; an error that stands for longer is one."""
_LONGEST_SECONDS = 3600.0
_NO_SNAPSHOTS = (
    "This cluster has no VolumeSnapshots (snapshot.storage.k8s.io/v1): they take the snapshot"
    " controller, and storage whose CSI driver makes them."
)


@dataclass(frozen=True)
class VolumeSnapshot:
    """Of one claim.

    Attributes:
        created: when, in UTC as Kubernetes writes it, which sorts.
        size: bytes that a volume needs to take it; None while that is not known.
        problem: what its driver says; empty for nothing.
        label: why the agent made it; None where it was somebody else.
        was: what the claim was like: its `metadata` and `spec`; empty where that is not known.
    """

    name: str
    claim: str
    created: str
    ready: bool = False
    size: int | None = None
    problem: str = ""
    label: str | None = None
    was: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> VolumeSnapshot:
        """Of an object of Kubernetes."""
        meta, status = found.get("metadata") or {}, found.get("status") or {}
        labels = meta.get("labels") or {}
        is_ours = _MANAGER.items() <= labels.items()
        try:
            was = json.loads((meta.get("annotations") or {}).get(_CLAIM_KEY) or "{}")
        except ValueError:
            was = {}
        source = (found.get("spec") or {}).get("source") or {}
        return cls(
            str(meta.get("name")),
            str(source.get("persistentVolumeClaimName") or ""),
            str(meta.get("creationTimestamp") or ""),
            bool(status.get("readyToUse")),
            quantity(status.get("restoreSize")),
            str((status.get("error") or {}).get("message") or ""),
            str(labels.get(_LABEL_KEY, "")) if is_ours else None,
            was,
        )


def list_snapshots(api: Kubernetes, claim: str = "") -> list[VolumeSnapshot]:
    """The oldest first.

    Args:
        claim: whose; empty for all.
    """
    try:
        found = [VolumeSnapshot.read(one) for one in api.list(_path(api))]
    except KubernetesError as error:
        raise _explained(error) from None
    some = [one for one in found if one.claim == claim or not claim]
    return sorted(some, key=lambda one: (one.created, one.name))


def make_snapshot(api: Kubernetes, claim: str, label: str, now: datetime) -> str:
    """Begin one; returns its name.

    Raises:
        StorageError: there is no such claim, or nothing that makes snapshots.
    """
    if label and not _LABEL.fullmatch(label):
        raise StorageError(
            f"{label!r} is no label here; take up to 40 of a-z, 0-9 and '-': end-of-term."
        )
    found = _claim(api, claim)
    if found is None:
        raise StorageError(f"There is no claim {claim} in {api.namespace}.")
    end = "-".join(part for part in (now.strftime("%Y-%m-%dt%H%M%Sz"), label) if part)
    name = f"{claim[: _LONGEST_NAME - len(end) - 1]}-{end}"
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "VolumeSnapshot",
        "metadata": {
            "name": name,
            "labels": {**_MANAGER, **({_LABEL_KEY: label} if label else {})},
            "annotations": {_CLAIM_KEY: json.dumps(_noted(found))},
        },
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    }
    try:
        api.create(_path(api), body)
    except KubernetesError as error:
        raise _explained(error) from None
    return name


def _noted(claim: Mapping[str, Any]) -> dict[str, Any]:
    """What of a claim is needed to make it again, as KubeSpawner had."""
    meta, spec = claim["metadata"], claim["spec"]
    notes = meta.get("annotations") or {}
    ours = {key: text for key, text in notes.items() if key.startswith("hub.jupyter.org/")}
    kept = ("accessModes", "resources", "storageClassName", "volumeMode")
    return {
        "metadata": {"labels": meta.get("labels") or {}, "annotations": ours},
        "spec": {key: spec[key] for key in kept if key in spec},
    }


def wait_for(api: Kubernetes, names: Collection[str], say: Callable[[str], None]) -> dict[str, str]:
    """Until snapshots are ready, or can't be.

    Args:
        say: is told now and then what is waited for.

    Returns:
        Why, for each that is not ready.
    """
    began = said_at = time.monotonic()
    waiting, failed, wrong_since = set(names), dict[str, str](), dict[str, float]()
    while waiting:
        there, present = {one.name: one for one in list_snapshots(api)}, time.monotonic()
        for name in list(waiting):
            one = there.get(name)
            if one is None:
                failed[name] = "somebody has deleted it"
            elif not one.ready and not one.problem:
                wrong_since.pop(name, None)
            elif one.problem and present > wrong_since.setdefault(name, present) + _ERROR_SECONDS:
                failed[name] = one.problem
            if name in failed or (one and one.ready):
                waiting.remove(name)
        if waiting and present > began + _LONGEST_SECONDS:
            what = "it is not ready after an hour: see `kubectl describe volumesnapshot"
            return {**failed, **{name: f"{what} {name}`" for name in waiting}}
        if waiting and present > said_at + _SAY_SECONDS:
            say(f"Waiting for {len(waiting)} of {len(names)} snapshots.")
            said_at = present
        if waiting:
            time.sleep(_LOOK_SECONDS)
    return failed


def prune(api: Kubernetes, claim: str, label: str, keep: int) -> list[str]:
    """Delete a claim's snapshots of one label but for the newest; returns their names.

    Those that are not ready don't count, and none is deleted that somebody else has made.
    """
    if keep < 1:
        raise StorageError(f"--keep {keep} would delete every snapshot; keep 1 or more.")
    mine = [one for one in list_snapshots(api, claim) if one.label == label and one.ready]
    for one in mine[:-keep]:
        api.delete(_path(api, one.name))
    return [one.name for one in mine[:-keep]]


def find_snapshot(api: Kubernetes, claim: str, name: str) -> VolumeSnapshot:
    """By its name, or `latest`.

    Raises:
        StorageError: there is none that is ready.
    """
    ready = [one for one in list_snapshots(api, claim) if one.ready]
    for one in ready[::-1]:
        if name in ("latest", one.name):
            return one
    there = ", ".join(one.name for one in ready[-3:]) or "none"
    raise StorageError(f"{claim} has no snapshot {name} that is ready; the last ones are: {there}.")


def restore(api: Kubernetes, snapshot: VolumeSnapshot, now: datetime) -> str:
    """Make a claim whose volume has what is in a snapshot; returns its name.

    It is that of the claim if there is none of that name any more, else another beside it.

    Raises:
        StorageError: it can't be.
    """
    there = _claim(api, snapshot.claim)
    if not there and not snapshot.was:
        raise StorageError(
            f"{snapshot.claim} is gone, and {snapshot.name} does not note what it was like: only"
            " those do that this agent has made."
        )
    was = _noted(there) if there else snapshot.was
    end = f"-restored-{now:%Y-%m-%dt%H%M%Sz}"
    name = f"{snapshot.claim[: _LONGEST_NAME - len(end)]}{end}" if there else snapshot.claim
    asked = quantity(was["spec"]["resources"]["requests"]["storage"]) or 0
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **({"labels": _MANAGER} if there else was["metadata"])},
        "spec": {
            **was["spec"],
            "resources": {"requests": {"storage": str(max(asked, snapshot.size or 0))}},
            "dataSource": {"apiGroup": GROUP, "kind": "VolumeSnapshot", "name": snapshot.name},
        },
    }
    api.create(api.path("v1", "persistentvolumeclaims"), body)
    return name


def _path(api: Kubernetes, name: str = "") -> str:
    return api.path(f"{GROUP}/v1", "volumesnapshots", name)


def _claim(api: Kubernetes, name: str) -> dict[str, Any] | None:
    try:
        return api.get(api.path("v1", "persistentvolumeclaims", name))
    except KubernetesError as error:
        if error.code == 404:
            return None
        raise


def _explained(error: KubernetesError) -> StorageError:
    return StorageError(_NO_SNAPSHOTS) if error.code == 404 else error
