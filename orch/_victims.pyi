import numpy as np
from numpy.typing import NDArray

_Int32 = NDArray[np.int32]
_Int64 = NDArray[np.int64]
_UInt8 = NDArray[np.uint8]

class Stage:
    def __init__(
        self,
        avail: _Int64,
        usable: _UInt8,
        start: _Int64,
        row: _Int64,
        priority: _Int32,
        age: _Int64,
        request: _Int32,
        group: _Int32,
        ancestors: _Int32,
        used: _Int64,
        guarantee: _Int64,
        limit: _Int64,
    ) -> None: ...

def take_places(
    stage: Stage,
    agent: _Int32,
    shape: _Int32,
    requests: _Int32,
    priority: _Int32,
    group: _Int32,
    gang: _Int32,
    verdict: _UInt8,
    no_victims: int,
    in_gang: int,
) -> _Int32: ...
