"""`python -m bench.plots`: the pictures in docs/benchmarks, drawn from the newest rows of bench/history.jsonl."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from bench import history
from bench.history import Row
from bench.rows import ROOT

FOLDER = ROOT / "docs" / "benchmarks"
WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 860, 190, 40, 84, 26, 44
INK, SOFT, GRID = "#22303c", "#5f6f7c", "#d8dde2"
COLOURS = (
    "#1f5fa8",
    "#d9822b",
    "#3a8f5c",
    "#a23b72",
    "#7a6ff0",
    "#8a6d3b",
    "#c0392b",
    "#16a2b8",
    "#6b7a86",
    "#b5a642",
    "#4d5b66",
    "#e58fb1",
)
Newest = Mapping[tuple[str, str], Row]
Lines = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Chart:
    """lines: label -> series -> value. stacked: values are laid end to end, else each is a dot on its own.

    log: by powers of ten. low: where a linear axis begins; a stack begins at 0. mark: (value, what it is), a line.
    """

    title: str
    unit: str
    lines: Lines
    log: bool = False
    stacked: bool = False
    low: float = 0.0
    mark: tuple[float, str] | None = None
    notes: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Draw what there are rows for. 1: the history cannot be read."""
    try:
        rows = history.newest(history.read(history.FILE))
    except ValueError as error:
        print(f"python -m bench.plots: {error}", file=sys.stderr)
        return 1
    for path in write(rows, FOLDER):
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
    return 0


def write(rows: Newest, folder: Path) -> list[Path]:
    """Draw each chart that has a line; returns the files."""
    written = []
    for name, chart_of in CHARTS.items():
        chart = chart_of(rows)
        if chart.lines:
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}.svg"
            of = OF.get(name, name)
            path.write_text(svg(chart, measured(row for (bench, _), row in rows.items() if bench == of)))
            written.append(path)
    return written


def measured(rows: Iterable[Row]) -> str:
    """Of which commits, when and on what, in one line."""
    known = list(rows)
    commits = ", ".join(sorted({f"{row['commit']}{' + changes' if row.get('dirty') else ''}" for row in known}))
    days = sorted({str(row.get("at", ""))[:10] for row in known})
    quick = "; quick runs among them" if any(row.get("quick") for row in known) else ""
    return f"{commits}; {' to '.join(dict.fromkeys([days[0], days[-1]]))}; {known[-1].get('machine', '')}{quick}"


# ---- what is shown -------------------------------------------------------------------------------------------------


def placement(rows: Newest) -> Chart:
    """Nanoseconds a pod, ours and the two scans."""
    lines: Lines = {}
    for (name, case), row in rows.items():
        if name == "placement" and "ns_a_pod" in row:
            lines[case] = {"orch": row["ns_a_pod"]}
            for peer in ("numpy scan", "python scan"):
                if (name, f"{case} {peer}") in rows:
                    lines[case][peer] = 1000 * rows[name, f"{case} {peer}"]["figure"]
    return Chart("placement: PODS,AGENTS,SHAPES, one core", "ns a pod, less is better", lines, log=True)


def scale(rows: Newest) -> Chart:
    """Where the seconds of a submission go."""
    lines = {case: dict(row["parts"]) for (name, case), row in rows.items() if name == "scale" and "parts" in row}
    notes = {case: f"{rows['scale', case]['figure']:.2f} s" for case in lines}
    return Chart("scale: submit to all RUNNING, PODS,AGENTS", "seconds, by part", lines, stacked=True, notes=notes)


def gpu(rows: Newest) -> Chart:
    """Percent of the GPUs that are allocated at 130%, a dot for each policy."""
    lines: Lines = {}
    for (name, case), row in rows.items():
        if name == "gpu" and case.endswith("/mean"):
            lines.setdefault(case.split("/")[0], {})[row["policy"]] = row["figure"]
    least = min((value for dots in lines.values() for value in dots.values()), default=0.0)
    return Chart(
        "gpu: list of pods, mean of the seeds", "% of GPUs allocated at 130%, more is better",
        dict(sorted(lines.items())), low=math.floor(least),
    )  # fmt: skip


def mix(rows: Newest) -> Chart:
    """Pods a second to STAGING, and what scheduler_perf's own CI asks for."""
    lines = {
        case: {"orch": row["figure"], "floor of Kubernetes's CI, other hardware": float(row["ci_floor"])}
        for (name, case), row in rows.items()
        if name == "mix"
    }
    return Chart(
        "mix: shapes of scheduler_perf at 5,000 agents, simulated", "pods/s, more is better", lines, log=True,
        mark=(20_000.0, "target"),
    )  # fmt: skip


def constraints(rows: Newest) -> Chart:
    """What a batch costs under each constraint, beside the same batch without."""
    lines: Lines = {}
    for (name, case), row in rows.items():
        if name == "placement" and row.get("peer") == "the plain case":
            batch, _, constraint = case.partition(" ")
            lines.setdefault(batch, {})[constraint] = row["ratio"]
    return Chart(
        "placement under constraints: PODS,AGENTS,SHAPES", "times the same batch without, less is better", lines,
        low=1.0 if all(ratio >= 1 for dots in lines.values() for ratio in dots.values()) else 0.0, mark=(3.0, "target"),
    )  # fmt: skip


