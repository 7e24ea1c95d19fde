"""OR-tools' CP-SAT, where it is installed: the fewest agents that hold as many pods of each shape as ours placed.

A solver that proves what it finds, for small cases only: it has a variable for each shape and agent.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "ortools"
MOST_VARIABLES = 20_000
WORKERS = 2

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """counts int64[S, N]: pods of each shape on each agent, None where none was found in time; at least `bound` agents
    are needed, as far as was proved; `stopped`: the time was over before all was."""

    counts: Ints | None
    bound: int
    stopped: bool
    wall_s: float


def installed() -> bool:
    """Whether OR-tools is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def fewest_agents(total: Ints, requests: Ints, wanted: Ints, seconds: float) -> Packed:
    """Look for the fewest agents. total: int[N, R], requests: int[S, R], wanted: int[S] pods of each shape.

    Agents that are alike are used in their order, which spares the solver the search among them.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    used = [model.new_bool_var("") for _ in total]
    on = [[_number(model, agent, request, pods) for agent in total] for request, pods in _each(requests, wanted)]
    for numbers, pods in zip(on, wanted.tolist(), strict=True):
        model.add(sum(numbers) == pods)
    for a, agent in enumerate(total.tolist()):
        for d, room in enumerate(agent):
            asked = [int(requests[s, d]) * on[s][a] for s in range(len(requests)) if requests[s, d]]
            if asked:
                model.add(sum(asked) <= room * used[a])
    for first, then in _alike(total):
        model.add_implication(used[then], used[first])
    model.minimize(sum(used))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = WORKERS
    begun = time.perf_counter()
    status = solver.solve(model)
    took = time.perf_counter() - begun
    counts = None
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        counts = np.array([[solver.value(number) for number in numbers] for numbers in on], np.int64)
    return Packed(counts, round(solver.best_objective_bound), status != cp_model.OPTIMAL, took)


def is_right(total: Ints, requests: Ints, wanted: Ints, counts: Ints) -> bool:
    """Whether counts int64[S, N] hold all that is wanted, and no agent more than it has."""
    return bool((counts >= 0).all() and (counts.sum(axis=1) == wanted).all() and (counts.T @ requests <= total).all())


def _each(requests: Ints, wanted: Ints) -> list[tuple[Ints, int]]:
    return list(zip(requests, wanted.tolist(), strict=True))


def _number(model: Any, agent: Ints, request: Ints, pods: int) -> Any:
    """How many pods of a shape lie on an agent: at most as many as it holds when it is empty."""
    most = min([pods, *(int(room) // int(asked) for room, asked in zip(agent, request, strict=True) if asked)])
    return model.new_int_var(0, most, "")


def _alike(total: Ints) -> list[tuple[int, int]]:
    """(row, the next row that is equal)."""
    last: dict[tuple[int, ...], int] = {}
    pairs = []
    for row, agent in enumerate(map(tuple, total.tolist())):
        if agent in last:
            pairs.append((last[agent], row))
        last[agent] = row
    return pairs
