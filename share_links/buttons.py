"""A link as it stands in a page: plain, so that it works without JavaScript, on paper, and for a
screen reader. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable

from .book import Link


def html_button(url: str, label: str) -> str:
    """For a web page."""
    return f'<a class="launch-button" href="{html.escape(url)}">{html.escape(label)}</a>'


def markdown_link(url: str, label: str) -> str:
    """For Markdown and MyST. The address is bare where it can be, for who copies it from there."""
    text = label.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    where = f"<{url}>" if set(url) & set(" ()") else url
    return f"[{text}]({where})"


def myst_button(url: str, label: str) -> str:
    """A button for MyST, as Jupyter Book 2 has them."""
    text = "".join(c for c in label if c not in "`<>")
    return f"{{button}}`{text} <{url}>`"


def html_row(links: Iterable[Link]) -> str:
    """The buttons of a page of a book."""
    row = " ".join(
        f'<a class="launch-button" href="{html.escape(link.url)}" '
        f'aria-label="{html.escape(link.label)}">{html.escape(link.text)}</a>'
        for link in links
    )
    return f'<p class="share-links">{row}</p>' if row else ""
