"""How the demo starts and stops, as a newcomer meets it in a shell."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import httpx
import psutil
import pytest
from hubs import ROOT, Demo

pytestmark = pytest.mark.hub


def test_a_taken_port_is_named_and_the_next_free_one_offered(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, ROOT / "examples/demo/run.py", "--port", str(port)]
            + ["--data", str(tmp_path)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
    assert done.returncode == 1
    assert f"Port {port} is taken by another program." in done.stdout
    offered = re.search(r"make demo PORT=(\d+)", done.stdout)
    assert offered and int(offered[1]) > port


def test_ctrl_c_stops_everything_and_a_second_start_keeps_the_data(tmp_path):
    demo = Demo(tmp_path)
    demo.start()
    again = subprocess.run(
        [sys.executable, ROOT / "examples/demo/run.py", "--data", str(demo.folder / "data")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert again.returncode == 1
    assert f"The demo is running already: {demo.url}" in again.stdout
    family = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(family) >= 3, "hub, proxy, pages"
    demo.stop()
    assert demo.process.returncode == 0
    assert not [process for process in family if process.is_running()]
    assert "Setting the limits" in demo.said
    demo.start()
    assert "Setting the limits" not in demo.said
    assert httpx.get(f"{demo.url}/hub/login").status_code == 200
    demo.stop()


def test_a_demo_whose_hub_was_killed_starts_again_at_the_same_address(tmp_path):
    """The proxy lives on, and holds the port."""
    demo = Demo(tmp_path)
    demo.start()
    hub = next(
        process
        for process in psutil.Process(demo.process.pid).children()
        if "jupyterhub" in process.cmdline()
    )
    hub.kill()
    assert demo.process.wait(30) == 1
    assert "The hub stopped; see above." in demo.said
    demo.start()
    assert httpx.get(f"{demo.url}/hub/login").status_code == 200
    demo.stop()
