"""The pages for admins: sources, rules, changes, tokens."""

from __future__ import annotations

from typing import Any

from .web import Context, Routes


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return []
