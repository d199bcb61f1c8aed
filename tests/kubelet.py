"""The node of the fake cluster: each pod is a local process on an address of its own.

A real kubelet restarts a container that failed, since KubeSpawner's pods say `restartPolicy:
OnFailure`. This one does so with the setting `restarts` (seconds until then; with 0 it has done so
before it reports the next time); without it, the pod has failed for good, as when its node gave it
up.

The process is the command of the container `notebook`, with that container's environment, on the
pod's own loopback address. Other containers are in the pod's status only. A pod whose image is
`stub`, or any with the setting of that name, is no process but a listening socket of this one, so
that thousands cost little.

Processes stay in this process's group: who kills the group ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from kubernetes import Server
    from kubestore import Key, Object

STUB = "stub"
"""The image of a pod that needs no process."""
COULD_NOT_START = 128
DIGEST = f"sha256:{128:064x}"
"""Of every image."""


def rfc3339(seconds: float) -> str:
    """UTC, whole seconds, as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class NotStarted:
    """Stands in for a process whose command can't be run."""

    pid = None

    async def wait(self) -> int:
        return COULD_NOT_START

    def send_signal(self, _number: int) -> None:
        raise ProcessLookupError


class Stub:
    """Stands in for a process: answers every request with an empty page."""

    pid = None

    async def start(self, address: str, port: int) -> Stub:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self._answer, address, port, backlog=16)
        return self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def wait(self) -> int:
        return await self.ended

    def send_signal(self, number: int) -> None:
        if not self.ended.done():
            self.server.close()
            self.ended.set_result(-number)


