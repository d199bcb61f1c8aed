"""The hub that runs on this machine, as it was started: with its folder and environment variables.

A configuration often needs both, and neither is in an admin's shell. Linux tells them of the
processes of one's own user. Those of others are not looked at: a configuration is run to be read,
and anybody can start something that looks like a hub.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")

_OTHER_COMMANDS = ("token", "upgrade-db")
_MODULES = ("jupyterhub", "jupyterhub.app")
_CONFIG = ("-f", "--config", "--JupyterHub.config_file")


@dataclass(frozen=True)
class Started:
    """How a hub is started.

    Attributes:
        config: its configuration.
        folder: that it runs in.
        environment: its environment variables; None for those of this process.
    """

    config: Path
    folder: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] | None = field(default=None, repr=False)


def running_hubs() -> list[Started]:
    """Those of this user; none where the system does not tell."""
    numbers = (path.name for path in PROC.glob("[0-9]*"))
    found = (started(int(number)) for number in numbers)
    return [one for one in found if one]


def started(pid: int) -> Started | None:
    """How a process was started; None for one that is no hub of this user."""
    where = PROC / str(pid)
    try:
        if where.stat().st_uid != os.geteuid():
            return None
        config = config_named(_split(where / "cmdline"))
        if config is None:
            return None
        folder = Path(os.readlink(where / "cwd"))
        variables = (line.partition("=") for line in _split(where / "environ"))
        return Started(folder / config, folder, {name: value for name, _, value in variables})
    except OSError:  # it has ended
        return None


def _split(file: Path) -> list[str]:
    return [os.fsdecode(part) for part in file.read_bytes().split(b"\0") if part]


def config_named(words: Sequence[str]) -> str | None:
    """Which configuration a command line names; None where it is no hub's."""
    rest = _of_a_hub(words)
    if rest is None or any(word in _OTHER_COMMANDS for word in rest[:1]):
        return None
    return next(_named(rest), "jupyterhub_config.py")


def _of_a_hub(words: Sequence[str]) -> Sequence[str] | None:
    """What follows the command `jupyterhub`, or `python -m jupyterhub`."""
    python = bool(words) and Path(words[0]).name.startswith("python")
    for at, word in enumerate(words[:4] if python else words[:1]):
        if at and words[at - 1] == "-m":
            return words[at + 1 :] if word in _MODULES else None
        if Path(word).name == "jupyterhub":
            return words[at + 1 :]
    return None


def _named(words: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in _CONFIG:
            yield value if equals else words[at + 1] if at + 1 < len(words) else ""
        elif word.startswith("-f") and len(word) > 2 and not equals:
            yield word[2:]
