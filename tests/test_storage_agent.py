"""A real agent between a real hub and real btrfs."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import filesystems
import kubernetes_validate
import pytest
import yaml
from agents import PROGRAM, StorageAgent
from filesystems import OWNER, Filesystem, write
from hubs import ROOT, TOKEN, Hub, wait_for

from hub_quotas import storage_store
from hub_quotas.policy import parse_policy
from hub_quotas.storage_agent.backend import find_backend
from hub_quotas.storage_agent.cli import _parser
from hub_quotas.storage_agent.keeper import Keeper, Layout, Owner
from hub_quotas.storage_agent.layout import Template
from hub_quotas.storage_agent.memory import Heard, Memory
from hub_quotas.storage_agent.record import BACKUP, RESTORE_TEST, write_record

MIB, GIB = 2**20, 2**30


@pytest.fixture(scope="module")
def filesystem() -> Iterator[Filesystem]:
    yield from filesystems.mounted("btrfs")


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    users = [f"user-{number}" for number in range(50)]
    roster = "\n".join(f"{user},geo," for user in ("pat", *users))
    return start_hub("storage", roster=f"user,group,role\n{roster}\n")


@pytest.fixture(scope="module")
def agent(hub, filesystem, tmp_path_factory) -> Iterator[StorageAgent]:
    metrics = tmp_path_factory.mktemp("metrics") / "hub_storage.prom"
    options = ["--create", f"{OWNER}:{OWNER}", "--metrics", str(metrics)]
    made = StorageAgent(tmp_path_factory.mktemp("agent"), hub, filesystem.path, *options)
    made.start()
    yield made
    made.kill()


def limit(filesystem: Filesystem, path: str) -> int | None:
    held = find_backend(filesystem.path).read([path]).get(path)
    return held.limit if held else None


def holds(filesystem: Filesystem, path: str, amount: int | None, seconds: float = 20) -> None:
    what = f"{path} to have {amount}"
    wait_for(what, lambda: limit(filesystem, path) == amount, seconds)


def test_homes_are_made_and_limited(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 10M, group.storage: 30M}")
    holds(filesystem, "homes/pat", 10 * MIB)
    holds(filesystem, "shared/geo", 30 * MIB)
    written, error = write(filesystem.path / "homes/pat/file", 20 * MIB)
    assert error in filesystem.full
    assert written <= 10 * MIB


def test_a_change_holds_within_seconds_and_the_hub_knows(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 15M}")
    began = time.monotonic()
    holds(filesystem, "homes/pat", 15 * MIB)
    assert time.monotonic() - began < 5

    def known() -> bool:
        found = storage_store.directories(hub.ledger(), "user", ["pat"])
        return any(one.applied == 15 * MIB and one.used > 9 * MIB for one in found)

    wait_for("the hub to know", known, 60)
    [mount] = storage_store.mounts(hub.ledger())
    assert (mount.name, mount.backend) == ("homes", "btrfs, simple quotas")
    assert mount.size == pytest.approx(2 << 30, rel=0.01)


def test_a_limit_that_somebody_takes_away_comes_back(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 12M}")
    holds(filesystem, "homes/pat", 12 * MIB)
    find_backend(filesystem.path).put({"homes/pat": None})
    holds(filesystem, "homes/pat", 12 * MIB, 40)


def test_no_limit_any_more_is_none(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 12M}")
    holds(filesystem, "homes/pat", 12 * MIB)
    hub.limits("geo: {member.memory: 12G}")
    holds(filesystem, "homes/pat", None)


def test_who_is_above_the_soft_limit_for_too_long_writes_no_more_until_below(
    hub, agent, filesystem
):
    home = filesystem.path / "homes/user-1"

    def known() -> storage_store.Directory | None:
        found = storage_store.directories(hub.ledger(), "user", ["user-1"])
        return next((one for one in found if one.above), None)

    hub.limits("geo: {member.storage: 30M soft 8M for 7d}")
    holds(filesystem, "homes/user-1", 30 * MIB)
    assert write(home / "first", 12 * MIB) == (12 * MIB, 0), "more than the soft limit"
    wait_for("the hub to know", known, 60)
    with hub.ledger().db.write() as tx:  # nobody waits for a week
        tx.run("UPDATE storage_use SET above = above - ?", 8 * 24 * 3600 * 10**6)
    holds(filesystem, "homes/user-1", 8 * MIB, 60)
    written, error = write(home / "second", MIB)
    assert error in filesystem.full
    assert written < MIB
    assert (home / "first").stat().st_size == 12 * MIB, "nothing is lost"
    (home / "first").unlink()
    holds(filesystem, "homes/user-1", 30 * MIB, 60)
    assert write(home / "third", 12 * MIB) == (12 * MIB, 0)


def test_homes_of_people_whom_nobody_names_have_what_anybody_has(hub, agent, filesystem):
    find_backend(filesystem.path).create("homes/left-behind", (OWNER, OWNER), 0o700)
    (filesystem.path / "homes/left-behind/thesis").write_text("kept")
    hub.limits("geo: {member.storage: 12M}\ndefault: {member.storage: 3M}")
    holds(filesystem, "homes/left-behind", 3 * MIB, 40)
    assert (filesystem.path / "homes/left-behind/thesis").read_text() == "kept"


def test_what_can_not_be_limited_is_said(hub, agent, filesystem):
    (filesystem.path / "homes/plain").mkdir()
    hub.limits("geo: {member.storage: 12M}\ndefault: {member.storage: 3M}")

    def said() -> bool:
        found = storage_store.directories(hub.ledger(), "other", ["homes/plain"])
        return bool(found) and "is an ordinary directory" in found[0].problem

    wait_for("the hub to know", said, 60)
    (filesystem.path / "homes/plain").rmdir()

    def forgotten() -> bool:
        return storage_store.directories(hub.ledger(), "other", ["homes/plain"]) == []

    wait_for("the hub to forget it", forgotten, 60)


def test_metrics_are_for_a_collector(hub, agent):
    file = Path(agent.options[-1])
    wait_for("the file", file.exists)
    assert "hub_storage_directories_limited " in file.read_text()
    assert "# TYPE hub_storage_used_bytes gauge" in file.read_text()
    assert "backup" not in file.read_text()
    good = {"good": "2026-11-29T03:00:00+00:00", "id": "0", "bytes": 1, "remark": ""}
    write_record(agent.state / BACKUP, {"homes": {"homes/pat": good}})
    tested = {"when": "2026-11-29T04:00:00+00:00", "ok": True, "problems": [], "homes": {}}
    write_record(agent.state / RESTORE_TEST, tested)
    wait_for("them", lambda: "hub_storage_restore_test_ok 1\n" in file.read_text(), 40)
    assert f"hub_storage_backup_last_ok_seconds {1795921200}\n" in file.read_text()

    def known() -> bool:
        [mount] = storage_store.mounts(hub.ledger())
        return mount.backup is not None and mount.backup.last_ok == 1795921200 * 10**6

    wait_for("the hub to know", known, 40)


def test_a_plan_changes_nothing(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 12M}")
    holds(filesystem, "homes/pat", 12 * MIB)
    agent.kill()
    hub.limits("geo: {member.storage: 18M}")
    wait_for("the plan", lambda: "homes/pat: 18 MiB, now 12 MiB" in agent.plan().stdout)
    assert agent.plan().returncode == 1
    assert limit(filesystem, "homes/pat") == 12 * MIB
    agent.start()
    holds(filesystem, "homes/pat", 18 * MIB)
    wait_for("nothing left to do", lambda: agent.plan().returncode == 0)


def test_while_the_hub_is_away_the_last_limits_hold(agent, filesystem, fresh_hub, tmp_path):
    """An agent that comes up while nobody answers still knows what is to hold."""
    agent.kill()
    hub = fresh_hub("storage")
    hub.limits("geo: {member.storage: 7M}")
    other = StorageAgent(tmp_path, hub, filesystem.path, "--create", f"{OWNER}:{OWNER}")
    other.start()
    holds(filesystem, "homes/pat", 7 * MIB)
    hub.end()
    other.kill()
    find_backend(filesystem.path).put({"homes/pat": 99 * MIB})
    other.start()
    holds(filesystem, "homes/pat", 7 * MIB)
    find_backend(filesystem.path).put({"homes/pat": 99 * MIB})
    holds(filesystem, "homes/pat", 7 * MIB, 40)
    assert "can't be reached" in other.log
    assert other.log.count("can't be reached") <= 2, "it is said once, not each time"
    assert other.stop() == 0
    agent.start()


def test_a_wrong_token_is_said_and_changes_nothing(hub, agent, filesystem, tmp_path):
    hub.limits("geo: {member.storage: 12M}")
    holds(filesystem, "homes/pat", 12 * MIB)
    stranger = StorageAgent(tmp_path, hub, filesystem.path)
    (tmp_path / "token").write_text("not-a-token")
    stranger.start()
    wait_for("its words", lambda: "refuses (403)" in stranger.log or "(401)" in stranger.log)
    assert limit(filesystem, "homes/pat") == 12 * MIB
    assert "not-a-token" not in stranger.log
    stranger.kill()


@pytest.mark.slow
def test_killed_at_any_moment_it_converges(hub, agent, filesystem):
    """200 times, while limits change all the time; then what is to hold holds."""
    chance = random.Random(8)
    boosts = ", ".join(
        f"{{limit: member.storage, amount: {20 + n}M, until: 2099-01-01, member: user-{n}}}"
        for n in range(50)
    )
    for turn in range(200):
        amount = chance.randrange(5, 50)
        _policy(hub, f"geo: {{limits: {{member.storage: {amount}M}}, boosts: [{boosts}]}}")
        time.sleep(chance.uniform(0, 0.6))
        agent.kill()
        agent.start()
        if turn % 10 == 9:
            holds(filesystem, "homes/pat", amount * MIB)
            backend = find_backend(filesystem.path)
            wait_for("all", lambda b=backend: b.read(_USERS) and _wrong(b) == {}, 30)
            assert "Traceback" not in agent.log, agent.log[-3000:]


_USERS = [f"homes/user-{n}" for n in range(50)]


def _wrong(backend) -> dict[str, object]:
    held = backend.read(_USERS)
    wanted = {f"homes/user-{n}": (20 + n) * MIB for n in range(50)}
    return {p: held.get(p) for p, a in wanted.items() if p not in held or held[p].limit != a}


def _policy(hub: Hub, text: str) -> None:
    hub.ledger().apply(parse_policy({"groups": yaml.safe_load(text)}), "tests", "tests")


# -- what it remembers ------------------------------------------------------------------------


def test_what_was_heard_is_remembered(tmp_path):
    memory = Memory(tmp_path / "new" / "folder")
    assert memory.read() == Heard("", 0, True)
    memory.write(Heard("e", 3, True, {("user", "pat"): 5, ("group", "geo"): None}, 7))
    memory.write(Heard("e", 4, False, {("user", "pat"): 6}, None))
    memory.close()
    expected = Heard("e", 4, True, {("user", "pat"): 6, ("group", "geo"): None}, None)
    assert Memory(tmp_path / "new" / "folder").read() == expected
    memory = Memory(tmp_path / "new" / "folder")
    memory.write(Heard("f", 1, True, {("user", "kim"): 6}, 0))
    assert memory.read() == Heard("f", 1, True, {("user", "kim"): 6}, 0)


def test_where_nothing_can_be_kept_limits_hold_all_the_same(filesystem, tmp_path):
    memory = Memory(tmp_path)
    memory.write(Heard("e", 1, True, {("user", "kept"): MIB}))
    memory._db.execute("PRAGMA query_only = ON")  # as if the disk was full
    backend = find_backend(filesystem.path)
    backend.prepare()
    keeper = Keeper(filesystem.path, backend, Layout(Template.parse("kept/{username}")), memory)
    backend.create("kept/pat", (OWNER, OWNER), 0o700)
    keeper.take(Heard("e", 2, False, {("user", "pat"): 5 * MIB}))
    assert limit(filesystem, "kept/pat") == 5 * MIB
    assert memory.read() == Heard("e", 1, True, {("user", "kept"): MIB})


# -- what people see --------------------------------------------------------------------------


def test_my_usage_shows_what_my_home_holds(hub, agent, filesystem):
    hub.limits("geo: {member.storage: 40M, group.storage: 50M}")
    holds(filesystem, "homes/pat", 40 * MIB)
    (filesystem.path / "homes/pat/file").unlink(missing_ok=True)
    write(filesystem.path / "homes/pat/data", 20 * MIB)
    os.sync()
    pat = hub.login("pat")

    def shown(words: str) -> bool:
        return words in " ".join(pat.get("services/quotas/").text.split())

    wait_for("my home", lambda: shown("20 MiB of 40 MiB used."), 60)
    assert shown('My home <span class="text-body-secondary">(from geo)</span>')
    assert shown("Shared directory of geo")
    assert not shown("not measured yet")
    hub.limits("geo: {member.storage: 15M}")
    wait_for("what to do", lambda: shown("Nothing more can be written here"), 60)
    assert shown("Delete 5 MiB to go on.") or shown("Delete 5.0")
    assert (filesystem.path / "homes/pat/data").stat().st_size == 20 * MIB


def test_the_documentation_is_what_runs(agent, fresh_hub, filesystem, tmp_path, monkeypatch):
    """The service, the policies and the command of docs/storage.md."""
    text = (ROOT / "docs" / "storage.md").read_text()
    policy, *others = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for other in others:
        parse_policy(yaml.safe_load(other))
    [config] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [command] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("HOMES_TOKEN", TOKEN + "homes")
    drop_ins = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    agent.kill()  # it would set what its own hub says, on the same file system
    find_backend(filesystem.path).create("homes/of-this-page", (OWNER, OWNER), 0o700)
    hub = fresh_hub("snippet", config=drop_ins[1] + config)
    hub.ledger().apply(parse_policy(yaml.safe_load(policy)), "tests", "tests")
    (tmp_path / "token").write_text(TOKEN + "homes")
    command = (
        command.replace("/export", str(filesystem.path))
        .replace("https://hub.example.org/", hub.base)
        .replace("/etc/hub-storage-agent/token", str(tmp_path / "token"))
        .replace("hub-storage-agent plan", f"{PROGRAM} plan --state {tmp_path / 'state'}")
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "homes/of-this-page: 5 GiB, now no limit" in done.stdout
    assert "shared/" in done.stdout
    running = ["bash", "-c", command.replace(f"{PROGRAM} plan", f"{PROGRAM} run")]
    with subprocess.Popen(running, start_new_session=True) as run:
        try:
            wait_for("the limit", lambda: limit(filesystem, "homes/of-this-page") == 5 * GIB)
        finally:
            os.killpg(run.pid, signal.SIGKILL)


def test_the_examples_are_what_their_programs_take():
    unit = (ROOT / "examples/storage/hub-storage-agent.service").read_text()
    words = unit.partition("ExecStart=")[2].partition("\nLoad")[0].replace("\\\n", " ").split()
    manifest = yaml.safe_load((ROOT / "examples/storage/kubernetes.yaml").read_text())
    kubernetes_validate.validate(manifest, "1.30", strict=True)
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    for command in (words[1:], container["args"][1:]):
        args = _parser().parse_args(command)
        assert (args.run.__name__, args.create) == ("_run", Owner(1000, 100))
        assert Template.parse(args.homes).home("pat") == "homes/pat"
