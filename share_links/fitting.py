"""Whether a server that runs is what a link asks for, and what to do where it is not. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub_quotas.limits import CHARGED_GROUP

REUSE, START, NAMED, RESTART, GO_ON = "reuse", "start", "named", "restart", "go-on"
"""What a launch can do: open what runs and fits; start what does not run; start a second server
beside the one that runs; stop that one and start it anew; open it as it is."""

_LONGEST_NAME = 24
_UNLISTED = "--unlisted-choice"


@dataclass(frozen=True)
class Running:
    """A server of the reader's that runs, or is about to.

    Attributes:
        name: empty for the default server.
        options: its user options.
        group: to which it is charged; empty where nobody knows.
        pending: `spawn`, `stop` or `check`; empty for one that is up.
        since: when it was started, in ISO 8601.
        what: how large it is, for people.
        image: what it runs; `digest`: of that image. Empty where its spawner does not know.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    pending: str = ""
    since: str = ""
    what: str = ""
    image: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a link asks for, as user options.

    Attributes:
        anything: the link names no environment: any server will do.
        group: to which it is to be charged; empty for any.
        defaults: the options of a server that was started without any.
    """

    options: Mapping[str, Any]
    anything: bool = False
    group: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitting:
    """What can be done at a click.

    Attributes:
        ways: the first is what happens when nobody chooses; REUSE and START need no question.
        server: which one is reused, started or restarted.
        named: the name of the second server, where NAMED is among the ways.
        in_the_way: the server that runs something else.
    """

    ways: tuple[str, ...]
    server: str = ""
    named: str = ""
    in_the_way: Running | None = None


def fits(wanted: Wanted, running: Running) -> bool:
    """Whether a server is what a link asks for: also in what the link leaves to the defaults."""
    if wanted.group and running.group and wanted.group != running.group:
        return False
    if wanted.anything:
        return True
    return comparable(wanted.options or wanted.defaults) == comparable(
        running.options or wanted.defaults
    )


def comparable(options: Mapping[str, Any]) -> dict[str, Any]:
    """User options without what makes no difference to the environment."""
    kept = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in options.items()
        if name != CHARGED_GROUP and value not in (None, "", [], [""])
    }
    for name in [name for name in kept if name.endswith(_UNLISTED)]:
        kept.pop(name.removesuffix(_UNLISTED), None)  # it wins over what is listed
    return kept


def fitting(
    wanted: Wanted,
    servers: Sequence[Running],
    main: str,
    topic: str,
    named_allowed: bool,
    taken: Collection[str] = (),
) -> Fitting:
    """What can be done at a click.

    Args:
        servers: the reader's, that run or are about to.
        main: the name of the server that is opened when nobody says which.
        topic: what a second server would be named after.
        named_allowed: whether the reader can have one more.
        taken: names of servers that are there and do not run.
    """
    up = sorted((s for s in servers if s.pending != "stop"), key=lambda s: (s.name != main, s.name))
    for running in up:
        if fits(wanted, running) and (running.name == main or not wanted.anything):
            return Fitting((REUSE,), running.name)
    here = next((s for s in servers if s.name == main), None)
    if here is None or here.pending == "stop":
        return Fitting((START,), main)
    name = server_name(topic, {s.name for s in servers})
    again = name in taken  # it was made by an earlier click, and can be started again
    ways = (NAMED, RESTART, GO_ON) if named_allowed or again else (RESTART, GO_ON)
    return Fitting(ways, main, name if NAMED in ways else "", here)


def server_name(topic: str, running: Collection[str]) -> str:
    """A name that any hub takes (lower-case ASCII, digits, single hyphens) and no server has."""
    name = re.sub(r"[^a-z0-9]+", "-", topic.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    if not name[:1].isalpha():
        name = f"launch-{name}".rstrip("-")
    found, number = name, 2
    while found in running:
        found, number = f"{name}-{number}", number + 1
    return found
