"""The kernel's figures: a batch onto empty agents, and single decisions at 90% load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acceptance.benches import figure, measured, ratio
from acceptance.lines import Check, Context, Line, at_most

BATCHES = {"1M,10k,100": 6, "1M,100k,100": 40, "1M,1M,100": 800, "1M,10k,all": 600, "1M,100k,all": 4000}
"""Case -> ms."""
CONSTRAINTS = ("zones", "unique", "selector", "reserved")
CONSTRAINED, OVER_PLAIN = "1M,10k,100", 3
"""The same batch under each of them takes at most so many times the plain case, both measured in turns."""
SINGLES = {
    "decision 10000 p50": 0.6, "decision 10000 p99": 1.5, "decision 100000 p50": 3, "decision 100000 p99": 12,
}  # fmt: skip
"""Case -> microseconds."""
AGENT_BYTES, POD_BYTES, MEMORY_CASE = 100, 8, "1M,100k,100"


def placement(context: Context) -> Iterator[Line]:
    """Shape ids in to assignment out, verified."""
    for case, limit_ms in BATCHES.items():
        cases, done = measured(context, "placement", 900, "--case", case)
        yield at_most(f"placement {case}", figure(cases, case), limit_ms, "ms", done.tail())
        if case == MEMORY_CASE:
            yield from memory(cases.get(f"{case} index", {}), done.tail())
        for constraint in CONSTRAINTS if case == CONSTRAINED else ():
            name = f"{case} {constraint}"
            yield at_most(f"placement {name}", ratio(cases, name), OVER_PLAIN, "x plain", done.tail())


def memory(row: dict[str, Any], detail: str) -> Iterator[Line]:
    """Bytes of the index after a full match, and of what a match holds; of a run that was verified."""
    known = row if row.get("verified") is True else {}
    yield at_most("kernel an agent", known.get("bytes_an_agent"), AGENT_BYTES, "bytes", detail)
    yield at_most("kernel a pod", known.get("bytes_a_pod"), POD_BYTES, "bytes", detail)


def single(context: Context) -> Iterator[Line]:
    """One pod at a time."""
    cases, done = measured(context, "single", 900)
    for case, limit_us in SINGLES.items():
        yield at_most(case, figure(cases, case), limit_us, "us", done.tail())


CHECKS = [Check("placement", placement), Check("single", single)]
