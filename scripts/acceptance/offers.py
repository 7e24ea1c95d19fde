"""Offers to frameworks elsewhere, and a cycle with nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

from acceptance.benches import figure, measured
from acceptance.lines import Check, Context, Line, at_most

LIMITS_MS = {"10k,1000": 50, "10k,1000 quotas": 50, "idle cycle 100000 agents": 1}
"""Case -> ms."""


def offers(context: Context) -> Iterator[Line]:
    """A thousand frameworks on ten thousand agents, plain and under quotas; what costs nothing."""
    cases, done = measured(context, "offers", 900, "--quick")
    for case, limit_ms in LIMITS_MS.items():
        yield at_most(f"offers {case}".replace("offers idle", "idle"), figure(cases, case), limit_ms, "ms", done.tail())


CHECKS = [Check("offers", offers)]
