"""The command line of the whole: `hub-group-quotas COMMAND`, for whoever runs a hub.

Each command is a module with `add(commands)`, which adds its parser and sets `run`, a function
from the parsed options to an exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from hub_groups.commands import exit_code

from . import doctor_command, import_command

COMMANDS: tuple[ModuleType, ...] = (doctor_command, import_command)

DONE, UNUSABLE, USAGE, FOUND = 0, 1, 2, 3
"""Exit codes: done; a file or a hub can't be used; wrong usage; something is to be put right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        An exit code: DONE, UNUSABLE or FOUND. Wrong usage exits with USAGE.
    """
    return exit_code(_parser().parse_args(arguments), UNUSABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub-group-quotas",
        description="Set up and look after the groups, quotas and launch links of a hub.",
        epilog="Exit codes: 0 done, 1 a file or a hub can't be used, 2 wrong usage, "
        "3 something is to be put right.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
