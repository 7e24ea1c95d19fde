"""What this machine has, and how the agents on it share it."""

from __future__ import annotations

import glob
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from orch.model.errors import UsageError

PORTS_FIRST, PORTS_LAST = 31_000, 31_999
SIMULATED = {"cpus_milli": 16_000, "mem_mib": 65_536, "disk_mib": 1_048_576, "gpus_milli": 0}
"""A simulated machine, where the caller does not say otherwise."""


def detect(folder: Path) -> dict[str, int]:
    """`{cpus_milli, mem_mib, disk_mib, gpus_milli}` that pods may have.

    The system keeps 1 GiB of memory (half, where there are less than 2) and 5 GiB of the disk that holds `folder`.
    """
    mem = min(_physical_mib(), _cgroup_mib())
    disk = shutil.disk_usage(folder).free >> 20
    return {
        "cpus_milli": min(len(os.sched_getaffinity(0)) * 1000, _cgroup_cpus_milli()),
        "mem_mib": mem - min(1024, mem // 2),
        "disk_mib": disk - min(5120, disk // 2),
        "gpus_milli": 1000 * len([name for name in glob.glob("/dev/nvidia*") if re.fullmatch(r"/dev/nvidia\d+", name)]),
    }


def plan_agents(
    count: int, machine: dict[str, int], prefix: str, cpus: float | None, mem: int | None, node: str, simulated: bool
) -> list[dict[str, Any]]:
    """The agents of one machine: an even share each, unless `cpus` or `mem` (MiB) are given.

    Returns `[{name, cpus_milli, mem_mib, disk_mib, gpus_milli, ports: [first, last], attributes}]`.
    Raises UsageError.
    """
    if count < 1:
        raise UsageError(f"a cluster needs at least one agent, {count} were asked for; say --agents 1 or more")
    if cpus is not None and not 0 < cpus <= 1_000_000:
        raise UsageError(f"--agent-cpus must be more than 0, it is {cpus}")
    if mem is not None and not 0 < mem < 2**31:
        raise UsageError(f"--agent-mem must be a number of MiB above 0, it is {mem}")
    share = 1 if simulated else count
    own = dict(SIMULATED) if simulated else machine
    ports = (PORTS_LAST - PORTS_FIRST + 1) // share
    if ports < 1:
        raise UsageError(f"{count} agents on one machine are too many: each needs a port; use --simulated")
    host = socket.gethostname()
    agents = []
    for at in range(count):
        first = PORTS_FIRST + (0 if simulated else at * ports)
        agents.append(
            {
                "name": f"{prefix}{at + 1}",
                "cpus_milli": round(cpus * 1000) if cpus is not None else own["cpus_milli"] // share,
                "mem_mib": mem if mem is not None else own["mem_mib"] // share,
                "disk_mib": own["disk_mib"] // share,
                "gpus_milli": own["gpus_milli"] // share // 1000 * 1000,
                "ports": [first, first + ports - 1],
                "attributes": {
                    "hostname": f"{prefix}{at + 1}" if simulated else host,
                    "node": node,
                    "ports": f"{first}-{first + ports - 1}",
                },
            }
        )
    return agents


def fleet_names(first: int, count: int) -> list[str]:
    """Names of simulated agents, as `plan_agents` has them."""
    return [f"a{number}" for number in range(first + 1, first + count + 1)]


def _physical_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def _cgroup_mib() -> int:
    """The limit of the control group that a container runs in."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text.isdigit():
            return min(int(text) >> 20, 1 << 40)
    return 1 << 40


def _cgroup_cpus_milli() -> int:
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        return max(100, int(quota) * 1000 // int(period))
    return 1 << 30


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
