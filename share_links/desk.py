"""What the launch pages share: the store in a thread, and what a click comes to for its reader."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tornado import web

from hub_groups.store import GroupStore, StoreError
from hub_groups.web import CheckedPage, Context, Visit
from hub_groups.words import _, language
from hub_quotas.prospects import Prospect, prospects
from hub_quotas.requests import Request
from hub_quotas.store import QuotaStore
from hub_quotas.store import open_store as open_quota_store
from hub_quotas.transaction import LedgerError
from hub_quotas.windows import read_zone

from .addresses import LaunchError, normal_hub
from .fitting import REUSE, Fitting, Wanted, fitting
from .hub_client import HubDown, Offered, ReaderHub, ReaderState, Tried
from .hub_forms import SIGNED as SIGNED_FIELD
from .hub_forms import read_resolved_query
from .journeys import Journeys
from .launch import Launch, environment_of
from .links import PLAIN, SIGNED, Link, Source, agreement, is_trusted, say_refusal
from .sharing import say_difference
from .snapshots import Snapshots
from .store import LinkStore
from .tokens import verify

log = logging.getLogger("group-quotas")

T = TypeVar("T")

_FLUSH_SECONDS = 5
_MOST_COUNTED = 10_000
_RECENT_SECONDS, _MOST_RECENT = 1.0, 5_000


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


class Recent:
    """What clicks came to in the last second, so that somebody who reloads, or a script of theirs,
    costs the hub no more than one click a second."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[float, Click]] = {}

    def get(self, key: tuple[str, ...]) -> Click | None:
        at, click = self._known.get(key, (-_RECENT_SECONDS, None))
        return click if time.monotonic() - at < _RECENT_SECONDS else None

    def put(self, key: tuple[str, ...], click: Click) -> None:
        now = time.monotonic()
        if len(self._known) >= _MOST_RECENT:
            known = self._known.items()
            self._known = {k: v for k, v in known if now - v[0] < _RECENT_SECONDS}
        if len(self._known) < _MOST_RECENT:
            self._known[key] = (now, click)

    def forget(self, user: str) -> None:
        """Somebody has changed something."""
        self._known = {key: v for key, v in self._known.items() if key[0] != user}


@dataclass
class Shared:
    """What all launch pages of this process have."""

    context: Context
    store: LinkStore
    groups: GroupStore
    counts: Counts
    journeys: Journeys
    snapshots: Snapshots
    recent: Recent = field(default_factory=Recent)

    def quotas(self) -> QuotaStore | None:
        """The ledger; None where hub_quotas is not attached. In a thread.

        Raises:
            LedgerError: it can't be reached.
        """
        said = self.context.settings["quotas"]
        if not said:
            return None
        return open_quota_store(said["db_url"], read_zone(said["time_zone"]), said["hub_name"])

    def request(self, tried: Tried) -> Request:
        """What a choice asks for, counted as this hub does."""
        said = self.context.settings["quotas"] or {}
        counted = (said[name] for name in ("charged", "capped", "clamp"))
        return Request(tried.limits, tried.guarantees, *counted)


