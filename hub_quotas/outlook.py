"""What the ledger says of what runs, and of how it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .limits import Limit
from .points import View
from .store import QuotaStore
from .watch import Course, Watched


def running(store: QuotaStore, known: Mapping[str, Watched]) -> dict[str, Watched]:
    """What runs or is about to, by session, with the limits that hold for it.

    Args:
        known: from an earlier call; what has not changed is handed on.
    """
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        rows = tx.all(
            "SELECT id, user_name, server_name, group_name, coalesce(started_at, reserved_at),"
            " used_at"
            " FROM session WHERE closed_at IS NULL"
        )
    found = {}
    for id, user, server, group, since, used in rows:
        limits = policy.limits_for(group, user, at, store.zone)
        old = known.get(id)
        used_at = used or None
        facts = (id, user, server, group, since, limits)
        if old is None or old.facts != facts:
            found[id] = Watched(*facts, used_at)
        else:
            found[id] = old if old.active_at == used_at else old.used(used_at)
    return found


def open_ids(store: QuotaStore) -> dict[str, str]:
    """The sessions of this hub that have not ended, with their users."""
    with store.db.read() as tx:
        sql = "SELECT id, user_name FROM session WHERE closed_at IS NULL AND hub = ?"
        return {row[0]: row[1] for row in tx.all(sql, store.hub)}


def courses(
    store: QuotaStore, wanted: Mapping[str, tuple[Limit, str]], shares: Sequence[float]
) -> dict[str, Course]:
    """How budgets go on from now, by `watch.place`.

    Args:
        shares: of each budget, rising, 1 the last.
    """
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        found = {}
        for name, (limit, user) in wanted.items():
            view = View(store.points, store.zone, tx, at)
            found[name] = view.course(policy, limit, user, shares)
        return found


class Fingerprint(NamedTuple):
    """Another one than before when something has changed that `running` or `courses` is about.

    Attributes:
        sessions: what runs.
        late, credits: the last late closing, the last credit.
        policy: its version.
    """

    sessions: tuple[Any, ...]
    late: int
    credits: int
    policy: int


def fingerprint(store: QuotaStore) -> Fingerprint:
    """Of this moment. Costs as much as there are open sessions."""
    with store.db.read() as tx:
        sessions = tx.one(
            "SELECT count(*), max(reserved_at), max(started_at), sum(length(charges)),"
            " sum(used_at / 1000000)"
            " FROM session WHERE closed_at IS NULL"
        )
        others = tx.one(
            "SELECT coalesce((SELECT max(id) FROM overlay), 0),"
            " coalesce((SELECT max(id) FROM correction), 0),"
            " coalesce((SELECT max(version) FROM policy_entry), 0)"
        )
    assert sessions and others
    return Fingerprint(tuple(sessions), *others)


def put_right(store: QuotaStore, since: Fingerprint) -> set[tuple[str, str]]:
    """The group and user (or '') of all subjects whose curves had late closings or credits."""
    with store.db.read() as tx:
        rows = tx.all(
            "SELECT group_name, user_name FROM subject WHERE id IN"
            " (SELECT subject FROM overlay WHERE id > ?"
            " UNION SELECT subject FROM correction WHERE id > ?)",
            *(since.late, since.credits),
        )
    return {(row[0], row[1]) for row in rows}


def time_of(store: QuotaStore) -> int:
    """The ledger's clock; microseconds since 1970, UTC."""
    with store.db.read() as tx:
        return store.present(tx)
