"""Whether an assignment is right, checked outside of the timing and without the kernel's help."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.workloads import Workload

Int32 = NDArray[np.int32]
EXACT_PAIRS = 10_000_000
"""Up to so many pairs of pod and agent the assignment is compared with the plain scan, agent by agent."""


def problems(made: Workload, agent: Int32, allowed: NDArray[np.uint8] | None = None) -> list[str]:
    """What is wrong with `agent` int32[P] for a workload on empty agents; [] where all is well.

    allowed: uint8[S, N], 0 = a constraint says no.
    """
    found = []
    placed = agent >= 0
    if len(agent) != len(made.shape) or (agent >= len(made.total)).any() or (agent < -1).any():
        return ["the assignment has another length, or names agents that do not exist"]
    used = np.zeros(made.total.shape, np.int64)
    np.add.at(used, agent[placed], made.requests[made.shape[placed]].astype(np.int64))
    if (used > made.total).any():
        found.append(f"{int((used > made.total).any(axis=1).sum())} agents are overcommitted")
    if allowed is not None and not allowed[made.shape[placed], agent[placed]].all():
        found.append("a pod lies where a constraint forbids it")
    free = made.total - used
    found += [f"shape {shape} is unplaced and still fits" for shape in left_over(made, agent, free, allowed)[:3]]
    return found


def left_over(
    made: Workload, agent: Int32, free: NDArray[np.int64], allowed: NDArray[np.uint8] | None = None
) -> list[int]:
    """Shapes with unplaced pods that an agent still holds; looked for by plain comparison, a column at a time."""
    columns = np.ascontiguousarray(free.T)
    fits = []
    for shape in np.unique(made.shape[agent < 0]).tolist():
        able = np.ones(len(free), bool) if allowed is None else allowed[shape] > 0
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
