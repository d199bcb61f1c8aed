"""What sets the ledger right: credits, and users who go by another name."""

from __future__ import annotations

from .changes import GROUP_ENTRY, renamed, user_renamed
from .ledger import Segment, credited, late, negative
from .policies import By
from .refusals import forget_refusals_of
from .sessions import GONE, find
from .storage import GROUP, USER
from .storage_looks import forget_names_in
from .store import QuotaStore
from .transaction import LedgerError


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
    before = name_of(store, number)
    if before == name:
        return
    with store.db.write() as tx:
        tx.run(
            "INSERT INTO person (hub, number, user_name) VALUES (?, ?, ?)"
            " ON CONFLICT (hub, number) DO UPDATE SET user_name = excluded.user_name",
            *(store.hub, number, name),
        )
        for theirs in (before, name):  # whoever has that name next is another person
            if theirs is not None:
                forget_names_in(tx, theirs)
                forget_refusals_of(tx, theirs)
    if before is not None:
        rename(store, before, name)


def rename(store: QuotaStore, old: str, new: str, group: bool = False) -> None:
    """A user, or a group, goes by another name from now on, and keeps its history.

    Raises:
        LedgerError: the new name has a history of its own.
    """
    column = "group_name" if group else "user_name"
    with store.db.write() as tx:
        tx.hold_policy(change=True)
        if tx.one(f"SELECT id FROM subject WHERE {column} = ?", new):  # noqa: S608
            raise LedgerError(f"'{new}' has a history of its own; '{old}' can't take its name.")
        tx.run(f"UPDATE subject SET {column} = ? WHERE {column} = ?", new, old)  # noqa: S608
        for table in ("session", "ask", "storage_charge"):
            tx.run(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", new, old)  # noqa: S608
        kind = GROUP if group else USER
        tx.run(
            "UPDATE storage_held SET name = ? WHERE kind = ? AND name = ? AND mount NOT IN"
            " (SELECT mount FROM storage_held WHERE kind = ? AND name = ?)",
            *(new, kind, old, kind, new),
        )
        held = store.policies.held(tx)
        if group:
            managers = {(GROUP_ENTRY, new): held.sources.get((GROUP_ENTRY, old), "")}
            after = renamed(held.policy, old, new)
        else:
            managers, after = {}, user_renamed(held.policy, old, new)
        store.replace(tx, after, By("hub", "rename"), managers)
        store.policies.note_rename(tx, old, new, store.present(tx))


def name_of(store: QuotaStore, number: int) -> str | None:
    """The name by which the ledger knows a user of this hub."""
    with store.db.read() as tx:
        sql = "SELECT user_name FROM person WHERE hub = ? AND number = ?"
        row = tx.one(sql, store.hub, number)
    return row[0] if row else None


def correct_end(store: QuotaStore, id: str, reason: str, at: int) -> bool:
    """A session ended at this instant, which the reconciler could not know when it closed it; False
    where somebody did know.

    Args:
        at: microseconds since 1970, UTC.
    """
    with store.db.write() as tx:
        found = find(tx, "id = ? AND closed_at IS NOT NULL AND reason = ?", id, GONE, change=True)
        if not found:
            return False
        session = found[0]
        assert session.closed_at is not None
        tx.lock(subject for charge in session.charges for subject in charge.subjects)
        before, after = session.closed_at, min(max(at, session.reserved_at), store.present(tx))
        for subject, segments in late(session.charges, *sorted((before, after))).items():
            for segment in segments:
                rates = segment.rates if after < before else negative(segment.rates)
                store.lay_over(tx, id, subject, Segment(segment.since, segment.until, rates))
        tx.run("UPDATE session SET closed_at = ?, reason = ? WHERE id = ?", after, reason, id)
        return True
