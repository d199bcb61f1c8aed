"""The last servers that somebody was refused, for when they ask for help. No more than a few."""

from __future__ import annotations

from dataclasses import dataclass

from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY

KEEP = 14 * DAY
"""Microseconds after which a refusal is forgotten."""
MOST = 5
"""How many are kept of one user."""
AGAIN = 60 * 10**6
"""Microseconds within which the same refusal is kept once."""


@dataclass(frozen=True)
class Refusal:
    """That a server did not start.

    Attributes:
        at: microseconds since 1970, UTC.
        server: its name; empty for the default one.
        code: the stable code of the reason: `quota-budget`.
        why: which limit refused, in English; empty where the code says it all.
    """

    at: int
    server: str
    code: str
    why: str


def note_refusal(
    store: QuotaStore, id: str, user: str, server: str, code: str, why: str = ""
) -> None:
    """Keep one, and no more than the last MOST of this user. The same id again changes nothing, nor
    does the same refusal AGAIN: who tries on and on costs no more than a look. Blocks."""
    last = next(iter(last_refusals(store, user)), None)
    if last and (last.server, last.code, last.why) == (server, code, why):
        with store.db.read() as tx:
            if store.present(tx) - last.at < AGAIN:
                return
    with store.db.write() as tx:
        tx.run(
            "INSERT INTO refusal (id, at, hub, user_name, server_name, code, why)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            *(id, store.present(tx), store.hub, user, server, code, why),
        )
        tx.run(
            "DELETE FROM refusal WHERE user_name = ? AND id NOT IN"
            " (SELECT id FROM refusal WHERE user_name = ? ORDER BY at DESC, id DESC LIMIT ?)",
            *(user, user, MOST),
        )


def last_refusals(store: QuotaStore, user: str) -> list[Refusal]:
    """Those of a user that are kept, the last one first. Blocks."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT at, server_name, code, why FROM refusal WHERE user_name = ? AND at >= ?"
            " ORDER BY at DESC, id DESC",
            *(user, store.present(tx) - KEEP),
        )
    return [Refusal(*row) for row in rows]


def forget_refusals(tx: Transaction, at: int) -> None:
    """What is too long ago."""
    tx.run("DELETE FROM refusal WHERE at < ?", at - KEEP)


def forget_refusals_of(tx: Transaction, user: str) -> None:
    """All of one user."""
    tx.run("DELETE FROM refusal WHERE user_name = ?", user)
