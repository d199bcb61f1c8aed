"""A Kubernetes API server for KubeSpawner to talk to, whose pods are local processes.

    python tests/kubernetes.py --port 8001 --folder /tmp/cluster

It keeps objects of a few kinds in memory, with what a client relies on: conflicts, selectors,
resource versions, watches that can be missed (410), graceful deletion. It refuses what a real
server refuses (`podchecks.py`) and runs the pods itself (`kubelet.py`). Every namespace exists.
Access control, quotas and scheduling are not there.

`/test/...` is for tests, through `cluster.Cluster`: to see what was sent and to disturb.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import functools
import ipaddress
import itertools
import json
import resource
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import podchecks
from aiohttp import web
from kubelet import Kubelet, rfc3339
from kubestore import ApiError, Key, Object, Store, field_selector, label_selector, merge
from volumes import CLAIMS, SNAPSHOTS, Volumes, check_snapshot

KINDS = {
    "pods": "Pod",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "secrets": "Secret",
    "services": "Service",
    "events": "Event",
    "namespaces": "Namespace",
    "nodes": "Node",
    "storageclasses": "StorageClass",
    "volumesnapshots": "VolumeSnapshot",
}
GROUPS = {
    "storageclasses": "storage.k8s.io/v1",
    "volumesnapshots": "snapshot.storage.k8s.io/v1",
}
PATIENCE = 300
"""Seconds that a watch lasts if it doesn't say."""

# 12 ms of the 13 that a validation takes are for reading the schemas again.
kubernetes_validate.utils.schema_contents = functools.lru_cache(
    kubernetes_validate.utils.schema_contents
)
SCHEMAS = kubernetes_validate.latest_version()


# -- the server -------------------------------------------------------------------------------


