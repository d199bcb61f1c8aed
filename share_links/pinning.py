"""How content at one commit comes to a server. Pure.

nbgitpuller follows branches and tags. A commit is fetched by git itself, in a terminal of the
server: once, into a folder of its own, where what the reader changes stays.
"""

from __future__ import annotations

import re
import shlex

from .launch import Content

_MARK = "launch-fetch"
_DONE = re.compile(rf"{_MARK}-ended-(\d+)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")

# Servers that give no single commits give all that they have.
_SCRIPT = """
cd "${JUPYTER_SERVER_ROOT:-.}" && cd "${NBGITPULLER_PARENTPATH:-.}" &&
if [ -e "$1" ]; then
  [ "$(git -C "$1" rev-parse "$3^{commit}")" = "$3" ];
else
  git init --quiet "$1.part" && cd "$1.part" && git remote add origin "$2" &&
  { git fetch --depth 1 origin "$3" || git fetch origin; } &&
  git -c advice.detachedHead=false checkout "$3" && cd "$OLDPWD" && mv "$1.part" "$1" ||
  { code=$?; cd "$OLDPWD" 2>/dev/null; rm -rf "$1.part"; exit $code; }
fi
"""


def command(content: Content) -> str:
    """What to type into a terminal, whatever its shell is.

    The line that it types shows up in the output too, but not as `ended` reads it.
    """
    script = " ".join(_SCRIPT.split())
    words = ["env", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "sh", "-c", script, "sh"]
    typed = shlex.join([*words, content.into, content.repository, content.ref])
    return f"exec sh -c {shlex.quote(f'{typed}; printf {_MARK}-%s-%s ended $?')}\r"


def ended(output: str) -> int | None:
    """The exit status that the output of `command` tells; None while it goes on."""
    found = _DONE.search(output)
    return int(found[1]) if found else None


def readable(output: str) -> list[str]:
    """The lines of a terminal's output, without what moves its cursor."""
    lines = _ESCAPES.sub("", output.replace("\r", "\n")).splitlines()
    return [line for line in lines if line.strip() and _MARK not in line]
