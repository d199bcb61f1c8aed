"""The audit log in words. Pure; plain text, which pages escape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .memberships import LINK, MANAGER, MANUAL, MEMBER, SCIM, UPLOAD
from .names import last_day
from .words import _, ngettext, pgettext


class Entry(Protocol):
    """What is said of an entry of the audit log, as `record.Event` has it."""

    @property
    def who(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def detail(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Told:
    """An entry in words.

    Attributes:
        text: one sentence.
        added, removed: what came and went, such as `kim in geo-101 (manager)`; of many, the first.
    """

    text: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def tell(entry: Entry) -> Told:
    """What somebody did, or what happened.

    An entry of a kind that is not known here, as an older version of the pages may find, is told
    by its name.
    """
    known = _KINDS.get(entry.what)
    try:
        if known:
            return known(entry)
    except (KeyError, TypeError, ValueError):  # not as this version writes it
        pass
    text = _("{who}: {what}").format(who=say_who(entry.who), what=entry.what)
    return Told(" ".join(part for part in (text, entry.user, entry.group) if part))


def say_role(role: str) -> str:
    """In the language that is spoken."""
    return {MEMBER: _("member"), MANAGER: _("manager")}.get(role, role)


def say_source(source: str) -> str:
    """Where a membership is from."""
    kind, _colon, name = source.partition(":")
    if source == MANUAL:
        return pgettext("source of a membership", "by hand")
    if source == LINK:
        return _("join link")
    if source == UPLOAD:
        return _("uploaded roster")
    if source in (SCIM, "ldap"):
        return _("directory ({how})").format(how={SCIM: "SCIM", "ldap": "LDAP"}[source])
    if kind == "idp":
        return _("login ({name})").format(name=name)
    if kind == "roster":
        return _("roster {name}").format(name=name)
    return source


def say_via(via: str) -> str:
    """Where somebody did it."""
    return {
        "page": _("on a page"),
        "api": _("by the API"),
        "cli": _("by a command"),
        "hub": _("in the hub"),
        "sync": _("by itself"),
    }.get(via, via)


def say_who(who: str) -> str:
    """A user as they are called; a source in words."""
    return say_source(who) if who in (SCIM, "ldap") or ":" in who else who


# -- one kind each --------------------------------------------------------------------------------


def _put(entry: Entry) -> Told:
    until, manages = entry.detail.get("until"), entry.detail.get("role") == MANAGER
    if until is not None:
        text = (
            _("{who} put {user} into {group} as manager until {day}")
            if manages
            else _("{who} put {user} into {group} until {day}")
        )
    else:
        text = (
            _("{who} put {user} into {group} as manager")
            if manages
            else _("{who} put {user} into {group}")
        )
    day = "" if until is None else last_day(until).isoformat()
    return Told(_filled(text, entry, day=day))


def _removed(entry: Entry) -> Told:
    if entry.detail.get("source") == LINK:
        return Told(_filled(_("{who} took {user} out of {group}, joined by a link"), entry))
    return Told(_filled(_("{who} took {user} out of {group}"), entry))


def _ended(entry: Entry) -> Told:
    return Told(_filled(_("{user} is no longer in {group}: the time is over"), entry))


def _synced(entry: Entry) -> Told:
    detail = entry.detail
    source, put, gone = detail["source"], int(detail["put"]), int(detail["removed"])
    came = ngettext("{n} membership came or changed", "{n} memberships came or changed", put)
    went = ngettext("{n} went", "{n} went", gone)
    parts = [came.format(n=f"{put:,}")] if put else []
    parts += [went.format(n=f"{gone:,}")] if gone else []
    what = ", ".join(parts) or _("nothing changed")
    if entry.who != source:
        text = _("{who} applied what {source} says: {what}")
    else:
        text = _("{source}: {what}")
    names = detail.get("names", {})
    return Told(
        text.format(who=say_who(entry.who), source=say_source(source), what=what),
        _texts(names.get("put", ())),
        _texts(names.get("removed", ())),
    )


def _merged(entry: Entry) -> Told:
    text = (
        _("The groups of {user} were set in the hub")
        if entry.who == "hub"
        else _("{user} logged in: {who} said other groups than before")
    )
    added, removed = (
        tuple(_said_of(str(one), entry.who) for one in entry.detail[key])
        for key in ("put", "removed")
    )
    return Told(_filled(text, entry), added, removed)


def _said_of(text: str, who: str) -> str:
    """`group (source)` in words; the group alone where the source is who the entry is of."""
    group, bracket, source = text.rpartition(" (")
    source = source.removesuffix(")")
    if not bracket or source == who:
        return group or text
    return f"{group} ({say_source(source)})"


def _renamed(entry: Entry) -> Told:
    text = _("{old} is called {user} now").format(old=entry.detail["old"], user=entry.user)
    return Told(text)


def _deleted(entry: Entry) -> Told:
    text = _("{user} was deleted in the hub, and what people had set went too")
    return Told(_filled(text, entry), removed=_texts(entry.detail["removed"]))


def _archived(entry: Entry) -> Told:
    return Told(_filled(_("{who} archived {group}"), entry))


def _restored(entry: Entry) -> Told:
    return Told(_filled(_("{who} took {group} out of the archive"), entry))


def _link(entry: Entry) -> Told:
    if entry.detail["asks"]:
        text = _("{who} made a link by which people ask to join {group}, until {day}")
    else:
        text = _("{who} made a link by which people join {group}, until {day}")
    return Told(_filled(text, entry, day=last_day(entry.detail["until"]).isoformat()))


def _revoked(entry: Entry) -> Told:
    return Told(_filled(_("{who} took back a link to {group}"), entry))


def _joined(entry: Entry) -> Told:
    text = _("{user} joined {group} by a link of {by}")
    return Told(_filled(text, entry, by=entry.detail["by"]))


def _asked(entry: Entry) -> Told:
    text = _("{user} asked to join {group} by a link of {by}")
    return Told(_filled(text, entry, by=entry.detail["by"]))


def _approved(entry: Entry) -> Told:
    return Told(_filled(_("{who} let {user} join {group}"), entry))


def _declined(entry: Entry) -> Told:
    return Told(_filled(_("{who} did not let {user} join {group}"), entry))


def _withdrawn(entry: Entry) -> Told:
    return Told(_filled(_("{user} no longer asks to join {group}"), entry))


def _rules(entry: Entry) -> Told:
    lines = int(entry.detail["lines"])
    text = ngettext(
        "{who} wrote the rules for logins ({n} line)",
        "{who} wrote the rules for logins ({n} lines)",
        lines,
    )
    return Told(_filled(text, entry, n=f"{lines:,}"))


def _token_made(entry: Entry) -> Told:
    return Told(_filled(_("{who} made the SCIM token {name}"), entry, name=entry.detail["name"]))


def _token_revoked(entry: Entry) -> Told:
    return Told(_filled(_("{who} revoked the SCIM token {name}"), entry, name=entry.detail["name"]))


_KINDS = {
    "put": _put,
    "removed": _removed,
    "ended": _ended,
    "synced": _synced,
    "merged": _merged,
    "renamed": _renamed,
    "deleted": _deleted,
    "archived": _archived,
    "restored": _restored,
    "link": _link,
    "revoked": _revoked,
    "joined": _joined,
    "asked": _asked,
    "approved": _approved,
    "declined": _declined,
    "withdrawn": _withdrawn,
    "rules": _rules,
    "token-made": _token_made,
    "token-revoked": _token_revoked,
}
KINDS = tuple(_KINDS)
"""Those that are told in words."""


def _filled(text: str, entry: Entry, **more: str) -> str:
    return text.format(who=say_who(entry.who), user=entry.user, group=entry.group, **more)


def _texts(found: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(one) for one in found)
