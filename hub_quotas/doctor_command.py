"""`hub-group-quotas doctor`: what is wrong with the hub on this machine, and what puts it right."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub_groups.documents import FileError

from .doctor import diagnose, healthy
from .doctor_facts import HINT, Facts, Finding
from .doctor_process import Started, running_hubs

DONE, FOUND = 0, 3

NAME = "jupyterhub_config.py"
USUAL = (
    Path("/usr/local/etc/jupyterhub", NAME),  # Zero to JupyterHub's image
    Path("/etc/jupyterhub", NAME),
    Path("/srv/jupyterhub", NAME),
)
"""Where a hub's configuration is; after these, where The Littlest JupyterHub has it."""

_COLOURS = {"problem": 31, "warning": 33, "hint": 36, "ok": 32}


def add(commands: Any) -> None:
    """Add the command."""
    text = "look at a running hub, and say what is wrong and what puts it right; nothing is changed"
    doctor = commands.add_parser("doctor", help=text, description=text)
    doctor.set_defaults(run=_run)
    doctor.add_argument(
        "-f",
        dest="config",
        type=Path,
        metavar="FILE",
        help="the hub's configuration; where a hub of this user runs with it, it is read in that "
        "hub's folder and with its environment variables, else in this folder and with these; by "
        f"default {NAME} here, else that of the hub of this user that runs, else where it usually "
        "is",
    )
    doctor.add_argument(
        "--url",
        type=_address,
        default=None,
        help="the hub's address, as browsers see it; the proxy on this machine by default",
    )
    doctor.add_argument("--json", action="store_true", help="the same as JSON")


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"'{text}' is not like https://hub.example.org/")
    return text


def _run(options: argparse.Namespace) -> int:
    from .doctor_looks import examine  # takes as long as the rest of the command line together

    hub = hub_of(options.config) if options.config else find_hub()
    facts = examine(hub, options.url or "")
    findings = diagnose(facts)
    if options.json:
        print(json.dumps(document(facts, findings), indent=2))
    else:
        print("\n".join(lines(facts, findings, sys.stdout.isatty())))
    return FOUND if any(one.level != HINT for one in findings) else DONE


def hub_of(config: Path) -> Started:
    """How the hub of a configuration is started: as the one that runs with it, if it is clear
    which; else from here."""
    running = [hub for hub in running_hubs() if hub.config.resolve() == config.resolve()]
    return running[0] if len(running) == 1 else Started(config)


def find_hub() -> Started:
    """The hub, where nobody has named its configuration.

    Raises:
        FileError: its configuration is in none of the usual places; or several hubs run.
    """
    if Path(NAME).is_file():
        return hub_of(Path(NAME))
    running = running_hubs()
    if len(running) > 1:
        named = ", ".join(dict.fromkeys(str(one.config) for one in running))
        raise FileError(f"Several hubs run here: {named}. Name one: -f FILE")
    tljh = find_spec("tljh")
    usual = [*USUAL, *([Path(tljh.origin).parent / NAME] if tljh and tljh.origin else [])]
    found = [*running, *(Started(file) for file in usual if file.is_file())]
    if not found:
        looked = ", ".join(str(file) for file in (Path(NAME).absolute(), *usual))
        raise FileError(f"There is no configuration of a hub at {looked}. Name it: -f FILE")
    return found[0]


def document(facts: Facts, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """What was found, for programs."""
    return {
        "config": facts.config.file,
        "hub": facts.hub_url,
        "url": facts.public,
        "findings": [asdict(one) for one in findings],
        "fine": list(healthy(facts)),
    }


def lines(facts: Facts, findings: tuple[Finding, ...], colours: bool) -> list[str]:
    """What was found, for people."""
    found = [f"{_word('ok', colours)}{text}" for text in healthy(facts)]
    for one in findings:
        found += [
            f"{_word(one.level, colours)}{one.what} [{one.code}]",
            f"         where: {one.where}",
            f"         fix:   {one.fix}",
        ]
    if not findings:
        found.append("Nothing is to be put right.")
    return found


def _word(level: str, colours: bool) -> str:
    word = f"{level:<9}"
    return f"\x1b[{_COLOURS[level]}m{word}\x1b[0m" if colours else word
