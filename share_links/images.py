"""Images that a BinderHub makes of repositories: how it is asked, and what it says. Pure.

Its events are those of https://binderhub.readthedocs.io/en/latest/api.html; where it only builds,
`ready` names the image too, and comes at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_groups.words import _

from .other_forms import binder_spec
from .pull_words import Failure

BUILD = "build"
"""Where a launch failed, for counts."""

_DONE = ("built", "ready")
_SHOWN = 20


@dataclass(frozen=True)
class Takes:
    """How a hub takes an image that none of its choices lists.

    Attributes:
        profile: the slug of the profile that takes it.
        field: of the hub's form.
    """

    profile: str
    field: str


@dataclass(frozen=True)
class Said:
    """One event.

    Attributes:
        line: of the log.
        image: what was made; empty as long as nothing is.
        failed: why it failed; empty where it did not.
        works: whether something is being made, rather than found.
    """

    line: str = ""
    image: str = ""
    failed: str = ""
    works: bool = False


def takes_image(profiles: Sequence[Mapping[str, Any]], wanted: str = "") -> Takes | None:
    """The profile of a hub that takes any image: jupyterhub-fancy-profiles builds for those whose
    option says `dynamic_image_building`, and KubeSpawner takes one where it says
    `unlisted_choice`. The former goes first.

    Args:
        wanted: the slug of the only profile that comes into question.
    """
    found: list[tuple[bool, Takes]] = []
    for profile in profiles:
        slug = str(profile["slug"])
        for name, option in (profile.get("profile_options") or {}).items():
            free = option.get("unlisted_choice") or {}
            if wanted in ("", slug) and free.get("enabled") and _is_of_image(free):
                builds = bool((option.get("dynamic_image_building") or {}).get("enabled"))
                field = f"profile-option-{slug}--{name}--unlisted-choice"
                found.append((not builds, Takes(slug, field)))
    return min(found, key=lambda one: one[0])[1] if found else None


def _is_of_image(free: Mapping[str, Any]) -> bool:
    return "image" in (free.get("kubespawner_override") or {})


def build_path(repository: str, ref: str) -> str:
    """What BinderHub is asked for, below its own address."""
    return f"build/{binder_spec(repository, ref)}?build_only=true"


def read_event(event: Mapping[str, Any]) -> Said:
    """What an event says; those that are not known say nothing."""
    phase, text = event.get("phase"), str(event.get("message") or "")
    line = text.rstrip("\n")
    if phase in ("failed", "failure"):
        return Said(line, failed=line or _("It does not say why."))
    if phase in _DONE:
        return Said(line, image=str(event.get("imageName") or ""))
    return Said(line, works=phase is not None)


def not_made(repository: str, why: str, lines: Sequence[str]) -> Failure:
    """No image could be made of a repository."""
    text = _("The environment of {repository} can't be made: {why}")
    fix = _("Show what is below to who made the link.")
    shown = tuple(lines)[-_SHOWN:]
    return Failure(BUILD, text.format(repository=repository, why=why), fix, shown)


def no_answer(repository: str) -> Failure:
    """BinderHub does not answer."""
    text = _("The environment of {repository} can't be made now: what makes it does not answer.")
    fix = _("Try again in a few minutes; if it stays like this, tell an admin of this hub.")
    return Failure(BUILD, text.format(repository=repository), fix)


def no_room(why: str) -> Failure:
    """The quotas do not let it be made."""
    return Failure(BUILD, why, _("Who made the link can have it made for all, by opening it once."))
