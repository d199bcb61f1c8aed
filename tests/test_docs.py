"""The documentation's commands and snippets do what it says."""

from __future__ import annotations

import json
import os
import re
import runpy
import secrets
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from books import TOC_MYST, write_book
from gitserver import commit, open_git_server
from hubs import ROOT, TOKEN, make_venv

from hub_groups.cli import main as hub_groups
from hub_groups.config import HubGroups
from hub_groups.presets import PRESETS
from hub_groups.record import Run, save_run
from hub_groups.roster import parse_roster
from hub_groups.rule_files import parse_rules_text
from hub_groups.rules import KEYS
from hub_groups.store import GroupStore
from hub_quotas.cli import main as hub_quotas
from hub_quotas.config import HubQuotas
from hub_quotas.hub_cli import FOUND
from hub_quotas.hub_cli import main as hub_group_quotas
from hub_quotas.limits import GROUP, MEMBER, SERVER
from hub_quotas.policy import parse_policy
from hub_quotas.refusal import REASONS
from hub_quotas.store import QuotaStore
from share_links.book import CHOICES, CONTENT, HUB, TOP, parse_book, parse_choice
from share_links.book_files import read_hubs
from share_links.cli import main as share_links
from share_links.sources import choice, frontmatter, wanted

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


HOW_TO = ("how-to", "groups", "limits", "costs", "notices", "beside", "monitoring", "several-hubs")
"""The pages whose Python blocks are one configuration of a hub."""


def how_to(language: str) -> list[str]:
    return [block for page in HOW_TO for block in blocks(f"docs/{page}.md", language)]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_every_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)


def test_the_reference_is_what_the_code_says():
    document = runpy.run_path(str(ROOT / "docs" / "reference.py"))["document"]
    assert (ROOT / "docs" / "reference.md").read_text() == document(), (
        "out of date; run: .venv/bin/python docs/reference.py"
    )


def test_each_way_to_write_a_limit_can_be_read():
    (grammar,) = (b for b in blocks("docs/reference.md", "text") if b.startswith("LIMIT"))
    rules = dict(re.split(r" {2,}", line, maxsplit=1) for line in grammar.strip().splitlines())
    durations = rules["DURATION"].split(" | ")
    windows = [*durations, *rules["WINDOW"].split(" | ")[1:-1], "2026-09-01..2026-12-20"]
    reactions = ["refuse", "stop", *(f"stop after {one}" for one in durations)]
    reactions += ["downsize to cpu 1", "downsize to cpu 1 and memory 2G"]
    budgets = [f"40 per {window}" for window in windows]
    budgets += [f"40 per month then {reaction}" for reaction in reactions]
    storage = ["12G", "12G soft 10G", *(f"12G soft 10G for {one}" for one in durations)]
    for limits in (
        *({"member.cpu-hours": budget} for budget in [*budgets, budgets[: len(windows)]]),
        *({"member.storage": cap} for cap in storage),
        *({f"{scope}.cpu": "2"} for scope in rules["SCOPE"].split(" | ")),
    ):
        assert parse_policy({"groups": {"geo": {"limits": limits}}}).limits_of("geo")


def test_every_code_of_a_refusal_is_told():
    """Those in the code, and those of `messages.reason_code`, which are made of a limit's scope."""
    code = "".join(file.read_text() for file in (ROOT / "hub_quotas").glob("*.py"))
    code = re.sub(r"REASONS = \{.*?\n\}|thread_name_prefix=\S+", "", code, flags=re.DOTALL)
    made = {f"quota-{scope}" for scope in (SERVER, MEMBER, GROUP)}
    assert {*re.findall(r'"(quota-[a-z]+)"', code), *made} == set(REASONS)


