"""The command line: `hub-quotas apply FILE`."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from sqlalchemy.exc import SQLAlchemyError

from .limits import LimitError, changes, parse_policy
from .store import open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when all is well, 1 when the file or the database can't be used, 2 for wrong usage.
    """
    parser = argparse.ArgumentParser(prog="hub-quotas", description="Quotas of JupyterHub groups.")
    commands = parser.add_subparsers(required=True)
    apply = commands.add_parser(
        "apply", help="make the limits in a file all that there are (shows the changes first)"
    )
    apply.add_argument("file", type=Path, help="a YAML policy")
    apply.add_argument(
        "--db",
        default="sqlite:///hub_quotas.sqlite",
        help="c.HubQuotas.db_url of the hub (default: %(default)s)",
    )
    apply.add_argument("--yes", action="store_true", help="write; without it, only show")
    apply.set_defaults(run=_apply)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except SQLAlchemyError as error:
        why = getattr(error, "orig", None) or error
        print(f"The quota database {options.db} can't be used: {why}", file=sys.stderr)
        return 1
    return code


def _apply(options: argparse.Namespace) -> int:
    try:
        limits = parse_policy(yaml.safe_load(options.file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LimitError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1
    store = open_store(options.db)
    todo = changes(store.limits(), limits)
    for before, after in todo:
        if after is None:
            print(f"- {before.group}  {before.key}: {before.text}")  # type: ignore[union-attr]
        elif before is None:
            print(f"+ {after.group}  {after.key}: {after.text}")
        else:
            print(f"~ {after.group}  {after.key}: {before.text} -> {after.text}")
    if not todo:
        print("Nothing to change.")
    elif options.yes:
        store.apply(limits, getpass.getuser(), "cli")
        print(f"Written: {len(todo)} {'change' if len(todo) == 1 else 'changes'}.")
    else:
        print("Nothing is written yet; add --yes to write.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
