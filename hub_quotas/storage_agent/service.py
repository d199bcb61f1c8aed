"""What the agent asks of the hub's quotas service, and tells it. It only ever calls out."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .largest import Largest
from .memory import GROUP, USER, Ask, Heard
from .record import Backups

_PATIENCE_SECONDS = 15
_MOST_AT_ONCE = 2000
"""Directories in one report."""


class ServiceError(RuntimeError):
    """The service says nothing that could be used; the message says why."""


@dataclass(frozen=True)
class Use:
    """What is known of one directory.

    Attributes:
        used: bytes; None where nobody can tell.
        applied: the limit that holds, in bytes; None for none.
        problem: why no limit could be set; empty for no problem.
    """

    kind: str
    name: str
    used: int | None = 0
    applied: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class MountState:
    """The file system as a whole.

    Attributes:
        size, free: bytes.
        backups: None where nothing is known of any.
    """

    backend: str
    size: int
    free: int
    problems: tuple[str, ...] = ()
    backups: Backups | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """To follow one would send the token to wherever it leads."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


class Service:
    """The quotas service of a hub."""

    def __init__(self, url: str, token: str) -> None:
        """Args:
        url: of its API: `https://hub.example.org/services/quotas/api`.
        token: of the hub's service for this mount.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceError(f"'{url}' is not an address; write https://HUB/services/quotas/api.")
        self._url, self._token = url.rstrip("/"), token
        self._opener = urllib.request.build_opener(_NoRedirects)

    def limits(self, epoch: str, number: int, wait: float, asked: int = 0) -> Heard:
        """What has changed since, as soon as something has; after `wait` seconds at the latest.

        Args:
            asked: the number of the last ask that is known: a later one is something too.

        Raises:
            ServiceError
        """
        known = {"epoch": epoch, "number": number, "asked": asked, "wait": wait}
        query = urllib.parse.urlencode(known)
        found = self._ask(f"/storage/limits?{query}", None, wait + _PATIENCE_SECONDS)
        try:
            limits = {
                **{(USER, name): _amount(value) for name, value in found["users"].items()},
                **{(GROUP, name): _amount(value) for name, value in found["groups"].items()},
            }
            otherwise = _amount(found["otherwise"])
            asks = (Ask(one["kind"], one["name"], int(one["number"])) for one in found["asks"])
            return Heard(
                *(str(found["epoch"]), int(found["number"]), bool(found["whole"])),
                *(limits, otherwise, tuple(asks)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServiceError(
                f"{self._url} answers something else than limits: {error}."
            ) from None

    def report(self, state: MountState, some: Sequence[Use], gone: Sequence[str]) -> None:
        """Say what is used.

        Args:
            gone: KIND/NAME of directories that are no more.

        Raises:
            ServiceError: part of it may have been heard; it can be said again.
        """
        for start in range(0, max(len(some), len(gone), 1), _MOST_AT_ONCE):
            end = start + _MOST_AT_ONCE
            body = {
                "backend": state.backend,
                "size": state.size,
                "free": state.free,
                "problems": _sentences(state.problems),
                "backups": _backups(state.backups),
                "directories": [
                    {
                        "kind": one.kind,
                        "name": one.name,
                        "used": one.used,
                        "applied": one.applied,
                        "problem": one.problem[:1000],
                    }
                    for one in some[start:end]
                ],
                "gone": list(gone[start:end]),
            }
            self._ask("/storage/use", json.dumps(body).encode(), _PATIENCE_SECONDS)

    def seen(self, ask: Ask, seen: int) -> None:
        """Say how many files and directories were looked at so far.

        Raises:
            ServiceError
        """
        body = {"kind": ask.kind, "name": ask.name, "number": ask.number, "seen": seen}
        self._ask("/storage/largest", json.dumps(body).encode(), _PATIENCE_SECONDS)

    def answer(self, ask: Ask, found: Largest | None, problem: str = "") -> None:
        """Say what takes up the room in a home.

        Args:
            found: None where it can't be said.
            problem: why.

        Raises:
            ServiceError
        """
        answer: dict[str, Any] = {"problem": problem[:1000]}
        if found:
            answer |= {"used": found.used, "complete": found.complete}
            answer["largest"] = [
                {"path": one.path, "size": one.size, "is_file": one.is_file} for one in found.found
            ]
        body = {"kind": ask.kind, "name": ask.name, "number": ask.number, "answer": answer}
        self._ask("/storage/largest", json.dumps(body).encode(), _PATIENCE_SECONDS)

    def _ask(self, path: str, body: bytes | None, patience: float) -> Any:
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=patience) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ServiceError(f"{self._url} refuses ({error.code}): {_detail(error)}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise ServiceError(f"{self._url} can't be reached: {why}.") from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise ServiceError(
                f"{self._url} answers something else than JSON: is it the address of the API?"
            ) from None


def _sentences(texts: Sequence[str]) -> list[str]:
    """As many and as long as the service takes."""
    return [text[:1000] for text in texts[:100]]


def _backups(found: Backups | None) -> dict[str, Any] | None:
    if found is None:
        return None
    test = found.restore_test
    return {
        "last_ok": found.last_ok,
        "homes": found.homes,
        "failures": found.failures,
        "failed": _sentences(found.failed),
        "restore_test": test
        and {"at": test.at, "ok": test.ok, "problems": _sentences(test.problems)},
    }


def _amount(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of bytes")
    return value


def _detail(error: urllib.error.HTTPError) -> str:
    """What a problem document says, or the status alone."""
    if 300 <= error.code < 400:
        return f"it leads to {error.headers.get('Location', 'somewhere else')}; write that address."
    try:
        return str(json.loads(error.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)
