"""What a capacity planner asks of a replay, as plain values for JSON and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orch.model.resources import NAMES, R, to_user
from orch.trace.lists import Agents, Int64, Pods, asked_resources
from orch.trace.replay import Outcome

DIGITS = 6


def figures(outcome: Outcome, agents: Agents, pods: Pods) -> dict[str, Any]:
    """`{policy, utilisation, wait_p50_s, wait_p99_s, unplaced, fragmentation, why, ...}`: see docs/simulate.md.

    Utilisation and fragmentation are from 0 to 1, by resource: of those that pods ask for. Waits are of placed pods.
    """
    total = agents.total.sum(axis=0, dtype=np.int64).tolist()
    shown = asked_resources(pods)
    placed = outcome.start >= 0
    waits = np.sort((outcome.start - outcome.arrival)[placed], kind="stable")

    def parts(amounts: Sequence[float]) -> dict[str, float]:
        return {NAMES[d]: _rounded(amounts[d] / total[d] if total[d] else 0.0) for d in shown}

    def wasted(amounts: Sequence[float]) -> dict[str, float]:
        return {NAMES[d]: _rounded(amounts[d]) for d in shown if NAMES[d] not in outcome.ignored}

    return {
        "policy": outcome.policy,
        "agents": len(agents),
        "pods": len(placed),
        "placed": int(placed.sum()),
        "unplaced": int((~placed).sum()),
        "utilisation": parts(outcome.used_mean),
        "utilisation_peak": parts(outcome.used_peak),
        "utilisation_last": parts(outcome.used_last),
        "wait_p50_s": percentile_s(waits, 50),
        "wait_p99_s": percentile_s(waits, 99),
        "wait_max_s": percentile_s(waits, 100),
        "waited": int((waits > 0).sum()),
        "fragmentation": wasted(outcome.fragmentation_mean),
        "fragmentation_last": wasted(outcome.fragmentation_last),
        "last_arrival_s": (outcome.last_arrival_ms - outcome.begin_ms) / 1000,
        "end_s": (outcome.end_ms - outcome.begin_ms) / 1000,
        "ignored": list(outcome.ignored),
        "why": [_why(one) for one in outcome.why],
    }


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second's figures minus the first's, where both have numbers; None where a wait is not known."""
    found: dict[str, Any] = {}
    for key, value in first.items():
        if isinstance(value, dict):
            found[key] = difference(value, second[key])
        elif key not in ("agents", "pods", "last_arrival_s") and (value is None or isinstance(value, int | float)):
            other = second[key]
            found[key] = None if value is None or other is None else _rounded(other - value)
    return found


def percentile_s(waits: Int64, percent: int) -> float | None:
    """Seconds that `percent` of the pods waited at most (nearest rank); None of no pod. waits: in ms, ascending."""
    if not len(waits):
        return None
    return int(waits[-(-percent * len(waits) // 100) - 1]) / 1000


def _why(one: dict[str, Any]) -> dict[str, Any]:
    asks = {NAMES[d]: to_user(d, one["asks"][d]) for d in range(R) if d < 2 or one["asks"][d]}
    gang = {"gang": one["gang"]} if one["gang"] > 1 else {}
    rest = {key: value for key, value in one.items() if key not in ("pods", "asks", "gang")}
    return {"pods": one["pods"], "asks": asks, **gang, **rest}


def _rounded(value: float) -> float | int:
    return value if isinstance(value, int) else round(value, DIGITS)
