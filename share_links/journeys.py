"""The way from a click to the opened file, as it goes on while its reader waits.

A journey stops, starts, pulls and looks for the file. It lives in this process alone: what it does
is the reader's own servers', so that when the process has gone, another click goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tornado import httpclient

from hub_groups.words import _, language, speak
from hub_quotas.limits import CHARGED_GROUP

from .building import Builder, Wish
from .clicks import Made
from .copying import Copy, bring
from .form_parts import pulled
from .hub_client import HubDown, ReaderHub, ReaderState
from .images import BUILD
from .launch import LAB, NOTEBOOK, Launch, Target
from .pinning import command, ended, readable
from .pull_words import (
    Failure,
    explain_pull,
    is_there_already,
    no_nbgitpuller,
    no_such_file,
    no_terminals,
    wants_all,
)

log = logging.getLogger("group-quotas")

JOIN, STOP, START, PULL, COPY, OPEN = "join", "stop", "start", "pull", "copy", "open"
"""Steps of a journey, with BUILD behind JOIN."""

_LASTS = 3_600
"""Seconds after which nobody comes back to one."""
_MOST = 10
"""Of one reader at a time; the oldest goes."""
_PATIENCE = 120
"""Seconds for what others do: the hub to hear of a membership, a server to stop."""
_SOON = 0.3
_ON_PHONES = "phone"
_LINES = 200
_TAGS = re.compile(r"<[^>]*>")


@dataclass
class Journey:
    """One reader's.

    Attributes:
        server: which is used.
        options: user options to start it with; None where it runs, or the hub's own form starts
            it.
        restart: whether it is stopped first.
        join: the group that the hub has to know the reader in first.
        copy: a file that is copied to the server.
        made: the environment, where that is made of a repository; `builder` makes it, charged to
            the first of `charges` that has room.
        steps: all that it does, in order; `at`: which one now.
        pulls: whether the server could pull content; None where it had no need to.
        back: the address that was clicked.
        phone: whether its reader has a small screen.
        percent: how far the start is, as far as the spawner says.
        failure: why it ended; else `to` is where it ends.
    """

    hub: ReaderHub
    launch: Launch
    link: str
    server: str
    options: Mapping[str, Any] | None = None
    restart: bool = False
    join: str = ""
    back: str = ""
    phone: bool = False
    image: str = ""
    copy: Copy | None = None
    charges: Sequence[str] = ()
    made: Made | None = None
    builder: Builder | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    at: str = ""
    percent: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    failure: Failure | None = None
    pulls: bool | None = None
    to: str = ""
    home: str = ""
    begun: float = field(default_factory=time.monotonic)
    language: str = field(default_factory=language)
    task: asyncio.Task[None] | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        here = {
            JOIN: bool(self.join),
            BUILD: bool(self.made and not self.made.image and self.options is not None),
            STOP: self.restart,
            START: True,
            PULL: self.launch.content is not None,
            COPY: self.copy is not None,
            OPEN: True,
        }
        return tuple(step for step, has in here.items() if has)

    @property
    def over(self) -> bool:
        return bool(self.to or self.failure)

    def said(self, text: str) -> None:
        """For who wants to read what is done."""
        self.lines += [line.rstrip() for line in text.splitlines() if line.strip()]


class Journeys:
    """Of all readers, in this process.

    Args:
        count: called with a link and how far somebody got with it.
        learn: called in a thread with an image and whether its servers can pull.
    """

    def __init__(
        self,
        count: Callable[[str, str], None],
        learn: Callable[[str, bool], None] = lambda _image, _pulls: None,
    ) -> None:
        self._count, self._learn = count, learn
        self._known: dict[str, Journey] = {}

    def begin(self, journey: Journey) -> None:
        """Go on without whoever asked."""
        if journey.task is None:
            self.keep(journey)
            journey.task = asyncio.ensure_future(self._run(journey))

    def keep(self, journey: Journey) -> None:
        """One that begins later."""
        if journey.id in self._known:
            return
        now, user = time.monotonic(), journey.hub.user
        mine = [one for one in self._known.values() if one.hub.user == user]
        late = [one for one in self._known.values() if now - one.begun > _LASTS]
        for old in [*mine[: max(0, len(mine) - _MOST + 1)], *late]:
            self._known.pop(old.id, None)
        self._known[journey.id] = journey

    def of(self, id: str, user: str) -> Journey | None:
        """A reader's own."""
        found = self._known.get(id)
        return found if found and found.hub.user == user else None

    async def _run(self, journey: Journey) -> None:
        speak(journey.language)
        try:
            await _travel(journey, lambda stage: self._count(journey.link, stage))
        except asyncio.CancelledError:
            raise
        except HubDown as error:
            log.warning("A launch failed at '%s': %s", journey.at, error)
            journey.failure = Failure(
                _place(journey.at),
                _("This hub does not answer as it should at the moment."),
                _("Try again in a minute; if it stays like this, tell an admin of this hub."),
            )
        except Exception:
            log.exception("A launch failed at '%s'", journey.at)
            journey.failure = Failure(
                _place(journey.at),
                _("Something went wrong here. The log of the hub's pages says what."),
                _("Try again; if it stays like this, tell an admin of this hub."),
            )
        if journey.pulls is not None:
            with suppress(Exception):  # it is only for authors, and for the next time
                await asyncio.to_thread(self._learn, journey.image, journey.pulls)
        if journey.failure:
            self._count(journey.link, f"failed-{journey.failure.where}")
        else:
            self._count(journey.link, "opened")


