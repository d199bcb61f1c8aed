"""Where homes are: `homes/{username}` for people, `shared/{group}` for groups. Pure.

What KubeSpawner calls `{username}` is `{safe_username}` here, or `{escaped_username}` where its
`slug_scheme` is "escape". Its `{user_server}` is the same here, of the server without a name: its
claims are `claim-{user_server}` where nothing else is said. The name itself, `{username}` here, is
its `{unescaped_username}`.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable
from dataclasses import dataclass

from .backend import StorageError

_LONGEST_FOLDER = 255
"""Bytes that a directory's name may have on Linux."""
_LONGEST_SLUG, _HASH = 48, 8
"""Signs, as KubeSpawner has them for names of users and servers."""
_MARK = "---"
"""Between what is left of a name and its hash. No name with `--` is taken as it is, so that none
can pass for the slug of another."""
_BETWEEN, _END = "--", b"\xff"
"""Between the names of user and server in a slug; after the user's in what is hashed."""
_LOWER = frozenset(string.ascii_lowercase)
_PLAIN = frozenset(string.ascii_lowercase + string.digits)

_OBJECT = re.compile(r"[a-z](?:[a-z0-9-]{0,46}[a-z0-9])?")
"""What Kubernetes takes as the name of anything."""
_GROUP = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?")
"""Groups whose directory has their own name."""
_OF_THE_FILE_SYSTEM = frozenset({"lost+found"})


def escaped(name: str) -> str:
    """As KubeSpawner's slug scheme "escape" has it: `a.b` is `a-2eb`."""
    return "".join(
        sign if sign in _PLAIN else "".join(f"-{byte:x}" for byte in sign.encode()) for sign in name
    )


def safe(name: str) -> str:
    """As KubeSpawner's slug scheme "safe" has it: a name that Kubernetes takes stays, `A.B` is
    `a-b---` and a hash."""
    return name if "--" not in name and _OBJECT.fullmatch(name) else _hashed(name)


def group_folder(name: str) -> str:
    """The name itself if it is a plain one, else a slug: `uni/geo` has a slash."""
    return name if "--" not in name and _GROUP.fullmatch(name) else _hashed(name)


def user_server(name: str) -> str:
    """As KubeSpawner has it for the server without a name. It is `safe`, unless there is no room
    left for a server's name: then that has a slug too, though it is empty."""
    slug = safe(name)
    if len(slug) + len(_BETWEEN) <= _LONGEST_SLUG:
        return slug
    room = (_LONGEST_SLUG - _HASH - 1) // 2 - len(_BETWEEN)
    return f"{_left(name, room)}{_BETWEEN}{_left('', room)}{_MARK}{_hash(name.encode() + _END)}"


def _hashed(name: str) -> str:
    room = _LONGEST_SLUG - len(_MARK) - _HASH
    return f"{_left(name, room)}{_MARK}{_hash(name.encode())}"


def _left(name: str, room: int) -> str:
    """What of a name can be seen in its slug."""
    left = re.sub("[^a-z0-9]+", "-", name.lower()).lstrip("-")[:room].rstrip("-") or "x"
    return left if left[0] in _LOWER else f"x-{left[: room - 2]}"


def _hash(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:_HASH]


_FIELDS: dict[str, Callable[[str], str]] = {
    "username": str,
    "escaped_username": escaped,
    "safe_username": safe,
    "user_server": user_server,
    "group": group_folder,
}


@dataclass(frozen=True)
class Template:
    """Where the directories of one kind are.

    Attributes:
        parent: the path below the mount of the directory that has one for each name; empty for
            the mount itself.
        field: which of a name's forms is in the path.
        before, after: what is beside it in the directory's name.
        below: the path from there on; empty for none.
    """

    parent: str
    field: str
    before: str = ""
    after: str = ""
    below: str = ""

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read `homes/{username}`.

        Raises:
            StorageError: it is no such path, or has not one field that is known.
        """
        if text.startswith("/"):
            raise StorageError(f"'{text}' begins with /; it has to be a path below the mount.")
        if "\0" in text:
            raise StorageError(f"{text!r} has a zero byte, which no path has.")
        parts = text.split("/")
        if "" in parts:
            raise StorageError(f"'{text}' has an empty part; write a path like homes/{{username}}.")
        if wrong := {".", ".."}.intersection(parts):
            raise StorageError(f"'{text}' has the part '{min(wrong)}'; a path has only names.")
        fields = re.findall(r"\{([^{}]*)\}", text)
        known = ", ".join(f"{{{field}}}" for field in _FIELDS)
        unknown = [field for field in fields if field not in _FIELDS]
        if unknown:
            raise StorageError(f"'{text}' has the field {{{unknown[0]}}}; there are {known}.")
        if len(fields) != 1 or text.count("{") + text.count("}") != 2:
            raise StorageError(f"'{text}' should have one field, which is one of {known}.")
        place = next(index for index, part in enumerate(parts) if "{" in part)
        before, _brace, rest = parts[place].partition("{")
        field, _brace, after = rest.partition("}")
        return cls("/".join(parts[:place]), field, before, after, "/".join(parts[place + 1 :]))

    def home(self, name: str) -> str:
        """The path below the mount of a name's directory.

        Raises:
            StorageError: it can't have one.
        """
        try:
            folder = f"{self.before}{_FIELDS[self.field](name)}{self.after}"
            length = len(folder.encode())
        except UnicodeEncodeError:
            raise StorageError(f"{name!r} can have no directory: it is not Unicode.") from None
        if self.field == "escaped_username" and min(name, default="x") < "\x10":
            why = "when they are escaped, its control characters can't be told apart"
        else:
            why = _refused(name, folder, length)
        if why:
            raise StorageError(f"{name!r} can have no directory: {why}.")
        return "/".join(part for part in (self.parent, folder, self.below) if part)

    def matches(self, path: str) -> bool:
        """Whether a path below the mount could be somebody's directory; those that are and belong
        to nobody known have been left behind."""
        head = f"{self.parent}/" if self.parent else ""
        tail = f"/{self.below}" if self.below else ""
        if not (path.startswith(head) and path.endswith(tail)):
            return False
        folder = path[len(head) : len(path) - len(tail)]
        if "/" in folder or _refused(folder, folder, len(folder.encode(errors="replace"))):
            return False
        beside = len(self.before) + len(self.after)
        return (
            folder.startswith(self.before) and folder.endswith(self.after) and len(folder) > beside
        )


def _refused(name: str, folder: str, length: int) -> str:
    """Why a directory can't have this name; empty where it can."""
    if not name:
        return "it is empty"
    if "/" in folder:
        return "/ is between directories; take {safe_username} or {escaped_username}"
    if "\0" in folder:
        return "it has a zero byte"
    if folder.startswith("."):
        return "names with a dot first are kept for the file system's and the agent's own"
    if folder in _OF_THE_FILE_SYSTEM:
        return "the file system has one of this name"
    if length > _LONGEST_FOLDER:
        return f"its name would have {length} bytes, and {_LONGEST_FOLDER} are the most"
    return ""
