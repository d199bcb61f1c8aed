"""Launches by LTI 1.3, signed by a platform: courses become groups, their teachers managers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hubs import Hub, Visitor
from idp import store

from hub_groups.people import By, put_members

CLAIM = "https://purl.imsglobal.org/spec/lti/claim"
ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership#"


class Platform:
    """A learning management system, as far as a launch needs one."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        keys = json.dumps({"keys": [{**public, "kid": "one", "alg": "RS256"}]}).encode()

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the keys are all that the hub asks for itself
                self.send_response(200)
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_args: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def launch(
        self,
        hub: Hub,
        user: str,
        course: str | None,
        *roles: str,
        key: rsa.RSAPrivateKey | None = None,
    ) -> tuple[Visitor, httpx.Response]:
        """Somebody follows a link in a course; what their browser would send from page to page."""
        visitor = Visitor(hub, user)
        target = f"{hub.url}/hub/token"
        start = {"iss": self.url, "login_hint": user, "client_id": "hub-tool"}
        asked = visitor.post(
            "hub/lti13/oauth_login",
            data={**start, "target_link_uri": target},
            follow_redirects=False,
        )
        assert asked.headers["location"].startswith(f"{self.url}/authorize?"), asked.text
        said = {k: v[0] for k, v in parse_qs(urlsplit(asked.headers["location"]).query).items()}
        assert said["login_hint"] == user
        now = int(time.time())
        claims: dict[str, Any] = {
            **{"iss": self.url, "aud": "hub-tool", "sub": user, "nonce": said["nonce"]},
            **{"iat": now, "exp": now + 60},
            f"{CLAIM}/version": "1.3.0",
            f"{CLAIM}/deployment_id": "1",
            f"{CLAIM}/message_type": "LtiResourceLinkRequest",
            f"{CLAIM}/target_link_uri": target,
            f"{CLAIM}/resource_link": {"id": "link-1"},
            f"{CLAIM}/roles": [ROLE + role for role in roles],
        }
        if course:
            claims[f"{CLAIM}/context"] = {"id": f"id-{course}", "label": course, "title": course}
        token = jwt.encode(claims, key or self._key, algorithm="RS256", headers={"kid": "one"})
        done = visitor.post(
            urlsplit(said["redirect_uri"]).path.lstrip("/"),
            data={"id_token": token, "state": said["state"]},
        )
        return visitor, done


@pytest.fixture(scope="module")
def platform():
    running = Platform()
    yield running
    running.stop()


@pytest.fixture
def hub(platform, start_hub, each_hub) -> Hub:
    return start_hub("lti", each_hub, platform=platform.url)


def enter(platform: Platform, hub: Hub, user: str, course: str | None, *roles: str) -> Visitor:
    visitor, page = platform.launch(hub, user, course, *roles)
    assert page.status_code == 200, page.text
    assert visitor.get("hub/home").status_code == 200
    return visitor


def test_a_course_is_a_group_and_who_teaches_it_manages_it(platform, hub):
    enter(platform, hub, "ada", "GEO101", "Instructor")
    assert hub.groups("ada") == {"GEO101"}
    assert store(hub).managed_by("ada") == ("GEO101",)
    enter(platform, hub, "kim", "GEO101", "Learner")
    assert hub.groups("kim") == {"GEO101"}
    assert store(hub).managed_by("kim") == ()
    assert set(store(hub).managers(["GEO101"])["GEO101"]) == {"ada"}


def test_a_launch_from_another_course_keeps_the_first_and_what_people_set(platform, hub):
    put_members(store(hub), "seminar", ["sam"], By("tests", "cli"))
    enter(platform, hub, "sam", "GEO101", "Learner")
    hub.api("groups/by-hand", "POST")
    hub.api("groups/by-hand/users", "POST", json={"users": ["sam"]})
    enter(platform, hub, "sam", "BIO7", "Instructor")
    assert hub.groups("sam") == {"GEO101", "BIO7", "seminar", "by-hand"}
    assert store(hub).managed_by("sam") == ("BIO7",)
    enter(platform, hub, "sam", None, "Learner")  # a link that is in no course
    assert hub.groups("sam") == {"GEO101", "BIO7", "seminar", "by-hand"}
    enter(platform, hub, "sam", "BIO7", "Learner")
    assert hub.groups("sam") == {"GEO101", "BIO7", "seminar", "by-hand"}
    assert store(hub).managed_by("sam") == (), "they teach it no more"


def test_somebody_elses_signature_gives_nothing(platform, hub):
    forged = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _visitor, page = platform.launch(hub, "eve", "GEO101", "Instructor", key=forged)
    assert page.status_code in (400, 401, 403), page.text
    assert hub.api("users/eve").status_code == 404
    assert store(hub).standings("eve") == []
