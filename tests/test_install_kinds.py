"""Each script in `install/`: a hub of one kind, from an empty folder to its first limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hubs import ROOT, free_port
from postgres import fresh_database

pytestmark = [pytest.mark.slow, pytest.mark.hub]

SCRIPTS = ROOT / "tests" / "install"
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """This package, built once from a copy: what an earlier build has left would come along."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "docs", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*build, str(folder), str(folder / "source")], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture
def install(wheel, tmp_path):
    """Runs a script as somebody on an empty machine would; returns what it said."""

    def run(script: str, *arguments: str, **environment: str) -> str:
        said = tmp_path / "said"
        with said.open("w") as output:
            process = subprocess.Popen(
                ["bash", str(SCRIPTS / script), str(wheel), *arguments],
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **{k: v for k, v in os.environ.items() if k == "HOME" or k.startswith("PIP_")},
                    "PATH": "/usr/bin:/bin",
                    "PYTHON": BASE_PYTHON,
                    "FOLDER": str(tmp_path / "hub-is-here"),
                    **{name: str(free_port()) for name in ("PORT", "HUB_PORT", "PROXY_PORT")},
                    **environment,
                },
            )
        try:
            process.wait(600)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        text = said.read_text()
        assert process.returncode == 0 and text.endswith("\nok\n"), text
        return text

    return run


@pytest.mark.parametrize("hub", ["5.5", "6.1"])
def test_a_plain_hub_with_sqlite_and_the_same_hub_without_us(install, hub):
    said = install("plain.sh", hub)
    assert "pip uninstall" in said


def test_a_hub_with_postgresql(install, postgres_url):
    url = fresh_database(postgres_url).replace("postgresql+psycopg:", "postgresql:")
    install("postgres.sh", DATABASE=url)


def test_the_littlest_jupyterhub(install):
    said = install("tljh.sh")
    assert "a limit holds servers that ask for none" in said


def test_the_unit_for_systemd(install):
    if not shutil.which("systemd-analyze"):
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "systemd"], check=False)
    if not shutil.which("systemd-analyze") and os.environ.get("CI") != "true":
        pytest.skip("systemd-analyze is not here, and only root on Debian can install it.")
    install("systemd.sh")
