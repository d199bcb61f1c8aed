"""Addresses and paths that come from anybody: one way to write each, and none that leads elsewhere.
Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hub_groups.words import _

SCHEMES = ("https", "http", "ssh", "git", "file")

LONGEST = 1_000
"""Characters of any part of a launch."""

# git-check-ref-format(1), and nothing that a command could take for an option.
BAD_REF = re.compile(
    r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|/\.|[/.]$|\.lock(/|$)|^@$|^HEAD$"
)

_GIT_HOSTS = ("github.com", "gitlab.com")  # where a repository's address is the same without .git
_SCP = re.compile(r"(?P<who>[\w.-]+@)(?P<host>[\w.-]+):(?P<path>(?!//)[^:]+)")


class LaunchError(ValueError):
    """A launch that can't work; the message says what would be right."""


def normal_hub(address: str) -> str:
    """A hub's address, with its base path; ends with `/`.

    Raises:
        LaunchError: it is none.
    """
    try:
        parts = urlsplit(address.strip())
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if (
        not right
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or not re.fullmatch(r"[!-~]*", address.strip())
        or re.search(r"[\\\"'<>`]|//|/\.\.?(/|$)", parts.path)
    ):
        raise LaunchError(
            _(
                "'{hub}' is not a hub's address; write, for example, https://hub.example.org/"
            ).format(hub=address)
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}/"


def normal_repository(address: str) -> str:
    """One way to write a repository's address.

    Raises:
        LaunchError: it is none, or holds a password.
    """
    check_text("repository", address)
    text = address.strip()
    if found := _SCP.fullmatch(text):
        text = f"ssh://{found['who']}{found['host']}/{found['path']}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    path = parts.path.rstrip("/")
    named = bool(parts.hostname) or parts.scheme == "file"
    folders = path.split("/")[1:]
    if (
        (parts.scheme not in SCHEMES or not named or not default_folder(path))
        or any(part in ("", ".", "..") for part in folders)
        or parts.query
        or parts.fragment
        or any(c.isspace() or c in "\\<>\"'`" for c in text)
    ):
        raise LaunchError(
            _(
                "'{repository}' is not a repository's address; write, for example, "
                "https://github.com/earth/geo-book"
            ).format(repository=address)
        )
    if parts.password is not None or (parts.username and parts.scheme in ("https", "http")):
        raise LaunchError(
            _(
                "A repository's address may hold no name or password: everybody who has the link "
                "would have them."
            )
        )
    host = parts.hostname or ""
    if host in _GIT_HOSTS:
        path = path.removesuffix(".git")
    at = f"{parts.username}@" if parts.username else ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{at}{host}{f':{port}' if port else ''}{path}"


def default_folder(repository: str) -> str:
    """Where a repository goes in the reader's home if nobody says where.

    nbgitpuller and those who make links for it differ about `.git`, so our links always say it.
    """
    return repository.rstrip("/").rpartition("/")[2].removesuffix(".git").lstrip(".")


def is_below(path: str) -> bool:
    """Whether a relative path stays where it is."""
    return not any(part in ("", ".", "..") for part in path.split("/")) and "\\" not in path


def is_url_path(path: str) -> bool:
    before = path.partition("?")[0].rstrip("/")
    plain = all(" " < c < "\x7f" and c not in "\\#\"'<>`" for c in path)
    decoded = re.sub("%2e", ".", before, flags=re.IGNORECASE)
    hidden = re.search("%2f|%5c|%25|%0[0-9a-f]|:", decoded.partition("/")[0], re.IGNORECASE)
    return plain and is_below(decoded) and not hidden


def check_text(name: str, value: str) -> None:
    if len(value) > LONGEST:
        raise LaunchError(_("The {name} is too long.").format(name=name))
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise LaunchError(_("The {name} has a control character in it.").format(name=name))
