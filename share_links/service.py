"""What the pages' process does for launches: pages, and what runs beside them."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tornado import web

from hub_groups.rest import NoSuchAddress
from hub_groups.store import open_store as open_group_store
from hub_groups.web import Context, Routes
from hub_groups.words import _

from . import operations
from .building import Builder
from .choose_page import ChoosePage
from .clicks import Clicks
from .community import ADDRESS, CommunityFiles
from .desk import Counts, LaunchPage, Shared
from .images import BUILD
from .journeys import COPY, JOIN, OPEN, PULL, START, STOP, Journey, Journeys, where_else
from .links_page import CheckPage, KeysPage, LinkPage, LinksPage
from .open_page import OpenPage
from .share_page import SharePage, keep_sweeping
from .snapshots import Snapshots
from .store import LinkStore, open_store

_SHOWN_LINES = 60


class ProgressPage(LaunchPage):
    """How a launch goes on. Without JavaScript the page loads itself anew."""

    async def get(self, id: str) -> None:
        journey = self.shared.journeys.of(id, self.user)
        if journey is None:
            raise web.HTTPError(404, _("This launch is over. Click the link again."))
        self.shared.journeys.begin(journey)
        if journey.to:
            self.redirect(journey.to, status=303)
            return
        self.show("progress.html", journey=journey, steps=_steps(journey), **_told(journey))


class ProgressState(LaunchPage):
    """The same for the page's script."""

    async def get(self, id: str) -> None:
        journey = self.shared.journeys.of(id, self.user)
        if journey is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", "application/json")
        told = {"at": journey.at, "over": journey.over, "to": journey.to, **_told(journey)}
        told.pop("failure")
        self.finish(json.dumps(told))


def _told(journey: Journey) -> dict[str, Any]:
    return {
        "percent": journey.percent,
        "lines": list(journey.lines)[-_SHOWN_LINES:],
        "failure": journey.failure,
        "else": where_else(journey),
    }


def _steps(journey: Journey) -> list[tuple[str, str]]:
    content = journey.launch.content
    said = {
        JOIN: _("Join {group}").format(group=journey.join),
        BUILD: _("Make the environment of {repository}").format(
            repository=journey.made.repository if journey.made else ""
        ),
        STOP: _("Stop what runs"),
        START: _("Start the server"),
        PULL: _("Fetch {repository}").format(repository=content.repository if content else ""),
        COPY: _("Copy {file}").format(file=journey.copy.name if journey.copy else ""),
        OPEN: _("Open {file}").format(file=journey.launch.target.file or "JupyterLab"),
    }
    return [(step, said[step]) for step in journey.steps]


def routes(context: Context) -> Routes:
    """The handlers of these pages."""
    shared = {"shared": _shared(context)}
    static = {"path": str(Path(__file__).parent / "static")}
    book = {"path": context.settings["community"], "default_filename": "index.html"}
    of_community: Routes = (
        [(f"{context.prefix}{ADDRESS}(.*)", CommunityFiles, book)] if book["path"] else []
    )
    return [
        *of_community,
        (context.prefix, LinksPage, shared),
        (f"{context.prefix}links/(?P<id>[^/]+)", LinkPage, shared),
        (f"{context.prefix}keys", KeysPage, shared),
        (f"{context.prefix}check", CheckPage, shared),
        (f"{context.prefix}share", SharePage, shared),
        (f"{context.prefix}open", OpenPage, shared),
        (f"{context.prefix}choose", ChoosePage, shared),
        (f"{context.prefix}go/(?P<id>[^/]+)", OpenPage, shared),
        (f"{context.prefix}progress/(?P<id>[^/]+)", ProgressPage, shared),
        (f"{context.prefix}progress/(?P<id>[^/]+)/state", ProgressState, shared),
        *operations.routes(context, shared),
        (f"{context.prefix}api/.*", NoSuchAddress, {"context": context}),
        (f"{context.prefix}launch-static/(.*)", web.StaticFileHandler, static),
    ]


def background(context: Context) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the pages."""
    shared = _shared(context)
    return [shared.counts.keep_flushing(), keep_sweeping(shared.snapshots)]


_known: dict[str, Shared] = {}


def _shared(context: Context) -> Shared:
    """One of this process, for the pages and for what runs beside them."""
    url = context.settings["db_url"]
    if url not in _known:
        store = open_store(url)
        counts = Counts(store)
        groups = open_group_store(context.settings["group_db_url"])
        snapshots = Snapshots(store, Path(context.settings["snapshot_folder"]))
        journeys = Journeys(counts, store.note_pulls)
        clicks = Clicks(store, groups, context.settings["quotas"])
        found = (context, store, groups, clicks, counts, journeys, snapshots)
        _known[url] = Shared(*found, _builder(context, store, clicks))
    return _known[url]


def _builder(context: Context, store: LinkStore, clicks: Clicks) -> Builder | None:
    url, takes = context.settings["binder"], context.settings["build_takes"]
    return Builder(url, takes, store, clicks) if url else None
