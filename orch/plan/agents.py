"""Agents of a future: what they are told to start runs and passes its checks, what they are told to stop has ended."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import LaunchBatch, StopBatch, UpdateBatch
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import State

SERVICE = -1
"""`job` of a service's instances in a payload."""

Work = tuple[LaunchBatch | StopBatch, NDArray[np.int64]]
"""What an agent was told, and the rows of it that it reports together."""


class Agents:
    """All agents of a cluster: what each is still to report, and the number of its last report."""

    def __init__(self) -> None:
        self._work: dict[str, deque[Work]] = {}
        self._seq: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether anybody has something to report."""
        return bool(self._work)

    def tell(self, agent: str, message: Any) -> None:
        """A message to an agent. A service's instances are reported one by one, pods of jobs together."""
        if isinstance(message, LaunchBatch):
            service = message.payload.job == SERVICE
        elif isinstance(message, StopBatch):
            service = np.ones(len(message.ids), dtype=bool)
        else:
            return
        work = self._work.setdefault(agent, deque())
        work.extend((message, np.array([row])) for row in np.flatnonzero(service).tolist())
        if not service.all():
            work.append((message, np.flatnonzero(~service)))

    def reports(self, now_ms: int) -> list[UpdateBatch]:
        """The next report of each agent that has one, in the order in which they were told."""
        found = [self._report(now_ms, agent, *work.popleft()) for agent, work in self._work.items()]
        self._work = {agent: work for agent, work in self._work.items() if work}
        return found

    def _report(
        self, now_ms: int, agent: str, message: LaunchBatch | StopBatch, rows: NDArray[np.int64]
    ) -> UpdateBatch:
        seq = self._seq[agent] = self._seq.get(agent, 0) + 1
        ids, count, details = message.ids[rows], len(rows), {}
        if isinstance(message, StopBatch):
            state, reasons = State.KILLED, message.reasons[rows]
        else:
            state, reasons = State.RUNNING, np.full(count, Reason.NONE, dtype=np.uint8)
            if int(message.payload.job[rows[0]]) == SERVICE:
                details = {int(ids[0]): {"healthy": True, "endpoints": [], "containers": []}}
        return UpdateBatch(
            agent=agent,
            session=message.session,
            epoch=message.epoch,
            seq=seq,
            ids=ids,
            attempts=message.attempts[rows],
            states=np.full(count, state, dtype=np.uint8),
            exit_codes=np.full(count, NO_EXIT_CODE, dtype=np.int16),
            reasons=reasons,
            started_ms=np.full(count, now_ms, dtype=np.int64),
            changed_ms=np.full(count, now_ms, dtype=np.int64),
            details=details,
        )
