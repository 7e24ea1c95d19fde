"""Draws docs/path.svg: the path of one pod through the rooms. Run by `make docs`."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 980, 400
BOX = "#f4f1ea"
INK, SOFT, LINE = "#22303c", "#5f6f7c", "#3b6ea5"

PROCESSES = [
    (20, 60, 150, 250, "your program", ["client", "validates the spec"]),
    (210, 60, 160, 250, "gateway", ["api", "copies of the", "machines: lists,", "status, why"]),
    (410, 60, 330, 250, "master (Ray actor)", []),
    (780, 60, 180, 250, "node supervisor", []),
]
ROOMS = [
    (425, 100, 140, 56, "services, batch", "what shall run"),
    (585, 100, 140, 56, "master", "who runs it, where"),
    (425, 176, 140, 56, "placement", "pods x offers"),
    (585, 176, 140, 56, "allocator", "whose turn"),
    (425, 248, 300, 44, "journal", "facts, one sync for a batch"),
    (795, 100, 150, 56, "agent", "launch once, report"),
    (795, 176, 150, 116, "processes", "sandbox, logs, probes"),
]
ARROWS = [
    (170, 130, 210, 130, "request"),
    (370, 130, 410, 130, "event"),
    (740, 120, 780, 120, "launch"),
    (780, 150, 740, 150, "updates"),
    (410, 220, 370, 220, "facts"),
    (210, 220, 170, 220, "status"),
]


def main() -> None:
    """Write the picture beside the docs."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(20, 34, "The path of one pod", 18, INK, bold=True),
    ]
    for x, y, width, height, title, lines in PROCESSES:
        parts.append(_rect(x, y, width, height, BOX, SOFT))
        parts.append(_text(x + 12, y + 24, title, 14, INK, bold=True))
        parts += [_text(x + 12, y + 60 + 18 * row, line, 12, SOFT) for row, line in enumerate(lines)]
    for x, y, width, height, title, line in ROOMS:
        parts.append(_rect(x, y, width, height, "white", LINE))
        parts.append(_text(x + 10, y + 20, title, 13, INK))
        parts.append(_text(x + 10, y + 37, line, 11, SOFT))
    for x1, y1, x2, y2, title in ARROWS:
        parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{LINE}" stroke-width="2" marker-end="url(#a)"/>')
        parts.append(_text(min(x1, x2) - 2, y1 - 8, title, 10, LINE))
    notes = (
        "One event does it all: submitted, placed, committed, on disk after one sync; then the launches leave.",
        "Messages carry columns: ten thousand pods are one request, one record, one launch for each agent.",
    )
    parts += [_text(20, 345 + 22 * row, note, 13, INK) for row, note in enumerate(notes)]
    parts.append("</svg>")
    target = Path(__file__).resolve().parent.parent / "docs" / "path.svg"
    target.write_text("\n".join(parts) + "\n")
    print(f"wrote {target.name}")


def _rect(x: int, y: int, width: int, height: int, fill: str, stroke: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{stroke}"/>'


def _text(x: int, y: int, text: str, size: int, colour: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{weight}>{escape(text)}</text>'


if __name__ == "__main__":
    main()
