"""Links by which people join a group, and what they ask for with them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .memberships import MEMBER
from .names import PeopleError
from .words import _

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""What codes are of: nothing that is mistaken for something else when it is read aloud."""
CODE_LENGTH = 12
"""Of 30 signs: with a guess a second, longer than the universe has been there."""
LONGEST = 366 * 86_400
"""How long a link lasts at most, in seconds."""
MOST = 100_000
"""How many may join by one link, at most."""

OPEN, APPROVED, DECLINED, WITHDRAWN = "open", "approved", "declined", "withdrawn"
"""What became of a request to join."""

REVOKED, ARCHIVED, EXPIRED, USED_UP = "revoked", "archived", "expired", "used-up"
"""Why a link does not work any more."""

JOINED, ASKED, ALREADY = "joined", "asked", "already"
"""What came of a click on one."""


@dataclass(frozen=True)
class WantedLink:
    """A link to be made.

    Attributes:
        until: when it ends, in seconds since 1970, UTC.
        most: how many may join by it; None for any number.
        asks: a manager has to say yes to each.
        member_until: when the memberships end; None for never.
    """

    until: int
    role: str = MEMBER
    most: int | None = None
    asks: bool = False
    member_until: int | None = None


@dataclass(frozen=True)
class Link:
    """A link by which people join a group.

    Attributes:
        by: who has made it.
        at, until: when it was made and when it ends, in seconds since 1970, UTC.
        most: how many may join; None for any number.
        used: how many have, or have asked to.
        asks: whether a manager has to say yes.
        member_until: when the memberships end; None for never.
        revoked_at: when it was taken back; None where it was not.
    """

    id: int
    code: str
    group: str
    role: str
    by: str
    at: int
    until: int
    most: int | None
    used: int
    asks: bool
    member_until: int | None
    revoked_at: int | None
    revoked_by: str

    def over(self, at: int, archived: bool = False, counts: bool = True) -> str:
        """Why nobody can join by it at that time; empty where one can.

        Args:
            archived: whether the group is.
            counts: whether it would be one more use.
        """
        if archived:
            return ARCHIVED
        if self.revoked_at is not None:
            return REVOKED
        if self.until <= at or (self.member_until is not None and self.member_until <= at):
            return EXPIRED
        if counts and self.most is not None and self.used >= self.most:
            return USED_UP
        return ""


@dataclass(frozen=True)
class JoinRequest:
    """Somebody who wants to join a group, and what came of it.

    Attributes:
        at: when they asked, in seconds since 1970, UTC.
        answered_by: who has said yes or no; empty where nobody had to.
    """

    id: int
    link: int
    group: str
    user: str
    at: int
    state: str
    answered_at: int | None
    answered_by: str


@dataclass(frozen=True)
class Joined:
    """What came of joining by a link: `JOINED`, `ASKED` or `ALREADY`."""

    link: Link
    outcome: str


class NoSuchLink(PeopleError):
    """No link has that code, whatever it looks like."""

    def __init__(self) -> None:
        super().__init__(
            _("No link has this code. Compare it with what you were sent, or ask for a new link.")
        )


class LinkOver(PeopleError):
    """Nobody can join by that link any more.

    Attributes:
        reason: `REVOKED`, `ARCHIVED`, `EXPIRED` or `USED_UP`.
    """

    def __init__(self, reason: str, by: str, group: str) -> None:
        super().__init__(_say_over(reason, by, group))
        self.reason = reason


class AlreadyAnswered(PeopleError):
    """Somebody was faster."""

    def __init__(self) -> None:
        super().__init__(_("This request waits no longer: somebody has answered or withdrawn it."))


def clean_code(text: str) -> str:
    """A code as it is stored, from one that was typed, or from the whole link."""
    text = text.strip()[:1000].partition("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^0-9A-Za-z]", "", text)[:64].upper()


def spaced(code: str) -> str:
    """For reading aloud: `ABCD-EFGH-JKMN`."""
    return "-".join(code[n : n + 4] for n in range(0, len(code), 4))


def check_link(wanted: WantedLink, at: int) -> None:
    """Whether there may be such a link.

    Raises:
        PeopleError: not.
    """
    if wanted.until <= at or wanted.until > at + LONGEST:
        raise PeopleError(_("A link lasts a year at most: choose an earlier day for its end."))
    if wanted.most is not None and not 1 <= wanted.most <= MOST:
        raise PeopleError(
            _("How many may join is a number from 1 to {most}, or empty for any number.").format(
                most=f"{MOST:,}"
            )
        )
    if wanted.member_until is not None and wanted.member_until <= at:
        raise PeopleError(_("The memberships would be over already: choose a later day."))


def _say_over(reason: str, by: str, group: str) -> str:
    text = {
        REVOKED: _("This link to {group} was revoked. Ask {by} for a new one."),
        ARCHIVED: _("{group} is archived: nobody can join it now. Ask {by} whether it comes back."),
        EXPIRED: _("This link to {group} has expired. Ask {by} for a new one."),
        USED_UP: _(
            "This link to {group} is used up: as many have joined as it was made for. "
            "Ask {by} for a new one."
        ),
    }[reason]
    return text.format(group=group, by=by)