def _place(step: str) -> str:
    return {BUILD: BUILD, PULL: PULL, COPY: PULL, OPEN: OPEN}.get(step, START)


async def _travel(journey: Journey, count: Callable[[str], None]) -> None:
    hub = journey.hub
    if journey.join:
        journey.at = JOIN
        await _until(hub, lambda state: journey.join in state.groups)
    if BUILD in journey.steps:
        journey.at = BUILD
        await _build(journey)
        if journey.failure:
            return
    if journey.restart:
        journey.at = STOP
        await hub.stop(journey.server)
        gone = await _until(hub, lambda state: journey.server not in _names(state))
        if journey.server in _names(gone):
            journey.failure = Failure(
                START,
                _("The server that runs does not stop."),
                _("Stop it on the hub's home page, and click the link again."),
            )
            return
    journey.at = START
    state = await _start(journey)
    if state is None:
        if journey.made and journey.made.image and journey.builder:  # it may have gone
            await journey.builder.forget(journey.made.image)
        return
    count("started")
    address = state.addresses[journey.server]
    journey.home = state.urls[journey.server]
    if journey.launch.content is not None:
        journey.at = PULL
        pull = _fetch if journey.launch.content.is_commit else _pull
        if not await pull(journey, address):
            return
        if journey.to:
            return
        count("pulled")
    if journey.copy is not None:
        journey.at = COPY
        brought = await bring(journey.copy, hub, address)
        if isinstance(brought, Failure):
            journey.failure = brought
            return
        journey.launch = replace(journey.launch, target=Target(file=brought))
        count("pulled")
    journey.at = OPEN
    await _look(journey, address)
    if journey.failure is None:
        journey.to = journey.home + await _opens(journey, address)


async def _opens(journey: Journey, address: str) -> str:
    """The path to open: on a phone, JupyterLab with the document alone, whose side bar would leave
    it a finger's breadth."""
    path, start = journey.launch.opens, "lab/tree/"
    if not journey.phone or not path.startswith(start):
        return path
    try:
        await journey.hub.make_room(address, _ON_PHONES)
    except HubDown as error:  # no JupyterLab, or another one
        log.info("A phone gets JupyterLab as it is: %s", error)
        return path
    return f"doc/workspaces/{_ON_PHONES}/tree/{path.removeprefix(start)}"


async def _build(journey: Journey) -> None:
    """Have the environment made, and ask for it."""
    hub, made, builder = journey.hub, journey.made, journey.builder
    assert made and builder and journey.options is not None
    wish = Wish(hub.user, made.repository, made.ref, journey.charges)
    image = await builder.image(wish, lambda path: hub.events(builder.url + path), journey.lines)
    if isinstance(image, Failure):
        journey.failure = image
        return
    journey.image = image
    group = {k: v for k, v in journey.options.items() if k == CHARGED_GROUP}
    wanted = (await hub.state(made.with_image(image))).wanted
    if wanted.problem:
        text = _("This hub can't start what the link asks for: {problem}")
        journey.failure = Failure(START, text.format(problem=wanted.problem))
    journey.options = {**wanted.options, **group}


async def _start(journey: Journey) -> ReaderState | None:
    """Start the server, if it does not run, and wait until it does."""
    hub, server = journey.hub, journey.server
    state = await hub.state({})
    if server not in state.ready:
        failed = await _begin(journey)
        state = await _until(hub, lambda now: server in now.ready or server not in _names(now))
        if server not in state.ready:
            journey.failure = Failure(
                START,
                failed or _("The server did not come up."),
                "" if failed else _("Try again; if it stays like this, tell an admin of this hub."),
            )
            return None
    return state


