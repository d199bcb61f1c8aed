"""What the launch pages share: the store in a thread, and what a click comes to for its reader."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from tornado import web

from hub_groups.names import PeopleError, check_not_reserved
from hub_groups.store import GroupStore, StoreError
from hub_groups.web import CheckedPage, Context, Visit
from hub_groups.words import _, language

from .addresses import LaunchError, normal_hub
from .building import Builder
from .clicks import Asked, Click, Clicks, Found, Made, short
from .hub_client import HubDown, ReaderHub, Tried
from .hub_forms import SIGNED as SIGNED_FIELD
from .hub_forms import read_resolved_query
from .journeys import Journeys
from .launch import Environment, Launch, environment_of
from .links import PLAIN, Link
from .repositories import commit_of
from .snapshots import Snapshots
from .store import LinkStore

log = logging.getLogger("group-quotas")

T = TypeVar("T")

_FLUSH_SECONDS = 5
_MOST_COUNTED = 10_000
_RECENT_SECONDS, _MOST_RECENT = (0.5, 1.5), 500


class Counts:
    """How far launches get: kept in memory for some seconds, so that a click writes nothing."""

    def __init__(self, store: LinkStore) -> None:
        self._store = store
        self._new: Counter[tuple[str, int, str]] = Counter()

    def __call__(self, link: str, stage: str) -> None:
        if link and len(self._new) < _MOST_COUNTED:
            self._new[link, int(time.time()) // 86_400, stage] += 1

    async def flush(self) -> None:
        new, self._new = self._new, Counter()
        try:
            await asyncio.to_thread(self._store.count, new)
        except StoreError as error:  # they are kept for the next time
            log.warning("How far launches got can't be stored now: %s", error.orig)
            self._new.update(new)

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()


class Recent(Generic[T]):
    """What was asked for in the last second or so is worked out once: for a class that clicks on a
    link, and for somebody who reloads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[float, asyncio.Future[T]]] = {}
        """By when they are too old, in seconds of the monotonic clock."""

    async def get(self, work_out: Callable[[], Coroutine[Any, Any, T]], *key: str) -> T:
        """What it came to the last time, or comes to. Raises what `work_out` does."""
        now = time.monotonic()
        until, found = self._known.get(key, (now, None))
        if found is None or until <= now:
            found = asyncio.ensure_future(work_out())
            if len(self._known) >= _MOST_RECENT:
                self._known = {k: v for k, v in self._known.items() if v[0] > now}
            # Not all for as long: what began together would be worked out anew together.
            self._known[key] = (now + random.uniform(*_RECENT_SECONDS), found)  # noqa: S311
            found.add_done_callback(functools.partial(self._keep_no_error, key))
        # Another may wait for it, when the one who asked first has gone.
        return await asyncio.shield(found)

    def _keep_no_error(self, key: tuple[str, ...], done: asyncio.Future[T]) -> None:
        if done.cancelled() or done.exception():
            self._known.pop(key, None)

    def forget(self, first: str | None = None) -> None:
        """Something has changed: all that begins with this, or all."""
        kept = {key: v for key, v in self._known.items() if key[0] != first}
        self._known = {} if first is None else kept


@dataclass(frozen=True)
class Answer:
    """What a click comes to.

    Attributes:
        pages: those that say so, by the XSRF token that is in them.
    """

    click: Click
    pages: dict[str, str] = field(default_factory=dict)


@dataclass
class Shared:
    """What all launch pages of this process have."""

    context: Context
    store: LinkStore
    groups: GroupStore
    clicks: Clicks
    counts: Counts
    journeys: Journeys
    snapshots: Snapshots
    builder: Builder | None = None
    answers: Recent[Answer] = field(default_factory=Recent)
    """By user, address and language."""
    found: Recent[Found] = field(default_factory=Recent)
    """By id or token."""

    def forget(self) -> None:
        """A link or a key is no longer what it was: from this click on."""
        self.answers.forget()
        self.found.forget()


