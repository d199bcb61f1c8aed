"""How the ledger is doing, in a few counts; and what members use who have servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .limits import MEMBER
from .notices import MOST_ATTEMPTS
from .overview import Used
from .points import View
from .requests import Amounts
from .store import QuotaStore


@dataclass(frozen=True)
class Vitals:
    """What can be counted at one instant.

    Attributes:
        sessions: that have not ended, by hub and state.
        asks: that wait for an answer.
        unsent: notices that are still to be sent, by channel.
        undeliverable: notices that nobody tries to send any more, by channel.
        enforced: whether some process acts on limits.
    """

    sessions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    asks: int = 0
    unsent: Mapping[str, int] = field(default_factory=dict)
    undeliverable: Mapping[str, int] = field(default_factory=dict)
    enforced: bool = False


def vitals(store: QuotaStore) -> Vitals:
    """Of this moment. Blocks."""
    with store.db.read() as tx:
        sessions = tx.all(
            "SELECT hub, state, count(*) FROM session WHERE closed_at IS NULL GROUP BY hub, state"
        )
        asks = tx.one("SELECT count(*) FROM ask WHERE state = 'open'")
        sending = tx.all(
            "SELECT channel, sum(CASE WHEN attempts < ? THEN 1 ELSE 0 END), count(*)"
            " FROM delivery WHERE sent_at IS NULL GROUP BY channel",
            MOST_ATTEMPTS,
        )
        lease = tx.one("SELECT until FROM lease WHERE name = 'enforcer'")
        assert asks
        return Vitals(
            {(hub, state): count for hub, state, count in sessions},
            asks[0],
            {channel: int(tried) for channel, tried, _ in sending},
            {channel: count - int(tried) for channel, tried, count in sending},
            bool(lease and lease[0] > store.present(tx)),
        )


@dataclass(frozen=True)
class MemberUse:
    """What a member who has a server uses.

    Attributes:
        use: amounts in use now, by charged group.
        limits: those for each member that hold for them, of their groups and of those above.
    """

    user: str
    use: Mapping[str, Amounts]
    limits: tuple[Used, ...]


def member_use(store: QuotaStore) -> list[MemberUse]:
    """Of all who have servers now. Blocks, a millisecond for each."""
    with store.db.read() as tx:
        policy, at = store.policies.read(tx), store.present(tx)
        charged_to: dict[str, dict[str, int]] = {}
        for user, group, id in tx.all(
            "SELECT DISTINCT s.user_name, s.group_name, u.id FROM session s JOIN subject u"
            " ON u.user_name = s.user_name AND u.group_name = s.group_name"
            " WHERE s.closed_at IS NULL ORDER BY 1, 2"
        ):
            charged_to.setdefault(user, {})[group] = id
        found = []
        for user, charged in charged_to.items():
            view = View(store.points, store.zone, tx, at)
            use = {group: view.last(id).rate for group, id in charged.items()}
            limits = dict.fromkeys(
                limit
                for group in charged
                for limit in policy.limits_for(group, user, at, store.zone)
                if limit.scope == MEMBER
            )
            used = [Used(one, view.use(policy, one, user).used or 0) for one in limits]
            found.append(MemberUse(user, use, tuple(used)))
        return found
