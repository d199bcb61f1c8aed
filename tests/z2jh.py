"""Zero to JupyterHub's hub image and the pods of its chart, as far as they go on one machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster, namespace_of
from hubs import HERE, ROOT, Hub, free_port, make_venv, wait_for

DATA = ROOT.parent / "shared" / "data" / "z2jh"
"""What the chart publishes: the schema of its values, and what its hub image freezes."""
EXAMPLE = ROOT / "examples" / "z2jh"
INSTALL = HERE / "install"
PREFIX = "usr/local"
"""Of the image's Python, below its root."""
PODS = {
    "PATH": f"/{PREFIX}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/home/jovyan",
    "LC_ALL": "C.UTF-8",
}
"""The environment that each container of the image has."""


class NoImage(RuntimeError):
    """It can't be had here; the message says why."""


def read_values(*files: Path) -> dict[str, Any]:
    """As Helm puts them together: objects are merged, all else is replaced."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _over(merged, yaml.safe_load(file.read_text()))
    return merged


def _over(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{name: _over(below.get(name), value) for name, value in above.items()}}


@contextmanager
def open_image(folder: Path) -> Iterator[Path]:
    """The root of a new one, with our packages; a minute or two.

    It is in memory, a gigabyte: so many small files take a minute to be removed from a disk.

    Raises:
        NoImage
    """
    if not DATA.exists():
        raise NoImage("what the hub image of Zero to JupyterHub freezes is not here")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoImage("only root on Debian makes a system in a folder")
    if not shutil.which("debootstrap"):
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"]
        for command in (["apt-get", "update", "--quiet"], [*install, "debootstrap"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, check=True, capture_output=True, env=environment)
    image = folder / "image"
    image.mkdir()
    memory = ["mount", "-t", "tmpfs", "-o", "size=2G,mode=755", "tmpfs", image]
    subprocess.run(memory, check=True)
    try:
        _fill(image, folder)
        yield image
    finally:
        subprocess.run(["umount", "--lazy", image], check=True)


def _fill(image: Path, folder: Path) -> None:
    python = make_venv(folder / "builder", "pip")  # where uv has made ours, there is none
    wheel = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*wheel, ROOT], check=True)
    requirements = DATA / "hub-image-requirements.txt"
    with open(folder / "image.log", "wb") as log:
        done = subprocess.run(
            [INSTALL / "z2jh.sh", image, requirements, next(folder.glob("*.whl"))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    assert done.returncode == 0, (folder / "image.log").read_text()[-3000:]


def in_image(image: Path, volume: Path, *command: str) -> list[str]:
    """The command line of one that runs there as the chart's container does."""
    return [str(part) for part in (INSTALL / "z2jh-run.sh", image, volume, *command)]


class ChartHub(Hub):
    """The hub's pod with its volume, and the proxy's, which finds the hub by its name alone."""

    def __init__(self, image: Path, volume: Path, cluster: Cluster) -> None:
        super().__init__(volume, "z2jh")
        self.image, self.cluster = image, cluster
        self.proxy: subprocess.Popen[bytes] | None = None
        os.chown(volume, 1000, 1000)
        self.tokens = {name: f"{name}-{self.settings['token']}" for name in ("homes", "prometheus")}
        self.tokens["tests"] = self.settings["token"]
        self._mount()

    def _mount(self) -> None:
        """What the chart mounts into the hub's pod: its configuration and its values."""
        values = read_values(EXAMPLE / "values.yaml", HERE / "worlds" / "z2jh.yaml")
        for name, service in values["hub"]["services"].items():
            service["apiToken"] = self.tokens[name]
        text = yaml.safe_dump(values).replace("10101", str(free_port()))  # another may run here
        chart = self.image / PREFIX / "etc/jupyterhub"
        (chart / "values.yaml").write_text(text)
        shutil.copy(HERE / "worlds" / "z2jh.py", chart / "jupyterhub_config.py")
        shutil.copy(self.cluster.kubeconfig, chart / "kubeconfig")
        self.hosts = self.image / "etc/hosts"
        self.hosts.write_text("127.0.0.1 localhost hub proxy-api\n")

    def command(self) -> list[str]:
        config = f"/{PREFIX}/etc/jupyterhub/jupyterhub_config.py"
        start = ("jupyterhub", "--config", config, "--upgrade-db")
        return in_image(self.image, self.folder, *start)

    def environment(self) -> dict[str, str]:
        return {
            **PODS,
            "POD_NAMESPACE": namespace_of(self),
            "HUB_SERVICE_PORT": str(self.settings["hub_port"]),
            "PROXY_API_SERVICE_PORT": str(self.settings["proxy_port"]),
            "PROXY_PUBLIC_URL": self.url,
            "CONFIGPROXY_AUTH_TOKEN": self.settings["token"],
        }

    def start(self) -> None:
        if self.proxy is None:
            self._start_proxy()
        super().start()

    def _start_proxy(self) -> None:
        public = self.url.rpartition(":")[2]
        hub = f"http://hub:{self.settings['hub_port']}/hub/error"
        program = Path(sys.executable).parent / "configurable-http-proxy"
        command = [program, "--port", public, "--api-port", self.settings["proxy_port"]]
        with open(self.folder / "proxy.log", "ab") as log:
            self.proxy = subprocess.Popen(
                [
                    *("unshare", "--mount", "sh", "-euc"),
                    'mount --bind "$0" /etc/hosts; exec "$@"',
                    *map(str, (self.hosts, *command, "--error-target", hub)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "CONFIGPROXY_AUTH_TOKEN": self.settings["token"]},
            )

    def end(self) -> None:
        super().end()
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()

    def file_systems(self) -> dict[str, str]:
        """Where the hub's process has which file systems, with how each is mounted."""
        lines = Path(f"/proc/{self.process.pid}/mountinfo").read_text().splitlines()
        return {line.split()[4]: line.split()[5] for line in lines}


def start(hub: ChartHub) -> None:
    hub.start()
    wait_for("the pages", lambda: "Serving groups" in hub.log[hub.log_before :])
