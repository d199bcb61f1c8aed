"""What people were told, what is to be sent to them, and which servers are to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .store import QuotaStore
from .transaction import Row, Transaction
from .watch import SHARE, Order

LEASE = 10 * 10**6
"""Microseconds for which one process is the enforcer of a ledger, unless it says so again."""

SHOWN = 24 * 3600 * 10**6
"""Microseconds for which people are told that a server was stopped."""

MOST_ATTEMPTS = 12
_NOTICES = "SELECT id, at, kind, user_name, group_name, text, over_at, stem FROM notice"


@dataclass(frozen=True)
class Told:
    """A notice as it was told.

    Attributes:
        user: empty where it is for a whole group.
        over_at: since when it is true no more; None while it is.
    """

    id: int
    at: int
    kind: str
    user: str
    group: str
    text: str
    over_at: int | None


@dataclass(frozen=True)
class News:
    """Something to tell.

    Attributes:
        stem: what it is about; of each, one at most is true at a time.
        user: empty where it is for a whole group.
        send_to: (channel, address) of those who get it sent too.
    """

    stem: str
    kind: str
    user: str
    group: str
    text: str
    send_to: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Mail:
    """A notice that is to be sent to somebody."""

    notice: Told
    channel: str
    address: str
    attempts: int


class Notices:
    """Of one ledger."""

    def __init__(self, store: QuotaStore) -> None:
        self._store = store

    # -- the enforcer's lease --------------------------------------------------------------------

    def lead(self, holder: str) -> bool:
        """Whether `holder` is the one enforcer of this ledger, for as long as LEASE from now."""
        with self._store.db.write() as tx:
            at = self._store.present(tx)
            count = tx.run(
                "INSERT INTO lease (name, holder, until) VALUES ('enforcer', ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
                " WHERE lease.holder = excluded.holder OR lease.until < ?",
                *(holder, at + LEASE, at),
            )
            return count > 0

    def step_down(self, holder: str) -> None:
        """The next one need not wait."""
        with self._store.db.write() as tx:
            tx.run("DELETE FROM lease WHERE name = 'enforcer' AND holder = ?", holder)

    # -- notices -----------------------------------------------------------------------------

    def open_stems(self) -> set[str]:
        """What was told and is still true of servers and budgets, by `watch.Notice.stem`."""
        sql = (
            "SELECT stem FROM notice WHERE over_at IS NULL AND kind <> 'stopped'"
            " AND kind <> 'storage'"
        )
        with self._store.db.read() as tx:
            return {row[0] for row in tx.all(sql)}

    def open_of(self, kind: str) -> set[str]:
        """The stems of what was told of a kind, and is still true."""
        sql = "SELECT stem FROM notice WHERE over_at IS NULL AND kind <> 'stopped' AND kind = ?"
        with self._store.db.read() as tx:
            return {row[0] for row in tx.all(sql, kind)}

    def tell(
        self,
        stem: str,
        kind: str,
        user: str,
        group: str,
        text: str,
        send_to: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Tell something, unless it was told and is still true.

        Args:
            send_to: (channel, address) of those who get it sent too.
        """
        with self._store.db.write() as tx:
            at = self._store.present(tx)
            if tx.one("SELECT id FROM notice WHERE stem = ? AND over_at IS NULL", stem):
                return False
            add(tx, News(stem, kind, user, group, text, tuple(send_to)), at)
            return True

    def over(self, stems: Iterable[str]) -> None:
        """These are true no more."""
        with self._store.db.write() as tx:
            _over(tx, stems, self._store.present(tx))

    def tell_all(self, news: Iterable[News], over: Iterable[str]) -> None:
        """Tell what was not told yet, and that some stems are true no more, at once."""
        with self._store.db.write() as tx:
            at = self._store.present(tx)
            _over(tx, over, at)
            for one in news:
                sql = "SELECT id FROM notice WHERE stem = ? AND over_at IS NULL"
                if not tx.one(sql, one.stem):
                    add(tx, one, at)

    def of(self, user: str, groups: Sequence[str], since: int) -> list[Told]:
        """What a user is told now, newest first: their own notices, and those of whole groups.

        Args:
            groups: the user's, with their ancestors.
            since: not that servers were stopped before this; microseconds since 1970, UTC.
        """
        marks = ", ".join("?" for _ in groups) or "''"
        with self._store.db.read() as tx:
            rows = _current(
                tx,
                since,
                f"(user_name = ? OR (user_name = '' AND group_name IN ({marks})))",
                *(user, *groups),
            )
        return _shown(rows[:20])

    def current(self, since: int) -> list[Told]:
        """All that anybody is told now, newest first."""
        with self._store.db.read() as tx:
            return _shown(_current(tx, since, "1 = 1"))

    # -- what is sent ------------------------------------------------------------------------

    def to_send(self, most: int = 100) -> list[Mail]:
        """What is due to be sent now. Taken: not due again for a while, if it is not `sent`."""
        with self._store.db.write() as tx:
            at = self._store.present(tx)
            rows = tx.all(
                "SELECT n.id, n.at, n.kind, n.user_name, n.group_name, n.text, n.over_at,"
                " d.channel, d.address, d.attempts FROM delivery d JOIN notice n ON n.id = d.notice"
                " WHERE d.sent_at IS NULL AND d.next_at <= ? AND d.attempts < ?"
                " ORDER BY n.id LIMIT ?",
                *(at, MOST_ATTEMPTS, most),
            )
            mine = []
            for row in rows:
                mail = Mail(Told(*row[:7]), *row[7:])
                later = at + 10**6 * min(3600, 15 * 2**mail.attempts)
                mine += [mail] * tx.run(  # none, where another process was first
                    "UPDATE delivery SET attempts = attempts + 1, next_at = ?"
                    " WHERE notice = ? AND channel = ? AND address = ? AND attempts = ?",
                    *(later, mail.notice.id, mail.channel, mail.address, mail.attempts),
                )
            return mine

    def sent(self, mail: Mail) -> None:
        with self._store.db.write() as tx:
            tx.run(
                "UPDATE delivery SET sent_at = ? WHERE notice = ? AND channel = ? AND address = ?",
                *(self._store.present(tx), mail.notice.id, mail.channel, mail.address),
            )

    # -- orders to stop ----------------------------------------------------------------------

    def orders(self) -> dict[str, Order]:
        """Those that stand, by session."""
        with self._store.db.read() as tx:
            return _orders(tx)

    def set_orders(self, wanted: Iterable[Order], old: Mapping[str, Order]) -> None:
        """Make these all the orders that stand, instead of those that stood."""
        new = {order.session: order for order in wanted}
        if old == new:
            return
        with self._store.db.write() as tx:
            for session in old.keys() - new.keys():
                tx.run("DELETE FROM stop_order WHERE session = ?", session)
            for session, order in sorted(new.items()):
                if order != old.get(session):
                    tx.run(
                        "INSERT INTO stop_order (session, at, why) SELECT id, ?, ? FROM session"
                        " WHERE id = ? AND closed_at IS NULL"
                        " ON CONFLICT (session) DO UPDATE SET at = excluded.at, why = excluded.why",
                        *(order.at, order.cause, session),
                    )

    def due(self, hub: str) -> tuple[list[tuple[Order, str, str]], int | None]:
        """The orders of a hub that are due, each with user and server; and when the next one is, of
        any hub."""
        with self._store.db.read() as tx:
            at = self._store.present(tx)
            due = tx.all(
                "SELECT o.session, o.at, o.why, s.user_name, s.server_name FROM stop_order o"
                " JOIN session s ON s.id = o.session"
                " WHERE o.at <= ? AND s.hub = ? AND s.closed_at IS NULL"
                " ORDER BY o.at, s.reserved_at",
                *(at, hub),
            )
            following = tx.one("SELECT min(at) FROM stop_order WHERE at > ?", at)
        assert following
        return [(Order(*row[:3]), row[3], row[4]) for row in due], following[0]


