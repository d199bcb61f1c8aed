"""Homes are measured on any file system, slowly, whatever owners do meanwhile."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from agents import StorageAgent
from hubs import wait_for
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_quotas import storage_store
from hub_quotas.storage_agent import backend as backends
from hub_quotas.storage_agent import pace as paces
from hub_quotas.storage_agent import walking
from hub_quotas.storage_agent.backend import find_backend
from hub_quotas.storage_agent.measuring import Measuring
from hub_quotas.storage_agent.memory import Memory
from hub_quotas.storage_agent.pace import Pace, after_everybody_else, is_idle
from hub_quotas.storage_agent.walking import Walk, walk

pytestmark = pytest.mark.slow

ME = (os.getuid(), os.getgid())
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can")


def du(path: Path) -> int:
    done = subprocess.run(
        ["du", "--summarize", "--block-size=1", "--one-file-system", str(path)],
        capture_output=True,
        check=True,
    )
    return int(done.stdout.split()[0])


def quick(path: Path, rest: float = 0.0) -> Measuring:
    """One that need not wait."""
    return Measuring(path, "nfs4", budget=1e9, rest=rest)


def measured(path: Path, home: str) -> int:
    backend = quick(path, rest=1000)
    backend.step(60, [home])
    return backend.read([home])[home].used


def home_with(path: Path, name: str, files: int = 3, size: int = 10_000) -> str:
    (path / name).mkdir(parents=True)
    for number in range(files):
        (path / name / f"file-{number}").write_bytes(b"x" * size)
    return name


# -- what is counted --------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "ü", "new\nline", "-dash"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
DEEDS = st.one_of(
    st.tuples(st.just("file"), PATHS, st.integers(0, 200_000)),
    st.tuples(st.just("hole"), PATHS, st.integers(0, 10**9)),
    st.tuples(st.just("directory"), PATHS, st.none()),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("symlink"), PATHS, PATHS),
)


def do(home: Path, deed: tuple) -> None:
    what, path, more = deed
    place = home / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if what == "file":
            place.write_bytes(b"x" * more)
        elif what == "hole":
            with open(place, "wb") as file:
                file.truncate(more)
        elif what == "directory":
            place.mkdir()
        elif what == "link":
            os.link(home / more, place)
        else:
            place.symlink_to(home / more)
    except OSError:
        pass


@settings(max_examples=150, deadline=None)
@given(st.lists(DEEDS, max_size=15))
def test_it_is_what_du_counts(deeds):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "alice"
        home.mkdir()
        for deed in deeds:
            do(home, deed)
        os.sync()
        assert measured(Path(folder), "alice") == du(home)


def test_links_lead_nowhere(tmp_path):
    home_with(tmp_path, "elsewhere", size=1_000_000)
    home_with(tmp_path, "alice")
    before = measured(tmp_path, "alice")
    (tmp_path / "alice" / "to-a-file").symlink_to(tmp_path / "elsewhere" / "file-0")
    (tmp_path / "alice" / "to-a-directory").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alice" / "to-itself").symlink_to(tmp_path / "alice")
    assert measured(tmp_path, "alice") - before <= 3 * 4096


def test_a_home_that_is_a_link_is_none(tmp_path):
    home_with(tmp_path, "alice")
    (tmp_path / "link").symlink_to(tmp_path / "alice")
    backend = quick(tmp_path, rest=1000)
    backend.step(60, ["link", "alice"])
    assert list(backend.read(["link", "alice"])) == ["alice"]


def test_a_directory_that_becomes_a_link_while_it_waits_is_not_gone_into(tmp_path):
    """Whoever owns a home can do so at the right moment."""
    home_with(tmp_path, "secret")
    home_with(tmp_path, "alice/inner/deeper")
    seen = []
    state = Walk()
    for counted in walk(tmp_path / "alice", state):
        if counted:
            seen.append(counted.path)
            if counted.path == "":
                (tmp_path / "alice" / "inner").rename(tmp_path / "alice" / "moved")
                (tmp_path / "alice" / "inner").symlink_to(tmp_path / "secret")
    assert seen == [""] and not state.pending


@root
def test_mounts_are_not_gone_into(tmp_path):
    home_with(tmp_path, "other", size=1_000_000)
    home_with(tmp_path, "alice")
    before = measured(tmp_path, "alice")
    for name, options in (
        ("tmpfs", ["-t", "tmpfs", "tmpfs"]),
        ("of the same", ["--bind", str(tmp_path / "other")]),
    ):
        place = tmp_path / "alice" / name
        place.mkdir()
        if subprocess.run(["mount", *options, str(place)], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            home_with(place, "inside", size=500_000)
            assert measured(tmp_path, "alice") - before <= 3 * 4096
        finally:
            subprocess.run(["umount", str(place)], check=True)


def test_directories_deep_in_one_another_take_no_more_looks_than_others(tmp_path):
    home_with(tmp_path, "alice")
    here = os.open(tmp_path / "alice", os.O_RDONLY)
    for _depth in range(1500):  # longer than any path may be
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    state = Walk()
    looks = sum(1 for _look in walk(tmp_path / "alice", state))
    assert looks < 5000 and not state.pending and not state.unread
    assert state.used == du(tmp_path / "alice")
    subprocess.run(["rm", "-r", str(tmp_path / "alice")], check=True)


def test_files_that_vanish_are_nothing(tmp_path):
    home_with(tmp_path, "alice", files=300)
    home_with(tmp_path, "alice/inner", files=300)
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            place = tmp_path / "alice" / "inner" / f"new-{number % 50}"
            if place.is_dir():
                (place / "x").unlink(missing_ok=True)
                place.rmdir()
            else:
                place.mkdir()
                (place / "x").write_text("x")
            number += 1

    other = threading.Thread(target=churn)
    other.start()
    backend = quick(tmp_path)
    for _turn in range(10):
        backend.step(0.05, ["alice"])
    stop.set()
    other.join()
    assert backend.problems == {}
    assert backend.read(["alice"])["alice"].used >= 600 * 8192


def test_what_can_not_be_read_leaves_the_figure_as_it_was_and_is_said(tmp_path, monkeypatch):
    """As root on NFS, which is nobody there."""
    home_with(tmp_path, "alice")
    home_with(tmp_path, "alice/inner")
    home_with(tmp_path, "bob")
    backend = quick(tmp_path, rest=0.2)
    backend.step(60, ["alice", "bob"])
    before = backend.read(["alice", "bob"])
    real = os.open

    def refuse(path, *arguments, **more):
        if path == "inner":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **more)

    (tmp_path / "alice" / "new").write_bytes(b"x" * 100_000)
    time.sleep(0.2)
    monkeypatch.setattr(walking.os, "open", refuse)
    backend.step(60, ["alice", "bob"])
    assert backend.read(["alice", "bob"]) == before
    (problem,) = backend.problems.values()
    assert problem.startswith("In alice, inner can't be read: Permission denied.")
    monkeypatch.undo()
    time.sleep(0.2)
    backend.step(60, ["alice", "bob"])
    assert backend.read(["alice"])["alice"].used > before["alice"].used
    assert backend.problems == {}


# -- how much it asks of the file system ------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """50,000 files in 50 homes."""
    path = tmp_path_factory.mktemp("many")
    for home in range(50):
        for directory in range(10):
            inner = path / f"user-{home:02}" / f"dir-{directory}"
            inner.mkdir(parents=True)
            for number in range(100):
                os.close(os.open(inner / f"file-{number}", os.O_CREAT | os.O_WRONLY))
    return path


def test_the_budget_is_kept(many, monkeypatch):
    homes, counter = [home.name for home in many.iterdir()], Counter()
    real = os.stat, os.open, os.lstat
    for name, call in zip(("stat", "open", "lstat"), real, strict=True):

        def counted(*arguments, name=name, call=call, **more):
            counter[name] += 1
            return call(*arguments, **more)

        monkeypatch.setattr(walking.os, name, counted)
    backend = Measuring(many, "nfs4", budget=5000)
    began, worked = time.monotonic(), time.thread_time()
    for _step in range(8):
        backend.step(0.5, homes)
    lasted, worked = time.monotonic() - began, time.thread_time() - worked
    monkeypatch.undo()
    looks = counter.total()
    print(f"{looks / lasted:.0f} looks a second of 5000, {100 * worked / lasted:.1f} % of a CPU")
    assert looks <= 5000 * lasted * 1.1 + 200, "tops are opened beside"
    assert looks >= 5000 * lasted * 0.5
    assert lasted < 8 * 0.5 + 1, "each returns when its time is up"


def test_small_steps_do_not_add_up_to_more(many):
    looks = []
    pace = Pace(1000)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        going = pace.start(0.005)
        while going:
            looks.append(1)
            going = pace.look()
    assert len(looks) <= 1150


def test_a_pace_does_not_make_up_for_what_was_slow():
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(100, lambda: now[0], sleep)
    pace.start(1000)
    now[0] += 500  # the file server did not answer
    for _look in range(200):
        pace.look()
    assert sum(slept) >= 1, "200 looks still take two seconds, of which the first 50 were late"


def test_all_of_it_is_seen_and_what_a_round_costs(many):
    homes = [home.name for home in many.iterdir()]
    backend = quick(many, rest=1000)
    began = time.monotonic()
    backend.step(60, homes)
    lasted = time.monotonic() - began
    print(f"50,550 files and directories in {lasted:.2f} s: {50_550 / lasted:.0f} a second")
    held = backend.read(homes)
    assert len(held) == 50
    assert {one.used for one in held.values()} == {du(many / homes[0])}
    began = time.monotonic()
    backend.step(60, homes)
    assert time.monotonic() - began < 1, "there is nothing to be done for a while"


def test_ten_thousand_homes_cost_little_to_choose_from(tmp_path):
    homes = [f"user-{number}" for number in range(10_000)]
    for home in homes:
        (tmp_path / home).mkdir()
    backend = quick(tmp_path, rest=1000)
    backend.step(60, homes)
    assert len(backend.read(homes)) == 10_000
    began = time.process_time()
    for _step in range(10):
        backend.step(1, homes)
    cost = (time.process_time() - began) / 10
    print(f"a step with nothing to do: {1000 * cost:.1f} ms")
    assert cost < 0.1


def test_others_come_first(tmp_path):
    before = is_idle()
    with after_everybody_else():
        if not is_idle():
            pytest.skip("this kernel has no such priority")
    assert is_idle() == before


def test_where_the_kernel_has_no_such_priority_it_goes_on(monkeypatch):
    monkeypatch.setattr(paces.platform, "machine", lambda: "pdp11")
    with after_everybody_else():
        assert not is_idle()


# -- whose turn it is -------------------------------------------------------------------------


def test_a_figure_is_replaced_only_when_all_is_seen(tmp_path):
    home_with(tmp_path, "alice", files=10)
    backend = Measuring(tmp_path, "nfs4", budget=1e9, rest=0)
    while not backend.read(["alice"]):
        backend.step(0.01, ["alice"])
    before = backend.read(["alice"])["alice"].used
    backend = Measuring(tmp_path, "nfs4", budget=2000, rest=0)
    home_with(tmp_path, "alice/more", files=2000)
    seen = set()
    for _step in range(200):
        backend.step(0.02, ["alice"])
        seen |= {held.used for held in backend.read(["alice"]).values()}
        if seen:
            break
    assert seen == {du(tmp_path / "alice")} and before not in seen


def test_all_are_measured_in_each_round_and_those_in_use_more_often(tmp_path, monkeypatch):
    homes = [home_with(tmp_path, f"user-{number:02}") for number in range(20)]
    backend, turns = quick(tmp_path), []
    real = backend._measure
    monkeypatch.setattr(backend, "_measure", lambda turn: (turns.append(turn.home), real(turn))[1])
    while len(turns) < 120:
        backend.step(0.01, homes, busy=["user-07", "user-11"])
    counted = Counter(turns[:120])
    assert set(counted) == set(homes)
    assert counted["user-07"] >= 20 and counted["user-11"] >= 20
    assert all(counted[home] >= 2 for home in homes)


def test_those_that_have_changed_at_the_top_come_first(tmp_path, monkeypatch):
    homes = [home_with(tmp_path, f"user-{number:02}") for number in range(20)]
    past = time.time() - 1000
    for home in homes:
        os.utime(tmp_path / home, (past, past))
    backend = quick(tmp_path, rest=0.3)
    backend.step(60, homes)
    (tmp_path / "user-13" / "new").write_text("x")
    turns, real = [], backend._measure
    monkeypatch.setattr(backend, "_measure", lambda turn: (turns.append(turn.home), real(turn))[1])
    time.sleep(0.3)
    backend.step(60, homes)
    assert turns[0] == "user-13" and len(turns) >= 20


def test_one_that_is_new_does_not_wait_for_the_next_round(tmp_path):
    homes = [home_with(tmp_path, f"user-{number:02}", files=200) for number in range(20)]
    backend = Measuring(tmp_path, "nfs4", budget=2000, rest=1000)
    backend.step(0.3, homes)
    home_with(tmp_path, "new")
    backend.step(0.3, [*homes, "new"])
    assert "new" in backend.read(["new"]) and len(backend.read(homes)) < 20


def test_one_that_is_gone_is_forgotten(tmp_path):
    home_with(tmp_path, "alice")
    backend = quick(tmp_path, rest=0.1)
    backend.step(60, ["alice", "never-there"])
    assert list(backend.read(["alice", "never-there"])) == ["alice"]
    subprocess.run(["rm", "-r", str(tmp_path / "alice")], check=True)
    time.sleep(0.1)
    backend.step(0.2, ["alice", "never-there"])
    assert backend.read(["alice"]) == {}
    assert backend.problems == {}


# -- from one process to the next -------------------------------------------------------------


def test_it_goes_on_where_it_was(tmp_path, many):
    homes = sorted(home.name for home in many.iterdir())
    file, steps, turns = tmp_path / "state.json", 0, []
    while True:
        backend = Measuring(many, "nfs4", budget=40_000, rest=1000)
        backend.load(file)
        if len(held := backend.read(homes)) == len(homes):
            break
        backend.step(0.1, homes)
        backend.save(file)
        backend._work.close()
        turn = json.loads(file.read_text())["turn"]
        turns.append(turn and turn["walk"]["used"])
        steps += 1
        assert steps < 300
    assert steps > 5 and any(turns), "it was broken off in the middle of homes"
    assert {one.used for one in held.values()} == {du(many / homes[0])}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"figures": {}}', '{"figures": 3}'])
def test_a_state_that_is_none_is_the_beginning(tmp_path, text):
    home_with(tmp_path, "alice")
    (tmp_path / "state.json").write_text(text)
    backend = quick(tmp_path, rest=1000)
    backend.load(tmp_path / "state.json")
    backend.step(60, ["alice"])
    assert backend.read(["alice"])["alice"].used == du(tmp_path / "alice")


def test_another_directory_of_its_name_is_begun_anew(tmp_path):
    home_with(tmp_path, "alice", files=200)
    backend = Measuring(tmp_path, "nfs4", budget=10, rest=1000)
    backend.step(0.01, ["alice"])
    assert backend.read(["alice"]) == {}
    backend.save(tmp_path / "state.json")
    (tmp_path / "alice").rename(tmp_path / "old")
    home_with(tmp_path, "alice", files=2, size=100)
    backend = quick(tmp_path, rest=1000)
    backend.load(tmp_path / "state.json")
    backend.step(60, ["alice"])
    assert backend.read(["alice"])["alice"].used == du(tmp_path / "alice")


def test_names_that_are_not_unicode_are_kept(tmp_path):
    inner = os.fsencode(tmp_path / "alice") + b"/\xff\xfe"
    os.makedirs(inner)
    Path(os.fsdecode(inner), "file").write_bytes(b"x" * 5000)
    backend = Measuring(tmp_path, "nfs4", budget=1e9)
    backend._turn, backend._homes = None, {"alice"}
    backend._queue = ["alice"]
    for _look in range(2):
        next(backend._work)
    backend.save(tmp_path / "state.json")
    backend = quick(tmp_path, rest=1000)
    backend.load(tmp_path / "state.json")
    backend.step(60, ["alice"])
    assert backend.read(["alice"])["alice"].used == du(tmp_path / "alice")


def test_an_agent_goes_on_after_a_kill(start_hub, tmp_path):
    """Where no limits can be set, the hub knows what is used, and hears of changes meanwhile."""
    hub = start_hub("storage")
    hub.limits("geo: {member.storage: 10M}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        home = Path(folder) / "homes" / "pat"
        for part in range(140):
            home_with(home, f"part-{part}", files=100, size=10)
        (tmp_path / "agent").mkdir()
        agent = StorageAgent(tmp_path / "agent", hub, Path(folder))
        file = agent.state / "measured.json"

        def turn() -> dict:
            found = json.loads(file.read_text()) if file.exists() else {"turn": None}
            return found["turn"] or {"home": "", "walk": {"used": 0}}

        agent.start()
        wait_for("a part of it", lambda: turn()["home"] == "homes/pat" and turn()["walk"]["used"])
        hub.limits("geo: {member.storage: 12M}")
        changed = time.monotonic()
        wait_for("the change", lambda: limit_heard(agent) == 12 * 2**20)
        assert time.monotonic() - changed < 3
        agent.kill()
        broken_off = turn()
        assert 0 < broken_off["walk"]["used"] < du(home)
        agent.start()

        def known() -> list[tuple[int, int | None]]:
            found = storage_store.directories(hub.ledger(), "user", ["pat"])
            return [(one.used, one.applied) for one in found]

        wait_for("the hub to know", lambda: known() == [(du(home), 12 * 2**20)], 40)
        assert agent.stop() == 0
        [mount] = storage_store.mounts(hub.ledger())
        assert mount.backend == "tmpfs, measured only"
        used, began = json.loads(file.read_text())["figures"]["homes/pat"]
        assert (used, began) == (du(home), broken_off["began"]), "not begun anew"


def limit_heard(agent: StorageAgent) -> int | None:
    memory = Memory(agent.state)
    try:
        return memory.read().limits.get(("user", "pat"))
    finally:
        memory.close()


# -- as a backend -----------------------------------------------------------------------------


def test_limits_are_remembered(tmp_path):
    backend = quick(tmp_path, rest=1000)
    backend.prepare()
    backend.create("homes/alice", ME, 0o700)
    assert backend.put({"homes/alice": 10, "homes/nobody": 5}) == {}
    assert backend.read(["homes/alice"]) == {}, "it is not measured yet"
    backend.step(60, ["homes/alice"])
    assert backend.read(["homes/alice"])["homes/alice"].limit == 10
    backend.put({"homes/alice": 7})
    assert backend.read(["homes/alice"])["homes/alice"].limit == 7
    backend.put({"homes/alice": None})
    assert backend.read(["homes/alice"])["homes/alice"].limit is None
    assert backend.repair(["homes/alice"]) == []


@pytest.mark.parametrize("kind", ["nfs4", "overlay", "fuse.sshfs", "tmpfs"])
def test_it_is_for_all_that_has_no_backend_of_its_own(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(backends, "find_mount", lambda _path: (tmp_path, kind, "x"))
    backend = find_backend(tmp_path)
    assert isinstance(backend, Measuring) and backend.name == f"{kind}, measured only"
