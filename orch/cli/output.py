"""How results are shown: tables for people, json, yaml, jsonl or bare names for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Format = Literal["table", "json", "yaml", "jsonl", "name"]


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: Format, name: str = "id") -> None:
    """Print a list of things. A table has these columns, other forms all members; `name` is the bare name's key."""
    rows = list(rows)
    if form == "table":
        _table(rows, columns)
    elif form == "json":
        _write(json.dumps(rows, indent=2, default=_plain))
    elif form == "yaml":
        _write(_yaml(rows))
    elif form == "jsonl":
        for row in rows:
            _write(json.dumps(row, default=_plain))
    else:
        for row in rows:
            _write(str(row[name]))


def show_one(thing: Mapping[str, Any], form: Format, text: str | None = None, name: str = "id") -> None:
    """Print one thing. For people: `text`, or its members a line each."""
    if form == "table":
        _write(text if text is not None else _members(thing))
    elif form == "yaml":
        _write(_yaml(dict(thing)))
    elif form == "name":
        _write(str(thing.get(name, "")))
    else:
        _write(json.dumps(thing, indent=2 if form == "json" else None, default=_plain))


def say(message: str) -> None:
    """A message for people, on stderr."""
    print(message, file=sys.stderr, flush=True)


def counts(by_state: Mapping[str, int]) -> str:
    """`{"RUNNING": 3, "STAGING": 0}` -> `3 running`; nothing at all -> `-`."""
    parts = [f"{number} {state.lower()}" for state, number in by_state.items() if number]
    return ", ".join(parts) or "-"


def ago(at_ms: int | None, now_ms: int) -> str:
    """How long ago, in one unit: `12s`, `5m`, `3h`, `2d`."""
    if not at_ms:
        return "-"
    seconds = max(0, (now_ms - at_ms) // 1000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def time_of_day(at_ms: int | None) -> str:
    """`14:03:07` here; `--:--:--` of what has no time."""
    return time.strftime("%H:%M:%S", time.localtime(at_ms / 1000)) if at_ms else "--:--:--"


def aligned(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Lines under each other, the first of them the header: a table inside of a longer text."""
    cells = [[column.upper() for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    # A pipe has no width: then nothing is folded, so that `grep` and `awk` see whole lines.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _members(thing: Mapping[str, Any]) -> str:
    width = max((len(key) for key in thing), default=0)
    lines = []
    for key, value in thing.items():
        shown = json.dumps(value, default=_plain) if isinstance(value, dict | list) else _cell(value)
        lines.append(f"{key:<{width}}  {shown}")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(value, default=_plain)), sort_keys=False, allow_unicode=True).rstrip()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


def _write(text: str) -> None:
    print(text, flush=True)
