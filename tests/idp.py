"""Providers of logins to test with: canaille, a real one, whose admin the tests are.

It runs in a thread of the tests, on a port of its own, and keeps what it has in memory; so what it
knows survives an outage (`stop`, `start`), and its admin needs no pages.
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hubs import Hub, Visitor, free_port

from hub_groups.store import GroupStore, open_store

CLIENT, SECRET = "the-hub", "of-the-hub"
SCOPES = ["openid", "profile", "email", "groups"]


class Canaille:
    """Users, groups, one client, and a hub's settings for it."""

    def __init__(self) -> None:
        from canaille import create_app
        from canaille.app import models
        from canaille.backends import Backend
        from joserfc.jwk import JWKRegistry

        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # on this machine
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        key = JWKRegistry.generate_key("RSA", 2048)
        key.ensure_kid()
        quiet = {"version": 1, "disable_existing_loggers": False}
        self.app = create_app(
            config={
                "ENV_FILE": None,
                "SECRET_KEY": str(uuid.uuid4()),
                "PREFERRED_URL_SCHEME": "http",
                "SERVER_NAME": f"localhost:{self.port}",
                "CANAILLE": {
                    "DATABASE": "memory",
                    "JAVASCRIPT": False,
                    "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
                    "LOGGING": quiet,
                },
                "CANAILLE_OIDC": {
                    "ACTIVE_JWKS": [key.as_dict(private=True)],
                    "REQUIRE_NONCE": False,  # OAuthenticator sends none
                },
            },
        )
        self.models, self.backend = models, Backend.instance
        self.asked: list[str] = []
        """Paths that were asked for."""
        self.fails = 0
        """What it answers everything with, where it is not 0."""

        @self.app.before_request
        def note() -> Any:
            from flask import request

            self.asked.append(request.path)
            return ("Out of order", self.fails) if self.fails else None

        self._server: Any = None

    # -- the process -----------------------------------------------------------------------------

    def start(self) -> None:
        from wsgiref.simple_server import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log_message(self, *_args: Any) -> None: ...

        self._server = make_server("localhost", self.port, self.app, handler_class=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Nobody answers on its port any more."""
        if self._server:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    # -- what its admin does ---------------------------------------------------------------------

    def _save(self, one: Any, **values: Any) -> None:
        with self.app.app_context():
            self.backend.update(one, **values)
            self.backend.save(one)

    def _get(self, kind: str, **by: Any) -> Any:
        with self.app.app_context():
            return self.backend.get(getattr(self.models, kind), **by)

    def add_hub(self, hub: Hub) -> None:
        """As a client; all have the same id, since they say the same in their settings."""
        found = self._get("Client", client_id=CLIENT)
        self._save(
            found or self.models.Client(client_id=CLIENT, client_secret=SECRET, client_name="hub"),
            redirect_uris=[
                *(found.redirect_uris if found else ()),
                f"{hub.url}/hub/oauth_callback",
            ],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            scope=SCOPES,
            token_endpoint_auth_method="client_secret_post",
            client_uri=hub.url,  # on this machine, so that nobody is asked for consent
        )

    def say_groups(self, whether: bool) -> None:
        """Whether the claim `groups` goes out, in old tokens too: as when a mapper is removed."""
        from canaille.oidc.userinfo import UserInfo

        UserInfo.SCOPES_CLAIMS_MAPPING["groups"] = ["groups"] if whether else []

    def user(self, name: str, *groups: str) -> None:
        """A new user, whose password is `of-NAME`."""
        self._save(
            self.models.User(
                user_name=name,
                formatted_name=name,
                family_name=name,
                emails=[f"{name}@example.edu"],
                password=f"of-{name}",
            )
        )
        for group in groups:
            self.add(group, name)

    def _members(self, group: str, change: Any) -> None:
        found = self._get("Group", display_name=group) or self.models.Group(display_name=group)
        self._save(found, members=change([*(found.members or [])]))

    def add(self, group: str, name: str) -> None:
        user = self._get("User", user_name=name)
        self._members(group, lambda members: [*members, user])

    def remove(self, group: str, name: str) -> None:
        self._members(group, lambda members: [m for m in members if m.user_name != name])

    def rename_group(self, old: str, new: str) -> None:
        self._save(self._get("Group", display_name=old), display_name=new)

    def rename_user(self, old: str, new: str) -> None:
        self._save(self._get("User", user_name=old), user_name=new, password=f"of-{new}")

    def delete_user(self, name: str) -> None:
        """With all tokens; canaille answers 500 to those that are left of somebody."""
        user = self._get("User", user_name=name)
        self.end_tokens(subject=user)
        with self.app.app_context():
            self.backend.delete(user)

    def end_tokens(self, **of: Any) -> None:
        """All that were given out, as when an admin ends all sessions."""
        with self.app.app_context():
            for token in self.backend.query(self.models.Token, **of):
                self.backend.delete(token)

    def expire_tokens(self) -> None:
        """Those that are out are over; what they can be renewed with is not.

        In canaille both end at the same time, so they are made unknown.
        """
        with self.app.app_context():
            for token in self.backend.query(self.models.Token):
                self.backend.update(token, access_token=str(uuid.uuid4()))
                self.backend.save(token)


@contextmanager
def open_canaille() -> Iterator[Canaille]:
    """Run a new one; where there is none for this Python, the test is skipped."""
    pytest.importorskip("canaille", reason="canaille is for Python 3.11 or later")
    provider = Canaille()
    provider.start()
    try:
        yield provider
    finally:
        provider.say_groups(True)
        provider.stop()


def log_in(hub: Hub, name: str, visitor: Visitor | None = None) -> Visitor:
    """Through the provider's own forms."""
    visitor = visitor or Visitor(hub, name)
    page = visitor.get("hub/oauth_login?next=" + httpx.URL(hub.base).path + "hub/token")
    for field, value in (("login", name), ("password", f"of-{name}")):
        if f'name="{field}"' not in page.text:
            continue  # they are logged in there
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        page = visitor.post(
            page.url, data={field: value, "csrf_token": token.group(1) if token else ""}
        )
    assert str(page.url).startswith(hub.base), f"{page.status_code} {page.url}\n{page.text[:2000]}"
    assert page.status_code == 200, page.text
    return visitor


def store(hub: Hub) -> GroupStore:
    """The memberships of a hub, as its pages have them."""
    return open_store(f"sqlite:///{hub.folder / 'hub_groups.sqlite'}")
