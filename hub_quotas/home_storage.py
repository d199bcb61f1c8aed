"""What my home and the shared directories of my groups hold, and may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .storage import Allowance, home_of, shared_of
from .storage_store import GROUP, USER, Directory, read_directories
from .store import QuotaStore

WARN_SHARE, FULL_SHARE = 0.8, 0.95


@dataclass(frozen=True)
class Shelf:
    """A directory, and the limit that says what it may hold.

    Attributes:
        allowance: as the policy has it; None where nothing limits it.
    """

    directory: Directory
    allowance: Allowance | None

    @property
    def left(self) -> int:
        """Bytes that can still be written."""
        return max(0, (self.directory.applied or 0) - self.directory.used)

    @property
    def to_free(self) -> int:
        """Bytes to delete before anything can be written again; 0 where it can be."""
        applied = self.directory.applied
        return 0 if applied is None else max(0, self.directory.used - applied)


def shelves(store: QuotaStore, user: str, groups: Sequence[str]) -> list[Shelf]:
    """Of a user and their groups, as agents have measured them; the home first. Blocks."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        home = home_of(policy, user, groups, at, store.zone)
        found = [Shelf(one, home) for one in read_directories(tx, USER, [user])]
        for one in read_directories(tx, GROUP, groups):
            found.append(Shelf(one, shared_of(policy, one.name, at, store.zone)))
        return found
