"""The core runs on every Python from 3.10 on that can be found; test_z2jh.py has 3.14 with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hubs import ROOT, make_venv

CORE = [
    "quantities",
    "windows",
    "limits",
    "decision",
    "ledger",
    "forecast",
    "memberships",
    "roster",
]


def others() -> dict[str, str]:
    """Pythons from 3.10 on other than this one, by version: on PATH, and where pyenv keeps them."""
    places = [Path(path) for minor in range(10, 20) if (path := shutil.which(f"python3.{minor}"))]
    places += sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    found = {}
    for place in places:
        asked = subprocess.run([place, "--version"], capture_output=True, text=True)
        version = re.match(r"Python 3\.(\d+)", asked.stdout)
        if asked.returncode == 0 and version and int(version[1]) >= 10:
            found[f"3.{version[1]}"] = str(place)
    found.pop(f"3.{sys.version_info.minor}", None)
    return found


if FOUND := others():

    @pytest.mark.slow
    @pytest.mark.parametrize("version", FOUND)
    def test_the_core_on_another_python(version, tmp_path):
        needs = ["pytest", "hypothesis", "PyYAML", "tzdata"]
        python = make_venv(tmp_path / "venv", *needs, base=FOUND[version])
        tests = [str(ROOT / "tests" / f"test_{name}.py") for name in CORE]
        ini = tmp_path / "pytest.ini"  # ours names plugins that are not there
        ini.write_text("[pytest]\n")
        done = subprocess.run(
            [
                python,
                "-m",
                "pytest",
                "-q",
                "-c",
                ini,
                "--noconftest",
                "-p",
                "no:cacheprovider",
                *tests,
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        assert re.search(r"\d+ passed", done.stdout)
