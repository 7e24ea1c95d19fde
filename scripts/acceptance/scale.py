"""The whole path at scale: a client's submission to all RUNNING on simulated agents, durable."""

from __future__ import annotations

from collections.abc import Iterator

from acceptance.benches import figure, measured
from acceptance.lines import Check, Context, Line, at_most

CASES = {"1M,100k": 1.0, "1M,1M": 8.0}
"""Case -> seconds."""
API_CASE, API_MS = "1M,100k", 50.0
"""The slowest percent of the answers to `ps`, `why` and `status` while a million pods start, and are stopped."""
LIMIT_S = 150


def scale(context: Context) -> Iterator[Line]:
    """A million pods, each RUNNING once, no agent overcommitted: the median of the case's rounds."""
    for case, limit_s in CASES.items():
        cases, done = measured(context, "scale", LIMIT_S, "--case", case)
        detail = f"{cases.get(case, 'no row')}\n{done.tail()}"
        yield at_most(f"scale {case}", figure(cases, case), limit_s, "s", detail)
        if case == API_CASE:
            yield at_most("scale API p99", figure(cases, "api_p99"), API_MS, "ms", str(cases.get("api_p99", detail)))


CHECKS = [Check("scale", scale)]
