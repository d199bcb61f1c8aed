"""`hub-quotas`, as an admin or a support person uses it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing

import pytest
from hubs import ROOT

from hub_groups.people import By, put_members
from hub_groups.store import open_store as open_group_store
from hub_quotas import which_database
from hub_quotas.cli import DONE, REFUSED, UNUSABLE, USAGE, main
from hub_quotas.doctor_process import Started
from hub_quotas.policy import parse_policy
from hub_quotas.store import open_store

SAMPLE = str(ROOT / "examples" / "demo" / "quotas.yaml")


@pytest.fixture
def db(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/quotas.sqlite"


@pytest.fixture
def cli(db, capsys):
    """Run a command; returns its exit code and what it printed."""

    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "--db", db])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "quotas.yaml"
    file.write_text("groups: {a: {limits: {member.servers: 2}}}")
    return file


def test_changes_are_shown_first_and_written_with_yes(cli, file, db):
    open_store(db)
    code, said = cli("apply", str(file))
    assert (code, said) == (
        DONE,
        "+ a · member.servers: 2\nNothing is written yet; add --yes to write.\n",
    )
    assert open_store(db).policy().groups == {}
    assert cli("apply", str(file), "--yes")[1].endswith("Written: 1 change.\n")
    file.write_text("groups: {a: {limits: {member.servers: 3}}}")
    assert "~ a · member.servers: 2 -> 3" in cli("apply", str(file), "--yes")[1]
    assert cli("apply", str(file)) == (DONE, "Nothing to change.\n")
    changes = json.loads(cli("apply", str(file), "--json")[1])
    assert changes == {"changes": [], "written": False, "never_seen": [], "needs": {}}
    file.write_text("groups: {}")
    assert "- a · member.servers: 3" in cli("apply", str(file), "--yes")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "groups:\n  a:\n    limits:\n      member.server: 2\n",
            "quotas.yaml, line 4: groups · a · limits · member.server: there is no limit",
        ),
        ("groups:\n  a: {}\n  a: {}\n", "line 3: 'a' stands here a second time; the first is in l"),
        ("groups: [", "line 1: this is not YAML: "),
        (
            "prices:\n  - {since: 2026-01-01}\n  - {since: x}\n",
            "line 3: prices · 2 · since: 'x' is",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_line_and_changes_nothing(cli, file, db, text, said):
    cli("apply", str(file), "--yes")
    file.write_text(text)
    for command in ("check", "apply"):
        code, printed = cli(command, str(file))
        assert code == UNUSABLE
        assert said in printed
        assert printed.count("\n") == 1
    assert len(open_store(db).policy().groups) == 1


def test_check(cli):
    assert cli("check", SAMPLE) == (DONE, "3 groups, 0 plans, 9 limits: this can be used.\n")
    assert json.loads(cli("check", SAMPLE, "--json")[1])["limits"] == 9


def test_apply_says_what_servers_would_need(cli, file, db):
    store = open_store(db)
    limits = "{limits: {group.cpu: 4, group.memory: 8G, server.memory: 2G}}"
    file.write_text(f"groups: {{a: {limits}, b: {limits}, c: {ONE}}}")
    said = "Servers without a CPU limit of their own would not start in a, b: set server.cpu too"
    printed = cli("apply", str(file))[1]
    assert said in printed and "memory limit of their own" not in printed
    assert json.loads(cli("apply", str(file), "--json")[1])["needs"] == {"cpu": ["a", "b"]}
    assert said in cli("apply", str(file), "--yes")[1]
    assert said not in cli("apply", str(file))[1], "it is not new"
    store.apply(parse_policy({}), "tests", "tests")
    store.adopt("one", "kim", "", "z", {"servers": 1, "cpu": 1000}, 10**15)
    assert said not in cli("apply", str(file))[1], "servers have theirs by the hub"


ONE = "{limits: {member.servers: 1}}"


def test_groups_in_which_nobody_ever_was_are_named_once(cli, file, db, tmp_path):
    store, groups = open_store(db), open_group_store(f"sqlite:///{tmp_path}/hub_groups.sqlite")
    names = ("geo-101", "geo-102", "x", "x/y", "old", "default")
    file.write_text(f"groups: {{{', '.join(f'{name}: {ONE}' for name in names)}}}")
    assert "Nobody" not in cli("apply", str(file))[1], "nobody is known here at all"
    put_members(groups, "geo-101", ["sam"], By("admin", "page"))
    put_members(groups, "x/y/z", ["sam"], By("admin", "page"))
    store.adopt("one", "kim", "", "old", {"servers": 1}, 10**15)
    said = (
        "Nobody has been in these groups yet, as far as these databases know: geo-102. If their "
        "names are right, limits hold from when somebody is.\n"
    )
    assert said in cli("apply", str(file))[1]
    assert json.loads(cli("apply", str(file), "--json")[1])["never_seen"] == ["geo-102"]
    assert said in cli("apply", str(file), "--yes")[1]
    assert "Nobody" not in cli("apply", str(file), "--yes")[1], "it has been said"
    file.write_text(f"groups: {{{', '.join(f'new-{n:02}: {ONE}' for n in range(12))}}}")
    assert "know: new-00, new-01," in cli("apply", str(file))[1]
    assert ", new-09 and 2 more. If" in cli("apply", str(file))[1]


OTHERS = [
    *(("explain", "sam"), ("usage",), ("sessions",), ("export",), ("report",), ("menu",)),
    *(("adjust", "a", "cpu-hours", "1", "--why", "x"), ("prune",)),
]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, and no hub that runs."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HUB_QUOTAS_DB", raising=False)
    monkeypatch.setattr(which_database, "running_hubs", list)
    for stores in (open_store, open_group_store):  # another folder's, of the same name here
        stores.cache_clear()
    return folder


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("command", OTHERS, ids=lambda words: words[0])
def test_no_command_makes_a_ledger_by_accident(command, named, elsewhere, capsys):
    words = ["--db", "sqlite:///hub_quotas.sqlite"] if named else []
    assert main([*command, *words]) == UNUSABLE
    said = capsys.readouterr()
    assert said.err == (
        f"There is no ledger at sqlite:///{elsewhere}/hub_quotas.sqlite, and none was made: run "
        "this in the hub's folder, or name its database, --db "
        "sqlite:////PATH/hub_quotas.sqlite.\n"
    )
    assert (said.out, list(elsewhere.iterdir())) == ("", [])


def test_apply_makes_a_ledger_only_where_it_is_named(file, elsewhere, monkeypatch, capsys):
    for words in ([], ["--yes"]):
        assert main(["apply", str(file), *words]) == UNUSABLE
        assert "also to make one before the hub's first start.\n" in capsys.readouterr().err
    db = f"sqlite:///{elsewhere}/new.sqlite"
    assert main(["apply", str(file), "--db", db]) == DONE
    said = capsys.readouterr()
    assert said.err == f"There was no ledger at {db}; --yes makes it.\n"
    assert said.out.startswith("+ a · member.servers: 2\nNothing is written yet")
    assert list(elsewhere.iterdir()) == []
    monkeypatch.setenv("HUB_QUOTAS_DB", db)
    assert main(["apply", str(file), "--yes"]) == DONE
    assert capsys.readouterr().err == f"There was no ledger at {db}; it is made now.\n"
    assert main(["apply", str(file), "--yes"]) == DONE
    assert capsys.readouterr() == ("Nothing to change.\n", "")
    assert main(["usage"]) == DONE


def test_another_database_is_no_ledger_and_is_left_as_it_is(elsewhere, capsys):
    with closing(sqlite3.connect("jupyterhub.sqlite")) as hub:
        hub.execute("CREATE TABLE users (name TEXT)")
    before = (elsewhere / "jupyterhub.sqlite").read_bytes()
    assert main(["usage", "--db", "sqlite:///jupyterhub.sqlite"]) == UNUSABLE
    assert "There is no ledger at" in capsys.readouterr().err
    assert (elsewhere / "jupyterhub.sqlite").read_bytes() == before


def test_apply_makes_no_ledger_by_a_mistake_in_its_name(file, elsewhere, capsys):
    with closing(sqlite3.connect("jupyterhub.sqlite")) as hub:
        hub.execute("CREATE TABLE users (name TEXT)")
    before = (elsewhere / "jupyterhub.sqlite").read_bytes()
    assert main(["apply", str(file), "--yes", "--db", "sqlite:///jupyterhub.sqlite"]) == UNUSABLE
    assert "jupyterhub.sqlite is a database of something else" in capsys.readouterr().err
    assert (elsewhere / "jupyterhub.sqlite").read_bytes() == before

    assert main(["apply", str(file), "--yes", "--db", "sqlite:///hub_quotas.sqlite"]) == DONE
    capsys.readouterr()
    assert main(["apply", str(file), "--yes", "--db", "sqlite:///hub_quota.sqlite"]) == UNUSABLE
    assert "beside it is hub_quotas.sqlite, which is one." in capsys.readouterr().err
    assert not (elsewhere / "hub_quota.sqlite").exists()


@pytest.mark.parametrize("command", [["usage"], ["apply", SAMPLE, "--yes"]], ids=lambda w: w[0])
def test_a_folder_that_is_not_there_is_named(command, elsewhere, capsys):
    assert main([*command, "--db", "sqlite:///srv/hub_quotas.sqlite"]) == UNUSABLE
    said = capsys.readouterr().err
    assert f"--db: there is no folder {elsewhere}/srv. A whole path has four slashes" in said
    assert main([*command, "--db", f"sqlite:///{elsewhere}/srv/hub_quotas.sqlite"]) == UNUSABLE
    assert "four slashes" not in capsys.readouterr().err


def test_an_empty_file_is_no_policy(cli, file):
    assert cli("apply", str(file), "--yes")[0] == DONE
    file.write_text("# nothing yet\n")
    code, said = cli("apply", str(file), "--yes")
    assert code == UNUSABLE
    assert "there is nothing in it. A policy without limits says so: groups: {}" in said
    file.write_text("groups: {}\n")
    said = cli("apply", str(file))[1]
    assert "1 of these goes, also where set in the browser" in said


def test_the_ledger_of_a_hub_that_runs_is_named(elsewhere, tmp_path, monkeypatch, capsys):
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(
        "import sys\nfrom pathlib import Path\n"
        'for d in Path(sys.prefix, "etc/jupyterhub/jupyterhub_config.d").glob("*.py"):\n'
        "    load_subconfig(str(d))\n"
    )
    running = [Started(config, tmp_path)]
    monkeypatch.setattr(which_database, "running_hubs", lambda: running)
    assert main(["explain", "alice"]) == UNUSABLE
    said = capsys.readouterr().err
    assert said == (
        f"There is no ledger at sqlite:///{elsewhere}/hub_quotas.sqlite, and none was made: the "
        f"hub of {config} has --db sqlite:///{tmp_path}/hub_quotas.sqlite.\n"
    )
    running.append(Started(tmp_path / "another.py", tmp_path))
    assert main(["explain", "alice"]) == UNUSABLE
    assert "run this in the hub's folder" in capsys.readouterr().err, "nobody knows which"


def test_what_can_not_be_opened_is_named(file, tmp_path, capsys):
    db = f"sqlite:///{tmp_path}"  # a folder
    assert main(["apply", str(file), "--db", db]) == UNUSABLE
    said = f"The quota database {db} can't be used: unable to open database file\n"
    assert capsys.readouterr().err == said
    assert main(["check", str(tmp_path / "none.yaml")]) == UNUSABLE
    assert "none.yaml: No such file or directory." in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong:
        main(["explane"])
    assert wrong.value.code == USAGE


def test_explain_answers_for_the_sample_world(cli, db, tmp_path):
    cli("apply", SAMPLE, "--yes")
    geo = "earth-sciences/geo-101"
    groups = open_group_store(f"sqlite:///{tmp_path}/hub_groups.sqlite")
    groups.replace_source("roster:r", {geo: {"sam": "member", "prof-ada": "manager"}})
    code, said = cli("explain", "sam", "--cpu", "0.5", "--memory", "512M")
    assert code == DONE
    assert said.startswith(f"A server with 0.5 cores of cpu, 512 MiB of memory charged to {geo} wo")
    open_store(db).reserve("1", "sam", "", [geo], {"cpu": 500, "memory": 2**29})
    code, said = cli("explain", "sam", "--cpu", "0.5", "--memory", "512M")
    assert code == REFUSED
    assert f"NO  {geo} · member.servers: 1 (set there); 1 of 1 server; asks for 1 server" in said
    assert said.endswith(
        f"\nWhat sam is told: {geo} allows each member 1 server at once, and you have 1 running. "
        "Stop a server that you don't need, and this one can start. "
        f"To get more, ask prof-ada, who manages {geo}.\n"
    )
    (answer,) = json.loads(cli("explain", "sam", "--cpu", "1", "--memory", "1G", "--json")[1])
    assert answer["allowed"] is False
    assert [c["limit"] for c in answer["checks"] if not c["passed"]] == ["member.servers"]


def test_explain_says_what_may_be_stored(cli, db, tmp_path):
    file = tmp_path / "quotas.yaml"
    file.write_text("groups: {geo: {limits: {member.storage: 12G soft 10G, member.cpu: 4}}}")
    open_store(db)
    assert cli("apply", str(file), "--yes") == (
        DONE,
        "+ geo · member.cpu: 4\n+ geo · member.storage: 12G soft 10G for 7d\n"
        "Servers without a CPU limit of their own would not start in geo: set server.cpu too, "
        "which such servers then get.\nWritten: 2 changes.\n",
    )
    said = cli("explain", "sam", "--group", "geo")[1]
    assert (
        "What may be stored there:\n"
        "      geo · member.storage: 12G soft 10G for 7d (set there); "
        "12 GiB in each member's home, more than 10 GiB for 7 days at most\n"
    ) in said
    (answer,) = json.loads(cli("explain", "sam", "--group", "geo", "--json")[1])
    assert [(one["limit"], one["amount"]) for one in answer["storage"]] == [
        ("member.storage", "12G soft 10G for 7d")
    ]


def test_usage_sessions_and_export(cli, db):
    cli("apply", SAMPLE, "--yes")
    store = open_store(db)
    store.reserve("1", "sam", "", ["earth-sciences/geo-101"], {"cpu": 500, "memory": 2**29})
    said = cli("usage")[1].splitlines()
    assert said[0].split() == ["group", "servers", "cpu", "memory", "limits"]
    assert "512 MiB of 4 GiB (Memory)" in next(line for line in said if "geo-101" in line)
    use = json.loads(cli("usage", "--json")[1])
    assert use["earth-sciences"]["memory"] == 2**29
    assert "sam" in cli("sessions")[1]
    assert json.loads(cli("sessions", "--user", "kim", "--json")[1]) == []
    opened = store.session("1").reserved_at
    store.close_session("1", "stopped")
    assert "sam" not in cli("sessions")[1]
    assert "sam" in cli("sessions", "--since", "1d")[1]
    (row,) = csv.DictReader(io.StringIO(cli("export")[1]))
    hours = (store.session("1").closed_at - opened) / 3.6e9
    assert float(row["cpu_hours"]) == pytest.approx(hours / 2, abs=1e-4)
    assert json.loads(cli("export", "--json")[1])["user"] == "sam"


def test_adjust(cli, db):
    open_store(db)
    code, said = cli("adjust", "a", "cpu-hours", "2.5", "--user", "sam", "--why", "a broken node")
    assert (code, said) == (DONE, "Given back to sam in a: 2.5 CPU-hours.\n")
    code, said = cli("adjust", "a", "cpu", "2", "--why", "x")
    assert code == UNUSABLE
    assert "'cpu' can't be given back; give cpu-hours" in said


def test_prune(cli, db):
    store = open_store(db)
    store.reserve("1", "sam", "", ["a"], {})
    store.close_session("1", "stopped")
    assert "Dropped 0 points" in cli("prune")[1]
    assert "line" not in cli("prune", "--keep", "soon")[1]
