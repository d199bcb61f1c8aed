"""What the forms have in common by which people ask for more, answer, and give boosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tornado import web

from hub_groups.words import _

from .access import NotAllowed
from .desk import Desk, say_conflict
from .limits import Limit, PolicyError
from .more import Answered, NoSuchAsk, TooMany, Wanted, say_key
from .policies import Conflict
from .quantities import whole

ERRORS = (PolicyError, NotAllowed, TooMany, Answered, NoSuchAsk, Conflict)
"""What can be wrong with what somebody sends."""


@dataclass(frozen=True)
class Typed:
    """What stands in a form, as it was typed.

    Attributes:
        member: for whom; empty for all.
        words: to who has asked.
        place: the field that is wrong; empty for all or none.
        why: what is wrong.
    """

    wanted: Wanted = Wanted("", "", "", "", "")
    member: str = ""
    words: str = ""
    place: str = ""
    why: str = ""

    @property
    def value(self) -> str:
        """Of the limit, as `value_of` has it."""
        return f"{self.wanted.key} {self.wanted.window or '-'} {self.wanted.group}"

    @property
    def day(self) -> str:
        return self.wanted.until.partition("T")[0]

    @property
    def time(self) -> str:
        return self.wanted.until.partition("T")[2]

    def is_wrong(self, place: str) -> bool:
        return bool(self.why) and self.place == place


def typed_in(handler: web.RequestHandler) -> Typed:
    """What somebody has sent."""

    def text(name: str) -> str:
        return handler.get_body_argument(name, "")

    key, window, group = (*text("limit").split(" ", 2), "", "", "")[:3]
    until = text("day") + (f"T{text('time')}" if text("time") else "")
    wanted = Wanted(
        *(group, key, "" if window == "-" else window, text("amount"), until), text("why")
    )
    return Typed(wanted, text("member"), text("words"))


def value_of(limit: Limit) -> str:
    """What a form sends for a limit."""
    return f"{limit.key} {say_key(limit.window) or '-'} {limit.group}"


def number_of(text: str) -> int:
    """A number that counts something of ours. Raises NoSuchAsk."""
    number = whole(text)
    if number is None:
        raise NoSuchAsk
    return number


def explain(error: BaseException) -> tuple[int, str, str]:
    """Status, words and a word for programs."""
    if isinstance(error, TooMany):
        return 429, str(error), "too-many"
    if isinstance(error, Answered):
        return 409, str(error), "answered"
    if isinstance(error, NoSuchAsk):
        return 404, _("Nobody has asked that, or it is not yours to see."), ""
    if isinstance(error, Conflict):
        return 412, say_conflict(error), "changed-since"
    if isinstance(error, NotAllowed):
        return 403, str(error), "not-yours"
    return 400, str(error), "policy"


def wrong(page: Desk, typed: Typed, error: Exception) -> Typed:
    """What was typed, with what is wrong with it; the page is answered with that status."""
    status, why, _reason = explain(error)
    page.set_status(status)
    place = ""
    if isinstance(error, PolicyError):
        place, why = (error.place[0], error.why) if error.place[0] in _FIELDS else ("", str(error))
    values: dict[str, Any] = {**vars(typed), "place": place, "why": why}
    return Typed(**values)


_FIELDS = ("limit", "amount", "until", "why", "member", "words")
