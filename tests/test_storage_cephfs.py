"""CephFS, by a stand-in for its extended attributes that follows Ceph's documentation."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub_quotas.storage_agent import backend as backends
from hub_quotas.storage_agent import cephfs
from hub_quotas.storage_agent.backend import StorageError, find_backend
from hub_quotas.storage_agent.cephfs import CephFS

MIB = 2**20
ME = (os.getuid(), os.getgid())


@dataclass
class Attributes:
    """What a CephFS client does of getxattr(2) and setxattr(2).

    Limits are as text, are absent where there is none, go when they are set to 0, and are set by
    keys with the flag `p` alone. What is used is the sum of the sizes of the files below.

    Attributes:
        calls: of setxattr.
    """

    may: bool = True
    is_ceph: bool = True
    old: bool = False
    limits: dict[int, bytes] = field(default_factory=dict)
    calls: int = 0

    def get(self, fd: int, name: str) -> bytes:
        if not self.is_ceph:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if name == "ceph.dir.rbytes":
            return str(_below(fd)).encode()
        assert name == "ceph.quota.max_bytes"
        if (inode := os.fstat(fd).st_ino) not in self.limits:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return self.limits[inode]

    def set(self, fd: int, name: str, value: bytes) -> None:
        self.calls += 1
        assert name == "ceph.quota.max_bytes", "the others can't be written"
        if not self.may:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if self.old:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        assert value.isdigit()
        if int(value):
            self.limits[os.fstat(fd).st_ino] = value
        else:
            self.limits.pop(os.fstat(fd).st_ino, None)


def _below(fd: int) -> int:
    walked = os.walk(f"/proc/self/fd/{fd}")
    return sum(os.lstat(Path(at, name)).st_size for at, _names, files in walked for name in files)


@pytest.fixture
def attributes(monkeypatch) -> Attributes:
    found = Attributes()
    monkeypatch.setattr(cephfs.os, "getxattr", found.get)
    monkeypatch.setattr(cephfs.os, "setxattr", found.set)
    return found


@pytest.fixture
def backend(attributes, tmp_path) -> CephFS:
    return CephFS(tmp_path)


def new(backend: CephFS, name: str) -> str:
    backend.create(f"homes/{name}", ME, 0o700)
    return f"homes/{name}"


def test_a_limit_is_set_and_read(backend):
    home = new(backend, "alice")
    assert backend.read([home])[home].limit is None
    assert backend.put({home: 10 * MIB}) == {}
    assert backend.read([home])[home].limit == 10 * MIB
    assert backend.put({home: None}) == {}
    assert backend.read([home])[home].limit is None


def test_nothing_at_all_is_not_no_limit(backend, attributes):
    home = new(backend, "alice")
    assert backend.put({home: 0}) == {}
    assert backend.read([home])[home].limit == 0
    assert list(attributes.limits.values()) == [b"1"]


def test_use_is_read(backend, tmp_path):
    home = new(backend, "alice")
    (tmp_path / home / "deeper").mkdir()
    (tmp_path / home / "deeper" / "file").write_bytes(b"x" * 12345)
    assert backend.read([home])[home].used == 12345


def test_a_limit_below_use_is_set_and_loses_nothing(backend, tmp_path):
    home = new(backend, "alice")
    (tmp_path / home / "file").write_bytes(b"x" * 1000)
    assert backend.put({home: 10}) == {}
    assert backend.read([home])[home].limit == 10
    assert backend.read([home])[home].used == 1000


def test_what_holds_already_is_not_set_again(backend, attributes):
    homes = [new(backend, f"user-{number}") for number in range(200)]
    limits = {home: (number + 1) * MIB for number, home in enumerate(homes)}
    assert backend.put(limits) == {}
    assert backend.put(limits) == {}
    assert attributes.calls == 200
    assert {home: held.limit for home, held in backend.read(homes).items()} == limits


def test_a_home_that_is_there_is_not_made_again(backend, tmp_path):
    home = new(backend, "alice")
    (tmp_path / home / "kept").write_text("x")
    backend.create(home, ME, 0o755)
    assert (tmp_path / home).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / home / "kept").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_what_was_made_and_then_broken_off_gets_its_owner(backend, tmp_path):
    (tmp_path / "alice").mkdir(0o700)
    backend.create("alice", (1000, 1001), 0o750)
    made = (tmp_path / "alice").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (1000, 1001, 0o750)


def test_a_home_takes_its_limit_along_when_it_gets_another_name(backend, tmp_path):
    home = new(backend, "alice")
    backend.put({home: 10 * MIB})
    (tmp_path / home).rename(tmp_path / "homes" / "renamed")
    again = new(backend, "alice")
    assert backend.put({again: 3 * MIB}) == {}
    held = backend.read([again, "homes/renamed"])
    assert [held[name].limit for name in (again, "homes/renamed")] == [3 * MIB, 10 * MIB]


def test_what_is_not_there_is_not_spoken_of(backend):
    assert backend.put({"homes/nobody": MIB}) == {}
    assert backend.read(["homes/nobody"]) == {}
    assert backend.repair(["homes/nobody"]) == []


def test_a_link_in_the_place_of_a_home_leads_nowhere(backend, tmp_path):
    home = new(backend, "alice")
    backend.put({home: 5 * MIB})
    (tmp_path / "homes" / "link").symlink_to(tmp_path / home)
    problems = backend.put({"homes/link": 50 * MIB})
    assert problems == {"homes/link": "homes/link is no directory, so it can have no limit."}
    assert backend.read(["homes/link"]) == {}
    assert backend.read([home])[home].limit == 5 * MIB


def test_names_that_programs_trip_over(backend):
    for name in ("with space", "ünïcödé", "quote'\"", "-dash", "new\nline", "a:b#c"):
        home = new(backend, name)
        assert backend.put({home: 3 * MIB}) == {}
        assert backend.read([home])[home].limit == 3 * MIB


def test_a_key_that_may_not_set_limits_is_told_which_may(backend, attributes):
    home = new(backend, "alice")
    attributes.may = False
    problem = backend.put({home: MIB})[home]
    assert problem.startswith(home) and "the flag p" in problem


def test_a_client_that_knows_no_limits_is_told_so(backend, attributes):
    home = new(backend, "alice")
    attributes.old = True
    assert "Linux 4.17" in backend.put({home: MIB})[home]


@pytest.mark.parametrize("then", ["put", "repair"])
def test_a_limit_that_others_have_changed_is_found_and_set_again(backend, attributes, then):
    home, other = new(backend, "alice"), new(backend, "bob")
    backend.put({home: 5 * MIB, other: 5 * MIB})
    (inode,) = [i for i in attributes.limits if i == (backend._path / home).stat().st_ino]
    attributes.limits[inode] = b"99999999999"
    if then == "put":
        backend.put({home: 5 * MIB, other: 6 * MIB})
    (escape,) = backend.repair([home, other])
    assert escape.home == home and "changed to 99999999999 bytes" in escape.what
    assert backend.read([home])[home].limit == 5 * MIB
    assert backend.repair([home, other]) == [], "nothing is found twice"


def test_what_is_no_ceph_is_refused(backend, attributes):
    backend.prepare()
    attributes.is_ceph = False
    with pytest.raises(StorageError, match="Linux 4.17"):
        backend.prepare()


def test_another_file_system_has_no_such_attributes(tmp_path):
    with pytest.raises(StorageError):
        CephFS(tmp_path).prepare()


def test_it_is_found_by_its_mount(monkeypatch, tmp_path):
    for kind in ("ceph", "fuse.ceph", "fuse.ceph-fuse"):
        monkeypatch.setattr(backends, "find_mount", lambda _path, kind=kind: (tmp_path, kind, "x"))
        assert isinstance(find_backend(tmp_path), CephFS)
        assert find_backend(tmp_path).name.startswith("cephfs")
