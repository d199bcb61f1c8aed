"""What the agent's commands print: one line each, whatever names have in them."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """To whoever has asked."""
    print(_shown(text), flush=True)


def complain(text: str) -> None:
    """What is wrong, or takes long."""
    print(f"hub-storage-agent: {_shown(text)}", file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    """Names may have signs that end a line, or that no terminal can show."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
