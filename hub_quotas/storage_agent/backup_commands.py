"""The commands of `hub-storage-agent` for snapshots, backups and restoring."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .backend import Backend, StorageError, find_backend
from .backup import KEEP, Done, back_up, restore_backup
from .claim_commands import (
    add_cluster,
    list_of_claim,
    refuse_cluster,
    restore_claim,
    snapshot_claims,
)
from .putting import Put
from .reach import find_homes, home_name, path_parts
from .restore_test import run_restore_test
from .saying import complain, say
from .snapshots import (
    Snapshot,
    find_snapshot,
    list_snapshots,
    make_snapshot,
    prune,
    restore_snapshot,
)

_Run = Callable[[argparse.Namespace], int]


def add_commands(subparsers: Any) -> None:
    """Add them to what `ArgumentParser.add_subparsers` returns; each sets `run`, which takes the
    arguments and returns the exit code."""

    def command(name: str, run: _Run, text: str, with_claims: _Run | None = None) -> Any:
        parser = subparsers.add_parser(name, help=text, description=text.capitalize() + ".")
        if with_claims:
            where = parser.add_mutually_exclusive_group(required=True)
            where.add_argument("--root", type=Path, help="what homes are below")
            add_cluster(parser, where)
        else:
            parser.add_argument("--root", type=Path, required=True, help="what homes are below")
        parser.set_defaults(run=lambda args: _answered(run, with_claims, args))
        return parser

    text = "keep homes as they are now, on the same disk"
    parser = command("snapshot", _snapshot, text, snapshot_claims)
    _add_homes(parser)
    parser.add_argument("--label", default="", help="why: end-of-term")
    parser.add_argument(
        "--keep", type=int, metavar="N", help="then delete older ones of the same label but for N"
    )

    parser = command("snapshots", _snapshots, "list the snapshots of a home", list_of_claim)
    parser.add_argument("home", metavar="HOME")

    parser = command(
        "restore",
        _restore,
        "put a home back as it was, from its backup; what is there stays beside",
        restore_claim,
    )
    parser.add_argument("home", metavar="HOME", help="its path below the root, or its claim")
    parser.add_argument("--path", help="only this file or folder in it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--at", default="latest", metavar="ID", help="which backup (default: latest)"
    )
    which.add_argument("--snapshot", metavar="NAME", help="from this snapshot, or `latest`")

    parser = command("backup", _backup, "back up homes with restic")
    _add_homes(parser)
    _add_state(parser)
    for every, number in KEEP.items():
        parser.add_argument(
            f"--keep-{every}",
            type=int,
            default=number,
            metavar="N",
            help=f"of each home, keep the last backup of N {_UNITS[every]} (default: {number})",
        )

    parser = command("restore-test", _restore_test, "test that homes can be restored from backups")
    _add_state(parser)
    parser.add_argument(
        "--count", type=int, default=3, metavar="N", help="how many homes (default: 3)"
    )
    parser.add_argument(
        "--read",
        default="5%",
        metavar="PART",
        help="how much of the repository is read: 5%%, 1G (default: 5%%)",
    )


_UNITS = {"daily": "days", "weekly": "weeks", "monthly": "months"}


def _add_homes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "home", nargs="*", metavar="HOME", help="its path below the root, or its claim"
    )
    parser.add_argument("--all", action="store_true", help="every home (--homes)")
    parser.add_argument(
        "--homes",
        action="append",
        metavar="TEMPLATE",
        help="where homes are below the root: homes/{username} (default: {username}); also twice",
    )


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("/var/lib/hub-storage-agent"),
        help="a folder for what the agent has to remember (default: %(default)s)",
    )


def _answered(run: _Run, with_claims: _Run | None, args: argparse.Namespace) -> int:
    try:
        if with_claims and args.claims:
            return with_claims(args)
        refuse_cluster(args)
        return run(args)
    except (StorageError, OSError) as error:
        complain(str(error))
        return 1


def _homes(args: argparse.Namespace, otherwise_all: bool = False) -> list[str]:
    if args.home:
        if args.all:
            raise StorageError("Name homes or give --all, not both.")
        return [home_name(home) for home in args.home]
    if not (args.all or otherwise_all):
        raise StorageError("No home is named; for every home, give --all.")
    patterns = args.homes or ["{username}"]
    if found := find_homes(args.root, patterns):
        return found
    raise StorageError(f"There is no home like {' or '.join(patterns)} below {args.root}.")


def _snapshot(args: argparse.Namespace) -> int:
    failed = 0
    for home in _homes(args):
        try:
            made = make_snapshot(args.root, home, args.label)
            say(f"{home}: {made.name}")
            _say_lacks(made)
            if args.keep is not None:
                for old in prune(args.root, home, args.label, args.keep):
                    say(f"{home}: {old.name} is deleted.")
        except (StorageError, OSError) as error:
            failed += 1
            complain(str(error))
    return 1 if failed else 0


def _say_lacks(made: Snapshot) -> None:
    if made.lacks:
        complain(f"{made.home}: the snapshot lacks the subvolumes inside: {', '.join(made.lacks)}")


def _snapshots(args: argparse.Namespace) -> int:
    for one in list_snapshots(args.root, home_name(args.home)):
        say(one.name)
    return 0


def _restore(args: argparse.Namespace) -> int:
    home = home_name(args.home)
    path = path_parts(args.path) if args.path is not None else ()
    backend = _backend(args.root)
    if args.snapshot:
        snapshot = find_snapshot(args.root, home, args.snapshot)
        put = restore_snapshot(args.root, snapshot, path, backend)
        return _say_put(put, f"the snapshot {snapshot.name}")
    saved, put = restore_backup(args.root, home, args.at, path, backend)
    return _say_put(put, f"the backup {saved.id[:8]} of {saved.when:%Y-%m-%d %H:%M} UTC")


def _backend(root: Path) -> Backend | None:
    """None where there are no limits."""
    try:
        return find_backend(root)
    except StorageError:
        return None


def _say_put(put: Put, source: str) -> int:
    say(f"{put.path} is restored from {source}.")
    if put.aside:
        say(f"What was there is {put.aside}.")
    if put.problem:
        complain(f"It has no limit yet: {put.problem}")
    return 1 if put.problem else 0


def _backup(args: argparse.Namespace) -> int:
    keep = {every: getattr(args, f"keep_{every}") for every in KEEP}
    if min(keep.values()) < 0 or not any(keep.values()):
        raise StorageError("--keep-daily, --keep-weekly and --keep-monthly would keep no backup.")
    done = back_up(args.root, _homes(args, otherwise_all=True), args.state, keep, _say_done)
    failed = [one.home for one in done if one.problem]
    if failed:
        complain(f"{len(failed)} of {len(done)} homes have no new backup: {', '.join(failed)}")
    return 1 if failed else 0


def _say_done(done: Done) -> None:
    if done.problem:
        complain(f"{done.home}: {done.problem}")
    else:
        say(f"{done.home}: {done.bytes} bytes" + (f", {done.remark}" if done.remark else ""))


def _restore_test(args: argparse.Namespace) -> int:
    if args.count < 1:
        raise StorageError(f"--count {args.count} would test nothing; test 1 home or more.")
    record = run_restore_test(args.root, args.state, args.count, args.read)
    for home, found in sorted(record["homes"].items()):
        same = f"{found['compared']} of {found['files']} files compared with the home"
        say(f"{home}: {found['bytes']} bytes restored, {same}")
    for problem in record["problems"]:
        complain(problem)
    return 0 if record["ok"] else 1
