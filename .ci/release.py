"""What is released, in dist/: an sdist, the wheel made of it, and an SBOM; each is checked first.

    make dist

Nothing is put there unless all checks hold. docs/releasing.md says what to do around it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME, WHEEL_NAME = "jupyterhub-group-quotas", "jupyterhub_group_quotas"
PACKAGES = ("hub_groups/", "hub_quotas/", "share_links/")
DROP_INS = "jupyterhub_config.d/"
SBOM = "sbom.cdx.json"
FOR_TRANSLATORS = ".po"
"""Files of the packages that are not installed: pages read the .mo that is made of them."""
COMMANDS = ("hub-group-quotas", "hub-groups", "hub-quotas", "hub-storage-agent", "share-links")


class Refused(Exception):
    """This is not to be released; says why, one sentence a line."""


@dataclass(frozen=True)
class Built:
    """Attributes:
    version: of both, as pip has it.
    """

    sdist: Path
    wheel: Path
    version: str


def tracked(tree: Path) -> set[str]:
    """The files of a clone that are in git.

    Raises:
        Refused: this is no clone.
    """
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=tree, capture_output=True, text=True)
    if asked.returncode:
        raise Refused(f"{tree} is no clone of the repository; a release is made of one.")
    return set(asked.stdout.split("\0")) - {""}


def build(tree: Path, folder: Path) -> Built:
    """Both, each in an environment of its own, as others will build them."""
    installer = ["--installer", "uv"] if shutil.which("uv") else []
    _run(sys.executable, "-m", "build", *installer, "--outdir", folder, tree)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel, wheel.name.split("-")[1])


def in_wheel(files: Collection[str], version: str) -> set[str]:
    """What a wheel holds, and nothing else.

    Args:
        files: of the repository.
    """
    about = f"{WHEEL_NAME}-{version}.dist-info"
    data = f"{WHEEL_NAME}-{version}.data/data/etc/jupyterhub"
    known = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    return {
        *(f for f in files if f.startswith(PACKAGES) and not f.endswith(FOR_TRANSLATORS)),
        *(f"{data}/{f}" for f in files if f.startswith(DROP_INS) and f.endswith(".py")),
        *(f"{about}/{name}" for name in known),
    }


def in_sdist(files: Collection[str]) -> set[str]:
    """What an sdist holds: all of the repository, so that it can be tested from there too, and what
    setuptools writes about it (`*.egg-info` is left out of the comparison)."""
    return {*files, "PKG-INFO"}


def names_in(archive: Path) -> set[str]:
    """The files of a wheel, or of an sdist below its one folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return set(opened.namelist())
    with tarfile.open(archive) as opened:
        inside = {m.name.partition("/")[2] for m in opened.getmembers() if m.isfile()}
    return {name for name in inside if not name.startswith(f"{WHEEL_NAME}.egg-info/")}


def differences(archive: Path, wanted: set[str]) -> list[str]:
    """One sentence for each file that is missing, or too many."""
    found = names_in(archive)
    return [
        *(f"{archive.name}: {name} is missing." for name in sorted(wanted - found)),
        *(f"{archive.name}: {name} should not be there." for name in sorted(found - wanted)),
    ]


def changelog_problem(changelog: str, version: str) -> str:
    """Why this version can't be released with this changelog; empty where it can, and for what is
    no release.

    Args:
        version: as pip has it; one between two tags has `.dev` in it.
    """
    if ".dev" in version or "+" in version:
        return ""
    heading = rf"^## \[?{re.escape(version)}\]?( - \d{{4}}-\d\d-\d\d)?$"
    parts = re.split(heading, changelog, maxsplit=1, flags=re.MULTILINE)
    if len(parts) == 1:
        return f"CHANGELOG.md has no section for {version}: rename Unreleased to it."
    if not parts[1]:
        return f"CHANGELOG.md does not say when {version} is released: ## {version} - YYYY-MM-DD."
    if not re.search(r"^- ", re.split(r"^## ", parts[2], flags=re.MULTILINE)[0], re.MULTILINE):
        return f"CHANGELOG.md says nothing of {version}."
    return ""


