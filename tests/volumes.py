"""The storage of the fake cluster: claims are bound, grow and are snapshot as by a CSI driver.

What the API server says to a change of a claim is what the real one says (validation of
`PersistentVolumeClaim`, and the admission plugins `PersistentVolumeClaimResize` and
`ResourceQuota`). Settings say how it goes on, see `cluster.Cluster.set`.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelet import rfc3339
from kubestore import ApiError
from podchecks import Problem, quantity

if TYPE_CHECKING:
    from kubernetes import Server
    from kubestore import Key, Object

CLAIMS, CLASSES, SNAPSHOTS = "persistentvolumeclaims", "storageclasses", "volumesnapshots"
STANDARD = "standard"
"""The storage class of claims that name none."""


class Volumes:
    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        for name, can_grow in ((STANDARD, True), ("fixed", False)):
            self.server.store.put(("storageclasses", "", name), storage_class(name, can_grow))
        node = {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {"name": "node", "uid": str(uuid.uuid4())},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.server.store.put(("nodes", "", "node"), node)

    def home(self, namespace: str, claim: str) -> Path:
        """Where what is in a volume is; as `kubelet.Kubelet` has it."""
        return self.folder / "volumes" / namespace / claim

    # -- claims ---------------------------------------------------------------------------------

    def bind(self, key: Key, item: Object) -> Object:
        """A new claim, with its volume, and what that is made from."""
        spec = {"storageClassName": STANDARD, "volumeMode": "Filesystem", **item["spec"]}
        self._within_quota(key, 0, int(quantity(spec["resources"]["requests"]["storage"])))
        if self.server.settings.get("unbound"):
            return {**item, "spec": spec, "status": {"phase": "Pending"}}
        if source := spec.get("dataSource"):
            snapshot = self.server.store.get((SNAPSHOTS, key[1], source["name"]))
            kept = self.folder / "snapshots" / snapshot["metadata"]["uid"]
            if kept.is_dir():
                shutil.copytree(kept, self.home(*key[1:]))
        status = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": self._size(spec),
        }
        volume = f"pvc-{item['metadata']['uid']}"
        return {**item, "spec": {**spec, "volumeName": volume}, "status": status}

    def deleted(self, key: Key) -> None:
        """With `reclaimPolicy: Delete`, what is in its volume goes with a claim."""
        shutil.rmtree(self.home(*key[1:]), ignore_errors=True)

    def check_change(self, before: Object, after: Object) -> Iterator[Problem]:
        """What validation says of a change, with RecoverVolumeExpansionFailure."""
        was, is_now = _asked(before), _asked(after)
        same = {**after["spec"], "resources": before["spec"]["resources"]}
        if same != before["spec"] or before["status"]["phase"] != "Bound" and is_now != was:
            why = "spec is immutable after creation except resources.requests"
            yield Problem(
                "spec", f"Forbidden: {why} and volumeAttributesClassName for bound claims"
            )
        capacity = (before["status"].get("capacity") or {}).get("storage", 0)
        if is_now < was and is_now <= int(quantity(capacity)):
            field = "spec.resources.requests.storage"
            yield Problem(field, "Forbidden: field can not be less than status.capacity")

    def admit_change(self, key: Key, before: Object, after: Object) -> None:
        """What the admission plugins say, which come after validation."""
        was, is_now = _asked(before), _asked(after)
        if is_now <= was:
            return
        forbidden = f'{CLAIMS} "{key[2]}" is forbidden: '
        if before["status"]["phase"] != "Bound":
            text = "Only bound persistent volume claims can be expanded"
            raise ApiError(403, "Forbidden", forbidden + text)
        name = after["spec"].get("storageClassName", "")
        found = self.server.store.objects.get((CLASSES, "", name)) or {}
        if not found.get("allowVolumeExpansion"):
            text = (
                "only dynamically provisioned pvc can be resized and the storageclass that"
                " provisions the pvc must support resize"
            )
            raise ApiError(403, "Forbidden", forbidden + text)
        self._within_quota(key, was, is_now)

    def _within_quota(self, key: Key, was: int, is_now: int) -> None:
        if (most := self.server.settings.get("storage_quota")) is None:
            return
        there = self.server.store.objects.items()
        used = sum(_asked(one) for k, one in there if k[:2] == (CLAIMS, key[1]))
        if used + is_now - was > most:
            text = (
                f"exceeded quota: homes, requested: requests.storage={is_now - was},"
                f" used: requests.storage={used}, limited: requests.storage={most}"
            )
            text = f'{CLAIMS} "{key[2]}" is forbidden: {text}'
            raise ApiError(403, "Forbidden", text)

    def changed(self, key: Key, before: Object, after: Object) -> None:
        """Let a volume grow, as far as the setting `resize` lets it."""
        if _asked(after) > _asked(before):
            self.server.kubelet._background(self._grow(key))

    async def _grow(self, key: Key) -> None:
        how = self.server.settings.get("resize", "online")
        since = {"status": "True", "lastTransitionTime": rfc3339(time.time())}
        await asyncio.sleep(0.2)
        if how == "online":
            self.grown(key)
        elif how == "offline":
            text = "Waiting for user to (re-)start a pod to finish file system resize of volume on"
            pending = {"type": "FileSystemResizePending", "message": f"{text} node."}
            self.server.store.update(key, status={"conditions": [{**pending, **since}]})
        elif how == "infeasible":
            states = {"storage": "ControllerResizeInfeasible"}
            self.server.store.update(key, status={"allocatedResourceStatuses": states})

    def grown(self, key: Key) -> None:
        """The file system has grown; a server that is started does that."""
        spec = self.server.store.get(key)["spec"]
        self.server.store.update(key, status={"capacity": self._size(spec), "conditions": []})

    def _size(self, spec: Object) -> dict[str, str]:
        """Of a volume; the setting `rounds_to` is the least that its storage gives."""
        asked = spec["resources"]["requests"]["storage"]
        if least := self.server.settings.get("rounds_to"):
            asked = str(-(-int(quantity(asked)) // least) * least)
        return {"storage": asked}

    # -- snapshots ------------------------------------------------------------------------------

    def snapshot(self, key: Key, item: Object) -> None:
        self.server.kubelet._background(self._snapshot(key, item))

    async def _snapshot(self, key: Key, item: Object) -> None:
        settings = self.server.settings
        await asyncio.sleep(settings.get("snapshot_delay", 0.1))
        if error := settings.get("snapshot_error"):
            failed = {"message": error, "time": rfc3339(time.time())}
            self.server.store.update(key, status={"readyToUse": False, "error": failed})
            return
        source = item["spec"]["source"]["persistentVolumeClaimName"]
        claim = self.server.store.get((CLAIMS, key[1], source))
        kept = self.folder / "snapshots" / item["metadata"]["uid"]
        if (home := self.home(key[1], source)).is_dir():
            shutil.copytree(home, kept)
        self.server.store.update(
            key,
            status={
                "readyToUse": True,
                "boundVolumeSnapshotContentName": f"snapcontent-{item['metadata']['uid']}",
                "creationTime": rfc3339(time.time()),
                "restoreSize": claim["status"]["capacity"]["storage"],
            },
        )

    # -- kubelet --------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """`/stats/summary`: of running pods, what is in their volumes."""
        pods = []
        for (plural, namespace, _name), pod in self.server.store.objects.items():
            if plural != "pods" or pod["status"].get("phase") != "Running":
                continue
            volumes = []
            for volume in pod["spec"].get("volumes") or []:
                name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
                claim = self.server.store.objects.get((CLAIMS, namespace, name))
                if claim is None:
                    continue
                home = self.home(namespace, name)
                size = quantity((claim["status"].get("capacity") or {}).get("storage", 0))
                size = int(size) if not self.server.settings.get("shared_volume") else 2**43
                size -= size // 50  # for the file system itself
                used = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
                volumes.append(
                    {
                        "time": rfc3339(time.time()),
                        "name": volume["name"],
                        "pvcRef": {"name": name, "namespace": namespace},
                        "capacityBytes": size,
                        "usedBytes": used,
                        "availableBytes": size - used,
                    }
                )
            meta = pod["metadata"]
            ref = {part: meta[part] for part in ("name", "namespace", "uid")}
            pods.append({"podRef": ref, "volume": volumes})
        return {"node": {"nodeName": "node"}, "pods": pods}


def storage_class(name: str, can_grow: bool) -> dict[str, Any]:
    return {
        "kind": "StorageClass",
        "apiVersion": "storage.k8s.io/v1",
        "metadata": {"name": name, "uid": str(uuid.uuid4())},
        "provisioner": "fake.csi.example.org",
        "allowVolumeExpansion": can_grow,
    }


def check_snapshot(body: dict[str, Any]) -> Iterator[Problem]:
    """What the schema of the kind's definition says, of what is used here."""
    unknown = body.keys() - {"apiVersion", "kind", "metadata", "spec"}
    for name in sorted(unknown):
        yield Problem(name, "unknown field")
    spec = body.get("spec") or {}
    for name in sorted(spec.keys() - {"source", "volumeSnapshotClassName"}):
        yield Problem(f"spec.{name}", "unknown field")
    source = spec.get("source") or {}
    if len(source.keys() & {"persistentVolumeClaimName", "volumeSnapshotContentName"}) != 1:
        yield Problem("spec.source", "exactly one of its fields is required")
    if body.get("apiVersion") != "snapshot.storage.k8s.io/v1":
        yield Problem("apiVersion", "is not snapshot.storage.k8s.io/v1")


def _asked(claim: Object) -> int:
    return int(quantity(claim["spec"]["resources"]["requests"]["storage"]))