class Kubelet:
    def __init__(self, server: Server, folder: Path, first_address: str) -> None:
        self.server, self.folder = server, folder
        self.next_address = ipaddress.ip_address(first_address)
        self.processes: dict[str, Any] = {}  # by the pod's uid
        self.evicted: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    # -- life of a pod ------------------------------------------------------------------------

    def run(self, key: Key, pod: Object) -> None:
        self._background(self._run(key, pod))

    async def _run(self, key: Key, pod: Object) -> None:
        tell, settings = self.server.event, self.server.settings
        address, self.next_address = str(self.next_address), self.next_address + 1
        tell(pod, "Scheduled", f"Successfully assigned {key[1]}/{key[2]} to node")
        await asyncio.sleep(settings.get("start_delay", 0))
        for container in pod["spec"]["containers"]:
            image, name = container["image"], container["name"]
            tell(pod, "Pulled", f'Container image "{image}" already present on machine')
            tell(pod, "Created", f"Container created: {name}")
        await asyncio.sleep(settings.get("start_delay", 0))
        uid, notebook = pod["metadata"]["uid"], _notebook(pod)["name"]
        told = self.server.created[uid]
        restarts, last = 0, {}
        while self._is_wanted(key, pod):
            try:
                process = await self._start(pod, address)
            except OSError as error:
                tell(pod, "Failed", f"Error: {error}", type="Warning")
                process = NotStarted()
            started = time.time()
            self.processes[uid] = process
            told.update(address=address, pid=process.pid, started=started)
            if not self._is_wanted(key, pod):  # deleted while it was starting
                _signal(process, signal.SIGKILL)
            tell(pod, "Started", f"Container started: {notebook}")
            running = {"running": {"startedAt": rfc3339(started)}}
            self._status(key, pod, "Running", address, running, last, restarts)

            code = await process.wait()
            ended = time.time()
            del self.processes[uid]
            exit_code = 128 - code if code < 0 else code
            told.update(ended=ended, exit_code=exit_code)
            if uid in self.evicted:
                return
            last = {
                "terminated": {
                    "exitCode": exit_code,
                    "reason": "Error" if exit_code else "Completed",
                    "startedAt": rfc3339(started),
                    "finishedAt": rfc3339(ended),
                }
            }
            again = settings.get("restarts")
            if again is None or not exit_code or not self._is_wanted(key, pod):
                phase = "Failed" if exit_code else "Succeeded"
                self._status(key, pod, phase, address, last, {}, restarts)
                return
            if again:
                self._status(key, pod, "Running", address, last, {}, restarts)
                await asyncio.sleep(again)
            restarts += 1

    async def _start(self, pod: Object, address: str) -> Any:
        container = _notebook(pod)
        port = next((p["containerPort"] for p in container.get("ports") or []), 8888)
        if container["image"] == STUB or self.server.settings.get("stub"):
            return await Stub().start(address, port)
        command = [*container.get("command", []), *container.get("args", [])]
        home = self._volume(pod)
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            **{one["name"]: one.get("value", "") for one in container.get("env") or []},
        }
        # A pod has all addresses to itself; here it has one of them.
        if url := environment.get("JUPYTERHUB_SERVICE_URL"):
            host = urlsplit(url).netloc
            environment["JUPYTERHUB_SERVICE_URL"] = url.replace(host, f"{address}:{port}", 1)
        log = os.open(home / "server.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        try:
            return await asyncio.create_subprocess_exec(
                *(command or ["jupyterhub-singleuser"]),
                cwd=home,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        finally:
            os.close(log)

    def _volume(self, pod: Object) -> Path:
        """The folder of the pod's first claim, else one that only this pod has."""
        claims = (
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"].get("volumes") or []
            if "persistentVolumeClaim" in volume
        )
        meta = pod["metadata"]
        folder = self.folder / "volumes" / meta["namespace"] / next(claims, meta["uid"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _is_wanted(self, key: Key, pod: Object) -> bool:
        there = self.server.store.objects.get(key)
        same = there is not None and there["metadata"]["uid"] == pod["metadata"]["uid"]
        return same and "deletionTimestamp" not in there["metadata"]

    def _status(
        self,
        key: Key,
        pod: Object,
        phase: str,
        address: str,
        state: Object,
        last: Object,
        restarts: int,
    ) -> None:
        there = self.server.store.objects.get(key)
        if there is None or there["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        running = "running" in state
        now, ready = rfc3339(time.time()), "True" if running else "False"
        conditions = {"PodScheduled": "True", "Initialized": "True"}
        conditions.update({"ContainersReady": ready, "Ready": ready})
        self.server.store.update(
            key,
            status={
                "phase": phase,
                "hostIP": "127.0.0.1",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "startTime": there["metadata"]["creationTimestamp"],
                "conditions": [
                    {"type": type, "status": status, "lastTransitionTime": now}
                    for type, status in conditions.items()
                ],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": f"local/{container['image']}@{DIGEST}",
                        "containerID": f"local://{pod['metadata']['uid']}/{container['name']}",
                        "ready": running,
                        "started": running,
                        "restartCount": restarts,
                        "state": state,
                        "lastState": last,
                    }
                    for container in pod["spec"]["containers"]
                ],
            },
        )

    # -- end of a pod -------------------------------------------------------------------------

    def delete(self, key: Key, pod: Object, grace: int) -> Object:
        """Ask the process to end, and forget the pod when it has, at once without grace."""
        process = self.processes.get(pod["metadata"]["uid"])
        if grace == 0 or process is None:
            if process:
                _signal(process, signal.SIGKILL)
            return self.server.store.delete(key)
        if pod["metadata"].get("deletionGracePeriodSeconds", grace + 1) <= grace:
            return pod  # it can only be made shorter
        deadline = {
            "deletionTimestamp": rfc3339(time.time() + grace),
            "deletionGracePeriodSeconds": grace,
        }
        deleting = self.server.store.update(key, metadata=deadline)
        self.server.event(pod, "Killing", f"Stopping container {_notebook(pod)['name']}")
        self._background(self._end(key, pod, process, grace))
        return deleting

    async def _end(self, key: Key, pod: Object, process: Any, grace: int) -> None:
        uid = pod["metadata"]["uid"]
        _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while uid in self.processes:
            if time.monotonic() > deadline:
                _signal(process, signal.SIGKILL)
            await asyncio.sleep(0.02)
        there = self.server.store.objects.get(key)
        if there is not None and there["metadata"]["uid"] == uid:
            self.server.store.delete(key)

    def kill(self, key: Key) -> None:
        """The process ends as if memory had run out; the pod stays, terminated."""
        uid = self.server.store.get(key)["metadata"]["uid"]
        _signal(self.processes[uid], signal.SIGKILL)

    def evict(self, key: Key) -> None:
        """As a node short of memory does: the pod stays, failed, and says nothing of containers."""
        pod = self.server.store.get(key)
        uid = pod["metadata"]["uid"]
        self.evicted.add(uid)
        if uid in self.processes:
            _signal(self.processes[uid], signal.SIGKILL)
        message = "The node was low on resource: memory."
        self.server.event(pod, "Evicted", message, type="Warning")
        status = {"phase": "Failed", "reason": "Evicted", "message": message}
        self.server.store.put(key, {**pod, "status": status})

    async def shut_down(self, _app: Any) -> None:
        for task in self.tasks:
            task.cancel()
        for process in self.processes.values():
            _signal(process, signal.SIGKILL)

    def _background(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            print("kubelet:", repr(task.exception()), file=sys.stderr, flush=True)


def _notebook(pod: Object) -> Object:
    """The container that is run."""
    containers = pod["spec"]["containers"]
    return next((c for c in containers if c["name"] == "notebook"), containers[0])


def _signal(process: Any, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
