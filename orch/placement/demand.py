"""Demand: what is to be placed, one row per set of equal pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt8
from orch.placement.errors import ShapeError

POLICIES: dict[str, int] = {"best-fit": 0, "first-fit": 1, "spread": 2}
"""Best fit takes the fullest agent that holds the pod, first fit the lowest row, spread the emptiest in parts of its
own total. Ties: lowest row, so runs repeat."""
PODS_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Columns of D rows. Pods of row d have the output positions offset[d] to offset[d + 1].

    shape: int32[D], ids of `Shapes`.  count: int32[D], pods.
    gang: int32[D]; 0 or 1: each pod for itself; g > 1: blocks of g pods, each placed whole or not at all.
    priority: int32[D], higher first. Among equals the larger shape goes first, then the lower row.
    policy: uint8[D], `POLICIES` by number; None: that of the match.
    Make one with `Demand.of`, which checks.
    """

    shape: Int32
    count: Int32
    gang: Int32
    priority: Int32
    offset: Int64
    policy: UInt8 | None = None

    @classmethod
    def of(cls, shape: Any, count: Any, gang: Any = None, priority: Any = None, policy: Any = None) -> Demand:
        """A demand from array-likes; gang and priority default to 0.

        Raises ShapeError: lengths differ, a count or gang is negative, a count is no multiple of its gang, a policy is
        none of `POLICIES`, or there are more than 2**31 - 1 pods.
        """
        shapes = columns.column("demand.shape", shape, np.int32, None)
        rows = len(shapes)
        counts = columns.column("demand.count", count, np.int32, rows)
        gangs = np.zeros(rows, np.int32) if gang is None else columns.column("demand.gang", gang, np.int32, rows)
        priorities = (
            np.zeros(rows, np.int32)
            if priority is None
            else columns.column("demand.priority", priority, np.int32, rows)
        )
        policies = None if policy is None else columns.column("demand.policy", policy, np.uint8, rows)
        if policies is not None:
            columns.below("demand.policy", policies, len(POLICIES), "policies")
        columns.at_least("demand.shape", shapes, 0)
        columns.at_least("demand.count", counts, 0)
        columns.at_least("demand.gang", gangs, 0)
        uneven = np.flatnonzero(counts % np.maximum(gangs, 1))
        if len(uneven):
            row = int(uneven[0])
            raise ShapeError(
                f"demand row {row} has {counts[row]} pods in gangs of {gangs[row]}: not a whole number of gangs"
            )
        offset = np.zeros(rows + 1, np.int64)
        np.cumsum(counts, out=offset[1:])
        if offset[-1] > PODS_MOST:
            raise ShapeError(f"the demand has {offset[-1]} pods; one match takes at most {PODS_MOST}")
        return cls(shapes, counts, gangs, priorities, offset, policies)

    @property
    def pods(self) -> int:
        """How many pods there are in all rows."""
        return int(self.offset[-1])

    def __len__(self) -> int:
        return len(self.shape)
