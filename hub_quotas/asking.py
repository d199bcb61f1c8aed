"""Who asks for more, and the answers, each given once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from hub_groups.words import in_english

from .access import Access, NotAllowed, check_acts, check_changes, not_managed
from .boosts import Boost
from .decision import Use
from .limits import Limit
from .more import (
    ANSWERED,
    APPROVED,
    ASKED,
    DECLINED,
    OPEN,
    WITHDRAWN,
    Answered,
    Ask,
    NoSuchAsk,
    TooMany,
    Wanted,
    boost_for,
    boost_of,
    choices,
    chosen,
    granted,
    readable,
    say_answer,
    too_many,
    why_of,
)
from .notices import News, add
from .points import View
from .policies import By
from .policy import Policy
from .store import QuotaStore
from .transaction import Transaction
from .windows import DAY

MOST_A_DAY = 10
"""How often somebody can ask in 24 hours."""
MOST_SHOWN = 200

_ASKS = (
    "SELECT id, at, user_name, group_name, limit_key, amount, until, why, state,"
    " answered_at, answered_by, answer, given, given_until FROM ask"
)

SendTo = Iterable[tuple[str, str]]
"""(channel, address) of those who get something sent."""
Sees = Callable[[str], bool]
"""Whether somebody sees a group."""


class Asking:
    """Of one ledger."""

    def __init__(self, store: QuotaStore) -> None:
        self._store = store

    # -- who asks --------------------------------------------------------------------------------

    def check(self, user: str, groups: Sequence[str], wanted: Wanted) -> Boost:
        """What `ask` would ask for, without asking; raises PolicyError as it does, but for the
        reason."""
        with self._store.db.read() as tx:
            policy = self._store.policies.read(tx)
            return self._wanted(policy, user, groups, wanted, self._store.present(tx))

    def ask(
        self,
        user: str,
        groups: Sequence[str],
        wanted: Wanted,
        text: Callable[[Ask], str] = lambda _: "",
        send_to: SendTo = (),
    ) -> Ask:
        """Ask for more of a limit. What the user has asked of it before, and nobody has answered,
        is withdrawn.

        Args:
            groups: the user's.
            text: what those are told who get it sent.

        Raises:
            PolicyError: what is wanted can't be had.
            TooMany: they have asked MOST_A_DAY times in 24 hours.
        """
        wanted = replace(wanted, why=why_of(wanted))
        with self._store.db.write() as tx:
            tx.hold_policy(change=True)
            at = self._store.present(tx)
            more = self._wanted(self._store.policies.read(tx), user, groups, wanted, at)
            limit, until = more.limit, more.until.isoformat()
            self._brake(tx, user, at)
            tx.run(
                "INSERT INTO ask (at, user_name, group_name, limit_key, amount, until, why, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(at, user, limit.group, limit.key, limit.text, until, wanted.why, OPEN),
            )
            new, *older = _find(tx, "user_name = ? AND state = ? ORDER BY id DESC", user, OPEN)
            for old in older:
                if old.again(new):
                    _set(tx, replace(old, state=WITHDRAWN, answered_at=at, answered_by=user))
            self._send(tx, new, ASKED, "", text(new), send_to)
            return new

    def withdraw(self, id: int, access: Access) -> Ask:
        """Take back what somebody has asked themselves.

        Raises:
            NoSuchAsk: they have not.
            Answered: it was answered before.
        """
        check_acts(access)
        with self._store.db.write() as tx:
            tx.hold_policy(change=True)
            ask = _open(tx, id, lambda ask: ask.user == access.user)
            at = self._store.present(tx)
            return _set(tx, replace(ask, state=WITHDRAWN, answered_at=at, answered_by=access.user))

    def _wanted(
        self, policy: Policy, user: str, groups: Sequence[str], wanted: Wanted, at: int
    ) -> Boost:
        limit = chosen(choices(policy, groups), wanted)
        return boost_of(policy, limit, user, wanted, at, self._store.zone)

    def _brake(self, tx: Transaction, user: str, at: int) -> None:
        rows = tx.all(
            "SELECT at FROM ask WHERE user_name = ? AND at > ? ORDER BY at DESC LIMIT ?",
            *(user, at - DAY, MOST_A_DAY),
        )
        if len(rows) == MOST_A_DAY:
            raise TooMany(too_many(MOST_A_DAY, rows[-1][0] + DAY, at, self._store.zone))

    # -- who answers -----------------------------------------------------------------------------

    def approve(
        self,
        id: int,
        access: Access,
        by: By,
        amount: str = "",
        until: str = "",
        words: str = "",
        send_to: Callable[[Ask], SendTo] = lambda _: (),
    ) -> Ask:
        """Give what was asked for, or something else, as a boost that lapses by itself. Both in one
        transaction.

        Args:
            amount, until: where it is to be something else.
            words: to the user.

        Raises:
            NoSuchAsk, NotAllowed: it is not theirs to see, or to give.
            Answered: somebody was first.
            PolicyError: it can't be given.
        """
        words = readable(words, "words")
        with self._store.db.write() as tx:
            tx.hold_policy(change=True)
            policy = self._store.policies.read(tx)
            ask, at = _to_answer(tx, id, access, policy), self._store.present(tx)
            boost = boost_for(policy, ask, amount, until, at, self._store.zone)
            after = granted(policy, boost, at, self._store.zone)
            check_changes(access, policy, after)
            self._store.replace(tx, after, replace(by, why=words or ask.why))
            given = replace(
                ask, state=APPROVED, given=boost.limit.text, given_until=boost.until.isoformat()
            )
            return self._answer(tx, given, access, words, send_to)

    def decline(
        self,
        id: int,
        access: Access,
        words: str = "",
        send_to: Callable[[Ask], SendTo] = lambda _: (),
    ) -> Ask:
        """Say no.

        Args:
            words: to the user.

        Raises:
            NoSuchAsk, NotAllowed: it is not theirs to see, or to answer.
            Answered: somebody was first.
            PolicyError: the words can't be read.
        """
        words = readable(words, "words")
        with self._store.db.write() as tx:
            tx.hold_policy(change=True)
            ask = _to_answer(tx, id, access, self._store.policies.read(tx))
            return self._answer(tx, replace(ask, state=DECLINED), access, words, send_to)

    def _answer(
        self,
        tx: Transaction,
        ask: Ask,
        access: Access,
        words: str,
        send_to: Callable[[Ask], SendTo],
    ) -> Ask:
        at = self._store.present(tx)
        ask = _set(tx, replace(ask, answered_at=at, answered_by=access.user, answer=words))
        self._send(tx, ask, ANSWERED, ask.user, in_english(say_answer, ask), send_to(ask))
        return ask

    def _send(
        self, tx: Transaction, ask: Ask, kind: str, user: str, text: str, send_to: SendTo
    ) -> None:
        """As part of the transaction in which it happens, so that neither is without the other."""
        to = tuple(send_to)
        if to:
            at = self._store.present(tx)
            add(tx, News(f"{kind} {ask.id}", kind, user, ask.group, text, to), at, at)

    # -- what there is ---------------------------------------------------------------------------

    def of(self, user: str) -> list[Ask]:
        """What a user has asked, newest first; at most MOST_SHOWN."""
        with self._store.db.read() as tx:
            return _find(tx, "user_name = ? ORDER BY at DESC, id DESC LIMIT ?", user, MOST_SHOWN)

    def waiting(self, sees: Sees) -> list[Ask]:
        """What nobody has answered yet, of some groups, oldest first."""
        with self._store.db.read() as tx:
            return _of_groups(_find(tx, "state = ? ORDER BY at, id", OPEN), sees)

    def counts(self) -> dict[str, int]:
        """How many nobody has answered yet, by group; of what was answered nothing is read."""
        sql = "SELECT group_name, COUNT(*) FROM ask WHERE state = ? GROUP BY group_name"
        with self._store.db.read() as tx:
            return {str(name): int(count) for name, count in tx.all(sql, OPEN)}

    def to_answer(self, access: Access) -> int:
        """How many somebody can answer that nobody has."""
        counts, policy = self.counts(), self._store.policy()
        return sum(count for group, count in counts.items() if access.manages(policy, group))

    def answered(self, sees: Sees, days: int = 90) -> list[Ask]:
        """What was answered in the last days, of some groups, newest first."""
        where = "state = ? AND answered_at > ?"
        with self._store.db.read() as tx:
            since = self._store.present(tx) - days * DAY
            found = [ask for s in (APPROVED, DECLINED) for ask in _find(tx, where, s, since)]
        found.sort(key=lambda ask: (ask.answered_at or 0, ask.id), reverse=True)
        return _of_groups(found, sees)

    def use(self, wanted: Iterable[tuple[Limit, str]]) -> dict[tuple[Limit, str], Use]:
        """What counts now for limits, each for a user."""
        found: dict[tuple[Limit, str], Use] = {}
        views: dict[str, View] = {}
        with self._store.db.read() as tx:
            policy, at = self._store.policies.read(tx), self._store.present(tx)
            for limit, user in wanted:
                if user not in views:
                    views[user] = View(self._store.points, self._store.zone, tx, at)
                found[limit, user] = views[user].use(policy, limit, user)
        return found


def _of_groups(asks: Iterable[Ask], sees: Sees) -> list[Ask]:
    known: dict[str, bool] = {}
    for ask in asks:
        if ask.group not in known:
            known[ask.group] = sees(ask.group)
    return [ask for ask in asks if known[ask.group]]


def _to_answer(tx: Transaction, id: int, access: Access, policy: Policy) -> Ask:
    """What somebody may answer now.

    Raises:
        NoSuchAsk, NotAllowed, Answered: they may not.
    """
    ask = _open(tx, id, lambda ask: access.sees(policy, ask.group))
    check_acts(access)
    if not access.manages(policy, ask.group):
        raise NotAllowed(not_managed(ask.group))
    return ask


def _open(tx: Transaction, id: int, theirs: Callable[[Ask], bool]) -> Ask:
    ask = next(iter(_find(tx, "id = ?", id)), None)
    if ask is None or not theirs(ask):
        raise NoSuchAsk
    if ask.state != OPEN:
        raise Answered(ask)
    return ask


def _find(tx: Transaction, where: str, *values: object) -> list[Ask]:
    return [Ask(*row) for row in tx.all(f"{_ASKS} WHERE {where}", *values)]


def _set(tx: Transaction, ask: Ask) -> Ask:
    tx.run(
        "UPDATE ask SET state = ?, answered_at = ?, answered_by = ?, answer = ?, given = ?,"
        " given_until = ? WHERE id = ?",
        *(ask.state, ask.answered_at, ask.answered_by, ask.answer, ask.given, ask.given_until),
        ask.id,
    )
    return ask
