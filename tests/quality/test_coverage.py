"""The branches of the pure rooms are covered: 95% or more. Runs last, and only under `make test` (tests/gates.py)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import coverage

from tests.quality.source import PURE_ROOMS

LEAST_PERCENT = 95


def test_the_branches_of_the_pure_rooms_are_covered(tmp_path: Path) -> None:
    measured = coverage.Coverage.current()
    assert measured is not None, "run with --cov"
    measured.get_data()
    report = tmp_path / "coverage.json"
    measured.json_report(outfile=str(report))
    taken: Counter[str] = Counter()
    known: Counter[str] = Counter()
    gaps = []
    for name, file in json.loads(report.read_text())["files"].items():
        room, summary = name.split("/")[1], file["summary"]
        taken[room] += summary["covered_branches"]
        known[room] += summary["num_branches"]
        missed = summary["num_branches"] - summary["covered_branches"]
        arcs = ", ".join(f"{a}->{b}" for a, b in file["missing_branches"][:12])
        gaps.append((missed, f"{name}: {missed} of {summary['num_branches']} branches missed: {arcs}"))

    assert {room for room in PURE_ROOMS if Path("orch", room).is_dir()} == set(known), "a pure room is not measured"
    rooms = "\n".join(f"{room}: {taken[room]} of {known[room]}" for room in sorted(known))
    worst = "\n".join(line for missed, line in sorted(gaps, reverse=True)[:20] if missed)
    percent = 100 * taken.total() / max(1, known.total())
    assert percent >= LEAST_PERCENT, f"{percent:.1f}% of the branches are covered\n{rooms}\n{worst}"
