"""Badges: small pictures for a README that lead to a hub. Pure."""

from __future__ import annotations

import html
import re

from hub_groups.words import _

_CHARACTER, _PADDING, _HEIGHT = 6.6, 8, 20
_LEFT, _RIGHT = "#444", "#0b6c91"  # both with white text: more than 4.5 to 1


def badge(hub: str) -> str:
    """An SVG that needs nothing from anywhere.

    Args:
        hub: the label of the hub.
    """
    left, right = _("open on"), hub
    widths = [round(len(text) * _CHARACTER) + 2 * _PADDING for text in (left, right)]
    parts = []
    at = 0
    for text, width, colour in zip((left, right), widths, (_LEFT, _RIGHT), strict=True):
        inner = width - 2 * _PADDING
        parts.append(
            f'<rect x="{at}" width="{width}" height="{_HEIGHT}" fill="{colour}"/>'
            f'<text x="{at + _PADDING}" y="14" textLength="{inner}" '
            f'lengthAdjust="spacingAndGlyphs">{html.escape(text)}</text>'
        )
        at += width
    name = html.escape(f"{left} {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{at}" height="{_HEIGHT}" role="img" '
        f'aria-label="{name}"><title>{name}</title><g font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11" fill="#fff">{"".join(parts)}</g></svg>\n'
    )


def file_name(*words: str) -> str:
    """A plain name for a file, such as `intro-first-map-our-hub`."""
    return re.sub(r"[^\w]+", "-", " ".join(words).lower()).strip("-")