def licence_problem(page: str, installed: Iterable[str], version: str) -> str:
    """Why this can't be released with docs/licences.md; empty where it can. Between releases
    others may come to depend on something new without our tests failing for it."""
    new = [name for name in sorted(installed) if f"\n| {name} | " not in page]
    if not new or ".dev" in version:
        return ""
    return f"docs/licences.md does not have {', '.join(new)}; run: python docs/licences.py"


def install(wheel: Path, folder: Path) -> tuple[Path, list[str]]:
    """In an environment with nothing else, not even pip; returns its Python, and what pip has
    installed beside the wheel.

    Raises:
        Refused: what is installed does not fit together, or a command does not start.
    """
    venv.create(folder)
    python = folder / "bin" / "python"
    if uv := shutil.which("uv"):
        pip: list[Any] = [uv, "pip"]
        there = ["--python", python]
    else:
        pip, there = [sys.executable, "-m", "pip", "--python", python], []
    _run(*pip, "install", "--quiet", *there, wheel)
    _run(*pip, "check", *there)
    for command in COMMANDS:
        _run(folder / "bin" / command, "--help")
    listed = _run(*pip, "list", "--format", "json", *there)
    names = [_plain(found["name"]) for found in json.loads(listed)]
    return python, [name for name in names if name != NAME]


def write_sbom(python: Path, wheel: Path, installed: Collection[str], file: Path) -> None:
    """What is in an environment, as CycloneDX has it: our wheel, and all that it comes with.

    Args:
        installed: what has to be in it beside ours, by name.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    words = ["-m", "cyclonedx_py", "environment", "--output-reproducible", "--sv", "1.6", python]
    found = json.loads(_run(sys.executable, *words))
    parts = found["components"]
    (ours,) = (part for part in parts if part["name"] == NAME)
    parts.remove(ours)
    listed = {_plain(part["name"]) for part in parts}
    if missing := set(installed) - listed:
        raise Refused(f"The SBOM does not have {', '.join(sorted(missing))}.")
    for part in (ours, *parts):
        # Where the wheel lay when it was installed is nobody's business.
        known = part.get("externalReferences", [])
        part["externalReferences"] = [r for r in known if not r["url"].startswith("file:")]
    ours["externalReferences"].append(
        {"type": "distribution", "url": wheel.name, "comment": "the wheel beside this file"}
    )
    found["metadata"]["component"] = ours
    text = json.dumps(found, indent=2, sort_keys=True) + "\n"
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise Refused(f"The SBOM is not valid: {problem}")
    file.write_text(text)


def _plain(name: str) -> str:
    """As pip compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(*command: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        shown = " ".join(Path(str(word)).name for word in command[:4])
        raise Refused(f"{shown} ... failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def check(tree: Path, built: Built) -> list[str]:
    """One sentence for each thing that is wrong with what was built of a clone."""
    files = tracked(tree)
    return [
        *filter(None, [changelog_problem((tree / "CHANGELOG.md").read_text(), built.version)]),
        *differences(built.sdist, in_sdist(files)),
        *differences(built.wheel, in_wheel(files, built.version)),
    ]


def release(tree: Path, out: Path) -> str:
    """Build and check all, and put it into `out`; returns the version.

    Raises:
        Refused: something is wrong; `out` is as it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        made, place = Path(folder, "dist"), Path(folder, "venv")
        made.mkdir()
        built = build(tree, made)
        if wrong := check(tree, built):
            raise Refused("\n".join(wrong))
        _run(sys.executable, "-m", "twine", "check", "--strict", built.sdist, built.wheel)
        python, installed = install(built.wheel, place)
        page = (tree / "docs" / "licences.md").read_text()
        if problem := licence_problem(page, installed, built.version):
            raise Refused(problem)
        write_sbom(python, built.wheel, installed, made / SBOM)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return built.version


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", type=Path, default=ROOT, help="a clone (default: this one)")
    parser.add_argument("--out", type=Path, help="default: dist in the clone")
    args = parser.parse_args(arguments)
    out = args.out or args.tree / "dist"
    try:
        version = release(args.tree, out)
    except Refused as reason:
        print(f"Not to be released:\n{reason}", file=sys.stderr)
        return 1
    print(f"{version} is in {out}: " + ", ".join(sorted(file.name for file in out.iterdir())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
