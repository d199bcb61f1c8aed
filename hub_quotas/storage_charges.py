"""What directories hold over time, and what that is charged to the ledger's subjects.

A directory is charged when a day is over, for the time since it was charged last. What it is
charged, and that it was, is one transaction: killed at any instant, and run by any number of
processes, it is charged once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from .costs import STORAGE_COST, month_of, print_month
from .ledger import Point, added
from .points import decode, encode
from .requests import Amounts
from .storage import GROUP, USER
from .storage_costs import Held, Stretch, charge, edges_between, price_of
from .store import QuotaStore
from .transaction import Row, Transaction

AT_ONCE = 100
"""Directories that are charged in one transaction: others can write after a few hundredths of a
second."""

_CHUNK = 400
_LAID = "storage"
"""In the place of a session, of what is laid over curves."""

Payer = Callable[[str, str], str]
"""The group that is charged for a directory, by its kind and name."""


def note(
    tx: Transaction, hub: str, mount: str, uses: Iterable[tuple[str, str, int]], at: int
) -> None:
    """What directories hold from an instant on; 0 for those that are no more.

    Args:
        hub: whose agent says so; its memberships say who is charged.
        uses: kind, name and bytes.
    """
    for kind in (USER, GROUP):  # others belong to nobody, and nobody is charged
        used = {name: amount for of, name, amount in uses if of == kind}
        names = sorted(used)
        for start in range(0, len(names), _CHUNK):
            _note(tx, hub, mount, kind, {name: used[name] for name in names[start:][:_CHUNK]}, at)


def _note(tx: Transaction, hub: str, mount: str, kind: str, used: dict[str, int], at: int) -> None:
    marks, lock = ", ".join("?" * len(used)), " FOR UPDATE" if tx.postgres else ""
    rows = tx.all(
        "SELECT name, used, at, since, held, owed FROM storage_held"  # noqa: S608
        f" WHERE kind = ? AND mount = ? AND name IN ({marks}){lock}",
        *(kind, mount, *used),
    )
    known = {name: _held(row) for name, *row in rows}
    for name, amount in used.items():
        before = known.get(name)
        if before is None and amount:
            tx.run(
                "INSERT INTO storage_held (kind, name, mount, hub, used, at, since, held, owed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, '0', '0')",
                *(kind, name, mount, hub, amount, at, at),
            )
        elif before is not None and before.used != amount:
            _keep(tx, (kind, name, mount), before.grown(at, amount))


def _held(row: Row) -> Held:
    used, at, since, held, owed = row
    return Held(used, at, since, int(held), int(owed))


def _keep(tx: Transaction, key: Sequence[str], held: Held) -> None:
    tx.run(
        "UPDATE storage_held SET used = ?, at = ?, since = ?, held = ?, owed = ?"
        " WHERE kind = ? AND name = ? AND mount = ?",
        *(held.used, held.at, held.since, str(held.held), str(held.owed), *key),
    )


def is_due(store: QuotaStore, day_began: int) -> bool:
    """Whether something was charged last before an instant. Blocks."""
    with store.db.read() as tx:
        sql = "SELECT 1 FROM storage_held WHERE hub = ? AND since < ? LIMIT 1"
        return tx.one(sql, store.hub, day_began) is not None


def charge_some(
    store: QuotaStore, payer: Payer, day_began: int, until: int, most: int = AT_ONCE
) -> int:
    """Charge directories of this hub that were charged last before an instant. Blocks.

    Args:
        until: up to when; the same for all, so that what a group's directories come to is one piece
            of its curve.

    Returns:
        How many; fewer than `most` where there are no more.
    """
    if store.db.postgres:
        with store.db.read() as tx:
            policy = store.policies.read(tx)
            rows = tx.all(_due(""), store.hub, day_began, most)
        groups = [(kind, name, payer(kind, name)) for kind, name, *_ in rows]
        names = [one for kind, name, g in groups for one in _subjects(kind, name, policy.path(g))]
        store.points.make_subjects(store.db, names)
    with store.db.write() as tx:
        tx.hold_policy()
        policy = store.policies.read(tx)
        # What another process charges at this moment is not waited for, it is done.
        lock = " FOR UPDATE SKIP LOCKED" if tx.postgres else ""
        rows = tx.all(_due(lock), store.hub, day_began, most)
        price_at = price_of(policy.prices, store.zone)
        cut: dict[tuple[int, int], list[int]] = {}
        laid: dict[tuple[int, int, int], list[Amounts]] = {}
        for kind, name, mount, *row in rows:
            held = _held(row)
            # The time is cut for all alike, but for one that was heard of in this very moment.
            span = (held.since, max(until, held.at))
            if span not in cut:
                cut[span] = edges_between(*span, policy.prices, store.zone)
            stretches, left = charge(held, cut[span], price_at)
            group = payer(kind, name)
            ids = store.points.subjects(tx, _subjects(kind, name, policy.path(group)))
            charged = [one for one in stretches if one.used or one.cost]
            for one in charged:
                for id in ids:
                    rates = {**one.amounts, STORAGE_COST: one.cost}
                    laid.setdefault((id, one.begin, one.end), []).append(rates)
            _remember(store, tx, (name if kind == USER else "", group, mount), ids, charged)
            if held.used or charged:
                _keep(tx, (kind, name, mount), left)
            else:  # empty or gone; less than a byte was left over
                tx.run(
                    "DELETE FROM storage_held WHERE kind = ? AND name = ? AND mount = ?",
                    *(kind, name, mount),
                )
        tx.lock(id for id, _, _ in laid)
        for place, amounts_of in sorted(laid.items()):
            _lay_over(store, tx, *place, added(amounts_of))
        return len(rows)


def _due(lock: str) -> str:
    return (
        "SELECT kind, name, mount, used, at, since, held, owed FROM storage_held"  # noqa: S608
        f" WHERE hub = ? AND since < ? ORDER BY kind, name, mount LIMIT ?{lock}"
    )


def _subjects(kind: str, name: str, path: Sequence[str]) -> list[tuple[str, str]]:
    """The member within the charged group, where it is a home; that group, and all above it."""
    member = [(name, path[0])] if kind == USER else []
    return [*member, *(("", group) for group in path)]


def _lay_over(
    store: QuotaStore, tx: Transaction, id: int, begin: int, end: int, rates: Amounts
) -> None:
    """What a subject's directories came to, on its curve. One piece for all of them, however many
    transactions they take: windows read each piece."""
    before = tx.one(
        "SELECT id, rates FROM overlay WHERE subject = ? AND until = ? AND since = ?"
        " AND session = ?",
        *(id, end, begin, _LAID),
    )
    if before:  # its number tells that something has changed, so it gets a new one
        tx.run("DELETE FROM overlay WHERE id = ?", before[0])
        rates = added([decode(before[1]), rates])
    elif not tx.one("SELECT 1 FROM point WHERE subject = ? LIMIT 1", id):
        store.points.write(tx, id, Point(0), Point(begin))  # a curve begins
    tx.run(
        "INSERT INTO overlay (subject, since, until, rates, session) VALUES (?, ?, ?, ?, ?)",
        *(id, begin, end, encode(dict(rates)), _LAID),
    )


def _remember(
    store: QuotaStore,
    tx: Transaction,
    about: tuple[str, str, str],
    ids: Sequence[int],
    charged: Iterable[Stretch],
) -> None:
    """For reports: a row for each month of a directory."""
    for one in charged:
        month = print_month(month_of(one.begin, store.zone))
        key = (*about, month, encode(list(ids)))
        row = tx.one(
            "SELECT pieces FROM storage_charge WHERE user_name = ? AND group_name = ?"
            " AND mount = ? AND month = ? AND subjects = ?",
            *key,
        )
        pieces = [*(decode(row[0]) if row else []), [one.begin, one.end, one.used, one.cost]]
        tx.run(
            "INSERT INTO storage_charge (user_name, group_name, mount, month, subjects, pieces)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (group_name, month, user_name, mount, subjects)"
            " DO UPDATE SET pieces = excluded.pieces",
            *(*key, encode(pieces)),
        )


@dataclass(frozen=True)
class Charged:
    """What a directory was charged in a month.

    Attributes:
        user: empty for the shared directory of a group.
        subjects: from the member (or the group itself) over the charged group up to the whole hub.
    """

    user: str
    group: str
    mount: str
    subjects: tuple[int, ...]
    stretches: tuple[Stretch, ...]


def charged_in(tx: Transaction, groups: Sequence[str], month: date) -> Iterator[Charged]:
    """What was charged to some groups in a month, directory by directory."""
    marks = ", ".join("?" * len(groups))
    rows = tx.each(
        "SELECT user_name, group_name, mount, subjects, pieces FROM storage_charge"  # noqa: S608
        f" WHERE group_name IN ({marks}) AND month = ? ORDER BY group_name, user_name, mount",
        *(*groups, print_month(month)),
    )
    for user, group, mount, subjects, pieces in rows:
        ids = decode(subjects)
        # A report looks for what is between the member and it; a shared directory has no member.
        whole = tuple(ids) if user else (ids[0], *ids)
        yield Charged(user, group, mount, whole, tuple(Stretch(*one) for one in decode(pieces)))
