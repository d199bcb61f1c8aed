"""What a budget question costs when a real Prometheus answers it.

    python benchmarks/prometheus.py --users 50 --days 30

Each user ran one server for 8 hours a day. The question is asked as jupyterhub-usage-quotas
asks it: all raw points of the window come back, and Python adds them up.
"""
# ruff: noqa: S603 - the only commands are Prometheus' own and apt's

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

STEP = 60
"""Seconds between samples, for scraping and for evaluation."""
HOURS_A_DAY = 8
DAY = 24 * 3600
GIB = 2**30
# Prometheus' blocks last 2 h times a power of 3. One file for each block: promtool reads a file
# once per block in it, which takes minutes for a month in one file.
BLOCK = 54 * 3600
CONFIG = f"global: {{scrape_interval: {STEP}s, evaluation_interval: {STEP}s}}\n"
METRIC = "kube_pod_container_resource_requests"
PATIENCE = 60

# No proxies for our own machine, and one connection kept open, like the peer's.
_http = httpx.Client(trust_env=False, timeout=PATIENCE)


class NoPrometheus(RuntimeError):
    """No Prometheus is here, and none can be installed or started; the message says why."""


def find() -> tuple[str, str] | None:
    prometheus, promtool = shutil.which("prometheus"), shutil.which("promtool")
    return (prometheus, promtool) if prometheus and promtool else None


def install() -> tuple[str, str]:
    """By apt on Debian as root. The package starts a server, which we stop."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise NoPrometheus(
            "No prometheus and promtool were found; only root on Debian can install."
        )
    apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "prometheus"]
    for command in (["apt-get", "update", "--quiet"], apt):
        done = _run(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    for command in (["service", "prometheus", "stop"], ["update-rc.d", "prometheus", "disable"]):
        with suppress(FileNotFoundError):
            _run(command)
    if programs := find():
        return programs
    reason = (done.stderr or done.stdout).strip()[-300:]
    raise NoPrometheus(f"No Prometheus was found, and none could be installed.\n{reason}")


def _run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
    )


# -- what it has seen -------------------------------------------------------------------------


def name_of(number: int) -> str:
    """Names of one length: the peer's query also matches any longer name that starts alike."""
    return f"user{number:05d}"


def gib_of(number: int) -> int:
    return (1, 2, 4, 8)[number % 4]


def truth(user: str, days: int = 30) -> float:
    """The GiB-hours that this user used, by how the data are made."""
    return float(gib_of(int(user.removeprefix("user"))) * HOURS_A_DAY * days)


def _write_samples(folder: Path, users: int, days: int, now: int) -> list[Path]:
    """OpenMetrics text, one file per block. All within the window, even when asked an hour later.

    Each session is a pod of its own with the labels that kube-state-metrics gives it. It ends
    with a 0 in place of the staleness marker of a real scrape, which the text format cannot say:
    otherwise each session would look 4 minutes longer.
    """
    choose = random.Random(30)  # noqa: S311 - the same data each time, not a secret
    seconds = HOURS_A_DAY * 3600
    lines: dict[int, list[str]] = {}
    for number in range(users):
        pod = f'namespace="hub",pod="jupyter-{name_of(number)}"'
        for day in range(days):
            first = now - (day + 1) * DAY + choose.randrange(3600, DAY - seconds, STEP)
            last = first + seconds
            series = (
                f'{METRIC}{{container="notebook",instance="ksm:8080",job="kube-state-metrics",'
                f'node="n1",{pod},resource="memory",uid="{number:08x}-{day:04x}",unit="byte"}}'
            )
            for block in range(first // BLOCK, last // BLOCK + 1):
                times = range(first, last, STEP)
                inside = [at for at in times if at // BLOCK == block]
                text = [f"{series} {gib_of(number) * GIB} {at}\n" for at in inside]
                if last // BLOCK == block:
                    text.append(f"{series} 0 {last}\n")
                lines.setdefault(block, []).append("".join(text))
    files = []
    for block, texts in sorted(lines.items()):
        files.append(folder / f"{block}.txt")
        with files[-1].open("w") as file:
            file.write(f"# TYPE {METRIC} gauge\n")
            file.writelines(texts)
            file.write("# EOF\n")
    return files


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def prometheus_with(users: int, days: int = 30) -> Iterator[str]:
    """Run a Prometheus that has seen so many users for so many days; yield its URL."""
    _, promtool = find() or install()
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        data = folder / "data"
        backfill = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        for file in _write_samples(folder, users, days, now=int(time.time())):
            longest = f"--max-block-duration={BLOCK // 3600}h"
            done = _run([*backfill, longest, str(file), str(data)])
            if done.returncode != 0:
                raise NoPrometheus(f"promtool failed: {(done.stderr or done.stdout)[-500:]}")
            file.unlink()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG)
        # The default retention, 15 days, is too short.
        with running(folder, config, f"--storage.tsdb.retention.time={2 * days}d") as url:
            yield url


@contextmanager
def running(folder: Path, config: Path, *options: str) -> Iterator[str]:
    """Run a Prometheus with its data in a folder; yield its URL."""
    prometheus, _ = find() or install()
    address, log = f"127.0.0.1:{_free_port()}", folder / "log"
    command = [
        prometheus,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        *options,
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
        )
    try:
        _wait_until_ready(server, f"http://{address}", log)
        yield f"http://{address}"
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with suppress(httpx.TransportError):
            if _http.get(f"{url}/-/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise NoPrometheus(f"Prometheus does not start: {log.read_text(errors='replace')[-500:]}")


# -- the question -----------------------------------------------------------------------------


def ask(url: str, user: str, days: int = 30) -> float:
    """The GiB-hours that this user used, as jupyterhub-usage-quotas finds out."""
    query = (
        f"{METRIC}{{resource='memory', namespace='hub', node!='', pod=~'jupyter-{user}.*'}}"
        f"[{days}d:]"
    )
    response = _http.get(f"{url}/api/v1/query", params={"query": query})
    response.raise_for_status()
    used = 0.0
    for series in response.json()["data"]["result"]:
        for _at, value in series["values"]:
            used += float(value) * STEP / 3600
    return used / GIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--questions", type=int, default=30)
    options = parser.parse_args()
    began = time.perf_counter()
    with prometheus_with(options.users, options.days) as url:
        print(f"{options.users} users, {options.days} days: {time.perf_counter() - began:.1f} s")
        took, furthest = [], 0.0
        for _ in range(options.questions):
            user = name_of(random.randrange(options.users))  # noqa: S311
            began = time.perf_counter()
            used = ask(url, user, options.days)
            took.append((time.perf_counter() - began) * 1000)
            furthest = max(furthest, abs(used / truth(user, options.days) - 1))
        p95 = statistics.quantiles(took, n=20, method="inclusive")[-1]
        print(f"ask: p50 {statistics.median(took):.1f} ms, p95 {p95:.1f} ms")
        print(f"furthest from the truth: {furthest:.2%}")


if __name__ == "__main__":
    main()
