"""What each kind of file system must do, on real ones.

btrfs in any kernel that has it; XFS and ext4 where the kernel counts by project, which is in the
emulated machine of `test_storage_in_machine.py`. It uses nothing but pytest and the agent, so that
it is quick to start there.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest
from filesystems import OWNER, Filesystem, as_owner, owner, write

from hub_quotas.storage_agent.backend import Backend, StorageError, find_backend

KINDS = os.environ.get("STORAGE_KINDS", "btrfs").split()
MIB = 2**20
SLACK = MIB
"""A file system's own bookkeeping counts too."""


def pytest_generate_tests(metafunc):
    """A way past the limit is one of a kind of file system."""
    if "way" in metafunc.fixturenames:
        names, values = ["filesystem", "way"], [(k, way) for k in KINDS for way in WAYS[k]]
        ids = [f"{kind}-{way.__name__}" for kind, way in values]
    elif "filesystem" in metafunc.fixturenames:
        names, values, ids = ["filesystem"], [(kind,) for kind in KINDS], KINDS
    else:
        return
    metafunc.parametrize(names, values, ids=ids, indirect=["filesystem"], scope="module")


@pytest.fixture(scope="module")
def filesystem(request) -> Iterator[Filesystem]:
    for made in filesystems.mounted(request.param):
        find_backend(made.path).prepare()
        yield made


@pytest.fixture
def backend(filesystem) -> Backend:
    return find_backend(filesystem.path)


@pytest.fixture
def home(backend, filesystem, request) -> str:
    """A new home, of a name of its own."""
    name = request.node.name.partition("[")[0].removeprefix("test_")
    return new(backend, name)


def new(backend: Backend, name: str) -> str:
    backend.create(f"homes/{name}", (OWNER, OWNER), 0o700)
    return f"homes/{name}"


def used(backend: Backend, home: str) -> int:
    os.sync()
    return backend.read([home])[home].used


def test_it_is_found_by_its_mount(backend, filesystem):
    assert backend.name.startswith(filesystem.kind)


def test_a_limit_is_set_and_read(backend, home):
    assert backend.put({home: 10 * MIB}) == {}
    assert backend.read([home])[home].limit == 10 * MIB
    assert backend.put({home: None}) == {}
    assert backend.read([home])[home].limit is None


def test_a_home_that_is_there_is_not_made_again(backend, filesystem, home):
    path = filesystem.path / home
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (OWNER, 0o700)
    (path / "kept").write_text("x")
    backend.create(home, (0, 0), 0o755)
    assert (path / "kept").read_text() == "x"
    assert path.stat().st_uid == OWNER


def test_what_is_not_there_is_not_spoken_of(backend):
    assert backend.put({"homes/nobody": MIB}) == {}
    assert backend.read(["homes/nobody"]) == {}


def test_beyond_the_limit_nothing_is_written(backend, filesystem, home):
    backend.put({home: 10 * MIB})
    written, error = write(filesystem.path / home / "file", 20 * MIB)
    assert error in filesystem.full
    assert 10 * MIB - SLACK <= written <= 10 * MIB
    assert 10 * MIB - SLACK <= used(backend, home) <= 10 * MIB


def test_use_is_counted(backend, filesystem, home):
    backend.put({home: 50 * MIB})
    assert used(backend, home) <= SLACK
    assert write(filesystem.path / home / "file", 20 * MIB) == (20 * MIB, 0)
    assert 20 * MIB <= used(backend, home) <= 20 * MIB + SLACK
    (filesystem.path / home / "file").unlink()
    until = time.monotonic() + 10  # XFS frees in the background
    while used(backend, home) > SLACK:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_one_home_is_not_the_other(backend, filesystem, home):
    other = new(backend, "other")
    backend.put({home: 5 * MIB, other: 5 * MIB})
    assert write(filesystem.path / home / "file", 10 * MIB)[1] in filesystem.full
    assert write(filesystem.path / other / "file", 3 * MIB) == (3 * MIB, 0)


def test_a_full_home_can_be_given_more(backend, filesystem, home):
    backend.put({home: 5 * MIB})
    assert write(filesystem.path / home / "file", 10 * MIB)[1] in filesystem.full
    assert backend.put({home: 30 * MIB}) == {}
    assert write(filesystem.path / home / "more", 10 * MIB) == (10 * MIB, 0)


