"""The choice of the group that a server is charged to, in forms, links and the API."""

from __future__ import annotations

from typing import Any

from jupyterhub.utils import maybe_future

from hub_groups.attach import HUB_MAJOR
from hub_groups.words import _

from .limits import CHARGED_GROUP
from .policy import DEFAULT_GROUP, group_name
from .refusal import Refused
from .spawn_page import start_again, what_is_left


class ChargedGroupMixin:
    """Of `QuotaMixin`."""

    base_query: bool

    user: Any
    handler: Any
    user_options: dict[str, Any]

    _explicit = False
    _refused = False

    def refuse(self, text: str, reason: str, status: int = 403) -> Refused:
        raise NotImplementedError

    def groups(self) -> list[str]:
        """The groups that this user can charge, in the order in which they are tried."""
        return sorted(group_name(group.name) for group in self.user.groups) or [DEFAULT_GROUP]

    def groups_to_try(self) -> list[str]:
        groups = self.groups()
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
        raise self.refuse(
            _("You are not a member of the group '{chosen}'. Choose one of: {groups}.").format(
                chosen=chosen, groups=", ".join(groups)
            ),
            reason="quota-choice",
        )

    async def get_options_form(self) -> str:
        """The admin's own form, after what is left and the choice of a group where there is one.

        After a refusal there is always a form: a hub without one would start the server at once
        with default options when a link's options were refused, and charge another group.
        """
        form: str = await maybe_future(super().get_options_form())  # type: ignore[misc]
        groups = self.groups()
        if not form and len(groups) < 2:
            return start_again() if self._refused else form
        chosen = (self.user_options or {}).get(CHARGED_GROUP)
        return await what_is_left(self, groups, chosen, bool(form)) + (form or "")

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
