"""Which hub to open something on: for readers of a book who have one of their own.

Anybody may ask, since who has another hub need not have a login here. What they choose is kept in
a cookie, signed, and set by nothing but their own click on this page.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tornado import web

from hub_groups.web import Page, Visit
from hub_groups.words import _

from .addresses import LaunchError, normal_hub
from .book import BookHub
from .desk import Desk
from .forms import write
from .hub_forms import read_resolved_query
from .launch import Launch

_COOKIE, _DAYS = "launch-hub", 400
_AGAIN = "again"
"""In an address: ask, whatever was chosen before."""
_OTHER = "other"


class ChoosePage(Desk, Page):
    """`choose?…`, with what `open?…` has; without it, what was chosen before."""

    @property
    def hubs(self) -> list[BookHub]:
        """This one, and those of the file."""
        others = [BookHub(**one) for one in self.context.settings["hubs"]]
        here = self.hub_address
        if any(hub.url == here for hub in others):
            return others
        host = here.partition("://")[2].rstrip("/")
        return [BookHub(_("This hub ({host})").format(host=host), here, "resolved"), *others]

    def set_default_headers(self) -> None:
        super().set_default_headers()
        host = self.settings["hub_host"]
        said = self._headers["Content-Security-Policy"]
        # The answer to this page's form leads to the hub that was chosen, wherever that is.
        here = f"form-action 'self' {host}"
        self.set_header("Content-Security-Policy", said.replace(here, f"{here} https: http:"))
        self.set_header("Referrer-Policy", "no-referrer")

    async def prepare(self) -> None:
        await Visit.prepare(self)  # a page sends forms of those who are not logged in back

    def get(self) -> None:
        launch, mine = self._launch(), self._mine()
        if launch and mine and not self.get_query_argument(_AGAIN, ""):
            self.redirect(self._on(mine, launch), status=303)
        else:
            self._show(launch, mine)

    def post(self) -> None:
        # Also of who is not logged in: another site must not choose their hub.
        self.hub_auth.check_xsrf_cookie(self)
        if self.get_body_argument("forget", ""):
            self.clear_cookie(_COOKIE, path=self.context.prefix)
            self.redirect(self.request.uri or "", status=303)
            return
        launch = self._launch()
        chosen, typed = self.get_body_argument("hub", ""), self.get_body_argument("url", "")
        try:
            hub = self._chosen(chosen, typed)
            to = self._on(hub, launch) if launch else self.request.path
        except LaunchError as error:
            self.set_status(400)
            self._show(launch, self._mine(), str(error), typed)
            return
        if launch is None or self.get_body_argument("remember", ""):
            kept = json.dumps(asdict(hub))
            self.set_signed_cookie(_COOKIE, kept, expires_days=_DAYS, **self._told_attributes)
        self.redirect(to, status=303)

    # -- how ---------------------------------------------------------------------------------------

    def _launch(self) -> Launch | None:
        pairs = parse_qsl(self.request.query, keep_blank_values=True)
        query = urlencode([pair for pair in pairs if pair[0] != _AGAIN])
        launch = read_resolved_query(query)
        return None if launch == Launch() else launch

    def _mine(self) -> BookHub | None:
        kept = self.get_signed_cookie(_COOKIE, max_age_days=_DAYS)
        return BookHub(**json.loads(kept)) if kept else None

    def _chosen(self, label: str, typed: str) -> BookHub:
        """Raises LaunchError: it is none."""
        if label == _OTHER or typed.strip():  # who types one means it
            url = normal_hub(typed if "://" in typed else f"https://{typed}")
            return BookHub(url.partition("://")[2].rstrip("/"), url, "nbgitpuller")
        found = next((hub for hub in self.hubs if hub.label == label), None)
        if found is None:
            raise LaunchError(_("Choose a hub."))
        return found

    def _on(self, hub: BookHub, launch: Launch) -> str:
        return write(hub.form, launch, hub.url).url

    def _show(
        self, launch: Launch | None, mine: BookHub | None, problem: str = "", typed: str = ""
    ) -> None:
        self.show(
            "choose.html",
            address=self.request.uri,
            launch=launch,
            mine=mine,
            hubs=self.hubs,
            problem=problem,
            typed=typed,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, LaunchError):
            self.set_status(400)
            self.show("error.html", status=400, message=str(error))
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, *info: Any) -> None:
        if not isinstance(info[1], (LaunchError, web.HTTPError)):
            super().log_exception(*info)
