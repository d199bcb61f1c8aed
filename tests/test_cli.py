"""`hub-quotas apply FILE`."""

from __future__ import annotations

import pytest

from hub_quotas.cli import main
from hub_quotas.store import open_store


@pytest.fixture
def policy(tmp_path):
    file = tmp_path / "quotas.yaml"
    file.write_text("groups: {a: {limits: {member.servers: 2}}}")
    return file


def test_changes_are_shown_first_and_written_with_yes(policy, tmp_path, capsys):
    db = f"sqlite:///{tmp_path}/quotas.sqlite"
    assert main(["apply", str(policy), "--db", db]) == 0
    assert "+ a  member.servers: 2\nNothing is written yet" in capsys.readouterr().out
    assert open_store(db).limits() == []

    assert main(["apply", str(policy), "--db", db, "--yes"]) == 0
    assert "Written: 1 change." in capsys.readouterr().out
    policy.write_text("groups: {a: {limits: {member.servers: 3}}}")
    assert main(["apply", str(policy), "--db", db, "--yes"]) == 0
    assert "~ a  member.servers: 2 -> 3" in capsys.readouterr().out
    assert main(["apply", str(policy), "--db", db]) == 0
    assert "Nothing to change." in capsys.readouterr().out
    policy.write_text("")
    assert main(["apply", str(policy), "--db", db, "--yes"]) == 0
    assert "- a  member.servers: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: {a: {limits: {member.server: 2}}}", "Did you mean 'member.servers'?"),
        ("groups: [", "quotas.yaml: "),
    ],
)
def test_a_wrong_file_changes_nothing(policy, tmp_path, capsys, text, said):
    db = f"sqlite:///{tmp_path}/quotas.sqlite"
    main(["apply", str(policy), "--db", db, "--yes"])
    policy.write_text(text)
    assert main(["apply", str(policy), "--db", db, "--yes"]) == 1
    assert said in capsys.readouterr().err
    assert len(open_store(db).limits()) == 1


def test_a_database_that_can_not_be_opened_is_named(policy, tmp_path, capsys):
    db = f"sqlite:///{tmp_path}/no/such/folder.sqlite"
    assert main(["apply", str(policy), "--db", db]) == 1
    assert capsys.readouterr().err == (
        f"The quota database {db} can't be used: unable to open database file\n"
    )


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["apply", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err
