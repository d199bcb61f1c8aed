"""Sessions in the database."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from .ledger import Charge
from .points import decode, encode
from .requests import Amounts
from .transaction import Row, Transaction

SESSION, ALLOWED = "quota_session", "quota_allowed"
"""Keys of a spawner's saved state: its session, and what the ledger has yet to hear of it."""

GONE = "gone"
"""The reason of a session's end that nobody saw."""

RESERVED, RUNNING, CLOSED, VOIDED = "reserved", "running", "closed", "voided"

_SESSIONS = (
    "SELECT id, hub, user_name, server_name, group_name, path, state, charges, reserved_at,"
    " started_at, seen_at, closed_at, reason, profile FROM session"
)


@dataclass(frozen=True)
class Session:
    """A server that is or was charged for.

    Attributes:
        id: its own, as users and servers can be renamed.
        path: the charged group and its ancestors, when it was reserved.
        charges: what it was charged for, and to which subjects, over time.
        profile: what its user chose it by; empty where there was nothing to choose.
        reserved_at, started_at, seen_at, closed_at: microseconds since 1970, UTC.
    """

    id: str
    hub: str
    user: str
    server: str
    group: str
    path: tuple[str, ...]
    state: str
    charges: tuple[Charge, ...]
    reserved_at: int
    started_at: int | None
    seen_at: int
    closed_at: int | None
    reason: str | None
    profile: str = ""

    @property
    def granted(self) -> Amounts:
        """What it holds, or held last."""
        return self.charges[-1].amounts


def new_id(at: int) -> str:
    """A session id: UUID version 7 (RFC 9562), so that later ones sort behind earlier ones."""
    random = int.from_bytes(os.urandom(10), "big")
    high = (at // 1000) << 16 | 0x7000 | random >> 68
    low = 0x8000000000000000 | random & 0x3FFFFFFFFFFFFFFF
    return f"{high << 64 | low:032x}"


def find(tx: Transaction, where: str, *values: object, change: bool = False) -> list[Session]:
    """The sessions for which a condition holds, oldest first.

    Args:
        change: they are going to be changed; until this transaction ends, by nobody else.
    """
    # Locks are taken in the order of ids, by everybody.
    order = "id FOR UPDATE" if change and tx.postgres else "reserved_at, id"
    rows = tx.all(f"{_SESSIONS} WHERE {where} ORDER BY {order}", *values)
    return [_session(row) for row in rows]


def insert(
    tx: Transaction,
    id: str,
    hub: str,
    user: str,
    server: str,
    group: str,
    path: tuple[str, ...],
    state: str,
    charge: Charge,
    seen_at: int,
    profile: str = "",
) -> None:
    """A session that begins with this charge."""
    tx.run(
        "INSERT INTO session (id, hub, user_name, server_name, group_name, path, state,"
        " charges, reserved_at, seen_at, profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(id, hub, user, server, group, encode(path), state),
        *(print_charges([charge]), charge.since, seen_at, profile),
    )


def print_charges(charges: Iterable[Charge]) -> str:
    return encode([[c.since, c.subjects, dict(c.amounts)] for c in charges])


def read_charges(text: str) -> tuple[Charge, ...]:
    return tuple(Charge(since, tuple(ids), amounts) for since, ids, amounts in decode(text))


def _session(row: Row) -> Session:
    id, hub, user, server, group, path, state, charges, *rest = row
    return Session(
        *(id, hub, user, server, group, _read_path(path), state, read_charges(charges)),
        *rest,
    )


@lru_cache(maxsize=1024)
def _read_path(text: str) -> tuple[str, ...]:
    """Of many sessions it is the same."""
    return tuple(decode(text))