def test_a_limit_below_use_lets_nothing_grow_and_loses_nothing(backend, filesystem, home):
    path = filesystem.path / home
    backend.put({home: 30 * MIB})
    write(path / "file", 20 * MIB)
    assert backend.put({home: 10 * MIB}) == {}
    assert backend.read([home])[home].limit == 10 * MIB
    assert (path / "file").stat().st_size == 20 * MIB
    assert (path / "file").read_bytes().count(b"x") == 20 * MIB
    assert write(path / "more", 2 * MIB)[1] in filesystem.full
    (path / "file").unlink()
    os.sync()
    assert write(path / "after", 5 * MIB) == (5 * MIB, 0), "who frees space goes on"


def test_a_limit_that_is_lowered_below_use_is_not_undone_by_raising_it_a_little(
    backend, filesystem, home
):
    path = filesystem.path / home
    backend.put({home: 30 * MIB})
    write(path / "file", 20 * MIB)
    backend.put({home: 10 * MIB})
    backend.put({home: 15 * MIB})
    assert write(path / "more", 2 * MIB)[1] in filesystem.full
    backend.put({home: 25 * MIB})
    assert write(path / "more", 2 * MIB) == (2 * MIB, 0)


def test_a_home_takes_its_limit_along_when_it_gets_another_name(backend, filesystem, home):
    backend.put({home: 10 * MIB})
    write(filesystem.path / home / "file", 5 * MIB)
    (filesystem.path / home).rename(filesystem.path / "homes" / "renamed")
    again = new(backend, Path(home).name)
    assert backend.read(["homes/renamed"])["homes/renamed"].limit == 10 * MIB
    assert backend.put({again: 3 * MIB, "homes/renamed": 7 * MIB}) == {}
    assert write(filesystem.path / again / "file", 10 * MIB)[0] <= 3 * MIB
    assert write(filesystem.path / "homes" / "renamed" / "more", 10 * MIB)[0] <= 2 * MIB + SLACK
    held = backend.read([again, "homes/renamed"])
    assert [held[name].limit for name in (again, "homes/renamed")] == [3 * MIB, 7 * MIB]


def test_the_name_of_a_home_that_is_gone_can_be_used_again(backend, filesystem, home):
    backend.put({home: 3 * MIB})
    write(filesystem.path / home / "file", 2 * MIB)
    remove(filesystem, home)
    assert backend.read([home]) == {}
    new(backend, Path(home).name)
    backend.put({home: 10 * MIB})
    assert write(filesystem.path / home / "file", 8 * MIB) == (8 * MIB, 0)


def remove(filesystem: Filesystem, home: str) -> None:
    shutil.rmtree(filesystem.path / home)  # a subvolume that is empty is removed as a directory


def test_many(backend, filesystem):
    homes = [f"many/{number}" for number in range(200)]
    for home in homes:
        backend.create(home, (OWNER, OWNER), 0o700)
    assert backend.put({home: (number + 1) * MIB for number, home in enumerate(homes)}) == {}
    held = backend.read(homes)
    assert {home: held[home].limit for home in homes} == {
        home: (number + 1) * MIB for number, home in enumerate(homes)
    }
    assert write(filesystem.path / homes[6] / "file", 20 * MIB)[0] <= 7 * MIB


def test_names_that_programs_trip_over(backend, filesystem):
    for name in ("with space", "ünïcödé", "quote'\"", "-dash", "new\nline", "a:b#c"):
        home = new(backend, name)
        assert backend.put({home: 3 * MIB}) == {}
        assert backend.read([home])[home].limit == 3 * MIB
        assert write(filesystem.path / home / "file", 9 * MIB)[1] in filesystem.full


def test_a_link_in_the_place_of_a_home_leads_nowhere(backend, filesystem, home):
    backend.put({home: 5 * MIB})
    (filesystem.path / "homes" / "link").symlink_to(filesystem.path / home)
    backend.put({"homes/link": 50 * MIB})
    assert "homes/link" not in backend.read(["homes/link"])
    assert backend.read([home])[home].limit == 5 * MIB


def test_broken_off_between_any_two_steps_it_is_right_after_the_next_call(
    backend, filesystem, monkeypatch
):
    """As if it was killed: whatever was done remains, the rest is not done."""
    module = importlib.import_module(type(backend).__module__)
    where, name = (module.calls, "ioctl") if hasattr(module, "calls") else (module, "_ioctl")
    real, broken = getattr(where, name), 0
    for steps in range(12):
        home, left = new(backend, f"broken-{steps}"), [steps]

        def some(*arguments, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments)

        monkeypatch.setattr(where, name, some)
        try:
            backend.put({home: 4 * MIB})
        except KeyboardInterrupt:
            broken += 1
        monkeypatch.setattr(where, name, real)
        held = backend.read([home]).get(home)
        if held is not None and held.limit is not None:
            assert held.limit == 4 * MIB
            assert write(filesystem.path / home / "held", 9 * MIB)[1] in filesystem.full
        fresh = find_backend(filesystem.path)
        assert fresh.put({home: 4 * MIB}) == {}
        assert fresh.read([home])[home].limit == 4 * MIB
        assert write(filesystem.path / home / "file", 9 * MIB)[1] in filesystem.full
    assert broken > 1


