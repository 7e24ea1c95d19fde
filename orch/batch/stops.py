"""Stopping a large job piece by piece: a million kills in one message would keep everybody else waiting.

Derived: what a job that was stopped still has to be asked for. A restart asks for all of it again.
"""

from __future__ import annotations

import numpy as np

from orch.batch.ledger import Ledger
from orch.model.messages import I64
from orch.model.states import FIRST_TERMINAL, State

SLICE_PODS = 65_536
"""Pods that are asked for in one event."""

_NONE = np.empty(0, dtype=np.int64)


class Stops:
    """Ids of launched pods of stopped jobs that the master was not asked to stop yet, the oldest request first."""

    def __init__(self, ledger: Ledger, slice_pods: int = SLICE_PODS) -> None:
        self._ledger = ledger
        self._slice_pods = slice_pods
        self._left: list[I64] = []
        self.wake_ms: int | None = None
        """When the next piece is due; None where nothing is left."""

    def reset(self) -> None:
        """Nothing is left to be asked for."""
        self._left, self.wake_ms = [], None

    def add(self, now_ms: int, ids: I64) -> I64:
        """These are to be stopped: the piece int64[k] to ask for at once; the rest comes with the next ticks."""
        if len(ids):
            self._left.append(ids)
        return self.take(now_ms) if self.wake_ms is None else _NONE

    def take(self, now_ms: int) -> I64:
        """The next piece int64[k], without what has ended since."""
        room = self._slice_pods
        taken: list[I64] = []
        while self._left and room:
            piece, rest = self._left[0][:room], self._left[0][room:]
            taken.append(piece)
            room -= len(piece)
            self._left[:1] = [rest] if len(rest) else []
        self.wake_ms = now_ms if self._left else None
        return self._live(np.concatenate(taken)) if taken else _NONE

    def _live(self, ids: I64) -> I64:
        states = self._ledger.seen(ids).states
        live: I64 = ids[(states != State.SCHEDULED) & (states < FIRST_TERMINAL)]
        return live
