"""The policy in the database: entries that are only ever added, read once by each process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hub_groups.words import _

from .changes import GROUP_ENTRY, PLAN, PRICES, Entry, documents, put
from .limits import PolicyError
from .policy import Policy
from .transaction import Transaction

_RENAME = "rename"

_CHANGES = (
    "SELECT version, kind, name, (SELECT b.document FROM policy_entry b WHERE"
    " b.kind = e.kind AND b.name = e.name AND b.version < e.version"
    " ORDER BY b.version DESC LIMIT 1),"
    " document, at, who, via, why, address, source FROM policy_entry e"
)


@dataclass(frozen=True)
class By:
    """Who changes something, for the audit log.

    Attributes:
        via: by what means: `page`, `api`, `cli`, `config`.
        why: in their own words.
        address: from where, as the proxy says.
    """

    who: str
    via: str
    why: str = ""
    address: str = ""


@dataclass(frozen=True)
class Change:
    """One entry of the policy as it became at an instant, and as it was before.

    Attributes:
        before, after: documents; None where there is no entry.
        at: microseconds since 1970, UTC.
        source: the file that manages it; empty for none.
    """

    version: int
    kind: str
    name: str
    before: Any
    after: Any
    at: int
    by: By
    source: str = ""

    @property
    def entry(self) -> Entry:
        return self.kind, self.name


class Held(NamedTuple):
    """What holds now.

    Attributes:
        version: of the last change of anything.
        versions: of the last change of each entry.
        sources: the file that manages an entry, where one does.
    """

    version: int = 0
    policy: Policy = Policy()
    versions: Mapping[Entry, int] = {}
    sources: Mapping[Entry, str] = {}


class Conflict(RuntimeError):
    """Somebody else has changed an entry since it was looked at.

    Attributes:
        entry: which.
        change: the last one; None where there never was any.
    """

    def __init__(self, entry: Entry, change: Change | None) -> None:
        self.entry, self.change = entry, change
        who = change.by.who if change else _("Nobody")
        super().__init__(
            _("{who} has changed {entry} since.").format(who=who, entry=say_entry(entry))
        )


class Policies:
    """What holds now, and what held before."""

    def __init__(self, on_rename: Callable[[], None]) -> None:
        """`on_rename`: what to do when a user or group goes by another name since the last look."""
        self._held = Held()
        self._on_rename = on_rename

    def read(self, tx: Transaction) -> Policy:
        """What holds now; only entries that are new are read."""
        return self.held(tx).policy

    def held(self, tx: Transaction) -> Held:
        """The same, with versions and sources."""
        before = self._held
        row = tx.one("SELECT max(version) FROM policy_entry")
        latest = (row and row[0]) or 0
        if latest == before.version:
            return before
        versions, sources, changes = dict(before.versions), dict(before.sources), {}
        for version, kind, name, document, source in tx.all(
            "SELECT version, kind, name, document, source FROM policy_entry"
            " WHERE version > ? AND version <= ? ORDER BY version",
            *(before.version, latest),
        ):
            if kind == _RENAME:
                self._on_rename()
                continue
            entry = (kind, name)
            changes[entry] = json.loads(document) if document is not None else None
            versions[entry] = version
            sources[entry] = source
        sources = {entry: source for entry, source in sources.items() if source}
        self._held = Held(latest, put(before.policy, changes, kept=True), versions, sources)
        return self._held

    def note_rename(self, tx: Transaction, old: str, new: str, at: int) -> None:
        """So that other processes hear of it, and the audit log too."""
        tx.run(
            "INSERT INTO policy_entry (kind, name, document, at, who, via)"
            " VALUES ('rename', ?, ?, ?, 'hub', 'rename')",
            *(old, json.dumps(new), at),
        )

    def write(
        self,
        tx: Transaction,
        policy: Policy,
        at: int,
        by: By,
        managers: Mapping[Entry, str] | None = None,
    ) -> None:
        """Add an entry for all in which `policy` differs from what holds.

        Args:
            managers: the files that manage entries from now on, or empty for none any more; None
                where it is people who change something, which no file may manage.

        Raises:
            PolicyError: the entry is managed by a file.
        """
        held = self.held(tx)
        if managers:  # what stays as it is may still go to another
            old, new = documents(held.policy), documents(policy)
        else:
            old = documents(held.policy, without=policy)
            new = documents(policy, without=held.policy)
        for entry in sorted(old.keys() | new.keys()):
            before = held.sources.get(entry, "")
            after = (managers or {}).get(entry, before) if entry in new else ""
            changed = json.dumps(old.get(entry)) != json.dumps(new.get(entry))
            if changed and before and managers is None:
                why = _("this is managed by {file}; change it there.").format(file=before)
                raise PolicyError((say_entry(entry),), why)
            if changed or after != before:
                document = json.dumps(new[entry]) if entry in new else None
                tx.run(
                    "INSERT INTO policy_entry"
                    " (kind, name, document, at, who, via, why, source, address)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    *(*entry, document, at, by.who, by.via, by.why, after, by.address),
                )

    # -- the audit log ---------------------------------------------------------------------

    def changes(
        self, tx: Transaction, where: str, *values: object, most: int = 100
    ) -> list[Change]:
        """The changes for which a condition holds, newest first. Each with what was before."""
        sql = f"{_CHANGES} WHERE {where} ORDER BY version DESC LIMIT ?"
        return [
            Change(
                *(version, kind, name, _read(before), _read(after), at),
                By(who, via, why, address),
                source,
            )
            for version, kind, name, before, after, at, who, via, why, address, source in tx.all(
                sql, *values, most
            )
        ]

    def conflict(self, tx: Transaction, entry: Entry) -> Conflict:
        return Conflict(entry, self.last(tx, entry))

    def last(self, tx: Transaction, entry: Entry) -> Change | None:
        """The last change of an entry."""
        found = self.changes(tx, "kind = ? AND name = ?", *entry, most=1)
        return found[0] if found else None


def undone(policy: Policy, changes: Iterable[Change]) -> Policy:
    """`policy` with the entries of some changes as they were before.

    Raises:
        PolicyError: what was before can't hold any more.
    """
    return put(policy, {change.entry: change.before for change in changes})


def say_entry(entry: Entry) -> str:
    """`geo-101`, `plan course-small`, `the prices`."""
    kind, name = entry
    return {
        GROUP_ENTRY: name,
        PLAN: _("plan {name}").format(name=name),
        PRICES: _("the prices"),
    }.get(kind, name)


def _read(document: str | None) -> Any:
    return None if document is None else json.loads(document)
