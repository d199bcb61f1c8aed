"""KubeSpawner's `profile_list`, `group_overrides` and sizes, with 2i2c's `allowed_groups`. Pure.

What a profile gives is no limit, but what it does not offer can't be had. So the largest server
that a group's members can choose becomes the group's `server.*`. Between what a profile sets and
what its choices set, the last one counts, as in KubeSpawner; overrides by group come before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..policy import DEFAULT_GROUP, WHOLE_HUB
from ..quantities import format_cpu, format_memory
from .profiles import (
    CLASSES,
    LIMITS,
    STORAGE,
    Amount,
    Choice,
    Profile,
    Reader,
    Sizes,
    read_base,
    read_group_overrides,
    read_profiles,
)
from .report import CANNOT, DIFFERS, Converted, Draft, SourceError
from .sources import Place, Source


def convert(source: Source) -> Converted:
    """The policy that lets each group have the largest server that it can choose.

    Raises:
        SourceError: there is nothing of this kind in it.
    """
    traits = source.of(*CLASSES)
    user_blocks = source.blocks.get("singleuser", [])
    reader = Reader(Draft())
    base, found = read_base(reader, traits, user_blocks)
    profiles, some = read_profiles(reader, traits, user_blocks)
    overrides = read_group_overrides(reader, traits)
    if not (found or some or overrides):
        raise SourceError(
            "there are no profiles, overrides by group or sizes of servers in it: no "
            "c.KubeSpawner.profile_list, no c.Spawner.group_overrides, no singleuser.profileList."
        )
    _limits(reader, base, profiles or [Profile(Choice({}))])
    source.note_unread(reader.draft, *CLASSES)
    return reader.draft.finish()


def _limits(reader: Reader, base: Sizes, profiles: Sequence[Profile]) -> None:
    groups = sorted(_named(reader, profiles))
    others = DEFAULT_GROUP if groups else WHOLE_HUB
    unlimited: dict[str, dict[str, None]] = {}
    for group in [others, *groups]:
        visible = [profile for profile in profiles if profile.is_for(group)]
        if not visible:
            what = f"no profile that {_whom(group)} can start"
            reader.draft.say(group, "member.servers", "0", ("profile_list",), what)
            continue
        start = dict(base)
        for names, sizes in reader.overrides:
            start |= sizes if group in names else {}
        for resource in reader.resources:
            every = [s for one in visible for s in _possible(one, group, resource, start)]
            amount, place = max(every, key=lambda size: (size[0] is None, size[0] or 0))
            key = f"server.{_our_name(reader, resource)}"
            if amount is None:
                unlimited.setdefault(key, {}).setdefault(group)
                continue
            text = _format(resource, amount)
            what = f"the most {resource} that {_whom(group)} can choose"
            reader.draft.say(group, key, text, place or ("profile_list",), what)
    _say_storage(reader, groups)
    _say_differences(reader, profiles, groups, unlimited)


def _named(reader: Reader, profiles: Sequence[Profile]) -> set[str]:
    named = {group for names, _sizes in reader.overrides for group in names}
    for profile in profiles:
        for choice in (profile.own, *(one for option in profile.options for one in option)):
            named |= choice.allowed or set()
    return named


def _possible(
    profile: Profile, group: str, resource: str, start: Sizes
) -> set[tuple[Amount, Place]]:
    """How much of a resource a profile can come to, by what is chosen."""
    unset: Amount = None if resource in LIMITS.values() else 0
    now = {profile.own.sizes.get(resource) or start.get(resource) or (unset, ())}
    for option in profile.options:
        offered = [choice.sizes.get(resource) for choice in option if choice.is_for(group)]
        now = {size for one in offered for size in ([one] if one else now)}
    return now


def _our_name(reader: Reader, resource: str) -> str:
    """`gpu` where there is one kind of them: it counts those of all makers."""
    kinds = [name for name in reader.resources if name.endswith("/gpu")]
    return "gpu" if kinds == [resource] else resource


def _format(resource: str, amount: int) -> str:
    if resource == "cpu":
        return format_cpu(amount)
    return format_memory(amount) if resource == "memory" else str(amount)


def _whom(group: str) -> str:
    if group == WHOLE_HUB:
        return "anybody"
    return "people in no group" if group == DEFAULT_GROUP else f"members of {group}"


def _say_storage(reader: Reader, groups: Sequence[str]) -> None:
    only_one = set(reader.storage) == {""}
    for group, (amount, written, place) in reader.storage.items():
        to = group or (WHOLE_HUB if only_one else DEFAULT_GROUP)
        but = "" if only_one else "a home is as large as the group of its owner that gives most."
        what = f"{STORAGE}: {written}"
        reader.draft.say(to, "member.storage", format_memory(amount), place, what, but)


def _say_differences(
    reader: Reader,
    profiles: Sequence[Profile],
    groups: Sequence[str],
    unlimited: Mapping[str, Mapping[str, None]],
) -> None:
    draft = reader.draft
    for key, some in unlimited.items():
        why = "something that they can choose has no limit there, and so they have none here."
        draft.note(CANNOT, ("profile_list",), f"{key} of {', '.join(some)}", why)
    if not reader.resources:
        return
    if len(profiles) > 1 or any(profile.options for profile in profiles):
        why = (
            "here any size up to the largest may start, also one that is not offered; the profiles "
            "stay in the spawner's configuration, and go on being offered."
        )
        draft.note(DIFFERS, ("profile_list",), "sizes that are not offered", why)
    if groups:
        why = "they have no limit of their own; give them those of 'default', if they should."
        draft.note(DIFFERS, ("profile_list",), "groups that are named nowhere", why)
    for resource in reader.resources:
        setting = [names for names, sizes in reader.overrides if resource in sizes]
        if len({group for names in setting for group in names}) > 1 and len(setting) > 1:
            why = (
                "whoever is in several of the groups has there what the last override sets; here "
                "they have what the group gives to which the server is charged."
            )
            draft.note(DIFFERS, ("group_overrides",), f"several overrides of {resource}", why)
