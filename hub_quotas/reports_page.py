"""Where does the money go? A month of a group, to look at, to print and to take along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from urllib.parse import quote

from tornado.httputil import url_concat

from hub_groups.words import _, ngettext

from .access import Who
from .costs import (
    MONEY,
    Line,
    Report,
    Spending,
    hours,
    money,
    month_after,
    month_before,
    month_of,
    parse_month,
    print_month,
)
from .desk import QuotaPage, no_such_group
from .ledger import added
from .limits import PolicyError
from .policy import DEFAULT_GROUP, WHOLE_HUB, Policy, group_name
from .policy_store import now
from .reports import charged_groups, csv_file, file_name, read_report
from .spending import Running, member_spending, running_costs, spending_of
from .svg import Svg, bars
from .windows import WindowError

LINES = 100
"""How many lines a table of the page has; the CSV and the API have all."""

SUGGESTED = 500
"""How many groups the form names; others can be typed."""


class ReportsPage(QuotaPage):
    """What my groups cost, and which reports there are."""

    who = Who.MANAGES_ANY

    async def get(self) -> None:
        group = self.get_query_argument("group", "")
        month = self.get_query_argument("month", "") or print_month(
            month_of(now(), self.store.zone)
        )
        if not self.request.query_arguments:
            await self.ask(group, month)
            return
        policy = await self.policy()
        try:
            group = group_name(group)
            parse_month(month)
        except (PolicyError, WindowError) as error:
            why = error.why if isinstance(error, PolicyError) else str(error)
            await self.ask(group, month, why, 400)
            return
        if not self.access.sees(policy, group):
            await self.ask(group, month, no_such_group(), 404)
            return
        self.redirect(self.address(group, month))

    def address(self, group: str, month: str) -> str:
        return url_concat(f"{self.context.prefix}reports/{quote(group, safe='')}", {"month": month})

    async def ask(self, group: str, month: str, wrong: str = "", status: int = 200) -> None:
        policy = await self.policy()
        mine = [WHOLE_HUB] if self.access.reads else sorted(self.access.managed)
        spending, known = await asyncio.to_thread(self._look, policy, mine)
        self.set_status(status)
        self.show(
            "reports.html",
            spending=spending,
            stored=any(cost.stored for cost in spending.values()),
            known=known,
            group=group,
            month=month,
            wrong=wrong,
            priced=bool(policy.prices),
            quote=quote,
        )

    def _look(self, policy: Policy, mine: list[str]) -> tuple[dict[str, Spending], list[str]]:
        known = sorted({*charged_groups(self.store), *policy.groups, *mine})
        seen = [name for name in known if self.access.sees(policy, name)]
        return spending_of(self.store, mine), seen[:SUGGESTED]


@dataclass(frozen=True)
class Present:
    """What can be said only while a month lasts."""

    group: Spending
    members: dict[str, Spending]
    running: list[Running]


class ReportPage(ReportsPage):
    """A group in a month."""

    who = Who.SEES

    async def get(self, group: str) -> None:  # type: ignore[override]
        group = self.group_of_path()
        text = self.get_query_argument("month", "") or print_month(month_of(now(), self.store.zone))
        try:
            month = parse_month(text)
        except WindowError as error:
            await self.ask(group, text, str(error), 400)
            return
        if not await self._is_known(group):
            why = _("There is no group called {group} here.").format(group=group)
            await self.ask(group, text, why, 404)
            return
        if self.get_query_argument("format", "") == "csv":
            file = await asyncio.to_thread(csv_file, self.store, group, month)
            await self.send(file, "text/csv; charset=utf-8", file_name(group, month))
            return
        report, present, policy = await asyncio.to_thread(self._read, group, month)
        priced = bool(policy.prices or report.total.cost)
        self.show(
            "report.html",
            report=report,
            present=present,
            priced=priced,
            plot=plot(report, priced, self.context.settings["currency"]),
            tables=tables(report),
            hours=hours,
            unit_of=lambda name: hour_titles([name])[name],
            most=LINES,
            units=hour_titles(report.resources),
            say_month=say_month,
            text=print_month(month),
            before=print_month(month_before(month)) if month.year > 1970 else "",
            after=print_month(month_after(month)) if report.until == report.end else "",
            zone=self.context.settings["time_zone"],
            until=datetime.fromtimestamp(report.until // 10**6, timezone.utc).astimezone(
                self.store.zone
            ),
            quote=quote,
            whole_hub=WHOLE_HUB,
        )

    async def _is_known(self, group: str) -> bool:
        """Whether the hub or the policy has a group, or anything was ever charged to it; or to one
        below it."""
        policy, in_hub = await self.policy(), await self.directory.groups()
        charged = await asyncio.to_thread(charged_groups, self.store)
        known = {WHOLE_HUB, DEFAULT_GROUP, *charged, *policy.groups, *in_hub}
        return any(group in policy.path(name) for name in known)

    def _read(self, group: str, month: date) -> tuple[Report, Present | None, Policy]:
        report = read_report(self.store, group, month)
        policy = self.store.policy()
        if report.until == report.end or report.until == report.begin:
            return report, None, policy
        shown = [line.name for line in report.members[:LINES]]
        present = Present(
            spending_of(self.store, [group])[group],
            member_spending(self.store, group, shown),
            running_costs(self.store, group),
        )
        return report, present, policy


@dataclass(frozen=True)
class Table:
    """Some lines of a report, and the sum of those that there is no room for."""

    lines: Sequence[Line]
    rest: Line | None


def tables(report: Report) -> dict[str, Table]:
    """The tables of the page."""
    parts = {"members": report.members, "groups": report.groups, "profiles": report.profiles}
    return {name: table(lines) for name, lines in parts.items()}


def table(lines: Sequence[Line]) -> Table:
    others = lines[LINES:]
    if not others:
        return Table(lines, None)
    name = ngettext("{n} other", "{n} others", len(others)).format(n=len(others))
    used = added(line.used for line in others)
    return Table(lines[:LINES], Line(name, used, sum(line.credited for line in others)))


def plot(report: Report, priced: bool, currency: str) -> Svg:
    """What each day cost; or, where nothing has a price, how much CPU it took; or how long servers
    ran, where none has a limit of CPU."""
    if priced:
        values = [line.cost / MONEY for line in report.days]
        says = [f"{line.name}: {money(line.cost, currency)}" for line in report.days]
        title = _("Cost of each day")
    else:
        counted = report.resources[0]
        if counted == "cpu":
            text, title = _("{day}: {hours} CPU-hours"), _("CPU-hours of each day")
        else:
            counted = "servers"
            text, title = _("{day}: {hours} server-hours"), _("Server-hours of each day")
        used = [line.used.get(counted, 0) for line in report.days]
        values = [float(amount) for amount in used]
        says = [
            text.format(day=line.name, hours=hours(counted, amount))
            for line, amount in zip(report.days, used, strict=True)
        ]
    labels = [str(int(line.name[-2:])) for line in report.days]
    most = says[values.index(max(values))] if any(values) else ""
    desc = _("Most on {day}.").format(day=most) if most else ""
    return bars(values, labels, title, says, desc)


def hour_titles(resources: Sequence[str]) -> dict[str, str]:
    """What the columns are called, by resource."""
    known = {
        "cpu": _("CPU-hours"),
        "memory": _("GiB-hours"),
        "gpu": _("GPU-hours"),
        "servers": _("Server-hours"),
        "storage": _("GiB-months of storage"),
    }
    return {name: known.get(name, f"{name}-hours") for name in resources}


def say_month(month: date) -> str:
    """`October 2026`."""
    names = (
        *(_("January"), _("February"), _("March"), _("April"), _("May"), _("June")),
        *(_("July"), _("August"), _("September"), _("October"), _("November"), _("December")),
    )
    return _("{month} {year}").format(month=names[month.month - 1], year=month.year)