@dataclass(frozen=True)
class Click:
    """What a click comes to, for its reader, now.

    Attributes:
        problem: why nothing can come of it, whatever they do; empty where something can.
        fitting: what can be done.
        trusted: whether who made the link needs no question.
        agreed: whether the reader has said once that they trust it.
        joins: the group that they would become a member of.
        prospects: what would be said of the server, by way; none where there are no quotas.
        offered: what else the hub has that would start, with what would be said of it.
        form_first: whether the reader has to choose on the hub's own form.
        closed: whether the link is over, or not for them: what it launches is none of their
            business then.
        differs: what would not be as it was where a file was shared; empty for nothing.
    """

    link: Link
    state: ReaderState
    fitting: Fitting
    problem: str = ""
    trusted: bool = False
    agreed: bool = False
    joins: str = ""
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    offered: Sequence[tuple[Offered, Prospect]] = ()
    form_first: bool = False
    closed: bool = False
    differs: str = ""

    @property
    def asks(self) -> bool:
        """Whether anything is asked before it goes on."""
        known = self.trusted or self.agreed
        plain = len(self.fitting.ways) == 1 and self.allows(self.fitting.ways[0])
        return bool(not known or self.joins or self.differs or not plain)

    def allows(self, way: str) -> bool:
        """Whether the quotas let a way be gone."""
        return way not in self.prospects or self.prospects[way].allowed


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

    async def prospects(
        self, charges: Sequence[str], tried: Sequence[Tried], without: str
    ) -> list[Prospect]:
        """What the quotas say of servers that the reader may start.

        Args:
            charges: the groups that may be charged.
            without: the session of a server that would have stopped by then.
        """
        shared, currency = self.shared, self.context.settings["quotas"]["currency"]
        requests = [shared.request(one) for one in tried]

        def ask() -> list[Prospect]:
            store = shared.quotas()
            assert store
            return prospects(store, shared.groups, self.user, charges, requests, currency, without)

        try:
            return await self.ask(ask) if requests else []
        except LedgerError:
            text = _("Quotas can't be checked at the moment, so no server can start.")
            return [Prospect(False, "", text) for _unused in requests]

    async def managed(self, by: str, groups: Sequence[str]) -> list[str]:
        """Which of some groups a user manages."""
        if not by or not groups:
            return []

        def ask() -> list[str]:
            found = self.shared.groups.managers(groups)
            return [group for group in groups if by in found.get(group, ())]

        return await self.ask(ask)

    async def problems_with(self, launch: Launch) -> tuple[list[str], Tried]:
        """Why a launch would not work for who asks, as far as the hub and the quotas can say; and
        what it comes to.

        Raises:
            HubDown: the hub does not answer.
        """
        state = await self.hub.state(launch.environment.form, self.user)
        tried = state.wanted
        if tried.problem:
            text = _("This hub can't start what the link asks for: {problem}")
            return [text.format(problem=tried.problem)], tried
        if not self.context.settings["quotas"]:
            return [], tried
        charges = [launch.group] if launch.group else state.charges
        (prospect,) = await self.prospects(charges, [tried], "")
        return [] if prospect.allowed else [prospect.why], tried

    async def check_joins(self, launch: Launch) -> None:
        """Raises LaunchError where a link would let readers join a group that is not theirs to
        give."""
        if launch.join and launch.group not in await self.managed(self.user, [launch.group]):
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

    async def recent_click(self, id: str = "") -> Click:
        """What the link of this address comes to, or came to a moment ago.

        Raises:
            LaunchError: there is none, or it can't work.
            HubDown: the hub does not answer.
        """
        recent = self.shared.recent
        key = (self.user, self.request.uri or "", language())
        click = recent.get(key)
        if click is None:
            click = await self.click(await self.find_link(id))
            recent.put(key, click)
        return click

    async def find_link(self, id: str = "") -> Link:
        """The link of this address.

        Raises:
            LaunchError: there is none, or it can't work.
        """
        store = self.shared.store
        if id:
            link = await self.ask(store.link, id)
            if link is None:
                raise LaunchError(_("There is no such link here."))
            return link
        token = self.get_query_argument(SIGNED_FIELD, "")
        if not token:
            launch = read_resolved_query(self.request.query)
            repository = launch.content.repository if launch.content else ""
            return Link(PLAIN, launch, id=_short(f"plain:{repository}") if repository else "")
        return await self.ask(_signed, store, token)

    # -- what it comes to --------------------------------------------------------------------------

    async def click(self, link: Link, form: Mapping[str, str] | None = None) -> Click:
        """What a link comes to for the reader.

        Args:
            form: what they have chosen instead of what the link asks for.

        Raises:
            HubDown: the hub does not answer.
        """
        env = link.launch.environment
        asked = dict(env.form if form is None else form)
        hub, now = self.hub, self.shared.store.clock()
        source = link.source if form is None else None
        options = source.options if source else None
        state = await hub.state(asked, link.by, options=options)
        reason = link.refuse(self.user, state.groups, self.hub_address, now)
        problem = say_refusal(reason, link.by) if reason else ""
        joins, not_joined = await self._joins(link, state)
        anything = not env and form is None and source is None
        if options is None:
            # What can't be started fits no server: but one that was, when it could be.
            options = asked if state.wanted.problem else state.wanted.options
        wanted = Wanted(options, anything, link.launch.group, state.defaults)
        topic = link.launch.folder or link.launch.target.file.rpartition("/")[2] or "launch"
        fit = fitting(wanted, state.servers, state.main, topic, state.named_allowed, state.stopped)
        starts = [way for way in fit.ways if way in ("start", "named", "restart")]
        form_first = bool(anything and not state.form_known and "start" in starts)
        problem = problem or not_joined
        if not problem and starts and not form_first:
            problem = state.wanted.problem and _(
                "This hub can't start what the link asks for: {problem}"
            ).format(problem=state.wanted.problem)
        managed = await self.managed(link.by, [*state.groups, *([joins] if joins else [])])
        click = Click(
            link,
            state,
            fit,
            problem,
            trusted=is_trusted(link, self.user, state.by_admin, managed),
            agreed=await self.ask(self.shared.store.has_agreed, self.user, agreement(link)),
            joins=joins,
            form_first=form_first,
            closed=bool(reason),
            differs=_difference(source, fit, state),
        )
        if reason or not_joined or (problem and not state.wanted.problem):
            return click
        return await self._with_quotas(click, starts)

    async def _with_quotas(self, click: Click, starts: Sequence[str]) -> Click:
        """What the quotas say of the ways, and of other choices where none is allowed."""
        launch, state = click.link.launch, click.state
        if not starts or click.form_first or self.shared.context.settings["quotas"] is None:
            return click
        charges = [launch.group] if launch.group else list(state.charges)
        if launch.group and launch.group not in (*state.charges, click.joins):
            text = _("You are not a member of the group '{group}', which this link charges.")
            return replace(click, problem=text.format(group=launch.group))
        in_the_way = click.fitting.in_the_way
        session = state.sessions.get(in_the_way.name, "") if in_the_way else ""
        found = {}
        if not state.wanted.problem:
            for way in starts:
                without = session if way == "restart" else ""
                (found[way],) = await self.prospects(charges, [state.wanted], without)
            click = replace(click, prospects=found)
            if any(one.allowed for one in found.values()):
                return click
        others = (await self.hub.state({}, choices=True)).offered
        others = tuple(one for one in others if not one.tried.problem)
        said = await self.prospects(charges, [one.tried for one in others], session)
        fit = [(one, what) for one, what in zip(others, said, strict=True) if what.allowed]
        return replace(click, offered=fit)

    async def _joins(self, link: Link, state: ReaderState) -> tuple[str, str]:
        """The group that the reader would join; or why not."""
        group = link.launch.group
        if not link.launch.join or group in (*state.groups, *state.charges):
            return "", ""
        if state.by_admin or group in await self.managed(link.by, [group]):
            return group, ""
        text = _("This link lets you join {group}, but nobody who manages that group has made it.")
        return "", text.format(group=group)

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


def _signed(store: LinkStore, token: str) -> Link:
    """The link that a token is; by the user whose key has signed it."""

    def public(id: str) -> str | None:
        key = store.key(id)
        return key.public if key else None

    signed = verify(token, public)
    key = store.key(signed.key)
    id = _short(token)
    by = key.user if key else ""
    revoked = key is None or store.is_revoked(id)
    return Link(SIGNED, signed.launch, signed.terms, by, id, revoked=revoked)


def _difference(source: Source | None, fit: Fitting, state: ReaderState) -> str:
    """What the reader would have in another way than who shared a file."""
    if source is None:
        return ""
    used = [one for one in state.servers if one.name == fit.server and fit.ways[0] == REUSE]
    image = used[0].image if used else state.wanted.image
    return say_difference(source, image, used[0].digest if used else "")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def instead(launch: Launch, form: Mapping[str, str]) -> Launch:
    """A launch with what its reader has chosen instead."""
    return replace(launch, environment=environment_of(form))
