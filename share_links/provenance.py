"""Whether others can get a file where its owner has it from: a git repository, at a commit. Pure.

Only git on the owner's own server knows, so it is asked there, in a terminal.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from hub_groups.words import _

from .addresses import LaunchError
from .launch import Content, Target

_MARK = "launch-file"
_SAID = re.compile(rf"{_MARK}-begin\r?\n(.*?){_MARK}-ended", re.DOTALL)
_FOR_OTHERS = ("https", "http", "ssh", "git")

# The file's blob in HEAD is compared with what it would be now: that holds for files that git was
# told to overlook too, and where git changes line ends. Nothing is trusted that git does not trust:
# a folder of somebody else may have settings that start programs.
# A commit at which a shallow clone ends was fetched, so the remote has it: as in launched content.
_SCRIPT = """
say() { printf "%s %s\\n" "$1" "$2"; };
find() {
  cd "${JUPYTER_SERVER_ROOT:-.}/$1" || return;
  command -v git >/dev/null || { say why no-git; return; };
  prefix=$(git rev-parse --show-prefix 2>&1) || {
    case $prefix in *safe.directory*) say why foreign ;; *) say why none ;; esac; return; };
  head=$(git rev-parse --quiet --verify HEAD);
  say prefix "$prefix"; say head "$head";
  say origin "$(git remote get-url origin)";
  say was "$(git rev-parse --quiet --verify "HEAD:./$2")";
  say is "$(git hash-object -- "$2")";
  pushed=$(git for-each-ref --count=1 --contains "$head" refs/remotes/origin);
  [ "$pushed" ] || pushed=$(grep -sx "$head" "$(git rev-parse --git-path shallow)");
  say pushed "$pushed";
};
printf "MARK-%s\\n" begin; find "$1" "$2" 2>/dev/null; printf "MARK-%s\\n" ended
"""


@dataclass(frozen=True)
class Traced:
    """Where others get a file.

    Attributes:
        content: the repository and its commit; None where they can't get it there.
        file: its path in the repository.
        why: why they can't, for people: the end of a sentence.
    """

    content: Content | None = None
    file: str = ""
    why: str = ""


def command(path: str) -> str:
    """What to type into a terminal, whatever its shell is.

    Args:
        path: of the file, below the root of the server; as `sharing.clean_path` lets it be, so
            that the line is no longer than terminals take.
    """
    folder, _slash, name = path.rpartition("/")
    script = " ".join(_SCRIPT.replace("MARK", _MARK).split())
    typed = shlex.join(["env", "LC_ALL=C", "sh", "-c", script, "sh", folder or ".", name])
    return f"exec {typed}\r"


def is_over(output: str) -> bool:
    """Whether the output of `command` is all there."""
    return bool(_SAID.search(output))


def read(output: str, path: str) -> Traced:
    """What the output of `command` says of a file."""
    found = _SAID.search(output)
    if not found:
        return Traced(why=_("this server did not say where it comes from"))
    lines = (line.partition(" ") for line in found[1].replace("\r", "").split("\n"))
    said = {name: value for name, _blank, value in lines}
    if why := _why_not(said):
        return Traced(why=why)
    file = said["prefix"] + path.rpartition("/")[2]
    try:
        content = Content(_for_others(said["origin"]), said["head"])
        return Traced(content, Target(file=file).file)
    except LaunchError:
        return Traced(why=_("others can't use the address of its repository"))


def over_https(content: Content) -> Content | None:
    """The same repository without a key, as the large hosts have it; None where that can't be."""
    parts = urlsplit(content.repository)
    if parts.scheme != "ssh" or parts.port:
        return None
    return Content(f"https://{parts.hostname}{parts.path}", content.ref)


def _why_not(said: dict[str, str]) -> str:
    if "prefix" not in said:
        return {
            "no-git": _("there is no git on this server"),
            "foreign": _("it is in a folder that git does not trust, since it is not yours"),
        }.get(said.get("why", "")) or _("it is not in a repository")
    if not said.get("head") or not said.get("was"):
        return _("it is not committed")
    if said["was"] != said.get("is"):
        return _("it has changes that are not committed")
    if not said.get("origin"):
        return _("its repository is on this server only")
    if not said.get("pushed"):
        return _("its commit was not pushed yet")
    return ""


def _for_others(origin: str) -> str:
    """An address without anybody's name or password.

    Raises:
        LaunchError: it is not for others.
    """
    if "://" not in origin:
        return origin  # git@host:path, which has no password; a path is refused later
    try:
        parts = urlsplit(origin)
    except ValueError:
        raise LaunchError("") from None
    if parts.scheme not in _FOR_OTHERS:
        raise LaunchError("")
    login, _at, host = parts.netloc.rpartition("@")
    name = login.partition(":")[0]
    at = f"{name}@" if name and parts.scheme == "ssh" else ""
    return parts._replace(netloc=f"{at}{host}").geturl()
