"""Profiles and overrides by group, as KubeSpawner and Zero to JupyterHub spell them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from ..pods import parse_quantity
from ..quantities import QuantityError, parse_memory
from .report import ASIDE, CANNOT, DIFFERS, Draft, short
from .sources import Code, Place, Setting

CLASSES = ("Spawner", "KubeSpawner")
LIMITS = {"mem_limit": "memory", "cpu_limit": "cpu"}
_GUARANTEES = ("mem_guarantee", "cpu_guarantee", "extra_resource_guarantees")
_EXTRA = "extra_resource_limits"
STORAGE = "storage_capacity"
_ALLOWED = ("allowed_groups", "allowed_teams")
"""Of 2i2c's hubs: who sees a profile or a choice. The second is what it was called at first."""
_PROFILE = ("kubespawner_override", "profile_options", *_ALLOWED)
_WORDS = ("display_name", "description", "slug", "default", "dynamic_image_building")
_CHOICE = ("kubespawner_override", *_ALLOWED)
_UNLISTED = (
    *("enabled", "display_name", "display_name_in_choices"),
    *("validation_regex", "validation_message", "kubespawner_override"),
)
_CHART: Mapping[str, Mapping[str, str]] = {
    "memory": {"limit": "mem_limit", "guarantee": "mem_guarantee"},
    "cpu": {"limit": "cpu_limit", "guarantee": "cpu_guarantee"},
    "extraResource": {"limits": _EXTRA, "guarantees": "extra_resource_guarantees"},
    "storage": {"capacity": STORAGE},
}
"""What Zero to JupyterHub calls them, below `singleuser`."""
_GUARANTEE_IS_NO_LIMIT = "a guarantee is no limit; budgets count it as the server has it."
_STAYS = "no limit: it stays in the spawner's configuration."

Amount = int | None
"""None for no limit."""

Sizes = dict[str, tuple[Amount, Place]]
"""What an override sets, by resource, and where it does."""
_Entry = tuple[str, Any, Place]
"""A trait with what it is set to, and where."""


@dataclass(frozen=True)
class Choice:
    """A profile, or a choice within one: what it sets, and for whom it is there; None for all."""

    sizes: Sizes
    allowed: frozenset[str] | None = None

    def is_for(self, group: str) -> bool:
        return self.allowed is None or group in self.allowed


@dataclass(frozen=True)
class Profile:
    """A profile with its options, each of which is a list of choices."""

    own: Choice
    options: tuple[tuple[Choice, ...], ...] = ()

    def is_for(self, group: str) -> bool:
        """Whether members of a group can start it: an option of which they see no choice fails."""
        offered = (any(choice.is_for(group) for choice in option) for option in self.options)
        return self.own.is_for(group) and all(offered)


@dataclass
class Reader:
    """What reading fills besides profiles: the report, the resources that anything names, and the
    groups that override something."""

    draft: Draft
    resources: dict[str, None] = field(default_factory=dict)
    overrides: list[tuple[tuple[str, ...], Sizes]] = field(default_factory=list)
    storage: dict[str, tuple[int, str, Place]] = field(default_factory=dict)


def read_base(
    reader: Reader,
    traits: Mapping[str, Setting],
    blocks: Sequence[tuple[Place, Mapping[Any, Any]]],
) -> tuple[Sizes, bool]:
    """What a server has where no profile and no override says otherwise; whether it is said."""
    entries: list[_Entry] = []
    for place, values in blocks:
        entries += _of_chart(reader, values, place)
    for name, setting in traits.items():
        if name in (*LIMITS, *_GUARANTEES, _EXTRA, STORAGE):
            entries.append((name, setting.value, setting.place))
            _note_perhaps(reader, setting)
    return _sizes(reader, entries), bool(entries)


def _of_chart(reader: Reader, values: Mapping[Any, Any], place: Place) -> list[_Entry]:
    entries: list[_Entry] = []
    for block, names in _CHART.items():
        inner = values.get(block)
        if not isinstance(inner, Mapping):
            continue
        entries += [(names[k], v, (*place, block, k)) for k, v in inner.items() if k in names]
        if block != "storage":  # of which the rest is about where homes are
            reader.draft.unknown(inner, tuple(names), (*place, block))
    return entries


def _note_perhaps(reader: Reader, setting: Setting) -> None:
    if setting.perhaps:
        why = "it stands in an if, a loop or a function; it is taken as if that always ran."
        reader.draft.note(DIFFERS, setting.place, setting.name, why)


