"""`hub-quotas apply FILE`: what a policy file would change, and with `--yes` the change."""

from __future__ import annotations

import argparse
import getpass
import json
import sys

from hub_groups.database import without_password

from .changes import differences
from .files import FileError, read_policy
from .policy import Policy
from .reports import charged_groups
from .store import QuotaStore, open_store
from .tree import never_seen
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
    if options.json:
        keys = ("place", "before", "after")
        changes = [dict(zip(keys, change, strict=True)) for change in todo]
        written = bool(options.yes and todo)
        print(json.dumps({"changes": changes, "written": written, "never_seen": new}))
    else:
        _say(todo, new, options.yes)
    return DONE


def _say(todo: list[tuple[str, str | None, str | None]], new: list[str], written: bool) -> None:
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
    if new:
        more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
        print(
            "Nobody has been in these groups yet, as far as these databases know: "
            f"{', '.join(new[:_NAMED])}{more}. If their names are right, limits hold from when "
            "somebody is."
        )
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
