"""What a doctor says of what it has seen, and how it looks at a machine; without a hub."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hubs import ROOT
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, Spawner

from hub_groups.hub_state import skipped_methods
from hub_groups.migrate import GROUPS, Migrations
from hub_quotas import doctor_command
from hub_quotas.cgroups import LimitedLocalProcessSpawner, would_hold
from hub_quotas.database_look import Place, look, network_of, whole
from hub_quotas.doctor import diagnose, healthy
from hub_quotas.doctor_facts import (
    BAD_URL,
    FOREIGN,
    HINT,
    NEW,
    NEWER,
    NO_DRIVER,
    NO_FOLDER,
    OLDER,
    PROBLEM,
    READ_ONLY,
    READY,
    UNREACHABLE,
    WARNING,
    Answer,
    Class,
    Configuration,
    Database,
    Facts,
    Pages,
    Running,
)
from hub_quotas.doctor_process import Started, config_named
from hub_quotas.hub_cli import main

PACKAGES = ("hub_groups", "hub_quotas", "share_links")
OK = Answer(200, right=True, ahead=0.4)
NOBODY = Answer(why="Connection refused")


class Own(LocalProcessSpawner): ...


HERE = "http://127.0.0.1:10101"

CONFIG = Configuration(
    "/etc/jupyterhub/jupyterhub_config.py", packages=PACKAGES, changed_at=1_000.0
)
PAGES = tuple(Pages(name, HERE, True, OK, OK) for name in ("groups", "quotas", "launch"))
RUNNING = Running("1.0", "6.1.1", 2_000.0, PACKAGES, Class("a.QuotaA"), Class("b.GroupsB"), PAGES)
DATABASES = tuple(
    Database(name, f"c.{name}.db_url", f"sqlite:////srv/{name}.sqlite", READY, wanted="0002")
    for name in PACKAGES
)
HEALTHY = Facts(
    CONFIG,
    "1.0",
    "6.1.1",
    DATABASES,
    "http://127.0.0.1:8081/hub/",
    OK,
    RUNNING,
    "http://127.0.0.1:8000/",
    OK,
)


def config(**changes) -> Facts:
    return replace(HEALTHY, config=replace(CONFIG, **changes))


def database(**changes) -> Facts:
    return replace(HEALTHY, databases=(replace(DATABASES[1], **changes),))


def running(**changes) -> Facts:
    return replace(HEALTHY, running=replace(RUNNING, **changes))


def launch(**changes) -> Facts:
    return running(pages=(*PAGES[:2], replace(PAGES[2], **changes)))


ELSEWHERE = {"proxy_elsewhere": True, "service_url": "http://hub:10101"}

CASES = [
    ("config-unreadable", PROBLEM, config(problem="line 3: KeyError: 'X'"), "line 3: KeyError"),
    ("setting-invalid", PROBLEM, config(invalid=("c.HubQuotas.policy: no.",)), "policy: no."),
    (
        "setting-unknown",
        PROBLEM,
        config(unknown=(("c.HubQuota.policy", "c.HubQuotas.policy"),)),
        "Write c.HubQuotas.policy.",
    ),
    ("setting-unknown", PROBLEM, config(unknown=(("c.HubQuotas.x", ""),)), "Take it out"),
    (
        "file-unreadable",
        PROBLEM,
        config(unreadable=(("c.HubGroups.rosters", "There is no a.csv."),)),
        "There is no a.csv.",
    ),
    (
        "extra-missing",
        PROBLEM,
        config(missing=(("c.HubGroups.ldap", "ldap"),)),
        "pip install 'jupyterhub-group-quotas[ldap]'",
    ),
    ("drop-ins-missing", PROBLEM, config(packages=()), "load_subconfig(str(drop_in))"),
    ("drop-ins-partial", WARNING, config(packages=("hub_quotas",)), "10-hub-groups.py"),
    ("refresh-off", WARNING, config(refreshes=False), "such as 300"),
    ("public-url-unset", WARNING, config(mail="mail:25"), "c.JupyterHub.public_url ="),
    (
        "mail-unreachable",
        WARNING,
        config(mail="mail:25", public_url="https://h/", mail_problem="refused"),
        "can't be used: refused",
    ),
    ("rival", WARNING, config(rivals=("jupyterhub-usage-quotas",)), "jupyterhub-usage-quotas"),
    (
        "limits-advisory",
        HINT,
        config(spawner="a.B", limits_by='c.JupyterHub.spawner_class = "c.D".'),
        'a.B does not. Set c.JupyterHub.spawner_class = "c.D".',
    ),
    ("pages-local", PROBLEM, config(proxy_elsewhere=True), "http://hub:10101"),
    (
        "pages-local",
        PROBLEM,
        config(proxy_elsewhere=True, on_kubernetes=True),
        "hub.service.extraPorts",
    ),
    ("database-url", PROBLEM, database(state=BAD_URL), "sqlite:////PATH"),
    ("database-driver", PROBLEM, database(state=NO_DRIVER), "[postgres]"),
    ("database-folder", PROBLEM, database(state=NO_FOLDER), "Make the folder"),
    ("database-unreachable", PROBLEM, database(state=UNREACHABLE, why="gone"), "reached: gone"),
    ("database-read-only", PROBLEM, database(state=READ_ONLY), "the primary"),
    ("database-foreign", PROBLEM, database(state=FOREIGN), "from a backup"),
    ("database-newer", PROBLEM, database(state=NEWER, schema="0009"), "schema 0009"),
    ("database-older", WARNING, database(state=OLDER, schema="0001"), "Restart the hub"),
    ("database-missing", PROBLEM, database(state=NEW), "In the folder"),
    ("database-on-network", HINT, database(network="nfs4"), "on nfs4"),
    ("clock-database", WARNING, database(ahead=-90.2), "90 s behind this machine's"),
    (
        "database-in-working-folder",
        WARNING,
        replace(config(own_files=False), databases=DATABASES[:1]),
        "on a volume",
    ),
    (
        "hub-unreachable",
        PROBLEM,
        replace(HEALTHY, hub=NOBODY, running=None, front=Answer(503)),
        "refused",
    ),
    ("hub-unreachable", PROBLEM, replace(HEALTHY, hub=Answer(404), running=None), "no hub (404)"),
    ("hub-without-us", PROBLEM, replace(HEALTHY, running=None), "none of our packages"),
    ("hub-without-us", PROBLEM, running(packages=PACKAGES[:1]), "not have hub_quotas, share_l"),
    ("versions-differ", WARNING, running(version="0.9"), "this command is of 1.0 and 6.1.1"),
    ("config-changed", HINT, running(since=999.0), "after the hub had started"),
    (
        "hub-too-old",
        PROBLEM,
        replace(running(jupyterhub="5.4.2"), jupyterhub="5.4.2"),
        "Upgrade it to 5.5",
    ),
    ("spawner-replaced", PROBLEM, running(spawner=Class("x.Y", False)), "quotas do not hold"),
    (
        "spawner-overridden",
        PROBLEM,
        running(spawner=Class("x.Y", True, ("run_pre_spawn_hook",))),
        "its own run_pre_spawn_hook before ours",
    ),
    ("authenticator-replaced", PROBLEM, running(authenticator=Class("x.Y", False)), "x.Y"),
    (
        "authenticator-overridden",
        PROBLEM,
        running(authenticator=Class("x.Y", True, ("refresh_user",))),
        "Call super()",
    ),
    ("service-missing", PROBLEM, launch(url=""), "no service launch"),
    ("pages-closed", WARNING, launch(open=False), "access:services!service=launch"),
    ("pages-down", PROBLEM, launch(direct=NOBODY), "not served: Connection refused"),
    ("pages-down", PROBLEM, launch(direct=Answer(404)), "something else answers (404)"),
    ("pages-out-of-reach", PROBLEM, launch(public=Answer(503)), "that the proxy reaches."),
    (
        "pages-out-of-reach",
        PROBLEM,
        replace(launch(public=NOBODY), config=replace(CONFIG, on_kubernetes=True, **ELSEWHERE)),
        "open port 10101 to the proxy",
    ),
    ("proxy-route", PROBLEM, launch(public=Answer(302)), "pages of launch (302)"),
    ("public-unreachable", PROBLEM, replace(HEALTHY, front=NOBODY), "--url"),
    ("public-unreachable", PROBLEM, replace(HEALTHY, front=Answer(502)), "it answers 502"),
    ("public-unreachable", PROBLEM, replace(HEALTHY, front=Answer(404)), "End what listens there"),
    ("clock-public", WARNING, replace(HEALTHY, front=replace(OK, ahead=61)), "61 s ahead of"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "level", "facts", "said"), CASES)
def test_each_ailment_is_found_and_nothing_else(code, level, facts, said):
    (found,) = diagnose(facts)
    assert (found.code, found.level) == (code, level)
    assert said.lower() in f"{found.what} {found.fix}".lower()
    assert found.where, "an admin has to know where to look"
    for text in (found.what, found.fix):
        assert text[-1] in '.)/"', text
        assert "None" not in text


def test_each_ailment_is_among_these():
    text = "".join(path.read_text() for path in (ROOT / "hub_quotas").glob("doctor_*rules.py"))
    codes = set(re.findall(r'^\s+"([a-z]+(?:-[a-z]+)+)",$', text, re.MULTILINE))
    codes |= set(re.findall(r'Finding\("([a-z-]+)"', text)) | {"rival"}
    codes |= set(re.findall(r': \("([a-z-]+)", "', text))
    codes |= {
        f"{kind}-{how}"
        for kind in ("spawner", "authenticator")
        for how in ("replaced", "overridden")
    }
    assert codes == {code for code, *_rest in CASES}


def test_what_loads_the_drop_ins_can_be_pasted():
    (found,) = diagnose(config(packages=()))
    loaded = []
    code = found.fix.partition("\n\n")[2]
    exec(code, {"load_subconfig": loaded.append})  # noqa: S102
    assert [Path(file).name[:3] for file in loaded] == ["10-", "20-", "30-"]


@pytest.mark.parametrize(
    ("spawner", "said"),
    [
        (LocalProcessSpawner, '= "hub_quotas.cgroups.LimitedLocalProcessSpawner".'),
        (SimpleLocalProcessSpawner, '= "hub_quotas.cgroups.LimitedSimpleLocalProcessSpawner".'),
        (Own, "class LimitedOwn(hub_quotas.cgroups.CgroupsMixin, Own)."),
        (LimitedLocalProcessSpawner, ""),
        (Spawner, ""),
    ],
)
def test_what_would_hold_servers_to_their_limits(spawner, said):
    found = would_hold(spawner)
    assert found.endswith(said) and bool(found) == bool(said)


def test_a_configuration_of_a_hub_that_runs_is_read_as_that_hub_reads_it(tmp_path, monkeypatch):
    hub = Started(tmp_path / "hub" / "jupyterhub_config.py", tmp_path / "hub", {"A": "1"})
    hub.folder.mkdir()
    hub.config.write_text("")
    running = [hub, Started(tmp_path / "other.py", tmp_path)]
    monkeypatch.setattr(doctor_command, "running_hubs", lambda: running)
    monkeypatch.chdir(tmp_path)
    assert doctor_command.hub_of(Path("hub/jupyterhub_config.py")) == hub
    assert doctor_command.hub_of(Path("none.py")) == Started(Path("none.py"), tmp_path)
    monkeypatch.chdir(hub.folder)
    assert doctor_command.find_hub() == hub
    running.append(hub)
    assert doctor_command.hub_of(hub.config).environment is None, "it is not clear which"


def test_nothing_is_found_on_a_healthy_hub():
    assert diagnose(HEALTHY) == ()
    assert len(healthy(HEALTHY)) == 8
    elsewhere = replace(HEALTHY, config=replace(CONFIG, on_kubernetes=True, **ELSEWHERE))
    assert diagnose(elsewhere) == ()
    assert diagnose(replace(elsewhere, public="", front=None)) == ()
    assert diagnose(config(mail="mail:25", public_url="https://hub.example.org/")) == ()
    links = replace(HEALTHY, databases=(replace(DATABASES[2], state=NEW),))
    assert diagnose(links) == (), "of links, a hub makes it with the first"


def test_of_what_could_not_be_looked_at_nothing_is_said():
    nothing = Facts(replace(CONFIG, problem="there is no such file."))
    assert [one.code for one in diagnose(nothing)] == ["config-unreadable"]
    assert healthy(nothing) == ()
    assert diagnose(replace(HEALTHY, hub_url="", hub=None, running=None)) == ()


def test_the_worst_comes_first():
    facts = replace(
        database(network="nfs", state=NO_FOLDER), config=replace(CONFIG, refreshes=False)
    )
    assert [one.level for one in diagnose(facts)] == [PROBLEM, WARNING, HINT]
    assert len(healthy(facts)) == len(healthy(HEALTHY)) - 3, "not of what is wrong"


# -- databases ------------------------------------------------------------------------------------


def place(url: str, migrations: Migrations = GROUPS) -> Place:
    return Place("hub_groups", "c.HubGroups.db_url", url, False, migrations)


def a_database(file: Path, schema: str) -> Path:
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"CREATE TABLE {GROUPS.table} (version_num TEXT)")
        db.execute(f"INSERT INTO {GROUPS.table} VALUES (?)", (schema,))
    db.close()
    return file


@pytest.mark.parametrize(
    ("schema", "state"), [(GROUPS.head, READY), ("0001", OLDER), ("0999", NEWER), ("", NEW)]
)
def test_a_file_is_looked_at_and_left_as_it_was(tmp_path, schema, state):
    file = a_database(tmp_path / "a b#c.sqlite", schema)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    found = look(place(f"sqlite:///{file}"))
    assert (found.state, found.schema) == (state, schema)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing beside it"


def test_a_relative_file_is_one_of_the_hubs_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert whole("sqlite:///a.sqlite") == f"sqlite:///{tmp_path}/a.sqlite"
    for url in ("sqlite://", "no url", "postgresql://a:secret@b/c"):
        assert whole(url) == url


def test_a_file_that_a_hub_has_open_is_read_as_it_is_now(tmp_path):
    file = a_database(tmp_path / "groups.sqlite", "0001")
    hub = sqlite3.connect(file)
    hub.execute(f"UPDATE {GROUPS.table} SET version_num = ?", (GROUPS.head,))
    hub.commit()
    assert look(place(f"sqlite:///{file}")).state == READY
    hub.close()


def test_what_can_not_be_used_is_told_apart(tmp_path):
    (tmp_path / "notes.sqlite").write_text("not a database, but some text that is long enough")
    (tmp_path / "folder.sqlite").mkdir()
    states = {
        "hub_groups.sqlite": BAD_URL,
        "mysql://a:secret@b/c": BAD_URL,
        f"sqlite:///{tmp_path}/none/groups.sqlite": NO_FOLDER,
        f"sqlite:///{tmp_path}/groups.sqlite": NEW,
        f"sqlite:///{tmp_path}/notes.sqlite": FOREIGN,
        f"sqlite:///{tmp_path}/folder.sqlite": FOREIGN,
        "postgresql+nodriver://a:secret@127.0.0.1/b": NO_DRIVER,
        "postgresql+psycopg://a:secret@127.0.0.1:1/b": UNREACHABLE,
    }
    for url, state in states.items():
        found = look(place(url))
        assert found.state == state, (url, found)
        assert "secret" not in repr(found)


def test_the_file_system_of_a_folder_is_the_nearest_mount():
    mounts = "/dev/b /srv/my\\040hub xfs rw 0 0\nnas:/a /srv nfs4 rw 0 0\n/dev/a / ext4 rw 0 0\n"
    kinds = {"/home": "", "/srv": "nfs4", "/srv/hub": "nfs4", "/srv/my hub/a": "", "/srvhub": ""}
    assert {folder: network_of(Path(folder), mounts) for folder in kinds} == kinds


# -- classes --------------------------------------------------------------------------------------


class Ours:
    def run(self) -> str:
        return "ours"

    def stop(self) -> str:
        return "ours"


class Careful(Ours):
    def run(self) -> str:
        return f"theirs, {super().run()}"

    def other(self) -> None: ...


class Careless(Careful):
    def stop(self) -> str:
        return "theirs"


def test_methods_that_never_run_are_named():
    assert skipped_methods(Ours, [Ours]) == []
    assert skipped_methods(Careful, [Ours]) == []
    assert skipped_methods(Careless, [Ours]) == ["stop"]
    assert skipped_methods(Careless, []) == []


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ("/opt/hub/bin/jupyterhub", "jupyterhub_config.py"),
        ("/opt/hub/bin/python3 /opt/hub/bin/jupyterhub --debug", "jupyterhub_config.py"),
        ("/usr/bin/python3 -m jupyterhub -f /etc/hub.py", "/etc/hub.py"),
        ("python -m jupyterhub.app -f=hub.py --upgrade-db", "hub.py"),
        ("jupyterhub --config /usr/local/etc/hub.py --upgrade-db", "/usr/local/etc/hub.py"),
        ("jupyterhub --config=hub.py", "hub.py"),
        ("jupyterhub -fhub.py", "hub.py"),
        ("jupyterhub token admin", None),
        ("python -m jupyterhub.tests.mocksu", None),
        ("/bin/jupyterhub-singleuser --port=1", None),
        ("grep -r x jupyterhub", None),
        ("vim jupyterhub -f x", None),
        ("", None),
    ],
)
def test_a_hub_is_known_by_its_command_line(words, config):
    assert config_named(words.split()) == config


def test_a_configuration_that_is_nowhere_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor_command, "USUAL", ())
    monkeypatch.setattr(doctor_command, "running_hubs", list)
    assert main(["doctor"]) == 1
    assert str(tmp_path / "jupyterhub_config.py") in capsys.readouterr().err


def test_the_answer_for_people_and_for_programs(capsys):
    facts = replace(database(network="nfs4"), config=replace(CONFIG, refreshes=False))
    findings = diagnose(facts)
    people = doctor_command.lines(facts, findings, colours=False)
    assert people[-6].startswith("warning  c.Authenticator.auth_refresh_age is 0")
    assert people[-6].endswith("[refresh-off]")
    assert people[-4].startswith("         fix:   Set it to some seconds")
    assert people[0].startswith("ok       ")
    assert doctor_command.lines(HEALTHY, (), False)[-1] == "Nothing is to be put right."
    assert "\x1b[33mwarning" in "".join(doctor_command.lines(facts, findings, colours=True))
    document = json.loads(json.dumps(doctor_command.document(facts, findings)))
    assert [one["code"] for one in document["findings"]] == ["refresh-off", "database-on-network"]


def test_the_answer_in_the_documentation_is_one_of_this_command():
    text = (ROOT / "docs" / "how-to.md").read_text().partition("## Something is wrong")[2]
    (shown,) = re.findall(r"```text\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    facts = running(pages=tuple(replace(one, direct=NOBODY) for one in PAGES))
    said = doctor_command.lines(facts, diagnose(facts), colours=False)
    assert set(shown.splitlines()) <= set(said)
    assert shown.splitlines()[1:] == said[-3:]
