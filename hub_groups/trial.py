"""Rules tried on claims that somebody pastes, and what such a login would change. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .memberships import MANAGER
from .said import Said, Step, with_parents
from .words import _

MODEL = ("name", "groups", "admin", "auth_state")
"""What an authenticator gives, and rules ask."""

USER_INFO = "oauth_user"
"""Where a GenericOAuthenticator keeps the userinfo."""

_STATE = ("access_token", "refresh_token", "id_token", "token_response", "scope", "user_attributes")
_NAMES = ("preferred_username", "login", "username", "name", "email", "sub")


class ClaimsError(ValueError):
    """Claims that can't be used; the message says what was wrong, and what would be right."""


@dataclass(frozen=True)
class Claims:
    """Claims as rules ask them.

    Attributes:
        model: with `name`, `groups`, `admin`, `auth_state`, as far as they are there.
        assumed: what was taken for granted to come to that; empty for nothing.
    """

    model: Mapping[str, Any]
    assumed: str = ""


@dataclass(frozen=True)
class Change:
    """What a login would change for a user, by group the role.

    Attributes:
        added, removed: groups that come and go.
        changed: groups in which the role is another one; as it would be.
        same: how many stay as they are.
    """

    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: Mapping[str, str]
    same: int


def read_claims(text: str) -> Claims:
    """Claims from JSON: the model of a login, its `auth_state` alone, or a bare userinfo.

    Raises:
        ClaimsError
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClaimsError(
            _("Claims, line {n}: this is not JSON: {why}.").format(n=error.lineno, why=error.msg)
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets without end
        raise ClaimsError(_("Claims: this is not JSON that can be read.")) from None
    return claims_of(found)


def claims_of(found: object) -> Claims:
    """The same, of what was JSON. Raises ClaimsError."""
    if not isinstance(found, dict) or not found:
        raise ClaimsError(
            _("Claims are an object, such as {example}.").format(
                example='{"name": "ada", "auth_state": {"oauth_user": {"groups": ["geo"]}}}'
            )
        )
    if "auth_state" in found or set(found) <= set(MODEL):
        if found.get("auth_state") is None and "auth_state" in found:
            return Claims(
                found, _("There is no auth_state: the hub keeps none, or you may not see it.")
            )
        return Claims(found)
    if any(key in found for key in _STATE) or any(_is_info(key, found[key]) for key in found):
        model = {"name": _name_in(found), "auth_state": found}
        return Claims(model, _("Taken for the auth_state of a login."))
    model = {"name": _name_in({"user": found}), "auth_state": {USER_INFO: found}}
    text = _("Taken for the userinfo of a provider, which is at {place}.")
    return Claims(model, text.format(place=f"auth_state.{USER_INFO}"))


def _is_info(key: str, value: object) -> bool:
    """Whether this is where an authenticator keeps what it was told: `github_user`, `user`."""
    return isinstance(value, dict) and (key.endswith("_user") or key == "user")


def _name_in(state: Mapping[str, Any]) -> str:
    for key, value in state.items():
        if _is_info(key, value):
            for name in _NAMES:
                if isinstance(value.get(name), str):
                    return str(value[name])
    return ""


def change_for(said: Said, before: Mapping[str, str], parents: bool) -> Change:
    """What a login would change.

    Args:
        before: what the last login of that user gave, by group the role.
        parents: whether members of `a/b` are in `a` too.
    """
    after = said.after(before)
    return between(before, with_parents(after) if parents else after)


def between(before: Mapping[str, str], after: Mapping[str, str]) -> Change:
    """How `after` differs."""
    both = before.keys() & after.keys()
    return Change(
        {group: after[group] for group in sorted(after.keys() - before.keys())},
        {group: before[group] for group in sorted(before.keys() - after.keys())},
        {group: after[group] for group in sorted(both) if after[group] != before[group]},
        sum(after[group] == before[group] for group in both),
    )


def document(said: Said) -> dict[str, Any]:
    """What rules made of claims, for programs."""
    return {
        "groups": dict(said.groups),
        "managers": sorted(group for group, role in said.groups.items() if role == MANAGER),
        "unsaid": list(said.unsaid),
        "keeps": said.keeps,
        "rules": [_step(step) for step in said.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "rule": step.number,
        "claim": step.rule.claim,
        "role": step.rule.role,
        "unsaid": step.unsaid,
        "skipped": step.skipped,
        "values": _values(step),
    }


def _values(step: Step) -> Sequence[dict[str, str]]:
    return [{"value": each.value, "group": each.group, "why": each.why} for each in step.outcomes]


def change_document(change: Change) -> dict[str, Any]:
    """The same, of a change."""
    return {
        "added": dict(change.added),
        "removed": dict(change.removed),
        "changed": dict(change.changed),
        "same": change.same,
    }
