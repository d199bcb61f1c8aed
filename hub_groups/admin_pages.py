"""The pages for admins: sources, rules, changes, tokens, and what Prometheus is told."""

from __future__ import annotations

from typing import Any

from . import audit_page, group_metrics, rules_page, sources_page
from .web import Context, Routes


def routes(context: Context, shared: dict[str, Any]) -> Routes:
    """The handlers of these pages."""
    return [
        *sources_page.routes(context, shared),
        *rules_page.routes(context, shared),
        *audit_page.routes(context, shared),
        *group_metrics.routes(context, shared),
    ]
