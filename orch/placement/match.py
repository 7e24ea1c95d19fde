"""The answer to a match: an agent for each pod, or a reason; and a `Why` for each row that did not fit whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orch import _placement as kernel
from orch.placement.columns import Int32, Int64, UInt8
from orch.placement.demand import Demand
from orch.placement.rules import Rules
from orch.placement.why import Why, why_of


@dataclass(slots=True, eq=False)
class Match:
    """agent: int32[P], -1 = unplaced.  placed: int64[D], pods per row.

    Placed pods of a row come before its unplaced ones. why_columns: int32[K, WHY_WIDTH], one row for each demand row
    with unplaced pods, in ascending row order; `why(row)` reads it. requests: int32[S, LANES], of
    which `dims` are in use; a copy.
    """

    demand: Demand
    requests: Int32
    dims: int
    agent: Int32
    placed: Int64
    why_columns: Int32
    clock: int
    rules: Rules | None = None
    rolled_back: bool = False

    @property
    def reason(self) -> UInt8:
        """uint8[P] of `Reason`, 0 = placed: that of the pod's row. Made when asked: a row has one reason. O(P)."""
        of_row = np.zeros(len(self.demand), np.uint8)
        of_row[self.unplaced_rows] = self.why_columns[:, kernel.WHY_REASON]
        reasons: UInt8 = np.repeat(of_row, self.demand.count)
        reasons[self.agent >= 0] = 0
        return reasons

    @property
    def unplaced_rows(self) -> Int32:
        """int32[K]: demand rows with unplaced pods, ascending."""
        rows: Int32 = self.why_columns[:, kernel.WHY_ROW]
        return rows

    def why(self, row: int) -> Why | None:
        """Why pods of this demand row are unplaced, as things stood when they were tried; None where all are placed."""
        at = int(np.searchsorted(self.unplaced_rows, row))
        if at == len(self.why_columns) or self.unplaced_rows[at] != row:
            return None
        shape = int(self.demand.shape[row])
        names = () if self.rules is None else self.rules.names(shape)
        return why_of(self.why_columns[at], self.requests[shape, : self.dims], int(self.demand.gang[row]), names)
