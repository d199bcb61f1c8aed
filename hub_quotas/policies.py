"""The policy in the database: entries that are only ever added, read once by each process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .policy import (
    Policy,
    checked,
    parse_group,
    parse_plan,
    parse_prices,
    print_group,
    print_plan,
    print_prices,
)
from .transaction import Transaction


class Policies:
    """What holds now, and what held before."""

    def __init__(self, on_rename: Callable[[], None]) -> None:
        """`on_rename`: what to do when a user or group goes by another name since the last look."""
        self._known = (0, Policy())
        self._on_rename = on_rename

    def read(self, tx: Transaction) -> Policy:
        """What holds now; only entries that are new are read."""
        version, policy = self._known
        row = tx.one("SELECT max(version) FROM policy_entry")
        latest = (row and row[0]) or 0
        if latest == version:
            return policy
        groups, plans, prices = dict(policy.groups), dict(policy.plans), policy.prices
        for kind, name, document in tx.all(
            "SELECT kind, name, document FROM policy_entry"
            " WHERE version > ? AND version <= ? ORDER BY version",
            version,
            latest,
        ):
            spec = json.loads(document) if document is not None else None
            if kind == "rename":
                self._on_rename()
            elif kind == "prices":
                prices = parse_prices(spec)
            elif kind == "plan":
                _put(plans, name, None if spec is None else parse_plan(name, spec))
            else:
                _put(groups, name, None if spec is None else parse_group(name, spec))
        policy = checked(Policy(groups, plans, prices))
        self._known = (latest, policy)
        return policy

    def note_rename(self, tx: Transaction, old: str, new: str, at: int) -> None:
        """So that other processes hear of it, and the audit log too."""
        tx.run(
            "INSERT INTO policy_entry (kind, name, document, at, who, via)"
            " VALUES ('rename', ?, ?, ?, 'hub', 'rename')",
            *(old, json.dumps(new), at),
        )

    def write(self, tx: Transaction, policy: Policy, at: int, who: str, via: str) -> None:
        """Add an entry for all in which `policy` differs from what holds."""
        old, new = _documents(self.read(tx)), _documents(policy)
        for kind, name in sorted(old.keys() | new.keys()):
            document = new.get((kind, name))
            if document != old.get((kind, name)):
                tx.run(
                    "INSERT INTO policy_entry (kind, name, document, at, who, via)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    *(kind, name, document, at, who, via),
                )

    def audit(self, tx: Transaction, group: str | None) -> list[dict[str, Any]]:
        """All changes of the policy, newest first: of one group, or all. Each with what the entry
        was before."""
        rows = tx.all(
            "SELECT version, kind, name, document, at, who, via, why FROM policy_entry"
            " ORDER BY version"
        )
        columns = ("version", "kind", "name", "after", "at", "who", "via", "why")
        last: dict[tuple[str, str], Any] = {}
        found = []
        for row in rows:
            entry = dict(zip(columns, row, strict=True))
            entry["after"] = entry["after"] and json.loads(entry["after"])
            entry["before"] = last.get((entry["kind"], entry["name"]))
            last[entry["kind"], entry["name"]] = entry["after"]
            if group is None or (entry["kind"], entry["name"]) == ("group", group):
                found.append(entry)
        return found[::-1]


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def _documents(policy: Policy) -> dict[tuple[str, str], str]:
    """A policy as entries: JSON by kind and name."""
    found = {("group", name): print_group(group) for name, group in policy.groups.items()}
    found |= {("plan", name): print_plan(plan) for name, plan in policy.plans.items()}
    entries = {entry: json.dumps(document) for entry, document in found.items()}
    if policy.prices:
        entries["prices", ""] = json.dumps(print_prices(policy.prices))
    return entries
