"""The authenticators put the claims where the presets look for them.

The sample claims are what a provider would send; the real classes make a login of it.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from ldapauthenticator import LDAPAuthenticator
from ltiauthenticator.lti13.auth import LTI13Authenticator
from oauthenticator.azuread import AzureAdOAuthenticator
from oauthenticator.cilogon import CILogonOAuthenticator
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.github import GitHubOAuthenticator
from oauthenticator.gitlab import GitLabOAuthenticator
from oauthenticator.globus import GlobusOAuthenticator
from oauthenticator.google import GoogleOAuthenticator
from test_rules import EXPECTED, claims, say
from threads import in_a_thread
from traitlets.config import Config

TOKENS = {"access_token": "x", "token_type": "bearer", "scope": "openid"}
IDP = "https://idp.example.org/idp"


def authenticator(cls: type, **settings: Any) -> Any:
    config = Config()
    config[cls.__name__] = Config(settings)
    return cls(config=config)


async def login(found: Any, answers: dict[str, Any], token: dict[str, Any]) -> dict[str, Any]:
    """A login whose provider answers each address with the first of `answers` that is in it."""

    async def fetch(url: Any, *args: Any, parse_json: bool = True, **more: Any) -> Any:
        answer = next(answer for part, answer in answers.items() if part in str(url))
        body = SimpleNamespace(body=json.dumps(answer).encode(), headers={})
        return answer if parse_json else body

    found.httpfetch = fetch
    return await found._token_to_auth_model({**TOKENS, **token})


async def oauth(preset: str) -> dict[str, Any]:
    state = claims(preset)["auth_state"]
    if preset == "github":
        found = authenticator(
            GitHubOAuthenticator, populate_teams_in_auth_state=True, scope=["read:org"]
        )
        answers = {"/user/teams": state["teams"], "/user": state["github_user"]}
    elif preset == "gitlab":
        userinfo = "https://gitlab.example.org/oauth/userinfo"
        found = authenticator(
            GitLabOAuthenticator, userdata_url=userinfo, username_claim="preferred_username"
        )
        answers = {userinfo: state["gitlab_user"]}
    elif preset == "google":
        user = {
            k: v for k, v in state["google_user"].items() if k not in ("google_groups", "domain")
        }
        found = authenticator(GoogleOAuthenticator, allowed_google_groups={"example.org": {"x"}})
        found._get_service_credentials = lambda domain: {domain: SimpleNamespace(token="x")}
        groups = [
            {"email": f"{group}@example.org"} for group in state["google_user"]["google_groups"]
        ]
        answers = {"/directory/": {"groups": groups}, "userinfo": user}
    elif preset == "keycloak":
        found = authenticator(
            GenericOAuthenticator, userdata_url=IDP, username_claim="preferred_username"
        )
        answers = {IDP: state["oauth_user"]}
    elif preset == "cilogon":
        idp = "https://idp.example.org/idp"
        allowed = {idp: {"username_derivation": {"username_claim": "email"}}}
        found = authenticator(CILogonOAuthenticator, allowed_idps=allowed)
        answers = {"userinfo": {**state["cilogon_user"], "idp": idp}}
    else:
        found = authenticator(GlobusOAuthenticator, manage_groups=True)
        groups = [{"id": each, "name": "a name"} for each in state["globus_groups"]]
        answers = {"groups.api": groups, "userinfo": state["globus_user"]}
    token = {"resource_server": "auth.globus.org", "other_tokens": []}
    if preset == "globus":
        token["other_tokens"] = [{**TOKENS, "resource_server": "groups.api.globus.org"}]
    return await login(found, answers, token)


@pytest.mark.parametrize("preset", ["github", "gitlab", "google", "keycloak", "cilogon", "globus"])
@in_a_thread
async def test_oauthenticators(preset):
    said = say({"preset": preset}, await oauth(preset))
    assert (said.groups, said.unsaid) == (EXPECTED[preset], ())


@pytest.mark.parametrize("sample", ["entra", "entra-overage"])
@in_a_thread
async def test_entra(sample):
    user = {**claims(sample)["auth_state"]["user"], "aud": "hub"}
    found = authenticator(AzureAdOAuthenticator, client_id="hub")
    token = jwt.encode(user, "a secret of at least thirty-two bytes", algorithm="HS256")
    model = await login(found, {}, {"id_token": token})
    said = say({"preset": "entra"}, model)
    assert said.groups == (EXPECTED["entra"] if sample == "entra" else {})
    assert ["overage" in sentence for sentence in said.unsaid] == ([True] * (sample != "entra"))


@in_a_thread
async def test_lti13():
    found = authenticator(LTI13Authenticator, client_id={"hub-tool"})
    model = await found.authenticate(None, claims("lti13")["auth_state"])
    assert model["name"] == "ada@example.org"
    assert say({"preset": "lti13"}, model).groups == EXPECTED["lti13"]


@in_a_thread
async def test_ldap(monkeypatch):
    """As ldap3's own server for tests has the entry."""
    import ldap3

    server = ldap3.Server("ldap.example.org")
    directory = ldap3.Connection(server, client_strategy=ldap3.MOCK_SYNC)
    dn = "uid=ada,ou=people,dc=example,dc=org"
    memberships = claims("ldap")["auth_state"]["user_attributes"]["memberOf"]
    entry = {"objectClass": "person", "uid": "ada", "userPassword": "x", "memberOf": memberships}
    directory.strategy.add_entry(dn, entry)
    directory.bind()
    found = authenticator(
        LDAPAuthenticator,
        server_address="ldap.example.org",
        bind_dn_template=["uid={username},ou=people,dc=example,dc=org"],
        auth_state_attributes=["memberOf"],
        allow_all=True,
    )
    monkeypatch.setattr(found, "get_connection", lambda *args: directory)
    model = await found.authenticate(None, {"username": "ada", "password": "x"})
    assert model["auth_state"]["ldap_groups"] == []
    assert say({"preset": "ldap"}, model).groups == EXPECTED["ldap"]
