"""What every page of the three packages shares: the login, the look of the hub, errors, safety."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import jinja2
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from markupsafe import Markup
from tornado import httpclient, web
from tornado.escape import json_decode, json_encode
from tornado.httputil import url_concat
from tornado.iostream import StreamClosedError

from . import words
from .words import _

Routes = list[tuple[str, type[web.RequestHandler], dict[str, Any]]]

BURST, PER_SECOND = 60, 1
"""How many changes somebody can make at once, and how many more each second."""

_PIECE = 2**18
"""How much of a file is in memory at a time, in bytes."""

_TOLD, _TOLD_DAYS, _LONGEST_TOLD = "group-quotas-told", 1, 500

_READING = ("GET", "HEAD", "OPTIONS")


@dataclass
class Context:
    """What one package's pages know about where they are served.

    Attributes:
        name: the service's name.
        settings: what the package's `activate` handed over.
        prefix: the pages' address on the hub, `/services/NAME/` below the hub's base URL.
        hub: the address of the hub's own pages, `/hub/` below its base URL.
        nav: name and address of each package's pages.
    """

    name: str
    settings: Mapping[str, Any]
    prefix: str
    hub: str
    nav: Mapping[str, str]
    auth: HubOAuth
    templates: jinja2.Environment = field(repr=False)

    async def hub_api(self, path: str, method: str = "GET", body: Any = None, **query: str) -> Any:
        """The hub's REST API, with this service's own scopes; None where it answers nothing.

        Args:
            body: what is sent, as JSON; None for nothing.

        Raises:
            tornado.httpclient.HTTPError, OSError: the hub does not answer, or not with success.
        """
        response = await httpclient.AsyncHTTPClient().fetch(
            url_concat(f"{self.auth.api_url}/{path}", query),
            method=method,
            headers={"Authorization": f"token {self.auth.api_token}"},
            body=None if body is None else json_encode(body),
        )
        return json_decode(response.body) if response.body else None


def template_environment(packages: list[str]) -> jinja2.Environment:
    """The templates of `packages`, each seeing those of hub_groups (`base.html`)."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        auto_reload=False,  # they are installed: a look at the file for each page is for nothing
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        words.gettext, words.ngettext, newstyle=True, pgettext=words.pgettext
    )
    environment.globals["_"] = _text  # most of what a page costs are its texts
    return environment


def _text(text: str, /, **values: Any) -> Markup:
    said = Markup(words.gettext(text))  # noqa: S704 - written by us, or by a translator
    return said % values if values else said


class Brake:
    """How often somebody may change something: a bucket that fills again."""

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, who: str, at: float) -> float:
        """The seconds until they may; 0 where they may now, which is then counted."""
        if len(self._left) > 10_000:  # those whose bucket is full again need not be remembered
            full = self._burst / self._per_second
            self._left = {n: (left, t) for n, (left, t) in self._left.items() if at - t < full}
        left, since = self._left.get(who, (self._burst, at))
        left = min(self._burst, left + (at - since) * self._per_second)
        if left < 1:
            return (1 - left) / self._per_second
        self._left[who] = (left - 1, at)
        return 0


brake = Brake()
"""One for all pages and addresses of this process."""


class TooFast(web.HTTPError):
    """Too many changes at once.

    Attributes:
        seconds: after which there may be another.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(429, _("Too many changes at once. Wait a moment."))
        self.seconds = seconds


class PageAuth(HubOAuth):
    """The hub's login, which asks the hub once for each request, in `Visit.prepare`."""

    def get_user(self, handler: web.RequestHandler, *, sync: bool = True) -> Any:
        if sync and hasattr(handler, "hub_user"):
            return handler.hub_user  # without a thread, in which the original waits
        return super().get_user(handler, sync=sync)


class Visit(HubOAuthenticated, web.RequestHandler):
    """What pages and the REST API share: who it is, and that a change is really theirs."""

    context: Context

    def initialize(self, context: Context) -> None:
        self.context = context
        self.hub_auth = context.auth

    def check_xsrf_cookie(self) -> None:
        """Not before it is known who it is: who shows a token needs no cookie. See `prepare`."""

    async def prepare(self) -> None:
        words.speak(words.choose(self.request.headers.get("Accept-Language", "")))
        # Asked here, since `current_user` alone would block the event loop.
        self.hub_user = await self.hub_auth.get_user(self, sync=False)
        if self.request.method in _READING:
            return
        if self.current_user:
            is_user = self.current_user.get("kind") == "user"  # an admin has set up each service
            wait = brake.wait(self.user, time.monotonic()) if is_user else 0
            if wait:
                raise TooFast(int(wait) + 1)
            self.hub_auth.check_xsrf_cookie(self)

    async def send(self, content: str | IO[bytes], kind: str, name: str = "") -> None:
        """Answer with a file, piece by piece.

        Args:
            kind: its type, such as `text/csv`.
            name: under which browsers save it; empty where they are to show it.
        """
        self.set_header("Content-Type", kind)
        if name:
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        if isinstance(content, str):
            self.finish(content)
            return
        with content, suppress(StreamClosedError):  # they may stop it
            while piece := await asyncio.to_thread(content.read, _PIECE):
                self.write(piece)
                await self.flush()
            self.finish()

    @property
    def user(self) -> str:
        """The user's name."""
        name: str = self.current_user["name"]
        return name

    @property
    def by_token(self) -> bool:
        """Whether they have shown a token, not a login in a browser."""
        return bool(getattr(self, "_token_authenticated", False))

    @property
    def is_admin(self) -> bool:
        """Whether the user is an admin of the hub."""
        return bool(self.current_user.get("admin"))


