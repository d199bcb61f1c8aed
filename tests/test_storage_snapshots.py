"""Snapshots of homes on real file systems, and what owners try while root restores."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import agent_commands as agents
import pytest
import trees
from agent_commands import PROGRAM, Place
from filesystems import OWNER, as_owner, owner

from hub_quotas.storage_agent import reach, snapshots, subvolumes
from hub_quotas.storage_agent.backend import StorageError, find_backend
from hub_quotas.storage_agent.putting import put_beside

MIB = 2**20
NOW = datetime(2026, 11, 29, 3, tzinfo=timezone.utc)
_numbers = itertools.count()


@pytest.fixture(scope="module", params=["btrfs", "plain"])
def place(request) -> Iterator[Place]:
    if os.geteuid() != 0:
        agents.unavailable(PermissionError("only root gives files to owners"))
    with agents.place(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def btrfs() -> Iterator[Place]:
    with agents.place("btrfs") as made:
        yield made


@pytest.fixture(scope="module", params=["btrfs", "full"])
def counted(request) -> Iterator[Place]:
    with agents.place(request.param) as made:
        yield made


@pytest.fixture
def btrfs_without() -> Iterator[Place]:
    """Without quotas."""
    with agents.place("btrfs") as made:
        subprocess.run(["btrfs", "quota", "disable", str(made.path)], check=True)
        yield made


@pytest.fixture
def home(place) -> str:
    return new(place)


def new(place: Place) -> str:
    name = f"homes/anna-{next(_numbers)}"
    place.new(name)
    return name


def write(path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path, OWNER, OWNER)


# -- made, listed, deleted --------------------------------------------------------------------


def test_a_snapshot_has_all_of_a_home(place, home, capsys):
    trees.fill(place.path / home)
    before = trees.seen(place.path / home)
    assert place.command("snapshot", home, "--label", "end-of-term") == 0
    (made,) = snapshots.list_snapshots(place.path, home)
    assert made.label == "end-of-term"
    assert made.path.parent.name == home.replace("/", "%2F")
    assert trees.seen(made.path) == before
    place.command("snapshots", home)
    assert capsys.readouterr().out.splitlines()[-1] == made.name
    assert not place.left_over(home)


def test_owners_can_not_get_at_snapshots(place, home):
    write(place.path / home / "file", "x")
    made = snapshots.make_snapshot(place.path, home)
    assert as_owner("cat", str(place.path / home / "file")).returncode == 0
    assert as_owner("cat", str(made.path / "file")).returncode != 0
    assert (place.path / ".snapshots").stat().st_mode & 0o777 == 0o700


def test_on_btrfs_nobody_can_change_a_snapshot(btrfs):
    made = snapshots.make_snapshot(btrfs.path, new(btrfs))
    with pytest.raises(OSError, match="Read-only"):
        (made.path / "file").touch()


def test_old_snapshots_of_one_label_are_deleted_and_nothing_else(place, home):
    for day in range(5):
        snapshots.make_snapshot(place.path, home, "nightly", NOW + timedelta(days=day))
    other = snapshots.make_snapshot(place.path, home, "end-of-term", NOW - timedelta(days=9))
    unlabelled = snapshots.make_snapshot(place.path, home, now=NOW - timedelta(days=9))
    stranger = other.path.with_name("by-hand")
    stranger.mkdir()
    deleted = snapshots.prune(place.path, home, "nightly", 2)
    assert [one.when for one in deleted] == [NOW + timedelta(days=day) for day in range(3)]
    left = {path.name for path in other.path.parent.iterdir()}
    nightly = {"2026-12-02T030000Z-nightly", "2026-12-03T030000Z-nightly"}
    assert left == nightly | {other.name, unlabelled.name, "by-hand"}
    with pytest.raises(StorageError, match="would delete every snapshot"):
        snapshots.prune(place.path, home, "nightly", 0)
    assert not place.left_over(home)


def test_what_can_be_written_is_not_deleted_as_a_snapshot(btrfs):
    home = new(btrfs)
    for day in range(2):
        made = snapshots.make_snapshot(btrfs.path, home, now=NOW + timedelta(days=day))
    foreign = made.path.with_name("2020-01-01T000000Z")
    subprocess.run(["btrfs", "subvolume", "create", str(foreign)], check=True, capture_output=True)
    with pytest.raises(StorageError, match="can be written, so it is not a snapshot"):
        snapshots.prune(btrfs.path, home, "", 1)
    assert foreign.is_dir()


def test_all_homes(place, capsys):
    homes = [f"all-of-them/{name}" for name in ("anna", "berta", "with space")]
    for home in homes:
        place.new(home)
    (place.path / "all-of-them" / "link").symlink_to("anna")
    (place.path / "all-of-them" / "anna.before-restore-2026-11-29T030000Z").mkdir()
    arguments = ("--all", "--homes", "all-of-them/{username}", "--label", "end-of-term")
    assert place.command("snapshot", *arguments, "--keep", "1") == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == homes
    time.sleep(1.1)
    assert place.command("snapshot", *arguments, "--keep", "1") == 0
    assert all(len(snapshots.list_snapshots(place.path, home)) == 1 for home in homes)


def test_one_home_that_is_not_there_does_not_stop_the_others(place, home, capsys):
    assert place.command("snapshot", "homes/nobody", home) == 1
    assert f"There is no homes/nobody below {place.path}." in capsys.readouterr().err
    assert len(snapshots.list_snapshots(place.path, home)) == 1


def test_subvolumes_inside_are_not_in_a_snapshot_and_it_is_said(btrfs, capsys):
    home = new(btrfs)
    (btrfs.path / home / "folder").mkdir()
    for inner in ("inner", "folder/deep", "folder/deep/er"):
        command = ["btrfs", "subvolume", "create", str(btrfs.path / home / inner)]
        subprocess.run(command, check=True, capture_output=True)
    assert btrfs.command("snapshot", home) == 0
    said = capsys.readouterr().err
    assert said.endswith("lacks the subvolumes inside: folder/deep, folder/deep/er, inner\n")


def test_many_subvolumes_inside_are_all_found(btrfs):
    home = new(btrfs)
    with reach.opened(btrfs.path / home) as fd:
        names = sorted(f"inner-{number}" for number in range(300))
        for name in names:
            subvolumes.create(name, fd)
        assert subvolumes.inside(fd) == names


# -- restored ---------------------------------------------------------------------------------


def test_a_home_is_restored_and_what_was_there_stays(place, home, capsys):
    trees.fill(place.path / home)
    before = trees.seen(place.path / home)
    made = snapshots.make_snapshot(place.path, home)
    write(place.path / home / "later", "of value")
    (place.path / home / ".hidden").unlink()
    after = trees.seen(place.path / home)
    assert place.command("restore", home, "--snapshot", made.name) == 0
    assert trees.seen(place.path / home) == before
    (aside,) = place.path.glob(f"{home}.before-restore-*")
    assert trees.seen(aside) == after
    assert str(aside.relative_to(place.path)) in capsys.readouterr().out
    assert owner(lambda: (place.path / home / "new").write_text("it can be written")) > 0
    assert trees.seen(made.path) == before
    assert not place.left_over(home)


def test_a_home_that_is_gone_is_restored(place, home):
    trees.fill(place.path / home)
    before = trees.seen(place.path / home)
    snapshots.make_snapshot(place.path, home)
    place.remove_by_hand(home)
    assert place.command("restore", home, "--snapshot", "latest") == 0
    assert trees.seen(place.path / home) == before
    assert not list(place.path.glob(f"{home}.before-restore-*"))


def test_limits_hold_after_a_snapshot_and_after_it_is_restored(counted):
    home, other = new(counted), new(counted)
    for one in (home, other):
        counted.limit(one, 30 * MIB)
        (counted.path / one / "file").write_bytes(os.urandom(10 * MIB))
    made = snapshots.make_snapshot(counted.path, home)
    counted.assert_limited(home, 30 * MIB, 10 * MIB)
    assert counted.command("restore", home, "--snapshot", "latest") == 0
    counted.assert_limited(home, 30 * MIB, 10 * MIB)
    snapshots.restore_snapshot(counted.path, made, ["file"])
    counted.assert_limited(home, 30 * MIB, 20 * MIB)
    counted.remove_by_hand(home)
    assert counted.command("restore", home, "--snapshot", "latest") == 0
    counted.limit(home, 30 * MIB)
    counted.assert_limited(home, 30 * MIB, 10 * MIB)
    snapshots.make_snapshot(counted.path, home, now=NOW)
    snapshots.prune(counted.path, home, "", 1)
    counted.assert_limited(home, 30 * MIB, 10 * MIB)
    counted.assert_limited(other, 30 * MIB, 10 * MIB)


def test_without_quotas_a_restored_home_shares_its_blocks(btrfs_without):
    home = new(btrfs_without)
    (btrfs_without.path / home / "file").write_bytes(b"x")
    made = snapshots.make_snapshot(btrfs_without.path, home)
    assert btrfs_without.command("restore", home, "--snapshot", "latest") == 0
    assert (btrfs_without.path / home / "file").read_bytes() == b"x"
    said = subprocess.run(
        ["btrfs", "subvolume", "show", str(made.path)], capture_output=True, text=True
    )
    assert home in said.stdout.partition("Snapshot(s):")[2]


def test_on_btrfs_an_ordinary_directory_comes_back_as_one_that_can_be_limited(btrfs):
    path = btrfs.path / "homes" / "ordinary"
    path.mkdir(parents=True)
    trees.fill(path)
    before = trees.seen(path)
    snapshots.make_snapshot(btrfs.path, "homes/ordinary")
    assert btrfs.command("restore", "homes/ordinary", "--snapshot", "latest") == 0
    assert trees.seen(path) == before
    assert find_backend(btrfs.path).put({"homes/ordinary": MIB}) == {}


def test_there_is_always_a_home_while_it_is_restored(place, home):
    write(place.path / home / "file", "x")
    made = snapshots.make_snapshot(place.path, home)
    stop, missed = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            if not (place.path / home / "file").exists():
                missed.append(time.monotonic())

    looker = threading.Thread(target=look)
    looker.start()
    for second in range(10):
        snapshots.restore_snapshot(place.path, made, now=NOW + timedelta(seconds=second))
    stop.set()
    looker.join()
    assert not missed
    assert len(list(place.path.glob(f"{home}.before-restore-*"))) == 10


def test_one_file_comes_back_in_its_place_or_beside(place, home):
    path = place.path / home
    trees.fill(path)
    before = trees.seen(path)
    made = snapshots.make_snapshot(place.path, home)
    write(path / "script", "changed")
    (path / "deep" / "er" / "file").unlink()
    (path / "deep" / "er").rmdir()
    for inner in ("script", "deep/er/file", "link", "new\nline"):
        snapshots.restore_snapshot(place.path, made, inner.split("/"), now=NOW)
    after = trees.seen(path)
    restored = after["script.restored-2026-11-29T030000Z"]
    assert restored == {**before["script"], "same file as": "script.restored-2026-11-29T030000Z"}
    assert (path / "script").read_text() == "changed"
    assert after["deep/er/file"]["content"] == before["deep/er/file"]["content"]
    assert after["deep/er"]["owner"] == before["deep"]["owner"], "a folder like the one above"
    assert os.readlink(path / "link.restored-2026-11-29T030000Z") == "deep/er/file"
    snapshots.restore_snapshot(place.path, made, ["script"], now=NOW)
    assert (path / "script.restored-2026-11-29T030000Z-2").exists()
    snapshots.restore_snapshot(place.path, made, ["deep"], now=NOW)
    beside = trees.seen(path / "deep.restored-2026-11-29T030000Z")
    assert beside["er/file"]["content"] == before["deep/er/file"]["content"]
    assert not place.left_over(home)


# -- what must not happen -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../berta", "a/../../x", "/etc/passwd", "", ".", "a/.."])
def test_paths_that_lead_out_are_refused(place, home, path, capsys):
    snapshots.make_snapshot(place.path, home)
    assert place.command("restore", home, "--snapshot", "latest", "--path", path) == 1
    said = capsys.readouterr().err
    assert "leads out; write a path" in said or "names nothing; write a path" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("wrong", ["../etc", "/etc", ".snapshots/x", ""])
def test_what_is_no_home_is_refused(place, wrong, capsys):
    assert place.command("snapshot", wrong) == 1
    assert place.command("restore", wrong) == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_a_link_in_the_place_of_a_home_is_not_followed(place, home, capsys):
    link = place.path / f"{home}-link"
    link.symlink_to("/etc")
    assert place.command("snapshot", f"{home}-link") == 1
    assert "is a link or a file, and should be a folder." in capsys.readouterr().err


def test_nothing_is_restored_through_a_link_of_the_home(place, home, tmp_path, capsys):
    path = place.path / home
    (path / "folder").mkdir()
    write(path / "folder" / "file", "mine")
    snapshots.make_snapshot(place.path, home)
    (path / "folder").rename(path / "elsewhere")
    (path / "folder").symlink_to(tmp_path)
    assert place.command("restore", home, "--snapshot", "latest", "--path", "folder/file") == 1
    assert "folder is a link or a file, and should be a folder." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert not place.left_over(home)


def test_nothing_is_restored_through_a_link_in_the_snapshot(place, home, capsys):
    (place.path / home / "out").symlink_to("/etc")
    snapshots.make_snapshot(place.path, home)
    assert place.command("restore", home, "--snapshot", "latest", "--path", "out/passwd") == 1
    assert "out is a link or a file, and should be a folder." in capsys.readouterr().err
    assert not (place.path / home / "passwd").exists()


def test_an_owner_who_moves_everything_about_gets_nothing_written_outside(place, home, tmp_path):
    """They replace folders by links and back, as fast as they can."""
    path, outside = place.path / home, tmp_path / "outside"
    (path / "folder" / "sub").mkdir(parents=True)
    write(path / "folder" / "sub" / "file", "x")
    for folder in (path / "folder", path / "folder" / "sub"):
        os.chown(folder, OWNER, OWNER)
    made = snapshots.make_snapshot(place.path, home)
    (outside / "sub").mkdir(parents=True)
    attacker = os.fork()
    if attacker == 0:
        try:
            os.setresgid(OWNER, OWNER, OWNER)
            os.setresuid(OWNER, OWNER, OWNER)
            swap(path, outside)
        finally:
            os._exit(1)
    outcomes = set()
    try:
        for second in range(150):
            now = NOW + timedelta(seconds=second)
            try:
                put_beside(place.path, home, made.path, ["folder", "sub", "file"], now)
                outcomes.add("restored")
            except (StorageError, OSError) as error:
                outcomes.add(type(error).__name__)
    finally:
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)
    assert [*outside.rglob("*")] == [outside / "sub"]
    assert {"restored", "StorageError"} <= outcomes, "both may happen"


def swap(path: Path, outside: Path) -> None:
    os.chdir(path)
    os.symlink(outside, "evil")
    while True:
        for name in ("folder", *glob.glob(".restoring-*")):
            for one, other in ((name, "away"), ("evil", name), (name, "evil"), ("away", name)):
                with contextlib.suppress(OSError):
                    os.rename(one, other)


def test_what_a_killed_run_leaves_is_removed_by_the_next(place, home):
    """Killed while it copies a home of some size."""
    path = place.path / home
    for number in range(200):
        write(path / f"file-{number}", "x" * 50_000)
    made = snapshots.make_snapshot(place.path, home)
    for delay in (0.15, 0.2, 0.25, 0.3):
        program = [*PROGRAM, "restore", "--root", str(place.path), home, "--snapshot", "latest"]
        with subprocess.Popen(program, start_new_session=True, stdout=subprocess.PIPE) as run:
            time.sleep(delay)
            os.killpg(run.pid, signal.SIGKILL)
    (place.path / ".snapshots" / ".work" / "old" / "sub").mkdir(parents=True, exist_ok=True)
    mine = path / ".restoring-of-the-owner"
    mine.mkdir()
    os.chown(mine, OWNER, OWNER)
    (path / ".restoring-left").mkdir(mode=0o700)
    snapshots.restore_snapshot(place.path, made, ["file-1"])
    assert trees.seen(path)["file-1"] == trees.seen(made.path)["file-1"]
    snapshots.restore_snapshot(place.path, made)
    (aside, *_rest) = sorted(place.path.glob(f"{home}.before-restore-*"), reverse=True)
    assert (aside / ".restoring-of-the-owner").exists()
    assert not (aside / ".restoring-left").exists()
    assert not list(place.path.glob(".snapshots/.work/*"))


def test_a_copy_that_fails_leaves_nothing(place, home, monkeypatch, capsys):
    if place.kind == "btrfs":
        home = "homes/ordinary-too"  # a snapshot of a subvolume is one step
        (place.path / home).mkdir(parents=True)
    write(place.path / home / "file", "x")
    (place.path / ".snapshots" / "bin").mkdir(parents=True, exist_ok=True)
    cp = place.path / ".snapshots" / "bin" / "cp"
    cp.write_text('#!/bin/sh\n/bin/cp "$@"\necho "cp: disk full" >&2\nexit 1\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", str(cp.parent), prepend=os.pathsep)
    assert place.command("snapshot", home) == 1
    assert capsys.readouterr().err == f"hub-storage-agent: {home} can't be copied: disk full.\n"
    assert not snapshots.list_snapshots(place.path, home)
    assert not place.left_over(home)
