"""The quotas of jupyterhub-home-nfs: one for all homes, and exceptions by directory. Pure.

Amounts there are GiB; 0 is no quota. An exception wins over `exclude`, and that over the quota of
all. Directories are called as KubeSpawner escapes names of users: `-40` stands for an @.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..policy import WHOLE_HUB
from ..quantities import format_memory
from .report import ASIDE, CANNOT, DIFFERS, FOREVER, MAPS, Converted, Draft, SourceError, short
from .sources import Code, Place, Source

CLASS = "QuotaManager"
_DEFAULT = 10
"""GiB, where none is set."""
_LAYOUT = (
    *("paths", "path", "projects_file", "projid_file", "min_projid", "wait_time", "uid", "gid"),
    *("config_file", "metrics_port", "enable_metrics"),
)
_ENFORCER = ("image", "resources", "extraConfig", "config", "enabled")
_FIRST = {"hardQuota": "hard_quota", "quotaOverrides": "quota_overrides", "exclude": "exclude"}
"""What the chart called them before it had `config`."""
_ESCAPED = re.compile("(?:-[0-9a-f]{2})+")
_HASHED = re.compile("(.*)---[0-9a-f]{8}")
_KEY = "member.storage"


def convert(source: Source, until: str = FOREVER) -> Converted:
    """The policy that gives each home what it has there.

    Args:
        until: the last day of exceptions, `2027-03-31`: here they are boosts, which have an end.

    Raises:
        SourceError: there is nothing of this kind in it.
    """
    draft = Draft()
    found = _found(draft, source)
    if not found:
        raise SourceError(
            f"there is no quota of homes in it: no quotaEnforcer.config.{CLASS} and no c.{CLASS}."
        )
    everybody = _everybody(draft, found)
    excluded = _excluded(draft, found)
    _overrides(draft, found, everybody, excluded, until)
    for name, (value, place) in found.items():
        if name in _LAYOUT:
            why = "no limit: where homes are is what hub-storage-agent is told."
            draft.note(ASIDE, place, f"{name}: {short(value)}", why)
        elif name not in ("hard_quota", "quota_overrides", "exclude"):
            draft.unknown({name: value}, ("hard_quota", "quota_overrides", *_LAYOUT), place[:-1])
    source.note_unread(draft, CLASS)
    return draft.finish()


def _found(draft: Draft, source: Source) -> dict[str, tuple[Any, Place]]:
    found: dict[str, tuple[Any, Place]] = {}
    for place, block in source.blocks.get("quotaEnforcer", []):
        for key, value in block.items():
            here = (*place, str(key))
            if key in _FIRST or key in _LAYOUT:
                found[_FIRST.get(key, key)] = (value, here)
            elif key == "enabled" and value is False:
                draft.note(
                    DIFFERS, here, "enabled: False", "there no quota is enforced at present."
                )
            elif key not in _ENFORCER:
                draft.unknown({key: value}, (*_FIRST, *_ENFORCER), place)
    for name, setting in source.of(CLASS).items():
        if setting.perhaps:
            why = "it stands in an if, a loop or a function; it is taken as if that always ran."
            draft.note(DIFFERS, setting.place, name, why)
        found[name] = (setting.value, setting.place)
    return found


def _bytes(value: object) -> int:
    """As its code has it, in whole KiB. Raises ValueError."""
    if isinstance(value, (bool, Code)):
        raise ValueError
    try:
        number = Decimal(str(value))
        if not 0 <= number < 10**9:
            raise ValueError
        return int(number * 2**20) * 2**10
    except ArithmeticError:
        raise ValueError from None


def _everybody(draft: Draft, found: Mapping[str, tuple[Any, Place]]) -> int | None:
    value, place = found.get("hard_quota", (_DEFAULT, (CLASS, "hard_quota")))
    what = f"hard_quota: {short(value)}" + ("" if "hard_quota" in found else " (not set)")
    try:
        amount = _bytes(value)
    except ValueError:
        draft.note(CANNOT, place, what, "there it is a number of GiB.")
        return None
    if amount == 0:
        draft.note(MAPS, place, what, "homes have no limit there, and none here.")
        return None
    draft.say(WHOLE_HUB, _KEY, format_memory(amount), place, what)
    return amount


def _excluded(draft: Draft, found: Mapping[str, tuple[Any, Place]]) -> tuple[list[Any], Place]:
    value, place = found.get("exclude", ([], ()))
    if not isinstance(value, list):
        draft.note(CANNOT, place, f"exclude: {short(value)}", "there it is a list of directories.")
        return [], place
    return value, place


def _overrides(
    draft: Draft,
    found: Mapping[str, tuple[Any, Place]],
    everybody: int | None,
    excluded: tuple[list[Any], Place],
    until: str,
) -> None:
    overrides, place = found.get("quota_overrides", ({}, ()))
    if not isinstance(overrides, Mapping):
        why = "there it is a mapping of directories to GiB."
        draft.note(CANNOT, place, f"quota_overrides: {short(overrides)}", why)
        overrides = {}
    for directory, value in overrides.items():
        here, what = (*place, str(directory)), f"{directory}: {short(value)}"
        try:
            amount = _bytes(value)
        except ValueError:
            draft.note(CANNOT, here, what, "there it is a number of GiB.")
            continue
        _exception(draft, directory, amount, everybody, until, here, what)
    directories, place = excluded
    for number, directory in enumerate(directories, 1):
        if directory not in [*overrides]:  # which may be no text, and nothing to look up by
            here = (*place, str(number))
            _exception(draft, directory, 0, everybody, until, here, f"exclude: {directory}")


def _exception(
    draft: Draft,
    directory: object,
    amount: int,
    everybody: int | None,
    until: str,
    place: Place,
    what: str,
) -> None:
    user = "" if isinstance(directory, Code) else user_of(str(directory))
    if not user:
        why = (
            "no user has this directory, or it does not say which: a directory that a group shares "
            "has the group's group.storage."
        )
        draft.note(CANNOT, place, what, why)
    elif amount == 0:
        if everybody is None:
            draft.note(MAPS, place, what, "homes have no limit there, and none here.")
            return
        why = f"nobody alone is without a limit; give {user} a boost of {_KEY} that is enough."
        draft.note(CANNOT, place, what, why)
    elif everybody is None:
        why = f"where homes have no limit, nobody alone has one; {user}'s would be a group's."
        draft.note(CANNOT, place, what, why)
    else:
        text = format_memory(amount)
        draft.boost(WHOLE_HUB, _KEY, text, user, until, "quota_overrides of jupyterhub-home-nfs")
        why = f"a boost of {user}: {_KEY}: {text}, which ends on {until}."
        draft.note(DIFFERS, place, what, why)


def user_of(directory: str) -> str:
    """Whose home a directory is, by KubeSpawner's escaping of names; empty where that is not to be
    seen: for one that no name becomes (`_shared`), or one that was cut and hashed."""
    if _HASHED.fullmatch(directory) or not re.fullmatch("[a-z0-9-]+", directory):
        return ""

    def letters(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("-", "")).decode()

    try:
        user = _ESCAPED.sub(letters, directory)
    except UnicodeDecodeError:
        return ""
    return user if user.isprintable() else ""
