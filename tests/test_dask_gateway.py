"""examples/dask-gateway: a real Dask Gateway, whose clusters count under the hub's quotas."""

from __future__ import annotations

import base64
import gc
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from dask_gateway import Gateway, GatewayClusterError, JupyterHubAuth
from hubs import PATIENCE, ROOT, TOKEN, Hub, free_port, wait_for

pytest.importorskip("dask_gateway_server", reason="its proxy comes for Linux on x86-64")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hub,
    # A client that was closed trips over that when it is collected.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <function Gateway.__del__"),
]

LASTS_SECONDS = 15
SIZE = {"worker_cores": 1, "worker_memory": 0.5}


class GatewayServer:
    """`dask-gateway-server` with its proxy, as the example's configuration runs it."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log_file = folder / "gateway.log"

    def start(self, *options: str) -> None:
        config = ROOT / "examples" / "dask-gateway" / "dask_gateway_config.py"
        bin = Path(sys.executable).parent
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(bin / "dask-gateway-server", "-f", config),
                    f"--DaskGateway.address=127.0.0.1:{free_port()}",
                    f"--Proxy.address={self.url.removeprefix('http://')}",
                    *options,
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
                    "HUB_URL": self.hub.base,
                    "HUB_API_URL": f"http://127.0.0.1:{self.hub.settings['hub_port']}/hub/api",
                    "DASK_GATEWAY_TOKEN": TOKEN + "dask",
                },
            )
        wait_for("the gateway", self._is_up)

    def _is_up(self) -> bool:
        """As its users see it, through its proxy."""
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/api/health").is_success
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def connect(self, token: str) -> Gateway:
        return Gateway(self.url, proxy_address=self.url, auth=JupyterHubAuth(token))

    def stop(self, how: int = signal.SIGTERM, alone: bool = False) -> None:
        """With `SIGKILL`, as a machine that fails: what it started ends too, and tells nobody; or
        as a gateway that fails alone."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        for process in [] if alone else below:
            if process.is_running():
                process.kill()


@pytest.fixture
def hub(fresh_hub, monkeypatch) -> Hub:
    monkeypatch.setenv("DASK_GATEWAY_TOKEN", TOKEN + "dask")
    how_to = (ROOT / "docs" / "beside.md").read_text()
    (config,) = (b for b in re.findall(r"```python\n(.*?)```", how_to, re.S) if "dask" in b)
    config += """
c.JupyterHub.load_roles += [
    {"name": "user", "scopes": ["self", "access:services!service=dask-gateway"]},
    {"name": "tokens", "services": ["tests"], "scopes": ["tokens"]},
]
"""
    hub = fresh_hub("reservations", config=config, lasts_seconds=LASTS_SECONDS)
    hub.api("groups/lab", "POST")
    hub.api("users/ada", "POST")
    hub.api("groups/lab/users", "POST", json={"users": ["ada"]})
    hub.limits("lab: {member.cpu: 3, member.servers: 2, server.memory: 1G}")
    return hub