def _override(reader: Reader, value: Any, place: Place, groups: Iterable[str] = ()) -> Sizes:
    """What an override sets."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        reader.draft.note(CANNOT, place, short(value), _why_not(value, "a mapping"))
        return {}
    entries = [(str(name), inner, (*place, str(name))) for name, inner in value.items()]
    return _sizes(reader, entries, groups)


def _sizes(reader: Reader, entries: Iterable[_Entry], groups: Iterable[str] = ()) -> Sizes:
    """What traits set. Each is noted that sets no limit; what can't be read limits nothing."""
    sizes: Sizes = {}
    for name, value, place in entries:
        if name in LIMITS:
            resource = LIMITS[name]
            reader.resources.setdefault(resource)
            try:
                sizes[resource] = (_amount(resource, value), place)
            except QuantityError as error:
                sizes[resource] = (None, place)
                reader.draft.note(CANNOT, place, f"{name}: {short(value)}", str(error))
        elif name == _EXTRA:
            sizes |= _extra(reader, value, place)
        elif name == STORAGE:
            _storage(reader, value, place, groups)
        else:
            why = _GUARANTEE_IS_NO_LIMIT if name in _GUARANTEES else _STAYS
            reader.draft.note(ASIDE, place, f"{name}: {short(value)}", why)
    return sizes


def _extra(reader: Reader, value: Any, place: Place) -> Sizes:
    sizes: Sizes = {}
    if not isinstance(value, Mapping):
        reader.draft.note(CANNOT, place, short(value), _why_not(value, "a mapping"))
        return sizes
    for name, amount in value.items():
        reader.resources.setdefault(str(name))
        try:
            count = 0 if amount is None else parse_quantity(str(name), amount)
            sizes[str(name)] = (count, place)
        except QuantityError as error:
            sizes[str(name)] = (None, place)
            reader.draft.note(CANNOT, (*place, str(name)), f"{name}: {short(amount)}", str(error))
    return sizes


def _amount(name: str, value: Any) -> Amount:
    """Milli-cores, rounded up, or bytes, rounded down, as JupyterHub reads them; None for none.

    Raises:
        QuantityError: it can't be read.
    """
    if value is None:
        return None
    if isinstance(value, (Code, bool)) or "{value}" in str(value):
        raise QuantityError("it is known only when a server starts.")
    if name == "cpu":
        try:
            milli = Decimal(str(value)) * 1000
            if 0 <= milli < 10**15:
                return int(milli.to_integral_value(ROUND_CEILING))
        except InvalidOperation:
            pass
        raise QuantityError(f"'{short(value)}' is not a number of cores.")
    text = str(value).strip()
    number = text.rstrip("KMGTiB")
    try:
        unit = parse_memory(f"1{text[len(number) :]}")
        amount = Decimal(number) * unit
        if 0 <= amount < 2**63:
            return int(amount)
    except InvalidOperation:
        pass
    raise QuantityError(f"'{short(value)}' is not an amount of memory.")


def _storage(reader: Reader, value: Any, place: Place, groups: Iterable[str]) -> None:
    """A home is its owner's, whatever they start: only what is set for groups or all is a limit."""
    named = list(groups)
    try:
        amount = parse_quantity("storage", value)
    except QuantityError as error:
        reader.draft.note(CANNOT, place, f"{STORAGE}: {short(value)}", str(error))
        return
    if "kubespawner_override" in place:
        why = "a home is its owner's, whatever profile they start; write member.storage of a group."
        reader.draft.note(CANNOT, place, f"{STORAGE}: {short(value)}", why)
        return
    for group in named or [""]:
        reader.storage[group] = (amount, short(value), place)


def read_profiles(
    reader: Reader,
    traits: Mapping[str, Setting],
    blocks: list[tuple[Place, Mapping[Any, Any]]],
) -> tuple[list[Profile], bool]:
    listed: Any = None
    place: Place = ()
    for above, values in blocks:
        if values.get("profileList"):
            listed, place = values["profileList"], (*above, "profileList")
    if (setting := traits.get("profile_list")) is not None:
        listed, place = setting.value, setting.place
        _note_perhaps(reader, setting)
    if listed is None:
        return [], False
    if isinstance(listed, Mapping):
        entries = [(str(key), value) for key, value in listed.items()]
    elif isinstance(listed, list):
        entries = [(str(number), value) for number, value in enumerate(listed, 1)]
    else:
        reader.draft.note(CANNOT, place, short(listed), _why_not(listed, "a list of profiles"))
        return [], True
    profiles = [_profile(reader, entry, (*place, key)) for key, entry in entries]
    return [profile for profile in profiles if profile], True


