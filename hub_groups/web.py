"""What every page of the three packages shares: the login, the look of the hub, errors, safety."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado import httpclient, web
from tornado.escape import json_decode
from tornado.httputil import url_concat

Routes = list[tuple[str, type[web.RequestHandler], dict[str, Any]]]


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

    async def hub_api(self, path: str, method: str = "GET", **query: str) -> Any:
        """The hub's REST API, with this service's own scopes; None where it answers nothing.

        Raises:
            tornado.httpclient.HTTPError, OSError: the hub does not answer, or not with success.
        """
        response = await httpclient.AsyncHTTPClient().fetch(
            url_concat(f"{self.auth.api_url}/{path}", query),
            method=method,
            headers={
                "Authorization": f"token {self.auth.api_token}",
                "Accept": "application/jupyterhub-pagination+json",
            },
        )
        return json_decode(response.body) if response.body else None

    async def hub_list(self, path: str, **query: str) -> list[Any]:
        """All pages of a list of the hub's REST API."""
        items: list[Any] = []
        offset: int | None = 0
        while offset is not None:
            page = await self.hub_api(path, **query, offset=str(offset))
            items += page["items"]
            offset = (page["_pagination"].get("next") or {}).get("offset")
        return items


def template_environment(packages: list[str]) -> jinja2.Environment:
    """The templates of `packages`, each seeing those of hub_groups (`base.html`)."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Page(HubOAuthenticated, web.RequestHandler):
    """A page for somebody who is logged in to the hub."""

    context: Context

    def initialize(self, context: Context) -> None:
        self.context = context
        self.hub_auth = context.auth

    def set_default_headers(self) -> None:
        host = self.settings["hub_host"]
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'self' {host}; frame-ancestors 'none'; form-action 'self'; "
            f"base-uri 'none'; img-src 'self' data: {host}; font-src 'self' data: {host}",
        )
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        # Asking the hub here fills the cache: `current_user` alone would block the event loop.
        await self.hub_auth.get_user(self, sync=False)

    @property
    def user(self) -> str:
        """The user's name."""
        name: str = self.current_user["name"]
        return name

    @property
    def is_admin(self) -> bool:
        """Whether the user is an admin of the hub."""
        return bool(self.current_user.get("admin"))

    def show(self, template: str, **values: Any) -> None:
        """Answer with a rendered template."""
        self.finish(
            self.context.templates.get_template(template).render(
                context=self.context,
                hub_host=self.settings["hub_host"],
                # Also on error pages, where looking up the user anew may be what failed.
                current_user=getattr(self, "_hub_auth_user_cache", None),
                path=self.request.path,
                xsrf_form=self.xsrf_form_html,
                **values,
            )
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = self._reason
        if isinstance(error, web.HTTPError) and error.log_message:
            message = error.log_message % error.args
        self.show("error.html", status=status_code, message=message)


class NotFound(Page):
    """Any other address below the service."""

    async def prepare(self) -> None:
        await super().prepare()
        raise web.HTTPError(404, "There is no such page.")


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
