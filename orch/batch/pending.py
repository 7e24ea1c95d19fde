"""Which pods of one job wait for a launch: in the order of their index, blocks of a gang together."""

from __future__ import annotations

import numpy as np

from orch.batch.instances import span
from orch.model.messages import EMPTY_I64, I64


class Pending:
    """The waiting pods of a job as a cursor over those never tried, and a sorted column of those that wait again.

    With a gang of g, pods b*g to b*g + g - 1 are a block. What waits of a block starts together or not at all: at first
    the whole block, later perhaps only those of its pods that are launched again while the others run.
    Derived from the ledger, and from what is on its way to the master.
    """

    def __init__(self, count: int, gang: int) -> None:
        self._count, self._gang = count, gang
        self._cursor = 0
        self._again: I64 = EMPTY_I64

    @staticmethod
    def of(waiting: I64, count: int, gang: int) -> Pending:
        """From the ascending indexes of all pods that wait."""
        pending = Pending(count, gang)
        at = np.searchsorted(waiting - span(0, len(waiting)), count - len(waiting))
        fresh = (len(waiting) - int(at)) // gang * gang
        pending._cursor = count - fresh
        pending._again = waiting[: len(waiting) - fresh]
        return pending

    def __len__(self) -> int:
        return self._count - self._cursor + len(self._again)

    def indexes(self) -> I64:
        """int64[len(self)]: all that wait, ascending."""
        return np.concatenate([self._again, span(self._cursor, self._count - self._cursor)])

    def rows(self) -> list[tuple[int, int]]:
        """`[(pods that start together, how many pods wait so)]`, the largest first."""
        if self._gang == 1:
            return [(1, len(self))] if len(self) else []
        pods = np.bincount(self._sizes(), minlength=self._gang + 1)
        pods[self._gang] += self._count - self._cursor
        return [(size, int(pods[size])) for size in np.flatnonzero(pods)[::-1].tolist()]

    def take(self, size: int, most: int) -> I64:
        """The first pods that wait in blocks of `size`, in whole blocks, `most` at most (a multiple of size)."""
        chosen = np.ones(len(self._again), dtype=bool) if self._gang == 1 else self._sizes() == size
        again = self._again[chosen][:most]
        if len(again):
            left = np.ones(len(self._again), dtype=bool)
            left[np.searchsorted(self._again, again)] = False
            self._again = self._again[left]
        fresh = min(most - len(again), self._count - self._cursor) if size == self._gang else 0
        self._cursor += fresh
        return np.concatenate([again, span(self._cursor - fresh, fresh)])

    def put(self, indexes: I64) -> None:
        """These wait again: taken before and not launched, or launched and to be launched once more."""
        self._again = np.sort(np.concatenate([self._again, indexes]), kind="stable")

    def withdraw(self, indexes: I64) -> None:
        """These do not wait any more."""
        waiting = self.indexes()
        left = Pending.of(waiting[~np.isin(waiting, indexes)], self._count, self._gang)
        self._cursor, self._again = left._cursor, left._again

    def clear(self) -> I64:
        """Nothing waits any more; returns what did."""
        waiting = self.indexes()
        self._cursor, self._again = self._count, EMPTY_I64
        return waiting

    def _sizes(self) -> I64:
        """For each pod that waits again, how many of its block do."""
        blocks = self._again // self._gang
        starts = np.searchsorted(blocks, blocks, side="left")
        sizes: I64 = np.searchsorted(blocks, blocks, side="right") - starts
        return sizes
