"""What an agent remembers over a restart of its supervisor: what it was told to launch, how it ended, what it may
forget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.codec import record

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
U8 = NDArray[np.uint8]


@record("agent.taken")
@dataclass(frozen=True)
class Taken:
    """Launches taken: ids int64[k], attempts int32[k], grace_ms int64[k].

    instances: for those that are more than one plain process, `{"row": i, "template", "env", "index", "job", "ports"}`.
    """

    ids: I64
    attempts: I32
    grace_ms: I64
    at_ms: int
    instances: list[dict[str, Any]]


@record("agent.changed")
@dataclass(frozen=True)
class Changed:
    """New states, column by column; reasons uint8[k], exit_codes int16[k], times int64[k] in ms."""

    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64


@record("agent.moved")
@dataclass(frozen=True)
class Moved:
    """An instance got other ports, because some were taken by somebody else."""

    id: int
    attempt: int
    ports: list[list[int]]
    round: int


@record("agent.forgotten")
@dataclass(frozen=True)
class Forgotten:
    """The master has these ends: ids int64[k], attempts int32[k]."""

    ids: I64
    attempts: I32
