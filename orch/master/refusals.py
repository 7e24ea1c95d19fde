"""What a framework does not want to be offered: which agents, and until when."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]

_NOTHING: I64 = np.zeros(0, dtype=np.int64)


class Refusals:
    """Agents by row, each until a time in ms. All agents at once are two numbers: a thousand frameworks may say so."""

    def __init__(self) -> None:
        self.until_ms = 0
        """When the last refusal ends; 0: nothing is refused."""
        self._rows = _NOTHING
        """int64[n]: until when each row is refused; 0: not by itself."""
        self._below, self._below_ms = 0, 0
        """All rows below, until then."""

    def add(self, rows: NDArray[Any], agents: int, until_ms: int) -> None:
        """Refuse rows int32[k] (empty: all of the `agents` that there are; not there: nothing), no shorter than before.

        O(k + agents), and O(1) for all.
        """
        if len(rows) == 0:
            if until_ms < self._below_ms:
                self._refuse(np.arange(agents, dtype=np.int64), agents, until_ms)
            else:
                self._below, self._below_ms = agents, until_ms
                self.until_ms = max(self.until_ms, until_ms)
            return
        rows = rows[(rows >= 0) & (rows < agents)]
        if len(rows):
            self._refuse(rows, agents, until_ms)

    def hides_all(self, now_ms: int, agents: int) -> bool:
        """Whether all agents were refused at once, and still are."""
        return self._below_ms > now_ms and self._below >= agents

    def hides(self, now_ms: int, agents: int) -> NDArray[np.bool_] | None:
        """bool[agents] of those it does not want to see now; None if it refuses nothing."""
        if self.until_ms == 0:
            return None
        hides = np.zeros(agents, dtype=bool)
        hides[: len(self._rows)] = self._rows > now_ms
        if self._below_ms > now_ms:
            hides[: self._below] = True
        return hides

    def _refuse(self, rows: NDArray[Any], agents: int, until_ms: int) -> None:
        more = np.zeros(agents - len(self._rows), dtype=np.int64)
        self._rows = np.concatenate([self._rows, more])
        self._rows[rows] = np.maximum(self._rows[rows], until_ms)
        self.until_ms = max(self.until_ms, until_ms)
