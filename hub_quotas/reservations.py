"""What runs beside the hub (Dask clusters, builds, jobs) on the same ledger, under the same limits.

A reservation is a session that is held by whoever asked for it, not by a hub. It ends when its
holder says so, or when it was not renewed in time: a holder that crashed leaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .decision import Answer, Decision
from .notices import Notices
from .outlook import time_of
from .points import FOR_EVER
from .requests import Amounts, Request
from .sessions import Session, find
from .store import SEEN, QuotaStore
from .usage import SERVICE

LASTS = 10 * 60 * 10**6
"""Microseconds from the last renewal until a reservation ends by itself."""


class NoReservation(LookupError):
    """There is none of that id that its owner holds.

    Attributes:
        why: for one that is over, what ended it.
    """

    def __init__(self, id: str, why: str = "") -> None:
        super().__init__(id)
        self.why = why


class Taken(ValueError):
    """The id stands for something else already, or for a reservation that is over."""


def _held_by(store: QuotaStore, owner: str) -> str:
    """Hubs that share a ledger may have services of the same name."""
    return f"{SERVICE}{store.hub}:{owner}"


def hold(
    store: QuotaStore,
    owner: str,
    id: str,
    user: str,
    name: str,
    groups: Sequence[str],
    request: Request | Amounts,
) -> Answer:
    """Charge the first of `groups` that admits `request`, as for a server.

    The same id again is answered as the first time, and charged once.

    Raises:
        Taken: the id is not the owner's to use.
        LedgerError: the ledger can't be used.
    """
    answer = store.reserve(id, user, name, groups, request, hub=_held_by(store, owner))
    session = store.session(id)
    if session and (session.hub != _held_by(store, owner) or session.closed_at):
        raise Taken(id)
    return answer


def find_held(store: QuotaStore, owner: str, id: str) -> Session:
    """A reservation that an owner holds.

    Raises:
        NoReservation: there is none, or none any more.
    """
    session = store.session(id)
    if session is None or session.hub != _held_by(store, owner):
        raise NoReservation(id)
    if session.closed_at:
        raise NoReservation(id, session.reason or "")
    return session


def renew(
    store: QuotaStore, owner: str, id: str, request: Request | Amounts | None = None
) -> Decision | None:
    """Hold a reservation for another LASTS, and for other amounts where they are admitted.

    Returns what was decided about other amounts: where they are refused, it goes on as it was.

    Raises:
        NoReservation: there is none, or none any more.
    """
    find_held(store, owner, id)
    store.seen({id: time_of(store)})
    if request is None:
        return None
    decision = store.amend(id, request)
    if decision is None:
        raise NoReservation(id)
    return decision


def release(store: QuotaStore, owner: str, id: str, reason: str = "released") -> None:
    """End a reservation now. Nothing where it is over already.

    Raises:
        NoReservation: it never was the owner's.
    """
    session = store.session(id)
    if session is None or session.hub != _held_by(store, owner):
        raise NoReservation(id)
    store.close_session(id, reason)


def stops(store: QuotaStore, ids: Iterable[str]) -> dict[str, int]:
    """When limits end these, where they do within minutes; microseconds since 1970, UTC."""
    orders = Notices(store).orders()
    return {id: orders[id].at for id in ids if id in orders}


def stop_due(store: QuotaStore) -> list[Session]:
    """End what a limit stops, as of the instant that was computed; returns that. Who holds it hears
    of it at the next renewal."""
    with store.db.read() as tx:
        held, present = (
            find(tx, "closed_at IS NULL AND hub LIKE ?", f"{SERVICE}%"),
            store.present(tx),
        )
    at = stops(store, (session.id for session in held))
    due = [session for session in held if at.get(session.id, FOR_EVER) <= present]
    return [s for s in due if store.close_session(s.id, "stopped", at[s.id])]


def of(store: QuotaStore, owner: str) -> list[Session]:
    """What an owner holds, oldest first."""
    with store.db.read() as tx:
        return find(tx, "closed_at IS NULL AND hub = ?", _held_by(store, owner))


def expire(store: QuotaStore, lasts: int = LASTS) -> list[Session]:
    """End what was not renewed in time, as of when it was renewed last; returns that.

    Args:
        lasts: microseconds from the last renewal.
    """
    with store.db.read() as tx:
        over = find(
            tx,
            "closed_at IS NULL AND hub LIKE ? AND seen_at <= ?",
            *(f"{SERVICE}%", store.present(tx) - lasts),
        )
    return [s for s in over if store.close_session(s.id, "expired", SEEN)]
