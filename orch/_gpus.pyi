import numpy as np
from numpy.typing import NDArray

_Int32 = NDArray[np.int32]
_Int64 = NDArray[np.int64]
_UInt16 = NDArray[np.uint16]
_UInt64 = NDArray[np.uint64]

DEVICES: int
MILLI: int
STEPS: int
SHAPE_WIDTH: int
KIND_WIDTH: int

class Devices:
    def __init__(self, room: _Int32, device: _Int32, model: _UInt64, shape: _Int32, wanted: _UInt64) -> None: ...
    def mix(
        self, kind: _Int32, wanted: _UInt64, weight: _Int64, idle_weight: int, level: _Int32, left: _Int64
    ) -> None: ...
    def use(self, policy: _Int64, steps: _Int64) -> None: ...
    def place(self, shapes: _Int32, agents: _Int32, devices: _UInt16) -> None: ...
    def release(self, shapes: _Int32, agents: _Int32, devices: _UInt16) -> None: ...
    def columns(self) -> tuple[_Int32, _Int32]: ...
