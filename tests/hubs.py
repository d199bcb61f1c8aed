"""Real hubs as processes, from configuration files in `worlds/`, and the demo."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from worlds.ports import free_port as free_port

HERE = Path(__file__).parent
ROOT = HERE.parent
TOKEN = secrets.token_hex(16)
PATIENCE = 60
"""Seconds to wait for anything before a test fails."""


def wait_for(what: str, check, seconds: float = PATIENCE):
    """Return the first true value of `check()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := check():
            return value
        time.sleep(0.1)
    raise AssertionError(f"Waited {seconds} s for {what}.")


def make_venv(folder: Path, *requirements: str, base: str = sys.executable) -> str:
    """An environment of its own with these packages; returns its Python."""
    python = str(folder / "bin" / "python")
    if uv := shutil.which("uv"):
        create = [uv, "venv", "--quiet", "--python", base, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        create = [base, "-m", "venv", str(folder)]
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(create, check=True)
    subprocess.run([*install, *requirements], check=True)
    return python


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make(folder)` fills, once for all workers of a run, while the others wait."""
    among_workers = "PYTEST_XDIST_WORKER" in os.environ
    folder = (factory.getbasetemp().parent if among_workers else factory.getbasetemp()) / name
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = Path(f"{folder}.done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


class Hub:
    """A hub that runs `worlds/WORLD.py`, in a folder of its own."""

    def __init__(
        self, folder: Path, world: str, python: str = sys.executable, **settings: Any
    ) -> None:
        self.folder, self.world, self.python = folder, world, python
        self.url = f"http://127.0.0.1:{free_port()}"
        self.settings = {
            "url": self.url,
            "hub_port": free_port(),
            "proxy_port": free_port(),
            "pages_port": free_port(),
            "folder": str(folder),
            "token": TOKEN,
            **settings,
        }
        self.base = f"{self.url}{settings.get('base_url', '/')}"
        self.log_file = folder / "hub.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.log_before = len(self.log)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=self.environment(),
            )
        try:
            wait_for("the hub to come up", self._up)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-6000:]}") from None

    def command(self) -> list[str]:
        return [self.python, "-m", "jupyterhub", "-f", str(HERE / "worlds" / f"{self.world}.py")]

    def environment(self) -> dict[str, str]:
        path = f"{Path(self.python).parent}{os.pathsep}{os.environ['PATH']}"
        modules = (os.environ.get("PYTHONPATH", ""), str(HERE / "quick"))
        return {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(filter(None, modules)),
            "WORLD": json.dumps(self.settings),
        }

    def _up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"The hub stopped:\n{self.log[-6000:]}")
        # Not an address that answers: the proxy of a hub that was killed answers too.
        said = self.log[self.log_before :]
        return "JupyterHub is now running" in said and self._pages_up(said)

    def _pages_up(self, said: str) -> bool:
        """Where there are pages: they come up a moment after the hub, or say why not."""
        ends = ("] Serving ", "can't be served at", "Traceback")
        return "service group-quotas" not in said or any(end in said for end in ends)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self) -> None:
        """In order: servers, proxy and services stop too."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.end()
                raise AssertionError(f"The hub did not stop:\n{self.log[-6000:]}") from None

    def end(self) -> None:
        """At once, with all that it has started, however: what is left of a test."""
        ours = []
        if self.process.poll() is None:
            hub = psutil.Process(self.process.pid)
            ours = [hub, *hub.children(recursive=True)]
        api = f"http://127.0.0.1:{self.settings['hub_port']}/"
        for process in psutil.process_iter():  # what another life of this hub has started
            with suppress(psutil.Error):
                if process.environ().get("JUPYTERHUB_API_URL", "").startswith(api):
                    ours.append(process)
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def kill(self) -> None:
        """SIGKILL to the hub alone: its servers, proxy and services live on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def api(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """The hub's REST API, as an admin's script uses it."""
        return httpx.request(
            method,
            f"{self.base}hub/api/{path}",
            headers={"Authorization": f"token {TOKEN}"},
            timeout=PATIENCE,
            trust_env=False,
            **options,
        )

    def login(self, user: str, password: str = "") -> Visitor:
        visitor = Visitor(self, user)
        visitor.login(password)
        return visitor

    def server(self, user: str, name: str = "") -> dict[str, Any] | None:
        """The hub's model of a server that is ready; None for one that is not."""
        found = self.api(f"users/{user}").json().get("servers", {}).get(name)
        return found if found and found["ready"] else None

    def groups(self, user: str) -> set[str]:
        return set(self.api(f"users/{user}").json()["groups"])

    def ledger(self):
        """The hub's quota store, read as the pages' process reads it: from beside the hub."""
        from hub_quotas.store import open_store

        return open_store(f"sqlite:///{self.folder / 'hub_quotas.sqlite'}")

    def in_use(self) -> dict[str, int]:
        """Running servers by group, by the ledger."""
        return {g: a["servers"] for g, a in self.ledger().group_use().items() if a.get("servers")}

    def limits(self, text: str) -> None:
        """Make these all the limits that there are; YAML as in a policy's `groups`."""
        import yaml

        from hub_quotas.policy import parse_policy

        groups = {name: {"limits": limits} for name, limits in yaml.safe_load(text).items()}
        self.ledger().apply(parse_policy({"groups": groups}), "tests", "tests")


