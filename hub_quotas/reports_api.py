"""What groups cost, and reports of them, for programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from pydantic import Field

from hub_groups.rest import Model, Nothing, Operation, Page, Raw, Refusal, paged

from .access import Who
from .costs import COST, Credit, Line, Report, Spending, exactly, parse_month, print_month
from .desk import QuotaRest, iso
from .reports import csv_file, file_name, read_report
from .spending import Running, member_spending, members_of, running_costs, spending_of
from .windows import WindowError

_GROUP = {"group": "Its name, with %2F for a slash; * is the whole hub"}


class Money(Model):
    """An amount of money."""

    amount: str = Field(description="In the hub's currency, rounded to six decimals")
    units: str = Field(
        description="Exactly: micro-currency per hour, times microseconds. 3.6e15 are one"
    )


class Costs(Model):
    """What something costs."""

    per_hour: str = Field(description="Now, in the hub's currency")
    so_far: Money = Field(description="In this month, credits taken off")
    storage: Money = Field(description="What storage is of that; known up to the last midnight")
    forecast: Money = Field(
        description="For the whole month: so far, and for the rest as much a day as in the last 7"
    )


class GroupCosts(Costs):
    """What a group costs, with all below it."""

    group: str
    currency: str = Field(description="As c.HubQuotas.currency says; may be empty")


class MemberCosts(Costs):
    """What a member costs in a group and below it."""

    user: str


class Members(Model):
    """What members cost."""

    items: list[MemberCosts]
    next: int | None = Field(description="The offset of what follows; null where nothing does")


class RunningServer(Model):
    """A server that runs."""

    session: str
    user: str
    server: str = Field(description="Empty for the default one")
    group: str
    profile: str
    since: str
    per_hour: str = Field(description="In the hub's currency")


class RunningServers(Model):
    """What runs, dearest first."""

    items: list[RunningServer]
    next: int | None = Field(description="The offset of what follows; null where nothing does")


class MyCosts(Model):
    """What I cost in each of my groups."""

    user: str
    groups: list[GroupCosts]


class ReportLine(Model):
    """What somebody or something used in the month."""

    name: str = Field(description="Empty for shared directories among members, and for no profile")
    hours: dict[str, str] = Field(
        description="By resource, rounded to six decimals; of storage GiB-hours"
    )
    cost: Money = Field(description="Without credits")
    credited: Money


class CreditLine(Model):
    """What was taken off what somebody used."""

    at: str
    user: str = Field(description="Empty where it is the group itself that was given it")
    group: str
    resource: str
    amount: str = Field(description="In hours, or in the hub's currency")
    units: str = Field(description="Exactly, in the resource's smallest unit, times microseconds")
    who: str
    why: str


class MonthReport(Model):
    """A group, with all below it, in a month."""

    group: str
    month: str
    currency: str
    begin: str
    until: str = Field(description="The end of the month, or now")
    complete: bool = Field(description="Whether the month is over")
    sessions: int
    total: ReportLine = Field(description="With the credits that the group itself was given")
    net: Money = Field(description="What there is to pay")
    storage: ReportLine = Field(description="What homes and shared directories are of the total")
    groups: list[ReportLine] = Field(description="Directly below it, and itself")
    profiles: list[ReportLine] = Field(description="Of servers: storage has none")
    days: list[ReportLine]
    credits: list[CreditLine]
    members: list[ReportLine] = Field(description="As many as asked for, dearest first")
    next: int | None = Field(description="The offset of more members; null where there are none")


class Month(Model):
    """Which month."""

    month: str = Field(description="In the hub's time zone: 2026-10")


class MonthPage(Month, Page):
    """Which month, and which of the members."""


def money_of(units: int) -> Money:
    return Money(amount=exactly(COST, units), units=str(units))


def rate_of(rate: int) -> str:
    """Micro-currency per hour, exactly."""
    return f"{rate // 10**6}.{rate % 10**6:06}"


def _costs(spending: Spending) -> dict[str, Any]:
    return {
        "per_hour": rate_of(spending.rate),
        "so_far": money_of(spending.so_far),
        "storage": money_of(spending.storage),
        "forecast": money_of(spending.forecast),
    }


def _line(line: Line) -> ReportLine:
    hours = {name: exactly(name, used) for name, used in line.used.items() if name != COST}
    return ReportLine(
        name=line.name, hours=hours, cost=money_of(line.cost), credited=money_of(line.credited)
    )


def _lines(lines: Iterable[Line]) -> list[ReportLine]:
    return [_line(line) for line in lines]


def _credit(credit: Credit) -> CreditLine:
    return CreditLine(
        at=iso(credit.at),
        user=credit.user,
        group=credit.group,
        resource=credit.resource,
        amount=exactly(credit.resource, credit.amount),
        units=str(credit.amount),
        who=credit.who,
        why=credit.why,
    )


def month_report(report: Report, currency: str, offset: int, limit: int) -> MonthReport:
    """A report as the API and `hub-quotas report --json` have it."""
    members, following = paged(report.members, offset, limit)
    return MonthReport(
        group=report.group,
        month=print_month(report.month),
        currency=currency,
        begin=iso(report.begin),
        until=iso(report.until),
        complete=report.until == report.end,
        sessions=report.sessions,
        total=_line(report.total),
        net=money_of(report.total.net),
        storage=_line(report.storage),
        groups=_lines(report.groups),
        profiles=_lines(report.profiles),
        days=_lines(report.days),
        credits=[_credit(credit) for credit in report.credits],
        members=_lines(members),
        next=following,
    )


async def _spending(handler: QuotaRest, _query: Nothing, _body: None) -> GroupCosts:
    group = handler.part["group"]
    found = await handler.ledger(spending_of, handler.store, [group])
    return GroupCosts(group=group, currency=_currency(handler), **_costs(found[group]))


async def _mine(handler: QuotaRest, _query: Nothing, _body: None) -> MyCosts:
    groups = []
    for group in handler.access.groups:
        found = await handler.ledger(member_spending, handler.store, group, [handler.user])
        costs = _costs(found[handler.user])
        groups.append(GroupCosts(group=group, currency=_currency(handler), **costs))
    return MyCosts(user=handler.user, groups=groups)


async def _members(handler: QuotaRest, query: Page, _body: None) -> Members:
    group = handler.part["group"]
    everybody = await handler.ledger(members_of, handler.store, group)
    some, following = paged(everybody, query.offset, query.limit)
    found = await handler.ledger(member_spending, handler.store, group, some)
    items = [MemberCosts(user=user, **_costs(costs)) for user, costs in found.items()]
    return Members(items=items, next=following)


async def _running(handler: QuotaRest, query: Page, _body: None) -> RunningServers:
    found = await handler.ledger(running_costs, handler.store, handler.part["group"])
    some, following = paged(found, query.offset, query.limit)
    return RunningServers(items=[_server(running) for running in some], next=following)


def _server(running: Running) -> RunningServer:
    session = running.session
    return RunningServer(
        session=session.id,
        user=session.user,
        server=session.server,
        group=session.group,
        profile=session.profile,
        since=iso(session.reserved_at),
        per_hour=rate_of(running.rate),
    )


async def _report(handler: QuotaRest, query: MonthPage, _body: None) -> MonthReport:
    month = _month(query.month)
    found = await handler.ledger(read_report, handler.store, handler.part["group"], month)
    return month_report(found, _currency(handler), query.offset, query.limit)


async def _csv(handler: QuotaRest, query: Month, _body: None) -> Raw:
    group, month = handler.part["group"], _month(query.month)
    file = await handler.ledger(csv_file, handler.store, group, month)
    return Raw(file, "text/csv; charset=utf-8", file_name(group, month))


def _month(text: str) -> date:
    try:
        return parse_month(text)
    except WindowError as error:
        raise Refusal(400, str(error)) from None


def _currency(handler: QuotaRest) -> str:
    return str(handler.context.settings["currency"])


_OF_GROUP: Any = {"tag": "costs", "problems": (404,), "parts": _GROUP}

OPERATIONS = (
    Operation(
        *("GET", "/me/spending", Who.USER, "What I cost in each of my groups", _mine, MyCosts),
        tag="costs",
    ),
    Operation(
        *("GET", "/groups/{group}/spending", Who.SEES, "What a group costs"),
        run=_spending,
        answer=GroupCosts,
        **_OF_GROUP,
    ),
    Operation(
        *("GET", "/groups/{group}/spending/members", Who.SEES, "What its members cost"),
        run=_members,
        answer=Members,
        query=Page,
        **_OF_GROUP,
    ),
    Operation(
        *("GET", "/groups/{group}/spending/servers", Who.SEES, "What its servers cost an hour"),
        run=_running,
        answer=RunningServers,
        query=Page,
        **_OF_GROUP,
    ),
    Operation(
        *("GET", "/reports/{group}", Who.SEES, "What a group used and cost in a month"),
        run=_report,
        answer=MonthReport,
        query=MonthPage,
        **_OF_GROUP,
    ),
    Operation(
        *(
            "GET",
            "/reports/{group}/csv",
            Who.SEES,
            "The same by stretch and directory, as CSV",
        ),
        run=_csv,
        answer="text/csv",
        query=Month,
        about="All rows together are what there is to pay. `cost_units` is exact. Text that a "
        "spreadsheet would take for a formula begins with an apostrophe.",
        **_OF_GROUP,
    ),
)
