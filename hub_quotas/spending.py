"""What groups and members cost now, this month, and at its end: look-ups on their curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .costs import COST, STORAGE_COST, WEEK, Spending, forecast
from .history import AT_ONCE, names_below
from .limits import STORAGE
from .points import View
from .sessions import Session, find
from .store import QuotaStore
from .transaction import Transaction
from .windows import Calendar, period

_GROUPS = "SELECT group_name, id FROM subject WHERE user_name = '' AND group_name IN ({0})"

Credits = Mapping[int, Sequence[tuple[int, int]]]
"""(at, amount) by subject."""


def spending_of(store: QuotaStore, groups: Sequence[str]) -> dict[str, Spending]:
    """What groups cost, each with all below it; WHOLE_HUB is one too."""
    if not groups:
        return {}
    with store.db.read() as tx:
        view = View(store.points, store.zone, tx, store.present(tx))
        credits = _credits(tx, view.at - WEEK)
        rows = tx.all(_GROUPS.format(", ".join("?" * len(groups))), *groups)
        ids = {row[0]: row[1:] for row in rows}
        return {g: _spending(store, tx, view, ids.get(g, ()), credits) for g in groups}


def member_spending(store: QuotaStore, group: str, users: Sequence[str]) -> dict[str, Spending]:
    """What members of a group cost in it and in what is below it now."""
    with store.db.read() as tx:
        policy = store.policies.read(tx)
        view = View(store.points, store.zone, tx, store.present(tx))
        credits = _credits(tx, view.at - WEEK)
        found = {}
        for user in users:
            rows = tx.all("SELECT id, group_name FROM subject WHERE user_name = ?", user)
            ids = [id for id, name in rows if group in policy.path(name)]
            found[user] = _spending(store, tx, view, ids, credits)
        return found


def members_of(store: QuotaStore, group: str) -> list[str]:
    """All who were ever charged in a group or in what is below it now, by name."""
    with store.db.read() as tx:
        users: set[str] = set()
        for names, marks in _below(store, tx, group):
            rows = tx.all(
                "SELECT DISTINCT user_name FROM subject"  # noqa: S608
                f" WHERE group_name IN ({marks}) AND user_name <> ''",
                *names,
            )
            users.update(row[0] for row in rows)
    return sorted(users)


def _below(store: QuotaStore, tx: Transaction, group: str) -> Iterator[tuple[list[str], str]]:
    """The names of a group and of all below it, some after the other, each time with as many
    question marks."""
    names = names_below(tx, store.policies.read(tx), group)
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        yield some, ", ".join("?" * len(some))


def _spending(
    store: QuotaStore, tx: Transaction, view: View, ids: Iterable[int], credits: Credits
) -> Spending:
    """A few look-ups for each subject: now, a week ago, at the month's begin. Storage is known up
    to the last midnight, and looked ahead from there."""
    begin, end = period(Calendar("month"), view.at, store.zone)
    today, _ = period(Calendar("day"), view.at, store.zone)
    week, stored_week = view.at - WEEK, today - WEEK
    rate = so_far = recent = stored = storage = recent_storage = 0
    first, first_stored = view.at, today
    for id in ids:
        late = view.late(id, min(begin, stored_week))  # once for all spans
        stored += view.between(id, STORAGE, begin, view.at)
        storage += view.between(id, STORAGE_COST, begin, view.at)
        recent -= view.between(id, STORAGE_COST, week, view.at)
        recent_storage += view.between(id, STORAGE_COST, stored_week, today)
        first_stored = min([first_stored, *(s.since for s in late if STORAGE in s.rates)])
        rate += view.last(id).rate.get(COST, 0)
        so_far += view.between(id, COST, begin, view.at)
        recent += view.between(id, COST, week, view.at)
        recent += sum(amount for at, amount in credits.get(id, ()) if at <= view.at)
        if view.last(id, week).at:
            first = min(first, week)
        elif row := tx.one("SELECT min(at) FROM point WHERE subject = ?", id):
            first = min(
                [first, row[0] or first, *(s.since for s in late if STORAGE not in s.rates)]
            )
    total = forecast(so_far - storage, recent, view.at - max(first, week), end - view.at)
    length = today - max(first_stored, stored_week)
    total += forecast(storage, recent_storage, length, end - today)
    return Spending(rate, so_far, total, stored, storage)


def spending_of_user(store: QuotaStore, user: str) -> Spending:
    """What a user costs, in all groups."""
    with store.db.read() as tx:
        view = View(store.points, store.zone, tx, store.present(tx))
        ids = [row[0] for row in tx.all("SELECT id FROM subject WHERE user_name = ?", user)]
        return _spending(store, tx, view, ids, _credits(tx, view.at - WEEK))


def _credits(tx: Transaction, since: int) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for subject, at, amount in tx.all(
        "SELECT subject, at, amount FROM correction WHERE resource = ? AND at > ?", COST, since
    ):
        found.setdefault(subject, []).append((at, int(amount)))
    return found


@dataclass(frozen=True)
class Running:
    """A server that costs something now.

    Attributes:
        rate: micro-currency per hour.
    """

    session: Session
    rate: int


def running_costs(store: QuotaStore, group: str) -> list[Running]:
    """What runs in a group and below it, dearest first."""
    with store.db.read() as tx:
        sessions = [
            session
            for names, marks in _below(store, tx, group)
            for session in find(tx, f"closed_at IS NULL AND group_name IN ({marks})", *names)
        ]
    found = [Running(session, session.granted.get(COST, 0)) for session in sessions]
    return sorted(found, key=lambda running: (-running.rate, running.session.user))
