"""Limits on groups, and the tree that groups form. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .quantities import RESOURCES, QuantityError, did_you_mean

SERVER = "server"
"""Any one server."""
MEMBER = "member"
"""All servers of one member charged to the group or below it."""
GROUP = "group"
"""Everything charged to the group or below it."""
SCOPES = (SERVER, MEMBER, GROUP)

DEFAULT_GROUP = "default"
"""Charged for users who are in no group."""


CHARGED_GROUP = "charged_group"
"""The spawn option that names the group to charge: in the spawn form, a link, or the API."""


class LimitError(ValueError):
    """A limit that can't be read; the message says where, what is wrong and what would be right."""


@dataclass(frozen=True, order=True)
class Limit:
    """A cap: `group` allows each `scope` at most `amount` of `resource` at once.

    Attributes:
        amount: in the smallest unit of the resource (see `quantities.py`).
    """

    group: str
    scope: str
    resource: str
    amount: int

    @property
    def key(self) -> str:
        """As written in a policy: `member.servers`."""
        return f"{self.scope}.{self.resource}"

    @property
    def text(self) -> str:
        """The amount as written in a policy: `8G`."""
        return RESOURCES[self.resource].format(self.amount)


KEYS = tuple(
    f"{scope}.{resource}"
    for scope in SCOPES
    for resource in RESOURCES
    if (scope, resource) != (SERVER, "servers")  # one server is one server
)


def parse_limit(group: str, key: str, amount: object) -> Limit:
    """One limit of `group` from its key and amount, as in `member.servers: 2`.

    Raises:
        LimitError: for an unknown key or an amount that can't be read.
    """
    where = f"{group} · {key}"
    if key not in KEYS:
        raise LimitError(
            f"{where}: there is no limit of that name.{did_you_mean(key, list(KEYS))} "
            f"Limits are {', '.join(KEYS)}."
        )
    if isinstance(amount, bool) or not isinstance(amount, (str, int, float)):
        raise LimitError(f"{where}: the amount is missing; write, for example, {key}: 2.")
    scope, _, resource = key.partition(".")
    try:
        return Limit(group, scope, resource, RESOURCES[resource].parse(str(amount)))
    except QuantityError as error:
        raise LimitError(f"{where}: {error}") from None


def parse_policy(document: Any) -> tuple[Limit, ...]:
    """All limits of a policy document: `{groups: {NAME: {limits: {KEY: AMOUNT}}}}`.

    Raises:
        LimitError: for the first thing that is wrong; nothing is half-read.
    """
    groups = _mapping(_mapping(document, "the policy", ("groups",)).get("groups", {}), "groups")
    limits: dict[tuple[str, str], Limit] = {}
    for name, spec in groups.items():
        group = group_name(name)
        values = _mapping(spec, group, ("limits",)).get("limits", {})
        for key, amount in _mapping(values, f"{group} · limits").items():
            limits[group, str(key)] = parse_limit(group, str(key), amount)
    return tuple(sorted(limits.values()))


def _mapping(value: Any, where: str, keys: tuple[str, ...] = ()) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise LimitError(f"{where}: expected 'key: value' lines, found {value!r}.")
    for key in value:
        if keys and key not in keys:
            raise LimitError(
                f"{where}: there is nothing called '{key}' here."
                f"{did_you_mean(str(key), list(keys))} Known: {', '.join(keys)}."
            )
    return value


def group_name(name: object) -> str:
    """A group's name as the hub has it, without the leading slash that some providers send.

    Raises:
        LimitError: for an empty name or an empty part between slashes.
    """
    text = str(name).strip().strip("/")
    if not text or "//" in text:
        raise LimitError(f"'{name}' is not the name of a group.")
    return text


def path(group: str) -> tuple[str, ...]:
    """The group and its ancestors, nearest first: `a/b` is under `a`."""
    parts = group.split("/")
    return tuple("/".join(parts[:length]) for length in range(len(parts), 0, -1))


def covers(ancestor: str, group: str) -> bool:
    """Whether what is charged to `group` counts for `ancestor`."""
    return group == ancestor or group.startswith(f"{ancestor}/")


def changes(
    before: Iterable[Limit], after: Iterable[Limit]
) -> list[tuple[Limit | None, Limit | None]]:
    """What is to change, limit by limit, as (before, after); None for one that is not there."""
    old = {(limit.group, limit.key): limit for limit in before}
    new = {(limit.group, limit.key): limit for limit in after}
    return [
        (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
