"""Let a colleague open exactly this: a file of a running server, in the same environment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NoReturn

from hub_groups.patience import in_time
from hub_groups.words import _
from hub_quotas.prospects import say_size

from . import provenance
from .addresses import LaunchError
from .copying import read_file
from .fitting import Running
from .hub_client import HubDown, ReaderState, Tried, message_of
from .launch import Launch, Target
from .links import Link, Source
from .links_page import MakingPage
from .making import PEOPLE, read_form
from .provenance import Traced
from .repositories import problem_with
from .sharing import (
    check_size,
    clean_path,
    options_to_share,
    say_bytes,
    say_options,
    say_used,
)
from .snapshots import Snapshots

log = logging.getLogger("group-quotas")

_USUAL_DAYS = 30
_PATIENCE = 20
"""Seconds for git to say where a file comes from."""
_SWEEP_SECONDS = 20
_MOST_SHOWN = 500
_AUDIENCE = ("for", "people", "group", "until")


@dataclass(frozen=True)
class Offer:
    """What would travel.

    Attributes:
        file: its path on the server; `size`: in bytes.
        tried: what the environment comes to.
        ssh: whether readers need a key for the repository.
    """

    server: Running
    file: str
    size: int
    traced: Traced
    tried: Tried
    ssh: bool = False

    @property
    def seen(self) -> str:
        """To tell whether it is still what somebody has looked at."""
        content = self.traced.content
        return f"{content.repository}@{content.ref}" if content else "copy"

    @property
    def source(self) -> Source:
        one = self.server
        return Source(options_to_share(one.options), one.image, one.digest)


class SharePage(MakingPage):
    """Pick a file, see what would travel, make the link."""

    async def get(self) -> None:
        said = {
            name: self.get_query_argument(name, "", strip=False)
            for name in ("server", "folder", "file")
        }
        state = await self.hub.state({})
        server = _server(state, said["server"] if self._says("server") else None)
        if server is None:
            await self._browse(state, None)
            return
        try:
            if said["file"]:
                await self._offer(state, await self._look(state, server, said["file"]))
                return
            folder = clean_path(said["folder"], "folder")
            await self._browse(state, server, folder)
        except LaunchError as error:
            self.set_status(400)
            await self._browse(state, server, problem=str(error), typed=said["file"])

    async def post(self) -> None:
        state = await self.hub.state({})
        server = _server(state, self.get_body_argument("server", ""))
        if server is None:
            raise LaunchError(_("This server does not run any more."))
        offer = await self._look(state, server, self.get_body_argument("file", "", strip=False))
        typed = {name: self.get_body_argument(name, "") for name in _AUDIENCE}
        typed["for"] = typed["for"] or PEOPLE  # nobody shares with all by mistake
        copies = bool(self.get_body_argument("copy", ""))
        try:
            if offer.seen != self.get_body_argument("seen", ""):
                raise LaunchError(_("The file has changed in the meantime. This would travel now:"))
            link = await self._make(state, offer, typed, copies)
        except LaunchError as error:
            self.set_status(400)
            await self._offer(state, offer, typed, str(error), copies)
            return
        what = f"snapshot {link.snapshot}" if link.snapshot else offer.seen
        log.info("%s shares a file by the link %s: %s", self.user, link.id, what)
        self.done(_("The link is made."), f"{self.context.prefix}links/{link.id}")

    def _says(self, name: str) -> bool:
        return name in self.request.query_arguments

    # -- what would travel -------------------------------------------------------------------------

    async def _look(self, state: ReaderState, server: Running, typed: str) -> Offer:
        """What sharing a file would hand on.

        Raises:
            LaunchError: it can't be shared.
        """
        path, address = clean_path(typed), state.addresses[server.name]
        try:
            found = await self.hub.entry(address, path, content="0")
        except HubDown as error:
            _say_down(error)
        if found is None:
            raise LaunchError(_("There is no file '{file}' on your server.").format(file=path))
        if found["type"] == "directory":
            raise LaunchError(_("'{file}' is a folder; choose a file in it.").format(file=path))
        tried = (await self.hub.state({}, options=options_to_share(server.options))).wanted
        traced, ssh = await self._reachable(await self._trace(address, path))
        return Offer(server, path, int(found.get("size") or 0), traced, tried, ssh)

    async def _trace(self, address: str, path: str) -> Traced:
        """Where the server says that a file comes from."""

        async def typed() -> str:
            output = ""
            async with aclosing(self.hub.type(address, provenance.command(path))) as said:
                async for text in said:
                    output += text
                    if provenance.is_over(output):
                        break
            return output

        try:
            return provenance.read(await in_time(typed(), _PATIENCE), path)
        except asyncio.TimeoutError:
            return provenance.read("", path)
        except HubDown as error:
            log.info("Where a file comes from can't be asked: %s", error)
            return Traced(why=_("this server has no terminals, so git can't be asked"))

    async def _reachable(self, traced: Traced) -> tuple[Traced, bool]:
        """The same where readers can have it without a login; and whether they need a key."""
        if traced.content is None:
            return traced, False
        https = provenance.over_https(traced.content)
        if https and not await problem_with(https):
            return Traced(https, traced.file), False
        if await problem_with(traced.content):
            return Traced(why=_("its repository can't be read without a login")), False
        return traced, traced.content.repository.startswith("ssh:")

    async def _make(
        self, state: ReaderState, offer: Offer, typed: Mapping[str, str], copies: bool
    ) -> Link:
        """Raises LaunchError."""
        shared, at = self.shared, self.shared.store.clock()
        terms = read_form(typed, {}, at).terms
        if content := None if copies else offer.traced.content:
            launch = Launch(content, target=Target(file=offer.traced.file))
            make = shared.store.make
            return await self.ask(make, launch, self.user, terms, source=offer.source)
        check_size(offer.size)
        try:
            data = await read_file(self.hub, state.addresses[offer.server.name], offer.file)
        except HubDown as error:
            _say_down(error)
        launch = Launch(target=Target(file=offer.file.rpartition("/")[2]))
        keep = shared.snapshots.share
        try:
            return await self.ask(keep, launch, self.user, terms, offer.source, data)
        except OSError:
            log.exception("A snapshot can't be kept")
            raise LaunchError(
                _("This hub can't keep a copy at the moment. Tell an admin of this hub.")
            ) from None

    # -- what is shown -----------------------------------------------------------------------------

    async def _browse(
        self,
        state: ReaderState,
        server: Running | None,
        folder: str = "",
        problem: str = "",
        typed: str = "",
    ) -> None:
        entries: Sequence[tuple[str, str, bool]] = ()
        if server:
            try:
                entries = await self._entries(state.addresses[server.name], folder)
            except LaunchError as error:
                self.set_status(400)
                problem = problem or str(error)
        self.show(
            "share.html",
            servers=sorted(state.ready),
            server=server,
            folder=folder,
            parts=_parts(folder),
            entries=entries[:_MOST_SHOWN],
            more=len(entries) > _MOST_SHOWN,
            problem=problem,
            typed=typed,
            used=say_used(await self.ask(self.shared.snapshots.used, self.user)),
        )

    async def _entries(self, address: str, folder: str) -> list[tuple[str, str, bool]]:
        """Name, path, and whether it is a folder. Raises LaunchError."""
        try:
            found = await self.hub.entry(address, folder, type="directory")
        except HubDown as error:
            _say_down(error)
        if found is None:
            raise LaunchError(_("There is no folder '{file}' on your server.").format(file=folder))
        entries = [one for one in found["content"] if not one["name"].startswith(".")]
        entries.sort(key=lambda one: (one["type"] != "directory", one["name"].lower()))
        return [(one["name"], one["path"], one["type"] == "directory") for one in entries]

    async def _offer(
        self,
        state: ReaderState,
        offer: Offer,
        typed: Mapping[str, str] | None = None,
        problem: str = "",
        copies: bool = False,
    ) -> None:
        managed = await self.ask(self.shared.groups.managed_by, self.user)
        end = datetime.now(timezone.utc) + timedelta(days=_USUAL_DAYS)
        usual = {**dict.fromkeys(_AUDIENCE, ""), "until": f"{end:%Y-%m-%d}"}
        source, tried = offer.source, offer.tried
        on = (say_options(source.options), say_size(tried.limits))
        self.show(
            "share_file.html",
            offer=offer,
            folder=offer.file.rpartition("/")[0],
            size=say_bytes(offer.size),
            on=" · ".join(part for part in on if part),
            source=source,
            typed=typed or usual,
            problem=problem,
            copies=copies,
            groups=sorted({*state.charges, *state.groups, *managed}),
            used=say_used(await self.ask(self.shared.snapshots.used, self.user)),
        )


def _server(state: ReaderState, name: str | None) -> Running | None:
    """The running server of a name; the first where nobody says which."""
    ready = [one for one in state.servers if one.name in state.ready]
    return next((one for one in ready if name is None or one.name == name), None)


def _parts(folder: str) -> list[tuple[str, str]]:
    """Name and path of a folder and those above it."""
    names = folder.split("/") if folder else []
    return [(name, "/".join(names[: at + 1])) for at, name in enumerate(names)]


def _say_down(error: Exception) -> NoReturn:
    """Raises LaunchError: a server does not give what was asked for."""
    log.info("A server does not answer the page about sharing: %s", error)
    if getattr(error, "code", 599) in (400, 403):
        raise LaunchError(
            _("Your server does not give this: {problem}").format(problem=message_of(error))
        )
    raise LaunchError(_("Your server can't be reached from this page. Tell an admin of this hub."))


async def keep_sweeping(snapshots: Snapshots) -> None:
    """Remove snapshots soon after their links have ended."""
    while True:
        try:
            await asyncio.to_thread(snapshots.sweep)
        except Exception as error:  # the database, or the disk: the next time
            log.warning("Snapshots of links that have ended can't be removed: %s", error)
        await asyncio.sleep(_SWEEP_SECONDS)
