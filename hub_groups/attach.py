"""How a drop-in attaches to the hub, whatever the admin configures before or after it.

A drop-in runs in the middle of the configuration, and what comes later (Zero to JupyterHub's
`extraConfig`, the command line) may assign anything again. So it assigns nothing: it waits until
the hub has all of its configuration and has built nothing from it yet, and then puts its part
around what the admin set.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jupyterhub
from jupyterhub.app import JupyterHub
from traitlets import TraitError
from traitlets.config import Application

from .migrate import Migrations

HUB_MAJOR = int(jupyterhub.__version__.split(".")[0])

HOST_SERVICE = "group-quotas"
"""The hub-managed process that serves the pages of all activated packages."""

_ASKED_ONCE = 0
"""Seconds for which the hub waits for our pages when it starts. It serves nobody meanwhile, and
whether it goes on does not depend on what it hears."""

# The hub sets this trait when it has read its configuration, as the first of all that it builds,
# before users, roles, services and spawners.
_FIRST_BUILT = "session_factory"


@dataclass(frozen=True)
class PageService:
    """Pages of one package under /services/NAME/.

    Attributes:
        name: the service's name and the last part of its address.
        module: the Python module whose `routes(context)` gives the tornado handlers.
        settings: what the module needs to know, as JSON values.
        scopes: what the service itself may ask of the hub's REST API, and no more.
        custom_scopes: what others may be allowed to ask of the service, as the hub's own
            `custom_scopes`.
        login_scopes: which of them a login on the pages brings with it, for who has them.
        user_scopes: which of them every user has, and so their tokens may have.
    """

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    custom_scopes: dict[str, dict[str, str]] = field(default_factory=dict)
    login_scopes: tuple[str, ...] = ()
    user_scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uses:
    """What a package uses, by its settings: for whoever looks after a hub.

    Attributes:
        settings: the class of its settings.
        db_url: its database.
        migrations: what that database is to look like.
    """

    settings: type
    db_url: str
    migrations: Migrations


@dataclass
class _Attached:
    """What the drop-ins have attached to one hub application."""

    packages: dict[str, Callable[[JupyterHub], Uses]] = field(default_factory=dict)
    services: dict[str, PageService] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    cookie_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    url: str = ""
    hosts: dict[str, str] = field(default_factory=dict)


def attach(
    package: str, apply: Callable[[JupyterHub], None], uses: Callable[[JupyterHub], Uses]
) -> None:
    """Call `apply(app)` when the hub has all of its configuration, and has used none of it yet.

    Args:
        package: who attaches; a second time is ignored.
        apply: sets traits of the application.
        uses: says what the package uses, by the configuration, and does nothing.

    Does nothing where the file is read by something other than a hub (`jupyterhub token`,
    `jupyterhub upgrade-db`).

    Raises:
        RuntimeError: this version of JupyterHub can't be attached to.
    """
    app = Application.instance() if Application.initialized() else None
    if not isinstance(app, JupyterHub) or package in _attached(app).packages:
        return
    if not app.has_trait(_FIRST_BUILT):
        raise RuntimeError(f"{package} does not know JupyterHub {jupyterhub.__version__}.")
    _attached(app).packages[package] = uses
    app.observe(lambda _change: _apply(app, apply), _FIRST_BUILT)


def _apply(app: JupyterHub, apply: Callable[[JupyterHub], None]) -> None:
    """A setting that can't be used ends the start of the hub with one sentence in its log."""
    try:
        apply(app)
    except TraitError as error:
        app.log.critical("%s", error)
        app.exit(1)


def is_attached(app: JupyterHub, package: str) -> bool:
    """Whether the hub has the drop-in of a package."""
    return package in _attached(app).packages


def attached_packages(app: JupyterHub) -> dict[str, Callable[[JupyterHub], Uses]]:
    """The packages whose drop-ins the hub has, each with what says what it uses."""
    return dict(_attached(app).packages)


def page_names(app: JupyterHub) -> list[str]:
    """The services whose pages have been added to the hub."""
    return list(_attached(app).services)


class _NotYet(logging.Filter):
    """Leaves out what the hub says of our pages while it starts: they need a moment longer than it
    does. Whether they are up, it looks at each minute from then on, and says so."""

    def __init__(self, ours: Container[str]) -> None:
        super().__init__()
        self._ours = ours

    def filter(self, record: logging.LogRecord) -> bool:
        asked_at_start = str(record.msg).endswith("Is it running?")
        names = record.args if isinstance(record.args, tuple) else ()
        return not (asked_at_start and any(name in self._ours for name in names))


