"""What a hub says about links before readers follow them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Protocol

from .launch import Launch, as_values

PATIENCE = 20
"""Seconds that a hub has for an answer."""

CHECK = "services/launch/api/check"
LAUNCHES = "services/launch/"


class HubError(Exception):
    """The hub gave no answer that can be used; the message says why."""


@dataclass(frozen=True)
class Answer:
    """Whether a launch would work.

    Attributes:
        problems: what the hub would refuse, a sentence each.
        pulls: whether the server can pull a repository; None where that is not known.
    """

    problems: tuple[str, ...] = ()
    pulls: bool | None = None


class Answers(Protocol):
    """A hub that can be asked. All raise HubError."""

    def version(self) -> str:
        """JupyterHub's."""

    def resolves(self) -> bool:
        """Whether share_links is there."""

    def ask(self, launch: Launch) -> Answer:
        """Whether a launch would work."""


@dataclass(frozen=True)
class HubOverHttp:
    """A real one.

    Attributes:
        hub: its address; ends with `/`.
        token: of somebody who may start servers there; empty for none.
    """

    hub: str
    token: str = ""

    def version(self) -> str:
        """JupyterHub's. Raises HubError."""
        found = _json(f"{self.hub}hub/api/", "").get("version")
        if not isinstance(found, str):
            raise HubError("this is not JupyterHub")
        return found

    def resolves(self) -> bool:
        """Whether share_links is there. Raises HubError."""
        try:
            _open(f"{self.hub}{LAUNCHES}", "").close()
        except urllib.error.HTTPError as error:
            return error.code in (401, 403)
        except (OSError, ValueError) as error:
            raise HubError(_why(error)) from None
        return True

    def ask(self, launch: Launch) -> Answer:
        """Whether a launch would work. Raises HubError."""
        return ask_hub(self.hub, self.token, launch)


def ask_hub(hub: str, token: str, launch: Launch) -> Answer:
    """Whether whoever has the token could launch this on a hub now.

    Raises:
        HubError: it gave no answer.
    """
    said = _json(f"{hub}{CHECK}", token, {"launch": as_values(launch)})
    problems, pulls = said.get("problems", []), said.get("nbgitpuller")
    if not isinstance(problems, list) or not isinstance(pulls, bool | None):
        raise HubError("it gave an answer that is not understood here")
    return Answer(tuple(map(str, problems)), pulls)


def _json(url: str, token: str, sent: object = None) -> dict[str, Any]:
    try:
        with _open(url, token, sent) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        raise HubError(f"it answered {error.code} {error.reason}{_detail(error)}") from None
    except (OSError, ValueError) as error:
        raise HubError(_why(error)) from None
    if not isinstance(said, dict):
        raise HubError("it gave an answer that is not understood here")
    return said


def _open(url: str, token: str, sent: object = None) -> Any:
    headers = {"Authorization": f"token {token}"} if token else {}
    body = None
    if sent is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(sent).encode()
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - normal_hub saw to it
    return urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310


def _detail(error: urllib.error.HTTPError) -> str:
    """What a hub with share_links says about it."""
    try:
        said = json.load(error).get("detail")
    except (OSError, ValueError, AttributeError):
        return ""
    return f": {said}" if said else ""


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", error))
