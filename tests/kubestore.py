"""What a Kubernetes API server keeps: objects, their versions, and what has changed since one."""

from __future__ import annotations

import asyncio
import functools
import itertools
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name

REMEMBERED = 20_000
"""Changes that a watch can start from; older ones are gone."""


class ApiError(Exception):
    """Answered with a `Status`, as the real server does."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


# -- selectors --------------------------------------------------------------------------------


def label_selector(text: str) -> Callable[[Object], bool]:
    """`a=b`, `a!=b`, `a`, `!a`, `a in (b, c)`, `a notin (b)`, joined by commas."""
    tests = []
    for part in re.split(r",(?![^(]*\))", text):
        part = part.strip()
        if match := re.fullmatch(r"(\S+)\s+(in|notin)\s+\((.*)\)", part):
            name, values = match[1], {value.strip() for value in match[3].split(",")}
            wanted = match[2] == "in"
        elif "=" in part:
            name, _, value = part.partition("=")
            wanted, values = not name.endswith("!"), {value.lstrip("=")}
            name = name.rstrip("!")
        elif part:
            name, values, wanted = part.lstrip("!"), None, not part.startswith("!")
        else:
            continue
        tests.append((name.strip(), values, wanted))

    def matches(item: Object) -> bool:
        labels = item["metadata"].get("labels") or {}
        return all(
            ((name in labels) if values is None else labels.get(name) in values) == wanted
            for name, values, wanted in tests
        )

    return matches


def field_selector(text: str) -> Callable[[Object], bool]:
    """`path.to.field=value` and `!=`, joined by commas."""
    tests = []
    for part in filter(None, text.split(",")):
        path, _, value = part.partition("=")
        tests.append((path.rstrip("!").split("."), value.lstrip("="), not path.endswith("!")))

    def field(item: Object, path: list[str]) -> str:
        return str(functools.reduce(lambda value, name: (value or {}).get(name), path, item))

    return lambda item: all((field(item, path) == value) == wanted for path, value, wanted in tests)


# -- store ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    version: int
    key: Key
    type: str
    object: Object
    before: Object | None


class Store:
    """All objects and their changes; stored objects are never changed in place."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.version = 1
        self.oldest = 1
        self.history: deque[Change] = deque(maxlen=REMEMBERED)
        self.changed = asyncio.Event()
        self.dropped = ""
        self.generation = 0
        self.watching: Counter[str] = Counter()  # open watches by namespace

    def get(self, key: Key) -> Object:
        try:
            return self.objects[key]
        except KeyError:
            raise not_found(key) from None

    def put(self, key: Key, item: Object) -> Object:
        before = self.objects.get(key)
        return self._change("MODIFIED" if before else "ADDED", key, item, before)

    def update(self, key: Key, **parts: Mapping[str, Any]) -> Object | None:
        """Merge into `metadata`, `spec` or `status`; nothing if the object is gone."""
        before = self.objects.get(key)
        if before is None:
            return None
        merged = {name: {**before.get(name, {}), **part} for name, part in parts.items()}
        return self.put(key, {**before, **merged})

    def delete(self, key: Key) -> Object:
        before = self.get(key)
        return self._change("DELETED", key, before, before)

    def _change(self, type: str, key: Key, item: Object, before: Object | None) -> Object:
        self.version += 1
        item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        if type == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = item
        self.history.append(Change(self.version, key, type, item, before))
        self.oldest = self.history[0].version - 1
        self.wake()
        return item

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def since(self, version: int) -> list[Change]:
        """Changes after this version; 410 if some of them are forgotten."""
        if version < self.oldest:
            raise ApiError(410, "Expired", f"too old resource version: {version} ({self.oldest})")
        missed = max(0, self.version - version)
        return list(itertools.islice(reversed(self.history), missed))[::-1]

    def end_watches(self, gone: bool) -> None:
        """Drop all watches: with a 410, or the connection alone."""
        self.generation += 1
        self.dropped = "gone" if gone else "connection"
        if gone:
            self.version += 1
            self.history.clear()
            self.oldest = self.version
        self.wake()


def not_found(key: Key) -> ApiError:
    return ApiError(404, "NotFound", f'{key[0]} "{key[2]}" not found', name=key[2], kind=key[0])


def merge(item: Any, change: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    merged = dict(item) if isinstance(item, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
