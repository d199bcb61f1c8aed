"""What goes into a request for help: facts as text, and where it is sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from urllib.parse import quote, urlsplit

from hub_groups.words import _

from .messages import headline, title
from .more import say_limit
from .quantities import say_duration
from .usage import GroupStanding, Running, Standing
from .usage_words import say_server, say_size, say_whose

ME, VERSIONS, SERVERS, LIMITS, STORED, REFUSALS, BROWSER = (
    *("me", "versions", "servers", "limits", "storage", "refusals", "browser"),
)
"""The parts of a request."""

TITLE, BODY = "{title}", "{body}"
"""What stands in the address of a tracker for what is to be filled in."""

LONGEST = {"mailto": 1900, "https": 7000, "http": 7000}
"""How long an address may be, by its scheme: mail programs and trackers take no longer ones."""

LIFETIME = "lifetime"
_LONGEST_SUBJECT = 80


@dataclass(frozen=True)
class Section:
    """One part of a request, which can be left out.

    Attributes:
        key: which: ME, VERSIONS and so on.
        text: lines, in English, since whoever helps reads them.
    """

    key: str
    text: str


@dataclass(frozen=True)
class Refused:
    """One start that was refused. `at`: microseconds since 1970, UTC; `why`: words, or a code."""

    at: int
    server: str
    why: str


@dataclass(frozen=True)
class Facts:
    """What is known of who asks, and of nobody else.

    Attributes:
        versions: by what has them, in order.
        images: of those of their servers that have a name for it, by server.
        stored: what their directories hold, as (what, how much).
        refused: the last one first.
        browser: as it calls itself.
        hub: its name in the ledger.
    """

    user: str
    standing: Standing
    versions: Mapping[str, str]
    images: Mapping[str, str]
    stored: Sequence[tuple[str, str]]
    refused: Sequence[Refused]
    browser: str
    hub: str
    zone: tzinfo


def titles() -> dict[str, str]:
    """What the parts are called, in the order in which they stand."""
    return {
        ME: _("Who and when"),
        VERSIONS: _("Versions"),
        SERVERS: _("My servers"),
        LIMITS: _("My limits"),
        STORED: _("My storage"),
        REFUSALS: _("What was refused lately"),
        BROWSER: _("My browser"),
    }


def sections(facts: Facts) -> tuple[Section, ...]:
    """The parts of a request that have anything to say; to be called `in_english`."""
    found = facts.standing
    lines: dict[str, Iterable[str]] = {
        ME: (
            f"User: {facts.user}",
            f"Groups: {', '.join(say_whose(one.group) for one in found.groups)}",
            f"Hub: {facts.hub}",
            f"Time: {_when(found.at, facts.zone)}",
        ),
        VERSIONS: (f"{what}: {version}" for what, version in facts.versions.items()),
        SERVERS: [_server(one, facts) for one in found.running] or ["None runs."],
        LIMITS: (line for group in found.groups for line in _limits(group)),
        STORED: (f"{what}: {amount}" for what, amount in facts.stored),
        REFUSALS: (
            f"{_when(one.at, facts.zone)}, {say_server(one.server)}: {one.why}"
            for one in facts.refused
        ),
        BROWSER: (facts.browser,) if facts.browser else (),
    }
    said = (Section(key, "\n".join(lines[key])) for key in titles())
    return tuple(one for one in said if one.text)


def _when(at: int, zone: tzinfo) -> str:
    when = datetime.fromtimestamp(at // 10**6, timezone.utc)
    here = when.astimezone(zone)
    said = f"{here:%Y-%m-%d %H:%M %Z}"
    return said if here.tzname() == "UTC" else f"{said} ({when:%H:%M} UTC)"


def _server(one: Running, facts: Facts) -> str:
    parts = (
        one.profile,
        facts.images.get(one.server, ""),
        say_size(one.draws),
        f"charged to {say_whose(one.group)}",
        f"since {_when(one.since, facts.zone)}" if one.up else "starting",
    )
    return f"{say_server(one.server)}: {', '.join(part for part in parts if part)}"


def _limits(group: GroupStanding) -> list[str]:
    lines = []
    for check in (line.check for line in group.lines):
        above = check.limit.group if check.limit.group != group.group else ""
        of = f" (from {say_whose(above)})" if above else ""
        lines.append(f"{title(check)}{of}: {headline(check)}")
    for limit in group.ends:
        length = say_duration(limit.amount)
        lasts, idle = f"runs for {length} at most", f"that is not used for {length} stops"
        lines.append(f"each server {lasts if limit.resource == LIFETIME else idle}")
    lines += [say_limit(limit) for limit in group.storage]
    return [
        f"{say_whose(group.group)}:",
        *(f"  {line}" for line in lines or ["no limits hold here"]),
    ]


def subject(what: str) -> str:
    """The title of a request: the first line of what somebody has written."""
    first = next((line.strip() for line in what.splitlines() if line.strip()), "")
    said = first or "Help with the hub"
    return said if len(said) <= _LONGEST_SUBJECT else f"{said[: _LONGEST_SUBJECT - 1]}…"


def compose(what: str, parts: Iterable[Section]) -> str:
    """The whole request: first what somebody has written, then the facts; to be called
    `in_english`."""
    names = titles()
    said = [what.strip()] if what.strip() else []
    said += [f"{names[one.key]}:\n{one.text.strip()}" for one in parts if one.text.strip()]
    return "\n\n".join(said)


class ContactError(ValueError):
    """Neither an e-mail address nor an address of a page; the message says what would be right."""


def checked_contact(text: str, is_address: Callable[[str], bool]) -> str:
    """Where requests go: an e-mail address, or the address of a page, in which TITLE and BODY stand
    for what is to be filled in.

    Args:
        is_address: whether a text is an e-mail address.

    Raises:
        ContactError: it is neither.
    """
    wrong = ContactError(
        "is an e-mail address such as help@example.org, or the address of a page that begins with "
        f"https://, in which {TITLE} and {BODY} stand for what is filled in."
    )
    if not text or is_address(text):
        return text
    rest = text.replace(TITLE, "").replace(BODY, "")
    try:
        parts = urlsplit(rest)
    except ValueError:
        raise wrong from None
    usable = parts.scheme in ("https", "http") and parts.hostname and not parts.password
    before = text.partition("?")[0]
    if not usable or set(rest) & set('{}<>" ') or TITLE in before or BODY in before:
        raise wrong
    return text


@dataclass(frozen=True)
class Link:
    """Where a click takes a request.

    Attributes:
        address: `mailto:` or a page.
        is_mail: which of both.
        carries: how much of the text is in it: `all`, `part`, or `none`.
    """

    address: str
    is_mail: bool
    carries: str


def link(contact: str, title: str, body: str) -> Link | None:
    """The link that sends a request; None where the hub has not said where to."""
    if not contact:
        return None
    is_mail = "://" not in contact
    if not is_mail and BODY not in contact:
        return Link(contact.replace(TITLE, _quoted(title)), False, "none")
    form = f"mailto:{quote(contact, safe='@')}?subject={TITLE}&body={BODY}" if is_mail else contact
    most = LONGEST[form.partition(":")[0]]
    lines = body.splitlines()
    for count in range(len(lines), -1, -1):
        said = _quoted("\n".join(lines[:count]))
        address = form.replace(BODY, said).replace(TITLE, _quoted(title))
        if len(address) <= most:
            break
    carries = "all" if count == len(lines) else "part" if count else "none"
    return Link(address, is_mail, carries)


def _quoted(text: str) -> str:
    """As `mailto:` has it, RFC 6068: lines end in CR LF, and a space is no plus."""
    return quote("\r\n".join(text.splitlines()), safe="")
