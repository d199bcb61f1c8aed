"""A budget over its window as a picture: what is used, what there is, and where it leads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT = 600, 120, 4


@dataclass(frozen=True)
class BurnDown:
    """What a budget's use has been, and where it leads.

    Attributes:
        instants: when `used` was used, rising; the last is now. Microseconds since 1970, UTC.
        used: amount x microseconds since the window began.
        end: when the window ends, or how far the picture goes.
        runs_out: at the pace of the last days; None if it does not before `end`.
    """

    instants: Sequence[int]
    used: Sequence[int]
    amount: int
    end: int
    runs_out: int | None = None


def picture(burn: BurnDown, title: str) -> str:
    """Inline SVG: colours and line styles come from the style sheet, so it follows the theme."""
    begin, now = burn.instants[0], burn.instants[-1]
    span = max(1, burn.end - begin)
    top = max(burn.amount, burn.used[-1], 1) * 11 / 10

    def place(at: int, used: float) -> str:
        x = _LEFT + (_WIDTH - 2 * _LEFT) * min(1.0, (at - begin) / span)
        return f"{x:.1f},{_HEIGHT - (_HEIGHT - 8) * used / top:.1f}"

    line = " ".join(place(at, used) for at, used in zip(burn.instants, burn.used, strict=True))
    area = f"{line} {place(now, 0)} {place(begin, 0)}"
    parts = [
        f'<polygon class="burn-area" points="{area}"/>',
        f'<polyline class="burn-line" points="{line}"/>',
        f'<polyline class="burn-limit" points="{place(begin, burn.amount)}'
        f' {place(burn.end, burn.amount)}"/>',
    ]
    if burn.runs_out is not None and now < burn.runs_out <= burn.end:
        parts.append(
            f'<polyline class="burn-ahead" points="{place(now, burn.used[-1])}'
            f' {place(burn.runs_out, burn.amount)}"/>'
        )
        parts.append(_dot("burn-end", place(burn.runs_out, burn.amount)))
    parts.append(_dot("burn-now", place(now, burn.used[-1])))
    return (
        f'<svg class="burn" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _dot(kind: str, place: str) -> str:
    """A line of no length with round ends: the picture is stretched, and a circle would be too."""
    return f'<path class="{kind}" d="M{place}h0"/>'
