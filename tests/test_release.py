"""What is released is all that it should be and nothing else; `make dist` refuses what is not."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace

import pytest
from hubs import ROOT
from packaging.requirements import Requirement

release = SimpleNamespace(**runpy.run_path(str(ROOT / ".ci" / "release.py")))
licences = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "licences.py")))

CHANGELOG = """# Changelog

## Unreleased

- more

## 1.2.3 - 2026-12-01

### Added

- all of it

## 1.2.2

- less

## 1.2.1 - 2026-11-01

## 1.2.0 - 2026-10-01

- nothing
"""


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.2.3", ""),
        ("1.2.4", "no section for 1.2.4"),
        ("1.2", "no section for 1.2:"),
        ("1.2.2", "when 1.2.2 is released"),
        ("1.2.1", "says nothing of 1.2.1"),
        ("1.2.4rc1", "no section for 1.2.4rc1"),
        ("1.2.4.dev3+g0123456", ""),
    ],
)
def test_a_release_has_its_section_in_the_changelog(version, said):
    problem = release.changelog_problem(CHANGELOG, version)
    assert said in problem and bool(said) == bool(problem)


def test_a_release_has_the_licences_of_all_that_it_comes_with():
    page = "| package | licence |\n| --- | --- |\n| jinja2 | BSD License |\n"
    assert not release.licence_problem(page, ["jinja2"], "1.2.3")
    assert "does not have new; run" in release.licence_problem(page, ["jinja2", "new"], "1.2.3")
    assert not release.licence_problem(page, ["jinja2", "new"], "1.2.4.dev3")


def test_files_that_are_missing_or_too_many_are_named(tmp_path):
    files = ["hub_groups/a.py", "hub_groups/a.po", "hub_quotas/templates/b.html", "docs/c.md"]
    wanted = release.in_wheel(files, "1.0")
    archive = tmp_path / "jupyterhub_group_quotas-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in sorted(wanted - {"hub_quotas/templates/b.html"}) + ["hub_groups/a.po"]:
            opened.writestr(name, "")
    assert release.differences(archive, wanted) == [
        f"{archive.name}: hub_quotas/templates/b.html is missing.",
        f"{archive.name}: hub_groups/a.po should not be there.",
    ]


# -- licences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licence", "kinds"),
    [
        ("Apache-2.0 OR BSD-3-Clause", {"Apache", "BSD"}),
        ("BSD License", {"BSD"}),
        ("GNU Lesser General Public License v3 (LGPLv3)", {"LGPL"}),
        ("LGPL-3.0-only", {"LGPL"}),
        ("GNU General Public License v3 (GPLv3)", {"GPL"}),
        ("GNU Affero General Public License v3", {"AGPL"}),
        ("GPL-3.0-or-later", {"GPL"}),
        ("ask us", set()),
    ],
)
def test_licences_are_known_by_what_packages_call_them(licence, kinds):
    assert licences.kinds(licence) == kinds
    wrong = licences.problems({"made-up": licence})
    assert bool(wrong) == (not kinds or bool(kinds & {"GPL", "AGPL"}))


def test_what_comes_with_the_packages_may_come_with_them():
    """And the page says of each what it is, in whatever words. What others come to depend on is
    no failure of ours; a release asks for the page to have it."""
    here = {name: one for table in licences.tables().values() for name, one in table.items()}
    assert licences.problems(here) == []
    listed = licences.listed(licences.PAGE.read_text())
    assert len(listed) > 40
    for name in listed.keys() & here.keys():
        said = "run: python docs/licences.py"
        assert licences.kinds(listed[name]) == licences.kinds(here[name]), (name, said)


def test_the_page_of_licences_has_all_that_we_name():
    listed = licences.listed(licences.PAGE.read_text())
    for text in requires("jupyterhub-group-quotas"):
        needed = Requirement(text)
        extra = re.search(r'extra == "(\w+)"', str(needed.marker))
        if not extra or extra[1] in licences.EXTRAS:
            assert re.sub("_", "-", needed.name).lower() in listed, "run: python docs/licences.py"


# -- what is built ----------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def copy_of(tree: Path, folder: Path) -> Path:
    """The files that are in git, as they are now."""
    for name in release.tracked(tree):
        if (tree / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def tagged(tmp_path_factory) -> Path:
    """A clone at the tag v1.2.3."""
    try:
        clone = copy_of(ROOT, tmp_path_factory.mktemp("tagged"))
    except release.Refused as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))
    git(clone, "init", "--quiet")
    git(clone, "add", "--all", "--force")
    git(clone, "commit", "--quiet", "--message", "All of it.")
    git(clone, "tag", "v1.2.3")
    return clone


@pytest.fixture(scope="module")
def built(tagged, tmp_path_factory):
    return release.build(tagged, tmp_path_factory.mktemp("dist"))


@pytest.mark.slow
def test_sdist_and_wheel_have_what_they_should(tagged, built, tmp_path):
    assert built.version == "1.2.3"
    assert built.sdist.name == "jupyterhub_group_quotas-1.2.3.tar.gz"
    (said,) = release.check(tagged, built)
    assert said == "CHANGELOG.md has no section for 1.2.3: rename Unreleased to it."
    released = copy_of(tagged, tmp_path)
    git(released, "init", "--quiet")
    git(released, "add", "--all", "--force")
    log = (released / "CHANGELOG.md").read_text()
    (released / "CHANGELOG.md").write_text(log.replace("## Unreleased", "## 1.2.3 - 2026-12-01"))
    assert release.check(released, built) == []
    names = release.names_in(built.wheel)
    for name in (
        "hub_groups/locale/de/LC_MESSAGES/group_quotas.mo",
        "hub_groups/migrations/env.py",
        "hub_groups/py.typed",
        "hub_groups/static/group-quotas.css",
        "hub_groups/templates/base.html",
        "hub_quotas/storage_agent/cli.py",
        "jupyterhub_group_quotas-1.2.3.data/data/etc/jupyterhub/jupyterhub_config.d/10-hub-groups.py",
    ):
        assert name in names
    assert "tests/test_release.py" in release.names_in(built.sdist)


@pytest.mark.slow
def test_a_tree_without_git_makes_the_same_wheel_and_has_a_version(tagged, built, tmp_path):
    tree = copy_of(tagged, tmp_path / "tree")
    words = ["--wheel", "--outdir", str(tmp_path / "dist"), str(tree)]
    done = subprocess.run([sys.executable, "-m", "build", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.name.split("-")[1] == "0.1.0.dev0"

    def contents(archive: Path) -> dict[str, bytes]:
        version = archive.name.split("-")[1]
        with zipfile.ZipFile(archive) as opened:
            return {
                name.replace(version, "VERSION"): opened.read(name).replace(
                    f"Version: {version}\n".encode(), b""
                )
                for name in opened.namelist()
                if not name.endswith("RECORD")  # has the sums of all the others
            }

    ours, theirs = contents(wheel), contents(built.wheel)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
