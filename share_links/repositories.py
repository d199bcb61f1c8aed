"""What a Git repository has, asked of its server over HTTP: for the form on which links are made.

Asked without git, which a hub's image need not have, and without anybody's login: so it finds what
any reader's server would find.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from tornado import httpclient
from tornado.ioloop import IOLoop

from hub_groups.words import _

from .launch import COMMIT, Content

log = logging.getLogger("group-quotas")

_PATIENCE = 10
_MOST_BYTES = 10_000_000


async def problem_with(content: Content) -> str:
    """Why content can't be pulled, as far as can be seen from here; empty where it can, or where
    nothing can be seen (SSH, files, a commit).

    Whatever is wrong is said in one way: who asks must not learn from it what else is in the hub's
    network.
    """
    parts = urlsplit(content.repository)
    if parts.scheme not in ("http", "https"):
        return ""
    unreadable = _("{repository} can't be read from this hub without a login.").format(
        repository=content.repository
    )
    try:
        if await _is_of_this_machine(parts.hostname or ""):
            return unreadable
        refs = await _refs(content.repository)
    except (httpclient.HTTPError, OSError, ValueError) as error:
        log.info("A repository can't be read: %s", type(error).__name__)
        return unreadable
    ref = content.ref
    if not ref or content.is_commit or {f"refs/heads/{ref}", f"refs/tags/{ref}"} & refs.keys():
        return ""
    return _("{repository} has no branch or tag '{ref}'.").format(
        repository=content.repository, ref=ref
    )


async def commit_of(repository: str, ref: str) -> str:
    """The commit that a branch, a tag or, without one, the default branch is at; empty where that
    can't be seen from here."""
    if COMMIT.fullmatch(ref):
        return ref
    parts = urlsplit(repository)
    if parts.scheme not in ("http", "https"):
        return ""
    try:
        if await _is_of_this_machine(parts.hostname or ""):
            return ""
        refs = await _refs(repository)
    except (httpclient.HTTPError, OSError, ValueError) as error:
        log.info("A repository can't be read: %s", type(error).__name__)
        return ""
    # A tag with a message is not the commit itself; git tells of that under a name of its own.
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}") if ref else ("HEAD",)
    return next((refs[name] for name in names if name in refs), "")


async def _refs(repository: str) -> dict[str, str]:
    """The commit of each. Raises ValueError where what is there is no repository."""
    request = httpclient.HTTPRequest(
        f"{repository}/info/refs?service=git-upload-pack",
        request_timeout=_PATIENCE,
        follow_redirects=False,
    )
    client = httpclient.AsyncHTTPClient(force_instance=True, max_body_size=_MOST_BYTES)
    try:
        response = await client.fetch(request)
    finally:
        client.close()
    smart = "git-upload-pack" in response.headers.get("Content-Type", "")
    lines = list(_packets(response.body)) if smart else response.body.splitlines()
    refs = {}
    for line in lines:
        commit, _blank, name = line.split(b"\0")[0].strip().replace(b"\t", b" ").partition(b" ")
        if name.startswith(b"refs/") or name == b"HEAD":
            refs[name.decode("utf-8", "replace")] = commit.decode("ascii", "replace")
    if not refs:
        raise ValueError("no refs")
    return refs


def _packets(body: bytes) -> Iterator[bytes]:
    """The lines of git's protocol (gitprotocol-common, pkt-line)."""
    at = 0
    while at + 4 <= len(body):
        length = int(body[at : at + 4], 16)
        if length > 4:
            yield body[at + 4 : at + length]
        at += max(4, length)


async def _is_of_this_machine(host: str) -> bool:
    """Whether a host is where clouds tell secrets to machines that ask (link-local addresses)."""
    found = await IOLoop.current().run_in_executor(None, socket.getaddrinfo, host, None)
    return any(
        ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_link_local for one in found
    )
