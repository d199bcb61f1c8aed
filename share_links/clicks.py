"""What a click comes to for its reader, by what the hub has said and what is stored here.

All of it reads databases, and so runs in a thread: as few times for a click as can be, since a
busy process waits at each way there and back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hub_groups.store import GroupStore
from hub_groups.words import _
from hub_quotas.prospects import Prospect, prospects
from hub_quotas.requests import Request
from hub_quotas.store import QuotaStore
from hub_quotas.store import open_store as open_quota_store
from hub_quotas.transaction import LedgerError
from hub_quotas.windows import read_zone

from .addresses import LaunchError
from .fitting import NAMED, RESTART, REUSE, START, Fitting, Wanted, fitting
from .hub_client import Offered, ReaderState, Tried
from .links import SIGNED, Link, Source, agreement, is_trusted, say_refusal
from .sharing import say_difference
from .store import LinkStore
from .tokens import verify


@dataclass(frozen=True)
class Made:
    """The environment of a launch that names a repository for it.

    Attributes:
        ref: the commit, where it is known.
        form: the fields of the hub's form, but for `field`, which has the image.
        image: empty as long as it has to be made.
    """

    repository: str
    ref: str
    form: Mapping[str, str]
    field: str
    image: str = ""

    def with_image(self, image: str) -> dict[str, str]:
        """The fields of the form of a server that has it."""
        return {**self.form, self.field: image}


@dataclass(frozen=True)
class Asked:
    """What a reader asks for with a click.

    Attributes:
        hub: the address at which they ask.
        form: what they have chosen instead of what the link asks for; None for nothing.
        made: the environment, where it is made of a repository; `why_not`: it can't be.
    """

    reader: str
    hub: str
    form: Mapping[str, str] | None = None
    made: Made | None = None
    why_not: str = ""


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
        made: its environment, where that is made of a repository.
        refused: whether nothing that the link asks for can be started, but something else may.
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
    made: Made | None = None
    refused: bool = False

    @property
    def asks(self) -> bool:
        """Whether anything is asked before it goes on."""
        known = self.trusted or self.agreed
        plain = len(self.fitting.ways) == 1 and self.allows(self.fitting.ways[0])
        return bool(not known or self.joins or self.differs or not plain)

    def allows(self, way: str) -> bool:
        """Whether the quotas let a way be gone."""
        return way not in self.prospects or self.prospects[way].allowed

    @property
    def charges(self) -> Sequence[str]:
        """The groups that a server of it may be charged to."""
        group = self.link.launch.group
        return [group] if group else self.state.charges


@dataclass(frozen=True)
class Found:
    """The link of an address.

    Attributes:
        managed: the groups that whoever made it manages.
    """

    link: Link
    managed: Collection[str] = ()


@dataclass(frozen=True)
class Clicks:
    """Works clicks out. Every method reads databases.

    Attributes:
        ledger: what `hub_quotas` has handed over, where it is attached.
    """

    store: LinkStore
    groups: GroupStore
    ledger: Mapping[str, Any] | None

    def stored(self, id: str) -> Found:
        """The link with an id.

        Raises:
            LaunchError: there is none.
        """
        link = self.store.link(id)
        if link is None:
            raise LaunchError(_("There is no such link here."))
        return Found(link, self.groups.managed_by(link.by))

    def signed(self, token: str) -> Found:
        """The link that a token is; by the user whose key has signed it.

        Raises:
            LaunchError: it is none, nobody here has signed it, or it can't work.
        """
        id = short(token)
        by, revoked = "", False

        def public(key: str) -> str | None:
            nonlocal by, revoked
            author = self.store.author(key, id)
            by, revoked = (author.user, author.revoked) if author else ("", False)
            return author.public if author else None

        signed = verify(token, public)
        link = Link(SIGNED, signed.launch, signed.terms, by, id, revoked=revoked)
        return Found(link, self.groups.managed_by(by))

    def work_out(self, found: Found, state: ReaderState, asked: Asked) -> Click:
        """What a link comes to, but for what else the hub has."""
        link, form, reader = found.link, asked.form, asked.reader
        env, group = link.launch.environment, link.launch.group
        source = link.source if form is None else None
        anything = not env and form is None and source is None
        options = source.options if source else None
        if options is None:
            # What can't be started fits no server: but one that was, when it could be.
            fields = dict(env.form if form is None else form)
            options = fields if state.wanted.problem else state.wanted.options
        if asked.made and not asked.made.image:
            options = {"": asked.made.repository}  # no server has it yet
        wanted = Wanted(options, anything, group, state.defaults)
        topic = link.launch.folder or link.launch.target.file.rpartition("/")[2] or "launch"
        fit = fitting(wanted, state.servers, state.main, topic, state.named_allowed, state.stopped)
        starts = [way for way in fit.ways if way in (START, NAMED, RESTART)]
        form_first = bool(anything and not state.form_known and START in starts)
        asks_to_join = link.launch.join and group not in (*state.groups, *state.charges)
        may_join = asks_to_join and (state.by_admin or group in found.managed)
        of_reader = set(found.managed) & {*state.groups, *([group] if asks_to_join else [])}
        trusted = is_trusted(link, reader, state.by_admin, of_reader)
        reason = link.refuse(reader, state.groups, asked.hub, self.store.clock())
        problem = ""
        if reason:
            problem = say_refusal(reason, link.by)
        elif asks_to_join and not may_join:
            text = _(
                "This link lets you join {group}, but nobody who manages that group has made it."
            )
            problem = text.format(group=group)
        problem = problem or asked.why_not
        over = bool(problem)
        if not problem and starts and not form_first and state.wanted.problem:
            text = _("This hub can't start what the link asks for: {problem}")
            problem = text.format(problem=state.wanted.problem)
        click = Click(
            link,
            state,
            fit,
            problem,
            trusted=trusted,
            agreed=not trusted and self.store.has_agreed(reader, agreement(link)),
            joins=group if may_join else "",
            form_first=form_first,
            closed=bool(reason),
            differs=_difference(source, fit, state),
            made=asked.made,
        )
        if over or form_first or not starts or self.ledger is None:
            return click
        if group and group not in (*state.charges, click.joins):
            text = _("You are not a member of the group '{group}', which this link charges.")
            return replace(click, problem=text.format(group=group))
        if state.wanted.problem:
            return replace(click, refused=not env.repository)
        said = {}
        for way in starts:
            without = self._stopped(click) if way == RESTART else ""
            (said[way],) = self.prospects(
                reader, click.charges, [state.wanted], without, state.admin
            )
        # What else there is has not that environment.
        refused = not env.repository and not any(one.allowed for one in said.values())
        return replace(click, prospects=said, refused=refused)

    def offer(self, click: Click, others: Sequence[Offered], reader: str) -> Click:
        """A click with those of other choices that would start."""
        others = [one for one in others if not one.tried.problem]
        tried = [one.tried for one in others]
        said = self.prospects(reader, click.charges, tried, self._stopped(click))
        fit = [(one, what) for one, what in zip(others, said, strict=True) if what.allowed]
        return replace(click, offered=fit)

    def prospects(
        self,
        reader: str,
        charges: Sequence[str],
        tried: Sequence[Tried],
        without: str = "",
        admin: bool = False,
    ) -> list[Prospect]:
        """What the quotas say of servers that the reader may start.

        Args:
            charges: the groups that may be charged.
            without: the session of a server that would have stopped by then.
            admin: whether the reader is one of the hub.
        """
        if not tried or self.ledger is None:
            return []
        requests = [self.request(one) for one in tried]
        currency = self.ledger["currency"]
        try:
            store = self.quotas()
            groups = self.groups
            return prospects(store, groups, reader, charges, requests, currency, without, admin)
        except LedgerError:
            text = _("Quotas can't be checked at the moment, so no server can start.")
            return [Prospect(False, "", text) for _unused in requests]

    def quotas(self) -> QuotaStore:
        """The ledger, where there is one. Raises LedgerError."""
        said = self.ledger
        assert said is not None
        return open_quota_store(said["db_url"], read_zone(said["time_zone"]), said["hub_name"])

    def request(self, tried: Tried) -> Request:
        """What a choice asks for, counted as this hub does."""
        counted = (self.ledger[name] for name in ("charged", "capped", "clamp"))  # type: ignore
        return Request(tried.limits, tried.guarantees, *counted)

    @staticmethod
    def _stopped(click: Click) -> str:
        """The session of the server that would be stopped for it."""
        in_the_way = click.fitting.in_the_way
        return click.state.sessions.get(in_the_way.name, "") if in_the_way else ""


def _difference(source: Source | None, fit: Fitting, state: ReaderState) -> str:
    """What the reader would have in another way than who shared a file."""
    if source is None:
        return ""
    used = [one for one in state.servers if one.name == fit.server and fit.ways[0] == REUSE]
    image = used[0].image if used else state.wanted.image
    return say_difference(source, image, used[0].digest if used else "")


def short(text: str) -> str:
    """An id for what stands in no database."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
