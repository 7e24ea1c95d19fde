"""What the processes of a cluster use: proportional memory and CPU time, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from orch.node.procfs import environment_of, pids, stat_of

_TICKS = os.sysconf("SC_CLK_TCK")


def with_environment(marker: str) -> list[int]:
    """Pids of all processes with this `NAME=value` in their environment, or in a session that one of those leads.

    Ray's agents write titles over their environments, not the same part at each start: only their session tells.
    """
    name, _, value = marker.partition("=")
    marked = {pid for pid in pids() if environment_of(pid).get(name) == value}
    in_sessions = {pid for pid in pids() if (stat := stat_of(pid)) is not None and stat.session in marked}
    return sorted(marked | in_sessions)


def pss_bytes(pid: int) -> int:
    """Proportional set size of a process: its own pages, and its share of those it shares; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def cpu_s(of: list[int]) -> float:
    """CPU seconds of these processes and of their children that were waited for."""
    total = 0
    for pid in of:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS


def command_of(pid: int) -> str:
    """A process's command line, for reports."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
