"""Launch links that somebody has written by hand into a page, and what is wrong with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from .addresses import LaunchError
from .form_parts import Read
from .forms import read
from .launch import URL

_LAUNCHES = re.compile(
    r"/hub/(spawn|user-redirect|login\?next)|/services/launch/open|git-pull\?"
    r"|/v2/(gh|gl|git)/|//colab\.research\.google\.com/github/"
)
_IN_MARKDOWN = re.compile(r"\]\(\s*(https?://[^()\n<>]*(?:\([^()\n<>]*\)[^()\n<>]*)*)\)")
_IN_BRACKETS = re.compile(r"[<\"'](https?://[^<>\"'\n]+)[>\"']")
_BARE = re.compile(r"(https?://[^\s<>\"'`)\]]+)")
_TITLE = re.compile(r"\s+(\"[^\"]*\"|'[^']*')\s*$")
_ENCODED = re.compile("%3a%2f%2f|%25[0-9a-f]{2}", re.IGNORECASE)
_LOCAL = ("localhost", "127.0.0.1", "::1")
_FOLDER = re.compile(r"(?:lab/tree|notebooks|tree)/([^/?#]+)")


@dataclass(frozen=True)
class WrittenLink:
    """A link on a page.

    Attributes:
        line: from 1.
    """

    url: str
    line: int


@dataclass(frozen=True)
class Fault:
    """What is wrong with a link; as a `Finding`, but for the place."""

    code: str
    message: str
    fix: str


def written_links(text: str) -> Iterator[WrittenLink]:
    """All links in a text that launch something, or were meant to, in their order."""
    if not _LAUNCHES.search(text):
        return
    seen: set[int] = set()
    found = []
    for pattern in (_IN_MARKDOWN, _IN_BRACKETS, _BARE):
        for match in pattern.finditer(text):
            if match.start(1) in seen or not _LAUNCHES.search(match[1]):
                continue
            seen.add(match.start(1))
            url = _TITLE.sub("", match[1]).strip().rstrip(".,;:!*")
            found.append((match.start(1), url.replace("&amp;", "&")))
    for start, url in sorted(found):
        yield WrittenLink(url, text.count("\n", 0, start) + 1)


def faults(url: str) -> tuple[list[Fault], Read | None]:
    """What is wrong with a link, and what it says, as far as it can be read."""
    found = list(_looks(url))
    said = None
    try:
        said = read(quote(url, safe="%/:=&?#+,;@!$'()*~[]"))
        found += _folder(said)
    except LaunchError as error:
        if not found:
            found.append(Fault("SL201", str(error), "Make the link with share-links build."))
    return found, said


def _looks(url: str) -> Iterator[Fault]:
    """What can be seen without knowing what it launches."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    with_opt = [name for name, _value in pairs if name.startswith("opt-")]
    plain = [name for name, _value in pairs if name not in (*with_opt, "next", "display_name")]
    if " " in url:
        yield Fault(
            "SL206", "The link has a space in it, where it ends.", "Write %20 for each space."
        )
    if parts.fragment and "colab." not in parts.netloc and "fancy-forms" not in parts.fragment:
        yield Fault(
            "SL206",
            f"The link has a '#' in it; no server is told '{parts.fragment[:60]}'.",
            "Write %23 for a '#' in a name; where it is in a link within the link, %2523.",
        )
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        yield Fault(
            "SL205",
            f"The link to {parts.netloc} is http: others can read and change what goes there.",
            "Write https.",
        )
    if parts.path.endswith("/hub/spawn") and with_opt and plain:
        yield Fault(
            "SL202",
            f"JupyterHub 6 ignores {', '.join(plain)}: other options have opt- before them.",
            "Write opt- before all of them.",
        )
    if "/hub/user-redirect" in parts.path and with_opt:
        yield Fault(
            "SL207",
            f"{', '.join(with_opt)} behind user-redirect: the server that starts is not told.",
            "Write a link to hub/spawn, with what was behind user-redirect as next.",
        )
    if _twice(parts):
        yield Fault(
            "SL203",
            "A part of the link is encoded once too often.",
            "Make the link with share-links build, or encode each part once for each link "
            "that it is in.",
        )


def _twice(parts: SplitResult) -> bool:
    """Whether the address of the repository, or the path, is still encoded when all is read."""
    pairs = dict(parse_qsl(parts.query))
    for name in ("next", "urlpath"):  # a link within the link
        inner = pairs.get(name, "")
        if "git-pull?" in inner:
            pairs = dict(parse_qsl(inner.partition("?")[2]))
        elif name == "next" and re.match("%2f", inner, re.IGNORECASE):
            return True
    return bool(_ENCODED.search(pairs.get("repo", "")) or _ENCODED.search(pairs.get("urlpath", "")))


def _folder(said: Read) -> Iterator[Fault]:
    launch = said.launch
    opened = _FOLDER.match(launch.target.path) if launch.target.view == URL else None
    if launch.content and opened and said.form != "binder":
        into = launch.content.into
        yield Fault(
            "SL204",
            f"The link opens a file in the folder {opened[1]}, but pulls into {into}.",
            f"Write {into} in urlpath, or add targetPath={opened[1]}.",
        )
