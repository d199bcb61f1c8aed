"""`hub-group-quotas import KIND FILE`: the limits of another tool, as a policy file of ours.

Nothing is changed on a hub, and no configuration is run: what comes out is looked at, and then
given to `hub-quotas apply`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from hub_groups.documents import FileError, line_number, read_text, read_yaml

from .importing import home_nfs, kubespawner, slurm, usage_quotas
from .importing.report import CANNOT, FOREVER, KINDS, Converted, SourceError, report
from .importing.sources import Place, Source, read_python, read_values
from .policy import Policy, print_policy
from .windows import YEARS, WindowError, parse_window

DONE, FOUND = 0, 3

_Locate = Callable[[Place], int]

SOURCES = {
    "usage-quotas": "the policy of jupyterhub-usage-quotas",
    "kubespawner": "KubeSpawner's profile_list and group_overrides, with allowed_groups",
    "home-nfs": "the quotas of jupyterhub-home-nfs",
    "slurm": "what `sacctmgr dump CLUSTER` writes",
}


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "make a policy file of another tool's limits, and say what it can't say"
    kinds = "; ".join(f"{kind}: {what}" for kind, what in SOURCES.items())
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The report is written to standard error.",
        epilog="A file that ends with .py is read as a jupyterhub_config.py, and never run; "
        "others, except a dump of Slurm, as values of a Helm chart. "
        "The exit code is 3 where something can't be mapped.",
    )
    parser.add_argument("kind", choices=SOURCES, metavar="KIND", help=kinds)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, help="the policy (default: standard output)")
    parser.add_argument("--report", type=Path, help="the report (default: standard error)")
    parser.add_argument("--json", action="store_true", help="the report for programs")
    parser.add_argument(
        "--roster", type=Path, help="memberships, where there are any, as a roster in CSV"
    )
    parser.add_argument(
        "--window",
        type=_window,
        help="of Slurm's GrpTRESMins, such as month or 30d; without it they can't be mapped",
    )
    parser.add_argument(
        "--until",
        type=_day,
        default=FOREVER,
        help=f"the last day of exceptions for one member (default: {FOREVER})",
    )
    parser.set_defaults(run=run)


def _window(text: str) -> str:
    try:
        parse_window(text)
    except WindowError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        why = f"'{text}' is not a day; write it as 2027-03-31."
        raise argparse.ArgumentTypeError(why) from None
    if day.year not in YEARS:
        raise argparse.ArgumentTypeError(f"the year {day.year} can't be counted.")
    return text


def run(options: argparse.Namespace) -> int:
    """Convert a file, and write what comes of it.

    Returns:
        DONE, or FOUND where something can't be mapped.

    Raises:
        FileError: the file can't be read, or there is nothing of its kind in it; or something
            can't be written.
    """
    found = _read(options)
    title = f"# {SOURCES[options.kind]}, from {options.file.name}\n"
    _write(options.output, title + policy_text(found.policy), sys.stdout)
    if options.roster:
        _write(options.roster, _roster(found), sys.stdout)
    counts = {kind: found.count(kind) for kind in KINDS}
    if options.json:
        notes = [asdict(note) for note in found.notes]
        said = json.dumps({"counts": counts, "notes": notes}, indent=2, ensure_ascii=False) + "\n"
    else:
        said = report(found.notes)
        if found.rosters and not options.roster:
            said += f"\n{len(found.rosters)} memberships: --roster FILE writes them.\n"
    _write(options.report, said, sys.stderr)
    return FOUND if counts[CANNOT] else DONE


def policy_text(policy: Policy) -> str:
    """A policy as a file has it."""
    document = print_policy(policy)
    for entry in (*document.get("plans", {}).values(), *document.get("groups", {}).values()):
        if limits := entry.get("limits"):
            entry["limits"] = {key: _plain(value) for key, value in limits.items()}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any) -> Any:
    """A whole number without the quotes that a text gets in YAML."""
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 16 else value


def _roster(found: Converted) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("user", "group", "role"))
    table.writerows((member.user, member.group, member.role) for member in found.rosters)
    return text.getvalue()


def _write(file: Path | None, text: str, otherwise: Any) -> None:
    if file is None:
        otherwise.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}.") from None


def _read(options: argparse.Namespace) -> Converted:
    file, text = options.file, read_text(options.file)
    locate: _Locate = lambda place: 0  # noqa: E731
    try:
        if options.kind == "slurm":
            return slurm.convert(text, options.window or "", options.until)
        source, locate = _source(file, text)
        found = _convert(options, source)
    except SourceError as error:
        line = error.line or locate(error.place)
        raise FileError(f"{file}{f', line {line}' if line else ''}: {error.why}") from None
    notes = (replace(note, line=note.line or locate(note.place)) for note in found.notes)
    return replace(found, notes=tuple(notes))


def _source(file: Path, text: str) -> tuple[Source, _Locate]:
    if file.suffix == ".py":
        source = read_python(text)
        return source, source.line
    document, root = read_yaml(text, str(file), aliases=True)
    return read_values(document), lambda place: line_number(root, place) or 0


def _convert(options: argparse.Namespace, source: Source) -> Converted:
    if options.kind == "usage-quotas":
        return usage_quotas.convert(source)
    if options.kind == "kubespawner":
        return kubespawner.convert(source)
    return home_nfs.convert(source, options.until)
