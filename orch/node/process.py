"""Processes on this machine: who they are, whose children, and one of ours held by a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from orch.node import _spawn


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


def stat_of(pid: int) -> tuple[int, str, int] | None:
    """(parent, state letter, start in ticks since boot) of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[1]), fields[0].decode(), int(fields[19])


def hold(identity: Identity) -> int | None:
    """A pidfd of exactly this process, or None if it is gone."""
    if identity.boot_id != boot_id():
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return None
    found = stat_of(identity.pid)  # looked at while the pidfd is held, so the number is not used anew in between
    if found is None or found[1] == "Z" or found[2] != identity.start_ticks:
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
        return [pid for pid in pids() if (stat := stat_of(pid)) is not None and stat[0] == own]
    return found


class StartError(Exception):
    """A process could not be started. stage: see reasons.Stage; error: errno."""

    def __init__(self, stage: int, error: int, command: str) -> None:
        super().__init__(f"{command}: {os.strerror(error)} (stage {stage})")
        self.stage, self.error = stage, error


class Child:
    """A child of ours that is started by `_spawn`, and reaped when its pidfd says so. Needs a running event loop."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self.pidfd = pid, pidfd
        self.code: int | None = None
        """0..255 or -signal, once it has ended."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._reap)

    async def wait(self) -> int:
        """Its exit code, when it has ended."""
        return await asyncio.shield(self._ended)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back when it has ended."""
        self._ended.add_done_callback(lambda _: callback())

    def signal(self, number: int, group: bool = False) -> None:
        """Signal it, or its whole process group, unless it has ended."""
        if self.code is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(self.pid, number)
            else:
                _spawn.pidfd_signal(self.pidfd, number)

    def _reap(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it left in its group, while the zombie holds the number
        try:
            _, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.code = -signal.SIGKILL
        self._loop.remove_reader(self.pidfd)
        os.close(self.pidfd)
        if not self._ended.done():
            self._ended.set_result(self.code)


def start(argv: list[bytes], env: list[bytes], **options: Any) -> Child:
    """Start a child in a session of its own; options as of `_spawn.spawn`. Raises StartError."""
    path = options.pop("path", b"/usr/local/bin:/usr/bin:/bin")
    pid, pidfd, stage, error = _spawn.spawn(argv, env, path, **options)
    if pid < 0 or pidfd < 0:
        raise StartError(stage, error, os.fsdecode(argv[0]))
    return Child(pid, pidfd)
