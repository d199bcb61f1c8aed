"""The limits of each group and what is in use, for admins to change and managers to see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from tornado.httputil import url_concat

from .access import NotAllowed, Who
from .changes import edited
from .desk import QuotaPage
from .limits import GROUP, KEYS, Limit, PolicyError
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy, group_name
from .quantities import AMOUNT
from .requests import Amounts, in_use


@dataclass(frozen=True)
class GroupRow:
    """One group as the admin page shows it."""

    name: str
    limits: tuple[Limit, ...]
    use: Amounts
    managers: tuple[str, ...]

    @property
    def unset(self) -> list[str]:
        return [key for key in KEYS if key not in {limit.key for limit in self.limits}]

    @property
    def entries(self) -> list[tuple[Limit, str]]:
        """A limit of each key, and its text: several windows of one budget stand in one field."""
        texts: dict[str, list[str]] = {}
        for limit in self.limits:
            texts.setdefault(limit.key, []).append(limit.text)
        first = {limit.key: limit for limit in reversed(self.limits)}
        return [(first[key], ", ".join(values)) for key, values in texts.items()]

    def bar(self, limit: Limit) -> int | None:
        """What of a limit is in use now, where that makes a picture."""
        now = limit.scope == GROUP and limit.kind.kind == AMOUNT and limit.resource != "storage"
        return in_use(self.use, limit.resource) if now else None


@dataclass(frozen=True)
class Rejected:
    """A change that was not made: what was typed where, and why not."""

    group: str
    key: str
    amount: str
    why: str


class GroupsPage(QuotaPage):
    """The limits of each group and what is in use, for admins to change and managers to see."""

    who = Who.MANAGES_ANY

    async def get(self) -> None:
        await self._show_groups(changed=self.get_query_argument("changed", ""))

    who_changes = Who.MANAGES_ANY

    async def post(self) -> None:
        group = self.get_body_argument("group")
        key = self.get_body_argument("key")
        amount = self.get_body_argument("amount", "").strip()
        try:
            group = group_name(group)
            value = [part.strip() for part in amount.split(",")] if "," in amount else amount
            await self.edit(lambda policy: edited(policy, group, key, value or None))
        except (PolicyError, NotAllowed) as error:
            self.set_status(400 if isinstance(error, PolicyError) else 403)
            why = error.why if isinstance(error, PolicyError) else str(error)
            await self._show_groups(rejected=Rejected(group, key, amount, why))
            return
        self.redirect(url_concat(self.request.path, {"changed": group}))

    async def _show_groups(self, changed: str = "", rejected: Rejected | None = None) -> None:
        in_hub = [group["name"] for group in await self.context.hub_list("groups")]
        policy = await asyncio.to_thread(self.store.policy)
        rows = await asyncio.to_thread(self._rows, policy, in_hub)
        rows = [row for row in rows if self.access.sees(policy, row.name)]
        self.show("limits.html", rows=rows, changed=changed, rejected=rejected)

    def _rows(self, policy: Policy, in_hub: Iterable[str]) -> list[GroupRow]:
        use = self.store.group_use()
        known = {*map(group_name, in_hub), *policy.groups, *use, DEFAULT_GROUP}
        names = sorted(
            {above for name in known for above in policy.path(name)} - {WHOLE_HUB},
            key=lambda name: (name == DEFAULT_GROUP, name),  # the catch-all comes last
        )
        managers = self.groups.managers(names)
        return [
            GroupRow(
                name=name,
                limits=policy.limits_of(name),
                use=use.get(name, {}),
                managers=managers.get(name, ()),
            )
            for name in names
        ]
