"""The commands of `hub-storage-agent` for snapshots of claims, and what they have in common."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import Any

from .backend import StorageError, said
from .claims import Claim
from .kubernetes import Kubernetes
from .layout import Template
from .saying import complain, say
from .volume_snapshots import find_snapshot, list_snapshots, make_snapshot, prune, restore, wait_for


def add_cluster(parser: argparse.ArgumentParser, instead: Any) -> None:
    """The options that say which claims are meant.

    Args:
        instead: the group of options of which one is taken.
    """
    instead.add_argument(
        "--claims", action="store_true", help="homes are claims of Kubernetes, made by KubeSpawner"
    )
    parser.add_argument(
        "--namespace", metavar="NAME", help="with --claims: of the claims (default: of this pod)"
    )
    parser.add_argument(
        "--api",
        metavar="URL",
        help="with --claims, outside of a pod: of `kubectl proxy`, http://127.0.0.1:8001",
    )


def cluster(args: argparse.Namespace) -> Kubernetes:
    """Raises StorageError: it can't be known which."""
    return Kubernetes(args.api, args.namespace)


def refuse_cluster(args: argparse.Namespace) -> None:
    """Raises StorageError: options for claims were given without --claims."""
    for option in ("namespace", "api", "kubelet_stats"):
        if getattr(args, option, None):
            raise StorageError(f"--{option.replace('_', '-')} is for --claims.")


def snapshot_claims(args: argparse.Namespace) -> int:
    api, now = cluster(args), datetime.now(timezone.utc)
    if args.keep is not None and args.keep < 1:
        raise StorageError(f"--keep {args.keep} would delete every snapshot; keep 1 or more.")
    made, failed = dict[str, str](), 0
    for claim in _names(api, args):
        try:
            made[make_snapshot(api, claim, args.label, now)] = claim
        except StorageError as error:
            failed += 1
            complain(str(error))
    problems = wait_for(api, made, complain)
    for name, claim in made.items():
        if name in problems:
            complain(f"{claim} has no snapshot {name}: {problems[name]}")
            continue
        say(f"{claim}: {name}")
        if args.keep is not None:
            for old in prune(api, claim, args.label, args.keep):
                say(f"{claim}: {old} is deleted.")
    return 1 if failed or problems else 0


def _names(api: Kubernetes, args: argparse.Namespace) -> list[str]:
    if args.home:
        if args.all:
            raise StorageError("Name claims or give --all, not both.")
        return list(args.home)
    if not args.all:
        raise StorageError("No claim is named; for all that KubeSpawner has made, give --all.")
    templates = [Template.parse(text) for text in args.homes or []]
    path = api.path("v1", "persistentvolumeclaims")
    claims = [Claim.read(one) for one in api.list(path)]
    names = [one.name for one in claims if one.is_home]
    if templates:
        names = [name for name in names if any(one.matches(name) for one in templates)]
    if not names:
        raise StorageError(f"There is no claim of KubeSpawner's in {api.namespace}.")
    return names


def list_of_claim(args: argparse.Namespace) -> int:
    for one in list_snapshots(cluster(args), args.home):
        state = one.problem or ("ready" if one.ready else "not ready yet")
        say(f"{one.name}  {one.created}  {said(one.size) if one.size else '-'}  {state}")
    return 0


def restore_claim(args: argparse.Namespace) -> int:
    if args.path is not None:
        raise StorageError("A VolumeSnapshot is restored as a whole; leave --path out.")
    if not args.snapshot:
        raise StorageError("Claims are restored from snapshots; give --snapshot latest.")
    api = cluster(args)
    snapshot = find_snapshot(api, args.home, args.snapshot)
    name = restore(api, snapshot, datetime.now(timezone.utc))
    if name == args.home:
        say(f"{name} is made again from the snapshot {snapshot.name}.")
        say("Its owner's next server has it as its home.")
    else:
        say(f"{name} is a new claim with what is in the snapshot {snapshot.name}.")
        say(f"{args.home} stays as it is. docs/storage.md, 'Claims', says how to copy from one.")
    return 0
