"""`pip install` puts everything where a production hub looks for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hubs import ROOT, wait_for

DROP_INS = ["10-hub-groups.py", "20-hub-quotas.py", "30-share-links.py"]


@pytest.mark.slow
def test_the_drop_ins_are_where_zero_to_jupyterhub_looks(hub55):
    """Its hub image's prefix is /usr/local, and it reads
    /usr/local/etc/jupyterhub/jupyterhub_config.d/*.py in order."""
    prefix = Path(hub55).parent.parent
    folder = prefix / "etc" / "jupyterhub" / "jupyterhub_config.d"
    assert sorted(path.name for path in folder.glob("*.py")) == DROP_INS


@pytest.mark.slow
def test_hub_5_5_starts_with_them_and_refuses_over_a_cap(start_hub, hub55):
    version = subprocess.check_output([hub55, "-m", "jupyterhub", "--version"], text=True)
    assert version.startswith("5.5")
    hub = start_hub("formless", python=hub55)
    assert "Running JupyterHub version 5.5" in hub.log
    hub.limits("default: {server.memory: 1G, member.servers: 1}")
    student = hub.login("student")
    assert student.get("hub/spawn/student?opt-memory=2G").status_code == 403
    assert hub.api("users/student/server", "POST").is_success
    wait_for("the server", lambda: hub.server("student"))
    refused = hub.api("users/student/servers/two", "POST")
    assert refused.status_code == 403
    assert "default allows each member 1 server at once" in refused.json()["message"]
    assert "My usage" in student.get("services/quotas/").text


@pytest.mark.parametrize("command", ["token", "upgrade-db"])
def test_other_commands_of_the_hub_are_left_alone(fresh_hub, sandbox, command):
    """They read the same configuration file and are no hub."""
    hub = fresh_hub("formless")
    hub.stop()
    name = ["admin"] if command == "token" else []
    done = sandbox(
        *(hub.python, "-m", "jupyterhub", command, "-f", ROOT / "tests/worlds/formless.py", *name),
        env={"WORLD": json.dumps(hub.settings), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "command"), [("hub-quotas", "apply"), ("hub-groups", "presets")])
@pytest.mark.slow
def test_the_command_line_is_installed(hub55, sandbox, name, command):
    done = sandbox(Path(hub55).parent / name, "--help")
    assert done.returncode == 0
    assert command in done.stdout


@pytest.mark.slow
def test_what_a_hub_image_gets_is_light(hub55):
    """No numpy, no pandas, nothing beyond what JupyterHub itself brings."""
    names = "importlib.metadata import distributions; print([d.name for d in distributions()])"
    there = subprocess.check_output([hub55, "-c", f"from {names}"], text=True).lower()
    for heavy in ("numpy", "pandas", "jupyterlab", "playwright", "pytest", "psycopg"):
        assert heavy not in there
