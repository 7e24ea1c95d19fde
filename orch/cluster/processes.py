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
        found = _stat(self.pid)
        return found is not None and found.started == self.started and found.state not in ("Z", "X")

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
    wanted = f"ORCH_CLUSTER={cluster}".encode()
    sessions = {} if runtime_base is None else _sessions(cluster, runtime_base)
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        stat = _stat(int(name))
        if stat is None or stat.state in ("Z", "X"):
            continue
        if (
            stat.session in sessions and sessions[stat.session][0] <= stat.started
        ):  # first: a title may spare some marks
            found.append(Process(int(name), stat.started, "ray", sessions[stat.session][1]))
            continue
        marks = _environment(int(name))
        if wanted in marks:
            found.append(Process(int(name), stat.started, _mark(marks, b"ORCH_ROLE="), _mark(marks, b"ORCH_NODE=")))
    return found


def note_session(runtime: Path, pid: int) -> None:
    """Remember that a session of Ray began with this process, which leads it."""
    file = runtime / "ray-sessions"
    lines = file.read_text().splitlines() if file.exists() else []
    file.write_text("\n".join([*lines[-9:], f"{pid} {start_of(pid)}"]) + "\n")


def _sessions(cluster: str, base: Path) -> dict[int, tuple[int, str]]:
    """Session -> start time of its leader and node, as noted; but sessions whose number others have taken since."""
    found = {}
    for file in base.glob(f"{cluster[:8]}*/ray-sessions"):
        node = file.parent.name[9:] or "head"
        for line in file.read_text().splitlines():
            pid, started = (int(word) for word in line.split())
            leader = _stat(pid)
            if leader is None or leader.started == started:
                found[pid] = (started, node)
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def named(pid: int, started: int) -> Process | None:
    """The process with this pid, if it still is the one that started then."""
    process = Process(pid, started, "", "")
    return process if pid > 0 and process.alive() else None


def start_of(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none."""
    found = _stat(pid)
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


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """What /proc says. The command's name, in brackets, may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Stat(fields[0].decode(), int(fields[3]), int(fields[19]))


def _mark(marks: list[bytes], prefix: bytes) -> str:
    return next((mark[len(prefix) :].decode(errors="replace") for mark in marks if mark.startswith(prefix)), "")
