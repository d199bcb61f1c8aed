"""What sets the ledger right: credits, and users who go by another name."""

from __future__ import annotations

from .ledger import credited
from .store import QuotaStore


def adjust(
    store: QuotaStore, group: str, user: str, resource: str, amount: int, who: str, why: str
) -> None:
    """Take `amount` off what a member of a group has used, or the group itself (user `''`).

    Args:
        resource: as on the curve: `cpu`, `cost`.
        amount: amount x microseconds; negative to add. Counts in the windows that hold now.
    """
    store.policy()  # which also tells of renames
    store.points.make_subjects(store.db, [(user, group)])
    with store.db.write() as tx:
        (id,) = store.points.subjects(tx, [(user, group)])
        tx.lock([id])
        last = store.points.last(tx, id)
        at = store.points.stamp(store.present(tx), [last])
        store.points.write(tx, id, last, credited(last, at, resource, amount))
        tx.run(
            "INSERT INTO correction (subject, at, resource, amount, who, why)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *(id, at, resource, str(amount), who, why),
        )


def known_as(store: QuotaStore, number: int, name: str) -> None:
    """A user of this hub, by the hub's own number, has this name. If it was another one, the user
    was renamed, and keeps their history.

    Raises:
        LedgerError: the new name has a history of its own.
    """
    with store.db.read() as tx:
        sql = "SELECT user_name FROM person WHERE hub = ? AND number = ?"
        row = tx.one(sql, store.hub, number)
    if row and row[0] == name:
        return
    with store.db.write() as tx:
        tx.run(
            "INSERT INTO person (hub, number, user_name) VALUES (?, ?, ?)"
            " ON CONFLICT (hub, number) DO UPDATE SET user_name = excluded.user_name",
            *(store.hub, number, name),
        )
    if row:
        store.rename(row[0], name)
