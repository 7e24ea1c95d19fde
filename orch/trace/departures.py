"""When pods leave: sorted runs under a heap, so that a million of them that came together cost one sort."""

from __future__ import annotations

import heapq

import numpy as np

from orch.trace.lists import Int64


class Departures:
    """Pods by the instant at which they leave."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._runs: dict[int, tuple[Int64, Int64]] = {}
        self._made = 0

    def add(self, at_ms: Int64, pods: Int64) -> None:
        """These pods leave at these instants. at_ms, pods: int64[k]."""
        if len(pods):
            order = np.argsort(at_ms, kind="stable")
            self._runs[self._made] = at_ms[order], pods[order]
            heapq.heappush(self._heap, (int(at_ms[order[0]]), self._made))
            self._made += 1

    @property
    def next_ms(self) -> int | None:
        """The next instant at which a pod leaves; None where none will."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ms: int) -> Int64:
        """int64[k], the pods that leave now, ascending."""
        leaving: list[Int64] = []
        while self._heap and self._heap[0][0] == now_ms:
            _, run = heapq.heappop(self._heap)
            at_ms, pods = self._runs.pop(run)
            gone = int(np.searchsorted(at_ms, now_ms, side="right"))
            leaving.append(pods[:gone])
            if gone < len(pods):
                self._runs[run] = at_ms[gone:], pods[gone:]
                heapq.heappush(self._heap, (int(at_ms[gone]), run))
        return np.sort(np.concatenate(leaving)) if leaving else np.empty(0, np.int64)
