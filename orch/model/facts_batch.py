"""Facts of `batch`: what became of jobs and their pods, as columns.

A pod's id is its job's `first_id` plus its index. Times are int64 ms since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch.model.codec import record
from orch.model.messages import I16, I32, I64, U8
from orch.model.ranges import from_ranges


@record("batch.submitted")
@dataclass(frozen=True)
class JobSubmitted:
    """A job is taken: `count` pods, all SCHEDULED. Fields as in `SubmitJob`; `timeout_ms` is the template's."""

    at_ms: int
    job: int
    first_id: int
    path: str
    user: str
    key: str
    template: dict[str, Any]
    body: dict[str, Any]
    count: int
    env_off: I64
    env_blob: bytes
    gang: int
    priority: int
    attempts: int
    timeout_ms: int


@record("batch.launched")
@dataclass(frozen=True)
class PodsLaunched:
    """The master took these: STAGING, attempt + 1. Runs of ids (model/ranges.py); agents int32[k], as the ids go."""

    at_ms: int
    starts: I64
    lengths: I64
    agents: I32

    @property
    def ids(self) -> I64:
        """int64[k]."""
        return from_ranges(self.starts, self.lengths)


@record("batch.updated")
@dataclass(frozen=True)
class PodsUpdated:
    """New states, int64[k] ids without doubles. SCHEDULED: that attempt ended so, and the pod is to be launched again.

    started_ms is 0 where it is not known, or the command never started.
    """

    at_ms: int
    ids: I64
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64

    @staticmethod
    def of(at_ms: int, ids: I64, state: int, reason: int, exit_code: int) -> PodsUpdated:
        """The same new state for all of these pods, at `at_ms`."""
        k = len(ids)
        return PodsUpdated(
            at_ms=at_ms,
            ids=ids,
            states=np.full(k, state, dtype=np.uint8),
            exit_codes=np.full(k, exit_code, dtype=np.int16),
            reasons=np.full(k, reason, dtype=np.uint8),
            started_ms=np.zeros(k, dtype=np.int64),
            changed_ms=np.full(k, at_ms, dtype=np.int64),
        )


@record("batch.dropped")
@dataclass(frozen=True)
class PodsDropped:
    """These SCHEDULED pods are not launched any more: KILLED, for `reason`. Runs of ids."""

    at_ms: int
    starts: I64
    lengths: I64
    reason: int

    @property
    def ids(self) -> I64:
        """int64[k]."""
        return from_ranges(self.starts, self.lengths)


@record("batch.stopped")
@dataclass(frozen=True)
class JobStopped:
    """A user stopped the job: nothing of it is launched any more. What became of its pods is told by other facts."""

    at_ms: int
    job: int
    user: str
    key: str


@record("batch.pods-stopped")
@dataclass(frozen=True)
class PodsStopped:
    """A user stopped these pods, which were launched and had not ended: they get no further attempt. Runs of ids."""

    at_ms: int
    job: int
    starts: I64
    lengths: I64
    user: str

    @property
    def ids(self) -> I64:
        """int64[k]."""
        return from_ranges(self.starts, self.lengths)


@record("batch.finished")
@dataclass(frozen=True)
class JobFinished:
    """All pods of the job have ended; its environments and its template are dropped."""

    at_ms: int
    job: int


@record("batch.forgotten")
@dataclass(frozen=True)
class JobsForgotten:
    """These finished jobs go from the tables. user, key: who asked; empty where the limits on kept jobs did."""

    at_ms: int
    jobs: I64
    user: str
    key: str


@record("batch.answered")
@dataclass(frozen=True)
class JobRequestAnswered:
    """A request with a key changed nothing: the same key gets `body`, or else `error`, the next time too."""

    at_ms: int
    user: str
    key: str
    body: dict[str, Any] | None
    error: dict[str, Any] | None
