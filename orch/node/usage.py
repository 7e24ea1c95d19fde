"""What this machine really uses, from /proc: shown beside what pods asked for, never used to place them."""

from __future__ import annotations

import os
from pathlib import Path


class Usage:
    """Differences between two looks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ticks = _cpu_ticks()

    def look(self) -> dict[str, float]:
        """`{"cpus", "mem": MiB, "disk": MiB}`, of the whole machine; cpus since the last look."""
        busy, total = _cpu_ticks()
        before_busy, before_total = self._ticks
        self._ticks = busy, total
        passed = total - before_total
        cpus = (busy - before_busy) / passed * (os.cpu_count() or 1) if passed > 0 else 0.0
        disk = os.statvfs(self._folder)
        used_mib = (disk.f_blocks - disk.f_bfree) * disk.f_frsize / (1 << 20)
        return {"cpus": round(cpus, 3), "mem": round(_memory_mib(), 1), "disk": round(used_mib, 1)}


def _cpu_ticks() -> tuple[int, int]:
    """(busy, all) clock ticks of all processors since boot."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    total = sum(fields)
    return total - fields[3] - fields[4], total


def _memory_mib() -> float:
    found = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0])
    return (found["MemTotal"] - found.get("MemAvailable", found["MemFree"])) / 1024
