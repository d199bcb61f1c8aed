"""Small plots as inline SVG, for pages that may hold neither script nor style. Pure.

Colours are those of the text around them and of the classes `plot` and `plot-line` in
group-quotas.css, so that both themes have theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

MARKS = 7
"""How many labels a row of bars has at most: so many fit beside each other on a phone."""

_LABELS = 18
"""Height of the row of labels, in pixels."""


class Svg(str):
    """Markup that templates take as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def sparkline(values: Sequence[float], width: int, height: int, title: str, desc: str = "") -> Svg:
    """A line without axes, from 0 at the bottom to the largest value at the top.

    Args:
        values: evenly spaced, oldest first; what is below 0 is drawn as 0.
        width, height: pixels; narrower where there is no room.
        title: what it shows and says, for who can't see it: "CPU-hours in the last 30 days, ...".
        desc: more of that.
    """
    top, edge = max([*values, 0]) or 1, 1.5  # half the line's width stays inside
    across = max(len(values) - 1, 1)
    points = [
        (width * at / across, height - edge - (height - 2 * edge) * max(value, 0) / top)
        for at, value in enumerate(values)
    ]
    if len(points) == 1:
        points.append((width, points[0][1]))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = (
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="{edge}"'
        ' vector-effect="non-scaling-stroke" stroke-linejoin="round"/>'
        if points
        else ""
    )
    return Svg(
        f'<svg class="plot-line" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' preserveAspectRatio="none" role="img">{_words(title, desc)}{drawn}</svg>'
    )


def bars(
    values: Sequence[float],
    labels: Sequence[str],
    title: str,
    says: Sequence[str] = (),
    desc: str = "",
    height: int = 160,
) -> Svg:
    """A row of bars as wide as the page, from 0 to the largest value.

    Args:
        values: what is below 0 is drawn as 0.
        labels: one below each bar; short. Where there are many, only some are written.
        title: what it shows and says, for who can't see it.
        says: what the pointer shows of each bar; its label and value if not given.
        desc: more of the title.
        height: pixels.
    """
    says = says or [f"{label}: {value:g}" for label, value in zip(labels, values, strict=True)]
    top, room = max([*values, 0]) or 1, height - _LABELS
    edges = [100 * at / len(values) for at in range(len(values) + 1)] if values else []
    every = -(-len(values) // MARKS)
    drawn = []
    for at, (begin, end) in enumerate(pairwise(edges)):
        tall = room * max(values[at], 0) / top
        gap = (end - begin) * 0.1
        drawn.append(
            f'<rect x="{begin + gap:.2f}%" width="{end - begin - 2 * gap:.2f}%"'
            f' y="{room - tall:.1f}" height="{tall:.1f}" fill="currentColor">'
            f"<title>{escape(says[at])}</title></rect>"
        )
        if at % every == 0:
            drawn.append(
                f'<text x="{(begin + end) / 2:.2f}%" y="{height - 4}" text-anchor="middle">'
                f"{escape(labels[at])}</text>"
            )
    base = f'<line x1="0" x2="100%" y1="{room}" y2="{room}" stroke="currentColor"/>'
    return Svg(
        f'<svg class="plot" width="100%" height="{height}" role="img">'
        f"{_words(title, desc)}{base}{''.join(drawn)}</svg>"
    )


def _words(title: str, desc: str) -> str:
    return f"<title>{escape(title)}</title>" + (f"<desc>{escape(desc)}</desc>" if desc else "")
