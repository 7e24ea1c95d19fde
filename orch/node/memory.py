"""The memory of jobs, looked at now and then. A control group for each job would cost more than the job.

Only jobs that have run for a second are looked at: shorter ones are over before anybody could do something. A job's
memory is that of its process group; shared pages count for their share, where it comes to that.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from orch.node.jobs import Jobs
from orch.node.procfs import pids

YOUNG_MS = 1_000
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


async def watch(jobs: Jobs) -> None:
    """End the jobs that use more than they asked for."""
    rows = jobs.running()
    old = rows[(rows[:, 4] > 0) & (rows[:, 3] < time.time_ns() // 1_000_000 - YOUNG_MS)]
    if len(old):
        over = await asyncio.to_thread(_over, old)
        if len(over):
            jobs.end_for_memory(over[:, 0].copy(), over[:, 1].astype(np.int32))


def _over(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those rows whose group has more than its limit: by resident pages first, which is quick and an upper bound."""
    groups = members(set(rows[:, 2].tolist()))
    keep = [
        row
        for row in range(len(rows))
        if sum(resident_kib(pid) for pid in groups[int(rows[row, 2])]) > rows[row, 4]
        and sum(proportional_kib(pid) for pid in groups[int(rows[row, 2])]) > rows[row, 4]
    ]
    return rows[keep]


def members(leaders: Collection[int]) -> dict[int, list[int]]:
    """The processes of each of these process groups."""
    found: dict[int, list[int]] = {leader: [] for leader in leaders}
    for pid in pids():
        try:
            group = os.getpgid(pid)
        except ProcessLookupError:
            continue
        if group in found:
            found[group].append(pid)
    return found


def resident_kib(pid: int) -> int:
    """Resident pages of a process; 0 if it has gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE_KIB
    except OSError:
        return 0


def proportional_kib(pid: int) -> int:
    """Resident pages of a process, shared ones by share; 0 if it has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0