class Server:
    def __init__(self, folder: Path, first_address: str) -> None:
        self.store = Store()
        self.kubelet = Kubelet(self, folder, first_address)
        self.settings: dict[str, Any] = {}
        self.volumes = Volumes(self, folder)
        self.asked: dict[str, set[tuple[str, str, str]]] = {}
        self.failures: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.created: dict[str, dict[str, Any]] = {}
        self._event_numbers = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.answer], client_max_size=16 * 2**20)
        one = "/api/v1/namespaces/{namespace}/{plural}"
        snapshots = (
            "/apis/snapshot.storage.k8s.io/v1/namespaces/{namespace}/{plural:volumesnapshots}"
        )
        classes = "/apis/storage.k8s.io/v1/{plural:storageclasses}"
        for path in ("/api/v1/{plural}", one, snapshots, classes):
            app.router.add_get(path, self.list)
            app.router.add_post(path, self.create)
        app.router.add_get("/api/v1/{plural:nodes}/{name}/proxy/stats/summary", self.summary)
        singles = [f"{path}/{{name}}" for path in ("/api/v1/{plural:namespaces}", one)]
        for path in (*singles, f"{snapshots}/{{name}}", f"{classes}/{{name}}"):
            app.router.add_get(path, self.read)
            app.router.add_patch(path, self.patch)
            app.router.add_delete(path, self.delete)
        app.router.add_get("/test/pods", self.test_pods)
        app.router.add_get("/test/rejected", self.test_rejected)
        app.router.add_get("/test/asked", self.test_asked)
        app.router.add_post("/test/settings", self.test_settings)
        app.router.add_post("/test/failures", self.test_failures)
        app.router.add_post("/test/watches", self.test_watches)
        app.router.add_post("/test/pods/{namespace}/{name}/{what}", self.test_pod)
        app.router.add_post("/test/volumes/{namespace}/{name}", self.test_volume)
        app.on_shutdown.append(self.kubelet.shut_down)
        return app

    @web.middleware
    async def answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if not request.path.startswith("/test/"):
                await self._disturb(request)
            return await handler(request)
        except ApiError as error:
            return web.json_response(error.status, status=error.code)

    async def summary(self, request: web.Request) -> web.Response:
        return web.json_response(self.volumes.summary())

    async def _disturb(self, request: web.Request) -> None:
        self._note(request)
        if delay := self.settings.get("delay"):
            await asyncio.sleep(delay)
        plural, verb = request.match_info.get("plural"), verb_of(request)
        if plural == SNAPSHOTS and self.settings.get("no_snapshots"):
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        for failure in self.failures:
            if failure["times"] > 0 and failure["kind"] == plural and failure["verb"] == verb:
                failure["times"] -= 1
                reason = {403: "Forbidden", 409: "Conflict"}.get(failure["status"], "InternalError")
                raise ApiError(failure["status"], reason, "Failed for a test.")

    def _note(self, request: web.Request) -> None:
        """What each program asks, in the words of roles: verb, group and resource."""
        plural = request.match_info.get("plural")
        if plural is None:
            return
        if request.path.endswith("/proxy/stats/summary"):
            plural += "/proxy"
        agent = request.headers.get("User-Agent", "").split("/")[0]
        rule = (verb_of(request), GROUPS.get(plural, "v1").rpartition("/")[0], plural)
        self.asked.setdefault(agent, set()).add(rule)

    # -- Kubernetes ---------------------------------------------------------------------------

    def key(self, request: web.Request, name: str | None = None) -> Key:
        plural = request.match_info["plural"]
        if plural not in KINDS:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        namespace = request.match_info.get("namespace", "")
        return plural, namespace, request.match_info.get("name", "") if name is None else name

    async def create(self, request: web.Request) -> web.Response:
        sent = await request.json()
        key = self.key(request, (sent.get("metadata") or {}).get("name", ""))
        if key in self.store.objects:
            raise ApiError(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists', name=key[2])
        item = self.admit(key, sent)
        now = time.time()
        item["metadata"] = {
            **item["metadata"],
            **({"namespace": key[1]} if key[1] else {}),
            "uid": str(uuid.uuid4()),
            "creationTimestamp": rfc3339(now),
        }
        if key[0] == "pods":
            item["status"] = {"phase": "Pending"}
            self.created[item["metadata"]["uid"]] = {
                "namespace": key[1],
                "name": key[2],
                "uid": item["metadata"]["uid"],
                "received": sent,
                "spec": item["spec"],
                **dict.fromkeys(("address", "pid", "started", "ended", "exit_code")),
                "created": now,
            }
        elif key[0] == "persistentvolumeclaims":
            item = self.volumes.bind(key, item)
        item = self.store.put(key, item)
        if key[0] == SNAPSHOTS:
            self.volumes.snapshot(key, item)
        if key[0] == "pods":
            self.kubelet.run(key, item)
        return web.json_response(item, status=201)

    def admit(self, key: Key, sent: Object) -> Object:
        """What is stored of what was sent; 422 where something is wrong with it."""
        wrong: list[podchecks.Problem] = []
        if key[0] == SNAPSHOTS:  # of which there is no published schema
            wrong = [*check_snapshot(sent)]
        try:
            if key[0] != SNAPSHOTS:
                kubernetes_validate.validate(sent, SCHEMAS, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as e:
            path = ".".join(str(part) for part in getattr(e, "path", ()))
            wrong.append(podchecks.Problem(path, e.message))
        except KeyError as missing:
            wrong.append(podchecks.Problem(str(missing), "is required"))
        if not wrong:
            item = copy.deepcopy(sent)
            if key[0] == "pods":
                made = (self.settings.get(name) for name in ("limit_range", "memory_limit"))
                item = podchecks.with_defaults(item, *made)
            wrong = podchecks.check(item)
        if wrong:
            raise self._invalid(key, sent, wrong)
        return item

    def _invalid(self, key: Key, sent: Object, wrong: list[podchecks.Problem]) -> ApiError:
        problems = [str(problem) for problem in wrong]
        self.rejected.append({"namespace": key[1], "sent": sent, "problems": problems})
        return ApiError(
            422,
            "Invalid",
            f'{KINDS[key[0]]} "{key[2]}" is invalid: ' + "; ".join(problems),
            name=key[2],
            kind=KINDS[key[0]],
            causes=[
                {"reason": "FieldValueInvalid", "message": p.why, "field": p.field} for p in wrong
            ],
        )

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.store.get(self.key(request)))

    async def patch(self, request: web.Request) -> web.Response:
        """A merge patch; a pod's spec stays as it is."""
        key, change = self.key(request), await request.json()
        before = self.store.get(key)
        if not isinstance(change, dict):
            raise ApiError(415, "UnsupportedMediaType", "Only merge patches are supported.")
        version = (change.get("metadata") or {}).get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            text = (
                f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has been'
                " modified; please apply your changes to the latest version and try again"
            )
            raise ApiError(409, "Conflict", text, name=key[2], kind=key[0])
        item = merge(before, change)
        if "status" in before:  # which has an address of its own
            item["status"] = before["status"]
        wrong = podchecks.check(item)
        if key[0] == CLAIMS and not wrong:
            wrong += self.volumes.check_change(before, item)
        if key[0] == "pods" and item["spec"] != before["spec"]:
            wrong.append(podchecks.Problem("spec", "pod updates may not change fields"))
        if wrong:
            raise self._invalid(key, change, wrong)
        if key[0] == CLAIMS:
            self.volumes.admit_change(key, before, item)
        item = self.store.put(key, item)
        if key[0] == CLAIMS:
            self.volumes.changed(key, before, item)
        return web.json_response(item)

    async def delete(self, request: web.Request) -> web.Response:
        key = self.key(request)
        item = self.store.get(key)
        if key[0] == "pods":
            options = await request.json() if request.can_read_body else {}
            grace = request.query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
            if grace is None:
                grace = item["spec"].get("terminationGracePeriodSeconds", 30)
            return web.json_response(self.kubelet.delete(key, item, int(grace)))
        item = self.store.delete(key)
        if key[0] == CLAIMS:
            self.volumes.deleted(key)
        if key[0] == "secrets":  # the one kind of these whose delete says no more than that
            return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        return web.json_response(item)

    async def list(self, request: web.Request) -> web.StreamResponse:
        plural, namespace, _ = self.key(request)
        by_label = label_selector(request.query.get("labelSelector", ""))
        by_field = field_selector(request.query.get("fieldSelector", ""))

        def matches(key: Key, item: Object | None) -> bool:
            return (
                item is not None
                and key[0] == plural
                and namespace in ("", key[1])
                and by_label(item)
                and by_field(item)
            )

        found = [item for key, item in self.store.objects.items() if matches(key, item)]
        if request.query.get("watch", "").lower() in ("true", "1"):
            return await self.watch(request, matches, found)
        start, limit = request.query.get("continue", ""), int(request.query.get("limit") or 0)
        found.sort(key=_full_name)
        after = [item for item in found if not start or _full_name(item) > start]
        page = after[:limit] if limit else after
        meta = {"resourceVersion": str(self.store.version)}
        if len(page) < len(after):
            meta["continue"] = _full_name(page[-1])
        return web.json_response(
            {
                "kind": f"{KINDS[plural]}List",
                "apiVersion": GROUPS.get(plural, "v1"),
                "metadata": meta,
                "items": page,
            }
        )

    async def watch(
        self, request: web.Request, matches: Callable[..., bool], found: list[Object]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        end = time.monotonic() + float(request.query.get("timeoutSeconds", PATIENCE))
        seen = int(request.query.get("resourceVersion") or 0)
        generation = self.store.generation
        lines = []
        if not seen:
            lines = [("ADDED", item) for item in found]
            seen = self.store.version
        namespace = request.match_info.get("namespace", "")
        self.store.watching[namespace] += 1
        try:
            while True:
                if generation != self.store.generation:
                    if self.store.dropped == "connection":
                        request.transport.abort()
                        return response
                    seen = -1
                changed = self.store.changed
                for change in self.store.since(seen):
                    now_in = change.type != "DELETED" and matches(change.key, change.object)
                    was_in = matches(change.key, change.before)
                    if now_in or was_in:
                        type = ("MODIFIED" if was_in else "ADDED") if now_in else "DELETED"
                        lines.append((type, change.object))
                    seen = change.version
                await self._send(response, lines)
                lines = []
                await asyncio.wait_for(changed.wait(), max(0.0, end - time.monotonic()))
        except asyncio.TimeoutError:
            pass
        except ApiError as error:
            await self._send(response, [("ERROR", error.status)])
        except ConnectionError:  # the hub is gone
            pass
        finally:
            self.store.watching[namespace] -= 1
        return response

    async def _send(self, response: web.StreamResponse, lines: list[tuple[str, Object]]) -> None:
        if lines:
            text = [json.dumps({"type": type, "object": item}) + "\n" for type, item in lines]
            await response.write("".join(text).encode())

    def event(self, pod: Object, reason: str, message: str, type: str = "Normal") -> None:
        """Record a Kubernetes event about a pod."""
        meta, now = pod["metadata"], rfc3339(time.time())
        name = f"{meta['name']}.{next(self._event_numbers):016x}"
        self.store.put(
            ("events", meta["namespace"], name),
            {
                "kind": "Event",
                "apiVersion": "v1",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "uid": str(uuid.uuid4()),
                    "creationTimestamp": now,
                },
                "involvedObject": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    **{part: meta[part] for part in ("name", "namespace", "uid")},
                },
                "reason": reason,
                "message": message,
                "type": type,
                "source": {"component": "kubelet", "host": "node"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "eventTime": None,
                "count": 1,
            },
        )

    # -- for tests ----------------------------------------------------------------------------

    async def test_pods(self, request: web.Request) -> web.Response:
        """All pods that there ever were; times are Unix seconds."""
        return web.json_response(list(self.created.values()))

    async def test_rejected(self, request: web.Request) -> web.Response:
        return web.json_response(self.rejected)

    async def test_asked(self, request: web.Request) -> web.Response:
        return web.json_response({agent: sorted(rules) for agent, rules in self.asked.items()})

    async def test_volume(self, request: web.Request) -> web.Response:
        self.volumes.grown((CLAIMS, request.match_info["namespace"], request.match_info["name"]))
        return web.json_response({})

    async def test_settings(self, request: web.Request) -> web.Response:
        self.settings = await request.json()
        return web.json_response(self.settings)

    async def test_failures(self, request: web.Request) -> web.Response:
        self.failures.append(await request.json())
        return web.json_response(self.failures)

    async def test_watches(self, request: web.Request) -> web.Response:
        ended = dict(self.store.watching)
        self.store.end_watches(**await request.json())
        return web.json_response(ended)

    async def test_pod(self, request: web.Request) -> web.Response:
        what = {"kill": self.kubelet.kill, "evict": self.kubelet.evict}[request.match_info["what"]]
        what(("pods", request.match_info["namespace"], request.match_info["name"]))
        return web.json_response({})


def _full_name(item: Object) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def verb_of(request: web.Request) -> str:
    """As access control names it: get, list, watch, create, patch or delete."""
    if request.method != "GET":
        return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[request.method]
    if "name" in request.match_info:
        return "get"
    return "watch" if "watch" in request.query else "list"


def first_address(port: int) -> ipaddress.IPv4Address:
    """Of the pods of the cluster at this port: 512 that no other cluster of this machine has.

    A pod whose address another has would answer for it: the hub sees a server that is up, and the
    one that it has started ends, for its port is taken.
    """
    return ipaddress.IPv4Address("127.0.0.0") + 512 * (port % 2**15) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for volumes and logs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # A pod without a process of its own is a listening socket.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    first = str(first_address(options.port))

    async def app() -> web.Application:
        return Server(options.folder, first).app()

    web.run_app(app(), host="127.0.0.1", port=options.port, shutdown_timeout=0.1, print=None)


if __name__ == "__main__":
    main()