def test_the_lines_for_any_hub_attach_everything(fresh_hub, tmp_path, monkeypatch):
    """README and how-to, as the only thing that a configuration says about us."""
    snippet = blocks("README.md", "python")[0]
    rest = how_to("python")
    assert snippet in rest
    roster = tmp_path / "geo-101.csv"
    roster.write_text(blocks("docs/groups.md", "text")[0])
    elsewhere = (
        *("service_url", "db.example.org", "HubQuotas.policy", "hub_quotas.cgroups"),
        "DASK_GATEWAY_TOKEN",
        "PROMETHEUS_TOKEN",
        "quota-admins",
    )
    other = [block for block in rest if block != snippet and not any(w in block for w in elsewhere)]
    assert len(rest) == len(other) + 1 + len(elsewhere), "each block is run here, or there"
    config = "\n".join([snippet, *other]).replace("/srv/jupyterhub", str(tmp_path))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", secrets.token_hex(32))
    hub = fresh_hub("snippet", config=config)
    hub.limits(yaml.safe_dump({"earth-sciences/geo-101": {"member.servers": 0}}))
    hub.login("sam")
    refused = hub.api("users/sam/server", "POST")
    assert refused.status_code == 403
    assert "ask prof-ada, who manages earth-sciences/geo-101" in refused.json()["message"]


def test_the_settings_of_the_how_to_hold(fresh_hub):
    (settings,) = (b for b in how_to("python") if "HubQuotas.policy" in b)
    hub = fresh_hub("snippet", config=blocks("README.md", "python")[0] + settings)
    (limit,) = hub.ledger().policy().limits_of("earth-sciences")
    assert (limit.key, limit.amount) == ("group.servers", 50)


def test_the_roles_of_the_how_to_hold(fresh_hub):
    (roles,) = (b for b in how_to("python") if "quota-admins" in b)
    keep = ("ours = list(c.JupyterHub.load_roles)\n", "\nc.JupyterHub.load_roles += ours\n")
    hub = fresh_hub("snippet", config=roles.join(keep) + blocks("README.md", "python")[0])
    hub.limits("earth-sciences/geo-101: {member.servers: 1}")
    may = {"operations": 200, "finance": 200, "tutors": 403}
    for group, plans in may.items():
        visitor = hub.login(f"of-{group}")
        hub.api(f"groups/{group}/users", "POST", json={"users": [visitor.user]})
        geo = visitor.get("services/quotas/groups/earth-sciences/geo-101")
        assert geo.status_code == 200, group
        assert ("Save" in geo.text) == (group != "finance")
        assert visitor.get("services/quotas/plans").status_code == plans


