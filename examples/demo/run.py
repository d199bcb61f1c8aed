"""`make demo`: a real hub with group quotas, a sample world, and a small book, on this machine.

Everything it writes is in one folder (`.demo`), which a second start finds again.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from hub_quotas import cgroups
from hub_quotas.cli import main as hub_quotas
from share_links.buttons import html_button
from share_links.forms import write
from share_links.launch import Content, Environment, Launch, Target

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
START_SECONDS = 60
STOP_SECONDS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000))
    parser.add_argument("--data", type=Path, default=ROOT / ".demo")
    options = parser.parse_args()
    data = options.data.absolute()
    data.mkdir(parents=True, exist_ok=True)

    with open(data / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = (data / "address").read_text() if (data / "address").exists() else "soon"
            print(f"The demo is running already: {where}\nStop it with Ctrl-C where it runs.")
            return 1
        port = options.port if left_over(data, options.port) else choose_port(options.port)
        if port is None:
            return 1
        return run(data, port, lock.fileno())


def left_over(data: Path, port: int) -> bool:
    """Whether the port is held by the proxy of a demo whose hub was killed.

    The next hub stops that proxy itself; the servers behind it go on.
    """
    try:
        os.kill(int((data / "proxy.pid").read_text()), 0)
        return (data / "address").read_text().endswith(f":{port}")
    except (OSError, ValueError):
        return False


def choose_port(wanted: int) -> int | None:
    """The port to use; None where it is taken and the next free one was not accepted."""
    if is_free(wanted):
        return wanted
    offered = next(port for port in range(wanted + 1, 65536) if is_free(port))
    print(f"Port {wanted} is taken by another program. The next free port is {offered}.")
    if not sys.stdin.isatty():
        print(f"To use it: make demo PORT={offered}")
        return None
    answer = input(f"Use {offered} instead? [Y/n] ").strip().lower()
    return offered if answer in ("", "y", "yes") else None


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down is not taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def inner_ports(data: Path, avoid: int) -> dict[str, int]:
    """Ports of the hub's own parts, the same at each start where they are still free.

    A server that outlived a hub that was killed goes on talking to the port that it knows.
    """
    file = data / "ports.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name in ("hub", "proxy", "book"):
        port = known.get(name, 0)
        while not port or port in (avoid, *ports.values()) or not is_free(port):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        ports[name] = port
    file.write_text(json.dumps(ports))
    return ports


def make_book(data: Path, hub: str) -> Path:
    """The book's repository, and its page with the launch button. Returns the page's folder."""
    repository, site = data / "geo-book", data / "book"
    repository.mkdir(exist_ok=True)
    shutil.copy(HERE / "book" / "first-map.ipynb", repository)
    if not (repository / ".git").exists():
        git(repository, "init", "--quiet")
        git(repository, "symbolic-ref", "HEAD", "refs/heads/main")
    git(repository, "add", "--all")
    if git(repository, "status", "--porcelain"):
        author = ("-c", "user.name=Geo book", "-c", "user.email=geo-book@example.org")
        git(repository, *author, "commit", "--quiet", "--message", "Geo book")
    launch = Launch(
        content=Content(repository.as_uri(), "main"),
        environment=Environment(profile="small"),
        target=Target(file="first-map.ipynb"),
    )
    site.mkdir(exist_ok=True)
    page = (HERE / "book" / "index.html").read_text()
    button = html_button(write("resolved", launch, hub).url, "Open this page's notebook on the hub")
    (site / "index.html").write_text(page.replace("{{ button }}", button))
    return site


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class BookHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Nobody needs to see who reads the book."""


def run(data: Path, port: int, lock: int) -> int:
    started = time.monotonic()
    ports = inner_ports(data, avoid=port)
    hub = f"http://127.0.0.1:{port}"
    (data / "address").write_text(hub)
    if not (data / "hub_quotas.sqlite").exists():
        db = f"sqlite:///{data / 'hub_quotas.sqlite'}"
        print("Setting the limits of the sample world:")
        if hub_quotas(["apply", str(HERE / "quotas.yaml"), "--db", db, "--yes"]):
            return 1
    site = make_book(data, f"{hub}/")
    handler = functools.partial(BookHandler, directory=str(site))
    book = http.server.ThreadingHTTPServer(("127.0.0.1", ports["book"]), handler)
    threading.Thread(target=book.serve_forever, daemon=True).start()

    print(f"Starting the hub (its log: {data / 'jupyterhub.log'}) ...", flush=True)
    log = open(data / "jupyterhub.log", "ab")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")],
        cwd=data,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is ours to pass on, in order
        pass_fds=(lock,),  # so that the lock lasts as long as the hub
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "DEMO_DATA": str(data),
            "DEMO_PORT": str(port),
            "DEMO_HUB_PORT": str(ports["hub"]),
            "DEMO_PROXY_PORT": str(ports["proxy"]),
        },
    )
    stopping = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: stopping.set())
    pages = f"{hub}/services/groups/"  # up a moment after the hub, which they lead to
    try:
        while not stopping.is_set() and process.poll() is None and not answers(pages):
            if time.monotonic() - started > START_SECONDS:
                break
            stopping.wait(0.2)
        if process.poll() is None and not stopping.is_set() and answers(pages):
            print(welcome(hub, ports["book"], time.monotonic() - started), flush=True)
            while process.poll() is None and not stopping.wait(0.5):
                pass
    finally:
        early = process.poll() is not None
        if not early:
            print("\nStopping the hub and its servers ...", flush=True)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        book.shutdown()
    if not stopping.is_set():
        tail = (data / "jupyterhub.log").read_text(errors="replace").splitlines()[-15:]
        print(
            "\n".join([*tail, f"The hub {'stopped' if early else 'did not come up'}; see above."])
        )
        return 1
    print("Stopped. The data is kept; `make demo` goes on where this left off.")
    return 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310
            return True
    except OSError:
        return False


def welcome(hub: str, book: int, seconds: float) -> str:
    version = cgroups.available()
    limits = (
        f"The kernel holds them to their CPU and memory limits (cgroups {version})."
        if version
        else "Their CPU and memory limits are advisory: cgroups can't be written here."
    )
    return f"""Ready after {seconds:.1f} s.

  The hub        {hub}
  A book         http://127.0.0.1:{book}/
  My usage       {hub}/services/quotas/
  Limits         {hub}/services/quotas/groups   (as admin)

  Log in with the password  demo  as
    admin       an admin of the hub
    prof-ada    manages earth-sciences and earth-sciences/geo-101
    sam         student in geo-101, which allows each member 1 server
    kim         student in geo-101 (from a roster) and climate-lab (from the login)
    lee         student in climate-lab (from the login)

  Servers are local processes here. {limits}
  Ctrl-C stops everything.
"""


if __name__ == "__main__":
    sys.exit(main())
