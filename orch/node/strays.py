"""Processes that outlived the job they belong to: found among the orphans that come to us, and ended.

The supervisor is the reaper of all that its children leave behind. What left a job's process group in time (a daemon, a
`setsid`) is recognised by the marks in its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Collection

import structlog

from orch.node.procfs import children, environment_of, marked, stat_of

log = structlog.get_logger("orch.node")

_PR_SET_CHILD_SUBREAPER = 36


def become_reaper() -> None:
    """Orphans of our children come to us, not to pid 1. And no pod shall inherit a bad name with the OOM killer."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", "r+") as file:
            if int(file.read()) > 0:
                file.seek(0)
                file.write("0")


class Strays:
    """Looks at our children now and then. is_live(id, attempt): whether that instance may have processes."""

    def __init__(self, cluster: str, is_live: Callable[[int, int], bool]) -> None:
        self._cluster, self._is_live = cluster, is_live
        self._zombies: set[int] = set()

    def sweep(self, known: Collection[int]) -> int:
        """Kill orphans of instances that are over; reap zombies that nobody else reaps. Returns how many were killed.

        known: pids of children that somebody watches.
        """
        killed = 0
        zombies = set()
        for pid in children():
            if pid in known:
                continue
            found = stat_of(pid)
            if found is not None and not found.alive:
                zombies.add(pid)
                continue
            env = environment_of(pid)
            if env.get("ORCH_CLUSTER") != self._cluster or "ORCH_ID" not in env:
                continue
            if not self._is_live(int(env["ORCH_ID"]), int(env.get("ORCH_ATTEMPT", "0"))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        for pid in zombies & self._zombies:  # since the last look: whoever watches it would have taken it by now
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._zombies = zombies - self._zombies
        return killed


def clear_jobs(cluster: str, agent: str, keep: Collection[tuple[int, int]]) -> int:
    """After a restart: kill all processes of an agent but those of the instances to keep. Returns how many.

    Jobs ask the kernel to die with their supervisor; this is for what they started.
    """
    killed = 0
    for pid, key in marked(cluster, agent).items():
        if key not in keep:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    if killed:
        log.info("processes of an earlier supervisor were killed", agent=agent, killed=killed)
    return killed
