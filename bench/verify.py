"""Whether an assignment is right, checked outside of the timing and without the kernel's help."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.workloads import Workload

Int32 = NDArray[np.int32]
May = Callable[[int], NDArray[np.bool_]]
"""Of a shape, bool[N]: the agents that a constraint allows to one more pod of it."""
EXACT_PAIRS = 10_000_000
"""Up to so many pairs of pod and agent the assignment is compared with the plain scan, agent by agent."""


def problems(made: Workload, agent: Int32, may: May | None = None, held: Int32 | None = None) -> list[str]:
    """What is wrong with `agent` int32[P] for a workload on empty agents; [] where all is well.

    may: the agents that a constraint allows to a shape. held: int32[N, R], set aside for others.
    """
    found = []
    if len(agent) != len(made.shape) or (agent >= len(made.total)).any() or (agent < -1).any():
        return ["the assignment has another length, or names agents that do not exist"]
    used = taken(made, agent)
    free = made.total - used - (0 if held is None else held)
    if (free < 0).any():
        found.append(f"{int((free < 0).any(axis=1).sum())} agents are overcommitted")
    if may is not None:
        on = pairs(made, agent)
        bad = [shape for shape in range(len(made.requests)) if not may(shape)[on[shape]].all()]
        found += [f"a pod of shape {shape} lies where a constraint forbids it" for shape in bad[:3]]
    found += [f"shape {shape} is unplaced and still fits" for shape in left_over(made, agent, free, may)[:3]]
    return found


def taken(made: Workload, agent: Int32) -> NDArray[np.int64]:
    """int64[N, R]: what the placed pods ask for, by agent."""
    used = np.zeros(made.total.shape, np.int64)
    placed = agent >= 0
    np.add.at(used, agent[placed], made.requests[made.shape[placed]].astype(np.int64))
    return used


def pairs(made: Workload, agent: Int32) -> list[Int32]:
    """For each shape the agents of its placed pods."""
    turn = np.argsort(made.shape, kind="stable")
    bounds = np.searchsorted(made.shape[turn], np.arange(len(made.requests) + 1))
    return [one[one >= 0] for one in np.split(agent[turn], bounds[1:-1])]


def even(made: Workload, agent: Int32, zone: Int32) -> list[str]:
    """As `problems`, where each shape lies evenly over zones. zone int32[N].

    An unplaced pod may go to no zone but those that have the fewest of its shape.
    """
    on = pairs(made, agent)
    counts = np.array([np.bincount(zone[one], minlength=int(zone.max()) + 1) for one in on])
    uneven = np.flatnonzero(counts.max(axis=1) - counts.min(axis=1) > 1).tolist()
    found = [f"shape {shape} lies unevenly: {counts[shape].tolist()}" for shape in uneven[:3]]
    fewest = counts == counts.min(axis=1)[:, None]
    used = taken(made, agent)
    over = left_over(made, agent, made.total - used, lambda shape: fewest[shape][zone])
    if (used > made.total).any():
        found.append("an agent is overcommitted")
    return found + [f"shape {shape} is unplaced and still fits where it has the fewest" for shape in over[:3]]


def unique(made: Workload, agent: Int32) -> list[str]:
    """As `problems`, where an agent may have one pod of a shape."""
    on = pairs(made, agent)
    twice = [shape for shape, one in enumerate(on) if len(np.unique(one)) < len(one)]

    def without(shape: int) -> NDArray[np.bool_]:
        may = np.ones(len(made.total), bool)
        may[on[shape]] = False
        return may

    used = taken(made, agent)
    found = [f"shape {shape} lies twice on an agent" for shape in twice[:3]]
    if (used > made.total).any():
        found.append("an agent is overcommitted")
    over = left_over(made, agent, made.total - used, without)
    return found + [f"shape {shape} is unplaced and still fits" for shape in over[:3]]


def left_over(made: Workload, agent: Int32, free: NDArray[np.int64], may: May | None = None) -> list[int]:
    """Shapes with unplaced pods that an agent still holds; looked for by plain comparison, a column at a time."""
    columns = np.ascontiguousarray(free.T)
    fits = []
    for shape in np.unique(made.shape[agent < 0]).tolist():
        able = np.ones(len(free), bool) if may is None else may(shape).copy()
        for d, asked in enumerate(made.requests[shape].tolist()):
            if asked:
                able &= columns[d] >= asked
        if able.any():
            fits.append(shape)
    return fits


def lower_bound(made: Workload, agent: Int32) -> int:
    """No assignment of the placed pods needs fewer agents: by each resource, counted in the largest agents."""
    placed = made.requests[made.shape[agent >= 0]].astype(np.int64).sum(axis=0)
    least = 0
    for d, asked in enumerate(placed.tolist()):
        largest_first = np.sort(made.total[:, d].astype(np.int64))[::-1].cumsum()
        least = max(least, int(np.searchsorted(largest_first, asked)) + (asked > 0))
    return least