@pytest.fixture(autouse=True)
def collected_here() -> Iterator[None]:
    """A client that nobody closed waits for its own event loop when it is collected: for ever,
    where that happens on this very loop."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def gateway(hub, tmp_path) -> Iterator[GatewayServer]:
    server = GatewayServer(hub, tmp_path)
    try:
        server.start()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def in_use(hub: Hub) -> tuple[int, int, int]:
    """Cores, bytes and servers that the ledger has for the group."""
    use = hub.ledger().group_use().get("lab", {})
    return use.get("cpu", 0) // 1000, use.get("memory", 0), use.get("servers", 0)


def workers(client) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


def test_clusters_count_under_the_quotas_of_the_hub(hub, gateway):
    token = hub.api("users/ada/tokens", "POST").json()["token"]
    half = 2**29
    with gateway.connect(token) as ada:
        cluster = ada.new_cluster(**SIZE)
        assert in_use(hub) == (1, half, 1), "the scheduler"

        cluster.scale(2)
        assert in_use(hub) == (3, 3 * half, 1), "held before they start"
        client = cluster.get_client()
        wait_for("two workers", lambda: workers(client) == 2)
        assert client.submit(sum, [1, 2]).result(timeout=PATIENCE) == 3

        with pytest.raises(GatewayClusterError) as refused:
            cluster.scale(3)
        assert "lab allows each member 3 cores of cpu at once; you have 3 cores in use" in str(
            refused.value
        )
        with pytest.raises(ValueError, match="To get more, ask an admin of this hub"):
            ada.new_cluster(**SIZE)
        with pytest.raises(ValueError, match="ada is not a member of the group 'physics'"):
            ada.new_cluster(**SIZE, group="physics")
        hub.login("ada")
        spawn = hub.api("users/ada/server", "POST")
        assert spawn.status_code == 403, "a server and a cluster share the limits"
        assert "you have 3 cores in use" in spawn.json()["message"]
        assert in_use(hub) == (3, 3 * half, 1)

        # It lives for longer than a reservation that nobody renews.
        held = {s.id for s in hub.ledger().open_sessions()}
        began = {s.seen_at for s in hub.ledger().open_sessions()}
        late = max(began) + 1.5 * LASTS_SECONDS * 10**6
        wait_for(
            "renewals", lambda: all(s.seen_at > late for s in hub.ledger().open_sessions("ada"))
        )
        assert {s.id for s in hub.ledger().open_sessions()} == held

        cluster.scale(1)
        wait_for("one worker less", lambda: in_use(hub) == (2, 2 * half, 1))
        cluster.adapt(minimum=4, maximum=4)
        wait_for("as many workers as fit", lambda: workers(client) == 2)
        assert in_use(hub) == (3, 3 * half, 1)
        assert "gets fewer workers: lab allows each member 3 cores" in gateway.log
        assert gateway.log.count("Created worker") == 3, "two, and one after one was let go"

        client.close()
        cluster.shutdown()
        wait_for("the end", lambda: in_use(hub) == (0, 0, 0))
    assert "Traceback" not in gateway.log


def test_a_gateway_that_was_killed_leaks_nothing(hub, gateway):
    token = hub.api("users/ada/tokens", "POST").json()["token"]
    with gateway.connect(token) as ada:
        cluster = ada.new_cluster(**SIZE)
        cluster.scale(1)
        cluster.close(shutdown=False)
        assert in_use(hub) == (2, 2**30, 1)
    gateway.stop(signal.SIGKILL)
    assert in_use(hub) == (2, 2**30, 1)
    wait_for("nothing to be held", lambda: in_use(hub) == (0, 0, 0))
    assert {s.reason for s in hub.ledger().sessions()} == {"expired"}


def test_clusters_that_outlive_their_gateway_are_held_again(hub, gateway, monkeypatch):
    monkeypatch.setenv("DASK_GATEWAY_ENCRYPT_KEYS", base64.b64encode(bytes(32)).decode())
    gateway.stop()
    remembers = (
        f"--DBBackendBase.db_url=sqlite:///{gateway.folder}/gateway.sqlite",
        "--DBBackendBase.stop_clusters_on_shutdown=False",
    )
    gateway.start(*remembers)
    token = hub.api("users/ada/tokens", "POST").json()["token"]
    with gateway.connect(token) as ada:
        cluster = ada.new_cluster(**SIZE)
        cluster.scale(1)
        client = cluster.get_client()
        wait_for("a worker", lambda: workers(client) == 1)
        client.close()
        cluster.close(shutdown=False)
    before = {s.id for s in hub.ledger().open_sessions()}

    gateway.stop(signal.SIGKILL, alone=True)
    gateway.start(*remembers)
    wait_for("its report", lambda: in_use(hub) == (2, 2**30, 1))
    assert not before & {s.id for s in hub.ledger().open_sessions()}
    with gateway.connect(token) as ada:
        ada.stop_cluster(cluster.name)
        wait_for("the end", lambda: in_use(hub) == (0, 0, 0))
    assert {s.reason for s in hub.ledger().sessions()} == {"released"}
