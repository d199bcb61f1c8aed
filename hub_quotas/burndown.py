"""A budget over its window as a picture: what is used, what there is, and where it leads. Pure.

The curves stretch with the page and text must not: an SVG of its own that stretches holds them,
within one of a fixed height that has the labels, at percents of its width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html import escape

from hub_groups.words import _

from .svg import Svg
from .windows import DAY, say_day, say_short_day

_WIDTH, _HEIGHT = 600, 112
"""Of the curves; of the width only as a measure."""
_MARGIN = 20
"""Above the curves and below them, for a row of labels each; pixels."""
_NARROW, _WIDE = 280, 400
"""What is left of the narrowest page (320), and of those that Bootstrap calls small or larger."""
_LETTER, _GAP = 7, 8
"""How wide a letter of a label is about, and what two labels have between them; pixels."""
_NEAR_END = 90
"""Percent of the width; further on, half a label might not have room."""
_TIMED = 2 * DAY
"""In a picture of so little, the dates alone would say next to nothing."""
_YEARLY = 360 * DAY
"""In one of so much, a day and a month may be two dates."""


@dataclass(frozen=True)
class BurnDown:
    """What a budget's use has been, and where it leads.

    Attributes:
        instants: when `used` was used, rising; the last is now. Microseconds since 1970, UTC.
        used: amount x microseconds since the window began; of storage, bytes.
        amount: the limit, in the same.
        says: the amount in words, as short as they are.
        end: when the window ends, or how far the picture goes.
        runs_out: at the pace of the last days; None if it does not before `end`.
        rolling: whether nothing ends at `end`.
    """

    instants: Sequence[int]
    used: Sequence[int]
    amount: int
    says: str
    end: int
    runs_out: int | None = None
    rolling: bool = False

    @property
    def ahead(self) -> int | None:
        """When it runs out, where the picture can show it."""
        now = self.instants[-1]
        return self.runs_out if self.runs_out and now < self.runs_out <= self.end else None

    def across(self, at: int) -> float:
        """Where an instant is, in percent of the width."""
        begin = self.instants[0]
        return 100 * min(1.0, (at - begin) / max(1, self.end - begin))

    def above(self, amount: int) -> float:
        """How high an amount is, in pixels."""
        return _HEIGHT * amount / max(self.amount, *self.used, 1)


@dataclass(frozen=True)
class Label:
    """A few words in a row of them.

    Attributes:
        at: percent of the width. The words begin at 0, end where that is near the end of the row,
            and have it in the middle elsewhere.
        kind: a class of the style sheet.
    """

    text: str
    at: float
    kind: str = ""

    @property
    def anchor(self) -> str:
        return "start" if self.at == 0 else "end" if self.at > _NEAR_END else "middle"

    def reach(self, width: int) -> tuple[float, float]:
        """From where to where it goes about, on a row of so many pixels."""
        wide = _LETTER * len(self.text)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * wide
        begin = width * self.at / 100 - before
        return begin, begin + wide


def fitting(labels: Sequence[Label], width: int) -> list[Label]:
    """Those that fit on a row of so many pixels; of two that would touch, the one named first."""
    kept: list[Label] = []
    for label in labels:
        begin, end = label.reach(width)
        others = (one.reach(width) for one in kept)
        if begin < 0 or end > width:
            continue
        if all(end + _GAP <= left or right + _GAP <= begin for left, right in others):
            kept.append(label)
    return kept


def dates(burn: BurnDown, zone: tzinfo) -> list[Label]:
    """When the picture begins and ends, and now: what matters most is first.

    Args:
        zone: that of the hub.
    """
    begin = Label(_say(burn, burn.instants[0], zone), 0)
    now = Label(_("now"), burn.across(burn.instants[-1]))
    end = Label(_say_end(burn, zone), 100)
    return [begin, now, end] if burn.rolling else [begin, end, now]


def amounts(burn: BurnDown, zone: tzinfo) -> list[Label]:
    """What stands on the line of the limit: how much it is, and when that is used up."""
    labels = [Label(burn.says, 0)]
    if burn.ahead is not None:
        labels.append(Label(_say(burn, burn.ahead, zone), burn.across(burn.ahead), "burn-out"))
    return labels


def picture(burn: BurnDown, title: str, zone: tzinfo) -> Svg:
    """Inline SVG: colours and line styles come from the style sheet, so it follows the theme.

    Args:
        title: what it shows and says, for who can't see it; they are spared the labels.
        zone: that of the hub.
    """
    base = _MARGIN + _HEIGHT
    zero = f'<text x="-6" y="{base + 4}" text-anchor="end">0</text>' if burn.amount else ""
    return Svg(
        f'<svg class="burn" height="{base + _MARGIN}" role="img"><title>{escape(title)}</title>'
        f'<svg y="{_MARGIN}" width="100%" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' preserveAspectRatio="none">{_curves(burn)}</svg>{zero}'
        f"{_row(amounts(burn, zone), base - burn.above(burn.amount) - 6)}"
        f"{_row(dates(burn, zone), base + 16)}</svg>"
    )


def _curves(burn: BurnDown) -> str:
    begin, now = burn.instants[0], burn.instants[-1]

    def place(at: int, used: int) -> str:
        return f"{_WIDTH * burn.across(at) / 100:.1f},{_HEIGHT - burn.above(used):.1f}"

    line = " ".join(place(at, used) for at, used in zip(burn.instants, burn.used, strict=True))
    here, foot = place(now, burn.used[-1]), place(now, 0)
    parts = [
        f'<polygon class="burn-area" points="{line} {foot} {place(begin, 0)}"/>',
        _line("burn-axis", place(begin, 0), place(burn.end, 0)),
        _line("burn-axis", foot, here),
        _line("burn-line", line),
        _line("burn-limit", place(begin, burn.amount), place(burn.end, burn.amount)),
    ]
    if burn.ahead is not None:
        out = place(burn.ahead, burn.amount)
        parts += [_line("burn-ahead", here, out), _dot("burn-end", out)]
    return "".join([*parts, _dot("burn-now", here)])


def _row(labels: Sequence[Label], height: float) -> str:
    """Some are for pages that are not narrow."""
    always = fitting(labels, _NARROW)
    return "".join(
        f'<text class="{label.kind if label in always else f"{label.kind} d-none d-sm-inline"}"'
        f' x="{label.at:.2f}%" y="{height:.1f}" text-anchor="{label.anchor}">'
        f"{escape(label.text)}</text>"
        for label in fitting(labels, _WIDE)
    )


def _line(kind: str, *points: str) -> str:
    return f'<polyline class="{kind}" points="{" ".join(points)}"/>'


def _dot(kind: str, place: str) -> str:
    """A line of no length with round ends: the picture is stretched, and a circle would be too."""
    return f'<path class="{kind}" d="M{place}h0"/>'


def _say(burn: BurnDown, at: int, zone: tzinfo, time: str = "") -> str:
    """`24 Dec`; `24 Dec 2026` or `15:10` where the picture is of so much or so little."""
    when, here = _local(at, zone), _local(burn.instants[-1], zone)
    length = burn.end - burn.instants[0]
    day = say_day(when) if length >= _YEARLY else say_short_day(when)
    if length > _TIMED:
        return day
    time = time or f"{when:%H:%M}"
    return time if when.date() == here.date() else _("{day}, {time}").format(day=day, time=time)


def _say_end(burn: BurnDown, zone: tzinfo) -> str:
    """Of a window that ends at midnight, the last day that is in it."""
    last = burn.end - 1
    if _local(last, zone).date() < _local(burn.end, zone).date():
        return _say(burn, last, zone, "24:00")
    return _say(burn, burn.end, zone)


def _local(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at // 10**6, zone)
