"""Stopping: SIGTERM to the whole tree, and after the grace SIGKILL to it. Jobs here, services by their stubs."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
from numpy.typing import NDArray

from orch.agent.commands import Stop
from orch.node.instances import Instances
from orch.node.jobs import Jobs
from orch.node.procfs import signal_marked

_SWEPT = 200
"""More stops at once than this are not searched for processes that left their group at SIGTERM; at SIGKILL they are."""


class Stops:
    """The stops under way of one supervisor."""

    def __init__(self, cluster: str, jobs: Jobs) -> None:
        self._cluster, self._jobs = cluster, jobs
        self._timers: set[asyncio.TimerHandle] = set()

    def stop(self, number: int, command: Stop, instances: Instances) -> None:
        """Carry out a `Stop` of agent `number`; ends are reported as any other end."""
        services = np.array(
            [
                instances.stop(one, attempt, grace_ms)
                for one, attempt, grace_ms in zip(
                    command.ids.tolist(), command.attempts.tolist(), command.grace_ms.tolist(), strict=True
                )
            ],
            dtype=bool,
        )  # fmt: skip
        ids, attempts, grace = command.ids[~services], command.attempts[~services], command.grace_ms[~services]
        if len(ids) == 0:
            return
        here = self._jobs.kill(ids, attempts, signal.SIGTERM)
        ids, attempts, grace = ids[here], attempts[here], grace[here]
        if 0 < len(ids) <= _SWEPT:
            self._sweep(ids, attempts, signal.SIGTERM)
        for grace_ms in np.unique(grace).tolist():
            rows = grace == grace_ms
            self._later(grace_ms, ids[rows], attempts[rows])

    def close(self) -> None:
        """Forget what is under way."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _later(self, grace_ms: int, ids: NDArray[np.int64], attempts: NDArray[np.int32]) -> None:
        def over() -> None:
            self._timers.discard(timer)
            left = self._jobs.kill(ids, attempts, signal.SIGKILL)
            if np.any(left):
                self._sweep(ids[left], attempts[left], signal.SIGKILL)

        timer = asyncio.get_running_loop().call_later(max(grace_ms, 0) / 1000, over)
        self._timers.add(timer)

    def _sweep(self, ids: NDArray[np.int64], attempts: NDArray[np.int32], number: int) -> None:
        """Those of the tree that left the process group carry the instance's mark."""
        wanted = set(zip(ids.tolist(), attempts.tolist(), strict=True))
        groups = self._jobs.pids()
        asyncio.get_running_loop().run_in_executor(None, signal_marked, self._cluster, wanted, number, groups)
