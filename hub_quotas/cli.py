"""The command line: `hub-quotas check | apply | explain | usage | sessions | export | ...`."""

from __future__ import annotations

import argparse
import csv
import getpass
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hub_groups.commands import exit_code
from hub_groups.database import without_password

from .apply_command import apply
from .corrections import adjust
from .costs import hours, money, month_of, parse_month, print_month, used_by
from .decision import Answer, Decision
from .explained import explanation, storage_explanation
from .files import FileError, read_policy
from .home_storage import storage_limits
from .limits import PolicyError
from .menu import markdown, menu
from .messages import headline, title, told, tried
from .policy import DEFAULT_GROUP, WHOLE_HUB, group_name
from .policy_store import now
from .pruning import prune
from .quantities import HOUR, TIME, QuantityError, parse_count, parse_cpu, parse_memory, resource
from .reports import read_report, write_csv
from .sessions import Session
from .store import QuotaStore, open_store
from .transaction import LedgerError
from .which_database import BESIDE_THE_HUB, groups_beside, is_missing, no_ledger
from .windows import WindowError, parse_window, read_zone
from .windows import length as window_length

DONE, UNUSABLE, USAGE, REFUSED = 0, 1, 2, 3
"""Exit codes: done; a file or the database can't be used; wrong usage; `explain` says no."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        An exit code: DONE, UNUSABLE or REFUSED. Wrong usage exits with USAGE.
    """
    options = _parser().parse_args(arguments)
    options.named = bool(options.db)
    options.db = options.db or BESIDE_THE_HUB
    try:
        return exit_code(options, UNUSABLE, (FileError, PolicyError, QuantityError, WindowError))
    except LedgerError as error:
        print(
            f"The quota database {without_password(options.db)} can't be used: {error}",
            file=sys.stderr,
        )
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub-quotas",
        description="Quotas of JupyterHub groups.",
        epilog="Exit codes: 0 done, 1 a file or the database can't be used, 2 wrong usage, "
        "3 the answer of `explain` is no.",
    )
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument(
        "--db",
        default=os.environ.get("HUB_QUOTAS_DB"),
        help="c.HubQuotas.db_url of the hub (default: $HUB_QUOTAS_DB, or hub_quotas.sqlite here)",
    )
    everywhere.add_argument(
        "--time-zone", default="UTC", help="c.HubQuotas.time_zone of the hub (default: UTC)"
    )
    everywhere.add_argument("--json", action="store_true", help="for programs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[everywhere], help=text, description=text)
        added.set_defaults(run=run)
        return added

    check = command("check", _check, "say whether a policy file can be used")
    check.add_argument("file", type=Path, help="a policy in YAML or JSON")
    applied = command("apply", apply, "make a policy file all that holds; shows the changes first")
    applied.add_argument("file", type=Path, help="a policy in YAML or JSON")
    applied.add_argument(
        "--yes",
        action="store_true",
        help="write; without it, only show. A database that --db names is made if there is none",
    )
    explain = command("explain", _explain, "say whether a user could start a server, and why")
    explain.add_argument("user")
    explain.add_argument("--group", action="append", help="the group to charge (default: theirs)")
    explain.add_argument("--cpu", type=parse_cpu, help="cores: 2, 0.5, 500m")
    explain.add_argument("--memory", type=parse_memory, help="8G, 512M")
    explain.add_argument("--gpu", type=parse_count, help="how many")
    usage = command("usage", _usage, "what is in use now, by group")
    usage.add_argument("--group", help="only this group")
    sessions = command("sessions", _sessions, "the servers that are charged for")
    sessions.add_argument("--user", help="only this user's")
    sessions.add_argument("--since", default="", help="also those that ended since: 7d, 12h")
    export = command("export", _export, "all sessions with what they used, as CSV or JSON lines")
    export.add_argument("--since", default="400d", help="that ended since (default: 400d)")
    report = command("report", _report, "what a group used and cost in a month")
    report.add_argument(
        "--group", default=WHOLE_HUB, help="with all below it (default: the whole hub)"
    )
    report.add_argument("--month", default="", help="such as 2026-10 (default: this one)")
    report.add_argument("--csv", action="store_true", help="each stretch of a session, exactly")
    menu_of = command(
        "menu", _menu, "plans, and what servers cost, as Markdown for a page of a book"
    )
    menu_of.add_argument("--currency", default="", help="c.HubQuotas.currency of the hub")
    adjust = command("adjust", _adjust, "give back some of what was used, for a reason")
    adjust.add_argument("group")
    adjust.add_argument("resource", help="cpu-hours, memory-hours, gpu-hours or cost")
    adjust.add_argument("amount", help="how much to give back")
    adjust.add_argument("--user", default="", help="to a member (default: to the group itself)")
    adjust.add_argument("--why", required=True, help="for the record")
    prune = command("prune", _prune, "drop points that no window and no monthly report needs")
    prune.add_argument("--keep", default="400d", help="at least this long (default: 400d)")
    return parser


def _store(options: argparse.Namespace) -> QuotaStore:
    """The ledger that is there. Raises FileError: there is none."""
    zone = read_zone(options.time_zone)
    if is_missing(options.db):
        raise FileError(no_ledger(options.db))
    return open_store(options.db, zone)


def _check(options: argparse.Namespace) -> int:
    policy = read_policy(options.file)
    count = sum(len(group.limits) for group in policy.groups.values())
    counted = {"groups": len(policy.groups), "plans": len(policy.plans), "limits": count}
    if options.json:
        print(json.dumps(counted))
    else:
        said = [f"{n} {what if n != 1 else what[:-1]}" for what, n in counted.items()]
        print(f"{', '.join(said)}: this can be used.")
    return DONE


def _explain(options: argparse.Namespace) -> int:
    store = _store(options)
    groups = options.group or _groups_of(options) or [DEFAULT_GROUP]
    asked = {"cpu": options.cpu, "memory": options.memory, "gpu": options.gpu}
    request = {name: amount for name, amount in asked.items() if amount is not None}
    decisions = store.explain(options.user, store.policy().in_order(groups), request)
    allowed = any(decision.allowed for decision in decisions)
    again = {d.group: store.again(options.user, d) for d in decisions if not d.allowed}
    if options.json:
        print(json.dumps([_decision(store, options.user, one, again) for one in decisions]))
        return DONE if allowed else REFUSED
    for decision in decisions:
        print(explanation(decision))
        if stored := storage_limits(store, options.user, decision.group):
            print(storage_explanation(stored))
    if not allowed:
        answer, policy, groups = Answer(tuple(decisions)), store.policy(), groups_beside(options.db)
        members = groups.managers(tried(policy, answer)) if groups else {}
        said, _code = told(policy, answer, members, again[decisions[0].group], now(), store.zone)
        print(f"\nWhat {options.user} is told: {said}")
    return DONE if allowed else REFUSED


def _groups_of(options: argparse.Namespace) -> list[str]:
    groups = groups_beside(options.db)
    standings = groups.standings(options.user) if groups else []
    return sorted({standing.membership.group for standing in standings})


def _decision(
    store: QuotaStore, user: str, decision: Decision, again: dict[str, int | None]
) -> dict[str, Any]:
    at = again.get(decision.group)
    return {
        "group": decision.group,
        "allowed": decision.allowed,
        "lasts_seconds": decision.lasts // 10**6 if decision.lasts is not None else None,
        "again_at": _iso(at) if at else None,
        "checks": [
            {
                "group": check.limit.group,
                "limit": check.limit.key,
                "amount": check.limit.text,
                "plan": check.limit.plan,
                "used": check.limit.kind.format(check.used),
                "passed": check.passed,
            }
            for check in decision.checks
        ],
        "storage": [
            {"group": one.group, "limit": one.key, "amount": one.text, "plan": one.plan}
            for one in storage_limits(store, user, decision.group)
        ],
    }


def _usage(options: argparse.Namespace) -> int:
    store = _store(options)
    use, policy = store.group_use(), store.policy()
    names = sorted({*use, *policy.groups} if not options.group else {options.group})
    found = []
    for name in names:
        # What nobody in particular would be checked against: the limits of the whole group.
        (decision,) = store.explain("", [name], {})
        own = [c for c in decision.checks if c.limit.group == name and c.limit.scope == "group"]
        found.append((name, use.get(name, {}), own))
    if options.json:
        print(json.dumps({name: dict(amounts) for name, amounts, _ in found}))
        return DONE
    rows = [["group", "servers", "cpu", "memory", "limits"]]
    for name, amounts, checks in found:
        shown = [_said(what, amounts.get(what, 0)) for what in ("servers", "cpu", "memory")]
        limits = "; ".join(f"{headline(c)} ({title(c).partition(',')[0]})" for c in checks)
        rows.append([name, *shown, limits])
    _table(rows)
    return DONE


def _sessions(options: argparse.Namespace) -> int:
    store = _store(options)
    found = store.sessions(_ago(options.since)) if options.since else store.open_sessions()
    chosen = [s for s in found if options.user in (None, s.user)]
    if options.json:
        print(json.dumps([_line(session) for session in chosen]))
        return DONE
    rows = [["user", "server", "group", "state", "since", "until", "cpu", "memory"]]
    for s in chosen:
        held = [_said(name, s.granted.get(name, 0)) for name in ("cpu", "memory")]
        until = _iso(s.closed_at) if s.closed_at else ""
        rows.append([s.user, s.server or "-", s.group, s.state, _iso(s.reserved_at), until, *held])
    _table(rows)
    return DONE


def _export(options: argparse.Namespace) -> int:
    lines = [_line(session) for session in _store(options).sessions(_ago(options.since))]
    if options.json:
        for line in lines:
            print(json.dumps(line))
    elif lines:
        writer = csv.DictWriter(sys.stdout, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return DONE


def _report(options: argparse.Namespace) -> int:
    store, group = _store(options), group_name(options.group)
    month = parse_month(options.month) if options.month else month_of(now(), store.zone)
    if options.csv:
        write_csv(store, group, month, sys.stdout)
        return DONE
    found = read_report(store, group, month)
    if options.json:
        from .reports_api import month_report  # with all that pages need, which takes a while

        print(month_report(found, "", 0, len(found.members)).model_dump_json())
        return DONE
    titles = {"cpu": "CPU-hours", "memory": "GiB-hours", "gpu": "GPU-hours"}
    titles |= {"servers": "server-hours", "storage": "GiB-months of storage"}
    names = [name for name in found.resources if name in titles]
    rows = [["", *(titles[name] for name in names), "cost", "credit"]]
    parts = {"member": found.members, "group": found.groups, "profile": found.profiles}
    lines = [("total", found.total)] + [(what, line) for what, of in parts.items() for line in of]
    lines += [("of it", found.storage)] if found.storage.used else []
    for what, line in lines:
        used = [hours(name, line.used.get(name, 0)) for name in names]
        nameless = "shared directories" if what == "member" else f"no {what}"
        name = f"{what} {line.name}" if line.name else nameless
        rows.append([name, *used, money(line.cost), money(line.credited)])
    _table(rows)
    if found.until < found.end:
        print(f"Up to now: {print_month(month)} is not over.")
    return DONE


def _menu(options: argparse.Namespace) -> int:
    store = _store(options)
    found = menu(store.policy(), datetime.now(store.zone).date())
    if options.json:
        from .menu_page import as_model  # with all that pages need, which takes a while

        print(as_model(found, options.currency).model_dump_json())
    else:
        print(markdown(found, options.currency), end="")
    return DONE


def _adjust(options: argparse.Namespace) -> int:
    found = resource(options.resource)
    if found is None or found.kind != TIME:
        raise QuantityError(
            f"'{options.resource}' can't be given back; give cpu-hours, memory-hours, gpu-hours "
            "or cost."
        )
    amount = found.parse(options.amount)
    who = getpass.getuser()
    adjust(_store(options), options.group, options.user, found.curve, amount, who, options.why)
    whom = f"{options.user} in {options.group}" if options.user else options.group
    print(f"Given back to {whom}: {found.say(amount)}.")
    return DONE


def _prune(options: argparse.Namespace) -> int:
    keep = window_length(parse_window(options.keep))
    count, exact_since = prune(_store(options), keep)
    print(f"Dropped {count} points; answers are exact since {_iso(exact_since)}, and by month.")
    return DONE


def _line(session: Session) -> dict[str, Any]:
    """One session for a spreadsheet."""
    used = used_by(session.charges, session.closed_at or now())
    hours = (session.closed_at or now()) - session.reserved_at
    return {
        "id": session.id,
        "hub": session.hub,
        "user": session.user,
        "server": session.server,
        "group": session.group,
        "state": session.state,
        "reserved_at": _iso(session.reserved_at),
        "closed_at": _iso(session.closed_at) if session.closed_at else "",
        "reason": session.reason or "",
        "hours": round(hours / HOUR, 4),
        "cpu_hours": round(used.get("cpu", 0) / (1000 * HOUR), 4),
        "memory_gib_hours": round(used.get("memory", 0) / (2**30 * HOUR), 4),
        "gpu_hours": round(used.get("gpu", 0) / HOUR, 4),
        "cost": round(used.get("cost", 0) / (10**6 * HOUR), 4),
    }


def _said(name: str, amount: int) -> str:
    found = resource(name)
    assert found
    return found.say(amount)


def _ago(text: str) -> int:
    return now() - window_length(parse_window(text))


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at // 10**6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(rows: Iterable[list[str]]) -> None:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())
        if number == 0:
            print("  ".join("─" * width for width in widths))


if __name__ == "__main__":
    sys.exit(main())
