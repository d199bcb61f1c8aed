"""The pages about a semester and about losses: their commands in order, on a real hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hubs import Hub, wait_for
from test_docs import blocks

pytestmark = [pytest.mark.slow, pytest.mark.hub]

GEO = "earth-sciences/geo-101"
DROP_INS = blocks("README.md", "python")[0]


def run(block: str, hub: Hub, folder: Path, **environment: str) -> str:
    """What a block prints, on this hub in place of the one that the page names."""
    here = {"/srv/jupyterhub": hub.folder, "/backup": folder / "backup"}
    for there, place in here.items():
        block = block.replace(there, str(place))
    block = block.replace("https://hub.example.org/", hub.base)
    done = subprocess.run(
        ["bash", "-eu"],
        input=block,
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_semester(fresh_hub, tmp_path):
    page = "docs/semester.md"
    (roster,), (setting,) = blocks(page, "text"), blocks(page, "python")
    (policy,) = blocks(page, "yaml")
    apply, explain, report, archive = blocks(page, "bash")
    (tmp_path / "geo-101.csv").write_text(roster)
    (tmp_path / "semester.yaml").write_text(policy)
    setting = setting.replace("/srv/jupyterhub", str(tmp_path))
    hub = fresh_hub("snippet", config=f"{DROP_INS}\n{setting}")

    said = run(apply, hub, tmp_path)
    assert "Written:" in said
    assert said.count("member.servers: 1") == 2, "shown, then written"
    assert hub.ledger().policy().groups[GEO].plan == "course-small"
    sam = hub.login("sam")
    assert GEO in hub.groups("sam")
    assert "would start" in run(explain, hub, tmp_path)
    assert hub.api("users/sam/server", "POST").is_success
    wait_for("sam's server", lambda: hub.server("sam"))
    assert hub.in_use() == {"earth-sciences": 1, GEO: 1}
    assert hub.api("users/sam/server", "DELETE").is_success
    assert GEO in run(report, hub, tmp_path)

    admin = hub.login("admin")
    token = admin.token("access:services!service=groups", "custom:groups:act")
    said = run(archive, hub, tmp_path, TOKEN=token)
    before, after = map(yaml.safe_load, re.findall(r"\{.*?\}", said))
    assert (before["archived"], after["archived"]) == (False, True)
    wait_for("the group to be empty in the hub", lambda: GEO not in hub.groups("sam"))
    assert "archived" in sam.get("services/groups/").text


def test_what_is_lost_comes_back(fresh_hub, tmp_path):
    backup, restore, apply, prune, adjust = blocks("docs/disaster.md", "bash")
    hub = fresh_hub("snippet", config=DROP_INS)
    hub.limits("default: {group.servers: 1}")
    hub.login("sam")
    assert hub.api("users/sam/server", "POST").is_success
    wait_for("sam's server", lambda: hub.server("sam"))
    by_hand(hub, "sam", "geo-101")
    said = run(backup, hub, tmp_path)
    for name in ("hub_groups", "hub_quotas", "jupyterhub", "share_links"):
        assert f"{name}.sqlite ok" in said

    hub.limits("default: {group.servers: 7}")
    hub.stop()
    for file in hub.folder.glob("hub_quotas.sqlite-*"):
        file.unlink()  # what is in the log would heal it
    (hub.folder / "hub_quotas.sqlite").write_bytes(os.urandom(4096))
    hub.start()
    hub.login("kim")
    refused = hub.api("users/kim/server", "POST")
    assert refused.status_code == 503
    assert "Quotas can't be checked at the moment" in refused.json()["message"]
    assert "The quota ledger can't be used; " in hub.log
    hub.stop()
    said = run(restore, hub, tmp_path)
    assert "1 of 1 server" in said, "limit and use as they were when they were copied"
    hub.start()
    usage = restore.strip().splitlines()[-1]
    wait_for("sam's server to be closed", lambda: "0 of 1 server" in run(usage, hub, tmp_path))

    (tmp_path / "quotas.yaml").write_text(yaml.safe_dump({"groups": {"default": {}}}))
    assert "- default" in run(apply, hub, tmp_path)
    assert "Dropped" in run(prune, hub, tmp_path)
    assert "Given back to default: 12 CPU-hours." in run(adjust, hub, tmp_path)

    hub.stop()
    (hub.folder / "jupyterhub.sqlite").unlink()
    hub.start()
    assert hub.api("users/sam").status_code == 404
    hub.login("sam")
    assert "geo-101" in hub.groups("sam")


def by_hand(hub: Hub, user: str, group: str) -> None:
    admin = hub.login("admin")
    token = admin.token("access:services!service=groups", "custom:groups:act")
    members = f"{hub.base}services/groups/api/groups/{group}/members"
    head = {"Authorization": f"token {token}"}
    added = admin.post(members, json={"users": [user]}, headers=head)
    assert added.is_success, added.text
    wait_for("the hub to have the group", lambda: group in hub.groups(user))
