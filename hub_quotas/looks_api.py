"""What takes up the room in my home, for programs.

Names of files are for their owner and for admins; managers of groups don't see them.
"""

from __future__ import annotations

import asyncio

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Refusal
from hub_groups.words import _

from .access import Who, check_acts
from .desk import Desk, QuotaRest, iso
from .storage_looks import Largest, Look, ask_to_look, looks


class LargestEntry(Model):
    """A file, or a directory with all in it."""

    path: str = Field(description="Below the home")
    size: int = Field(description="Bytes")
    is_file: bool


class HomeLook(Model):
    """What was asked about a home, and what has come of it."""

    mount: str = Field(description="Where it is")
    asked_at: str = Field(description="ISO 8601")
    answered_at: str = Field("", description="Empty while it is not")
    seen: int = Field(description="How many files and directories were looked at until now")
    used: int = Field(0, description="Bytes of all that was seen")
    complete: bool = Field(True, description="Whether all was seen before time was up")
    problem: str = Field("", description="Why it could not be looked into")
    largest: list[LargestEntry] = Field(
        default_factory=list, description="The largest first: 20 at most"
    )


class HomeLooks(Model):
    """What was asked in the last three days."""

    homes: list[HomeLook]


def _look(found: Look) -> HomeLook:
    largest = found.largest or Largest()
    return HomeLook(
        mount=found.mount,
        asked_at=iso(found.asked_at),
        answered_at="" if found.answered_at is None else iso(found.answered_at),
        seen=found.seen,
        used=largest.used,
        complete=largest.complete,
        problem=largest.problem,
        largest=[
            LargestEntry(path=one.path, size=one.size, is_file=one.is_file)
            for one in largest.entries
        ],
    )


async def look_into_home(desk: Desk) -> None:
    """Ask the agents of file systems what takes up the room in the homes of who asks.

    Raises:
        NotAllowed: their token may only look.
        Refusal: 404 where no home of theirs is known.
    """
    check_acts(desk.access)
    if not await asyncio.to_thread(ask_to_look, desk.store, desk.user):
        raise Refusal(404, _("No agent of a file system has said anything of your home yet."))


async def _of(handler: QuotaRest, user: str) -> HomeLooks:
    found = await handler.ledger(looks, handler.store, user)
    return HomeLooks(homes=[_look(one) for one in found])


def _user(handler: QuotaRest) -> str:
    """A service of the same name is somebody else."""
    if handler.current_user.get("kind") != "user":
        raise Refusal(403, _("Only users have homes: this takes the token of one."))
    return handler.user


async def _mine(handler: QuotaRest, _query: Nothing, _body: None) -> HomeLooks:
    return await _of(handler, _user(handler))


async def _ask(handler: QuotaRest, _query: Nothing, _body: None) -> HomeLooks:
    user = _user(handler)
    await look_into_home(handler)
    return await _of(handler, user)


async def _others(handler: QuotaRest, _query: Nothing, _body: None) -> HomeLooks:
    return await _of(handler, handler.part["user"])


OPERATIONS = (
    Operation(
        *("POST", "/me/storage/look", Who.USER, "Ask what takes up the room in my home", _ask),
        HomeLooks,
        status=202,
        problems=(404,),
        tag="me",
        about="The agent of the file system looks. Where that is asked already, nothing changes."
        " A token needs the scope custom:quotas:act.",
    ),
    Operation(
        *("GET", "/me/storage/largest", Who.USER, "What takes up the room in my home", _mine),
        HomeLooks,
        tag="me",
    ),
    Operation(
        *("GET", "/users/{user}/storage/largest", Who.ADMIN),
        *("What takes up the room in a home, as its owner has asked", _others, HomeLooks),
        tag="storage",
        parts={"user": "Whose"},
    ),
)
