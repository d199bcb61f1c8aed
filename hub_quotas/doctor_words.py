"""What the rules of a doctor share."""

from __future__ import annotations

from urllib.parse import urlsplit

from .doctor_facts import Database, Facts

GROUPS, QUOTAS = "hub_groups", "hub_quotas"
MOST_SKEW = 5
"""Seconds by which clocks may differ."""

RESTART = "Restart the hub."
PORTS = (
    "open port {port} to the proxy in the chart's values: hub.service.extraPorts, "
    "hub.networkPolicy.ingress and proxy.chp.networkPolicy.egress"
)
"""Of Zero to JupyterHub."""

LOCAL = ("127.0.0.1", "localhost", "::1")


def is_too_local(facts: Facts) -> bool:
    """Whether the proxy is on another machine and gets an address of its own for the pages."""
    config = facts.config
    here = urlsplit(config.service_url).hostname in LOCAL
    return bool(config.packages) and config.proxy_elsewhere and here


def place(one: Database) -> str:
    """Where a database is, and what says so."""
    return f"{one.setting}: {one.url}"


def apart(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def ended(text: str) -> str:
    """With a full stop."""
    return text if text.endswith(".") else f"{text}."
