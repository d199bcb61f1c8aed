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
from .backend import Backend, Place, StorageError, find_backend, said
from .backup_commands import add_commands
from .claim_commands import add_cluster, cluster, refuse_cluster
from .claims import HOMES, Claims, names
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
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", type=Path, help="what homes are below")
    add_cluster(parser, where)
    parser.add_argument(
        "--kubelet-stats",
        action="store_true",
        help="with --claims: ask the kubelet of each node what is used, which takes the right to",
    )
    parser.add_argument(
        "--homes",
        metavar="TEMPLATE",
        help="where homes are below the root: homes/{username} (default: {username}); with"
        f" --claims, how claims are called (default: {HOMES})",
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
    if args.claims and args.create:
        raise StorageError("--create is for directories; KubeSpawner makes claims.")
    backend = _backend(args)
    backend.prepare()
    keeper = _keeper(args, backend, Memory(args.state), args.create)
    metrics = args.metrics
    watch = (lambda state, uses: write_metrics(metrics, state, uses)) if metrics else None
    records = BackupRecords(args.state, args.root)
    agent = Agent(keeper, _service(args), watch, records.read)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    logging.info("%s: %s", args.root or "Homes", backend.name)
    agent.run()
    return 0


def _plan(args: argparse.Namespace) -> int:
    """Exit code 1 where something would be changed, as `diff` has it."""
    backend = _backend(args)
    heard = _service(args).limits("", 0, 0)
    keeper = _keeper(args, backend, Memory(None))
    keeper.learn(heard)
    wrong = keeper.differences()
    if isinstance(backend, Claims):
        for path, why in sorted(backend.foresee(wrong).items()):
            print(f"{path}: {why}")
            del wrong[path]
    for path, limit in sorted(wrong.items()):
        print(f"{path}: {said(limit)}, now {said(keeper.holds(path))}")
    where = args.root or "Homes"
    print(f"{where} ({backend.name}): {len(wrong)} of {len(keeper.goals)} limits would change.")
    return 1 if wrong else 0


def _backend(args: argparse.Namespace) -> Backend:
    if args.claims:
        return Claims(cluster(args), names(args.homes or HOMES), args.kubelet_stats)
    refuse_cluster(args)
    return find_backend(args.root)


def _keeper(
    args: argparse.Namespace, backend: Backend, memory: Memory, owner: Owner | None = None
) -> Keeper:
    place: Place | None = backend if isinstance(backend, Claims) else None
    parse, otherwise = (names, HOMES) if args.claims else (Template.parse, "{username}")
    homes = parse(args.homes or otherwise)
    shared = parse(args.shared) if args.shared else None
    root = args.root or Path()
    return Keeper(root, backend, Layout(homes, shared), memory, owner, place)


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