def test_it_can_be_read_while_it_is_written(backend, filesystem):
    homes = [new(backend, f"busy-{number}") for number in range(20)]
    backend.put(dict.fromkeys(homes, 5 * MIB))
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            held = backend.read(homes)
            wrong.extend(one for one in held.values() if one.limit not in (5 * MIB, 6 * MIB))
            if len(held) != len(homes):
                wrong.append(held)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        backend.put(dict.fromkeys(homes, (5 + turn % 2) * MIB))
    stop.set()
    reader.join()
    assert not wrong


# -- what owners try --------------------------------------------------------------------------


def test_an_owner_does_not_get_past_their_limit(backend, filesystem, way):
    """Whatever they try, after one look at it they have no more than the limit."""
    home, *others = (new(backend, f"{way.__name__}-{number}") for number in range(4))
    path = filesystem.path / home
    backend.put(dict.fromkeys(others, 100 * MIB) | {home: 10 * MIB})
    inside = way(path, filesystem.path / others[0])
    first = write(inside / "first", 30 * MIB)
    os.sync()
    found = backend.repair([home, *others])
    if first[1] not in filesystem.full:  # it went past: then it has been found, and is counted
        assert {escape.home for escape in found} == {home}
    assert used(backend, home) >= min(first[0], 9 * MIB)
    assert write(inside / "second", 30 * MIB)[1] in filesystem.full
    assert write(path / "third", 30 * MIB)[1] in filesystem.full
    assert backend.repair([home, *others]) == [], "nothing is found twice"
    assert all(held.used <= SLACK for held in backend.read(others).values())


def they(*command: str | Path) -> None:
    done = as_owner(*map(str, command))
    assert not done.returncode, done.stderr


def nested(path: Path, _other: Path) -> Path:
    they("btrfs", "subvolume", "create", path / "inner")
    they("btrfs", "subvolume", "create", path / "inner" / "deeper")
    return path / "inner" / "deeper"


def out_of_the_project(path: Path, _other: Path) -> Path:
    they("mkdir", path / "out")
    they("chattr", "-P", "-p", "0", path / "out")
    return path / "out"


def one_file_out_of_the_project(path: Path, _other: Path) -> Path:
    they("touch", path / "first")
    they("chattr", "-p", "0", path / "first")
    return path


def in_a_project_of_their_own(path: Path, _other: Path) -> Path:
    they("mkdir", path / "own")
    they("chattr", "-p", "777", path / "own")
    return path / "own"


def in_the_project_of_another(path: Path, other: Path) -> Path:
    they("mkdir", path / "charged")
    they("chattr", "-p", project(other), path / "charged")
    return path / "charged"


def without_inheritance(path: Path, _other: Path) -> Path:
    they("mkdir", path / "out")
    they("chattr", "-P", path / "out")
    return path / "out"


def the_whole_home_without_inheritance(path: Path, _other: Path) -> Path:
    they("chattr", "-P", path)
    return path


def the_whole_home_out_of_the_project(path: Path, _other: Path) -> Path:
    they("chattr", "-P", "-p", "0", path)
    return path


def the_whole_home_as_that_of_another(path: Path, other: Path) -> Path:
    they("chattr", "-p", project(other), path)
    return path


def project(path: Path) -> str:
    listed = subprocess.run(["lsattr", "-pd", path], capture_output=True, text=True, check=True)
    return listed.stdout.split()[0]


PROJECTS = [
    out_of_the_project,
    one_file_out_of_the_project,
    in_a_project_of_their_own,
    in_the_project_of_another,
    without_inheritance,
    the_whole_home_without_inheritance,
    the_whole_home_out_of_the_project,
    the_whole_home_as_that_of_another,
]
WAYS = {"btrfs": [nested], "xfs": PROJECTS, "ext4": PROJECTS}


def test_an_owner_can_not_set_limits(backend, filesystem, home):
    backend.put({home: 5 * MIB})
    assert owner(lambda: _refusal(filesystem, home))
    assert backend.read([home])[home].limit == 5 * MIB


def _refusal(filesystem: Filesystem, home: str) -> str:
    try:
        return find_backend(filesystem.path).put({home: None}).get(home, "")
    except (OSError, StorageError) as error:
        return str(error)


def test_errors_are_those_of_a_full_disk(filesystem):
    assert filesystem.full <= {errno.EDQUOT, errno.ENOSPC}
