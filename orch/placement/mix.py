"""The usual pods: what fragmentation is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt64
from orch.placement.gpu_shapes import GpuShapes

WHOLE = 1 << 20
"""The weights of all kinds of a mix add up to about this; shares are rounded to parts of it."""


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
        chosen = [kind for kind, _ in popular[:kept]]
        cpu, milli, number = ([kind[column] for kind in chosen] for column in range(3))
        return Mix(
            np.array(cpu, np.int32),
            np.array(milli, np.int32),
            np.array(number, np.int32),
            np.array([kind[3] for kind in chosen], np.uint64),
            np.array([(WHOLE * pods + taken // 2) // taken for _, pods in popular[:kept]], np.int64),
        )
