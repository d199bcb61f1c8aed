"""Entries of a directory (LDAP, Active Directory) to memberships. Pure.

A group there names its members by their *distinguished names* (`uid=sam,ou=people,dc=example`), or,
in the fashion of POSIX, by what they log in with. Members may be groups again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .memberships import MANAGER, MEMBER, Roll

_PLAIN = re.compile(r"[^\\\"+;#\s]*")
_UNIQUE_IDENTIFIER = re.compile(r"#'[01]*'B$", re.IGNORECASE)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED = 3
"""How many examples a note names."""


class DirectoryError(Exception):
    """The directory could not be read as a whole; the message says why, and what would be right.

    Whoever catches it keeps the memberships that were read last.
    """


@dataclass(frozen=True)
class User:
    """Somebody in the directory.

    Attributes:
        dn: the distinguished name.
        names: the values of the attribute that is the hub's user name; often one.
        uids: what groups in the fashion of POSIX call this user (`memberUid`).
    """

    dn: str
    names: tuple[str, ...]
    uids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """A group in the directory.

    Attributes:
        dn: the distinguished name.
        name: the value of the attribute that names it.
        members: distinguished names of users and groups.
        uids: members in the fashion of POSIX, by what they log in with.
        owners: distinguished names of users and groups who manage it.
    """

    dn: str
    name: str
    members: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Naming:
    """Which of the directory's groups count, and what they are called in the hub.

    Attributes:
        pattern: a regular expression for the whole name of a group; others are left out.
        name: the name in the hub, with `\\1` or `\\g<course>` for parts of the pattern,
            and `\\g<0>` for all of it.
        manager_pattern: the same for groups whose members manage another: they give managers to
            the group that `manager_name` comes to, and are no groups of the hub themselves.
        manager_name: the group that they manage.
    """

    pattern: str = ".+"
    name: str = r"\g<0>"
    manager_pattern: str = ""
    manager_name: str = r"\1"

    def check(self) -> None:
        """Raises: ValueError, with one sentence, where an expression or a name can't be used."""
        for what, pattern, name in (
            ("group", self.pattern, self.name),
            ("manager", self.manager_pattern, self.manager_name),
        ):
            try:
                expression = re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"'{what}_pattern' is not a regular expression: {error}."
                ) from None
            try:
                # Or nothing: so it matches here, and has all the parts of the pattern.
                match = re.match(f"{pattern}|", "") if pattern else None
                if match:
                    match.expand(name)
            except (re.error, IndexError) as error:
                raise ValueError(
                    f"'{what}_name' does not go with '{what}_pattern', which has "
                    f"{expression.groups} parts in brackets: {error}."
                ) from None

    def of(self, group: str) -> tuple[str, str] | None:
        """What a group of the directory is in the hub: its name there and a role, or None."""
        for pattern, name, role in (
            (self.manager_pattern, self.manager_name, MANAGER),
            (self.pattern, self.name, MEMBER),
        ):
            match = re.fullmatch(pattern, group) if pattern else None
            called = match.expand(name).strip().strip("/") if match else ""
            if called:
                return called, role
        return None


@dataclass(frozen=True)
class Directory:
    """What a directory says.

    Attributes:
        roll: who is what in which group of the hub.
        notes: sentences about what was left out, for the log.
    """

    roll: Roll
    notes: tuple[str, ...] = ()


def normal(dn: str) -> str:
    """A distinguished name as it is compared: without regard to case and needless blanks."""
    if _PLAIN.fullmatch(dn):
        return dn.casefold()
    parts = []
    for part in _split(_UNIQUE_IDENTIFIER.sub("", dn.strip()), ",;"):
        pairs = []
        for pair in _split(part, "+"):
            attribute, equals, value = pair.partition("=")
            pairs.append(f"{attribute.strip()}{equals}{_value(value)}".casefold())
        parts.append("+".join(sorted(pairs)))
    return ",".join(parts)


def resolve(
    users: Iterable[User],
    groups: Iterable[Group],
    naming: Naming | None = None,
    nested: bool = True,
    lowercase: bool = True,
) -> Directory:
    """The memberships that users and groups of a directory come to.

    Args:
        nested: whether members of a group within a group are members of the outer one.
        lowercase: user names in lower case, as the hub has them.

    Takes time in proportion to what goes in and what comes out, however groups are nested, in a
    circle too.
    """
    return _Resolver(naming or Naming(), nested, lowercase).run(users, groups)


