"""When a budget runs out if use goes on as it did lately. Pure."""

from __future__ import annotations

from datetime import tzinfo

from .windows import DAY, Rolling, Window, span

LATELY = 7 * DAY
"""Microseconds that are taken for what comes."""


def runs_out(
    window: Window, amount: int, used: int, lately: int, at: int, zone: tzinfo
) -> int | None:
    """The instant at which nothing is left of a budget, at the pace of the last LATELY; None where
    it lasts until its window ends, or where a rolling window gives back as much as is used.

    Args:
        amount, used: amount x microseconds, of what the window at `at` counts.
        lately: what was used within LATELY before `at`.
    """
    left = amount - used
    if left <= 0:
        return at
    if lately <= 0:
        return None
    when = at + left * LATELY // lately
    if isinstance(window, Rolling):
        return when if lately * window.length > amount * LATELY else None
    held = span(window, at, zone)
    return when if held and when < held[1] else None
