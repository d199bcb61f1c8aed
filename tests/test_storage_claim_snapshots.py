"""Snapshots of claims, by the agent's commands against the fake cluster."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator

import kubernetes_validate
import podchecks
import pytest
import yaml
from agents import PROGRAM
from cluster import Cluster
from hubs import ROOT, wait_for
from test_storage_claims import GIB, Space, mount

from hub_quotas.storage_agent import volume_snapshots
from hub_quotas.storage_agent.cli import _parser
from hub_quotas.storage_agent.cli import main as run_agent
from hub_quotas.storage_agent.volume_snapshots import list_snapshots

MANIFEST = ROOT / "examples/storage/kubernetes-claims.yaml"


@pytest.fixture
def space(kubernetes: Cluster) -> Iterator[Space]:
    kubernetes.set()
    made = Space(kubernetes)
    made.make("claim-pat", "1Gi", user="pat")
    write(made, "claim-pat", "thesis", "three years")
    yield made
    kubernetes.set()


def write(space: Space, claim: str, name: str, text: str) -> None:
    file = space.cluster.folder / "pods/volumes" / space.name / claim / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def read(space: Space, claim: str, name: str) -> str:
    return (space.cluster.folder / "pods/volumes" / space.name / claim / name).read_text()


def agent(space: Space, *command: str) -> subprocess.CompletedProcess[str]:
    where = ["--claims", "--api", space.cluster.url, "--namespace", space.name]
    words = [PROGRAM, command[0], *where, *command[1:]]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def in_here(space: Space, *command: str) -> int:
    """The same without a process of its own, so that it is quick."""
    where = ["--claims", "--api", space.cluster.url, "--namespace", space.name]
    return run_agent([command[0], *where, *command[1:]])


def test_a_snapshot_is_restored_beside_what_is_there(space):
    done = agent(space, "snapshot", "claim-pat", "--label", "end-of-term")
    assert done.returncode == 0, done.stderr
    claim, _colon, name = done.stdout.strip().partition(": ")
    assert (claim, name.endswith("z-end-of-term")) == ("claim-pat", True)
    listed = agent(space, "snapshots", "claim-pat").stdout
    assert listed.startswith(f"{name}  20")
    assert listed.rstrip().endswith("1 GiB  ready")

    write(space, "claim-pat", "thesis", "gone")
    done = agent(space, "restore", "claim-pat", "--snapshot", "latest")
    assert done.returncode == 0, done.stderr
    made = done.stdout.split()[0]
    assert made.startswith("claim-pat-restored-")
    assert "claim-pat stays as it is." in done.stdout
    assert read(space, made, "thesis") == "three years"
    assert read(space, "claim-pat", "thesis") == "gone"
    assert space.claim(made)["spec"]["dataSource"]["name"] == name
    # Nobody takes it for somebody's home.
    assert list(space.backend().listed("")) == ["claim-pat"]


def test_a_claim_that_is_gone_comes_back_as_it_was(space):
    assert in_here(space, "snapshot", "claim-pat") == 0
    before = space.claim("claim-pat")
    space.delete("persistentvolumeclaims/claim-pat")
    assert in_here(space, "restore", "claim-pat", "--snapshot", "latest") == 0
    after = space.claim("claim-pat")
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    kept = ("accessModes", "storageClassName", "volumeMode")
    assert {k: after["spec"][k] for k in kept} == {k: before["spec"][k] for k in kept}
    assert space.asked("claim-pat") == GIB
    assert list(space.backend().listed("")) == ["claim-pat"]


def test_all_homes_are_kept_and_old_snapshots_of_the_label_go(space, capsys, monkeypatch):
    space.make("claim-kim", user="kim")
    space.make("hub-db-dir")
    monkeypatch.setattr(volume_snapshots, "_LOOK_SECONDS", 0.1)
    for label in ("nightly", "other", "nightly"):
        assert in_here(space, "snapshot", "--all", "--label", label, "--keep", "1") == 0
        wait_for("another second", _another_second(), 5)
    found = [(one.claim, one.label) for one in list_snapshots(space.api)]
    assert sorted(found) == [
        ("claim-kim", "nightly"),
        ("claim-kim", "other"),
        ("claim-pat", "nightly"),
        ("claim-pat", "other"),
    ]
    assert capsys.readouterr().out.count("is deleted.") == 2


def _another_second():
    now = int(time.time())
    return lambda: int(time.time()) > now


def test_a_snapshot_that_fails_takes_no_older_one_with_it(space, capsys, monkeypatch):
    assert in_here(space, "snapshot", "claim-pat", "--keep", "1") == 0
    wait_for("another second", _another_second(), 5)
    monkeypatch.setattr(volume_snapshots, "_ERROR_SECONDS", 0.0)
    space.cluster.set(snapshot_error="the array is full")
    assert in_here(space, "snapshot", "claim-pat", "--keep", "1") == 1
    assert ": the array is full" in capsys.readouterr().err
    assert [one.ready for one in list_snapshots(space.api, "claim-pat")] == [True, False]
    space.cluster.set()
    assert in_here(space, "restore", "claim-pat", "--snapshot", "latest") == 0


def test_who_waits_is_told_for_what(space, capsys, monkeypatch):
    monkeypatch.setattr(volume_snapshots, "_SAY_SECONDS", 0.5)
    space.cluster.set(snapshot_delay=2)
    assert in_here(space, "snapshot", "claim-pat") == 0
    assert "Waiting for 1 of 1 snapshots." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["snapshot"], "No claim is named; for all that KubeSpawner has made, give --all."),
        (["snapshot", "claim-pat", "--all"], "Name claims or give --all, not both."),
        (["snapshot", "claim-of-nobody"], "There is no claim claim-of-nobody in "),
        (["snapshot", "claim-pat", "--label", "End of term"], "'End of term' is no label here;"),
        (["snapshot", "claim-pat", "--keep", "0"], "--keep 0 would delete every snapshot;"),
        (["restore", "claim-pat"], "Claims are restored from snapshots; give --snapshot latest."),
        (
            ["restore", "claim-pat", "--snapshot", "latest", "--path", "thesis"],
            "A VolumeSnapshot is restored as a whole; leave --path out.",
        ),
        (
            ["restore", "claim-pat", "--snapshot", "x"],
            "claim-pat has no snapshot x that is ready; the last ones are: none.",
        ),
    ],
)
def test_what_was_asked_wrongly_is_said(space, capsys, command, said):
    assert in_here(space, *command) == 1
    assert said in capsys.readouterr().err


def test_a_cluster_without_snapshots_is_said(space, capsys):
    space.cluster.set(no_snapshots=True)
    assert in_here(space, "snapshot", "claim-pat") == 1
    assert "This cluster has no VolumeSnapshots" in capsys.readouterr().err


def test_options_for_claims_are_for_claims_alone(tmp_path, capsys):
    command = ["snapshots", "--root", str(tmp_path), "--namespace", "jhub", "pat"]
    assert run_agent(command) == 1
    assert "--namespace is for --claims." in capsys.readouterr().err


def test_the_commands_of_the_documentation_are_what_runs(space):
    text = (ROOT / "docs/storage.md").read_text()
    section = text.partition("## Claims\n")[2].partition("\n## Snapshots\n")[0]
    plan, commands = re.findall(r"```shell\n(.*?)```", section, re.DOTALL)
    assert _parser().parse_args(shlex.split(plan)[1:]).run.__name__ == "_plan"
    for command in commands.strip().splitlines():
        _program, verb, claims, *rest = shlex.split(command)
        assert claims == "--claims"
        assert in_here(space, verb, *rest) == 0, command
    [pod] = re.findall(r"<<'END'\n(.*?)\nEND\n", section, re.DOTALL)
    kubernetes_validate.validate(yaml.safe_load(pod), "1.30", strict=True)
    assert podchecks.check(yaml.safe_load(pod)) == []


# -- the manifest -------------------------------------------------------------------------------


def test_the_agent_may_do_what_it_does_and_nothing_else(space, monkeypatch):
    """What the roles of the example allow is what an agent was seen to ask for."""
    monkeypatch.setattr("hub_quotas.storage_agent.claims._ASK_SECONDS", 0.0)
    mount(space, "claim-pat")
    backend = space.backend(ask_kubelets=True)
    backend.read(["claim-pat"])
    backend.put({"claim-pat": 2 * GIB})
    for _time in range(2):
        assert in_here(space, "snapshot", "claim-pat", "--keep", "1") == 0
        wait_for("another second", _another_second(), 5)
    assert in_here(space, "restore", "claim-pat", "--snapshot", "latest") == 0
    objects = list(yaml.safe_load_all(MANIFEST.read_text()))
    allowed = {
        (verb, group, resource)
        for role in objects
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = space.cluster.asked("hub-storage-agent")
    asked.remove(("get", "", "nodes/proxy"))  # which is for `kubectl proxy`, and in a pod:
    assert {*asked, ("get", "", "nodes/stats")} == allowed


def test_the_manifest_is_one_that_kubernetes_takes():
    objects = list(yaml.safe_load_all(MANIFEST.read_text()))
    for one in objects:
        kubernetes_validate.validate(one, "1.30", strict=True)
    pods = {
        one["kind"]: one["spec"]["template"]["spec"]
        if one["kind"] == "Deployment"
        else one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in ("Deployment", "CronJob")
    }
    for kind, run in (("Deployment", "_run"), ("CronJob", None)):
        [container] = pods[kind]["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert pods[kind]["securityContext"]["runAsNonRoot"]
        assert container["resources"].keys() == {"requests", "limits"}
        args = _parser().parse_args(container["args"][1:])
        assert args.claims
        assert run is None or args.run.__name__ == run
        account = pods[kind]["serviceAccountName"]
        assert any(
            one["kind"] == "ServiceAccount" and one["metadata"]["name"] == account
            for one in objects
        )