def _profile(reader: Reader, entry: Any, place: Place) -> Profile | None:
    if not isinstance(entry, Mapping):
        reader.draft.note(CANNOT, place, short(entry), _why_not(entry, "a profile"))
        return None
    _words(reader, entry, _PROFILE, place)
    own = _choice(reader, entry, place)
    options = []
    offered = entry.get("profile_options")
    if offered is not None and not isinstance(offered, Mapping):
        why = _why_not(offered, "a mapping")
        reader.draft.note(CANNOT, (*place, "profile_options"), short(offered), why)
        offered = None
    for key, option in (offered or {}).items():
        here = (*place, "profile_options", str(key))
        if not isinstance(option, Mapping):
            reader.draft.note(CANNOT, here, short(option), _why_not(option, "a mapping"))
            continue
        if choices := tuple(_choices(reader, option, own, here)):
            options.append(choices)
    return Profile(own, tuple(options))


def _choices(
    reader: Reader, option: Mapping[Any, Any], own: Choice, place: Place
) -> Iterator[Choice]:
    _words(reader, option, ("choices", "unlisted_choice"), place)
    choices = option.get("choices")
    for key, entry in (choices if isinstance(choices, Mapping) else {}).items():
        here = (*place, "choices", str(key))
        if not isinstance(entry, Mapping):
            reader.draft.note(CANNOT, here, short(entry), _why_not(entry, "a mapping"))
            continue
        _words(reader, entry, _CHOICE, here)
        choice = _choice(reader, entry, here)
        if choice.allowed and own.allowed and not choice.allowed <= own.allowed:
            only = ", ".join(sorted(choice.allowed - own.allowed))
            why = f"there it takes a second group, one that sees the profile; {only} gets nothing."
            reader.draft.note(CANNOT, here, short(entry.get("display_name") or key), why)
        yield choice
    unlisted = option.get("unlisted_choice")
    if isinstance(unlisted, Mapping):
        reader.draft.unknown(unlisted, _UNLISTED, (*place, "unlisted_choice"))
    if isinstance(unlisted, Mapping) and unlisted.get("enabled"):
        here = (*place, "unlisted_choice", "kubespawner_override")
        yield Choice(_override(reader, unlisted.get("kubespawner_override"), here))


def _choice(reader: Reader, entry: Mapping[Any, Any], place: Place) -> Choice:
    here = (*place, "kubespawner_override")
    sizes = _override(reader, entry.get("kubespawner_override"), here)
    allowed: frozenset[str] | None = None
    for key in _ALLOWED:
        if (named := entry.get(key)) is None:
            continue
        here = (*place, key)
        if not isinstance(named, list) or any(isinstance(one, Code) for one in named):
            why = "it is no list of names that are written out; it is taken as if it were for all."
            reader.draft.note(CANNOT, here, f"{key}: {short(named)}", why)
            return Choice(sizes)
        allowed = (allowed or frozenset()) | {str(one) for one in named}
        if key == "allowed_teams":
            why = "teams are taken as groups of the same names; let the login make them."
            reader.draft.note(DIFFERS, here, key, why)
    return Choice(sizes, allowed)


def _words(reader: Reader, entry: Mapping[Any, Any], known: tuple[str, ...], place: Place) -> None:
    """Note what is only shown, and what nobody knows."""
    for key in _WORDS:
        if key in entry:
            reader.draft.note(ASIDE, (*place, key), f"{key}: {short(entry[key])}", _STAYS)
    reader.draft.unknown(entry, (*known, *_WORDS), place)


def read_group_overrides(reader: Reader, traits: Mapping[str, Setting]) -> bool:
    setting = traits.get("group_overrides")
    if setting is None:
        return False
    _note_perhaps(reader, setting)
    if not isinstance(setting.value, Mapping):
        why = _why_not(setting.value, "a mapping")
        reader.draft.note(CANNOT, setting.place, "group_overrides", why)
        return True
    for key in sorted(setting.value, key=str):
        entry, place = setting.value[key], (*setting.place, str(key))
        groups = entry.get("groups") if isinstance(entry, Mapping) else None
        if not isinstance(groups, list):
            why = _why_not(entry, "groups and spawner_override")
            reader.draft.note(CANNOT, place, f"{key}: {short(entry)}", why)
            continue
        reader.draft.unknown(entry, ("groups", "spawner_override"), place)
        names = tuple(str(one) for one in groups if not isinstance(one, Code))
        if len(names) < len(groups):
            why = "only names that are written out are read."
            reader.draft.note(CANNOT, (*place, "groups"), f"groups: {short(groups)}", why)
        here = (*place, "spawner_override")
        sizes = _override(reader, entry.get("spawner_override"), here, names)
        reader.overrides.append((names, sizes))
    return True


def _why_not(value: Any, expected: str) -> str:
    if isinstance(value, Code):
        return "it is code, which is not run; write what it comes to."
    return f"there it is {expected}."
