"""What is there to have here, and what does it cost? For everybody, on a page and by API."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

from pydantic import Field
from tornado import web

from hub_groups.rest import Model, Nothing, Operation, Refusal

from .access import Who
from .costs import per_hour
from .desk import Desk, QuotaPage, QuotaRest, refusal_of
from .menu import ADMINS, Menu, menu
from .outlook import time_of
from .windows import say_day


async def menu_of(desk: Desk) -> Menu:
    """What there is today for who asks."""

    def read() -> Menu:
        at = time_of(desk.store)
        here = datetime.fromtimestamp(at // 10**6, timezone.utc).astimezone(desk.store.zone)
        return menu(desk.store.policy(), here.date(), desk.access.groups)

    return await asyncio.to_thread(read)


def _may_see(desk: Desk) -> bool:
    return desk.access.reads or desk.context.settings["menu_for"] != ADMINS


class MenuPage(QuotaPage):
    """Plans, and what an hour costs."""

    async def get(self) -> None:
        if not _may_see(self):
            raise web.HTTPError(403, refusal_of(Who.READS))
        self.show(
            "menu.html",
            menu=await menu_of(self),
            say_day=say_day,
            managers=await asyncio.to_thread(self.managers_of, self.access.groups),
        )


class Given(Model):
    """What a plan gives somebody."""

    whom: str = Field(description="In words: each member")
    what: str = Field(description="In words: 2 servers, 40 CPU-hours in any 7 days")


class PlanOffer(Model):
    """A plan."""

    plan: str
    gives: list[Given]
    groups: int = Field(description="How many have it")
    mine: list[str] = Field(description="Those of them that I am in")


class Costs(Model):
    """What an hour of something costs."""

    what: str
    an_hour: str


class MenuModel(Model):
    """What there is to have, and what it costs today."""

    plans: list[PlanOffer]
    units: list[Costs]
    servers: list[Costs] = Field(description="Of usual sizes")
    storage_a_month: str = Field(description="A GiB; empty where it costs nothing")
    until: str = Field(description="The last day of these prices; empty where no end is set")


async def _menu(handler: QuotaRest, _query: Nothing, _body: None) -> MenuModel:
    if not _may_see(handler):
        raise Refusal(403, refusal_of(Who.READS))
    return as_model(await menu_of(handler), handler.context.settings["currency"])


def as_model(found: Menu, currency: str) -> MenuModel:
    """A menu for programs."""
    return MenuModel(
        plans=[
            PlanOffer(
                plan=offer.name,
                gives=[Given(whom=whom, what=what) for whom, what in offer.gives],
                groups=offer.groups,
                mine=list(offer.mine),
            )
            for offer in found.offers
        ],
        units=[Costs(what=one.what, an_hour=per_hour(one.rate, currency)) for one in found.units],
        servers=[Costs(what=one.what, an_hour=per_hour(one.rate, currency)) for one in found.sizes],
        storage_a_month=per_hour(found.storage, currency) if found.storage else "",
        until=found.until.isoformat() if found.until else "",
    )


OPERATIONS = (
    Operation(
        "GET", "/menu", Who.USER, "Plans, and what servers cost", _menu, MenuModel, tag="menu"
    ),
)
