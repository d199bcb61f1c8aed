"""Limits of local servers are the kernel's to hold, where it lets us."""

from __future__ import annotations

import ast
import os
import re
import signal
from pathlib import Path

import httpx
import psutil
import pytest
from hubs import ROOT, wait_for

from hub_quotas.cgroups import (
    PARENT,
    Place,
    available,
    directory_name,
    find_place,
    hierarchies,
    killed_for_memory,
    limit_files,
    make_group,
    oom_kills,
)

MIB = 2**20

# -- pure -------------------------------------------------------------------------------------


def test_values_for_version_1():
    assert limit_files("v1", 512 * MIB, 1.5) == {
        "memory": {
            "memory.limit_in_bytes": "536870912",
            "memory.memsw.limit_in_bytes": "536870912",
        },
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
    }
    # Memory and swap together can't be less than memory alone, not even for a moment.
    assert next(iter(limit_files("v1", 1, None)["memory"])) == "memory.limit_in_bytes"


def test_values_for_version_2():
    assert limit_files("v2", 512 * MIB, 0.5) == {
        "memory": {"memory.max": "536870912", "memory.swap.max": "0", "memory.oom.group": "1"},
        "cpu": {"cpu.max": "50000 100000"},
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nothing_is_written_for_what_has_no_limit(version):
    assert limit_files(version, None, None) == {}
    assert limit_files(version, 0, 0) == {}
    assert set(limit_files(version, MIB, None)) == {"memory"}
    assert set(limit_files(version, None, 1)) == {"cpu"}


def test_a_share_below_what_the_kernel_takes_is_the_least_that_it_takes():
    assert limit_files("v2", None, 0.001)["cpu"]["cpu.max"] == "1000 100000"


@pytest.mark.parametrize(
    ("user", "server", "name"),
    [
        ("sam", "", "sam-t0"),
        ("sam", "second", "sam-second-t0"),
        ("Sam.O'Neil@example.org", "a/b", "sam-o-neil-example-org-a-b-t0"),
        ("../..", "..", "t0"),
        ("\u00fcmit", "\n", "mit-t0"),
        ("x" * 300, "y", "x" * 40 + "-t0"),
    ],
)
def test_names_are_safe(user, server, name):
    assert directory_name(user, server, "t0") == name


def test_names_that_look_alike_stay_apart_by_their_token():
    assert directory_name("a", "b", "t0") != directory_name("a-b", "", "t1")


V1_CGROUP = "4:memory:/docker/abc/sub\n3:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n"
V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
"""


def test_own_cgroups_are_found_in_version_1():
    found = hierarchies(V1_CGROUP, V1_MOUNTS)
    memory = Path("/sys/fs/cgroup/memory")
    assert found["memory"] == (memory / "sub", memory), "as seen from inside the container"
    assert found["cpu"] == (Path("/sys/fs/cgroup/cpu,cpuacct"),)
    assert "" not in found, "version 2 is not mounted"


def test_own_cgroup_is_found_in_version_2():
    mounts = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
    top = Path("/sys/fs/cgroup")
    found = hierarchies("0::/system.slice/hub.service\n", mounts)
    assert found == {"": (top / "system.slice/hub.service", top / "system.slice", top)}
    assert hierarchies("0::/\n", mounts) == {"": (top,)}
    assert hierarchies("0::/../other\n", mounts) == {}, "outside of what this container sees"


def test_kills_are_counted_in_both_versions():
    assert oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert oom_kills("low 0\nhigh 0\nmax 41\noom 2\noom_kill 1\noom_group_kill 1\n") == 1
    assert oom_kills("oom_kill_disable 1\nunder_oom 0\n") == 0


# -- the layout of version 2, in a tree of plain files ----------------------------------------


@pytest.fixture
def v2_tree(tmp_path, monkeypatch):
    """A hub in system.slice/hub.service, and where its groups would be; files are the kernel's."""
    top = tmp_path / "cgroup"
    slice_, group = top / "system.slice", top / "system.slice" / PARENT / "sam-t0"
    for directory in (slice_ / "hub.service", group):
        directory.mkdir(parents=True)
    for directory, control in ((slice_, "cpu memory pids"), (slice_ / PARENT, " " * 8 + "cpu")):
        (directory / "cgroup.procs").touch()
        (directory / "cgroup.subtree_control").write_text(control)
    for file in ("memory.max", "memory.swap.max", "cpu.max"):
        (group / file).touch()
    (tmp_path / "mountinfo").write_text(f"30 23 0:26 / {top} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup-of-self").mkdir()
    (tmp_path / "cgroup-of-self" / "cgroup").write_text("0::/system.slice/hub.service\n")
    (tmp_path / "mountinfo").rename(tmp_path / "cgroup-of-self" / "mountinfo")
    monkeypatch.setattr("hub_quotas.cgroups.PROC", tmp_path / "cgroup-of-self")
    return slice_


def test_version_2_hands_controllers_down_and_writes_limits(v2_tree):
    place = find_place()
    assert place == Place("v2", dict.fromkeys(("memory", "cpu"), v2_tree / PARENT))
    assert (v2_tree / PARENT / "cgroup.subtree_control").read_text() == "+memory cpu"
    made, problems = make_group(place, "sam-t0", limit_files("v2", 64 * MIB, 0.5))
    group = v2_tree / PARENT / "sam-t0"
    assert (made, problems) == ([group], [])
    assert (group / "memory.max").read_text() == "67108864"
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert not (group / "memory.oom.group").exists(), "a file that this kernel lacks is not made"


def test_version_2_tells_what_was_killed(v2_tree):
    group = v2_tree / PARENT / "sam-t0"
    (group / "memory.max").write_text("67108864\n")
    (group / "memory.events").write_text("oom 1\noom_kill 2\n")
    assert killed_for_memory([group]) == (2, 64 * MIB)


def test_a_limit_that_can_not_be_written_is_a_problem_with_a_name(v2_tree):
    (v2_tree / PARENT / "sam-t0" / "cpu.max").unlink()
    _, (problem,) = make_group(find_place(), "sam-t0", limit_files("v2", MIB, 0.5))
    assert problem.startswith("cpu: ") and "cpu.max" in problem


# -- a real hub, real servers, this machine's kernel ------------------------------------------


@pytest.fixture(scope="module")
def kernel() -> str:
    version = available()
    if not version and os.environ.get("CI") != "true":
        pytest.skip("cgroups can't be written here")
    assert version, "cgroups can't be written here; run as root, in a privileged container"
    return version


def start(hub, user: str) -> list[Path]:
    """Start a server; returns its cgroups, which hold it."""
    directories = start_without_group(hub, user)
    assert directories and all(pids(directories))
    return directories


def start_without_group(hub, user: str) -> list[Path]:
    hub.login(user)
    answer = hub.api(f"users/{user}/server", "POST")
    assert answer.is_success, answer.text
    wait_for(f"the server of {user}", lambda: hub.server(user))
    return [Path(path) for path in hub.server(user)["state"].get("cgroups", [])]


def stop(hub, user: str) -> None:
    assert hub.api(f"users/{user}/server", "DELETE").is_success
    wait_for(
        f"the server of {user} to stop", lambda: not hub.api(f"users/{user}").json()["servers"]
    )


def ask(hub, user: str, **what) -> str:
    """The server's own answer, in which it did something."""
    answer = httpx.get(f"{hub.base}user/{user}/", params=what, timeout=60)
    assert answer.status_code == 200, answer.text
    (value,) = ast.literal_eval(answer.text)
    return str(value).strip()


def read(directories: list[Path], *names: str) -> str:
    """The first of these files that there is."""
    return next((d / n).read_text().strip() for n in names for d in directories if (d / n).exists())


def memory_limit(directories: list[Path]) -> int:
    return int(read(directories, "memory.limit_in_bytes", "memory.max"))


def pids(directories: list[Path]) -> list[set[int]]:
    return [set(map(int, (d / "cgroup.procs").read_text().split())) for d in directories]


def test_a_server_above_the_limit_of_its_group_is_killed_and_the_log_says_so(kernel, start_hub):
    hub = start_hub("cgroups")
    hub.limits("default: {server.memory: 96M}")
    directories = start(hub, "greedy")
    assert memory_limit(directories) == 96 * MIB, "what the ledger granted"
    ask(hub, "greedy", allocate=40 * MIB)
    assert hub.server("greedy"), "below the limit"
    with pytest.raises(AssertionError):  # the proxy's answer
        ask(hub, "greedy", allocate=200 * MIB)
    wait_for("the end", lambda: not hub.api("users/greedy").json()["servers"])
    assert "killed a process of greedy:, which reached the memory limit of 96 MiB" in hub.log
    assert not any(directory.exists() for directory in directories)
    wait_for("the ledger to be empty", lambda: hub.in_use() == {})
    hub.limits("{}")


def test_a_busy_loop_gets_its_share_of_the_cpu(kernel, start_hub):
    hub = start_hub("cgroups", config="c.Spawner.cpu_limit = 0.25")
    directories = start(hub, "busy")
    assert 0.1 < float(ask(hub, "busy", burn=1)) < 0.35
    throttled = re.search(r"nr_throttled (\d+)", read(directories, "cpu.stat"))
    assert int(throttled[1]) > 5, "about one in each of 20 periods"
    stop(hub, "busy")


def test_what_a_server_leaves_running_ends_with_it(kernel, start_hub):
    hub = start_hub("cgroups", config="c.Spawner.cpu_limit = 0.25")
    directories = start(hub, "leaver")
    left = int(ask(hub, "leaver", leave=1))
    assert all({left, hub.server("leaver")["state"]["pid"]} == found for found in pids(directories))
    stop(hub, "leaver")
    wait_for("its child to be gone", lambda: not psutil.pid_exists(left), seconds=5)
    assert not any(directory.exists() for directory in directories)
    assert "which reached the memory limit" not in hub.log


def test_a_server_without_limits_has_no_group(kernel, start_hub):
    hub = start_hub("cgroups")
    assert start_without_group(hub, "free") == []
    stop(hub, "free")


LIMITS = "c.Spawner.cpu_limit = 0.5\nc.Spawner.mem_limit = '64M'"


def test_a_hub_that_was_killed_leaves_nothing_behind(kernel, fresh_hub):
    hub = fresh_hub("cgroups", cleanup_servers=False, config=LIMITS)
    survivor, victim = start(hub, "survivor"), start(hub, "victim")
    lost = [directory.with_name("lost-t0") for directory in victim]  # of a start cut short
    for directory in lost:
        directory.mkdir()
    pid = hub.server("victim")["state"]["pid"]
    hub.kill()
    os.kill(pid, signal.SIGKILL)
    hub.start()
    assert hub.server("survivor") and all(pids(survivor))
    start(hub, "next")
    assert not any(directory.exists() for directory in [*victim, *lost])
    assert all(pids(survivor)), "not what is in use"
    for user in ("survivor", "next"):
        stop(hub, user)
    assert not any(directory.exists() for directory in survivor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as other users")
def test_the_line_of_the_how_to_gives_limits_that_a_user_can_not_raise(kernel, fresh_hub):
    """As the system user `daemon`, whom every Linux has."""
    how_to = (ROOT / "docs" / "limits.md").read_text()
    (line,) = re.findall(r"^c\.JupyterHub\.spawner_class = .*Limited.*$", how_to, re.MULTILINE)
    python = "/usr/bin/python3"  # one that another user may run
    hub = fresh_hub("cgroups", config=f"{line}\n{LIMITS}", server_python=python)
    directories = start(hub, "daemon")
    assert memory_limit(directories) == 64 * MIB
    assert ask(hub, "daemon", nothing=1) == "1", "its user id"
    for directory in directories:
        for file in directory.iterdir():
            if file.is_file() and file.stat().st_mode & 0o222:
                assert ask(hub, "daemon", write=f"{file}=-1") == "Permission denied", file
        door = directory.parent / "cgroup.procs"
        assert ask(hub, "daemon", write=f"{door}=0") == "Permission denied"
    assert memory_limit(directories) == 64 * MIB
    stop(hub, "daemon")


def test_where_cgroups_can_not_be_written_servers_start_and_the_log_says_so_once(
    fresh_hub, tmp_path
):
    """A machine whose cgroup file system is not there; root could write to any that is."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("0::/\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {tmp_path}/none rw - cgroup2 cgroup2 rw\n")
    hub = fresh_hub("cgroups", config=LIMITS, proc=str(proc))
    assert [start_without_group(hub, user) for user in ("one", "two")] == [[], []]
    assert hub.log.count("The memory and cpu limits of local servers are advisory") == 1
