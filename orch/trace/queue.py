"""Pods that wait: by priority, then by when they came; and which of them it is worth to try."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from orch.trace.lists import Int64

MANY = 256
"""So many pods are worth the question for how many there is room."""


class Queue:
    """Groups of equal pods that came together. A kind that was tried fits on no agent that has no more free since.

    So after a departure only agents with more free now are asked, and no more pods of a kind are tried than could fit.
    """

    def __init__(self, group_kind: Int64, group_priority: Int64, group_pods: Int64, gang: NDArray[np.int32]) -> None:
        """group_kind, group_priority, group_pods: int64[G].  gang: int32[K], size of a kind's gangs."""
        self._kind, self._priority = group_kind.tolist(), group_priority.tolist()
        self.left: list[int] = group_pods.tolist()
        self._gang = gang
        self._heaps: list[list[tuple[int, int]]] = [[] for _ in range(len(gang))]
        self._waiting = np.zeros(len(gang), bool)
        self._tried = np.zeros(len(gang), bool)
        self.pods = 0

    def add(self, first: int, last: int) -> list[int]:
        """Groups first to last - 1 have come. Returns their kinds that were not tried before, in order."""
        fresh = dict.fromkeys(self._kind[first:last])
        for group in range(first, last):
            kind = self._kind[group]
            heapq.heappush(self._heaps[kind], (-self._priority[group], group))
            self.pods += self.left[group]
            self._waiting[kind] = True
        return [kind for kind in fresh if not self._tried[kind]]

    def candidates(
        self, fresh: list[int], freed: Int64 | None, room: Callable[[Int64, Int64 | None], Int64]
    ) -> list[tuple[int, int, int]]:
        """(-priority, group, pods) to try now, in the order of the queue. They leave it: `back` returns what stays.

        freed: agents with more free now, or None.  room: at most so many pods of kinds fit on agents (None: on all).
        """
        taken: list[tuple[int, int, int]] = []
        for kind in fresh:
            pods = sum(self.left[group] for _, group in self._heaps[kind])
            most = int(room(np.array([kind]), None)[0]) if pods > MANY else pods
            self._take(kind, most, taken)
        if freed is not None:
            old = np.flatnonzero(self._waiting & self._tried)
            for kind, most in zip(old.tolist(), room(old, freed).tolist() if len(old) else (), strict=True):
                if most and self._gang[kind] > 1:  # the rest of a gang may fit where one pod always did
                    most = int(room(np.array([kind]), None)[0])
                self._take(kind, most, taken)
        self._tried[fresh] = True
        taken.sort()
        return taken

    def back(self, candidate: tuple[int, int, int], placed: int) -> None:
        """So many pods of a candidate were placed; the others wait on."""
        priority, group, _ = candidate
        self.left[group] -= placed
        self.pods -= placed
        if self.left[group]:
            heapq.heappush(self._heaps[self._kind[group]], (priority, group))

    def settle(self, kinds: list[int]) -> None:
        """After a try of these kinds: those of which none is left wait no more, and are new when they come again."""
        for kind in kinds:
            if not self._heaps[kind]:
                self._waiting[kind] = self._tried[kind] = False

    def kinds(self) -> list[tuple[int, int]]:
        """(pods, kind) of each that waits, the most first; ties: the lower kind."""
        amounts = [
            (sum(self.left[group] for _, group in self._heaps[kind]), kind)
            for kind in np.flatnonzero(self._waiting).tolist()
        ]
        return sorted(amounts, key=lambda one: (-one[0], one[1]))

    def _take(self, kind: int, most: int, taken: list[tuple[int, int, int]]) -> None:
        heap, gang = self._heaps[kind], max(int(self._gang[kind]), 1)
        most -= most % gang
        while most > 0 and heap:
            priority, group = heapq.heappop(heap)
            pods = min(self.left[group], most)
            taken.append((priority, group, pods))
            most -= pods
