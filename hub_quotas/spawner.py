"""The spawner mixin: a server is charged before it starts, and no longer when it has ended."""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from tornado import web

from hub_groups.attach import HUB_MAJOR
from hub_groups.config import HubGroups
from hub_groups.store import open_store as open_group_store

from .config import HubQuotas
from .decision import Answer, Decision
from .limits import CHARGED_GROUP, PolicyError
from .messages import refusal, say_instant
from .policy import DEFAULT_GROUP, Policy, group_name
from .refusal import Refused, uncount
from .sessions import new_id
from .store import now
from .transaction import LedgerError

_STATE_KEY = "quota_session"


class QuotaMixin:
    """Put around whatever spawner class the hub is configured with.

    The hook traits (`pre_spawn_hook`, `options_form` and so on) stay the admin's: this overrides
    the methods that run them, and runs them first.
    """

    quota_settings: HubQuotas  # these three are set by `with_quotas`
    group_settings: HubGroups
    base_query: bool

    # What this uses of the class below.
    user: Any
    handler: Any
    orm_spawner: Any
    user_options: dict[str, Any]
    name: str
    log: logging.Logger
    cpu_limit: float | None
    mem_limit: int | None
    hub: Any

    session_id: str | None = None
    _explicit = False
    _refused = False

    # -- life of a server --------------------------------------------------------------------

    async def run_pre_spawn_hook(self) -> None:
        """Decide last, when nothing changes the server's limits any more."""
        await maybe_future(super().run_pre_spawn_hook())  # type: ignore[misc]
        await self._charge()

    async def _charge(self) -> None:
        """Reserve what this server takes, or refuse it.

        The session's id is in the hub's database before it is in the ledger: an open session that
        no server of the hub names has ended, however the hub died (see `reconcile.py`).
        """
        groups = self._groups_to_try()
        self.session_id = new_id(now())
        self.orm_spawner.state = self.get_state()
        self.user.db.commit()
        try:
            granted, why = await asyncio.to_thread(
                self._reserve, self.session_id, self.user.name, groups, self.requested()
            )
        except (LedgerError, PolicyError):
            self.log.exception("The quota ledger can't be used; %s refused", self.user.name)
            raise self._refuse(
                "Quotas can't be checked at the moment, so no server can start. "
                "Try again in a minute; if it stays like this, tell an admin of this hub.",
                reason="quota-ledger",
                status=503,
            ) from None
        if granted is None:
            raise self._refuse(why)
        self._take(granted)

    def _reserve(
        self, id: str, user: str, groups: list[str], request: Mapping[str, int]
    ) -> tuple[Decision | None, str]:
        """What is granted, or the words of a refusal.

        In a thread: nothing here may touch the hub's own database.
        """
        store = self.quota_settings.store()
        policy = store.policy()
        answer = store.reserve(id, user, self.name, policy.in_order(groups), request)
        if answer.granted:
            return answer.granted, ""
        again = store.again(user, answer.decisions[0])
        when = say_instant(again, now(), store.zone) if again else ""
        return None, refusal(answer.decisions, self._managers(policy, answer), when)

    def _managers(self, policy: Policy, answer: Answer) -> dict[str, tuple[str, ...]]:
        """Of each group whose limits were looked at: by its memberships, and by the policy."""
        tried = {name for d in answer.decisions for name in policy.path(d.group)}
        members = open_group_store(self.group_settings.db_url).managers(tried)
        return {
            name: tuple(dict.fromkeys([*members.get(name, ()), *policy.managers(name)]))
            for name in tried
        }

    def requested(self) -> dict[str, int]:
        """What this server asks for, by resource; a resource without a limit is missing."""
        request: dict[str, int] = {}
        if self.cpu_limit:
            request["cpu"] = round(self.cpu_limit * 1000)
        if self.mem_limit:
            request["memory"] = int(self.mem_limit)
        return request

    def _take(self, decision: Decision) -> None:
        """Hold the server to what it is charged for, where it had no limit of its own."""
        if not self.cpu_limit and "cpu" in decision.amounts:
            self.cpu_limit = decision.amounts["cpu"] / 1000
        if not self.mem_limit and "memory" in decision.amounts:
            self.mem_limit = decision.amounts["memory"]
        self.log.info("%s:%s is charged to %s", self.user.name, self.name, decision.group)

    async def start(self) -> Any:
        """The server is up: what was reserved for it is in use."""
        address = await maybe_future(super().start())  # type: ignore[misc]
        if self.session_id:
            await self._tell_ledger("start", self.session_id)
        return address

    async def _tell_ledger(self, what: str, *values: str) -> None:
        """What has happened anyway: a ledger that can't be reached hears of it another time."""
        try:
            await asyncio.to_thread(getattr(self.quota_settings.store(), what), *values)
        except LedgerError:
            self.log.exception("Ledger not told (%s); the reconciler will", what)

    def _refuse(self, text: str, reason: str = "quota", status: int = 403) -> Refused:
        """The exception to raise.

        The hub has stored the options already, and would take them again for the next start that
        gives none: who once asked for too much would be refused for ever.
        """
        self.session_id = None
        self._refused = True
        self.orm_spawner.user_options = {}
        self.user.db.commit()
        uncount(self)
        usage = f"{self.hub.base_url.removesuffix('hub/')}services/quotas/"
        return Refused(text, (usage, "See what you use"), reason, status)

    async def run_post_stop_hook(self) -> None:
        """The end of a server, however it came, also of one that never came up."""
        session, self.session_id = self.session_id, None
        if session:
            await self._tell_ledger("close_session", session, "stopped")
        await maybe_future(super().run_post_stop_hook())  # type: ignore[misc]

    # Not tied to clear_state: local spawners call that when the process is gone, before the
    # post-stop hook asks which session has ended.
    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]
        return {**state, _STATE_KEY: self.session_id} if self.session_id else state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self.session_id = state.get(_STATE_KEY)

    # -- the charged group -------------------------------------------------------------------

    def _groups(self) -> list[str]:
        """The groups that this user can charge, in the order in which they are tried."""
        return sorted(group_name(group.name) for group in self.user.groups) or [DEFAULT_GROUP]

    def _groups_to_try(self) -> list[str]:
        groups = self._groups()
        chosen = (self.user_options or {}).get(CHARGED_GROUP)
        if not chosen:
            return groups
        if chosen in groups:
            return [chosen]
        asked_now = self._explicit or (
            self.handler is not None and CHARGED_GROUP.encode() in self.handler.request.body
        )
        if not asked_now:  # stored by an earlier start, before the user left that group
            return groups
        raise self._refuse(
            f"You are not a member of the group '{chosen}'. Choose one of: {', '.join(groups)}.",
            reason="quota-group",
        )

    async def get_options_form(self) -> str:
        """The admin's own form, after the choice of a group where there is one.

        After a refusal there is always a form: a hub without one would start the server at once
        with default options when a link's options were refused, and charge another group.
        """
        form: str = await maybe_future(super().get_options_form())  # type: ignore[misc]
        groups = self._groups()
        if len(groups) > 1:
            chosen = (self.user_options or {}).get(CHARGED_GROUP)
            return _group_choice(groups, chosen) + (form or "")
        return form or ("<p>Start it again?</p>" if self._refused else form)

    def run_options_from_form(self, form_data: dict[str, Any]) -> Any:
        data, group = self._split(form_data)
        return _join(super().run_options_from_form(data), group)  # type: ignore[misc]

    def options_from_query(self, query_data: dict[str, Any]) -> Any:
        if HUB_MAJOR < 6 and any(key.startswith("opt-") for key in query_data):
            # One form of link for 5.5 and 6, which takes the prefix off itself.
            query_data = {k[4:]: v for k, v in query_data.items() if k.startswith("opt-")}
        data, group = self._split(query_data)
        if self.base_query:  # which fails for a two-argument options_from_form
            return _join(super().run_options_from_form(data), group)  # type: ignore[misc]
        return _join(super().options_from_query(data), group)  # type: ignore[misc]

    def _split(self, data: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """The admin's own options and ours; values come as lists of strings."""
        self._explicit = True
        rest = dict(data)
        group = rest.pop(CHARGED_GROUP, None)
        return rest, group[0] if isinstance(group, list) and group else group

    async def _run_apply_user_options(self, user_options: dict[str, Any]) -> None:
        """An admin's strict apply_user_options need not know our option."""
        theirs = {key: value for key, value in user_options.items() if key != CHARGED_GROUP}
        await maybe_future(super()._run_apply_user_options(theirs))  # type: ignore[misc]


async def _join(options: Any, group: str | None) -> dict[str, Any]:
    found = await maybe_future(options)
    return {**(found or {}), CHARGED_GROUP: group} if group else found


def _group_choice(groups: list[str], chosen: str | None) -> str:
    options = [
        f'<option value="{html.escape(group)}"{" selected" if group == chosen else ""}>'
        f"{html.escape(group)}</option>"
        for group in groups
    ]
    return (
        f'<div class="mb-3"><label class="form-label" for="{CHARGED_GROUP}">Charge to</label>'
        f'<select class="form-select" id="{CHARGED_GROUP}" name="{CHARGED_GROUP}">'
        f'<option value="">The first of my groups that has room</option>{"".join(options)}'
        "</select></div>"
    )


class ProfilesQuotaMixin(QuotaMixin):
    """For spawners that apply profiles in start(), after the pre-spawn hook (KubeSpawner)."""

    async def run_pre_spawn_hook(self) -> None:
        await maybe_future(super(QuotaMixin, self).run_pre_spawn_hook())  # type: ignore[misc]

    async def load_user_options(self) -> None:
        try:
            await maybe_future(super().load_user_options())  # type: ignore[misc]
        except ValueError as error:  # a profile that does not exist; the hub would answer 500
            raise web.HTTPError(400, "%s", error) from None
        await self._charge()


def with_quotas(spawner: type, quotas: HubQuotas, groups: HubGroups) -> type:
    """`spawner` with the mixin over it; the same class again where it is there already."""
    if issubclass(spawner, QuotaMixin):
        spawner.quota_settings, spawner.group_settings = quotas, groups
        return spawner
    mixin = ProfilesQuotaMixin if hasattr(spawner, "load_user_options") else QuotaMixin
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