def test_the_commands_of_a_service_hold_and_release(fresh_hub, monkeypatch):
    """In one shell, one block after the other, with the hub's address in place of the example's."""
    monkeypatch.setenv("DASK_GATEWAY_TOKEN", TOKEN + "dask")
    (settings,) = (b for b in how_to("python") if "DASK_GATEWAY_TOKEN" in b)
    hub = fresh_hub("snippet", config=blocks("README.md", "python")[0] + settings)
    hub.api("users/sam", "POST")
    hold, go_on = blocks("docs/beside.md", "bash")
    said = []
    for script in (hold, hold + go_on):
        script = script.replace("https://hub.example.org/", hub.base)
        done = subprocess.run(["bash", "-eu"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(re.findall(r'"granted": ?({.*?})', done.stdout))
    both = {"servers": "1", "cpu": "2", "memory": "4G"}
    first, rest = ([json.loads(granted) for granted in each] for each in said)
    less = {**both, "cpu": "1"}
    assert first == [both]
    assert rest == [both, both, less, both, less], "the list has that of the first run too"
    assert len(hub.ledger().open_sessions("sam")) == 1


def test_the_commands_for_memberships_work(fresh_hub, monkeypatch):
    hub = fresh_hub("people", more_roster="tutor,earth-sciences/geo-101,manager\n")
    tutor = hub.login("tutor")
    scopes = ("access:services!service=groups", "custom:groups:act")
    monkeypatch.setenv("TOKEN", tutor.token(*scopes))
    (script,) = blocks("docs/memberships.md", "bash")
    script = script.replace("https://hub.example.org/", hub.base)
    done = subprocess.run(["bash", "-eu"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    added, link, roster, found = map(json.loads, done.stdout.strip().splitlines())
    assert added == {"users": ["sam", "jane@example.org"]}
    assert (link["most"], link["by"], link["over"]) == (40, "tutor", "")
    assert roster["applied"]
    (kim,) = found["members"]
    assert [reason["source"] for reason in kim["reasons"]] == ["roster:upload"]


def test_settings_for_another_machine_are_settings_that_there_are():
    for block in how_to("python"):
        for cls, name in re.findall(r"^c\.(Hub\w+)\.(\w+) =", block, re.MULTILINE):
            assert name in {"HubGroups": HubGroups, "HubQuotas": HubQuotas}[cls].class_trait_names()


def test_the_policies_and_the_roster_can_be_read():
    written = (
        *how_to("yaml"),
        *(b for p in ("docs/reference.md", "README.md") for b in blocks(p, "yaml")),
    )
    policies = [yaml.safe_load(block) for block in written]
    assert [len(parse_policy(policy).groups) for policy in policies] == [2, 2, 2, 1, 3, 1]
    assert len(parse_roster(blocks("docs/groups.md", "text")[0], "geo-101.csv")) == 2


def test_the_rules_can_be_read_and_all_keys_and_presets_are_named():
    rules = blocks("docs/rules.md", "yaml")
    assert [len(parse_rules_text(text, "docs/rules.md")) for text in rules] == [4, 2, 1]
    text = (ROOT / "docs" / "rules.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*KEYS]
    (named,) = re.findall(r"There are presets for (.*?)\. This", text)
    assert re.findall(r"`(\w+)`", named) == [*PRESETS]


def test_the_tester_says_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.json").write_text(blocks("docs/rules.md", "json")[0])
    (tmp_path / "rules.yaml").write_text(blocks("docs/rules.md", "yaml")[0])
    words = ["test-rules", "--claims", "claims.json"]
    assert hub_groups([*words, "--preset", "keycloak"]) == 0
    assert capsys.readouterr().out == blocks("docs/rules.md", "text")[0]
    assert hub_groups([*words, "--rules", "rules.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == {
        "earth-lab": "member",
        "earth-lab/seismology": "member",
        "courses/geo-101": "manager",
    }


def test_imports_say_what_the_page_shows(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "migrating.md").read_text()
    _start, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert len(sections) == 4
    for number, section in enumerate(sections):
        source, command, report, policy, *roster = re.findall(
            r"```\w+\n(.*?)```", section, re.DOTALL
        )
        words = shlex.split(command)
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        (folder / words[3]).write_text(source)
        assert hub_group_quotas(words[1:]) == 3
        assert capsys.readouterr() == ("", report)
        assert (folder / "quotas.yaml").read_text() == policy
        assert [file.read_text() for file in folder.glob("*.csv")] == roster
    assert len(parse_roster(roster[0], "roster.csv")) == 2


def test_the_sources_are_told_as_the_page_shows(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'groups.sqlite'}"
    groups = GroupStore(url)
    at = int(datetime(2026, 11, 24, 2, tzinfo=timezone.utc).timestamp())
    why = "ldaps://ldap.example.edu can't be reached."
    save_run(groups, Run("ldap", at + 600, problem=why))
    save_run(groups, Run("roster:geo-101.csv", at, at, 100, added=3, removed=1, size=41))
    groups.close()
    assert hub_groups(["sources", "--db", url]) == 1
    assert capsys.readouterr().out == blocks("docs/sources.md", "text")[0]


def test_each_preset_is_among_the_providers():
    text = (ROOT / "docs" / "providers.md").read_text()
    assert {name for name in PRESETS if f"`{name}`" in text} == set(PRESETS)


def test_what_a_hub_is_told_for_launch_links_can_be_read(tmp_path):
    text = (ROOT / "docs" / "launch.md").read_text()
    of_binder, hubs = map(textwrap.dedent, re.findall(r"^ *```yaml\n(.*?)```", text, re.S | re.M))
    values = yaml.safe_load(of_binder)["hub"]
    assert values["services"].keys() == {"binder"}
    assert "access:services!service=binder" in values["loadRoles"]["user"]["scopes"]
    (tmp_path / "hubs.yml").write_text(hubs)
    assert [hub.form for hub in read_hubs(tmp_path / "hubs.yml")] == ["resolved", "nbgitpuller"]


def test_the_benchmarks_of_the_page_are_run():
    """With less to measure, by the tests of benchmarks."""
    run = (ROOT / "tests" / "test_benchmarks.py").read_text()
    text = (ROOT / "docs" / "performance.md").read_text()
    commands = re.findall(r"^    python benchmarks/(\w+\.py)", text, re.MULTILINE)
    assert commands
    assert [name for name in commands if f'"{name}"' not in run] == []


def test_the_drawings_are_what_the_ledger_computes():
    drawings = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["drawings"]()
    text = (ROOT / "docs" / "ledger.md").read_text()
    for name, drawn in drawings.items():
        assert (ROOT / "docs" / "images" / name).read_text() == drawn, (
            "out of date; run: .venv/bin/python docs/pictures.py"
        )
        assert f"(images/{name})" in text


@contextmanager
def published_book(folder: Path) -> Iterator[Path]:
    """A book in a clone of its repository, with the settings that `init` writes."""
    book = write_book(folder / "work", {"myst.yml": TOC_MYST})
    for name in ("share_links.yml", "own.md", "links.md"):
        (book / name).unlink()
    (book / "myst.yml").write_text(TOC_MYST.replace("- file: own.md\n    - file: named.md", ""))
    text = (book / "myst.yml").read_text().replace("- file: links.md", "- file: named.md")
    (book / "myst.yml").write_text(text)
    commit(book, {})
    with open_git_server(folder / "served") as server:
        server.publish(book, "geo-book")
        assert share_links(["init", str(book)]) == 0
        yield book


def test_the_settings_of_a_book_are_what_the_page_says():
    (settings, _pipeline) = blocks("docs/books.md", "yaml")
    found = parse_book(yaml.safe_load(settings))
    assert [hub.form for hub in found.hubs] == ["resolved", "spawn", "binder"]
    assert [rule.match for rule in found.rules] == ["gpu/*", "index.md", "drafts/*"]
    text = (ROOT / "docs" / "books.md").read_text()
    rows = re.findall(r"^\| `(\w+)`(?: `(\w+)`)? \|", text, re.MULTILINE)
    documented = {f"{key} {inner}".strip() for key, inner in rows}
    told = "`environment`, `group`, `join` and `view` can stand in an entry of `pages` too."
    assert told in text
    both = ("environment", "group", "join", "view")
    for keys, start in ((TOP, ""), (HUB, "hubs "), (CONTENT, "content ")):
        assert {start + key for key in keys if start or key != "content"} <= documented
    assert {f"pages {key}" for key in ("match", *CHOICES) if key not in both} <= documented
    assert len(documented) == len(TOP) - 1 + len(HUB) + len(CONTENT) + 1 + len(CHOICES) - len(both)


def test_the_page_of_a_book_says_of_itself_what_the_page_shows():
    (frontmatter_block, *_rest) = blocks("docs/books.md", "text")
    found = parse_book(yaml.safe_load(blocks("docs/books.md", "yaml")[0]))
    said = yaml.safe_load(frontmatter(frontmatter_block))["share_links"]
    assert parse_choice(found, said).file == "intro/first-map.ipynb"
    (example,) = re.findall(r"````text\n(.*?)````", (ROOT / "docs/books.md").read_text(), re.DOTALL)
    first, second = (one for _key, one in wanted(example))
    assert first.options == {"profile": "gpu", "hub": "Our hub"}
    assert choice(first.options, found).hubs == ("Our hub",)
    assert (second.file, second.options["label"]) == ("intro/first-map.ipynb", "the first map")


def test_the_check_of_a_book_says_what_the_page_shows(tmp_path, monkeypatch, capsys):
    with published_book(tmp_path) as book:
        (book / "share_links.yml").open("a").write("pages:\n  - {match: drafts/*, launch: false}\n")
        (book / "gpu" / "about.md").write_text(
            "# About\n\n<https://hub.example.org/hub/spawn?opt-profile=gpu&image=x>\n"
        )
        (book / "links.md").write_text("# One more\n")
        (book / "own.md").write_text("# One more\n")
        toc = (book / "myst.yml").read_text()
        more = "- file: named.md\n    - file: own.md\n    - file: links.md"
        (book / "myst.yml").write_text(toc.replace("- file: named.md", more))
        monkeypatch.chdir(book)
        capsys.readouterr()
        assert share_links(["check", "."]) == 1
    assert capsys.readouterr().out == blocks("docs/books.md", "text")[-1]


def test_the_pipeline_of_a_book_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    pipeline = yaml.safe_load(blocks("docs/books.md", "yaml")[1])
    (command,) = (s["run"] for s in pipeline["steps"] if "share-links check" in s.get("run", ""))
    with published_book(tmp_path) as book:
        subprocess.run(["bash", "-euc", command], cwd=book, check=True)
        assert json.loads((book / "share-links.sarif").read_text())["version"] == "2.1.0"


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in blocks(str(page.relative_to(ROOT)), "shell"):
            found += block.strip().splitlines()
    return sorted(set(found))


@pytest.mark.parametrize("command", commands())
def test_every_command_works(command, tmp_path, monkeypatch, sandbox):
    words = shlex.split(command)
    if words[0] == "make":  # what they do: test_demo_start.py, and this very run
        assert sandbox("make", "--dry-run", *words[1:], cwd=ROOT).returncode == 0
    elif words[:2] == ["hub-group-quotas", "doctor"]:  # what it finds: test_doctor_in_hub.py
        monkeypatch.chdir(tmp_path)
        (tmp_path / "jupyterhub_config.py").write_text("c.JupyterHub.hub_port = 1\n")
        assert hub_group_quotas(words[1:]) == FOUND
    elif words[0] == "hub-quotas":
        monkeypatch.chdir(tmp_path)
        (tmp_path / "quotas.yaml").write_text(blocks("docs/limits.md", "yaml")[0])
        QuotaStore(f"sqlite:///{tmp_path / 'hub_quotas.sqlite'}").close()
        words = [word.replace("/srv/jupyterhub", str(tmp_path)) for word in words]
        assert hub_quotas(words[1:]) == 0
    elif words[0] == "hub-groups":
        monkeypatch.chdir(tmp_path)
        (tmp_path / "claims.json").write_text(blocks("docs/rules.md", "json")[0])
        (tmp_path / "rules.yaml").write_text(blocks("docs/rules.md", "yaml")[0])
        GroupStore(f"sqlite:///{tmp_path / 'hub_groups.sqlite'}").open()
        words = [word.replace("/srv/jupyterhub", str(tmp_path)) for word in words]
        assert hub_groups(words[1:]) == 0
    elif words[0] == "share-links":
        with published_book(tmp_path) as book:
            monkeypatch.chdir(book)
            assert share_links(words[1:]) == 0
    elif words[0] == "python":  # what they write: test_release.py
        assert words[1:] == ["docs/licences.py"]
    elif words[0] == "jupyter-book":  # what they make: test_jupyter_books.py
        assert words[1:] in (["build", "--html"], ["build", "."])
    elif words[:2] == ["hub-group-quotas", "import"]:  # the test of that page
        assert f"\n{command}\n" in (ROOT / "docs/migrating.md").read_text()
    elif words[0] == "hub-storage-agent":  # test_storage_backup.py runs all of that page
        assert f"\n{command}\n" in (ROOT / "docs/storage.md").read_text()
    else:
        assert words[0] == "pip", f"nothing runs this command yet: {command}"
        python = make_venv(tmp_path / "venv", "pip", "--no-deps", str(ROOT))
        drop_ins = tmp_path / "venv/etc/jupyterhub/jupyterhub_config.d"
        assert len(list(drop_ins.glob("*.py"))) == 3, "pip install"
        if words[1] == "uninstall":
            subprocess.run([python, "-m", "pip", *words[1:]], check=True, capture_output=True)
            assert not list(drop_ins.glob("*.py"))


def test_the_table_of_make_targets_is_right():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", (ROOT / "CONTRIBUTING.md").read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