def offers(rows: Newest) -> Chart:
    """Milliseconds of one cycle to frameworks elsewhere, a dot without and one with quotas."""
    lines: Lines = {}
    for (name, case), row in rows.items():
        if name == "offers" and row["unit"] == "ms" and "," in case and not case.endswith("first"):
            size, _, quotas = case.partition(" ")
            lines.setdefault(size, {})["under quotas" if quotas else "offers and declines"] = row["figure"]
    return Chart(
        "offers: AGENTS,FRAMEWORKS elsewhere, one cycle", "ms, less is better", lines, log=True, mark=(50.0, "target")
    )


CHARTS: dict[str, Callable[[Newest], Chart]] = {
    "placement": placement, "constraints": constraints, "scale": scale, "gpu": gpu, "mix": mix, "offers": offers,
}  # fmt: skip
OF = {"constraints": "placement"}
"""The benchmark of a chart that has another name."""


# ---- how it is drawn -----------------------------------------------------------------------------------------------


def svg(chart: Chart, said: str) -> str:
    """The picture; `said` stands below the title."""
    series = list(dict.fromkeys(name for dots in chart.lines.values() for name in dots))
    colour = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(series)}
    per_row = 4
    top = TOP + 18 * ((len(series) - 1) // per_row)
    height = top + STEP * len(chart.lines) + BOTTOM
    ticks = ticks_of(chart)
    at = axis(chart, ticks)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(20, 24, chart.title, 16, INK, "start", bold=True),
        _text(20, 42, said, 11, SOFT, "start"),
    ]
    for number, name in enumerate(series):
        x, y = 20 + 205 * (number % per_row), 64 + 18 * (number // per_row)
        parts += [
            f'<circle cx="{x + 5}" cy="{y - 4}" r="5" fill="{colour[name]}"/>',
            _text(x + 15, y, name, 11, INK, "start"),
        ]
    for tick in ticks:
        parts += [_line(at(tick), top - 8, height - BOTTOM, GRID), _text(at(tick), height - 28, short(tick), 11, SOFT)]
    parts.append(_text((WIDTH + LEFT - RIGHT) / 2, height - 10, chart.unit, 11, SOFT))
    if chart.mark:
        parts += [
            _line(at(chart.mark[0]), top - 8, height - BOTTOM, INK),
            _text(at(chart.mark[0]), top - 11, chart.mark[1], 11, INK),
        ]
    for row, (label, values) in enumerate(chart.lines.items()):
        y = top + STEP * row + STEP // 2
        parts.append(_text(LEFT - 12, y + 4, label, 12, INK, "end"))
        parts += _stack(values, y, at, colour) if chart.stacked else _dots(values, y, at, colour)
        if label in chart.notes:
            parts.append(_text(at(sum(values.values())) + 6, y + 4, chart.notes[label], 11, INK, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def ticks_of(chart: Chart) -> list[float]:
    """Where the axis has lines: powers of ten, or five to ten round steps; the first and the last hold all values."""
    values = [value for dots in chart.lines.values() for value in dots.values()]
    values += [chart.mark[0]] if chart.mark else []
    if chart.log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    most = max(sum(dots.values()) for dots in chart.lines.values()) if chart.stacked else max(values)
    span = max(most - chart.low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span))
    step *= next(part for part in (0.1, 0.2, 0.5, 1.0) if span / (step * part) <= 10)
    return [chart.low + step * number for number in range(math.ceil(span / step - 1e-9) + 1)]


def axis(chart: Chart, ticks: list[float]) -> Callable[[float], float]:
    """From a value to its place, in pixels from the left."""

    def scaled(value: float) -> float:
        return math.log10(value) if chart.log else value

    first, last = scaled(ticks[0]), scaled(ticks[-1])
    return lambda value: round(LEFT + (scaled(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)


def short(value: float) -> str:
    """20,000 -> `20k`."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def _dots(values: dict[str, float], y: int, at: Callable[[float], float], colour: dict[str, str]) -> list[str]:
    return [
        f'<circle cx="{at(value)}" cy="{y}" r="6" fill="{colour[name]}">'
        f"<title>{escape(name)}: {value:g}</title></circle>"
        for name, value in values.items()
    ]


def _stack(values: dict[str, float], y: int, at: Callable[[float], float], colour: dict[str, str]) -> list[str]:
    parts, begun = [], 0.0
    for name, value in values.items():
        width = round(at(begun + value) - at(begun), 1)
        parts.append(
            f'<rect x="{at(begun)}" y="{y - 8}" width="{width}" height="16" fill="{colour[name]}">'
            f"<title>{escape(name)}: {value:g}</title></rect>"
        )
        begun += value
    return parts


def _line(x: float, first: float, last: float, colour: str) -> str:
    return f'<path d="M{x} {first}V{last}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str = "middle", bold: bool = False) -> str:
    look = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"' + (' font-weight="bold"' if bold else "")
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main())
