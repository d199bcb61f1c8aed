"""Entries of the audit log, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .names import last_day
from .words import _, ngettext


def say_event(
    what: str,
    user: str,
    detail: Mapping[str, Any],
    say_role: Callable[[str], str],
    say_source: Callable[[str], str],
) -> str:
    """What was done, without who did it and in which group.

    Args:
        what, user, detail: of the entry; what nobody knows is said by its name.
        say_role, say_source: how these are called.
    """
    source = say_source(str(detail.get("source", "")))
    if what == "put":
        text = _("{user} is {role}").format(user=user, role=say_role(str(detail.get("role", ""))))
        until = detail.get("until")
        if isinstance(until, int):
            text += " " + _("until {day}").format(day=last_day(until))
        return text
    if what == "removed":
        return _("{user} was taken out ({source})").format(user=user, source=source)
    if what == "ended":
        return _("{user}: the membership has ended ({source})").format(user=user, source=source)
    if what == "synced":
        put, removed = int(detail.get("put", 0)), int(detail.get("removed", 0))
        added = ngettext("{n} added or changed", "{n} added or changed", put).format(n=put)
        gone = ngettext("{n} taken out", "{n} taken out", removed).format(n=removed)
        return f"{source}: {added}, {gone}"
    if what == "merged":
        parts = [*(f"+ {one}" for one in detail.get("put", ()))]
        parts += [f"− {one}" for one in detail.get("removed", ())]
        return f"{user}: {', '.join(map(str, parts))}"
    if what == "renamed":
        return _("{old} is called {user} now").format(old=detail.get("old", ""), user=user)
    if what == "deleted":
        return _("the hub has deleted {user}").format(user=user)
    plain = {
        "archived": _("archived"),
        "restored": _("restored"),
        "link": _("made a join link"),
        "revoked": _("revoked a join link"),
        "joined": _("{user} has joined by a link of {by}"),
        "asked": _("{user} asks to join, by a link of {by}"),
        "approved": _("{user} may join"),
        "declined": _("{user} may not join"),
        "withdrawn": _("{user} does not want to join any more"),
        "rules": _("changed the rules"),
    }
    return plain.get(what, what).format(user=user, by=detail.get("by", ""))
