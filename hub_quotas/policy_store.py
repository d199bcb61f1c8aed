"""The policy of a ledger: what holds, who changed what, and changing it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from . import migrate
from .changes import Entry, documents, edited, put
from .policies import By, Change, Conflict, Held, Policies, undone
from .policy import Policy
from .transaction import Database, Transaction


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class PolicyStore:
    """The part of a ledger's store that is about its policy.

    Args:
        url: an SQLAlchemy URL: SQLite, or PostgreSQL with psycopg 3.
        on_rename: what to do when a user or group goes by another name since the last look.
        clock: microseconds since 1970, UTC. On PostgreSQL the database's own if not given: one
            clock for all hubs.
    """

    def __init__(
        self, url: str, on_rename: Callable[[], None], clock: Callable[[], int] | None = None
    ) -> None:
        self._clock = clock
        self.db = Database(url)
        with self.db.named_errors():
            migrate.upgrade(self.db.engine)
        self.policies = Policies(on_rename)

    def close(self) -> None:
        self.db.close()

    def policy(self) -> Policy:
        """What holds now."""
        with self.db.read() as tx:
            return self.policies.read(tx)

    def held(self) -> Held:
        """The same, with the version of each entry and the file that manages it."""
        with self.db.read() as tx:
            return self.policies.held(tx)

    def edit(
        self,
        change: Callable[[Policy], Policy],
        by: By,
        expected: Mapping[Entry, int] = {},
        managers: Mapping[Entry, str] | None = None,
    ) -> Held:
        """Change what holds, in one transaction. Holds from the next start on. Open sessions of a
        group that moves in the tree are charged to its new ancestors from now on.

        Args:
            change: from what holds to what is to hold.
            expected: the versions that entries had when they were looked at; 0 for none.
            managers: see `Policies.write`.

        Raises:
            PolicyError: what `change` raises, or the entry is managed by a file.
            Conflict: an entry has another version.
        """
        with self.db.write() as tx:
            tx.hold_policy(change=True)
            held = self.policies.held(tx)
            for entry, version in expected.items():
                if held.versions.get(entry, 0) != version:
                    raise self.policies.conflict(tx, entry)
            self.replace(tx, change(held.policy), by, managers)
            return self.policies.held(tx)

    def set_limit(self, group: str, key: str, value: object, who: str, via: str) -> None:
        """Set one limit of a group to a value as written in a policy, or remove it (None).

        Raises:
            PolicyError: for a limit that can't be read; nothing is written.
        """
        self.edit(lambda policy: edited(policy, group, key, value), By(who, via))

    def apply(self, policy: Policy, who: str, via: str) -> None:
        """Make `policy` all that holds."""
        self.edit(lambda _: policy, By(who, via))

    def manage(self, policy: Policy, source: str) -> None:
        """What a file says holds, and nobody else changes it; what it names no longer goes. Where
        it says nothing at all any more, what it said stays, for people to change.

        Args:
            source: the file, as people know it.
        """
        held = self.held()
        named = documents(policy)
        mine = {entry for entry, manager in held.sources.items() if manager == source}
        gone = dict.fromkeys(mine - named.keys()) if named else {}
        managers = dict.fromkeys(named, source) or dict.fromkeys(mine, "")
        self.edit(
            lambda before: put(before, {**gone, **named}), By(source, "config"), managers=managers
        )

    def audit(self, group: str | None = None, before: int = 2**62, most: int = 100) -> list[Change]:
        """The last changes of the policy, newest first: of one group, or of all.

        Args:
            before: only those with a lower version.
        """
        with self.db.read() as tx:
            if group is None:
                where: tuple[object, ...] = ("kind <> 'rename' AND version < ?", before)
            else:
                where = ("kind = 'group' AND name = ? AND version < ?", group, before)
            return self.policies.changes(tx, *where, most=most)  # type: ignore[arg-type]

    def made_with(self, version: int) -> list[Change]:
        """A change, with all that were made in the same go; empty where there is none."""
        with self.db.read() as tx:
            found = self.policies.changes(tx, "kind <> 'rename' AND version = ?", version)
            if not found:
                return []
            one = found[0]
            return self.policies.changes(
                *(tx, "kind <> 'rename' AND at = ? AND who = ? AND via = ?"),
                *(one.at, one.by.who, one.by.via),
                most=100_000,
            )

    def undo(
        self, changes: Sequence[Change], by: By, may: Callable[[Policy, Policy], None]
    ) -> Held:
        """Make entries what they were before.

        Args:
            may: whether somebody may make the one policy into the other; raises if not.

        Raises:
            Conflict: an entry has been changed since.
            PolicyError: what was before can't hold any more, or a file manages it.
        """

        with self.db.write() as tx:
            tx.hold_policy(change=True)
            later = self._later(tx, changes)
            if later:
                raise Conflict(later.entry, later)
            before = self.policies.read(tx)
            after = undone(before, changes)
            may(before, after)
            self.replace(tx, after, by)
            return self.policies.held(tx)

    def later(self, changes: Iterable[Change]) -> Change | None:
        """What stands in the way of undoing changes: the last change of an entry that is not as
        they have left it any more."""
        with self.db.read() as tx:
            return self._later(tx, changes)

    def _later(self, tx: Transaction, changes: Iterable[Change]) -> Change | None:
        versions = self.policies.held(tx).versions
        for change in changes:
            if versions.get(change.entry) != change.version:
                last = self.policies.last(tx, change.entry)
                if last and last.after != change.after:
                    return last
        return None

    def replace(
        self,
        tx: Transaction,
        policy: Policy,
        by: By,
        managers: Mapping[Entry, str] | None = None,
    ) -> None:
        before, at = self.policies.read(tx), self.present(tx)
        self.policies.write(tx, policy, at, by, managers)
        self.moved(tx, before, policy, at)

    def moved(self, tx: Transaction, before: Policy, after: Policy, at: int) -> None:
        """What else is to happen when groups have moved in the tree."""

    def present(self, tx: Transaction) -> int:
        if self._clock:
            return self._clock()
        if not self.db.postgres:
            return now()
        # The start of the transaction would be from before the wait for a lock.
        row = tx.one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        assert row
        return int(row[0])