def add(tx: Transaction, news: News, at: int, over_at: int | None = None) -> None:
    """Tell something as part of a transaction in which it happens.

    Args:
        over_at: `at` for what is only sent, and stands on no page.
    """
    tx.run(
        "INSERT INTO notice (stem, at, kind, user_name, group_name, text, over_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(news.stem, at, news.kind, news.user, news.group, news.text, over_at),
    )
    row = tx.one("SELECT max(id) FROM notice WHERE stem = ?", news.stem)
    assert row
    for channel, address in news.send_to:
        tx.run(
            "INSERT INTO delivery (notice, channel, address, next_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            *(row[0], channel, address, at),
        )


def _over(tx: Transaction, stems: Iterable[str], at: int) -> None:
    for stem in stems:
        tx.run("UPDATE notice SET over_at = ? WHERE stem = ? AND over_at IS NULL", at, stem)


def _current(tx: Transaction, since: int, where: str, *values: object) -> list[Row]:
    """What is true now or was a stop since an instant, newest first: as much as that is, however
    much there was before."""
    rows = tx.all(
        f"{_NOTICES} WHERE over_at IS NULL AND kind <> 'stopped' AND {where}"
        f" UNION ALL {_NOTICES} WHERE kind = 'stopped' AND at >= ? AND {where}",
        *(*values, since, *values),
    )
    return sorted(rows, key=lambda row: (row[1], row[0]), reverse=True)


def _orders(tx: Transaction) -> dict[str, Order]:
    rows = tx.all("SELECT session, at, why FROM stop_order ORDER BY session")
    return {row[0]: Order(*row) for row in rows}


def _shown(rows: Iterable[Row]) -> list[Told]:
    """Of warnings about one budget or directory only the highest share."""
    found: dict[str, Row] = {}
    shares: dict[str, float] = {}
    for row in rows:
        about = row[7]
        if about.startswith((f"{SHARE} ", "storage ")):
            _, share, about = about.split(" ", 2)
            if float(share) < shares.get(about, 0):
                continue
            shares[about] = float(share)
        found[about] = row
    newest_first = sorted(found.values(), key=lambda row: (row[1], row[0]), reverse=True)
    return [Told(*row[:7]) for row in newest_first]