@dataclass
class _Resolver:
    naming: Naming
    nested: bool
    lowercase: bool
    notes: list[str] = field(default_factory=list)
    by_dn: dict[str, str] = field(default_factory=dict)
    by_uid: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)

    def run(self, users: Iterable[User], groups: Iterable[Group]) -> Directory:
        self._learn(users)
        self.groups = {self._key(group.dn): group for group in groups}
        own: dict[str, set[str]] = {}
        below: dict[str, list[str]] = {}
        for key, group in self.groups.items():
            own[key], below[key] = self._split(group.members)
            for uid in group.uids:
                self._add(own[key], self.by_uid.get(uid.casefold()), uid)
        everyone = _closure(own, below) if self.nested else own
        roll: dict[str, dict[str, str]] = {}
        left_out: dict[str, None] = {}
        for key, group in self.groups.items():
            named = self.naming.of(group.name)
            if named is None:
                left_out[group.name or group.dn] = None
                continue
            called, role = named
            people = roll.setdefault(called, {})
            for user in everyone[key]:
                people[user] = MANAGER if MANAGER in (role, people.get(user)) else MEMBER
            for user in self._owners(group, everyone):
                people[user] = MANAGER
        self._note(left_out, "group", "left out, because of the name")
        self._note(self.unknown, "member", "left out, being no user or group that was found")
        return Directory(roll, tuple(self.notes))

    def _learn(self, users: Iterable[User]) -> None:
        nameless: dict[str, None] = {}
        twice: dict[str, None] = {}
        seen: set[str] = set()
        for user in users:
            key = self._key(user.dn)
            name = _user_name(key, user.names)
            if self.lowercase:
                name = name.lower()
            if not name:
                nameless[user.dn] = None
                continue
            if name in seen:
                twice[name] = None
            seen.add(name)
            self.by_dn[key] = name
            for uid in user.uids:
                self.by_uid[uid.casefold()] = name
        self._note(nameless, "user", "left out, having no user name")
        self._note(twice, "user name", "of several entries, taken for one user")

    def _key(self, dn: str) -> str:
        """Of each way to write one once: most are there many times, as they were entered."""
        key = self.keys.get(dn)
        if key is None:
            key = self.keys[dn] = normal(dn)
        return key

    def _split(self, dns: Iterable[str]) -> tuple[set[str], list[str]]:
        """Members by kind: names of users, and keys of groups."""
        people: set[str] = set()
        inner: list[str] = []
        for dn in dns:
            key = self._key(dn)
            if key in self.groups:
                inner.append(key)
            else:
                self._add(people, self.by_dn.get(key), dn)
        return people, inner

    def _add(self, people: set[str], name: str | None, said: str) -> None:
        if name is not None:
            people.add(name)
        elif said.strip():  # a group without members has an empty one, where one is required
            self.unknown[said] = None

    def _owners(self, group: Group, everyone: Mapping[str, set[str]]) -> set[str]:
        people, inner = self._split(group.owners)
        return people.union(*(everyone[key] for key in inner))

    def _note(self, what: Mapping[str, None], one: str, said: str) -> None:
        if what:
            examples = ", ".join(list(what)[:_NAMED]) + (", ..." if len(what) > _NAMED else "")
            many = one if len(what) == 1 else f"{one}s"
            self.notes.append(f"{len(what)} {many} {said}: {examples}")


def _user_name(key: str, names: tuple[str, ...]) -> str:
    """The user name of an entry: of several, the one that is in its distinguished name.

    A directory keeps the values of an attribute in no order.
    """
    found = sorted(name.strip() for name in names if name.strip())
    if len(found) > 1:
        first = key.partition(",")[0]
        values = {pair.partition("=")[2] for pair in first.split("+")}
        found = [name for name in found if name.casefold() in values] or found
    return found[0] if found else ""


def _closure(own: Mapping[str, set[str]], below: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """Who is in each group, or in one below it; each group is gone through once.

    Groups that are in each other, in a circle, have the same members.
    """
    everyone: dict[str, set[str]] = {}
    for circle in _circles(below):
        people: set[str] = set()
        for key in circle:
            people |= own[key]
        for key in circle:
            for inner in below[key]:
                people |= everyone.get(inner, set())
        everyone.update(dict.fromkeys(circle, people))
    return everyone


def _circles(below: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """The strongly connected components, inner ones first (Tarjan), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    pending: list[str] = []
    waiting: set[str] = set()
    for start in below:
        if start in index:
            continue
        path: list[tuple[str, Iterator[str]]] = [(start, iter(below[start]))]
        index[start] = low[start] = len(index)
        pending.append(start)
        waiting.add(start)
        while path:
            key, rest = path[-1]
            for inner in rest:
                if inner not in index:
                    index[inner] = low[inner] = len(index)
                    pending.append(inner)
                    waiting.add(inner)
                    path.append((inner, iter(below[inner])))
                    break
                if inner in waiting:
                    low[key] = min(low[key], index[inner])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[key])
                if low[key] == index[key]:
                    circle = [pending.pop()]
                    while circle[-1] != key:
                        circle.append(pending.pop())
                    waiting.difference_update(circle)
                    yield circle


def _split(text: str, separators: str) -> list[str]:
    """At separators that are neither escaped nor in quotes."""
    if "\\" not in text and '"' not in text:
        return re.split(f"[{separators}]", text)
    parts, part, quoted, escaped = [], "", False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character in separators and not quoted:
            parts.append(part)
            part = ""
            continue
        part += character
    return [*parts, part]


def _value(text: str) -> str:
    """Without escapes, quotes and repeated blanks; separators escaped again, in one way."""
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        text = bare[1:-1]
    raw = _ESCAPED.sub(_unescaped, text.encode(errors="replace"))
    plain = " ".join(raw.decode(errors="replace").split())
    return re.sub(r"[,;+\\]", r"\\\g<0>", plain)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes.fromhex(code.decode()) if len(code) == 2 else code
