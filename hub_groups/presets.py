"""Rules for providers that many hubs use, as one would write them. Pure data.

Each path is where the authenticator named in `needs` puts it: OAuthenticator 17.4, LTIAuthenticator
1.6.3, LDAPAuthenticator 2.0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .memberships import MANAGER

_LTI = "https://purl.imsglobal.org/spec/lti/claim"
_LTI_ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership"
_COURSE = f'auth_state."{_LTI}/context" | label || title || id'
_GITLAB = "https://gitlab.org/claims/groups"
_CILOGON = {"claim": "auth_state.cilogon_user.isMemberOf", "split": ";"}


@dataclass(frozen=True)
class Preset:
    """Rules for one provider.

    Attributes:
        needs: what has to be set so that the claims are there.
        rules: entries as in a file of rules.
    """

    needs: str
    rules: tuple[Mapping[str, Any], ...]


def _teaches(role: str) -> str:
    return f"contains(auth_state.\"{_LTI}/roles\", '{_LTI_ROLE}{role}')"


PRESETS: Mapping[str, Preset] = {
    "github": Preset(
        "GitHubOAuthenticator with populate_teams_in_auth_state = True and read:org in scope. "
        "Anybody can found an organization of any name: name yours with `match`.",
        (
            {"claim": "auth_state.teams[].organization.login"},
            {"claim": "auth_state.teams[].join('/', [organization.login, slug])"},
        ),
    ),
    "gitlab": Preset(
        "GitLabOAuthenticator with openid in scope, userdata_url = GITLAB/oauth/userinfo and "
        "username_claim = 'preferred_username'. On gitlab.com anybody can found a group of any "
        "name: name yours with `match`.",
        (
            {
                "claim": "not_null(auth_state.gitlab_user.groups, "
                "auth_state.gitlab_user.groups_direct)"
            },
            # A user who owns or maintains none gets none of these claims.
            {
                "claim": f'auth_state.gitlab_user."{_GITLAB}/owner"',
                "role": MANAGER,
                "optional": True,
            },
            {
                "claim": f'auth_state.gitlab_user."{_GITLAB}/maintainer"',
                "role": MANAGER,
                "optional": True,
            },
        ),
    ),
    "google": Preset(
        "GoogleOAuthenticator with allowed_google_groups or admin_google_groups (without both it "
        "asks for no groups and says that there are none).",
        ({"claim": "auth_state.google_user.google_groups", "match": "(?P<value>[^@]+)(@.*)?"},),
    ),
    "entra": Preset(
        "AzureAdOAuthenticator and, in Entra, Token configuration: a groups claim in the ID token. "
        "It holds ids: give `names` to them.",
        ({"claim": "auth_state.user.groups"},),
    ),
    "keycloak": Preset(
        "GenericOAuthenticator and, in Keycloak, a mapper 'Group Membership' to the claim groups, "
        "in the userinfo. Since version 22 it leaves the claim out for users in no group, who keep "
        "the last one here; with `optional: true` they lose it, as all do without the mapper.",
        ({"claim": "auth_state.oauth_user.groups"},),
    ),
    "cilogon": Preset(
        "CILogonOAuthenticator and a client of CILogon that sends isMemberOf. The active members "
        "of a COU of COmanage become its group's members, its admins the managers.",
        (
            {**_CILOGON, "match": "(?!CO:)(?P<value>.+)"},
            {**_CILOGON, "match": "CO:COU:(?P<cou>.+):members:active", "group": "{cou}"},
            {
                **_CILOGON,
                "match": "CO:COU:(?P<cou>.+):admins",
                "group": "{cou}",
                "role": MANAGER,
            },
        ),
    ),
    "globus": Preset(
        "GlobusOAuthenticator with manage_groups = True and the scope view_my_groups_and_"
        "memberships of groups.api.globus.org (with neither allowed_ nor admin_globus_groups nor "
        "manage_groups it says that there are no groups). It gives ids: give `names` to them.",
        ({"claim": "auth_state.globus_groups"},),
    ),
    "lti13": Preset(
        "LTI13Authenticator. A launch names one course, so its groups are added to those of "
        "earlier ones. Courses of the same label share a group; end the claim with `id` instead of "
        "`label || title || id` where they must not.",
        (
            {"claim": _COURSE, "adds": True},
            {
                "claim": _COURSE,
                "role": MANAGER,
                "adds": True,
                "when": f"{_teaches('#Instructor')} || {_teaches('/Instructor#TeachingAssistant')}",
            },
        ),
    ),
    "ldap": Preset(
        "LDAPAuthenticator with auth_state_attributes = ['memberOf']. A directory without it: a "
        "rule with the claim auth_state.ldap_groups, which has those of allowed_groups.",
        (
            {
                "claim": "auth_state.user_attributes.memberOf",
                "match": r"(?i)cn=(?P<value>(?:[^,\\]|\\.)+)(,.*)?",
            },
        ),
    ),
}
"""By name, in the order in which they are shown."""
