"""Help: the facts of who asks, on a page and by API, and where a request for help goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.metadata import version
from urllib.parse import quote

from pydantic import Field
from tornado import httpclient

from hub_groups.rest import Model, Nothing, Operation
from hub_groups.words import in_english

from .access import Who
from .desk import Desk, QuotaRest
from .home_storage import shelves
from .quantities import RESOURCES
from .refusals import last_refusals
from .standing import standing
from .storage import USER
from .support import Facts, Refused, Section, compose, link, sections, subject

log = logging.getLogger("group-quotas")

_LONGEST = 300


async def facts_of(desk: Desk) -> tuple[Section, ...]:
    """What is known of who asks: nothing of anybody else, and no secret."""
    images = await _images(desk)
    return await asyncio.to_thread(_read, desk, images)


def _read(desk: Desk, images: Mapping[str, str]) -> tuple[Section, ...]:
    store, mine = desk.store, list(desk.access.groups)
    stored = []
    for one in shelves(store, desk.user, mine):
        held, say = one.directory, RESOURCES["storage"].say
        if held.used is not None:
            what = "Home" if held.kind == USER else f"Shared directory of {held.name}"
            of = "" if held.applied is None else f" of {say(held.applied)}"
            stored.append((f"{what} ({held.mount})", f"{say(held.used)}{of}"))
    known = Facts(
        user=desk.user,
        standing=standing(store, desk.user, mine, 0, 1),
        versions={
            "JupyterHub": version("jupyterhub"),
            "jupyterhub-group-quotas": version("jupyterhub-group-quotas"),
        },
        images=images,
        stored=stored,
        refused=[
            Refused(one.at, one.server, f"{one.why} ({one.code})" if one.why else one.code)
            for one in last_refusals(store, desk.user)
        ],
        browser=desk.request.headers.get("User-Agent", "")[:_LONGEST],
        hub=store.hub,
        zone=store.zone,
    )
    return in_english(sections, known)


async def _images(desk: Desk) -> dict[str, str]:
    """The image that each server of theirs was asked for with, where that is among its options: of
    these nothing else, since forms may hold anything."""
    try:
        model = await desk.context.hub_api(f"users/{quote(desk.user, safe='')}")
    except (httpclient.HTTPError, OSError) as error:  # a request for help goes without
        log.info("The images of servers are not told: %s", error)
        return {}
    servers = (model or {}).get("servers") or {}
    options = {name: server.get("user_options") or {} for name, server in servers.items()}
    named = {name: said.get("image") for name, said in options.items() if isinstance(said, dict)}
    return {name: said[:_LONGEST] for name, said in named.items() if isinstance(said, str)}


class Part(Model):
    """One part of the facts."""

    key: str = Field(description="me, versions, servers, limits, storage, refusals or browser")
    text: str


class Managers(Model):
    """Who manages a group of mine, or the next one above it that somebody manages."""

    group: str
    managers: list[str]


class Support(Model):
    """What a request for help says of me, and where it goes."""

    parts: list[Part]
    text: str = Field(description="All of them, as the page makes a request of them")
    managers: list[Managers]
    contact: str = Field(
        description="An e-mail address, or that of a page; empty for the managers, or an admin"
    )
    link: str = Field(description="A link that sends it; empty where there is none")


async def _support(handler: QuotaRest, _query: Nothing, _body: None) -> Support:
    parts = await facts_of(handler)
    people = await handler.ledger(handler.managers_of, handler.access.groups)
    text = in_english(compose, "", parts)
    contact = handler.context.settings["support"]
    sent = link(contact, subject(""), text)
    return Support(
        parts=[Part(key=one.key, text=one.text) for one in parts],
        text=text,
        managers=[Managers(group=group, managers=names) for group, names in people.items()],
        contact=contact,
        link=sent.address if sent else "",
    )


OPERATIONS = (
    Operation(
        "GET",
        "/me/support",
        Who.USER,
        "What a request for help says of me",
        _support,
        Support,
        tag="me",
        about="Of who asks only: versions, what runs, limits with their use, the last refusals.",
    ),
)