class Page(Visit):
    """A page for somebody who is logged in to the hub."""

    def set_default_headers(self) -> None:
        host = self.settings["hub_host"]
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'self' {host}; frame-ancestors 'none'; form-action 'self' {host}; "
            f"base-uri 'none'; img-src 'self' data: {host}; font-src 'self' data: {host}",
        )
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        try:
            await super().prepare()
        except web.HTTPError as error:
            if error.status_code != 403 or not self._is_a_form_of_ours():
                raise
            self._ask_again()
        else:
            if not self.current_user and self._is_a_form_of_ours():
                self._ask_again()

    def _is_a_form_of_ours(self) -> bool:
        where = self.request.headers.get("Sec-Fetch-Site", "same-origin")
        return self.request.method == "POST" and where == "same-origin"

    def _ask_again(self) -> None:
        """A login ended while somebody typed: what they typed stays, to be sent again.

        Sending it takes a click on a page of ours, which no other site can show in a frame.
        """
        typed = [
            (name, value)
            for name in self.request.body_arguments
            if name != "_xsrf"
            for value in self.get_body_arguments(name, strip=False)
        ]
        self.set_status(403)
        self.show("again.html", typed=typed)

    def compute_etag(self) -> None:
        """None: nothing of a page is stored anywhere."""

    def done(self, text: str, address: str = "") -> None:
        """After a form: go to a page, this one by default, which says once what was done.

        Not in the address, where anybody could write something into a link to it. The address
        leads to what is said, or browsers would go on to the place that the form's address names.
        """
        told = text[:_LONGEST_TOLD]
        self.set_signed_cookie(_TOLD, told, expires_days=None, **self._told_attributes)
        self.redirect(f"{address or self.request.path}#done", status=303)

    @property
    def _told_attributes(self) -> dict[str, Any]:
        return {
            "path": self.context.prefix,
            "httponly": True,
            "samesite": "Lax",
            "secure": self.request.protocol == "https",
        }

    def _take_told(self) -> str:
        """What `done` left, for who looks at a page: not for a script that reads it anew."""
        if self.request.method != "GET" or self.request.headers.get("Sec-Fetch-Mode") == "cors":
            return ""
        told = self.get_signed_cookie(_TOLD, max_age_days=_TOLD_DAYS)
        if told:
            self.clear_cookie(_TOLD, **self._told_attributes)
        return told.decode() if told else ""

    def show(self, template: str, **values: Any) -> None:
        """Answer with a rendered template."""
        self.finish(self.rendered(template, **values))

    def rendered(self, template: str, **values: Any) -> str:
        return self.context.templates.get_template(template).render(
            context=self.context,
            hub_host=self.settings["hub_host"],
            # Also on error pages, where looking up the user anew may be what failed.
            current_user=getattr(self, "_hub_auth_user_cache", None),
            path=self.request.path,
            language=words.language(),
            xsrf_form=self.xsrf_form_html,
            xsrf_token=self.xsrf_token.decode(),
            **{"done": self._take_told(), **values},
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = self._reason
        if isinstance(error, web.HTTPError) and error.log_message:
            message = error.log_message % error.args if error.args else error.log_message
        if isinstance(error, TooFast):
            self.set_header("Retry-After", str(error.seconds))
        self.show("error.html", status=status_code, message=message)


class CheckedPage(Page):
    """A page that some may see, and some may send the forms of.

    Attributes:
        who, who_changes: which; `check` knows what it means.
    """

    who: Any
    who_changes: Any

    async def come_in(self) -> None:
        """Find out what whoever asks may see and do."""
        raise NotImplementedError

    async def check(self, who: Any) -> None:
        """Raises tornado.web.HTTPError where they may not."""
        raise NotImplementedError

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished:
            return
        if not self.current_user:
            web.authenticated(lambda _self: None)(self)  # sends them to the login
            return
        await self.come_in()
        who = self.who_changes if self.request.method == "POST" else self.who
        await self.check(who)


class NotFound(Page):
    """Any other address below the service."""

    async def prepare(self) -> None:
        await super().prepare()
        raise web.HTTPError(404, _("There is no such page."))


def common_routes(context: Context) -> Routes:
    """What each service needs: the way back from the hub's OAuth, and the style sheet."""

    class Callback(HubOAuthCallbackHandler):
        def initialize(self) -> None:
            self.hub_auth = context.auth

    static = {"path": str(Path(__file__).parent / "static")}
    return [
        (f"{context.prefix}oauth_callback", Callback, {}),
        (f"{context.prefix}static/(.*)", web.StaticFileHandler, static),
    ]
