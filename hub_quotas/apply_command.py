"""`hub-quotas apply FILE`: what a policy file would change, and with `--yes` the change."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Iterable

from hub_groups.database import without_password

from .changes import differences
from .files import FileError, read_policy
from .history import sizes_missing
from .policy import Policy
from .reports import charged_groups
from .requests import MEASURED
from .store import QuotaStore, open_store
from .tree import never_seen
from .whatif import changed, sizes_needed
from .which_database import check_makes, groups_beside, is_missing, no_ledger
from .windows import read_zone

DONE = 0
_NAMED = 10
"""How many groups are named in a sentence."""


def apply(options: argparse.Namespace) -> int:
    """Raises FileError: the file can't be used, or there is no ledger."""
    policy, zone = read_policy(options.file), read_zone(options.time_zone)
    missing = is_missing(options.db)
    if missing and not options.named:
        raise FileError(no_ledger(options.db, may_make=True))
    if missing:
        check_makes(options.db)
    store = open_store(options.db, zone) if options.yes or not missing else None  # which makes it
    before = store.policy() if store else Policy()
    todo = differences(before, policy)
    if store and options.yes and todo:
        store.apply(policy, getpass.getuser(), "cli")
    if missing:
        how = "it is made now" if options.yes else "--yes makes it"
        print(f"There was no ledger at {without_password(options.db)}; {how}.", file=sys.stderr)
    new = _never_seen(store, options.db, before, policy) if store else []
    groups = list(changed(before, policy))
    needed = sizes_missing(store, policy, *groups) if store else MEASURED
    if options.json:
        keys = ("place", "before", "after")
        changes = [dict(zip(keys, change, strict=True)) for change in todo]
        written = bool(options.yes and todo)
        needs = {name: _in_need(policy, groups, name) for name in needed}
        found = {"changes": changes, "written": written, "never_seen": new, "needs": needs}
        print(json.dumps(found))
    else:
        _say(todo, [*_say_new(new), *_say_needs(policy, groups, needed)], options.yes)
    return DONE


def _say_needs(policy: Policy, groups: Iterable[str], names: Iterable[str]) -> list[str]:
    """A sentence for each of MEASURED on what servers need limits of their own in some groups."""
    said = []
    for name in names:
        if found := _in_need(policy, groups, name):
            title = {"cpu": "CPU", "memory": "memory"}[name]
            said.append(
                f"Servers without a {title} limit of their own would not start in {_named(found)}: "
                f"set server.{name} too, which such servers then get."
            )
    return said


def _in_need(policy: Policy, groups: Iterable[str], name: str) -> list[str]:
    return [group for group in groups if name in sizes_needed(policy, group)]


def _named(groups: list[str]) -> str:
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    return f"{', '.join(groups[:_NAMED])}{more}"


def _say_new(groups: list[str]) -> list[str]:
    if not groups:
        return []
    return [
        "Nobody has been in these groups yet, as far as these databases know: "
        f"{_named(groups)}. If their names are right, limits hold from when somebody is."
    ]


def _say(todo: list[tuple[str, str | None, str | None]], notes: list[str], written: bool) -> None:
    for place, before, after in todo:
        if after is None:
            print(f"- {place}: {before}")
        elif before is None:
            print(f"+ {place}: {after}")
        else:
            print(f"~ {place}: {before} -> {after}")
    gone = sum(after is None for _place, _before, after in todo)
    if gone:
        print(
            f"{gone} of these {'goes' if gone == 1 else 'go'}, also where set in the browser: the "
            "file becomes all that holds. What holds now is under Import and export on the pages."
        )
    print("".join(f"{note}\n" for note in notes), end="")
    if not todo:
        print("Nothing to change.")
    elif written:
        print(f"Written: {len(todo)} {'change' if len(todo) == 1 else 'changes'}.")
    else:
        print("Nothing is written yet; add --yes to write.")


def _never_seen(store: QuotaStore, db: str, before: Policy, after: Policy) -> list[str]:
    """The groups that are new in a policy, and that these databases have nobody in; none where they
    know of nobody at all."""
    groups = groups_beside(db)
    known = [*charged_groups(store), *(groups.groups() if groups else ())]
    return [name for name in never_seen(after, known) if name not in before.groups] if known else []
