"""The usual pods: what fragmentation is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt64
from orch.placement.gpu_shapes import MILLI, GpuShapes

WHOLE = 1 << 20
"""The weights of all kinds of a mix add up to about this; shares are rounded to parts of it."""
LEAST_CPU = 1000
"""Below a core, less CPU makes a kind no easier to place."""


@dataclass(frozen=True, eq=False)
class Mix:
    """Kinds of pods by popularity. Rows: cpu (milli), milli (of a device), number (of devices), models (bits), weight.

    Memory is no part of a kind, as in the paper (Weng et al., USENIX ATC'23).
    """

    cpu: Int32
    milli: Int32
    number: Int32
    models: UInt64
    weight: Int64

    def __len__(self) -> int:
        """How many kinds."""
        return len(self.weight)

    @staticmethod
    def of(shapes: GpuShapes, count: Any, percent: int = 95) -> Mix:
        """The most popular kinds that together make up `percent` of the pods; ties: the larger kind first.

        count: int64[S], how many pods of each shape are usual; with 0 in all of them the mix is empty, and nothing is
        ever wasted. Pods without a device count too. Raises ShapeError.
        """
        many = columns.column("count", count, np.int64, len(shapes))
        columns.at_least("count", many, 0)
        kinds: dict[tuple[int, int, int, int], int] = {}
        for row in np.flatnonzero(many).tolist():
            kind = shapes.kind(row)
            kinds[kind] = kinds.get(kind, 0) + int(many[row])
        popular = sorted(kinds.items(), key=lambda item: (item[1], item[0]), reverse=True)
        total, taken, kept = sum(kinds.values()), 0, 0
        while 100 * taken < percent * total:
            taken += popular[kept][1]
            kept += 1
        return _mix(popular[:kept])

    def eased(self, halves: int) -> Mix:
        """The kinds with devices, each weighed by how easily it is placed: its weight over cpu^(halves / 2)."""
        rows = zip(*(column.tolist() for column in (self.cpu, self.milli, self.number, self.models)), strict=True)
        kinds = []
        for kind, weight in zip(rows, self.weight.tolist(), strict=True):
            cpu, _, number, _ = kind
            if number:
                kinds.append((kind, (weight << 128) // isqrt(max(cpu, LEAST_CPU) ** halves)))
        return _mix(kinds)

    def left(self, rare: int) -> Int64:
        """int64[1001]: what shares of a device leave of one with so much free, chosen to leave least; times WHOLE.

        A kind is counted with a part of its milli only: its weight over itself and `rare`, as one of a rare kind may
        not come. With rare = 0 every kind is as good as there.
        """
        weight: dict[int, int] = {}
        for milli, number, one in zip(self.milli.tolist(), self.number.tolist(), self.weight.tolist(), strict=True):
            if number == 1 and one:
                weight[milli] = weight.get(milli, 0) + one
        worth = [(milli, milli * (WHOLE * one // (one + rare))) for milli, one in sorted(weight.items())]
        filled = [0] * (MILLI + 1)
        for free in range(1, MILLI + 1):
            filled[free] = max([filled[free - 1], *(w + filled[free - m] for m, w in worth if m <= free)])
        return np.arange(MILLI + 1, dtype=np.int64) * WHOLE - np.array(filled, np.int64)


def _mix(kinds: list[tuple[tuple[int, int, int, int], int]]) -> Mix:
    """Kinds (cpu, milli, number, models) with their amounts, which become parts of WHOLE."""
    total = sum(amount for _, amount in kinds)
    cpu, milli, number = ([kind[column] for kind, _ in kinds] for column in range(3))
    return Mix(
        np.array(cpu, np.int32),
        np.array(milli, np.int32),
        np.array(number, np.int32),
        np.array([kind[3] for kind, _ in kinds], np.uint64),
        np.array([(WHOLE * amount + total // 2) // total for _, amount in kinds], np.int64),
    )
