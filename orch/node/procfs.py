"""What /proc tells of the processes of this machine: who they are, whose children, with which environment.

Light to import: the command line looks for a cluster's processes by it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for good: a pid alone is used again. start_ticks: since boot, from /proc/PID/stat."""

    boot_id: str
    pid: int
    start_ticks: int


def boot_id() -> str:
    """Names this run of the kernel."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat. started: in clock ticks since boot; with the pid it names a process for good."""

    state: str
    parent: int
    session: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it is more than a zombie."""
        return self.state not in ("Z", "X")


def stat_of(pid: int) -> Stat | None:
    """What /proc says of a process; None if there is none. The command's name, in brackets, may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def hold(identity: Identity) -> int | None:
    """A pidfd of exactly this process, or None if it is gone."""
    if identity.boot_id != boot_id():
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return None
    found = stat_of(identity.pid)  # looked at while the pidfd is held, so the number is not used anew in between
    if found is None or not found.alive or found.started != identity.start_ticks:
        os.close(pidfd)
        return None
    return pidfd


def pids() -> Iterator[int]:
    """All processes of this machine, as far as /proc shows them."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield int(name)


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where it can't be read, or for a zombie."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def marked(cluster: str, agent: str = "") -> dict[int, tuple[int, int]]:
    """pid -> (instance id, attempt) of every process that carries the marks of a pod of this cluster (and agent).

    A process that overwrites its environment escapes this; stubs, process groups and cgroups are there for those.
    """
    found = {}
    for pid in pids():
        env = environment_of(pid)
        if env.get("ORCH_CLUSTER") == cluster and "ORCH_ID" in env and agent in ("", env.get("ORCH_AGENT")):
            with contextlib.suppress(ValueError):
                found[pid] = (int(env["ORCH_ID"]), int(env.get("ORCH_ATTEMPT", "0")))
    return found


def signal_marked(cluster: str, instances: Iterable[tuple[int, int]], number: int, groups: Collection[int] = ()) -> int:
    """Signal every process of these instances, wherever it has moved to. Returns how many there were.

    groups: process groups that got the signal already.
    """
    wanted = set(instances)
    count = 0
    for pid, instance in marked(cluster).items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if instance in wanted and os.getpgid(pid) not in groups:
                os.kill(pid, number)
                count += 1
    return count


def children() -> list[int]:
    """Direct children of this process, also those that were orphaned to it."""
    own = os.getpid()
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{own}/task"):
            with open(f"/proc/{own}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        return [pid for pid in pids() if (stat := stat_of(pid)) is not None and stat.parent == own]
    return found
