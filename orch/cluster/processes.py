"""Processes of a cluster, found by what they have in their environment; ended politely, then not.

Every process of a cluster has ORCH_CLUSTER=<id>. Our own have ORCH_ROLE besides (supervisor, gateway, ray); pods
have none. Ray's workers and agents write their titles over their environment, so they are found by their session:
the one of `ray start`, noted in `ray-sessions` in the node's runtime dir.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from orch.node.procfs import boot_id, environment_of, pids, stat_of

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its pid, its start in clock ticks since boot (together they name it for good), its marks."""

    pid: int
    started: int
    role: str
    node: str

    def alive(self) -> bool:
        """Whether this very process is still there, and not a zombie."""
        found = stat_of(self.pid)
        return found is not None and found.started == self.started and found.alive

    def kill(self, number: int) -> None:
        """Send a signal, if it is still the same process."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


def of_cluster(cluster: str, runtime_base: Path | None = None) -> list[Process]:
    """All processes of a cluster on this machine but the caller itself; zombies do not count.

    runtime_base: where the runtime dirs of the cluster's nodes are, with the notes on Ray's sessions.
    """
    found = []
    sessions = {} if runtime_base is None else _sessions(cluster, runtime_base)
    for pid in pids():
        stat = stat_of(pid)
        if pid in (1, os.getpid()) or stat is None or not stat.alive:
            continue
        leader_started, node = sessions.get(stat.session, (stat.started + 1, ""))
        if leader_started <= stat.started:  # asked first: a title may spare some marks
            found.append(Process(pid, stat.started, "ray", node))
            continue
        env = environment_of(pid)
        if env.get("ORCH_CLUSTER") == cluster:
            found.append(Process(pid, stat.started, env.get("ORCH_ROLE", ""), env.get("ORCH_NODE", "")))
    return found


def note_session(runtime: Path, pid: int) -> None:
    """Remember that a session of Ray began with this process, which leads it."""
    file = runtime / "ray-sessions"
    lines = file.read_text().splitlines() if file.exists() else []
    file.write_text("\n".join([*lines[-9:], f"{pid} {start_of(pid)} {boot_id()}"]) + "\n")


def _sessions(cluster: str, base: Path) -> dict[int, tuple[int, str]]:
    """Session -> start time of its leader and node, as noted; but sessions whose number others have taken since.

    A note from before a reboot counts no more, nor does session 0, which is whatever never called setsid: a wrong
    guess here ends the processes of somebody else.
    """
    found = {}
    for file in base.glob(f"{cluster[:8]}*/ray-sessions"):
        node = file.parent.name[9:] or "head"
        for line in file.read_text().splitlines():
            pid, started, boot = line.split()
            if int(pid) <= 1 or boot != boot_id():
                continue
            leader = stat_of(int(pid))
            if leader is None or leader.started == int(started):
                found[int(pid)] = (int(started), node)
    return found


def named(pid: int, started: int) -> Process | None:
    """The process with this pid, if it still is the one that started then."""
    process = Process(pid, started, "", "")
    return process if pid > 0 and process.alive() else None


def start_of(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none."""
    found = stat_of(pid)
    return found.started if found is not None else 0


def end_all(find: Callable[[], Iterable[Process]], grace_s: float) -> int:
    """SIGTERM to all that `find` finds, SIGKILL after the grace, until none is left. Returns how many there were."""
    deadline = time.monotonic() + grace_s
    asked: set[tuple[int, int]] = set()
    while True:
        left = list(find())
        if not left:
            return len(asked)
        late = time.monotonic() >= deadline
        for process in left:
            name = (process.pid, process.started)
            if late:
                process.kill(signal.SIGKILL)
            elif name not in asked:
                process.kill(signal.SIGTERM)
                process.kill(signal.SIGCONT)
            asked.add(name)
        if late and time.monotonic() > deadline + 10:
            return len(asked)  # in the kernel's hands: a process in an endless system call
        time.sleep(_POLL_S)
