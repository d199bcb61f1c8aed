"""What a hub lets its users choose from, read from its profiles or from its form. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

READER_STATE = "group-quotas/launch"
"""Where the hub tells of choices: below its REST API, with a user's name behind it."""


@dataclass(frozen=True)
class Choice:
    """One kind of server.

    Attributes:
        name: as people know it.
        form: the fields of the form that choose it, with the defaults of what comes with it.
        default: whether it is what somebody gets who chooses nothing.
    """

    name: str
    form: Mapping[str, str]
    default: bool = False


def of_profiles(profiles: Sequence[Mapping[str, Any]]) -> list[Choice]:
    """KubeSpawner's profiles, each with its slug, and its default choices marked."""
    return [
        Choice(
            str(profile.get("display_name") or profile["slug"]),
            {"profile": profile["slug"], **dict(_defaults(profile))},
            bool(profile.get("default")),
        )
        for profile in profiles
    ]


def _defaults(profile: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, option in (profile.get("profile_options") or {}).items():
        choices = option.get("choices") or {}
        chosen = next((key for key, one in choices.items() if one.get("default")), None)
        if chosen is not None:
            yield f"profile-option-{profile['slug']}--{name}", chosen


def of_form(html: str) -> list[Choice]:
    """What a form offers, where it has one field to choose from: radio buttons or a list; empty
    where it has none or several, which only its reader understands."""
    reader = _FormReader()
    reader.feed(html)
    reader.close()
    fields = [field for field in reader.fields.values() if len(field.values) > 1]
    if len(fields) != 1 or reader.others:
        return []
    field = fields[0]
    default = field.checked if field.checked is not None else field.first
    return [
        Choice(" ".join(label.split()) or value, {field.name: value}, value == default)
        for value, label in field.values.items()
    ]


def with_defaults(form: Mapping[str, str], choices: Sequence[Choice]) -> dict[str, str]:
    """Fields of a form with what the hub would fill in; `form` wins."""
    chosen = next((c for c in choices if all(c.form.get(k) == v for k, v in form.items())), None)
    if chosen is None and "profile" in form:
        chosen = next((c for c in choices if c.form.get("profile") == form["profile"]), None)
    if chosen is None and not any(set(c.form) & set(form) for c in choices):
        chosen = next((c for c in choices if c.default), None)
    return {**(chosen.form if chosen else {}), **form}


def image_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """What a server's pod runs, and the digest of that image as soon as it is there.

    The container is the first: sidecars come behind it.
    """
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    first: Mapping[str, Any] = next(iter(spec.get("containers") or ()), {})
    name = first.get("name")
    said = [one for one in status.get("containerStatuses") or () if one.get("name") == name]
    id = str(said[0].get("imageID") or "") if said else ""
    return str(first.get("image") or ""), id.rpartition("@")[2] if "@" in id else ""


@dataclass
class _Field:
    name: str
    first: str | None = None  # what a list has chosen if nothing says otherwise
    checked: str | None = None
    values: dict[str, str] = field(default_factory=dict)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, _Field] = {}
        self.others = False  # something that is typed
        self._select: _Field | None = None
        self._writes: tuple[_Field, str] | None = None
        self._labels: dict[str, tuple[_Field, str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        name, value = said.get("name", ""), said.get("value", "")
        if tag == "input" and said.get("type") == "radio" and name:
            field = self.fields.setdefault(name, _Field(name))
            field.values.setdefault(value, "")
            if "checked" in said:
                field.checked = value
            if "id" in said:
                self._labels[said["id"]] = (field, value)
            if self._writes is None or self._writes[1] != value:
                self._writes = (field, value)
        elif tag == "label":
            self._writes = self._labels.get(said.get("for", ""), None)
        elif tag == "select" and name:
            self._select = self.fields.setdefault(name, _Field(name))
        elif tag == "option" and self._select is not None:
            field = self._select
            field.values.setdefault(value, "")
            field.first = field.first if field.first is not None else value
            if "selected" in said:
                field.checked = value
            self._writes = (field, value)
        elif tag == "textarea" or (tag == "input" and said.get("type") not in ("hidden", "submit")):
            self.others = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("option", "label"):
            self._writes = None
        if tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._writes is not None:
            field, value = self._writes
            field.values[value] += data
