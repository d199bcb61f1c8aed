"""Links with terms: who made one, for whom it is, and until when. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hub_groups.words import _

from .addresses import LaunchError
from .launch import Launch, as_values

ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""What short ids are of: nothing that is mistaken for something else when it is read aloud."""
ID_LENGTH = 10

EXPIRED, REVOKED, NOT_FOR_YOU, OTHER_HUB = "expired", "revoked", "not-for-you", "other-hub"
"""Why a link can't be used."""

STORED, SIGNED, PLAIN = "stored", "signed", "plain"
"""Where a link's launch stands: on the hub, in a signed token, or in the address as it is."""


@dataclass(frozen=True)
class Terms:
    """For whom a link is, and how long.

    Attributes:
        until: when it ends, in seconds since 1970, UTC; None for never.
        users: for whom; with `group`, empty for everybody who can log in.
        group: whose members may use it too.
        hubs: the addresses of the hubs that it is for; empty for any.
    """

    until: int | None = None
    users: tuple[str, ...] = ()
    group: str = ""
    hubs: tuple[str, ...] = ()

    def refuse(self, user: str, groups: Collection[str], hub: str, at: int) -> str:
        """Why somebody can't use it; empty where they can.

        Args:
            groups: of which they are a member, by the hub, now.
            hub: the address at which they ask.
            at: the present, in seconds.
        """
        if self.hubs and hub not in self.hubs:
            return OTHER_HUB
        if self.until is not None and at >= self.until:
            return EXPIRED
        anybody = not self.users and not self.group
        if anybody or user in self.users or (self.group and self.group in groups):
            return ""
        return NOT_FOR_YOU


@dataclass(frozen=True)
class Source:
    """The server that a file was shared from.

    Attributes:
        options: its user options; readers get a server with the same.
        image: what it ran; `digest`: of that image. Empty where its spawner does not know.
    """

    options: Mapping[str, Any]
    image: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Link:
    """What somebody clicked on.

    Attributes:
        kind: STORED, SIGNED or PLAIN.
        by: the user of this hub who made it; empty where nobody vouches for it.
        id: how counts and the maker know it; the same for each click.
        revoked: whether it was taken back.
        source: the server that its file was shared from; None where the launch says which.
        snapshot: the id of the copy that it hands on; the launch names the file.
    """

    kind: str
    launch: Launch
    terms: Terms = Terms()
    by: str = ""
    id: str = ""
    label: str = ""
    revoked: bool = False
    source: Source | None = None
    snapshot: str = ""

    def refuse(self, user: str, groups: Collection[str], hub: str, at: int) -> str:
        """Why somebody can't use it; empty where they can."""
        if self.revoked:
            return REVOKED
        if user == self.by:  # who made it can look at what it does
            return EXPIRED if self.terms.until is not None and at >= self.terms.until else ""
        return self.terms.refuse(user, groups, hub, at)


def say_refusal(reason: str, by: str) -> str:
    """Why a link can't be used, and what to do now."""
    ask = _("Ask {who} for a new one.").format(who=by or _("who gave it to you"))
    said = {
        EXPIRED: _("This link has expired."),
        REVOKED: _("This link was taken back."),
        OTHER_HUB: _("This link is for another hub."),
        NOT_FOR_YOU: _("This link is for somebody else, or for members of a group."),
    }[reason]
    return f"{said} {ask}"


def agreement(link: Link) -> str:
    """What somebody agrees to, once: all that a link does but for what it opens, by whoever made
    it. What an author changes later is asked anew."""
    said = [link.by, as_values(link.launch.without_place)]
    if link.source:
        said += [link.snapshot, dict(link.source.options)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def is_trusted(link: Link, reader: str, by_admin: bool, managed: Collection[str]) -> bool:
    """Whether a link may start a server at a click, without a question.

    Args:
        by_admin: whether who made it is an admin of the hub.
        managed: those of the reader's groups that whoever made it manages.
    """
    return bool(link.by) and (link.by == reader or by_admin or bool(managed))


def clean_id(typed: str) -> str:
    """A short id as it is stored, however it was typed.

    Raises:
        LaunchError: there can be no such id.
    """
    found = "".join(c for c in typed.lower() if c not in "- ")
    if len(found) != ID_LENGTH or set(found) - set(ALPHABET):
        raise LaunchError(_("There is no such link here."))
    return found


def shown_id(id: str) -> str:
    """`abcde-fghjk`: easier to read aloud and to type."""
    return f"{id[: ID_LENGTH // 2]}-{id[ID_LENGTH // 2 :]}"
