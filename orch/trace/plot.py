"""Plots as SVG, written by hand: lines over two axes, panels under each other. Readable on light and on dark ground.

Colours stand in attributes for a light ground; a style sheet changes them where the reader prefers dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 58, 46
POINTS_MOST = 800
LINES = (("#0b62c4", "#6cb0ff"), ("#c2410c", "#ff9d5c"), ("#15803d", "#5fd38a"), ("#7e22ce", "#c79bff"),
         ("#a16207", "#e8c547"), ("#0f766e", "#58d0c4"), ("#be185d", "#ff8fbd"), ("#525252", "#b5b5b5"))  # fmt: skip
"""(on light, on dark) of each line, in turn."""
GROUND, INK = ("#ffffff", "#16181d"), ("#1f2328", "#e6e6e6")
FAINT, GRID = ("#59636e", "#a3adb8"), ("#dde1e6", "#363b42")


@dataclass(frozen=True)
class Line:
    """One line: its name, and points by ascending x. steps: a value holds until the next. dashed: the lesser of two."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    steps: bool = False
    dashed: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Panel:
    """One plot. top: the y axis ends there (None: where the points do). log_x: the x axis is logarithmic."""

    title: str
    x_label: str
    lines: Sequence[Line]
    top: float | None = None
    percent: bool = False
    log_x: bool = False


def svg(panels: Sequence[Panel]) -> str:
    """One picture with these panels under each other."""
    height = HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
        f"<style>{_dark()}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" fill="{GROUND[0]}"/>',
    ]
    for at, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {at * HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks(least: float, most: float, about: int = 5) -> list[float]:
    """Round numbers from least to most: 1, 2 or 5 times a power of ten apart."""
    if not most > least:
        return [least]
    rough = (most - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(least / step - 1e-9)
    return [one * step for one in range(first, math.floor(most / step + 1e-9) + 1)]


def _panel(panel: Panel) -> list[str]:
    xs = [x for line in panel.lines for x in line.x if not panel.log_x or x > 0]
    ys = [y for line in panel.lines for y in line.y]
    low, high = (min(xs, default=0), max(xs, default=1)) if xs else (0, 1)
    top = panel.top if panel.top is not None else max([*ys, 0]) or 1
    scale = _Scale(low, high if high > low else low + 1, top, panel.log_x)
    parts = [
        f'<text class="ink" x="{LEFT}" y="20" font-size="14" font-weight="600" fill="{INK[0]}">'
        f"{escape(panel.title)}</text>",
        f'<text class="faint" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle" '
        f'fill="{FAINT[0]}">{escape(panel.x_label)}</text>',
        *_axes(panel, scale),
        *_legend(panel.lines),
    ]
    for at, line in enumerate(panel.lines):
        number = _colour(at, line)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<path class="line{number}" d="{_path(line, scale)}" fill="none" stroke="{LINES[number][0]}" '
            f'stroke-width="1.8" stroke-linejoin="round"{dash}/>'
        )
    return parts


def _axes(panel: Panel, scale: _Scale) -> list[str]:
    parts = []
    for value in ticks(0, scale.top):
        y = scale.y(value)
        text = f"{100 * value:.4g}%" if panel.percent else f"{value:,.6g}"
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="{GRID[0]}"/>'
            f'<text class="faint" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{FAINT[0]}">{text}</text>'
        )
    for value in scale.x_ticks():
        parts.append(
            f'<text class="faint" x="{scale.x(value)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" '
            f'fill="{FAINT[0]}">{value:,.6g}</text>'
        )
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, x = [], LEFT
    for at, line in enumerate(lines):
        number = _colour(at, line)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<line class="line{number}" x1="{x}" x2="{x + 18}" y1="38" y2="38" stroke="{LINES[number][0]}" '
            f'stroke-width="2.4"{dash}/>'
            f'<text class="ink" x="{x + 23}" y="42" fill="{INK[0]}">{escape(line.name)}</text>'
        )
        x += 40 + 7 * len(line.name)
    return parts


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    top: float
    log: bool

    def x(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(max(value, self.low)) if self.log else value
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at - low) / (high - low), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / self.top, 1.0), 1)

    def x_ticks(self) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, 6)
        powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
        return [10.0**power for power in powers] if len(powers) > 1 else [self.low, self.high]


def _path(line: Line, scale: _Scale) -> str:
    points = _fewer([(scale.x(x), scale.y(y)) for x, y in zip(line.x, line.y, strict=True)])
    parts: list[str] = []
    for at, (x, y) in enumerate(points):
        if at and line.steps:
            parts.append(f"H{x:g}V{y:g}")
        else:
            parts.append(f"{'L' if at else 'M'}{x:g} {y:g}")
    return "".join(parts)


def _fewer(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points that a file stays small; the first and the last among them."""
    step = -(-len(points) // POINTS_MOST)
    return [*points[:-1:step], points[-1]] if step > 1 else points


def _colour(at: int, line: Line) -> int:
    return (at if line.colour is None else line.colour) % len(LINES)


def _dark() -> str:
    rules = [f".ground{{fill:{GROUND[1]}}}", f".ink{{fill:{INK[1]}}}", f".faint{{fill:{FAINT[1]}}}"]
    rules += [f".grid{{stroke:{GRID[1]}}}"]
    rules += [f".line{at}{{stroke:{dark}}}" for at, (_, dark) in enumerate(LINES)]
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"
