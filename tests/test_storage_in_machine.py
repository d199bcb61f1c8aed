"""XFS and ext4, in a machine whose kernel counts by project. Each test of there is one of here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import machine
import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
FILES = ("test_storage_contract.py", "test_storage_projects.py")
SECONDS = 600
"""It takes a third of that; other tests may run meanwhile."""


@pytest.fixture(scope="module")
def ran() -> machine.Ran:
    files = " ".join(f"'{HERE / name}'" for name in FILES)
    command = (
        f"'{sys.executable}' -m pytest {files} --noconftest -p no:cacheprovider --color=no"
        " --tb=short --durations=5 -rP --junitxml=/run/answer"
    )
    environment = {"STORAGE_KINDS": "xfs ext4", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        return machine.run(command, [HERE], SECONDS, environment)
    except machine.NoMachine as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kind", ["xfs", "ext4"])
def test_all_that_storage_must_do(ran, kind):
    print(ran.console)
    assert ran.answer, "it was broken off"
    cases = [
        case
        for case in ElementTree.fromstring(ran.answer).iter("testcase")
        if kind in case.attrib["name"]
    ]
    wrong = {
        case.attrib["name"]: part.text or part.attrib["message"]
        for case in cases
        for part in case
        if part.tag in ("failure", "error", "skipped")
    }
    assert not wrong, "\n\n".join(f"{name}:\n{text}" for name, text in wrong.items())
    assert len(cases) > 30, "some did not run"
