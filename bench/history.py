"""What was measured before: `bench/history.jsonl`, one row a line, only ever appended to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.rows import ROOT

FILE = ROOT / "bench" / "history.jsonl"
Row = dict[str, Any]


class History:
    """Appends rows to a file, each with when and on what it was measured, as soon as it is there."""

    def __init__(self, file: Path, quick: bool) -> None:
        self._file = file
        self._kept = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick, "machine": machine()}

    def add(self, row: Row) -> None:
        """Keep a row."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, **self._kept}) + "\n")


def machine() -> str:
    """The processor and how many cores of it there are for us."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else model}, {len(os.sched_getaffinity(0))} cores"


def read(file: Path) -> list[Row]:
    """All rows, oldest first; none where there is no file. Raises ValueError: a line is no row."""
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else [], 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not {"name", "case", "figure", "verified"} <= row.keys():
            raise ValueError(f"{file}, line {number}, is no row of a benchmark")
        rows.append(row)
    return rows


def newest(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """(name, case) -> its last row that was verified; one of a quick run only where there is no other."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["name"], row["case"]
        if row["verified"] is True and not (row.get("quick") and key in found and not found[key].get("quick")):
            found[key] = row
    return found
