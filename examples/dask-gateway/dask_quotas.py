"""Dask clusters under the hub's quotas: a mixin over a Dask Gateway backend.

Each scheduler and each worker is held on the hub's ledger before it starts, is renewed while its
cluster lives, and is released when it has stopped. For the backends whose gateway starts the
workers itself (local processes, job queues, YARN); on Kubernetes a controller of its own does.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from dask_gateway_server.backends.base import Backend, PublicException
from dask_gateway_server.backends.local import LocalBackend, UnsafeLocalBackend
from dask_gateway_server.models import ClusterStatus
from traitlets import Unicode, default

LOOK_SECONDS = 1
ATTEMPTS = 3
REQUEST_SECONDS = 15
ALIVE = [ClusterStatus.PENDING, ClusterStatus.RUNNING, ClusterStatus.STOPPING]


class Refused(PublicException):
    """In the hub's own words; Dask Gateway tells the user."""


class Lost(Exception):
    """The hub knows nothing of this reservation any more."""


class Reservations:
    """The hub's `POST /services/quotas/api/reservations`, and what follows it."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/services/quotas/api/reservations"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"token {token}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )

    async def close(self) -> None:
        await self._session.close()

    async def _ask(self, method: str, path: str = "", body: object = None) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                async with self._session.request(method, self._url + path, json=body) as answer:
                    if answer.status < 500:  # else the hub is about to come back, perhaps
                        return await self._read(answer)
            except (aiohttp.ClientConnectionError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(2**attempt / 2)
        raise Refused("Quotas can't be checked at the moment. Try again in a minute.")

    async def _read(self, answer: aiohttp.ClientResponse) -> Any:
        content = await answer.json() if answer.content_type.endswith("json") else {}
        if answer.status in (400, 403):
            raise Refused(content["detail"])
        if answer.status == 404:
            raise Lost(answer.url)
        answer.raise_for_status()
        return content

    async def hold(self, **what: Any) -> dict[str, Any]:
        """The id is ours, so that asking again after a lost answer holds nothing twice."""
        return await self._ask("POST", "", {"id": uuid.uuid4().hex, **what})

    async def renew(self, id: str) -> None:
        await self._ask("PUT", f"/{id}")

    async def release(self, id: str) -> None:
        await self._ask("DELETE", f"/{id}")

    async def all(self) -> list[dict[str, Any]]:
        return (await self._ask("GET"))["reservations"]


@dataclass
class Places:
    """What is held for one cluster.

    Attributes:
        config: the cluster's sizes.
        group: which is charged; the first answer of the hub says it, if the user did not.
        scheduler, workers: ids of reservations.
        wanted: as many workers as the user was promised, until the scheduler asks for them.
        lasts: seconds for which a renewal is good.
        renewed: when that was, by the monotonic clock.
    """

    user: str
    group: str
    config: Any
    scheduler: str = ""
    workers: list[str] = field(default_factory=list)
    wanted: int = 0
    lasts: float = 0
    renewed: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class QuotaMixin(Backend):
    """Put before a backend class: `class Mine(QuotaMixin, PBSBackend)`."""

    hub_url = Unicode(help="The address of the hub, with its base URL.", config=True)
    hub_token = Unicode(
        help="A token of the hub with the scope custom:quotas:reserve. For this gateway alone.",
        config=True,
    )

    @default("hub_token")
    def _default_hub_token(self) -> str:
        return os.environ["JUPYTERHUB_API_TOKEN"]

    async def setup(self, app: Any) -> None:
        await super().setup(app)
        self.reservations = Reservations(self.hub_url, self.hub_token)
        self.places: dict[str, Places] = {}
        # Of a gateway that was killed. Clusters that outlived it are held again as they report.
        for left in await self.reservations.all():
            await self._release(left["id"])
        self._keeper = asyncio.ensure_future(self._keep())

    async def cleanup(self) -> None:
        if hasattr(self, "_keeper"):
            self._keeper.cancel()
        await super().cleanup()
        if hasattr(self, "reservations"):
            await self._look()
            await self.reservations.close()

    # -- what a user asks for ----------------------------------------------------------------

    async def start_cluster(self, user: Any, cluster_options: dict[str, Any]) -> str:
        options, config = await self.process_cluster_options(user, cluster_options)
        places = Places(user.name, options.get("group") or "", config)
        await self._fill(places, 0)
        try:
            name = await super().start_cluster(user, cluster_options)
        except BaseException:
            await self._let_go(places)
            raise
        self.places[name] = places
        return name

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """A number of workers is promised as a whole, or refused."""
        places = self._places(cluster)
        async with places.lock:
            places.wanted = 0
            if msg["op"] == "scale":
                before = len(places.workers)
                try:
                    await self._fill(places, msg["count"])
                except Refused:
                    await self._shrink(places, before)
                    raise
                places.wanted = msg["count"]
        await super().forward_message_to_scheduler(cluster, msg)

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """A scheduler says how many workers it wants; it gets as many as are held for it."""
        cluster = await self.get_cluster(cluster_name)
        if cluster is not None and cluster.status in ALIVE:
            places = self._places(cluster)
            async with places.lock:
                if msg["count"] == places.wanted:
                    places.wanted = 0
                there = len(msg["active_workers"]) + len(msg["closing_workers"])
                needed = max(msg["count"], there, places.wanted)
                try:
                    await self._fill(places, needed)
                except Refused as refused:
                    self.log.warning("Cluster %s gets fewer workers: %s", cluster_name, refused)
                await self._shrink(places, needed)
                msg = {**msg, "count": min(msg["count"], len(places.workers))}
        await super().on_cluster_heartbeat(cluster_name, msg)

    # -- what is held ------------------------------------------------------------------------

    def _places(self, cluster: Any) -> Places:
        if cluster.name not in self.places:  # it outlived a gateway
            group = cluster.options.get("group") or ""
            self.places[cluster.name] = Places(cluster.username, group, cluster.config)
        return self.places[cluster.name]

    async def _fill(self, places: Places, workers: int) -> None:
        """Hold a scheduler and that many workers. Raises Refused where they don't all fit."""
        config = places.config
        if not places.scheduler:
            cores, memory = config.scheduler_cores, config.scheduler_memory
            places.scheduler = await self._hold(places, "dask-scheduler", cores, memory, servers=1)
        while len(places.workers) < workers:
            cores, memory = config.worker_cores, config.worker_memory
            # A cluster counts as one server, however many workers it has.
            id = await self._hold(places, "dask-worker", cores, memory, servers=0)
            places.workers.append(id)

    async def _hold(
        self, places: Places, name: str, cores: float, memory: int, servers: int
    ) -> str:
        held = await self.reservations.hold(
            user=places.user,
            group=places.group,
            name=name,
            limits={"cpu": cores, "memory": memory, "servers": servers},
        )
        places.group, places.lasts = held["group"], held["lasts_seconds"]
        return held["id"]

    async def _shrink(self, places: Places, workers: int) -> None:
        while len(places.workers) > workers:
            await self._release(places.workers.pop())

    async def _let_go(self, places: Places) -> None:
        await self._shrink(places, 0)
        if places.scheduler:
            await self._release(places.scheduler)
            places.scheduler = ""

    async def _release(self, id: str) -> None:
        try:
            await self.reservations.release(id)
        except Lost:
            pass
        except Exception:
            self.log.warning("Not released, and so ends by itself: %s", id, exc_info=True)

    # -- as time goes on ---------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception:
                self.log.warning("Reservations not renewed, trying again", exc_info=True)

    async def _look(self) -> None:
        """Let go of clusters that have ended, and renew the others in time."""
        alive = {cluster.name for cluster in await self.list_clusters(statuses=ALIVE)}
        for name, places in list(self.places.items()):
            async with places.lock:
                if name not in alive:
                    await self._let_go(places)
                    del self.places[name]
                elif time.monotonic() - places.renewed > places.lasts / 3:
                    await self._renew(places)

    async def _renew(self, places: Places) -> None:
        """What was lost meanwhile is held again as the cluster reports."""
        places.renewed = time.monotonic()
        if places.scheduler and not await self._still(places.scheduler):
            places.scheduler = ""
        places.workers = [id for id in places.workers if await self._still(id)]

    async def _still(self, id: str) -> bool:
        try:
            await self.reservations.renew(id)
        except Lost:
            return False
        return True


class QuotaLocalBackend(QuotaMixin, LocalBackend):
    """Clusters are processes of the user on this machine."""


class QuotaUnsafeLocalBackend(QuotaMixin, UnsafeLocalBackend):
    """For trying out: clusters are processes of the gateway's own user."""
