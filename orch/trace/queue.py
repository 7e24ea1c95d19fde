"""Pods that wait: by priority, then by when they came; and which of them it is worth to try."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from orch.trace.lists import Int64

MANY = 256
"""So many pods are worth the question for how many there is room."""
AHEAD = 32
"""Kinds that are tried together, where it is asked again and again who fits."""
_NOBODY = np.iinfo(np.int64).max


class Queue:
    """Groups of equal pods that came together. A kind that was tried fits on no agent that has no more free since.

    So after a departure only agents with more free now are asked, and no more pods of a kind are tried than could fit.
    """

    def __init__(
        self, group_kind: Int64, group_priority: Int64, group_arrival: Int64, group_pods: Int64, gang: NDArray[np.int32]
    ) -> None:
        """group_kind, group_priority, group_arrival, group_pods: int64[G].  gang: int32[K], size of a kind's gangs."""
        self._kind = group_kind.tolist()
        self.left: list[int] = group_pods.tolist()
        self._gang = gang
        order = np.lexsort((np.arange(len(group_kind)), -group_priority))
        self._group = order.tolist()
        """By place in the queue."""
        self._place = np.empty(len(order), np.int64)
        self._place[order] = np.arange(len(order))
        starts = np.ones(len(order), np.int64)
        starts[1:] = (np.diff(group_priority[order]) != 0) | (np.diff(group_arrival[order]) != 0)
        self._turn = np.cumsum(starts) - 1
        """int64[G], by place: those of one turn are one match."""
        self._heaps: list[list[int]] = [[] for _ in range(len(gang))]
        self._head = np.full(len(gang), _NOBODY, np.int64)
        """int64[K]: the first place of each kind."""
        self._tried = np.zeros(len(gang), bool)
        self.pods = 0

    def add(self, first: int, last: int) -> list[int]:
        """Groups first to last - 1 have come. Returns their kinds that were not tried before, in order."""
        fresh = dict.fromkeys(self._kind[first:last])
        for group, place in zip(range(first, last), self._place[first:last].tolist(), strict=True):
            kind = self._kind[group]
            heapq.heappush(self._heaps[kind], place)
            self._head[kind] = self._heaps[kind][0]
            self.pods += self.left[group]
        return [kind for kind in fresh if not self._tried[kind]]

    def turns(self, groups: Int64) -> Int64:
        """int64[k], whose turn it is first; equal for those that are one match."""
        found: Int64 = self._turn[self._place[groups]]
        return found

    def waiting(self, fresh: list[int], able: NDArray[np.bool_]) -> Int64:
        """int64[k] ascending, the fresh kinds, and those that wait and are able."""
        some = (self._head != _NOBODY) & able
        some[fresh] = True
        return np.flatnonzero(some)

    def first(self, kinds: Int64, most: Int64) -> list[tuple[int, int]]:
        """(group, pods) of the whole turns that come first among kinds that may fit, of about `AHEAD` kinds.

        They stay until `placed`. most: int64[k], no more pods of each of these kinds fit; what is beyond is left out.
        """
        waits = (most > 0) & (self._head[kinds] != _NOBODY)
        kinds, most = kinds[waits], most[waits]
        if len(kinds) == 0:
            return []
        heads = self._head[kinds]
        last = int(heads.max() if len(heads) <= AHEAD else np.partition(heads, AHEAD - 1)[AHEAD - 1])
        end = int(np.searchsorted(self._turn, self._turn[last], side="right"))
        taken: list[tuple[int, int]] = []
        for kind, pods in zip(kinds[heads < end].tolist(), most[heads < end].tolist(), strict=True):
            self._take(kind, pods, taken, end)
        taken.sort()
        return [(self._group[place], pods) for place, pods in taken]

    def candidates(
        self, fresh: list[int], freed: Int64 | None, room: Callable[[Int64, Int64 | None], Int64]
    ) -> list[tuple[int, int]]:
        """(group, pods) to try now, in the order of the queue. They stay in it until `placed`.

        freed: agents with more free now, or None.  room: at most so many pods of kinds fit on agents (None: on all).
        """
        taken: list[tuple[int, int]] = []
        for kind in fresh:
            pods = sum(self.left[self._group[place]] for place in self._heaps[kind])
            most = int(room(np.array([kind]), None)[0]) if pods > MANY else pods
            self._take(kind, most, taken)
        if freed is not None:
            old = np.flatnonzero((self._head != _NOBODY) & self._tried)
            for kind, most in zip(old.tolist(), room(old, freed).tolist() if len(old) else (), strict=True):
                if most and self._gang[kind] > 1:  # the rest of a gang may fit where one pod always did
                    most = int(room(np.array([kind]), None)[0])
                self._take(kind, most, taken)
        self._tried[fresh] = True
        taken.sort()
        return [(self._group[place], pods) for place, pods in taken]

    def placed(self, tried: Iterable[tuple[int, int]]) -> None:
        """(group, pods of it that were placed): those that were tried; the rest of them waits on."""
        for group, pods in tried:
            kind = self._kind[group]
            self._tried[kind] = True
            self.left[group] -= pods
            self.pods -= pods
            if self.left[group] == 0:
                heap = self._heaps[kind]
                heapq.heappop(heap)  # the first, as equal pods go in their order
                self._head[kind] = heap[0] if heap else _NOBODY
                self._tried[kind] = bool(heap)  # those that come again are new

    def kinds(self) -> list[tuple[int, int]]:
        """(pods, kind) of each that waits, the most first; ties: the lower kind."""
        amounts = [
            (sum(self.left[self._group[place]] for place in self._heaps[kind]), kind)
            for kind in np.flatnonzero(self._head != _NOBODY).tolist()
        ]
        return sorted(amounts, key=lambda one: (-one[0], one[1]))

    def _take(self, kind: int, most: int, taken: list[tuple[int, int]], end: int = _NOBODY) -> None:
        """The first groups of a kind before a place, `most` pods in all, as (place, pods)."""
        gang = max(int(self._gang[kind]), 1)
        most -= most % gang
        heap = self._heaps[kind]
        later: list[int] = []
        while most > 0 and heap and heap[0] < end:
            place = heapq.heappop(heap)
            later.append(place)
            pods = min(self.left[self._group[place]], most)
            taken.append((place, pods))
            most -= pods
        for place in later:
            heapq.heappush(heap, place)
