"""What a running hub has of these packages, told to whoever asks on the hub's own machine.

A configuration says what a hub should be. Whether it is, only the hub itself knows: something may
have put its own class in the place of ours, or the hub may be older than its configuration.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import jupyterhub
from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.utils import url_path_join
from tornado import web

from .attach import attached_packages, page_names

HUB_STATE = "group-quotas/state"
"""Below the hub's REST API."""

_STARTED = time.time()

_OF_A_PROXY = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded")


def version() -> str:
    """Of these packages; empty where they were not installed by pip."""
    try:
        return installed_version("jupyterhub-group-quotas")
    except PackageNotFoundError:
        return ""


class HubState(APIHandler):
    """GET versions, and whether all is where it was put. No login: whoever runs a broken hub has
    only its machine. Nobody who comes through the hub's proxy is answered, and there is no secret
    and nobody's name in it."""

    def initialize(self, hub_app: Any) -> None:
        self.hub_app = hub_app

    def get(self) -> None:
        if any(name in self.request.headers for name in _OF_A_PROXY):
            raise web.HTTPError(404)
        self.write(json.dumps(self._state()))

    def _state(self) -> dict[str, Any]:
        user = orm.Role.find(self.db, "user")
        scopes = set(user.scopes) if user else set()
        there = {n: self.hub_app._service_map.get(n) for n in page_names(self.hub_app)}
        return {
            "version": version(),
            "jupyterhub": jupyterhub.__version__,
            "now": time.time(),
            "since": _STARTED,
            "packages": sorted(attached_packages(self.hub_app)),
            "spawner": _class_state(self.settings["spawner_class"], "hub_quotas"),
            "authenticator": _class_state(type(self.settings["authenticator"]), "hub_groups"),
            "pages": {
                name: {
                    "url": service.url if service else "",
                    "host": service.host if service else "",
                    "open": bool({"access:services", f"access:services!service={name}"} & scopes),
                }
                for name, service in there.items()
            },
        }


def _class_state(cls: type, package: str) -> dict[str, Any]:
    """Whether a class has the mixin of a package, and which methods of the mixin never run."""
    ours = [k for k in cls.__mro__ if k.__module__.partition(".")[0] == package]
    return {
        "name": f"{cls.__module__}.{cls.__name__}",
        "ours": bool(ours),
        "skipped": skipped_methods(cls, ours),
    }


def skipped_methods(cls: type, ours: list[type]) -> list[str]:
    """The methods of some bases that a class, or a base before them, has in their place and that
    does not call `super()`."""
    if not ours:
        return []
    wanted = {n for k in ours for n, v in vars(k).items() if callable(v) and n[:2] != "__"}
    before = cls.__mro__[: cls.__mro__.index(ours[0])]
    found = {
        name
        for k in before
        for name, method in vars(k).items()
        if name in wanted and "super" not in getattr(method, "__code__", _Nothing).co_names
    }
    return sorted(found)


class _Nothing:
    """The code of what has no code of its own."""

    co_names: tuple[str, ...] = ()


def tell_state(app: Any) -> None:
    """Let the hub answer this address, beside those of its own REST API."""

    def add(_change: Any) -> None:
        address = url_path_join(app.hub_prefix, "api", HUB_STATE)
        if not any(entry[0] == address for entry in app.handlers):
            app.handlers[:0] = [(address, HubState, {"hub_app": app})]

    app.observe(add, "handlers")
