"""When attempts have run for longer than their job allows."""

from __future__ import annotations

import numpy as np

from orch.batch.instances import NO_TIME
from orch.batch.ledger import Ledger
from orch.model.messages import I64
from orch.model.states import State

GRAIN_MS = 100
"""Deadlines within this of each other are looked at together: a look costs a pass over the job's pods."""

ASK_AGAIN_MS = 10_000
"""A pod that was to be stopped and is not even KILLING (its agent is unreachable) is asked for again after this."""

_TIMED = np.zeros(len(State), dtype=bool)
_TIMED[[State.RUNNING, State.UNREACHABLE]] = True


class Deadlines:
    """For each running job with a timeout, when to look at its pods next: not after the first deadline. Derived."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next: dict[int, int] = {}
        self.wake_ms: int | None = None

    def rebuild(self, now_ms: int) -> None:
        """Look at every unfinished job with a timeout at once."""
        jobs = self._ledger.jobs
        timed = (jobs["timeout_ms"] > 0) & (jobs["finished_ms"] == 0)
        self._next = dict.fromkeys(jobs["number"][timed].tolist(), now_ms)
        self._settle()

    def started(self, at: I64, started_ms: I64) -> None:
        """Pods of the jobs at these positions began to run then."""
        jobs = self._ledger.jobs
        if not jobs["timeout_ms"].any():
            return
        timeout_ms = jobs["timeout_ms"][at]
        timed = timeout_ms > 0
        if not timed.any():
            return
        due = (started_ms + timeout_ms)[timed]
        numbers = jobs["number"][at[timed]]
        for number in np.unique(numbers).tolist():
            first = int(due[numbers == number].min())
            self._next[number] = min(self._next.get(number, first), first)
        self._settle()

    def overdue(self, now_ms: int) -> I64:
        """int64[k]: ids of pods whose time is over, of the jobs that are due for a look."""
        found = [np.empty(0, dtype=np.int64)]
        for number in [number for number, due_ms in self._next.items() if due_ms <= now_ms]:
            at = self._ledger.jobs.at(number)
            if at < 0 or self._ledger.jobs["finished_ms"][at]:
                del self._next[number]
                continue
            found.append(self._look(number, at, now_ms))
        self._settle()
        return np.concatenate(found)

    def _look(self, number: int, at: int, now_ms: int) -> I64:
        ledger = self._ledger
        rows = ledger.rows(at)
        started = ledger.pods["started"][rows]
        timed = np.flatnonzero(_TIMED[ledger.pods["state"][rows]] & (started != NO_TIME))
        due = (
            started[timed].astype(np.int64) * ledger.jobs["unit_ms"][at]
            + ledger.jobs["submitted_ms"][at]
            + ledger.jobs["timeout_ms"][at]
        )
        over = due <= now_ms
        later = due[~over]
        if len(later) or over.any():
            soonest = max(int(later.min()), now_ms + GRAIN_MS) if len(later) else now_ms + ASK_AGAIN_MS
            self._next[number] = soonest
        else:
            del self._next[number]
        found: I64 = ledger.jobs["first_id"][at] + timed[over]
        return found

    def _settle(self) -> None:
        self.wake_ms = min(self._next.values(), default=None)
