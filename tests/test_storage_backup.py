"""Homes are backed up with a real restic, and restored byte for byte."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import agent_commands as agents
import pytest
import resticrepo
import trees
from agent_commands import PROGRAM, Place
from agents import PROGRAM as AGENT
from filesystems import OWNER
from hubs import ROOT

from hub_quotas.storage_agent import backup
from hub_quotas.storage_agent.backend import find_backend
from hub_quotas.storage_agent.record import BackupRecords, write_record
from hub_quotas.storage_agent.restic import Restic

pytestmark = pytest.mark.slow

MIB = 2**20
UNITS = ROOT / "examples" / "storage"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Place]]:
    """Those that were asked for."""
    if os.geteuid() != 0:
        agents.unavailable(PermissionError("only root gives files to owners"))
    with ExitStack() as stack:
        yield Places(stack)


class Places(dict):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, kind: str) -> Place:
        self[kind] = self._stack.enter_context(agents.place(kind))
        return self[kind]


@pytest.fixture
def place(places, request) -> Place:
    return places[getattr(request, "param", "btrfs")]


everywhere = pytest.mark.parametrize("place", ["btrfs", "plain"], indirect=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> dict[str, str]:
    try:
        return resticrepo.new_repository(tmp_path_factory.mktemp("restic") / "one")
    except resticrepo.NoRestic as error:
        agents.unavailable(error)
        raise


@pytest.fixture(autouse=True)
def told(repository, monkeypatch) -> None:
    """restic finds the repository of this module."""
    for name, value in repository.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def of_its_own(repository, tmp_path, monkeypatch) -> Path:
    """A repository for one test, with nothing in it: to make one takes restic some seconds."""
    new, old = tmp_path / "repository", Path(repository["RESTIC_REPOSITORY"])
    for path in old.iterdir():
        if path.name in ("config", "keys"):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            new.mkdir(exist_ok=True)
            copy(path, new / path.name)
        else:
            (new / path.name).mkdir(parents=True)
    monkeypatch.setenv("RESTIC_REPOSITORY", str(new))
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    return new


@pytest.fixture
def state(tmp_path) -> Path:
    """As of one who has freed space lately, which takes restic a while."""
    folder = tmp_path / "state"
    now = datetime.now(timezone.utc).isoformat()
    write_record(folder / "backup.json", {"pruned": now})
    return folder


@pytest.fixture
def home(place) -> str:
    name = f"homes/anna-{place.kind}-{next(_numbers)}"
    place.new(name)
    return name


def write(path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path, OWNER, OWNER)


def save(place: Place, state: Path, *homes: str) -> int:
    return place.command("backup", *homes, "--state", str(state))


def record(state: Path, name: str = "backup.json") -> dict:
    return json.loads((state / name).read_text())


# -- done when ------------------------------------------------------------------------------------


@everywhere
def test_a_home_deleted_by_hand_is_restored_byte_for_byte_by_one_command(place, home, state):
    trees.fill(place.path / home)
    before = trees.seen(place.path / home)
    assert save(place, state, home) == 0
    place.remove_by_hand(home)
    command = [*PROGRAM, "restore", "--root", str(place.path), home]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rf"{home} is restored from the backup \w{{8}} of [-\d]+ [:\d]+ UTC.\n", done.stdout
    )
    assert trees.seen(place.path / home) == before
    assert not place.left_over(home)
    if place.kind == "btrfs":
        assert find_backend(place.path).put({home: 10 * MIB}) == {}, "it can be limited"


def test_one_file_is_restored_and_what_is_there_stays(place, home, state):
    trees.fill(place.path / home)
    before = trees.seen(place.path / home)
    save(place, state, home)
    write(place.path / home / "script", "changed")
    shutil.rmtree(place.path / home / "deep")
    odd = "-rf *?[a]\\ '\""
    (place.path / home / odd).unlink()
    for path in ("script", "deep/er/file", odd):
        assert place.command("restore", home, f"--path={path}") == 0
    after = trees.seen(place.path / home)
    (beside,) = (place.path / home).glob("script.restored-*")
    assert after[beside.name] == {**before["script"], "same file as": beside.name}
    assert (place.path / home / "script").read_text() == "changed"
    assert after["deep/er/file"]["content"] == before["deep/er/file"]["content"]
    assert after["deep/er/file"]["time"] == before["deep/er/file"]["time"]
    assert after[odd] == before[odd]
    assert not place.left_over(home)


def test_an_older_backup_takes_the_place_of_a_home_that_stays_beside(place, home, state, capsys):
    write(place.path / home / "file", "first")
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    first = Restic().save(home, place.path, yesterday, None, ())["snapshot_id"]
    write(place.path / home / "file", "second")
    save(place, state, home)
    write(place.path / home / "file", "third")
    if place.kind == "btrfs":
        find_backend(place.path).put({home: 10 * MIB})
    assert place.command("restore", home, "--at", first) == 0
    assert (place.path / home / "file").read_text() == "first"
    (aside,) = place.path.glob(f"{home}.before-restore-*")
    assert (aside / "file").read_text() == "third"
    assert f"What was there is {aside.relative_to(place.path)}." in capsys.readouterr().out
    if place.kind == "btrfs":
        assert find_backend(place.path).read([home])[home].limit == 10 * MIB


@pytest.mark.parametrize("place", ["btrfs", "full"], indirect=True)
def test_limits_hold_after_a_backup_and_after_it_is_restored(place, home, state):
    place.limit(home, 30 * MIB)
    (place.path / home / "file").write_bytes(os.urandom(10 * MIB))
    assert save(place, state, home) == 0
    place.assert_limited(home, 30 * MIB, 10 * MIB)
    assert place.command("restore", home) == 0
    place.assert_limited(home, 30 * MIB, 10 * MIB)
    assert place.command("restore", home, "--path", "file") == 0
    place.assert_limited(home, 30 * MIB, 20 * MIB)


# -- backups --------------------------------------------------------------------------------------


def test_a_backup_reads_only_what_is_new(place, home, state, repository):
    (place.path / home / "large").write_bytes(os.urandom(4 * MIB))
    write(place.path / home / "small", "x")
    when = datetime.now(timezone.utc)
    summaries = []
    for _ in range(2):
        restic = Restic()
        parent = next(iter(restic.saved(home)), None)
        with (
            backup.working(place.path, "backup") as work,
            backup._still(place.path, home, work) as (folder, _remark),
        ):
            summaries.append(restic.save(home, folder, when, parent, ()))
    assert [summary["files_unmodified"] for summary in summaries] == [0, 2]


def test_on_btrfs_a_backup_is_of_one_moment(place, home, state, monkeypatch):
    """A file that is written while restic works is in it as it was at first."""
    write(place.path / home / "file", "before")
    real = Restic.save

    def save_late(self, home, folder, *rest):
        write(place.path / home / "file", "while it is backed up")
        return real(self, home, folder, *rest)

    monkeypatch.setattr(Restic, "save", save_late)
    save(place, state, home)
    place.command("restore", home)
    assert (place.path / home / "file").read_text() == "before"


def test_subvolumes_inside_are_backed_up_too(place, home, state, capsys):
    inner = place.path / home / "inner"
    subprocess.run(["btrfs", "subvolume", "create", str(inner)], check=True, capture_output=True)
    (inner / "file").write_text("of value")
    assert save(place, state, home) == 0
    assert "read while in use, for the subvolumes inside: inner" in capsys.readouterr().out
    place.remove_by_hand(home)
    place.command("restore", home)
    assert (inner / "file").read_text() == "of value"


def test_a_home_that_fails_is_named_and_the_others_go_on(place, home, state, capsys):
    save(place, state, home)
    good = record(state)["homes"][home]
    gone = f"{home}-gone"
    assert save(place, state, gone, home) == 1
    said = capsys.readouterr().err
    assert f"There is no {gone} below {place.path}." in said
    assert f"1 of 2 homes have no new backup: {gone}" in said
    found = record(state)["homes"]
    assert found[gone]["problem"] == f"There is no {gone} below {place.path}."
    assert "good" not in found[gone]
    assert found[home]["id"] != good["id"]


def test_a_failure_does_not_forget_the_last_good_backup(place, home, state):
    save(place, state, home)
    good = record(state)["homes"][home]
    (place.path / home).rename(place.path / f"{home}-moved")
    assert save(place, state, home) == 1
    assert record(state)["homes"][home].items() > good.items()


def test_what_is_told_of_backups(place, home, state):
    """Of the homes that are still there."""
    records = BackupRecords(state, place.path)
    other, gone = f"{home}-other", f"{home}-gone"
    for name in (other, gone):
        place.new(name)
    before = int(time.time())
    save(place, state, home, other, gone)
    found = records.read()
    assert (found.homes, found.failures, found.failed) == (3, 0, ())
    assert before <= found.last_ok <= time.time()
    for name in (other, gone):
        (place.path / name).rename(place.path / f"{name}-moved")
    (place.path / other).write_text("a file")
    assert save(place, state, other, gone) == 1
    later = records.read()
    assert (later.homes, later.failures, later.last_ok) == (3, 1, found.last_ok)
    assert re.fullmatch(f"{other}: {other} is a link or a file, .*", later.failed[0])
    assert later.restore_test is None
    (state / "backup.json").write_text('{"homes": 3}')
    assert records.read() is None


@contextmanager
def taking_in_orphans() -> Iterator[None]:
    """What is killed is gone when its parent has waited for it, which not every machine's init
    does at once: for as long as this lasts, we are that parent."""
    prctl, subreaper = ctypes.CDLL(None).prctl, 36  # PR_SET_CHILD_SUBREAPER
    prctl(subreaper, 1, 0, 0, 0)
    yield
    prctl(subreaper, 0, 0, 0, 0)  # orphans of later tests are nothing that we wait for


def test_a_backup_that_is_killed_is_followed_by_a_good_one(place, home, state):
    (place.path / home / "large").write_bytes(os.urandom(30 * MIB))
    write(place.path / home / "small", "x")
    before = trees.seen(place.path / home)
    command = [*PROGRAM, "backup", "--root", str(place.path), "--state", str(state), home]
    with taking_in_orphans(), subprocess.Popen(command, start_new_session=True) as run:
        data = Path(os.environ["RESTIC_REPOSITORY"])
        before_it = size(data)
        while size(data) < before_it + MIB:
            assert run.poll() is None, "it was to be killed before"
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        os.waitpid(-run.pid, 0)
    assert "homes" not in record(state)
    assert list((data / "locks").iterdir())
    assert save(place, state, home) == 0
    assert not list((data / "locks").iterdir())
    assert not place.left_over(home)
    place.remove_by_hand(home)
    place.command("restore", home)
    assert trees.seen(place.path / home) == before


def size(folder: Path) -> int:
    total = 0
    for path, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total


def test_two_backups_at_a_time_are_one_too_many(place, home, state, capsys):
    with backup.working(place.path, "backup"):
        assert save(place, state, home) == 1
    assert f"Another backup of {place.path} is at work" in capsys.readouterr().err
    assert save(place, state, home) == 0


def test_names_that_programs_trip_over(place, state):
    names = ("-dash, ünïcödé", "new\nline %2C", "not \udcff text '\"")
    homes = [f"odd/{name}" for name in names]
    for home in homes:
        write(place.new(home) / "file", home.encode(errors="replace").decode())
    before = {home: trees.seen(place.path / home) for home in homes}
    assert place.command("backup", "--homes", "odd/{username}", "--state", str(state)) == 0
    assert set(record(state)["homes"]) == set(homes)
    for home in homes:
        place.remove_by_hand(home)
        backup.restore_backup(place.path, home)
        assert trees.seen(place.path / home) == before[home]


def test_old_backups_are_dropped_for_each_home_by_itself(place, state, of_its_own):
    for name in ("one", "other"):
        place.new(f"dropped/{name}")
    restic, now = Restic(), datetime.now(timezone.utc)
    for days in (3, 2, 1):
        when = now - timedelta(days=days)
        restic.save("dropped/one", place.path, when, None, ())
    restic.save("dropped/other", place.path, now - timedelta(days=30), None, ())
    keep = ("--keep-daily", "2", "--keep-weekly", "0", "--keep-monthly", "0")
    arguments = ("backup", "dropped/one", "--state", str(state), *keep)
    assert place.command(*arguments) == 0
    left = [saved.home for saved in restic.saved()]
    assert left.count("dropped/one") == 2
    assert left.count("dropped/other") == 1
    write_record(state / "backup.json", {})
    assert place.command(*arguments) == 0
    pruned = record(state)["pruned"]
    assert place.command(*arguments) == 0
    assert record(state)["pruned"] == pruned, "once a week"


def test_a_policy_that_keeps_nothing_is_refused(place, home, state, capsys):
    none = [f"--keep-{every}=0" for every in ("daily", "weekly", "monthly")]
    assert place.command("backup", home, "--state", str(state), *none) == 1
    assert "would keep no backup" in capsys.readouterr().err


def test_it_can_be_pruned_again_after_a_week():
    now = datetime(2026, 11, 29, tzinfo=timezone.utc)
    assert backup._is_due(None, now)
    assert not backup._is_due((now - timedelta(days=6)).isoformat(), now)
    assert backup._is_due((now - timedelta(days=7)).isoformat(), now)


# -- what is missing or wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"PATH": ""}, "Backups are made by restic, which is not here: apt install restic"),
        ({"RESTIC_REPOSITORY": ""}, "set RESTIC_REPOSITORY or RESTIC_REPOSITORY_FILE in the env"),
        ({"RESTIC_PASSWORD_FILE": ""}, "set RESTIC_PASSWORD_FILE or RESTIC_PASSWORD_COMMAND or"),
        ({"RESTIC_REPOSITORY": "/nowhere/secret"}, "Make one: restic init"),
    ],
)
def test_what_is_missing_is_one_sentence(place, home, state, monkeypatch, capsys, wrong, said):
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    assert save(place, state, home) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "secret" not in error
    assert error.count("\n") == 1


def test_a_backup_that_is_not_there_is_one_sentence(place, home, state, capsys):
    assert place.command("restore", f"{home}-nobody") == 1
    assert f"{home}-nobody has no backup." in capsys.readouterr().err
    save(place, state, home)
    assert place.command("restore", home, "--at", "12345678") == 1
    assert f"{home} has no backup 12345678; the last ones are: " in capsys.readouterr().err
    assert place.command("restore", home, "--path", "no/such") == 1
    assert f"no/such is not in this copy of {home}." in capsys.readouterr().err


def test_a_broken_repository_leaves_homes_alone(place, home, state, of_its_own):
    (place.path / home / "file").write_bytes(os.urandom(MIB))
    save(place, state, home)
    before = trees.seen(place.path / home)
    damage(of_its_own)
    assert place.command("restore", home) == 1
    assert trees.seen(place.path / home) == before
    assert not list(place.path.glob(f"{home}.*"))
    assert not place.left_over(home)
    assert place.command("restore-test", "--state", str(state), "--read", "100%") == 1
    found = record(state, "restore-test.json")
    assert not found["ok"]
    assert len(found["problems"]) >= 2, "of restoring and of checking"


def damage(repository: Path) -> None:
    """One bit of the file with most data."""
    path = max((repository / "data").rglob("*"), key=lambda path: path.stat().st_size)
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# -- the test of restoring ------------------------------------------------------------------------


@everywhere
def test_homes_can_be_restored(place, state, of_its_own, monkeypatch, capsys):
    homes = [f"tested/{number}" for number in range(2)]
    for home in homes:
        trees.fill(place.new(home))
    time.sleep(1.2)  # what was written just now might have been written since
    assert place.command("backup", "--homes", "tested/*", "--state", str(state)) == 0
    for home in homes:
        write(place.path / home / "new\nline", "changed")
        (place.path / home / "empty").unlink()
    after = {home: trees.seen(place.path / home) for home in homes}
    capsys.readouterr()
    assert place.command("restore-test", "--state", str(state), "--count", "1") == 0
    said, found = capsys.readouterr(), record(state, "restore-test.json")
    assert len(said.out.splitlines()) == 1
    assert (found["ok"], found["problems"], len(found["homes"])) == (True, [], 1)
    for one in found["homes"].values():
        assert one["bytes"] > 3 * MIB
        assert one["compared"] == one["files"] - 2, "but for the changed ones"
    assert {home: trees.seen(place.path / home) for home in homes} == after, "nothing is touched"
    assert not place.left_over(homes[0])
    assert datetime.fromisoformat(found["when"]) <= datetime.now(timezone.utc)


def test_a_difference_is_found(place, state, of_its_own, monkeypatch, capsys):
    """As if a file had got other bytes without anybody writing it."""
    write(place.new("differs/one") / "file", "right")
    Restic().save("differs/one", place.path, datetime.now(timezone.utc), None, ())
    write(place.path / "differs" / "one" / "file", "wrong")
    os.utime(place.path / "differs" / "one" / "file")
    monkeypatch.setattr(
        Restic, "saved", lambda self, real=Restic.saved: [_later(one) for one in real(self)]
    )
    assert place.command("restore-test", "--state", str(state)) == 1
    assert "differs/one/file is not what it was in the home." in capsys.readouterr().err


def _later(saved):
    return backup.Saved(saved.home, saved.id, datetime.now(timezone.utc) + timedelta(days=1))


def test_without_a_backup_the_test_fails(place, state, of_its_own, monkeypatch, capsys):
    assert place.command("restore-test", "--state", str(state)) == 1
    assert "There is no backup to test." in capsys.readouterr().err
    assert record(state, "restore-test.json")["ok"] is False
    told = BackupRecords(state, place.path).read().restore_test
    assert (told.ok, told.problems) == (False, ("There is no backup to test.",))


# -- the examples ---------------------------------------------------------------------------------


def capabilities(unit: str) -> str:
    found = re.search(r"^CapabilityBoundingSet=(.*)$", (UNITS / unit).read_text(), re.M)
    names = found[1].lower().split()
    return ",".join(["-all", *(name.replace("cap_", "+", 1) for name in names)])


def test_the_units_have_the_capabilities_that_are_needed(place, home, state, of_its_own):
    trees.fill(place.path / home)
    for name in ("backup", "restore-test"):
        bound = ["setpriv", "--bounding-set", capabilities(f"hub-storage-{name}.service"), "--"]
        command = [*bound, *PROGRAM, name, "--root", str(place.path), "--state", str(state)]
        if name == "backup":
            command.append(home)
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert home in done.stdout
        assert not place.left_over(home)


def test_the_units_can_be_read_by_systemd(tmp_path):
    if not shutil.which("systemd-analyze"):
        agents.unavailable(FileNotFoundError("there is no systemd-analyze"))
    units = [shutil.copy(path, tmp_path) for path in UNITS.glob("hub-storage-*.*")]
    for unit in units:  # the program is installed elsewhere
        text = Path(unit).read_text().replace("/usr/local/bin/hub-storage-agent", "/bin/true")
        Path(unit).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if "hub-storage" in line]
    assert complaints == []


def test_the_documentation_is_what_runs(place, tmp_path):
    """The blocks on snapshots and backups, in order, and a home that was deleted between."""
    text = (ROOT / "docs/storage.md").read_text()
    blocks = re.findall(r"```shell\n(.*?)```", text, re.DOTALL)
    blocks = [block for block in blocks if "--claims" not in block]  # test_storage_claim_snapshots
    assert len(blocks) == 2
    home = place.new("homes/pat")
    (home / "thesis").write_text("a year")
    for block in blocks:
        for line in block.replace("/export", str(place.path)).splitlines():
            words = shlex.split(line)
            if "backup" in words or "restore-test" in words:
                words += ["--state", str(tmp_path)]
            if "restore" in words:
                (home / "thesis").unlink()
            done = subprocess.run([AGENT, *words[1:]], capture_output=True, text=True)
            assert done.returncode == 0, (line, done.stderr)
            assert (home / "thesis").read_text() == "a year", line