async def _begin(journey: Journey) -> str:
    """Start the server, or watch how it starts already; why it failed, or nothing."""
    if journey.options is None:
        return await _follow(journey)
    # The hub answers when the server is up, or after ten seconds; meanwhile it tells how it goes.
    starting = asyncio.ensure_future(journey.hub.start(journey.server, journey.options))
    failed = ""
    try:
        while not starting.done() and not failed:
            await asyncio.wait([starting], timeout=_SOON)
            failed = await _follow(journey)
        return await starting or failed
    finally:
        starting.cancel()


async def _follow(journey: Journey) -> str:
    """What the hub says while a server starts; why it failed, or nothing."""
    try:
        async for event in journey.hub.progress(journey.server):
            text = str(event.get("message") or _TAGS.sub("", str(event.get("html_message") or "")))
            journey.percent = min(100, int(event.get("progress") or 0))
            if event.get("failed"):
                return text.removeprefix("Spawn failed: ")
            journey.said(text)
    except httpclient.HTTPError as error:
        if error.code not in (400, 404):  # it does not start any more; `_start` looks
            raise
    return ""


async def _until(hub: ReaderHub, holds: Callable[[ReaderState], bool]) -> ReaderState:
    """The hub's state when something holds, or when it has not for long."""
    end = time.monotonic() + _PATIENCE
    while True:
        state = await hub.state({})
        if holds(state) or time.monotonic() > end:
            return state
        await asyncio.sleep(_SOON)


def _names(state: ReaderState) -> set[str]:
    return {one.name for one in state.servers}


async def _pull(journey: Journey, address: str, depth: str = "") -> bool:
    """Pull the content; whether it is there."""
    content = journey.launch.content
    assert content
    asked = {"repo": content.repository, "targetpath": content.into, "branch": content.ref}
    query = {name: value for name, value in {**asked, "depth": depth}.items() if value}
    output: list[str] = []
    message, finished = "", False
    try:
        async for event in journey.hub.pull(address, query):
            text = str(event.get("output") or "")
            output.append(text)
            finished |= event.get("phase") == "finished"
            if event.get("phase") == "error":
                message = f"{message}\n{event.get('message', '')}"
            else:
                journey.said(text)
    except httpclient.HTTPError as error:
        if error.code == 404:
            journey.pulls = False
            journey.failure = no_nbgitpuller(journey.image)
            return False
        if error.code != 599:
            raise
        return _by_browser(journey, error)
    except OSError as error:
        return _by_browser(journey, error)
    journey.pulls = bool(message or finished)
    if message and wants_all(output) and not depth:
        return await _pull(journey, address, depth="0")
    if message and not is_there_already(content, [*output, message]):
        journey.failure = explain_pull(content, message, output)
    elif not message and not finished:  # something else answers at its address
        journey.failure = no_nbgitpuller(journey.image)
    return journey.failure is None


def _by_browser(journey: Journey, error: Exception) -> bool:
    """Where the server can't be reached from here (a network policy, TLS within the hub), its own
    page pulls, which the reader's browser reaches."""
    log.info("A reader's server can't be reached from here; its own page pulls: %s", error)
    journey.to = journey.home + pulled(journey.launch)
    return True


async def _fetch(journey: Journey, address: str) -> bool:
    """Fetch content at a commit; whether it is there."""
    content = journey.launch.content
    assert content
    output = ""
    try:
        async with aclosing(journey.hub.type(address, command(content))) as said:
            async for text in said:
                output += text
                journey.lines.clear()
                journey.lines += readable(output)
                if ended(output) is not None:
                    break
    except httpclient.HTTPError as error:
        if error.code != 404:
            raise
        journey.failure = no_terminals(content)
        return False
    if ended(output) != 0:
        journey.failure = explain_pull(content, "", readable(output))
    return journey.failure is None


async def _look(journey: Journey, address: str) -> None:
    """Rather say that the file is not there than open a page that says nothing."""
    launch = journey.launch
    if launch.target.view not in (LAB, NOTEBOOK) or not launch.target.file:
        return
    path = "/".join(part for part in (launch.folder, launch.target.file) if part)
    try:
        there = await journey.hub.has_file(address, path)
    except HubDown as error:  # what opens it will say it
        log.info("It can't be told whether a file is there: %s", error)
        return
    if not there:
        journey.failure = no_such_file(launch.content, launch.target.file)


def where_else(journey: Journey) -> str:
    """What can be opened all the same when something failed: the content's folder, or nothing in
    particular."""
    if not (journey.failure and journey.failure.still and journey.home):
        return ""
    at_content = journey.failure.where == OPEN
    folder = journey.launch.folder if at_content else ""
    return journey.home + Target().url_path(folder)
