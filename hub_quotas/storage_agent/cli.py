"""`hub-storage-agent`: the program on the machine that has the file system."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .agent import Agent
from .backend import Backend, StorageError, find_backend
from .backup_commands import add_commands
from .exposition import write_metrics
from .keeper import Keeper, Layout, Owner
from .layout import Template
from .memory import Memory
from .record import BackupRecords
from .service import Service, ServiceError

_ABOUT = """
Applies the storage limits of a JupyterHub to the file system that its homes are on, and reports
what they hold. It needs no open port: it asks the hub.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 if all is well, 1 if not, 2 for what was asked wrongly."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    args = _parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        return code
    except (StorageError, ServiceError) as error:
        print(f"hub-storage-agent: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hub-storage-agent", description=_ABOUT)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="keep the limits, until stopped")
    _add_place(run)
    _add_service(run)
    run.add_argument(
        "--create",
        metavar="UID:GID",
        type=_owner,
        help="make homes that don't exist yet, with this owner; on btrfs and ZFS only what the"
        " agent makes can be limited",
    )
    run.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="for the textfile collector of Prometheus' node exporter: a name that ends in .prom",
    )
    run.add_argument("--verbose", action="store_true", help="say what is done")
    run.set_defaults(run=_run)
    plan = commands.add_parser("plan", help="say what `run` would change now, and change nothing")
    _add_place(plan)
    _add_service(plan)
    plan.set_defaults(run=_plan)
    add_commands(commands)
    return parser


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="what homes are below")
    parser.add_argument(
        "--homes",
        default="{username}",
        metavar="TEMPLATE",
        help="where homes are below the root: homes/{username} (default: %(default)s)",
    )
    parser.add_argument(
        "--shared",
        metavar="TEMPLATE",
        help="where the shared directories of groups are: shared/{group}; without it, they have no"
        " limits",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("/var/lib/hub-storage-agent"),
        help="a folder for what the agent has to remember (default: %(default)s)",
    )


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", required=True, help="of the quotas API: https://HUB/services/quotas/api"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        help="a file with the token of the hub's service for this mount; else it is in the"
        " environment as HUB_STORAGE_TOKEN",
    )


def _run(args: argparse.Namespace) -> int:
    if args.verbose:
        logging.getLogger().setLevel(logging.DEBUG)
    backend = find_backend(args.root)
    backend.prepare()
    keeper = _keeper(args, backend, Memory(args.state), args.create)
    metrics = args.metrics
    watch = (lambda state, uses: write_metrics(metrics, state, uses)) if metrics else None
    records = BackupRecords(args.state, args.root)
    agent = Agent(keeper, _service(args), watch, records.read)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    logging.info("%s: %s", args.root, backend.name)
    agent.run()
    return 0


def _plan(args: argparse.Namespace) -> int:
    """Exit code 1 where something would be changed, as `diff` has it."""
    backend = find_backend(args.root)
    heard = _service(args).limits("", 0, 0)
    keeper = _keeper(args, backend, Memory(None))
    keeper.learn(heard)
    wrong = keeper.differences()
    for path, limit in sorted(wrong.items()):
        print(f"{path}: {_bytes(limit)}, now {_bytes(keeper.holds(path))}")
    print(f"{args.root} ({backend.name}): {len(wrong)} of {len(keeper.goals)} limits would change.")
    return 1 if wrong else 0


def _keeper(
    args: argparse.Namespace, backend: Backend, memory: Memory, owner: Owner | None = None
) -> Keeper:
    shared = Template.parse(args.shared) if args.shared else None
    layout = Layout(Template.parse(args.homes), shared)
    return Keeper(args.root, backend, layout, memory, owner)


def _service(args: argparse.Namespace) -> Service:
    if args.token_file:
        try:
            token = args.token_file.read_text().strip()
        except OSError as error:
            raise ServiceError(f"{args.token_file}: {error.strerror}.") from None
    else:
        token = os.environ.get("HUB_STORAGE_TOKEN", "").strip()
    if not token or not token.isprintable():
        where = args.token_file or "HUB_STORAGE_TOKEN"
        raise ServiceError(f"{where}: here should be the token of the hub's service.")
    return Service(args.url, token)


def _owner(text: str) -> Owner:
    user, _colon, group = text.partition(":")
    if not (user.isdecimal() and group.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is not an owner by number; write 1000:100")
    return Owner(int(user), int(group))


def _bytes(amount: int | None) -> str:
    """`10 GiB`; the largest unit of which it is at least one."""
    if amount is None:
        return "no limit"
    size, units = float(amount), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.4g} {units[0]}"
