"""Make the drawings of docs/ledger.md: `python docs/pictures.py`. What they show is computed by the
ledger's own arithmetic from the servers below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from hub_quotas.ledger import Point, step

IMAGES = Path(__file__).parent / "images"
HOUR = 3_600_000_000
SERVERS = [(9, 13, 2), (10, 16, 4), (12, 14, 1), (18, 22, 2)]
"""Of one group on one day: from and until which hour, with how many cores."""
NOW = 20
WINDOW = 8

LEFT, RIGHT = 70, 610
STYLE = """\
  <style>
    text { fill: #1f2328; font: 13px system-ui, sans-serif; }
    .s { font-size: 12px; fill: #424a53; }
    .axis { stroke: #8c959f; }
    .grid { stroke: #d8dee4; }
    .line { stroke: #1f5f9e; fill: none; stroke-width: 2.5; }
    .area { fill: #dbe9f6; stroke: #1f5f9e; stroke-width: 1.5; }
    .dot { fill: #1f5f9e; }
    .mark { stroke: #b4490a; fill: none; stroke-width: 2; }
    .ahead { stroke-dasharray: 6 4; }
    .m { fill: #b4490a; font-weight: 600; }
    .box { fill: #e7f1fb; stroke: #1f5f9e; }
    .arrow { stroke: #1f2328; fill: none; marker-end: url(#a); }
  </style>
  <defs>
    <marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
      orient="auto"><path d="M0 0 8 4 0 8z" fill="#1f2328"/></marker>
  </defs>
"""


def curve(until: int = 24) -> list[Point]:
    """The points that these servers leave in the ledger up to an hour."""
    events: dict[int, int] = {}
    for begin, end, cores in SERVERS:
        events[begin] = events.get(begin, 0) + cores
        events[end] = events.get(end, 0) - cores
    points: list[Point] = []
    for hour, change in sorted(events.items()):
        if hour <= until:
            points.append(step(points[-1] if points else None, hour * HOUR, {"cpu": change}))
    return points


def used(points: Sequence[Point], hour: float) -> float:
    """CPU-hours up to an hour."""
    at = round(hour * HOUR)
    last = [point for point in points if point.at <= at]
    return last[-1].total_at("cpu", at) / HOUR if last else 0.0


@dataclass(frozen=True)
class Plot:
    """A rectangle with hours from left to right and amounts from bottom to top."""

    top: int
    bottom: int
    most: int
    first: int = 8
    last: int = 24

    def x(self, hour: float) -> float:
        return LEFT + (RIGHT - LEFT) * (hour - self.first) / (self.last - self.first)

    def y(self, amount: float) -> float:
        return self.bottom - (self.bottom - self.top) * amount / self.most

    def frame(self, title: str, each: int, hours: bool) -> str:
        drawn = [text(LEFT, self.top - 12, title)]
        for amount in range(0, self.most + 1, each):
            y = self.y(amount)
            drawn.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            drawn.append(text(LEFT - 8, y + 4, str(amount), "s", "end"))
        for hour in range(self.first, self.last + 1, 2) if hours else ():
            drawn.append(text(self.x(hour), self.bottom + 18, f"{hour}:00", "s", "middle"))
        drawn.append(
            f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{self.bottom}" y2="{self.bottom}"/>'
        )
        return "\n".join(drawn)

    def line(self, places: Iterable[tuple[float, float]], kind: str = "line") -> str:
        at = " ".join(f"{self.x(hour):.1f},{self.y(amount):.1f}" for hour, amount in places)
        return f'<polyline class="{kind}" points="{at}"/>'

    def dot(self, hour: float, amount: float) -> str:
        return f'<circle class="dot" cx="{self.x(hour):.1f}" cy="{self.y(amount):.1f}" r="4.5"/>'


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text{kinds} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def picture(height: int, title: str, desc: str, *drawn: str) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" role="img" aria-labelledby="t d">
  <title id="t">{escape(title)}</title>
  <desc id="d">{escape(desc)}</desc>
{STYLE}  <rect width="640" height="{height}" fill="#ffffff"/>
{chr(10).join(drawn)}
</svg>
"""


def points_and_curve() -> str:
    points = curve()
    rates = [(point.at / HOUR, point.rate["cpu"]) for point in points]
    above, below = Plot(40, 150, 8), Plot(210, 390, 50)
    area = [(8.0, 0)]
    for (hour, rate), (following, _next) in pairwise([*rates, (24.0, 0)]):
        area += [(hour, area[-1][1]), (hour, rate), (following, rate)]
    corners = [(8.0, 0.0), *((hour, used(points, hour)) for hour, _rate in rates)]
    corners.append((24.0, used(points, 24)))
    return picture(
        430,
        "What a group uses, and the curve that the ledger keeps of it",
        "Above, cores in use through a day. Below, the CPU-hours used so far: a line with a corner "
        f"at each of the {len(points)} instants at which a server began or ended.",
        above.frame("Cores in use", 2, hours=False),
        above.line(area, "area"),
        below.frame("CPU-hours used up to then", 10, hours=True),
        below.line(corners),
        *(below.dot(hour, used(points, hour)) for hour, _rate in rates),
    )


def window() -> str:
    points = curve(NOW)
    begin = NOW - WINDOW
    before, now = used(points, begin), used(points, NOW)
    plot = Plot(40, 290, 50)
    corners = [(8.0, 0.0), *((p.at / HOUR, used(points, p.at / HOUR)) for p in points), (NOW, now)]
    ahead = [(NOW, now), (24, points[-1].total_at("cpu", 24 * HOUR) / HOUR)]
    x = plot.x(NOW) + 14
    return picture(
        330,
        "Use in a window is the difference of two points of the curve",
        f"At {begin}:00 the curve is at {before:g} CPU-hours, at {NOW}:00 at {now:g}. "
        f"So {now - before:g} were used in these {WINDOW} hours.",
        plot.frame("CPU-hours used up to then", 10, hours=True),
        plot.line(corners),
        plot.line(ahead, "line ahead"),
        plot.line([(begin, 0), (begin, before), (NOW, before)], "mark ahead"),
        plot.line([(NOW, before), (NOW, now)], "mark"),
        plot.dot(begin, before),
        plot.dot(NOW, now),
        text(x, plot.y((now + before) / 2), f"{now:g} − {before:g} = {now - before:g}", "m"),
        text(plot.x(begin) - 8, plot.y(before) - 8, f"{before:g} at {begin}:00", "s", "end"),
        text(plot.x(NOW) - 8, plot.y(now) - 10, f"{now:g} at {NOW}:00, now", "s", "end"),
        text(plot.x(22), plot.y(46), "as it goes on", "s", "middle"),
    )


def two_phases() -> str:
    def box(x: int, y: int, name: str, about: str) -> str:
        return (
            f'<rect class="box" x="{x}" y="{y}" width="150" height="58" rx="6"/>'
            + text(x + 75, y + 25, name, "", "middle")
            + text(x + 75, y + 44, about, "s", "middle")
        )

    def arrow(path: str, x: float, y: float, said: str) -> str:
        return f'<path class="arrow" d="{path}"/>' + text(x, y, said, "s", "middle")

    return picture(
        210,
        "The life of a server in the ledger",
        "A reservation becomes a running server, which is closed when it ends. A start that fails "
        "makes the reservation void.",
        box(20, 30, "reserved", "+ amounts"),
        box(245, 30, "running", "the same amounts"),
        box(470, 30, "closed", "− amounts"),
        box(245, 140, "void", "− amounts"),
        arrow("M170 59H243", 206, 50, "it is up"),
        arrow("M395 59H468", 431, 50, "it ends"),
        arrow("M95 88V169H243", 170, 160, "it did not start"),
    )


def drawings() -> dict[str, str]:
    """By the name of the file."""
    return {
        "ledger-curve.svg": points_and_curve(),
        "ledger-window.svg": window(),
        "ledger-phases.svg": two_phases(),
    }


if __name__ == "__main__":
    for name, drawn in drawings().items():
        (IMAGES / name).write_text(drawn, encoding="utf-8")
