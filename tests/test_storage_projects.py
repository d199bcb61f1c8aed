"""What is particular to limits by project, on XFS and ext4: where `STORAGE_KINDS` names them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import filesystems
import pytest
from filesystems import OWNER, Filesystem, as_owner, write

from hub_quotas.storage_agent import project, rounds
from hub_quotas.storage_agent.backend import Backend, StorageError, find_backend

KINDS = {"xfs", "ext4"} & set(os.environ.get("STORAGE_KINDS", "").split())
MIB = 2**20
pytestmark = pytest.mark.skipif(not KINDS, reason="runs in test_storage_in_machine.py")


@pytest.fixture(scope="module", params=sorted(KINDS))
def filesystem(request) -> Iterator[Filesystem]:
    made = filesystems.make(request.param)
    yield made
    filesystems.end(made)


@pytest.fixture
def backend(filesystem) -> Backend:
    return find_backend(filesystem.path)


def new(backend: Backend, *names: str) -> list[str]:
    for name in names:
        backend.create(f"homes/{name}", (OWNER, OWNER), 0o700)
    return [f"homes/{name}" for name in names]


def tree(filesystem: Filesystem, home: str) -> Path:
    """A home with something in it that was never counted."""
    top = filesystem.path / home
    deep = top / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for number, folder in enumerate((top, top / "a", deep)):
        (folder / "file").write_bytes(b"x" * MIB)
        (folder / f"link-{number}").symlink_to("/etc/passwd")
    os.mkfifo(deep / "pipe")
    (deep.parent / "fixed").write_text("")
    for path in [top, *top.rglob("*")]:
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
    return deep


def test_df_in_a_home_says_its_limit(backend, filesystem):
    backend.prepare()
    [home] = new(backend, "df")
    backend.put({home: 40 * MIB})
    found = os.statvfs(filesystem.path / home)
    assert found.f_blocks * found.f_frsize == 40 * MIB


# -- whether it can be used -------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_where_nothing_is_counted_it_says_what_to_do(kind):
    made = filesystems.make(kind, limits=False)
    try:
        backend = find_backend(made.path)
        assert backend.name == f"{kind}, without project quotas"
        with pytest.raises(StorageError, match="prjquota"):
            backend.prepare()
        if kind == "ext4":  # as it was told to
            device, options = made.path.with_name("ext4.img"), "loop,prjquota"
            for command in (
                ["umount", made.path],
                ["tune2fs", "-O", "quota,project", "-Q", "prjquota", device],
                ["mount", "-o", options, device, made.path],
            ):
                subprocess.run(command, check=True, capture_output=True)
            backend.prepare()
            assert backend.name == "ext4, project quotas"
    finally:
        filesystems.end(made)


def test_what_is_counted_without_limits_gets_them(filesystem, backend):
    turn_off(filesystem)
    assert backend.name.endswith("without limits")
    backend.prepare()
    assert backend.name == f"{filesystem.kind}, project quotas"
    (home,) = new(backend, "again")
    backend.put({home: 5 * MIB})
    assert write(filesystem.path / home / "file", 9 * MIB)[1] in filesystem.full


def turn_off(filesystem: Filesystem) -> None:
    top = os.open(filesystem.path, os.O_RDONLY)
    try:
        project._ioctl(top, 0x5802, bytearray(project._ENFORCED.to_bytes(4, "little")), 0)
    finally:
        os.close(top)


def test_a_kernel_before_5_14_is_given_the_device(filesystem, backend, monkeypatch):
    monkeypatch.setattr(project, "_SYSCALL", 1023)
    (home,) = new(backend, "older")
    assert backend.put({home: 5 * MIB}) == {}
    assert backend.read([home])[home].limit == 5 * MIB
    assert write(filesystem.path / home / "file", 9 * MIB)[1] in filesystem.full


def test_who_may_not_set_limits_is_told(filesystem, backend):
    (home,) = new(backend, "unprivileged")

    def refused() -> str:
        os.chdir("/")
        return find_backend(filesystem.path).put({home: MIB})[home]

    assert "ermi" in filesystems.owner(refused)


# -- whose number is whose --------------------------------------------------------------------


def test_what_was_there_before_is_counted(filesystem, backend):
    (home,) = new(backend, "before")
    deep = tree(filesystem, home)
    subprocess.run(["chattr", "+i", deep.parent / "fixed"], check=True)
    assert backend.read([home]) == {}
    assert backend.put({home: 5 * MIB}) == {}
    os.sync()
    assert 3 * MIB <= backend.read([home])[home].used <= 4 * MIB
    assert write(deep / "more", 9 * MIB)[1] in filesystem.full


def test_broken_off_while_it_is_first_counted_no_limit_is_seen_before_all_is(
    filesystem, backend, monkeypatch
):
    real, seen = project._ioctl, []
    for steps in range(0, 40, 2):
        (home,), left = new(backend, f"broken-{steps}"), [steps]
        tree(filesystem, home)

        def some(*arguments, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments)

        monkeypatch.setattr(project, "_ioctl", some)
        with suppress(KeyboardInterrupt):
            backend.put({home: 20 * MIB})
        monkeypatch.setattr(project, "_ioctl", real)
        os.sync()
        fresh = find_backend(filesystem.path)
        held = fresh.read([home]).get(home)
        seen.append(bool(held and held.limit))
        assert not held or not held.limit or held.used >= 3 * MIB
        assert fresh.put({home: 20 * MIB}) == {}
        assert 3 * MIB <= fresh.read([home])[home].used <= 4 * MIB
    assert set(seen) == {False, True}


def test_without_a_limit_it_is_counted_too(filesystem, backend):
    (home,) = new(backend, "unlimited")
    tree(filesystem, home)
    assert backend.put({home: None}) == {}
    os.sync()
    held = backend.read([home])[home]
    assert held.limit is None and 3 * MIB <= held.used <= 4 * MIB


def test_a_copy_is_not_the_home(filesystem, backend):
    (home,) = new(backend, "original")
    tree(filesystem, home)
    backend.put({home: 20 * MIB})
    path = filesystem.path / home
    number = subprocess.check_output(["lsattr", "-pd", path], text=True).split()[0]
    copy = path.with_name("copy")
    subprocess.run(["cp", "-a", path, copy], check=True)
    subprocess.run(["chattr", "-R", "-p", number, copy], capture_output=True)
    subprocess.run(["chattr", "+P", copy], check=True)
    fresh = find_backend(filesystem.path)
    assert fresh.put({"homes/copy": 10 * MIB}) == {}
    os.sync()
    held = fresh.read([home, "homes/copy"])
    assert [one.limit for one in held.values()] == [20 * MIB, 10 * MIB]
    assert all(3 * MIB <= one.used <= 4 * MIB for one in held.values()), held


def test_inodes_that_would_get_the_same_number_get_others(filesystem, backend, monkeypatch):
    monkeypatch.setattr(project, "_SPAN", 4)
    monkeypatch.setattr(project, "_CHOICES", 4)
    homes = new(backend, *(f"same-{number}" for number in range(4)))
    assert backend.put(dict.fromkeys(homes, 3 * MIB)) == {}
    for home in homes:
        assert write(filesystem.path / home / "file", 9 * MIB)[0] <= 3 * MIB
    fresh = find_backend(filesystem.path)
    assert [held.limit for held in fresh.read(homes).values()] == [3 * MIB] * 4
    (fifth,) = new(backend, "same-5")
    assert "all in use" in backend.put({fifth: 3 * MIB})[fifth]


def test_limits_are_whole_blocks(filesystem, backend):
    (home,) = new(backend, "blocks")
    for limit, held in ((0, 4096), (1, 4096), (10_000_000, 9_998_336)):
        assert backend.put({home: limit}) == {}
        assert backend.read([home])[home].limit == held


def test_links_pipes_and_other_mounts_are_left_alone(filesystem, backend):
    (home,) = new(backend, "mounts")
    elsewhere = filesystem.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("not theirs")
    tree(filesystem, home)
    inside, linked = filesystem.path / home / "inside", filesystem.path / home / "linked"
    inside.mkdir()
    linked.symlink_to(elsewhere)
    subprocess.run(["mount", "--bind", elsewhere, inside], check=True)
    try:
        assert backend.put({home: 20 * MIB}) == {}
        assert backend.repair([home]) == []
    finally:
        subprocess.run(["umount", inside], check=True)
    listed = subprocess.check_output(["lsattr", "-p", elsewhere], text=True)
    assert listed.split()[0] == "0"


# -- what owners try --------------------------------------------------------------------------


def escape(filesystem: Filesystem, home: str, number: str, name: str = "out") -> None:
    path = filesystem.path / home / name
    assert not as_owner("mkdir", str(path)).returncode
    assert not as_owner("chattr", "-P", "-p", number, str(path)).returncode


def test_without_a_sign_nothing_is_looked_through_at_once(filesystem, backend, monkeypatch):
    homes = new(backend, "sign", "other")
    backend.put(dict.fromkeys(homes, 20 * MIB))
    assert backend.repair(homes) == []
    monkeypatch.setattr(rounds, "SWEEP", 0)
    other = subprocess.check_output(["lsattr", "-pd", filesystem.path / homes[1]], text=True)
    escape(filesystem, homes[0], other.split()[0], "charged")
    assert backend.repair(homes) == [], "no number that is no home's grew"
    escape(filesystem, homes[0], "0")
    assert [found.home for found in backend.repair(homes)] == [homes[0]]
    assert backend.repair(homes) == []


def test_a_look_that_takes_long_goes_on_at_the_next_call(filesystem, backend, monkeypatch):
    homes = new(backend, "long", "short")
    tree(filesystem, homes[0])
    backend.put(dict.fromkeys(homes, 20 * MIB))
    for home in homes:
        escape(filesystem, home, "0")
    monkeypatch.setattr(rounds, "LOOK", 0)
    calls = [[found.home for found in backend.repair(homes)] for _ in range(20)]
    assert calls[0] == []
    assert {home for call in calls for home in call} == set(homes)
    assert sum(map(len, calls)) == 2


def test_a_file_that_is_held_by_a_lease_is_told_of(filesystem, backend):
    (home,) = new(backend, "leased")
    backend.put({home: 20 * MIB})
    file = filesystem.path / home / "file"
    file.write_text("x")
    os.chown(file, OWNER, OWNER)
    with open(file, "r+") as held:
        fcntl.fcntl(held, fcntl.F_SETSIG, 0)
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        (found,) = backend.repair([home])
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        signal.signal(signal.SIGIO, before)
    assert found.home == home and "Not all could be counted" in found.what
    assert backend.repair([home]) == []


def test_very_deep_trees_are_looked_through(filesystem, backend):
    (home,) = new(backend, "deep")
    here = os.open(filesystem.path / home, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert backend.put({home: 50 * MIB}) == {}
    assert backend.repair([home]) == []


# -- how long it takes ------------------------------------------------------------------------


def test_what_changes_is_what_costs(filesystem, backend):
    homes = [f"many/{number}" for number in range(500)]
    for home in homes:
        backend.create(home, (OWNER, OWNER), 0o700)
    took = {}

    def timed(name: str, call) -> None:
        start = time.monotonic()
        call()
        took[name] = time.monotonic() - start

    timed("put", lambda: backend.put(dict.fromkeys(homes, 5 * MIB)))
    timed("again", lambda: backend.put(dict.fromkeys(homes, 5 * MIB)))
    timed("1 %", lambda: backend.put(dict.fromkeys(homes[::100], 6 * MIB)))
    timed("read", lambda: backend.read(homes))
    timed("repair", lambda: backend.repair(homes))
    timed("repair again", lambda: backend.repair(homes))
    print(filesystem.kind, {name: round(seconds, 3) for name, seconds in took.items()})
    assert took["1 %"] < took["put"] / 10
    assert took["again"] < took["put"] * 1.5
