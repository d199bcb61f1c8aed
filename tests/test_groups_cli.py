"""`hub-groups`, as an admin uses it who writes rules."""

from __future__ import annotations

import json

import pytest
import yaml
from hubs import ROOT

from hub_groups.cli import DONE, UNSAID, UNUSABLE, USAGE, main
from hub_groups.presets import PRESETS
from hub_groups.record import Run, save_run
from hub_groups.rules import parse_rules
from hub_groups.store import GroupStore

CLAIMS = ROOT / "tests" / "claims"


@pytest.fixture
def cli(capsys):
    """Run a command; returns its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_rules_are_tried_one_by_one(cli, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "- preset: keycloak\n"
        "  match: /(?P<lab>earth-lab).*\n"
        "  group: labs/{lab}\n"
        "- claim: auth_state.oauth_user.groups\n"
        "  create: false\n"
        "- {claim: name, when: auth_state.oauth_user.email == 'x'}\n"
        "- {claim: auth_state.oauth_user.teams, optional: true}\n"
    )
    keycloak = CLAIMS / "keycloak.json"
    code, said = cli("test-rules", "--rules", rules, "--claims", keycloak, "--existing", "x")
    assert code == DONE
    assert said == (
        "ada is in 1 group by these rules.\n"
        "  labs/earth-lab  member\n"
        "\n"
        "Rule 1: auth_state.oauth_user.groups\n"
        "  /earth-lab -> labs/earth-lab (member)\n"
        "  /earth-lab/seismology -> labs/earth-lab (member)\n"
        "  /ocean-club -> no: it does not match\n"
        "\n"
        "Rule 2: auth_state.oauth_user.groups\n"
        "  /earth-lab -> no: there is no group earth-lab, and the rule creates none\n"
        "  /earth-lab/seismology -> no: there is no group earth-lab/seismology, and the rule "
        "creates none\n"
        "  /ocean-club -> no: there is no group ocean-club, and the rule creates none\n"
        "\n"
        "Rule 3: name\n"
        "  does not hold: `when` is not true of this login.\n"
        "\n"
        "Rule 4: auth_state.oauth_user.teams\n"
        "  says that there are none\n"
    )


def test_a_missing_claim_has_its_own_exit_code(cli):
    words = ("test-rules", "--preset", "github", "--preset", "entra", "--claims")
    code, said = cli(*words, CLAIMS / "entra-overage.json", "--user", "bo\x1b[1m")
    assert code == UNSAID
    assert said.startswith("'bo\\x1b[1m' is in 0 groups")
    assert "Rule 1: the claim is missing: " not in said.splitlines()[0]
    assert "overage" in said
    code, said = cli(*words, CLAIMS / "entra-overage.json", "--json")
    assert code == UNSAID
    assert len(json.loads(said)["unsaid"]) == 3


def test_for_programs(cli):
    words = ("test-rules", "--preset", "gitlab", "--claims", CLAIMS / "gitlab.json", "--json")
    code, said = cli(*words)
    assert code == DONE
    answer = json.loads(said)
    assert answer["managers"] == ["earth-lab/seismology"]
    assert answer["groups"]["ocean-club"] == "member"
    assert answer["rules"][0]["values"][0] == {
        "value": "earth-lab",
        "group": "earth-lab",
        "why": "",
    }
    assert (answer["unsaid"], answer["keeps"]) == ([], False)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_copied(cli, name):
    code, said = cli("presets", name)
    assert code == DONE
    assert parse_rules(yaml.safe_load(said)) == parse_rules([{"preset": name}])
    assert said in cli("presets")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "claims.json, line 1: this is not JSON: "),
        ("[]", "claims.json: these are not the claims of a login"),
        ('{"sub": "ada"}', "they are an object with name, groups, admin, auth_state, such as"),
        ("[" * 100_000, "claims.json: this is not JSON that can be read."),
        ('{"name": ' + "9" * 5000 + "}", "claims.json: this is not JSON that can be read."),
        (None, "claims.json: No such file or directory."),
    ],
)
def test_claims_that_can_not_be_used(cli, tmp_path, text, said):
    file = tmp_path / "claims.json"
    if text is not None:
        file.write_text(text)
    code, printed = cli("test-rules", "--preset", "ldap", "--claims", file)
    assert code == UNUSABLE
    assert said in printed
    assert printed.count("\n") == 1


def test_rules_that_can_not_be_used(cli, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("- preset: keyclok\n")
    code, said = cli("test-rules", "--rules", rules, "--claims", CLAIMS / "ldap.json")
    assert code == UNUSABLE
    assert "rules.yaml, line 1: rule 1, preset: 'keyclok' is not a preset; there are: " in said


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("test-rules", "--claims", "x"),
        ("test-rules", "--preset", "ldap"),
        ("test-rules", "--claims", "x", "--preset", "nobody"),
        ("test-rules", "--claims", "x", "--preset", "ldap", "--rules", "y"),
        ("presets", "nobody"),
    ],
)
def test_wrong_usage(cli, words):
    with pytest.raises(SystemExit) as stopped:
        cli(*words)
    assert stopped.value.code == USAGE


@pytest.fixture
def store(tmp_path) -> GroupStore:
    groups = GroupStore(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    yield groups
    groups.close()


def test_rules_are_compared_with_the_last_login(cli, store):
    url = str(store.engine.url)
    store.sync_user("ada", [], "idp:keycloak", {"earth-lab": "manager", "old": "member"})
    store.sync_user("ada", ["x"], "", None)
    words = ("test-rules", "--preset", "keycloak", "--claims", CLAIMS / "keycloak.json")
    code, said = cli(*words, "--db", url, "--user", "ada")
    assert code == DONE
    assert said.endswith(
        "\n\nFor ada, after the last login (idp:keycloak):\n"
        "  + earth-lab/seismology (member)\n"
        "  + ocean-club (member)\n"
        "  - old (member)\n"
        "  now member of earth-lab\n"
        "  the same: 0 groups\n"
    )
    code, said = cli(*words, "--db", url, "--user", "nobody", "--json")
    assert json.loads(said)["source"] == ""
    assert json.loads(said)["change"]["same"] == 0
    code, said = cli(*words, "--db", url, "--user", "nobody")
    assert "For nobody; no login is known yet:\n  + earth-lab (member)" in said


def test_sources_that_failed_have_an_exit_code(cli, store, tmp_path, monkeypatch):
    url = str(store.engine.url)
    assert cli("sources", "--db", url) == (DONE, "No roster and no directory has been read yet.\n")
    save_run(store, Run("ldap", 1_800_000_000, size=1200, held="800 of 1,200 would go"))
    code, said = cli("sources", "--db", url)
    assert code == DONE
    assert "1,200 memberships, waits for an admin on the groups pages: 800 of 1,200" in said
    save_run(store, Run("roster:x\x1b.csv", 1_800_000_000, problem="x.csv, line 2: no"))
    code, said = cli("sources", "--db", url)
    assert code == UNUSABLE
    assert "'roster:x\\x1b.csv'  2027-01-15 08:00 UTC, 0 memberships, failed: x.csv, line 2" in said
    code, said = cli("sources", "--db", url, "--json")
    assert [one["source"] for one in json.loads(said)] == ["ldap", "roster:x\x1b.csv"]
    nowhere = tmp_path / "nowhere.sqlite"
    code, said = cli("sources", "--db", f"sqlite:///{nowhere}")
    assert (code, said) == (UNUSABLE, f"{nowhere}: there is no such database.\n")
    monkeypatch.chdir(tmp_path)
    said = cli("sources", "--db", "sqlite:///nowhere.sqlite")[1]
    assert said == f"{nowhere}: there is no such database.\n"
    assert not nowhere.exists()
    assert cli("sources", "--db", "no url")[0] == UNUSABLE
