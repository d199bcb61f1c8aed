"""Who has more room in their home for a while, since it is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .rescue import Rescue, is_full, rescue_of
from .storage import USER, enforced, home_of
from .storage_store import Directory, only_grows, read_directories
from .store import QuotaStore
from .transaction import Transaction


def rescue_for(store: QuotaStore, user: str, groups: Sequence[str]) -> Rescue | None:
    """More room for somebody whose home is full, from now on; None where it is not. Blocks.

    Args:
        groups: theirs, without those above; none for somebody in no group.
    """
    with store.db.read() as tx:  # of nearly all, it is not: nothing is written then
        if not _full(store, tx, user, groups):
            return None
    with store.db.write() as tx:
        found = _full(store, tx, user, groups)
        if not found:
            return None
        fullest, limit = found
        rescue = rescue_of(fullest.used or 0, limit, read_rescue(tx, user), store.present(tx))
        if only_grows(tx, fullest.mount):  # it would keep the room, and be given more tomorrow
            rescue = replace(rescue, amount=fullest.applied or limit)
        tx.run(
            "INSERT INTO storage_rescue (user_name, amount, since, until) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (user_name) DO UPDATE SET amount = excluded.amount,"
            " since = excluded.since, until = excluded.until",
            *(user, rescue.amount, rescue.since, rescue.until),
        )
        return rescue


def is_emptied(store: QuotaStore, user: str, groups: Sequence[str], rescue: Rescue) -> bool | None:
    """Whether the home turns out not to be full any more; the rescue has ended then. Blocks.

    What an agent has said last may be half a minute old. It measures a home anew when it sets its
    limit: None until it has.
    """
    with store.db.read() as tx:
        homes = read_directories(tx, USER, [user])
        if any(one.applied is not None and one.applied < rescue.amount for one in homes):
            return None
        if _full(store, tx, user, groups):
            return False
    with store.db.write() as tx:
        tx.run("UPDATE storage_rescue SET until = ? WHERE user_name = ?", store.present(tx), user)
    return True


def _full(
    store: QuotaStore, tx: Transaction, user: str, groups: Sequence[str]
) -> tuple[Directory, int] | None:
    """The fullest of somebody's homes that is full, and its limit without a rescue."""
    homes = [one for one in read_directories(tx, USER, [user]) if one.applied is not None]
    if not homes:
        return None
    at, fullest = store.present(tx), max(homes, key=lambda one: one.used or 0)
    allowance = home_of(store.policies.read(tx), user, groups, at, store.zone)
    if allowance is None or fullest.used is None:
        return None
    own = enforced(allowance.limit, fullest.above, at)
    limit = fullest.applied if only_grows(tx, fullest.mount) else own
    return (fullest, own) if is_full(fullest.used, limit) else None


def read_rescue(tx: Transaction, user: str, at: int = 0) -> Rescue | None:
    """Somebody's last one.

    Args:
        at: the instant at which it has not ended; else it may have.
    """
    row = tx.one(
        "SELECT amount, since, until FROM storage_rescue WHERE user_name = ? AND until > ?",
        *(user, at),
    )
    return Rescue(*row) if row else None


def rescued(tx: Transaction, at: int) -> dict[str, int]:
    """Who has more room at an instant: bytes, by user."""
    rows = tx.all("SELECT user_name, amount FROM storage_rescue WHERE until > ?", at)
    return {user: int(amount) for user, amount in rows}
