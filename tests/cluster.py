"""The fake Kubernetes cluster as tests see it: started, looked into, disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml
from hubs import HERE, PATIENCE, Hub, free_port, wait_for


class Cluster:
    """`kubernetes.py` in a process of its own, which lives on when hubs are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        name = "fake"
        entry = {
            "cluster": {"server": self.url},
            "user": {},
            "context": {"cluster": name, "user": name, "namespace": "default"},
        }
        config = {"apiVersion": "v1", "kind": "Config", "current-context": name}
        config |= {f"{what}s": [{"name": name, what: value}] for what, value in entry.items()}
        self.kubeconfig.write_text(yaml.safe_dump(config))
        command = [sys.executable, str(HERE / "kubernetes.py")]
        with open(self.folder / "cluster.log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--folder", str(self.folder / "pods")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the cluster", self._up)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return self.get("api/v1/pods").is_success
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        return (self.folder / "cluster.log").read_text()

    def stop(self) -> None:
        """With all its pods."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(PATIENCE)

    @property
    def hub_settings(self) -> dict[str, str]:
        return {"kubeconfig": str(self.kubeconfig)}

    def get(self, path: str, **query: Any) -> httpx.Response:
        return httpx.get(f"{self.url}/{path}", params=query, timeout=PATIENCE)

    def post(self, path: str, **body: Any) -> Any:
        response = httpx.post(f"{self.url}/{path}", json=body, timeout=PATIENCE)
        response.raise_for_status()
        return response.json()

    # -- to see -------------------------------------------------------------------------------

    def created(self, hub: Hub) -> list[dict[str, Any]]:
        """All pods that this hub ever created, oldest first.

        Each with what was `received`, the `spec` that was stored, and of its process `pid`,
        `started` and `ended` (Unix seconds) and `exit_code`.
        """
        return [p for p in self.get("test/pods").json() if p["namespace"] == namespace_of(hub)]

    def listed(self, hub: Hub, plural: str = "pods") -> dict[str, dict[str, Any]]:
        """What is there now, by name."""
        path = f"api/v1/namespaces/{namespace_of(hub)}/{plural}"
        return {item["metadata"]["name"]: item for item in self.get(path).json()["items"]}

    def rejected(self, hub: Hub) -> list[dict[str, Any]]:
        """Everything invalid that this hub ever sent, with its `problems`."""
        found = self.get("test/rejected").json()
        return [one for one in found if one["namespace"] == namespace_of(hub)]

    def asked(self, program: str) -> set[tuple[str, str, str]]:
        """What a program has asked, in the words of roles: verb, group and resource."""
        return {tuple(rule) for rule in self.get("test/asked").json().get(program, [])}

    # -- to disturb ---------------------------------------------------------------------------

    def set(self, **settings: Any) -> None:
        """Replace all settings.

        `stub`: pods have no process; `delay`: seconds that every answer takes; `start_delay`:
        seconds until a pod's image is there, and again until it starts; `restarts`: seconds after
        which a container that failed is restarted; `limit_range`: `{"default": {...},
        "defaultRequest": {...}}`; `memory_limit`: what the memory limit of every pod is changed to.

        Of volumes (`volumes.py`): `unbound`: new claims stay without one; `resize`: how they grow,
        `online`, `offline` (see `grow`), `stuck` or `infeasible`; `storage_quota`: bytes of all
        claims of a namespace; `rounds_to`: bytes of which volumes are multiples; `shared_volume`:
        kubelets tell of the file system of all; `snapshot_delay`, `snapshot_error`;
        `no_snapshots`: there is no such kind.
        """
        self.post("test/settings", **settings)

    def fail(self, verb: str, kind: str, status: int = 500, times: int = 1) -> None:
        """Answer the next requests with an error, e.g. `fail("create", "pods", 403)`."""
        self.post("test/failures", verb=verb, kind=kind, status=status, times=times)

    def end_watches(self, hub: Hub, gone: bool = True) -> int:
        """With 410 Gone, and older resource versions gone; or by cutting the connections.

        Those of all hubs; returns how many this hub had. It has none while it looks again by
        itself, every ten seconds.
        """
        return self.post("test/watches", gone=gone).get(namespace_of(hub), 0)

    def grow(self, namespace: str, claim: str) -> None:
        """A volume that waits for it gets a larger file system."""
        self.post(f"test/volumes/{namespace}/{claim}")

    def kill(self, hub: Hub, pod: str) -> None:
        """SIGKILL to the pod's process."""
        self.post(f"test/pods/{namespace_of(hub)}/{pod}/kill")

    def evict(self, hub: Hub, pod: str) -> None:
        """As a node does that is short of memory."""
        self.post(f"test/pods/{namespace_of(hub)}/{pod}/evict")


def namespace_of(hub: Hub) -> str:
    """Each hub has one of its own, as `worlds/kube.py` sets it."""
    return f"hub-{hub.settings['hub_port']}"
