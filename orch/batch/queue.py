"""A queue: jobs whose pods ask for the same, so that one row of a demand stands for all of them."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np

from orch.model.messages import I64
from orch.placement.constraints import Terms

Key = tuple[str, tuple[int, ...], int, int, str, int, Terms, int]
"""(group, request, pods that start together, priority, policy, ms that a pod may run, terms, the only job or 0)."""


@dataclass(slots=True)
class Queue:
    """Jobs by number, the oldest first, with how many of their pods wait here.

    alone: a job of whose pods it matters where they lie has queues of its own; 0 for any jobs.
    """

    group: str
    request: tuple[int, ...]
    gang: int
    priority: int
    policy: str
    timeout_ms: int
    terms: Terms
    alone: int
    jobs: list[int] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def set(self, job: int, pods: int) -> None:
        """So many pods of the job wait here now."""
        before = self.waiting.get(job, 0)
        self.total += pods - before
        if pods:
            self.waiting[job] = pods
            if not before:
                bisect.insort(self.jobs, job)
        else:
            assert before, f"job {job} is taken out of a queue that it is not in"
            del self.waiting[job]
            del self.jobs[bisect.bisect_left(self.jobs, job)]

    def first(self, pods: int) -> list[tuple[int, int]]:
        """`[(job, pods)]`: whose turn it is for so many launches. Changes nothing."""
        found = []
        for job in self.jobs:
            if pods <= 0:
                break
            share = min(pods, self.waiting[job])
            found.append((job, share))
            pods -= share
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Pods of one job that are on their way to the master: indexes int64[k]."""

    job: int
    indexes: I64


def joined(parts: list[I64]) -> I64:
    """One column of many."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