class Visitor(httpx.Client):
    """Somebody with a web browser without JavaScript."""

    def __init__(self, hub: Hub, user: str) -> None:
        # Without a look for proxies: pytest changes the environment while threads would read it.
        super().__init__(
            base_url=hub.base, follow_redirects=True, timeout=PATIENCE, trust_env=False
        )
        self.hub, self.user = hub, user

    def login(self, password: str = "") -> None:
        self.get("hub/login")
        page = self.post(
            "hub/login?next=" + httpx.URL(self.hub.base).path + "hub/token",
            data={"username": self.user, "password": password, "_xsrf": self.xsrf("/hub/")},
        )
        assert page.status_code == 200, page.text

    def xsrf(self, below: str) -> str:
        return next(c.value for c in self.cookies.jar if c.name == "_xsrf" and below in c.path)

    def token(self, *scopes: str) -> str:
        """A token of their own, with all that they may, or with less."""
        answer = self.post(
            f"hub/api/users/{self.user}/tokens",
            json={"scopes": list(scopes)} if scopes else {},
            headers={"X-XSRFToken": self.xsrf("/hub/")},
        )
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def send_form(self, path: str, **data: str) -> httpx.Response:
        """Open a page and send the form on it."""
        self.get(path)
        below = "/hub/" if path.startswith("hub/") else f"/{path.partition('?')[0]}".rstrip("/")
        while not self._has_xsrf(below):
            below = below.rpartition("/")[0]
        glue = "&" if "?" in path else "?"
        return self.post(f"{path}{glue}_xsrf={self.xsrf(below)}", data=data)

    def _has_xsrf(self, below: str) -> bool:
        return any(c.name == "_xsrf" and below in c.path for c in self.cookies.jar)

    def progress(self, server: str = "") -> list[dict[str, Any]]:
        """The events of a starting server, to the end."""
        where = f"users/{self.user}/server" + (f"s/{server}" if server else "")
        text = self.hub.api(f"{where}/progress").text
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


class Demo:
    """What `make demo` runs, with data of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-u", str(ROOT / "examples" / "demo" / "run.py")),
                    *("--port", str(self.port), "--data", str(self.folder / "data")),
                ],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        wait_for("the demo", lambda: "Ctrl-C stops" in self.said or self.process.poll() is not None)
        assert self.process.poll() is None, self.said

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def book(self) -> str:
        return next(line.split()[-1] for line in self.said.splitlines() if "A book" in line)

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)
