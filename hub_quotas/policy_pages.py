"""Plans, prices, and the whole policy: as forms, and as the YAML of the command line."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from hub_groups.words import _

from .access import NotAllowed, Who
from .changes import GROUP_ENTRY, PLAN, PRICES, Entry, differences, documents, put
from .desk import QuotaPage, say_conflict
from .files import FileError, parse_text
from .history import sizes_missing, what_if
from .limit_fields import (
    changed_keys,
    half_typed,
    merged,
    read_typed,
    say_saved,
    texts_of,
    typed_limits,
)
from .limits import KEYS, Limit, PolicyError
from .policies import Conflict, Held
from .policy import Policy, print_policy
from .prices import print_prices
from .quantities import whole
from .storage_store import agents_report
from .whatif import WhatIf, say_size_needed

_WRONG = (PolicyError, NotAllowed, FileError)
_LARGEST = 2_000_000


class PolicyPage(QuotaPage):
    """What these pages share."""

    who = Who.READS
    who_changes = Who.ADMIN

    def expected(self, entry: Entry) -> dict[Entry, int]:
        version = whole(self.get_body_argument("version", ""))
        return {} if version is None else {entry: version}

    async def held(self) -> Held:
        return await asyncio.to_thread(self.store.held)


class PlansPage(PolicyPage):
    """All plans, each with its limits and the groups that have it."""

    async def get(self) -> None:
        await self._show_plans()

    async def post(self) -> None:
        form = {key: self.get_body_argument(key) for key in self.request.body_arguments}
        name = form.get("plan", "").strip()
        entry = (PLAN, name)
        read, wrong = read_typed("", typed_limits(form))
        marks = wrong | half_typed(form)
        why = next((f"{key}: {text}" if key in wrong else text for key, text in marks.items()), "")
        if not name:
            why = marks["plan"] = _("Name the plan.")
        if why:
            self.set_status(400)
            await self._show_plans(typed=form, wrong=why, marks=marks)
            return
        gone = form.get("action") == "remove"

        def change(policy: Policy) -> Policy:
            limits = documents(policy).get(entry, {}).get("limits", {})
            limits = merged(limits, typed_limits(form), read)
            return put(policy, {entry: None if gone else {"limits": limits}})

        if "check" in form:
            before = await self.policy()
            after = change(before)
            found = await asyncio.to_thread(what_if, self.store, before, after)
            said = [found.text, *map(say_size_needed, found.sizes)]
            await self._show_plans(typed=form, preview=" ".join(said))
            return
        earlier = await self.policy()
        try:
            held = await self.edit(change, form.get("why", ""), self.expected(entry))
        except _WRONG as error:
            self.set_status(400)
            await self._show_plans(typed=form, wrong=str(error))
        except Conflict as error:
            self.set_status(409)
            await self._show_plans(typed=form, wrong=say_conflict(error))
        else:
            keys = changed_keys(_limits(earlier, name), _limits(held.policy, name))
            agents = await asyncio.to_thread(agents_report, self.store)
            done = _("Removed.") if gone else say_saved(keys, agents)
            having = [g.name for g in held.policy.groups.values() if g.plan == name]
            sizes = await asyncio.to_thread(sizes_missing, self.store, held.policy, *having)
            self.done(" ".join([done, *map(say_size_needed, sizes)]))

    async def _show_plans(
        self,
        typed: dict[str, str] | None = None,
        wrong: str = "",
        preview: str = "",
        marks: Mapping[str, str] = {},
    ) -> None:
        """Args:
        marks: by key of a limit, or by the name of a field, why it can't be read.
        """
        held = await self.held()
        having: dict[str, list[str]] = {}
        for group in held.policy.groups.values():
            if group.plan:
                having.setdefault(group.plan, []).append(group.name)
        self.show(
            "plans.html",
            plans=[
                (name, texts_of(plan.limits), sorted(having.get(name, [])))
                for name, plan in sorted(held.policy.plans.items())
            ],
            versions=held.versions,
            sources=held.sources,
            keys=KEYS,
            typed=typed or {},
            wrong=wrong,
            marks=marks,
            preview=preview,
        )


def _limits(policy: Policy, plan: str) -> tuple[Limit, ...]:
    return policy.plans[plan].limits if plan in policy.plans else ()


class PricesPage(PolicyPage):
    """The price book: what a unit costs, from which day on."""

    async def get(self) -> None:
        held = await self.held()
        self._show_prices(held, _book(held.policy))

    async def post(self) -> None:
        rows = self._rows()
        entries = [
            {key: value for key, value in row.items() if value} for row in rows if any(row.values())
        ]
        entry = (PRICES, "")
        try:
            await self.edit(
                lambda policy: put(policy, {entry: entries}),
                self.get_body_argument("why", ""),
                self.expected(entry),
            )
        except (*_WRONG, Conflict) as error:
            overtaken = isinstance(error, Conflict)
            self.set_status(409 if overtaken else 400)
            why = say_conflict(error) if isinstance(error, Conflict) else str(error)
            self._show_prices(await self.held(), rows, wrong=why)
        else:
            self.done(_("Saved. Servers that start from now on cost that, and storage."))

    def _rows(self) -> list[dict[str, str]]:
        """What was typed, row by row."""
        columns = {
            name: self.get_body_arguments(name) for name in (*_PRICED, "other", "other_price")
        }
        found = []
        for number in range(max((len(values) for values in columns.values()), default=0)):
            row = {
                n: v[number].strip()[:100] if number < len(v) else "" for n, v in columns.items()
            }
            other, price = row.pop("other"), row.pop("other_price")
            found.append({**row, **({other: price} if other else {})})
        return found

    def _show_prices(self, held: Held, rows: list[dict[str, str]], wrong: str = "") -> None:
        entry = (PRICES, "")
        self.show(
            "prices.html",
            rows=[*rows, {}],
            columns=_PRICED,
            version=held.versions.get(entry, 0),
            source=held.sources.get(entry, ""),
            wrong=wrong,
        )


_PRICED = ("since", "cpu", "memory", "gpu", "servers", "storage")


def _book(policy: Policy) -> list[dict[str, str]]:
    return [{k: str(v) for k, v in entry.items()} for entry in print_prices(policy.prices)]


class ExchangePage(PolicyPage):
    """The whole policy as a file, out and in; and groups from a table."""

    async def get(self) -> None:
        if self.get_query_argument("format", "") == "yaml":
            held = await self.held()
            self.set_header("Content-Type", "application/yaml; charset=utf-8")
            self.set_header("Content-Disposition", 'attachment; filename="quotas.yaml"')
            self.finish(as_yaml(held.policy))
            return
        await self._show_exchange()

    async def post(self) -> None:
        """Show what would change; with `apply`, change it."""
        text, kind = self._sent()
        before = await self.held()
        try:
            if len(text) > _LARGEST:
                raise FileError(_("This file is too large."))
            after = await asyncio.to_thread(self._read, text, kind, before.policy)
            self.may_become(before.policy, after)
            todo = differences(before.policy, after)
            if self.get_body_argument("apply", ""):
                why = self.get_body_argument("why", "") or "import"  # stored, so in English
                version = self.get_body_argument("version", "")
                if version != str(before.version):
                    raise FileError(
                        _("The policy was changed since you looked. Look at the differences again.")
                    )
                await self.edit(lambda policy: self._read(text, kind, policy), why)
                self.done(_("Imported."))
                return
        except (*_WRONG, Conflict) as error:
            self.set_status(400)
            await self._show_exchange(text, kind, wrong=str(error))
            return
        found = await asyncio.to_thread(what_if, self.store, before.policy, after)
        seen = await self.overviews.latest(self.store)
        new = [g for g in await self.never_seen(after, seen) if g not in before.policy.groups]
        await self._show_exchange(
            text, kind, todo=todo, version=before.version, never_seen=new, found=found
        )

    def _sent(self) -> tuple[str, str]:
        for kind in ("policy", "table"):
            for file in self.request.files.get(f"{kind}_file", []):
                if file["body"]:
                    return file["body"].decode("utf-8-sig", "replace"), kind
        kind = "table" if self.get_body_argument("table", "").strip() else "policy"
        return self.get_body_argument(kind, "", strip=False), kind

    def _read(self, text: str, kind: str, before: Policy) -> Policy:
        return read_table(text, before) if kind == "table" else parse_text(text, "policy")

    async def _show_exchange(
        self,
        text: str = "",
        kind: str = "policy",
        todo: list[Any] | None = None,
        version: int = 0,
        wrong: str = "",
        never_seen: Sequence[str] = (),
        found: WhatIf | None = None,
    ) -> None:
        held = await self.held()
        self.show(
            "exchange.html",
            text=text,
            kind=kind,
            todo=todo,
            version=version,
            sources=sorted(set(held.sources.values())),
            wrong=wrong,
            never_seen=never_seen,
            found=found,
            say_size_needed=say_size_needed,
        )


def as_yaml(policy: Policy) -> str:
    """As `hub-quotas apply` reads it."""
    return yaml.safe_dump(print_policy(policy), sort_keys=False, allow_unicode=True, width=100)


def read_table(text: str, before: Policy) -> Policy:
    """`before` with the groups of a CSV table: the column `group`, and any of `plan`, `parent`,
    `managers`, `priority` and keys of limits. An empty cell leaves what is there.

    Raises:
        FileError: a column is not known, or a row has no group; with its line.
        PolicyError: what stands in a cell can't be read.
    """
    try:
        return _read_table(text, before)
    except csv.Error as error:
        raise FileError(_("This is not CSV: {why}.").format(why=error)) from None


def _read_table(text: str, before: Policy) -> Policy:
    reader = csv.DictReader(io.StringIO(text.strip(), newline=None))
    columns = [name.strip() for name in reader.fieldnames or []]
    known = ("group", "plan", "parent", "managers", "priority")
    for name in columns:
        if name not in known and name not in KEYS and "/" not in name:
            all_of = ", ".join(known)
            raise FileError(
                _("The column '{name}' is not known. There are: {known}, and limits.").format(
                    name=name, known=all_of
                )
            )
    if "group" not in columns:
        raise FileError(_("The first line names the columns, and one of them is 'group'."))
    entries: dict[Entry, Any] = {}
    have = documents(before)
    for row in reader:
        cells = {(k or "").strip(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
        group = cells.pop("group", "").strip("/")
        if not group:
            raise FileError(_("Line {n} has no group.").format(n=reader.line_num))
        document = dict(have.get((GROUP_ENTRY, group), {}))
        limits = dict(document.get("limits", {}))
        for name, value in cells.items():
            if not value:
                continue
            if name == "managers":
                document[name] = value.replace(";", " ").split()
            elif name == "priority":
                document[name] = value
                with suppress(ValueError):  # else the policy says in its own words what is wrong
                    document[name] = int(value)
            elif name in known:
                document[name] = value
            else:
                limits[name] = value
        entries[GROUP_ENTRY, group] = {**document, **({"limits": limits} if limits else {})}
    return put(before, entries)
