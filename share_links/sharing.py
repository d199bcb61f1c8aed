"""Sharing a file with a colleague: limits, names and words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub_groups.words import _
from hub_quotas.limits import CHARGED_GROUP

from .addresses import LaunchError, check_text, is_below
from .links import Source
from .pull_words import Failure

MOST_SNAPSHOTS = 50
MOST_BYTES, MOST_BYTES_OF_ALL = 10_000_000, 100_000_000
"""Of one snapshot, and of all of one user."""

MOST_COPIES = 100
"""Files of one name, with different content, in one folder of a reader."""

_LONGEST_PATH, _LONGEST_NAME = 500, 200
"""Characters; bytes, since file systems take 255 and a copy may get a number."""

_SHARED = "shared"


@dataclass(frozen=True)
class Used:
    """What the snapshots of a user take, of links that work."""

    count: int = 0
    bytes: int = 0


def clean_path(typed: str, kind: str = "file") -> str:
    """A path below the root of a server, as the Contents API has it.

    Args:
        kind: `file`, or `folder`, which may be empty for the root itself.

    Raises:
        LaunchError: it leads elsewhere, or to what is hidden.
    """
    path = typed.strip("/")
    check_text(kind, path)
    if not path and kind == "folder":
        return ""
    if not is_below(path):
        text = _("'{file}' is not a path on your server; write, for example, maps/first-map.ipynb")
        raise LaunchError(text.format(file=path))
    if any(part.startswith(".") for part in path.split("/")):
        raise LaunchError(_("Hidden files can't be shared."))
    if len(path) > _LONGEST_PATH or len(path.rpartition("/")[2].encode()) > _LONGEST_NAME:
        raise LaunchError(_("The path is too long."))
    return path


def check_size(bytes: int) -> None:
    """Raises LaunchError for a file that is too large for a snapshot."""
    if bytes > MOST_BYTES:
        raise LaunchError(
            _("The file has {size}; a copy has {most} at most. Put it into a repository.").format(
                size=say_bytes(bytes), most=say_bytes(MOST_BYTES)
            )
        )


def check_room(used: Used, bytes: int) -> None:
    """Raises LaunchError where a user has no room for one more snapshot of that size."""
    check_size(bytes)
    if used.count >= MOST_SNAPSHOTS or used.bytes + bytes > MOST_BYTES_OF_ALL:
        raise LaunchError(
            _("There is no room for one more copy: you have {used}. Take back a link.").format(
                used=say_used(used)
            )
        )


def say_bytes(bytes: int) -> str:
    """`12 MB`, `3.4 MB`, `120 kB`, `7 bytes`."""
    if bytes < 1_000:
        return _("{n} bytes").format(n=bytes)
    unit, size = ("kB", bytes / 1_000) if bytes < 999_500 else ("MB", bytes / 1_000_000)
    return f"{size:.1f} {unit}".replace(".0 ", " ") if size < 10 else f"{size:.0f} {unit}"


def say_used(used: Used) -> str:
    """`3 of 50 copies, 12 of 100 MB`."""
    return _("{count} of {most} copies, {size} of {most_size}").format(
        count=used.count,
        most=MOST_SNAPSHOTS,
        size=say_bytes(used.bytes).removesuffix(" MB"),
        most_size=say_bytes(MOST_BYTES_OF_ALL),
    )


def folder_of(sharer: str) -> str:
    """Where in a reader's home the files of a colleague go."""
    name = re.sub(r"[^\w@.+-]+", "-", sharer).strip(".-")[: _LONGEST_NAME // 4]
    return f"{_SHARED}/{name or 'somebody'}"


def numbered(name: str, number: int) -> str:
    """`map.ipynb`, `map-2.ipynb`, `map-3.ipynb`."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    return name if number == 1 else f"{stem}-{number}{dot}{ending}"


def options_to_share(options: Mapping[str, Any]) -> dict[str, Any]:
    """A server's user options, but for the group that was charged, which is not the reader's."""
    return {name: value for name, value in options.items() if name != CHARGED_GROUP}


def say_options(options: Mapping[str, Any]) -> str:
    """`large · image: pytorch`: all of them, so that nothing travels unseen."""
    rest = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    profile = rest.pop("profile", "")
    others = (f"{name}: {_plain(value)}" for name, value in sorted(rest.items()))
    return " · ".join([*([_plain(profile)] if profile else []), *others])


def _plain(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def say_difference(source: Source, image: str, digest: str = "") -> str:
    """What is another image than the sharer's server had; empty where nothing is known to be.

    Args:
        image: what the reader's server runs, or would; empty where nobody knows.
        digest: of that image; empty where nobody knows yet.
    """
    if source.image and image and source.image != image:
        return _("It was shared from the image {then}; here it is opened in {now}.").format(
            then=source.image, now=image
        )
    if source.digest and digest and source.digest != digest:
        return _("The image {image} has changed since this was shared.").format(image=image)
    return ""


def explain_copy(code: int, message: str, name: str) -> Failure:
    """Why a file could not be written to the reader's server.

    Args:
        code: what their server answered with; 599 where it did not.
        message: what it said.
    """
    text, fix = _("{file} can't be copied to your server.").format(file=name), ""
    if re.search(r"Errno (28|122)\b|No space left|quota exceeded", message, re.IGNORECASE):
        text = _("There is no room in your home for {file}.").format(file=name)
        fix = _("Remove what you do not need, and try again.")
    elif code == 403 or re.search(r"Errno (13|30)\b", message):
        text = _("Your server may not write {file} into the folder {folder}.").format(
            file=name, folder=_SHARED
        )
        fix = _("Look whether that folder is yours, and try again.")
    elif code == 413:
        text = _("{file} is too large for your server.").format(file=name)
    elif "Not a directory" in message:
        text = _("In your home is a file where the folder {folder} would be.").format(
            folder=_SHARED
        )
        fix = _("Give it another name, and try again.")
    elif code in (400, 404) or re.search(r"Errno (22|36|84)\b", message):
        text = _("Your server does not take a file of the name {file}.").format(file=name)
        fix = _("Tell who made the link: another name works.")
    elif code == 599:
        text = _("Your server can't be reached from these pages, so nothing can be copied to it.")
        fix = _("Tell an admin of this hub.")
    return Failure("pull", text, fix or _("Show this to an admin of this hub."), still=True)
