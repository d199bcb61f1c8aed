"""ZFS: by a stand-in that follows the manual, and by the old real command of zfs-fuse."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filesystems import OWNER, write

from hub_quotas.storage_agent import backend as backends
from hub_quotas.storage_agent.backend import StorageError, find_backend
from hub_quotas.storage_agent.zfs import Zfs

pytestmark = pytest.mark.slow

MIB = 2**20


@dataclass
class Pool:
    """Attributes:
    real: whether it refuses writes.
    """

    backend: Zfs
    path: Path
    real: bool = False

    def fill(self, home: str, size: int) -> None:
        """Put so much into a home."""
        if self.real:
            write(self.path / home / f"some-{uuid.uuid4().hex}", size)
            settle()
            return
        state = json.loads(self._state.read_text())
        state[self.dataset(home)]["referenced"] = size
        self._state.write_text(json.dumps(state))

    def empty(self, home: str) -> None:
        if not self.real:
            self.fill(home, 98304)
            return
        for file in (self.path / home).iterdir():
            file.unlink()
        for _turn in range(5):
            settle()
            if self.backend.read([home])[home].used < MIB:
                return

    def dataset(self, home: str) -> str:
        return self.backend._datasets()[str(self.path / home)]

    @property
    def _state(self) -> Path:
        return self.path.parent / "state.json"

    def commands(self) -> list[list[str]]:
        file = self.path.parent / "commands"
        return [json.loads(line) for line in file.read_text().splitlines()]


def settle() -> None:
    os.sync()
    time.sleep(6)  # zfs-fuse counts when a group of transactions is written, each 5 seconds


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Pool:
    state = tmp_path / "state.json"
    path = tmp_path / "tank"
    path.mkdir()
    top = {"refquota": 0, "referenced": 98304, "mountpoint": str(path)}
    state.write_text(json.dumps({"tank": top}))
    (tmp_path / "mounts").write_text(f"tank {path} zfs rw 0 0\n")
    monkeypatch.setenv("FAKE_ZFS", str(state))
    command = tmp_path / "zfs"
    program = Path(__file__).with_name("fake_zfs.py")
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {program} "$@"\n')
    command.chmod(0o755)
    return Pool(Zfs(path, str(command), tmp_path / "mounts"), path)


@pytest.fixture(scope="module")
def _zfs_fuse() -> Iterator[Pool]:
    """A pool of the real command; where it can't be had, its tests are left out."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists() or Path("/dev/zfs").exists():
        pytest.skip("zfs-fuse needs root, /dev/fuse, and no other ZFS")
    if not shutil.which("zfs-fuse") and "CI" in os.environ and shutil.which("apt-get"):
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "zfs-fuse"]
        subprocess.run(install, capture_output=True)
    if not shutil.which("zfs-fuse"):
        pytest.skip("there is no zfs-fuse")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # owners get at it, which they don't where pytest has its own
    daemon = subprocess.Popen(
        ["zfs-fuse", "--no-daemon", "--pidfile", str(folder / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    name, image, path = f"test{uuid.uuid4().hex[:8]}", folder / "image", folder / "pool"
    with open(image, "wb") as file:
        file.truncate(512 * MIB)
    make = ["zpool", "create", "-O", f"mountpoint={path}", name, str(image)]
    for _attempt in range(20):
        time.sleep(0.2)
        done = subprocess.run(make, capture_output=True, text=True)
        if not done.returncode:
            break
    try:
        if done.returncode:
            pytest.skip(f"zfs-fuse makes no pool: {done.stderr}")
        yield Pool(Zfs(path), path, real=True)
    finally:
        subprocess.run(["zpool", "destroy", "-f", name], capture_output=True)
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["fake", "real"])
def pool(request) -> Pool:
    found: Pool = request.getfixturevalue("fake" if request.param == "fake" else "_zfs_fuse")
    return found


def new(pool: Pool, name: str) -> str:
    pool.backend.create(f"homes/{name}", (OWNER, OWNER), 0o700)
    return f"homes/{name}"


def test_a_limit_is_set_and_read(pool):
    home = new(pool, "set")
    assert pool.backend.read([home])[home].limit is None
    assert pool.backend.put({home: 10 * MIB}) == {}
    held = pool.backend.read([home])[home]
    assert held.limit == 10 * MIB and 0 < held.used < MIB
    assert pool.backend.put({home: 20 * MIB}) == {}
    assert pool.backend.read([home])[home].limit == 20 * MIB
    assert pool.backend.put({home: None}) == {}
    assert pool.backend.read([home])[home].limit is None


def test_a_home_that_is_there_is_not_made_again(pool):
    home = new(pool, "there")
    path = pool.path / home
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (OWNER, 0o700)
    (path / "kept").write_text("x")
    pool.backend.create(home, (0, 0), 0o755)
    assert (path / "kept").read_text() == "x"
    assert path.stat().st_uid == OWNER
    assert pool.dataset(home) == f"{pool.dataset('homes')}/there"


def test_what_was_made_and_then_broken_off_gets_its_owner(pool):
    home = new(pool, "halfway")
    os.chown(pool.path / home, 0, 0)
    new(pool, "halfway")
    assert (pool.path / home).stat().st_uid == OWNER


def test_what_is_not_there_is_not_spoken_of(pool):
    assert pool.backend.put({"homes/nobody": MIB}) == {}
    assert pool.backend.read(["homes/nobody"]) == {}


def test_an_ordinary_directory_can_not_be_limited(pool):
    new(pool, "dataset")
    (pool.path / "homes" / "ordinary").mkdir()
    problems = pool.backend.put({"homes/ordinary": MIB, "homes/dataset": MIB})
    assert list(problems) == ["homes/ordinary"]
    assert "is an ordinary directory" in problems["homes/ordinary"]
    assert pool.backend.read(["homes/ordinary"]) == {}
    assert pool.backend.read(["homes/dataset"])["homes/dataset"].limit == MIB
    pool.backend.create("homes/ordinary", (OWNER, OWNER), 0o700)
    assert (pool.path / "homes" / "ordinary").stat().st_uid == 0


def test_below_an_ordinary_directory_homes_are_mounted_by_their_path(pool):
    (pool.path / "plain").mkdir()
    pool.backend.create("plain/alice", (OWNER, OWNER), 0o700)
    assert pool.backend.put({"plain/alice": 3 * MIB}) == {}
    assert pool.backend.read(["plain/alice"])["plain/alice"].limit == 3 * MIB
    assert pool.dataset("plain/alice").endswith("/plain:alice")


def test_below_what_is_used_it_is_what_is_used_and_comes_down(pool):
    home = new(pool, "lowered")
    pool.backend.put({home: 30 * MIB})
    pool.fill(home, 20 * MIB)
    problems = pool.backend.put({home: 10 * MIB})
    assert "holds more than its limit" in problems[home]
    held = pool.backend.read([home])[home]
    assert 19 * MIB <= held.used <= held.limit <= held.used + MIB
    assert pool.backend.put({home: 10 * MIB}) == problems, "it says the same until it changes"
    pool.empty(home)
    assert pool.backend.put({home: 10 * MIB}) == {}
    assert pool.backend.read([home])[home].limit == 10 * MIB


def test_nothing_at_all_is_not_no_limit(pool):
    home = new(pool, "nothing")
    assert home in pool.backend.put({home: 0})
    held = pool.backend.read([home])[home]
    assert held.limit == held.used


def test_names_that_programs_trip_over(pool):
    for name in ("with space", "ünïcödé", "quote'\"", "-dash", "a:b#c", "a@b.org", "100%", "a,b=c"):
        home = new(pool, name)
        assert pool.backend.put({home: 3 * MIB}) == {}, name
        assert pool.backend.read([home])[home].limit == 3 * MIB
        assert (pool.path / home).stat().st_uid == OWNER


def test_a_link_in_the_place_of_a_home_leads_nowhere(pool):
    home = new(pool, "linked")
    pool.backend.put({home: 5 * MIB})
    (pool.path / "homes" / "link").symlink_to(pool.path / home)
    pool.backend.put({"homes/link": 50 * MIB})
    assert pool.backend.read(["homes/link"]) == {}
    assert pool.backend.read([home])[home].limit == 5 * MIB


def test_ready(pool):
    pool.backend.prepare()
    assert pool.backend.name.startswith("zfs")
    assert pool.backend.repair(["homes/alice"]) == []


def test_many(fake):
    homes = [new(fake, f"many-{number}") for number in range(60)]
    before = len(fake.commands())
    assert fake.backend.put(dict.fromkeys(homes, 10 * MIB)) == {}
    assert [words[0] for words in fake.commands()[before:]] == ["get", "set"]
    assert fake.backend.put(dict.fromkeys(homes, 10 * MIB)) == {}
    assert [words[0] for words in fake.commands()[before + 2 :]] == ["get"], "nothing to be done"
    limits = {home: (number + 1) * MIB for number, home in enumerate(homes)}
    assert fake.backend.put(limits) == {}
    before = len(fake.commands())
    assert {home: held.limit for home, held in fake.backend.read(homes).items()} == limits
    assert len(fake.commands()) == before + 1, "all are read by one command"


def test_one_that_goes_in_the_meantime_hinders_no_other(fake, monkeypatch):
    homes = [new(fake, name) for name in ("stays", "goes")]
    table = fake.backend._datasets()
    state = json.loads(fake._state.read_text())
    fake._state.write_text(json.dumps({k: v for k, v in state.items() if not k.endswith("goes")}))
    monkeypatch.setattr(fake.backend, "_datasets", lambda: table)
    assert fake.backend.put(dict.fromkeys(homes, MIB)) == {}
    assert list(fake.backend.read(homes)) == ["homes/stays"]


def test_one_that_grows_in_the_meantime_is_tried_again(fake, monkeypatch):
    home = new(fake, "grows")
    real, grown = fake.backend._run, []

    def run(*words):
        if words[0] == "set" and len(grown) < 2:
            grown.append(words)
            fake.fill(home, (20 + len(grown)) * MIB)
        return real(*words)

    monkeypatch.setattr(fake.backend, "_run", run)
    assert home in fake.backend.put({home: 10 * MIB})
    assert fake.backend.read([home])[home].limit == 22 * MIB


def test_a_dataset_of_the_same_name_that_is_elsewhere_is_left_alone(fake):
    new(fake, "first")
    state = json.loads(fake._state.read_text())
    state["tank/homes/taken"] = {"refquota": 0, "referenced": 98304, "mountpoint": "/elsewhere"}
    fake._state.write_text(json.dumps(state))
    with pytest.raises(StorageError, match="already exists"):
        new(fake, "taken")


def test_without_the_command_it_says_where_it_is_had(tmp_path):
    (tmp_path / "mounts").write_text(f"tank {tmp_path} zfs rw 0 0\n")
    with pytest.raises(StorageError, match="no-such.*can't be started.*zfsutils-linux"):
        Zfs(tmp_path, "no-such", tmp_path / "mounts").prepare()


def test_what_the_command_does_not_want_is_said(fake, monkeypatch):
    new(fake, "alice")
    monkeypatch.setattr(
        fake.backend, "_run", lambda *_words: ("", "cannot open 'tank': permission denied")
    )
    with pytest.raises(StorageError, match="permission denied"):
        fake.backend.read(["homes/alice"])


def test_so_many_names_that_they_fill_more_than_one_command(fake, monkeypatch):
    homes = [new(fake, f"long-{number}") for number in range(5)]
    monkeypatch.setattr("hub_quotas.storage_agent.zfs._MOST_BYTES", 60)
    before = len(fake.commands())
    assert len(fake.backend.read(homes)) == 5
    assert len(fake.commands()) - before == 2, "three names of 18 bytes, then two"


@pytest.mark.parametrize(
    "words, error",
    [
        (["get", "-Z"], "invalid option 'Z'"),
        (["get", "-H", "nothing"], "invalid property 'nothing'"),
        (["get", "-Hp", "refquota", "tank/no"], "dataset does not exist"),
        (["set", "refquota=x", "tank"], "bad numeric value"),
        (["set", "refquota=0", "tank"], "use 'none' to disable quota/refquota"),
        (["set", "refquota=1", "tank"], "size is less than current used or reserved space"),
        (["set", "referenced=1", "tank"], "is readonly"),
        (["create", "tank/a@b"], "snapshot delimiter"),
        (["create", "tank/ü"], "invalid character"),
        (["create", "tank/no/x"], "parent does not exist"),
        (["create", "tank/"], "empty component"),
        (["destroy", "tank"], "unrecognized command"),
    ],
)
def test_the_stand_in_refuses_what_is_not_documented(fake, words, error):
    done = subprocess.run([fake.backend._command, *words], capture_output=True, text=True)
    assert done.returncode and error in done.stderr


def test_it_is_found_by_its_mount(monkeypatch, tmp_path):
    for kind in ("zfs", "fuse.zfs"):
        monkeypatch.setattr(
            backends, "find_mount", lambda _path, kind=kind: (tmp_path, kind, "tank")
        )
        assert isinstance(find_backend(tmp_path), Zfs)


# -- what only a real one does ----------------------------------------------------------------


def test_beyond_the_limit_nothing_is_written(_zfs_fuse):
    pool = _zfs_fuse
    home, other = new(pool, "full"), new(pool, "other")
    pool.backend.put({home: 10 * MIB, other: 30 * MIB})
    error = 0
    for number in range(20):  # what is not counted yet goes beyond; the old one lets it
        written, error = write(pool.path / home / f"file-{number}", 5 * MIB)
        if error:
            break
        settle()
    assert error in (errno.EDQUOT, errno.ENOSPC)
    settle()
    assert pool.backend.read([home])[home].used <= 16 * MIB
    assert write(pool.path / other / "file", 5 * MIB) == (5 * MIB, 0)
    pool.backend.put({home: 40 * MIB})
    assert write(pool.path / home / "more", 5 * MIB) == (5 * MIB, 0)
