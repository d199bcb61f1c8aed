"""What a user is told, for programs: `GET /services/quotas/api/notices`."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from hub_groups.rest import Model, Operation, Refusal
from hub_groups.words import _

from .access import Who
from .desk import QuotaRest, iso
from .notices import SHOWN, Notices, Told
from .policy import DEFAULT_GROUP, group_name
from .policy_store import now
from .store import QuotaStore
from .watch import STOPPED


class Since(Model):
    since: int = Field(0, ge=0, le=2**62, description="Only those after the notice of this id")


class Notice(Model):
    """Something that I am told."""

    id: int
    at: str = Field(description="RFC 3339")
    kind: str = Field(description="share, soon, used-up, stopped or storage")
    group: str
    text: str
    over: bool = Field(description="It only says what has happened, or is true no more")


class NoticeList(Model):
    """What I am told now, newest first."""

    notices: list[Notice]


def told_to(store: QuotaStore, user: str, groups: Iterable[str]) -> list[Told]:
    """What a user is told now, newest first. Blocks.

    Args:
        groups: the user's in the hub.
    """
    policy = store.policy()
    mine = [group_name(name) for name in groups] or [DEFAULT_GROUP]
    above = sorted({name for group in mine for name in policy.path(group)})
    return Notices(store).of(user, above, now() - SHOWN)


def as_notice(told: Told) -> Notice:
    return Notice(
        id=told.id,
        at=iso(told.at),
        kind=told.kind,
        group=told.group,
        text=told.text,
        over=told.kind == STOPPED or told.over_at is not None,
    )


async def _notices(desk: QuotaRest, query: Since, _body: None) -> NoticeList:
    if desk.current_user.get("kind") != "user":
        raise Refusal(403, _("Only users are told anything."))
    desk.set_header("Cache-Control", "private, no-cache")  # kept, and asked for again
    found = await desk.ledger(told_to, desk.store, desk.user, desk.access.groups)
    return NoticeList(notices=[as_notice(one) for one in found if one.id > query.since])


OPERATIONS = (
    Operation(
        *("GET", "/notices", Who.USER, "What I am told now", _notices, NoticeList),
        query=Since,
        tag="me",
        about=(
            "Asking again costs little: with the last answer's ETag as If-None-Match, the answer "
            "is 304 until something changes. From inside a server, its token needs the scope "
            "access:services!service=quotas."
        ),
    ),
)
