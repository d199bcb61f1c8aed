"""The spawner mixin: a server is charged before it starts, and no longer when it has ended."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from hub_groups.config import HubGroups
from hub_groups.store import StoreError
from hub_groups.store import open_store as open_group_store
from hub_groups.words import _, choose, in_english, speak

from .charged_group import ChargedGroupMixin
from .config import ALLOW, HubQuotas
from .corrections import correct_end, known_as, name_of
from .decision import Answer, Decision
from .limits import CHARGED_GROUP, PolicyError
from .messages import reasons, told, tried
from .more import Link, to_more
from .off_loop import off_loop, outbox
from .policy_store import now
from .quantities import QuantityError
from .readers import Found, as_started, hold, read
from .reconcile import adopt, servers
from .refusal import REFUSALS, Refused, uncount
from .refusals import note_refusal
from .requests import Request
from .rescue import small
from .rescue_server import RescueMixin
from .sessions import ALLOWED, SESSION, new_id
from .store import SEEN
from .transaction import LedgerError

LEDGER = "quota-ledger"
"""The code of refusals while the ledger can't be reached."""

_polling: ContextVar[bool] = ContextVar("polling", default=False)


class QuotaMixin(ChargedGroupMixin, RescueMixin):
    """Put around whatever spawner class the hub is configured with.

    The hook traits (`pre_spawn_hook`, `options_form` and so on) stay the admin's: this overrides
    the methods that run them, and runs them first.
    """

    quota_settings: HubQuotas  # these three are set by `with_quotas`
    group_settings: HubGroups

    # What this uses of the class below.
    orm_spawner: Any
    user_options: dict[str, Any]
    name: str
    pending: str | None
    log: logging.Logger
    hub: Any

    charged_first = True
    """Before `start`; else within it."""

    session_id: str | None = None
    allowed: dict[str, Any] | None = None  # started while the ledger could not be reached
    charged_group = ""  # that of the session; hub_groups asks, of who has left one
    _named: str | None = None  # the session of a start, in the hub's database already
    _is_up = False
    _told_to_stop = False
    alive_at: int | None = None  # by the last poll that found it running

    def speak(self) -> None:
        """From now on, in this task, in the language of whoever asks for the server."""
        handler = self.handler
        speak(choose(handler.request.headers.get("Accept-Language", "")) if handler else "en")

    # -- start -------------------------------------------------------------------------------

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Name the session of a start. The hub commits right after this and before the pre-spawn
        hook: a commit of our own would hold up its event loop once more.

        For the spawn page, the hub runs this too, and does not commit. What is changed there it
        rolls back, and reads each of its running servers anew.
        """
        await maybe_future(super().run_auth_state_hook(auth_state))  # type: ignore[misc]
        if self.pending == "spawn":
            self._named = new_id(now())
            self.orm_spawner.state = {**self.get_state(), SESSION: self._named}

    async def run_pre_spawn_hook(self) -> None:
        """Decide last, when nothing changes the server's limits any more."""
        await maybe_future(super().run_pre_spawn_hook())  # type: ignore[misc]
        await self.charge()

    async def charge(self) -> Decision | None:
        """Reserve what this server takes, or refuse it. None where the ledger can't be reached and
        the hub is to go on without it.

        The session's id is in the hub's database before it is in the ledger: an open session that
        no server of the hub names has ended, however the hub died (see `reconcile.py`).
        """
        self.speak()
        await self._tell_end()  # of a server that has died, which the hub is about to notice
        groups = self.groups_to_try()
        self._is_up = self._told_to_stop = False
        self.alive_at = None
        await self.look_for_room()
        found, request = await self.request()
        if self.rescue:
            request = small(request)
        named, self._named = self._named, None
        session = named or new_id(now())
        self.session_id = session
        servers.add(session, self)
        stored = (self.orm_spawner.state or {}).get(SESSION)
        if stored != session or self.orm_spawner in self.user.db.dirty:
            self.save_state()
        who = (self.user.id, self.user.name)
        try:
            granted, why, code, noted, way = await off_loop(
                self._reserve, session, *who, groups, request, self.profile(), self.user.admin
            )
        except (LedgerError, PolicyError) as error:
            if self.quota_settings.on_outage == ALLOW:
                self._allow(groups[0], request, error)
                return None
            self.log.error("The quota ledger can't be used; %s refused: %s", self._who, error)
            self._let_go()
            raise self.refuse(
                _(
                    "Quotas can't be checked at the moment, so no server can start. Try again in "
                    "a minute; if it stays like this, tell an admin of this hub."
                ),
                reason=LEDGER,
                status=503,
            ) from None
        if granted is None:
            self._let_go()
            raise self.refuse(why, code, noted=noted, way=way)
        if self.session_id != session:  # the hub's stop of the server before took this for it
            await outbox.tell(
                f"a start of {self._who} that came to nothing",
                lambda: self.quota_settings.store().void(session, "overtaken"),
            )
            raise self.overtaken()
        hold(self, found, granted.gets.limits, granted.gets.guarantees)
        self.charged_group = granted.group
        self.log.info("%s is charged to %s", self._who, granted.group)
        return granted

    def _let_go(self) -> str | None:
        """It has no session any more; returns the one that it had."""
        session, self.session_id, self.charged_group = self.session_id, None, ""
        if session:
            servers.remove(session)
        return session

    async def request(self) -> tuple[Found, Request]:
        """What this server asks for, and how that counts."""
        try:
            found = await read(self)
        except QuantityError as error:
            raise self.refuse(
                _("This server's configuration can't be understood: {error}").format(error=error),
                "quota-request",
                400,
            ) from None
        return found, self.quota_settings.request(*found.asked)

    async def choices(self) -> list[tuple[str, Request]]:
        """What can be started from the spawn page: names, and what each asks for."""
        started = await as_started(self)
        return [("", self.quota_settings.request(*(await read(started)).asked))]

    def profile(self) -> str:
        """What the user chose the server by, for reports."""
        return str((self.user_options or {}).get("profile") or "")

    def _reserve(
        self,
        id: str,
        number: int,
        user: str,
        groups: list[str],
        request: Request,
        profile: str,
        admin: bool,
    ) -> tuple[Decision | None, str, str, str, Link | None]:
        """What is granted; or the words and the code of a refusal, what is kept of it, and where
        to get more.

        In a thread: nothing here may touch the hub's own database.
        """
        store = self.quota_settings.store()
        try:
            # A user who is new to the ledger is noted when the server is up: one commit less.
            if name_of(store, number) is not None:
                known_as(store, number, user)
        except LedgerError as error:  # of names only; if there is more, it comes again
            self.log.warning("%s starts without the history of an earlier name: %s", user, error)
        policy = store.policy()
        order = policy.in_order(groups)
        answer = store.reserve(
            *(id, user, self.name, order, request), profile=profile, always=self.first_rescue
        )
        if answer.granted:
            return answer.granted, "", "", "", None
        kept = in_english(reasons, answer.decisions)
        return None, *self.words(user, answer, admin), kept, to_more(answer.decisions[0], admin)

    def words(self, user: str, answer: Answer, admin: bool) -> tuple[str, str]:
        """The words and the code of a refusal. In a thread."""
        store = self.quota_settings.store()
        policy = store.policy()
        groups = open_group_store(self.group_settings.db_url)
        try:
            members = groups.managers(tried(policy, answer))
        except StoreError as error:  # without their names
            self.log.error("The managers of groups can't be read: %s", error.orig)
            members = {}
        again = store.again(user, answer.decisions[0])
        return told(policy, answer, members, again, now(), store.zone, admin)

    def _allow(self, group: str, request: Request, error: Exception) -> None:
        """Go on without the ledger, which hears of it when it is back (see `reconcile.py`)."""
        self.log.warning("%s starts though the ledger can't be reached: %s", self._who, error)
        amounts = {"servers": 1, **request.amounts}
        self.charged_group = group
        self.allowed = {"group": group, "amounts": amounts, "since": now()}
        self.save_state()

    def take_up(self, group: str) -> None:
        """It runs without a session, as it was started before this package was there: from now on
        it has one, as if it had been allowed without the ledger. So this hub, or if it is killed
        before, the next one tells of it."""
        self._is_up, self.session_id = True, new_id(now())
        self.charged_group = group
        self.allowed = {"group": group, "amounts": {"servers": 1}, "since": now()}
        self.save_state()
        servers.add(self.session_id, self)

    async def start(self) -> Any:
        """The server is up: what was reserved for it is in use."""
        self.speak()
        if self.charged_first and self.session_id is None:
            raise self.overtaken()
        address = await maybe_future(super().start())  # type: ignore[misc]
        self._is_up = True
        self.alive_at = now()
        session = self.session_id
        if session is None:
            raise self.overtaken()
        if not self.allowed:
            # Not waited for: the hub is about to look whether the server answers.
            number, name = self.user.id, self.user.name

            def started() -> None:
                store = self.quota_settings.store()
                store.start(session)
                if name_of(store, number) is None:
                    known_as(store, number, name)

            outbox.tell_soon(f"the start of {self._who}", started)
        return address

    def refuse(
        self,
        text: str,
        reason: str,
        status: int = 403,
        noted: str = "",
        way: Link | None = None,
    ) -> Refused:
        """The exception to raise. It is also kept for a while, for when its user asks for help.

        The hub has stored the options already, and would take them again for the next start that
        gives none: who once asked for too much would be refused for ever.

        Args:
            noted: what is kept beside the code; in English.
            way: where whoever is refused gets more; its address is below that of the pages.
        """
        self._refused = True
        self.orm_spawner.user_options = {}
        self.user.db.commit()
        uncount(self)
        REFUSALS.labels(reason).inc()
        self.log.info("Refused %s (%s)", self._who, reason)
        if reason != LEDGER:  # which could not be told of it
            self._note(reason, noted)
        usage = f"{self.hub.base_url.removesuffix('hub/')}services/quotas/"
        links = [(usage, _("See what you use")), (f"{usage}help", _("Get help"))]
        if way:
            links.insert(0, (f"{usage}{way[0]}", way[1]))
        return Refused(text, links, reason, status)

    def _note(self, reason: str, noted: str) -> None:
        id, user, server = new_id(now()), self.user.name, self.name

        def note() -> None:
            note_refusal(self.quota_settings.store(), id, user, server, reason, noted)

        outbox.tell_soon(f"a refusal of {self._who}", note)

    @property
    def _who(self) -> str:
        return f"{self.user.name}:{self.name}"

    # -- end ---------------------------------------------------------------------------------

    async def poll(self) -> Any:
        token = _polling.set(True)
        try:
            status = await maybe_future(super().poll())  # type: ignore[misc]
        finally:
            _polling.reset(token)
        if status is None:
            self.alive_at = now()
        return status

    async def stop(self, now: bool = False) -> Any:
        if not _polling.get():  # some spawners tidy up with it when a poll finds the server gone
            self._told_to_stop = True
        return await maybe_future(super().stop(now))  # type: ignore[misc]

    def ended_at(self) -> int | None:
        """When a server ended that nobody stopped, where there is evidence."""
        return None

    async def run_post_stop_hook(self) -> None:
        """The end of a server, however it came, also of one that never came up."""
        await self._tell_end()
        await maybe_future(super().run_post_stop_hook())  # type: ignore[misc]

    async def _tell_end(self) -> None:
        session, allowed, self.allowed = self._let_go(), self.allowed, None
        if session:
            if self._told_to_stop or not self._is_up:
                reason, at = "stopped" if self._is_up else "failed", now()
            else:
                found = self.ended_at() or self.alive_at
                reason, at = "died", SEEN if found is None else found

            user, name = self.user.name, self.name

            def close() -> None:
                store = self.quota_settings.store()
                if allowed:
                    adopt(store, session, user, name, allowed)
                if not store.close_session(session, reason, at) and at != SEEN:
                    correct_end(store, session, reason, at)

            await outbox.tell(f"the end of {self._who}", close)

    def overtaken(self) -> Refused:
        return self.refuse(
            _("The server was stopped while it started. Start it again."), "quota-stopped", 409
        )

    # -- what the hub remembers --------------------------------------------------------------

    def save_state(self) -> None:
        self.orm_spawner.state = self.get_state()
        self.user.db.commit()

    # Not tied to clear_state: local spawners call that when the process is gone, before the
    # post-stop hook asks which session has ended.
    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        ours = {
            SESSION: self.session_id,
            ALLOWED: self.allowed,
            CHARGED_GROUP: self.charged_group,
        }
        return {**state, **{key: value for key, value in ours.items() if value}}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self.session_id = state.get(SESSION)
        self.allowed = state.get(ALLOWED)
        self.charged_group = state.get(CHARGED_GROUP, "")
        self._is_up = bool(self.session_id)
        if self.session_id:
            servers.add(self.session_id, self)


def with_quotas(spawner: type, quotas: HubQuotas, groups: HubGroups) -> type:
    """`spawner` with the mixin over it; the same class again where it is there already."""
    if issubclass(spawner, QuotaMixin):
        spawner.quota_settings, spawner.group_settings = quotas, groups
        return spawner
    mixin: type
    if hasattr(spawner, "load_user_options"):
        from .kube import KubeQuotaMixin, ProfilesQuotaMixin

        mixin = KubeQuotaMixin if hasattr(spawner, "get_pod_manifest") else ProfilesQuotaMixin
    else:
        mixin = QuotaMixin
    # Another name than the wrapped class, or traitlets would apply that class's section twice.
    return type(
        f"Quota{spawner.__name__}",
        (mixin, spawner),
        {
            "__module__": spawner.__module__,
            "__doc__": spawner.__doc__,
            "quota_settings": quotas,
            "group_settings": groups,
            "base_query": spawner.options_from_query is Spawner.options_from_query,  # type: ignore[attr-defined]
        },
    )
