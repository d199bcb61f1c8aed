"""What I use and may use, for programs."""

from __future__ import annotations

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation

from .access import Who
from .decision import Check, Decision
from .desk import QuotaRest


class LimitUse(Model):
    """One limit and what is used of it."""

    group: str = Field(description="The group that sets it")
    limit: str = Field(description="Its key, such as member.cpu-hours")
    amount: str = Field(description="As in a policy: 40 per 7d")
    used: str = Field(description="In the same unit")


class MyGroup(Model):
    """What one of my groups lets me use."""

    group: str
    limits: list[LimitUse]


class Me(Model):
    """What I may use."""

    user: str
    groups: list[MyGroup]


def limit_use(check: Check) -> LimitUse:
    limit = check.limit
    return LimitUse(
        group=limit.group, limit=limit.key, amount=limit.text, used=limit.kind.format(check.used)
    )


async def _me(handler: QuotaRest, _query: Nothing, _body: None) -> Me:
    mine: list[Decision] = await handler.ledger(
        handler.store.explain, handler.user, list(handler.access.groups), {}
    )
    groups = [
        MyGroup(group=decision.group, limits=[limit_use(check) for check in decision.checks])
        for decision in mine
    ]
    return Me(user=handler.user, groups=groups)


OPERATIONS = (
    Operation("GET", "/me", Who.USER, "What I may use, and have used", _me, Me, tag="me"),
)
