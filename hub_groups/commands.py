"""What the command lines of all packages share."""

from __future__ import annotations

import argparse
import sys

from .documents import FileError


def exit_code(
    options: argparse.Namespace,
    unusable: int,
    problems: tuple[type[Exception], ...] = (FileError,),
) -> int:
    """What `options.run` comes to for these options; `unusable` where it raises one of `problems`,
    which standard error then says."""
    try:
        code: int = options.run(options)
    except problems as error:
        print(error, file=sys.stderr)
        return unusable
    return code