def _attached(app: JupyterHub) -> _Attached:
    state: _Attached | None = getattr(app, "_group_quotas", None)
    if state is None:
        state = app._group_quotas = _Attached()
    return state


def serve_pages(app: JupyterHub, service: PageService, url: str) -> None:
    """Add a package's pages to the hub: the service, its scopes, and everybody's way to it.

    One hub-managed process hosts all of them. It has no address of its own as far as the hub is
    concerned, and the services that do are external ones: a hub exits when a managed service with
    an address does not come up, and pages must never take a hub down.

    Args:
        url: where the process listens, from the hub's and the proxy's point of view; port 0
            stands for a free one, chosen once for each start of the hub.
    """
    state = _attached(app)
    if not state.services:
        app.log.addFilter(_NotYet(state.services))
    state.services[service.name] = service
    state.tokens.setdefault(service.name, secrets.token_hex(32))
    state.url = state.url or _with_free_port(url)
    if app.subdomain_host and not state.hosts:
        # The hub makes up the hosts of its services; it has when it knows its handlers.
        app.observe(lambda _change: _tell_hosts(app, state), "handlers")
    app.services = _services(app.services, state)
    app.load_roles = _roles(app.load_roles, state)
    app.custom_scopes = {**service.custom_scopes, **app.custom_scopes}
    if HUB_MAJOR >= 6:
        app.extra_user_scopes = set(app.extra_user_scopes) | set(_user_scopes(state))


def _tell_hosts(app: JupyterHub, state: _Attached) -> None:
    """Tell the pages' process, which has not been started yet, where browsers find it."""
    state.hosts = {name: app._service_map[name].host for name in state.services}
    host = app._service_map[HOST_SERVICE]
    host.environment = {**host.environment, "GROUP_QUOTAS_HOST": _host_settings(state)}


def _with_free_port(url: str) -> str:
    parts = urlsplit(url)
    if parts.port != 0:
        return url
    with socket.socket() as free:
        free.bind((parts.hostname or "127.0.0.1", 0))
        return parts._replace(netloc=f"{parts.hostname}:{free.getsockname()[1]}").geturl()


def _services(configured: Iterable[dict[str, Any]], state: _Attached) -> list[dict[str, Any]]:
    ours = {*state.services, HOST_SERVICE}
    theirs = [service for service in configured if service.get("name") not in ours]
    host: dict[str, Any] = {
        "name": HOST_SERVICE,
        "command": [sys.executable, "-m", "hub_groups.host"],
        "environment": {"GROUP_QUOTAS_HOST": _host_settings(state)},
        "display": False,
    }
    pages: list[dict[str, Any]] = [
        {
            "name": name,
            "url": state.url,
            "api_token": state.tokens[name],
            "oauth_no_confirm": True,  # part of this hub, not somebody else's application
            "oauth_client_allowed_scopes": list(service.login_scopes),
        }
        for name, service in state.services.items()
    ]
    if HUB_MAJOR >= 6:  # 5.x knows no `timeout`, and waits for a second at most for each
        for page in pages:
            page["timeout"] = _ASKED_ONCE
    return [*theirs, host, *pages]


def _host_settings(state: _Attached) -> str:
    return json.dumps(
        {
            "hub_pid": os.getpid(),
            "url": state.url,
            "cookie_secret": state.cookie_secret,
            "hosts": state.hosts,
            "services": {
                name: {
                    "module": service.module,
                    "settings": service.settings,
                    "token": state.tokens[name],
                }
                for name, service in state.services.items()
            },
        }
    )


def _user_scopes(state: _Attached) -> list[str]:
    theirs = [scope for service in state.services.values() for scope in service.user_scopes]
    return [*(f"access:services!service={name}" for name in state.services), *theirs]


def _roles(configured: Iterable[dict[str, Any]], state: _Attached) -> list[dict[str, Any]]:
    prefix = f"{HOST_SERVICE}-"
    roles = [dict(role) for role in configured if not role["name"].startswith(prefix)]
    roles += [
        {"name": prefix + name, "scopes": list(service.scopes), "services": [name]}
        for name, service in state.services.items()
        if service.scopes
    ]
    # The admin's own `user` role stays; where it lists scopes, a hub ignores extra_user_scopes.
    user = next((role for role in roles if role["name"] == "user"), None)
    if user and "scopes" in user:
        user["scopes"] = list(dict.fromkeys([*user["scopes"], *_user_scopes(state)]))
    elif HUB_MAJOR < 6:
        if user is None:
            user = {"name": "user"}
            roles.append(user)
        user["scopes"] = ["self", *_user_scopes(state)]
    return roles