class Desk(Visit):
    """Behind every page and every address of launches."""

    shared: Shared

    def initialize(self, shared: Shared) -> None:  # type: ignore[override]
        super().initialize(shared.context)
        self.shared = shared

    async def ask(self, call: Callable[..., T], *values: Any, **named: Any) -> T:
        """`call(*values)` in a thread."""
        return await asyncio.to_thread(call, *values, **named)

    @property
    def hub(self) -> ReaderHub:
        """The hub, asked with the reader's own login."""
        return ReaderHub(self.context, self.user, self.hub_auth.get_token(self) or "")

    @property
    def hub_address(self) -> str:
        """This hub as the reader's browser sees it; ends with `/`."""
        if said := self.context.settings["public_url"]:
            return normal_hub(str(said))
        host = self.settings["hub_host"] or f"{self.request.protocol}://{self.request.host}"
        return normal_hub(f"{host}{self.context.hub.removesuffix('hub/')}")

    async def problems_with(self, launch: Launch) -> tuple[list[str], Tried]:
        """Why a launch would not work for who asks, as far as the hub and the quotas can say; and
        what it comes to.

        Raises:
            HubDown: the hub does not answer.
        """
        form, _made, why_not = await self._environment(launch.environment, self.user)
        state = await self.hub.state(form, self.user)
        if why_not:
            return [why_not], state.wanted
        tried = state.wanted
        if tried.problem:
            text = _("This hub can't start what the link asks for: {problem}")
            return [text.format(problem=tried.problem)], tried
        charges = [launch.group] if launch.group else state.charges
        ask = self.shared.clicks.prospects
        said = await self.ask(ask, self.user, charges, [tried], "", state.admin)
        return [prospect.why for prospect in said if not prospect.allowed], tried

    async def _environment(
        self, env: Environment, by: str
    ) -> tuple[Mapping[str, str], Made | None, str]:
        """The fields of the hub's form; the image that has to be among them; and why it can't be
        had.

        Raises:
            HubDown: the hub does not answer.
        """
        if not env.repository:
            return env.form, None, ""
        takes = (await self.hub.state(env.form, by)).takes_image
        if self.shared.builder is None or takes is None:
            text = _("This hub makes no environments of repositories, and {repository} is one.")
            return env.form, None, text.format(repository=env.repository)
        commit = await commit_of(env.repository, env.ref) or env.ref
        image = await self.ask(self.shared.store.built, env.repository, commit)
        form = {**env.form, "profile": takes.profile}
        made = Made(env.repository, commit, form, takes.field, image)
        return made.with_image(image) if image else form, made, ""

    async def check_joins(self, launch: Launch) -> None:
        """Raises LaunchError where a link would let readers join a group that is not theirs to
        give."""
        if not launch.join:
            return
        try:
            check_not_reserved(launch.group)
        except PeopleError as error:
            raise LaunchError(str(error)) from None
        managed = self.shared.groups.managed_by
        if launch.group not in await self.ask(managed, self.user):
            text = _("Only who manages {group} can let readers join it.")
            raise LaunchError(text.format(group=launch.group))


class LaunchPage(Desk, CheckedPage):
    """A page about launches."""

    who = who_changes = None

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # The address may hold a signed link, which is nobody else's business.
        self.set_header("Referrer-Policy", "no-referrer")

    async def come_in(self) -> None:
        """Everybody who is a user."""

    async def check(self, who: Any) -> None:
        if self.current_user.get("kind", "user") != "user":
            raise web.HTTPError(403, _("Only users have servers to launch something on."))

    # -- which link --------------------------------------------------------------------------------

    async def recent_answer(self, id: str = "") -> Answer:
        """What the link of this address comes to, or came to a moment ago.

        Raises:
            LaunchError: there is none, or it can't work.
            HubDown: the hub does not answer.
        """

        async def work_out() -> Answer:
            return Answer(await self.click(await self.find_link(id)))

        key = (self.user, self.request.uri or "", language())
        return await self.shared.answers.get(work_out, *key)

    async def find_link(self, id: str = "") -> Found:
        """The link of this address.

        Raises:
            LaunchError: there is none, or it can't work.
        """
        clicks, token = self.shared.clicks, self.get_query_argument(SIGNED_FIELD, "")
        if id:
            return await self._found(clicks.stored, id)
        if token:
            return await self._found(clicks.signed, token)
        launch = read_resolved_query(self.request.query)
        repository = launch.content.repository if launch.content else ""
        plain = short(f"plain:{repository}") if repository else ""
        return Found(Link(PLAIN, launch, id=plain))

    async def _found(self, read: Callable[[str], Found], what: str) -> Found:
        ask = functools.partial(self.ask, read, what)
        if self.request.method == "GET":
            return await self.shared.found.get(ask, what)
        return await ask()  # something will be done with it: as it is now

    # -- what it comes to --------------------------------------------------------------------------

    async def click(self, found: Found, form: Mapping[str, str] | None = None) -> Click:
        """What a link comes to for the reader.

        Args:
            form: what they have chosen instead of what the link asks for.

        Raises:
            HubDown: the hub does not answer.
        """
        hub, clicks, link = self.hub, self.shared.clicks, found.link
        fields, asked = form, Asked(self.user, self.hub_address, form)
        if fields is None:
            fields, made, why_not = await self._environment(link.launch.environment, link.by)
            asked = replace(asked, made=made, why_not=why_not)
        options = link.source.options if link.source and form is None else None
        state = await hub.state(fields, link.by, options=options)
        click = await self.ask(clicks.work_out, found, state, asked)
        if click.refused:
            others = (await hub.state({}, choices=True)).offered
            click = await self.ask(clicks.offer, click, others, self.user)
        return click

    def log_exception(self, *info: Any) -> None:
        """Nothing of an address: it may hold a signed link. What a link says wrong is no fault."""
        if not isinstance(info[1], (LaunchError, web.HTTPError, *HubDown)):
            log.error("A launch page failed: %s", self.request.path, exc_info=info)
        elif not isinstance(info[1], LaunchError):
            log.warning("%s: %s", self.request.path, info[1])

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, LaunchError):
            self.set_status(400)
            self.show("error.html", status=400, message=str(error))
        elif isinstance(error, (StoreError, *HubDown)) and not isinstance(error, web.HTTPError):
            self.set_status(503)
            text = _("This hub does not answer as it should at the moment. Try again in a minute.")
            self.show("error.html", status=503, message=text)
        else:
            super().write_error(status_code, **kwargs)


def instead(launch: Launch, form: Mapping[str, str]) -> Launch:
    """A launch with what its reader has chosen instead."""
    return replace(launch, environment=environment_of(form))
