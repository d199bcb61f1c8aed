"""What went wrong when content was pulled, in words that help. Pure.

nbgitpuller tells the output of git and a message; git speaks English there, whatever the server's
language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from hub_groups.words import _

from .launch import Content


@dataclass(frozen=True)
class Failure:
    """Why a launch did not come to its end.

    Attributes:
        where: at which step, for counts: `start`, `pull`, `open`.
        text: what was wrong.
        fix: what to do now.
        output: the last lines of what was done, for who wants to know.
        still: whether what is on the server can be opened all the same.
    """

    where: str
    text: str
    fix: str = ""
    output: tuple[str, ...] = ()
    still: bool = False


def no_nbgitpuller(image: str = "") -> Failure:
    """The server does not know how to pull."""
    text = _("The server that was started can't pull content: it has no nbgitpuller.")
    if image:
        text = _(
            "The server that was started can't pull content: its image {image} has no nbgitpuller."
        ).format(image=image)
    fix = _("Tell who made the link: the image needs 'pip install nbgitpuller'.")
    return Failure("pull", text, fix, still=True)


def no_terminals(content: Content) -> Failure:
    """The server can't fetch content at a commit."""
    text = _(
        "The server that was started can't fetch {repository} at {ref}: it has no terminals."
    ).format(repository=content.repository, ref=content.ref[:12])
    return Failure("pull", text, _("Tell who made the link: a branch or a tag works."), still=True)


def explain_pull(content: Content, message: str, lines: Sequence[str]) -> Failure:
    """Why pulling content failed.

    Args:
        message: what nbgitpuller says about it.
        lines: its output.
    """
    said = "\n".join([*lines, message])
    known = next((words for signs, words in _known(content) if re.search(signs, said)), None)
    text, fix = known or (
        _("The content of {repository} can't be pulled.").format(repository=content.repository),
        _("Try again; if it stays like this, show what is below to who made the link."),
    )
    shown = list(
        takewhile(lambda line: not line.startswith("Traceback"), "".join(lines).split("\n"))
    )
    return Failure("pull", text, fix, tuple(line.rstrip() for line in shown[-20:]), still=True)


def is_there_already(content: Content, lines: Sequence[str]) -> bool:
    """Whether what failed is the merge of a tag, which nbgitpuller clones and then can't follow:
    tags do not move, so what is there is right."""
    return bool(content.ref) and any(f"'..origin/{content.ref}'" in line for line in lines)


def wants_all(lines: Sequence[str]) -> bool:
    """Whether a repository can only be cloned with its whole history."""
    return any("does not support shallow" in line for line in lines)


def _known(content: Content) -> list[tuple[str, tuple[str, str]]]:
    repository, ref = content.repository, content.ref
    tell = _("Tell who made the link.")
    return [
        (
            r"Branch does not exist|Remote branch .* not found",
            (
                _("{repository} has no branch or tag '{ref}'.").format(
                    repository=repository, ref=ref
                ),
                tell,
            ),
        ),
        (
            r"No space left on device|Disk quota exceeded",
            (
                _("There is no room left in your home."),
                _("Delete what you do not need there, and click the link again."),
            ),
        ),
        (
            r"could not read Username|Authentication failed|Permission denied \(publickey|"
            r"Host key verification failed|HTTP Basic: Access denied",
            (
                _("{repository} asks for a login that this server does not have.").format(
                    repository=repository
                ),
                _(
                    "It may be private, or not be there. Ask who made the link how servers here "
                    "get at it."
                ),
            ),
        ),
        (
            r"[Rr]epository .*not found|does not appear to be a git repository|"
            r"error: 404",
            (
                _("There is no repository at {repository}, or nobody can read it.").format(
                    repository=repository
                ),
                tell,
            ),
        ),
        (
            r"Could not resolve host|Failed to connect|Connection (timed out|refused)|"
            r"unable to access",
            (
                _("{repository} can't be reached from this hub now.").format(repository=repository),
                _("Try again in a minute."),
            ),
        ),
        (
            r"Remote content unavailable|Branch name unresolved",
            (
                _(
                    "{repository} can't be read from this server: it is not there, is private, or "
                    "can't be reached."
                ).format(repository=repository),
                _("Try again in a minute; if it stays like this, tell who made the link."),
            ),
        ),
        (
            r"index\.lock|Another git operation",
            (
                _("Something else is changing the folder {folder} at the moment.").format(
                    folder=content.into
                ),
                _("Close other tabs that pull the same content, and try again in a minute."),
            ),
        ),
        (
            r"not our ref|unadvertised object|did not match any file|reference is not a tree|"
            r"couldn't find remote ref",
            (
                _("{repository} has no commit {ref}.").format(repository=repository, ref=ref[:12]),
                tell,
            ),
        ),
        (
            r"not a git repository|already exists and is not an empty directory",
            (
                _("Your home has a folder {folder} that is something else.").format(
                    folder=content.into
                ),
                _("Rename it there, and click the link again."),
            ),
        ),
        (
            r"CONFLICT|unmerged|Automatic merge failed|would be overwritten|unrelated histories|"
            r"not something we can merge",
            (
                _("What you changed in {folder} can't be merged with what is new.").format(
                    folder=content.into
                ),
                _(
                    "What is yours is as it was. To start afresh, rename the folder {folder} in "
                    "your home, and click the link again."
                ).format(folder=content.into),
            ),
        ),
    ]


def no_such_file(content: Content | None, file: str) -> Failure:
    """The content is there, what the link opens is not."""
    if content is None:
        text = _("Your home has no file {file}.").format(file=file)
    else:
        text = _("{repository} has no file {file}.").format(
            repository=content.repository, file=file
        )
        if content.ref:
            text = _("{repository} has no file {file} at {ref}.").format(
                repository=content.repository, file=file, ref=content.ref
            )
    return Failure("open", text, _("Tell who made the link."), still=True)
