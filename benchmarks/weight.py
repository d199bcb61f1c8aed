"""What the bundle weighs: the start of a hub, its memory, the pages' process, the storage agent.

    python benchmarks/weight.py

Real hubs without servers, with none, one, two and all three of the packages. docs/performance.md
says what is measured, and why so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import psutil

HERE = Path(__file__).parent
PACKAGES = ("hub_groups", "hub_quotas", "share_links")
UP = b"JupyterHub is now running"
PATIENCE = 60
MIB = 2**20

# A service of a hub with nothing in it but the hub's own login: what any service would take.
BARE_SERVICE = """
import sys
from jupyterhub.services.auth import HubOAuthenticated
from tornado import ioloop, web

class Page(HubOAuthenticated, web.RequestHandler):
    pass

web.Application([("/", Page)]).listen(0, "127.0.0.1")
print("up", flush=True)
ioloop.IOLoop.current().start()
"""

# The modules that the drop-in of a package has imported once the hub has built its parts. What is
# printed is how long that took without what a hub imports by itself, and what it has loaded more.
IMPORTS = """
import sys
import jupyterhub.app, jupyterhub.auth, jupyterhub.spawner, jupyterhub.apihandlers
sys.stderr.write("OURS\\n")
import {modules}
"""
HUB_SIDE = {
    "hub_groups": (
        *("access", "attach", "authenticator", "config", "database", "hub_users", "hub_writer"),
        *("listing", "refresher", "store"),
    ),
    "hub_quotas": (
        *("access", "banner", "config", "home_page", "reconcile", "refusal", "reservations"),
        *("spawn_language", "spawner", "transaction"),
    ),
    "share_links": ("access", "config", "reader_state"),
}


@dataclass(frozen=True)
class Start:
    """One start of a hub.

    Attributes:
        seconds: from the command to its saying that it runs.
        cpu_seconds: of the hub's process, until then.
    """

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Memory:
    """In MiB.

    Attributes:
        own: what the machine has back when the process ends.
        all: with what it shares with others (resident).
    """

    own: float
    all: float


def memory_of(process: psutil.Process) -> Memory:
    found = process.memory_full_info()
    return Memory(found.uss / MIB, found.rss / MIB)


@contextmanager
def hub(folder: Path, packages: int) -> Iterator[tuple[psutil.Process, Start]]:
    """A hub that is up, in a folder in which one may have been before."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    weight = json.dumps({"port": port, "packages": packages})
    began = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "weight_config.py")],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "WEIGHT": weight},
    )
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if UP in line:
                took = time.perf_counter() - began
                break
        else:
            raise SystemExit("The hub does not start:\n" + b"".join(said).decode()[-3000:])
        used = process.cpu_times()
        Thread(target=process.stderr.read, daemon=True).start()  # or it waits for a reader
        yield process, Start(took, used.user + used.system)
    finally:
        process.terminate()
        with suppress(psutil.TimeoutExpired):
            process.wait(PATIENCE)
        if process.poll() is None:
            process.kill()


def pages_of(process: psutil.Process) -> psutil.Process:
    """The one process that serves all pages, when it is up."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                if "hub_groups.host" in child.cmdline() and child.net_connections():
                    return child
        time.sleep(0.1)
    raise SystemExit("The pages do not come up.")


def starts(rounds: int) -> dict[str, float]:
    """With all packages and with none, in turns; medians."""
    took: dict[tuple[str, int], list[Start]] = {}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for packages in (0, 3) if turn % 2 else (3, 0):
                place = Path(folder, str(packages))
                place.mkdir()
                for which in ("first", "again"):  # the first makes the databases
                    with hub(place, packages) as (_process, start):
                        took.setdefault((which, packages), []).append(start)
    found = {}
    for which in ("first", "again"):
        bare, full = took[which, 0], took[which, 3]
        for name in ("seconds", "cpu_seconds"):
            without = statistics.median(getattr(start, name) for start in bare)
            with_all = statistics.median(getattr(start, name) for start in full)
            label = f"{which}_start_{name.removesuffix('seconds')}".rstrip("_")
            found[f"{label}_bare_s"] = without
            found[f"{label}_added_s"] = with_all - without
            found[f"{label}_ratio"] = with_all / without
    return found


def memories(settle: float) -> dict[str, float]:
    """Of the hub's process and of the pages', with the first, the first two, and all packages."""
    found: dict[str, float] = {}
    with bare_service() as process:
        note(found, "bare_service", memory_of(process))
    for packages in range(len(PACKAGES) + 1):
        with (
            tempfile.TemporaryDirectory() as folder,
            hub(Path(folder), packages) as (process, _start),
        ):
            pages = pages_of(process) if packages else None
            time.sleep(settle)
            note(found, f"hub_{packages}", memory_of(process))
            if pages:
                note(found, f"pages_{packages}", memory_of(pages))
    last = len(PACKAGES)
    # Libraries that the pages' process has too stop being the hub's own: only all of it compares.
    found["hub_added_mib"] = found[f"hub_{last}_resident_mib"] - found["hub_0_resident_mib"]
    found["each_service_mib"] = (found[f"pages_{last}_mib"] + found["hub_added_mib"]) / last
    return found


def note(found: dict[str, float], name: str, memory: Memory) -> None:
    found[f"{name}_mib"], found[f"{name}_resident_mib"] = memory.own, memory.all


@contextmanager
def bare_service() -> Iterator[psutil.Process]:
    process = psutil.Popen([sys.executable, "-c", BARE_SERVICE], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"up\n"
        yield process
    finally:
        process.kill()
        process.wait()


def import_seconds(rounds: int) -> dict[str, float]:
    """Of each package's side in the hub, with the packages below it; medians."""
    found = {}
    for package, modules in HUB_SIDE.items():
        names = ", ".join(f"{package}.{module}" for module in modules)
        code = IMPORTS.format(modules=names)
        took = [_imported(code) for _round in range(rounds)]
        found[f"import_{package}_s"] = statistics.median(took)
    return found


def _imported(code: str) -> float:
    """Seconds in which Python, told to by `-X importtime`, says that it has imported ours."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    ours = done.stderr.partition("OURS\n")[2]
    own = re.findall(r"^import time:\s+(\d+) \|", ours, re.MULTILINE)
    return sum(map(int, own)) / 1_000_000


def storage_agent(settle: float) -> dict[str, float]:
    """While it waits for a hub that does not answer, over a file system that it measures."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # noqa: S108 - one without limits
        process = psutil.Popen(
            [
                *(Path(sys.executable).with_name("hub-storage-agent"), "run", "--root", folder),
                *("--state", f"{folder}/state", "--url", "http://127.0.0.1:9/"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HUB_STORAGE_TOKEN": "none"},
        )
        try:
            time.sleep(settle)
            assert process.poll() is None, "The storage agent does not start."
            found: dict[str, float] = {}
            note(found, "storage_agent", memory_of(process))
            return found
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind of hub")
    parser.add_argument("--settle", type=float, default=5, help="seconds before memory is read")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    figures = {
        **import_seconds(args.rounds),
        **memories(args.settle),
        **storage_agent(args.settle),
        **starts(args.rounds),
    }
    figures = {name: round(value, 3) for name, value in figures.items()}
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value:10.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
