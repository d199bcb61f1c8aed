"""Told by the hub: what a reader's servers are, and what a launch would start for them.

Only the hub's own process knows its spawners, and so what a choice comes to: its user options, its
size, its image. Nothing is started or changed here.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future, url_path_join
from tornado import web

from hub_groups.words import choose, speak
from hub_quotas.limits import CHARGED_GROUP
from hub_quotas.readers import as_chosen, read

from .choices import READER_STATE, Choice, image_of, of_form, of_profiles, with_defaults
from .images import takes_image

_LONGEST_PROBLEM = 500


class ReaderState(APIHandler):
    """POST what a launch asks for, to hear what it comes to for a user.

    The body is `{"form": {field: value}, "by": name, "choices": true}`: fields of the hub's form,
    who made the link, and whether to tell of everything that could be chosen. With `options`
    instead of `form`, what these user options come to.
    """

    @needs_scope("read:servers")
    async def post(self, user_name: str) -> None:
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404)
        speak(choose(self.request.headers.get("Accept-Language", "")))
        asked = self.get_json_body() or {}
        form, by = asked.get("form") or {}, asked.get("by") or ""
        user_options = asked.get("options")
        right = user_options is None or isinstance(user_options, dict)
        if not _texts(form) or not isinstance(by, str) or not right:
            raise web.HTTPError(400, 'Send {"form": {field: text}, "by": name}.')
        # A copy: what is tried out must not stay with the spawner that the hub goes on with.
        spawner = copy.copy(user.spawners[""])
        if not spawner.pending:  # profiles and forms may need what it sets; a start has run it
            await spawner.run_auth_state_hook(await user.get_auth_state())
        profiles = await _profiles(spawner)
        choices, has_form = await _choices(spawner, profiles)
        known = bool(choices) or not has_form
        maker = orm.User.find(self.db, by) if by else None
        main = self.app.default_server_name if self.allow_named_servers else ""
        takes = takes_image(profiles, form.get("profile", ""))
        wanted: dict[str, Any] = {}
        if user_options is not None:
            wanted = await _comes_to(spawner, user_options)
        elif known or form:
            wanted = await _tried(spawner, with_defaults(form, choices))
        answer = {
            "groups": [group.name for group in user.groups],
            "charges": spawner.groups() if hasattr(spawner, "groups") else [],
            "admin": bool(user.admin),
            "by_admin": bool(maker and maker.admin),
            "main": main or "",
            "named_allowed": await self._may_have_one_more(user),
            "servers": [_server(user, one) for one in user.spawners.values() if one.active],
            "stopped": [name for name in user.orm_spawners if name and name not in _active(user)],
            "form_known": known,
            "takes_image": asdict(takes) if takes else None,
            "wanted": wanted,
            "defaults": await _options(spawner, with_defaults({}, choices)) if choices else {},
        }
        if asked.get("choices"):
            answer["choices"] = [
                {
                    "name": one.name,
                    "form": dict(one.form),
                    "default": one.default,
                    **await _tried(spawner, one.form),
                }
                for one in choices
            ]
        self.write(json.dumps(answer, default=str))

    async def _may_have_one_more(self, user: Any) -> bool:
        if not self.allow_named_servers:
            return False
        most = await self.get_current_user_named_server_limit()
        return not most or len([name for name in user.orm_spawners if name]) < most


class ToServices(BaseHandler):
    """Where services have a host of their own: authors write the hub's address, as readers know
    it."""

    def get(self) -> None:
        host = self.app._service_map["launch"].host
        if urlsplit(host).netloc == self.request.host:
            raise web.HTTPError(404)  # the proxy does not know that host
        self.redirect(f"{host}{self.request.uri}")


def _active(user: Any) -> set[str]:
    return {name for name, spawner in user.spawners.items() if spawner.active}


def _server(user: Any, spawner: Any) -> dict[str, Any]:
    started = spawner.orm_spawner.started
    return {
        "name": spawner.name,
        "options": spawner.user_options or {},
        "group": getattr(spawner, "charged_group", ""),
        "pending": spawner.pending or "",
        "ready": spawner.ready,
        "since": f"{started.isoformat()}Z" if started else "",
        "session": getattr(spawner, "session_id", None) or "",
        # As the hub reaches it; readers have their own way.
        "url": user.server_url(spawner.name),
        "address": spawner.server.url if spawner.server else "",
        **_image(spawner),
    }


def _image(spawner: Any) -> dict[str, str]:
    """What a server runs, and the digest of that, which a pod's status tells."""
    try:
        pod = spawner.pod_reflector.pods[f"{spawner.namespace}/{spawner.pod_name}"]
    except (AttributeError, KeyError):
        return {"image": str(getattr(spawner, "image", "") or ""), "digest": ""}
    image, digest = image_of(pod)
    return {"image": image, "digest": digest}


async def _profiles(spawner: Any) -> Sequence[Mapping[str, Any]]:
    """KubeSpawner's, as this user has them."""
    return (await spawner.profiles() or ()) if hasattr(spawner, "profiles") else ()


async def _choices(
    spawner: Any, profiles: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Choice], bool]:
    """What can be chosen, as far as it can be known; and whether the hub has a form."""
    if profiles:
        return of_profiles(profiles), True
    # The class's own: ours would put what is left above it.
    own = spawner.options_form
    html = await maybe_future(own(spawner)) if callable(own) else own
    return of_form(html or ""), bool(html)


async def _options(spawner: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """What fields of the form are as user options."""
    fields: dict[str, Any] = {name: [value] for name, value in form.items()}
    trial = copy.copy(spawner)
    # The hub's own way fails for an `options_from_form` of two arguments.
    own = type(trial).options_from_query is Spawner.options_from_query
    convert = trial.run_options_from_form if own else trial.options_from_query
    options: dict[str, Any] = await maybe_future(convert(fields)) or {}
    return options


async def _tried(spawner: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """What a choice comes to: its user options, size and image; or why it can't be."""
    try:
        options = await _options(spawner, form)
    except Exception as error:  # an admin's own code, about what a link of anybody says
        return _can_not_be(spawner, error)
    return await _comes_to(spawner, options)


async def _comes_to(spawner: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same of user options."""
    try:
        chosen = await as_chosen(
            spawner, {name: value for name, value in options.items() if name != CHARGED_GROUP}
        )
        limits, guarantees = (await read(chosen)).asked
    except Exception as error:  # as above
        return _can_not_be(spawner, error)
    return {
        "options": options,
        "limits": limits,
        "guarantees": guarantees,
        "image": str(getattr(chosen, "image", "") or ""),
    }


def _can_not_be(spawner: Any, error: Exception) -> dict[str, Any]:
    spawner.log.info("A launch can't be what its link asks for: %s", type(error).__name__)
    return {"problem": _said(error)}


def _said(error: Exception) -> str:
    text = getattr(error, "log_message", None) or str(error).strip("'\"") or type(error).__name__
    return str(text)[:_LONGEST_PROBLEM]


def _texts(form: object) -> bool:
    return isinstance(form, dict) and all(
        isinstance(part, str) for pair in form.items() for part in pair
    )


def tell_of_readers(app: Any) -> None:
    """Let the hub answer this address, beside those of its own REST API."""

    def add(_change: Any) -> None:
        address = url_path_join(app.hub_prefix, "api", READER_STATE, "([^/]+)")
        if not any(entry[0] == address for entry in app.handlers):
            app.handlers[:0] = [(address, ReaderState)]
            if app.subdomain_host:
                here = url_path_join(app.base_url, "services/launch/.*")
                app.handlers[:0] = [(here, ToServices)]

    app.observe(add, "handlers")
