"""Every block of the documentation is run, read or compared by a test, or listed as only shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hubs import ROOT
from markdown_it import MarkdownIt

ALL = -1
"""However many there are: the page is compared as a whole."""

DOCS = "test_docs.py"
COMMANDS = f"{DOCS}::test_every_command_works"
SETTINGS = f"{DOCS}::test_the_lines_for_any_hub_attach_everything"
POLICIES = f"{DOCS}::test_the_policies_and_the_roster_can_be_read"
TUTORIAL = "test_tutorial.py::test_all_of_it_in_order"
AGENT = "test_storage_agent.py::test_the_documentation_is_what_runs"
BACKUPS = "test_storage_backup.py::test_the_documentation_is_what_runs"
CLAIMS = "test_storage_claim_snapshots.py::test_the_commands_of_the_documentation_are_what_runs"
SEMESTER = "test_on_a_real_hub.py::test_a_semester"
INSTALL = "test_install_kinds.py::test_a_plain_hub_with_sqlite_and_the_same_hub_without_us"
MIGRATING = f"{DOCS}::test_imports_say_what_the_page_shows"
Z2JH = "test_z2jh.py::test_the_page_shows_what_is_here"
LOSSES = "test_on_a_real_hub.py::test_what_is_lost_comes_back"

RUN: dict[tuple[str, str], tuple[int, str]] = {
    # page, language: how many blocks there are, and what runs or compares all of them
    ("README.md", "shell"): (3, COMMANDS),
    ("README.md", "yaml"): (1, POLICIES),
    ("README.md", "python"): (1, SETTINGS),
    ("docs/beside.md", "python"): (1, SETTINGS),
    ("docs/beside.md", "bash"): (2, f"{DOCS}::test_the_commands_of_a_service_hold_and_release"),
    ("docs/books.md", "shell"): (5, COMMANDS),
    ("docs/books.md", "text"): (
        3,
        f"{DOCS}::test_the_page_of_a_book_says_of_itself_what_the_page_shows",
    ),
    ("docs/books.md", "yaml"): (2, f"{DOCS}::test_the_settings_of_a_book_are_what_the_page_says"),
    ("docs/community.md", "bash"): (2, "test_jupyter_books.py::test_the_book_of_a_community"),
    ("docs/community.md", "python"): (
        3,
        "test_community.py::test_it_is_what_the_hubs_address_shows_before_a_login",
    ),
    ("docs/community.md", "shell"): (1, COMMANDS),
    ("docs/costs.md", "python"): (3, SETTINGS),
    ("docs/costs.md", "shell"): (1, COMMANDS),
    ("docs/costs.md", "yaml"): (3, POLICIES),
    ("docs/disaster.md", "bash"): (5, LOSSES),
    ("docs/groups.md", "python"): (3, SETTINGS),
    ("docs/groups.md", "text"): (1, POLICIES),
    ("docs/how-to.md", "python"): (2, SETTINGS),
    ("docs/how-to.md", "shell"): (3, COMMANDS),
    ("docs/how-to.md", "text"): (
        1,
        "test_doctor.py::test_the_answer_in_the_documentation_is_one_of_this_command",
    ),
    ("docs/install.md", "bash"): (8, INSTALL),
    ("docs/install.md", "python"): (2, INSTALL),
    ("docs/launch.md", "yaml"): (
        2,
        f"{DOCS}::test_what_a_hub_is_told_for_launch_links_can_be_read",
    ),
    ("docs/ldap.md", "python"): (3, "test_ldap.py::test_the_settings_of_the_document_hold"),
    ("docs/ldap.md", "shell"): (1, COMMANDS),
    ("docs/limits.md", "python"): (3, SETTINGS),
    ("docs/limits.md", "shell"): (2, COMMANDS),
    ("docs/limits.md", "yaml"): (1, POLICIES),
    ("docs/memberships.md", "bash"): (1, f"{DOCS}::test_the_commands_for_memberships_work"),
    ("docs/migrating.md", "shell"): (4, MIGRATING),
    ("docs/migrating.md", "text"): (6, MIGRATING),
    ("docs/migrating.md", "yaml"): (7, MIGRATING),
    ("docs/monitoring.md", "python"): (2, SETTINGS),
    ("docs/notices.md", "python"): (3, SETTINGS),
    ("docs/performance.md", "indented"): (8, f"{DOCS}::test_the_benchmarks_of_the_page_are_run"),
    ("docs/reference.md", "text"): (ALL, f"{DOCS}::test_the_reference_is_what_the_code_says"),
    ("docs/reference.md", "yaml"): (1, POLICIES),
    ("docs/releasing.md", "shell"): (2, COMMANDS),
    ("docs/rosters.md", "text"): (1, "test_roster.py::test_the_roster_of_the_document_is_read"),
    ("docs/rules.md", "json"): (1, f"{DOCS}::test_the_tester_says_what_the_page_shows"),
    ("docs/rules.md", "shell"): (3, COMMANDS),
    ("docs/rules.md", "text"): (1, f"{DOCS}::test_the_tester_says_what_the_page_shows"),
    ("docs/rules.md", "yaml"): (
        3,
        f"{DOCS}::test_the_rules_can_be_read_and_all_keys_and_presets_are_named",
    ),
    ("docs/semester.md", "bash"): (4, SEMESTER),
    ("docs/semester.md", "python"): (1, SEMESTER),
    ("docs/semester.md", "text"): (1, SEMESTER),
    ("docs/semester.md", "yaml"): (1, SEMESTER),
    ("docs/several-hubs.md", "python"): (2, SETTINGS),
    ("docs/sources.md", "shell"): (1, COMMANDS),
    ("docs/sources.md", "text"): (1, f"{DOCS}::test_the_sources_are_told_as_the_page_shows"),
    ("docs/storage.md", "yaml"): (3, AGENT),
    ("docs/storage.md", "python"): (1, AGENT),
    ("docs/storage.md", "bash"): (1, AGENT),
    ("docs/storage.md", "shell"): (4, BACKUPS),
    ("docs/storage.md", "sh"): (1, CLAIMS),
    ("docs/tutorial.md", "bash"): (7, TUTORIAL),
    ("docs/tutorial.md", "text"): (2, TUTORIAL),
    ("docs/zero-to-jupyterhub.md", "bash"): (2, Z2JH),
    ("docs/zero-to-jupyterhub.md", "yaml"): (1, Z2JH),
}

SHOWN: dict[tuple[str, str], tuple[int, str]] = {
    # page, language: how many, and why nothing runs them
    ("docs/releasing.md", "text"): (2, "they publish a release"),
}


def blocks_of(text: str) -> Counter[str]:
    """How many blocks of each language a page has, also within lists; `indented` is one too."""
    found: Counter[str] = Counter()
    for token in MarkdownIt().parse(text):
        if token.type == "fence":
            found[token.info.split()[0] if token.info.split() else "plain"] += 1
        elif token.type == "code_block":
            found["indented"] += 1
    return found


def pages() -> dict[str, Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {str(page.relative_to(ROOT)): page for page in found}


def test_each_block_has_its_runner():
    there = {
        (name, language): number
        for name, page in pages().items()
        for language, number in blocks_of(page.read_text(encoding="utf-8")).items()
    }
    told = {key: number for known in (RUN, SHOWN) for key, (number, _what) in known.items()}
    there |= {key: ALL for key, number in told.items() if number == ALL and key in there}
    assert there == told, "a block that nobody runs: write a test, and a line in RUN"


def test_few_are_only_shown():
    assert sum(number for number, _why in SHOWN.values()) <= 6
    assert all(why for _number, why in SHOWN.values())


@pytest.mark.parametrize("runner", sorted({runner for _number, runner in RUN.values()}))
def test_each_runner_is_a_test_that_reads_the_page(runner):
    file, _, name = runner.partition("::")
    code = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert f"\ndef {name}(" in code or f"\nasync def {name}(" in code
    if runner == COMMANDS:
        return  # it reads all pages
    for page, _language in (key for key, (_n, one) in RUN.items() if one == runner):
        assert Path(page).stem in code, f"{runner} does not read {page}"


def test_blocks_are_found_wherever_they_stand():
    text = (
        "```sh\na\n```\n\n- x\n\n  ```yaml\n  b\n  ```\n\n````text\n```launch\n```\n````\n\n    c\n"
    )
    assert blocks_of(text) == {"sh": 1, "yaml": 1, "text": 1, "indented": 1}
