"""What an import gives: a policy, memberships, and a note on everything that was found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..limits import PolicyError, parse_limit
from ..policy import Policy, group_name, parse_policy
from ..quantities import did_you_mean

MAPS = "maps"
"""The policy says the same."""
DIFFERS = "differs"
"""The policy says something near it; the note says in what it differs."""
CANNOT = "cannot"
"""No policy says that, or nobody knows what is meant."""
ASIDE = "aside"
"""It is no limit, and stays where it is or is not needed."""
KINDS = (MAPS, DIFFERS, CANNOT, ASIDE)

FOREVER = "2999-12-31"
"""The last day of what has no end where it comes from; the year 3000 can't be counted."""

_SHOWN = 4
"""Places that a line of the report names before it counts the others."""


class SourceError(ValueError):
    """A source that can't be read at all.

    Attributes:
        place: the keys that lead to what is wrong, outermost first.
        line: its line, where that is known without the keys; 0 for not.
        why: what is wrong there, and what would be right.
    """

    def __init__(self, why: str, place: Iterable[str] = (), line: int = 0) -> None:
        self.why, self.place, self.line = why, tuple(place), line
        super().__init__(why)


@dataclass(frozen=True)
class Note:
    """What became of one thing.

    Attributes:
        place: the keys that lead to it, outermost first; entries of lists count from 1.
        what: what stands there, in a few words.
        kind: one of KINDS.
        why: for MAPS what it became, else in what it differs, or why it can't be.
        line: its line in the file; 0 where that is not known.
    """

    place: tuple[str, ...]
    what: str
    kind: str
    why: str
    line: int = 0

    @property
    def where(self) -> str:
        """`line 12, policy · 1`."""
        keys = " · ".join(self.place[-3:] if self.line else self.place)
        return ", ".join(part for part in (f"line {self.line}" if self.line else "", keys) if part)


@dataclass(frozen=True, order=True)
class Member:
    """A membership that was found: a line of a roster."""

    group: str
    user: str
    role: str


@dataclass(frozen=True)
class Converted:
    """All that was read of a source.

    Attributes:
        policy: what can be said.
        rosters: memberships, where the source has them.
        notes: on everything that was found, in the order of the source.
    """

    policy: Policy
    rosters: tuple[Member, ...]
    notes: tuple[Note, ...]

    def count(self, kind: str) -> int:
        """How many notes are of a kind."""
        return sum(note.kind == kind for note in self.notes)


@dataclass
class Draft:
    """A policy and a report while they come together."""

    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: set[Member] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)

    def note(
        self, kind: str, place: Iterable[str], what: object, why: str = "", line: int = 0
    ) -> None:
        self.notes.append(Note(tuple(place), short(what), kind, why, line))

    def say(
        self,
        group: str,
        key: str,
        amount: str,
        place: Iterable[str],
        what: object,
        but: str = "",
        line: int = 0,
    ) -> bool:
        """Set a limit of a group, and note it: as mapped, or as different where there is a `but`.

        What a policy can't say (a name, an amount that is too fine) is noted as that.

        Returns:
            whether it is set.
        """
        try:
            name = group_name(group)
            limit = parse_limit(name, key, amount)
        except PolicyError as error:
            self.note(CANNOT, place, what, f"{group}: {key}: {amount}: {error.why}", line)
            return False
        limits = self.groups.setdefault(name, {}).setdefault("limits", {})
        held = limits.setdefault(key, [])
        if any(parse_limit(name, key, other).window == limit.window for other in held):
            why = f"{name} has {key} from elsewhere in this file already; only the first is taken."
            self.note(CANNOT, place, what, why, line)
            return False
        held.append(limit.text)
        became = f"{name}: {key}: {limit.text}" + (f"; {but}" if but else "")
        self.note(DIFFERS if but else MAPS, place, what, became, line)
        return True

    def boost(self, group: str, key: str, amount: str, member: str, until: str, why: str) -> None:
        """An exception for one member. The group must have the limit."""
        entry = {"limit": key, "amount": amount, "until": until, "member": member, "why": why}
        self.groups[group].setdefault("boosts", []).append(entry)

    def unknown(
        self,
        mapping: Mapping[Any, Any],
        known: Collection[str],
        place: tuple[str, ...],
        line: int = 0,
    ) -> None:
        """Note all keys that are not among those that are known."""
        for key, value in mapping.items():
            if key not in known:
                hint = did_you_mean(str(key), sorted(known))
                why = f"there is nothing of that name there, as far as is known.{hint}"
                self.note(CANNOT, (*place, str(key)), f"{key}: {short(value)}", why, line)

    def finish(self) -> Converted:
        """What came together. A policy that can't be made of it is an error of this code."""
        groups = {name: _plain(entry) for name, entry in self.groups.items()}
        document = {"plans": self.plans, "groups": groups}
        members = tuple(sorted(self.members))
        return Converted(parse_policy(document), members, tuple(self.notes))


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    limits = entry.get("limits", {})
    one = {key: texts[0] if len(texts) == 1 else texts for key, texts in limits.items()}
    return {**entry, "limits": one} if one else entry


def short(value: object) -> str:
    """A value in a line of the report, however long it is."""
    text = " ".join(str(value).split())
    return text if len(text) <= 90 else f"{text[:89]}…"


_TITLES = {
    MAPS: "Maps",
    DIFFERS: "Differs",
    CANNOT: "Can't be mapped",
    ASIDE: "No limits, and so left where they are",
}


def report(notes: Iterable[Note]) -> str:
    """All notes, by kind; those that say the same of the same key stand together."""
    lines: list[str] = []
    every = list(notes)
    for kind in KINDS:
        here = [note for note in every if note.kind == kind]
        if not here:
            continue
        lines += ["", f"{_TITLES[kind]}: {len(here)}"]
        alike: dict[tuple[str, str], list[Note]] = {}
        for note in here:
            alike.setdefault((note.why, _topic(note)), []).append(note)
        for (why, topic), some in alike.items():
            lines.append(f"  {_places(some)}: {some[0].what if len(some) == 1 else topic}")
            lines += [f"    {why}"] if why else []
    return "\n".join(lines[1:]) + "\n" if lines else "There is nothing in it.\n"


def _topic(note: Note) -> str:
    """What a note is about: `image` of `image: quay.io/…`."""
    if note.kind in (MAPS, DIFFERS):
        return note.what
    return note.what.partition(":")[0].partition("=")[0]


def _places(notes: list[Note]) -> str:
    if len(notes) == 1:
        note = notes[0]
        twice = len(note.place) > 1 and note.what.startswith(note.place[-1])
        return replace(note, place=note.place[:-1]).where if twice else note.where
    if all(note.line for note in notes):
        shown = ", ".join(str(note.line) for note in notes[:_SHOWN])
        more = f" and {len(notes) - _SHOWN} more" if len(notes) > _SHOWN else ""
        return f"lines {shown}{more}"
    return f"{notes[0].where} and {len(notes) - 1} more"
