"""What pods that ask for GPU devices ask for, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch import _gpus as kernel
from orch.placement import columns
from orch.placement.columns import Int32, UInt64
from orch.placement.errors import ShapeError

DEVICES: int = kernel.DEVICES
MILLI: int = kernel.MILLI
ANY_MODEL = 2**64 - 1
"""The models of a pod that runs on any device."""


@dataclass(frozen=True, eq=False)
class GpuShapes:
    """Shapes, one a row: cpu (milli), memory (MiB), milli (of each device), number (of devices), models (a bit each).

    A pod gets `number` different devices of one agent, each with at least `milli` free: a part of one device, or whole
    ones (1000 milli), or the same part of several. A pod that asks for no device has milli = number = 0, and fits on
    agents of any model.
    """

    cpu: Int32
    memory: Int32
    milli: Int32
    number: Int32
    models: UInt64

    def __len__(self) -> int:
        """How many shapes."""
        return len(self.cpu)

    @staticmethod
    def of(cpu: Any, memory: Any, milli: Any, number: Any, models: Any = None) -> GpuShapes:
        """Checked columns, each [S]; models: uint64, None = any. Raises ShapeError."""
        asked = columns.column("cpu", cpu, np.int32, None)
        rows = len(asked)
        rest = {
            name: columns.column(name, values, np.int32, rows)
            for name, values in (("memory", memory), ("milli", milli), ("number", number))
        }
        for name, array in (("cpu", asked), *rest.items()):
            columns.at_least(name, array, 0)
        columns.below("milli", rest["milli"], MILLI + 1, f"to {MILLI} milli of a device")
        columns.below("number", rest["number"], DEVICES + 1, f"to {DEVICES} devices of an agent")
        odd = np.flatnonzero((rest["milli"] > 0) != (rest["number"] > 0))
        if len(odd):
            raise ShapeError(
                f"shape {odd[0]} asks for {rest['number'][odd[0]]} devices of {rest['milli'][odd[0]]} milli: "
                "both are 0, or neither is"
            )
        will_do = np.full(rows, ANY_MODEL, np.uint64) if models is None else models
        return GpuShapes(asked, **rest, models=columns.column("models", will_do, np.uint64, rows))

    def kind(self, row: int) -> tuple[int, int, int, int]:
        """(cpu, milli, number, models) of a shape: what fragmentation tells apart."""
        models = int(self.models[row]) if self.number[row] else ANY_MODEL
        return int(self.cpu[row]), int(self.milli[row]), int(self.number[row]), models

    def devices_milli(self) -> Int32:
        """What each shape takes of devices in all, in milli."""
        return self.milli * self.number
