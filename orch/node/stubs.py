"""Service containers: each under a stub of its own, which outlives us.

A stub tells on a pipe how the start went, and its end is seen on its pidfd; what it wrote to its folder is the truth.
After a restart of the supervisor the living stubs are held again by (boot id, pid, start time).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from orch.agent.events import ContainerChanged
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import State
from orch.node import _spawn, reasons
from orch.node.environment import to_list
from orch.node.launchable import Launchable
from orch.node.procfs import Identity, hold, pids, signal_marked

log = structlog.get_logger("orch.node")

PROGRAM = Path(__file__).with_name("stub")
LOG_MAX_BYTES = 16 << 20
"""Of one stream's file; one older file is kept beside it."""
_PID_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Container:
    """Which container of which start of an instance."""

    id: int
    attempt: int
    at: int
    round: int
    name: str
    command: str


@dataclass(frozen=True, slots=True)
class StubSpec:
    """What a stub is given: who it is for, what to run, and where."""

    container: Container
    ready: Launchable
    env: dict[str, str]
    folder: Path
    sandbox: Path
    logs: Path
    grace_ms: int
    marks: dict[str, str]
    """The stub's own environment: ORCH_CLUSTER and ORCH_AGENT."""
    cgroups: tuple[Path, ...] = ()


class Stub:
    """One stub that runs, held by its pidfd. Needs a running event loop."""

    def __init__(self, container: Container, folder: Path, pid: int, pidfd: int, done: Callable[[Stub], None]) -> None:
        self.container, self.folder, self.pid, self.pidfd = container, folder, pid, pidfd
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._ended)

    def stop(self, grace_ms: int) -> None:
        """SIGTERM to the whole tree, SIGKILL to it after the grace."""
        _spawn.pidfd_signal(self.pidfd, signal.SIGTERM, min(max(grace_ms, 0), (1 << 31) - 1))

    def kill(self) -> None:
        """SIGKILL to the whole tree, now."""
        _spawn.pidfd_signal(self.pidfd, signal.SIGUSR1)

    def release(self) -> None:
        """Let go of it; it lives on."""
        self._loop.remove_reader(self.pidfd)
        os.close(self.pidfd)

    def _ended(self) -> None:
        self.release()
        with contextlib.suppress(ChildProcessError):  # an adopted one is not our child
            os.waitpid(self.pid, os.WNOHANG)
        self._done(self)


class Stubs:
    """The stubs of one agent. tell: takes what happened, as the agent's machine wants to hear it."""

    def __init__(self, cluster: str, tell: Callable[[ContainerChanged], None]) -> None:
        self._cluster, self._tell = cluster, tell
        self._running: dict[tuple[int, int, int], Stub] = {}
        self._pipes: set[int] = set()
        self._told: set[tuple[int, int, int]] = set()

    @property
    def running(self) -> list[Stub]:
        """Those that are held."""
        return list(self._running.values())

    def start(self, spec: StubSpec) -> None:
        """Start one; how it went comes by `tell`."""
        spec.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in ("pid", "exit"):
            (spec.folder / old).unlink(missing_ok=True)
        spec.logs.parent.mkdir(mode=0o700, exist_ok=True)
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        memory = os.memfd_create("orch-stub-spec", os.MFD_CLOEXEC)
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(_encode(spec))
            os.lseek(memory, 0, os.SEEK_SET)
            argv = [os.fsencode(PROGRAM), os.fsencode(spec.folder)]
            pid, pidfd, stage, error = _spawn.spawn(
                argv, to_list(spec.marks), b"/", stdin=memory, stdout=write_end, limits=spec.ready.limits
            )
        finally:
            os.close(memory)
            os.close(write_end)
        if pid < 0 or pidfd < 0:
            os.close(read_end)
            self._tell(_failed(spec.container, stage or reasons.Stage.WATCH, error, time.time_ns() // 1_000_000))
            return
        self._hold(spec.container, spec.folder, pid, pidfd)
        self._pipes.add(read_end)
        asyncio.get_running_loop().add_reader(read_end, self._heard, read_end, spec.container)

    def stop(self, id: int, attempt: int, grace_ms: int) -> bool:
        """Stop the containers of an instance; False if none runs."""
        found = [stub for key, stub in self._running.items() if key[:2] == (id, attempt)]
        for stub in found:
            stub.stop(grace_ms)
        return bool(found)

    async def recover(self, container: Container, folder: Path) -> None:
        """After a restart of the supervisor: adopt what lives, report what ended, and call the rest LOST."""
        pid_file = folder / "pid"
        if not (folder / "exit").exists():
            await self._wait_for(pid_file, folder)
            identity = _identity(pid_file)
            pidfd = hold(identity[0]) if identity is not None else None
            if identity is not None and pidfd is not None:
                self._tell_running(container, identity[1])
                self._hold(container, folder, identity[0].pid, pidfd)
                return
        self._report_end(container, folder)

    def release(self) -> None:
        """Let go of all; they live on."""
        for stub in self._running.values():
            stub.release()
        self._running.clear()
        for pipe in list(self._pipes):
            self._close(pipe)

    def _hold(self, container: Container, folder: Path, pid: int, pidfd: int) -> None:
        self._running[_key(container)] = Stub(container, folder, pid, pidfd, self._ended)

    def _ended(self, stub: Stub) -> None:
        self._running.pop(_key(stub.container), None)
        self._report_end(stub.container, stub.folder)

    def _report_end(self, container: Container, folder: Path) -> None:
        record = read_exit(folder)
        if record is None:
            killed = signal_marked(self._cluster, [(container.id, container.attempt)], signal.SIGKILL)
            log.warning("a stub left no exit record", instance=container.id, container=container.name, killed=killed)
            self._tell(_lost(container))
        elif record.exited:
            self._tell_running(container, record.started_ms)
            self._tell(_exited(container, record.code, record.ended_ms))
        else:
            self._tell(_failed(container, record.stage, record.error, record.ended_ms))
        self._told.discard(_key(container))

    def _heard(self, pipe: int, container: Container) -> None:
        """The stub said how the start went; a failed one is reported when it has ended, with its record."""
        text = b""
        with contextlib.suppress(BlockingIOError):
            text = os.read(pipe, 4096)
        self._close(pipe)
        words = text.split()
        if len(words) == 3 and words[0] == b"started" and _key(container) in self._running:
            self._tell_running(container, int(words[2]))

    def _tell_running(self, container: Container, started_ms: int) -> None:
        """Once: a stub that ends at once is heard on its pipe and seen on its pidfd in any order."""
        if _key(container) not in self._told:
            self._told.add(_key(container))
            self._tell(_running(container, started_ms))

    def _close(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        self._pipes.discard(pipe)
        os.close(pipe)

    async def _wait_for(self, pid_file: Path, folder: Path) -> None:
        """A stub that was just being started when its supervisor died writes its pid a moment later."""
        deadline = asyncio.get_running_loop().time() + _PID_WAIT_S
        while not pid_file.exists() and asyncio.get_running_loop().time() < deadline and _has_stub(folder):
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """What a stub wrote when it was over: exited with a code (0..255, -signal), or a start that failed."""

    exited: bool
    ended_ms: int
    code: int = NO_EXIT_CODE
    started_ms: int = 0
    lost_bytes: int = 0
    stage: int = 0
    error: int = 0


def read_exit(folder: Path) -> ExitRecord | None:
    """The exit record in a stub's folder; None if there is none, or none that is whole."""
    try:
        words = (folder / "exit").read_text().split()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(words) == 6 and words[:2] == ["1", "exited"]:
        code, started_ms, ended_ms, lost = map(int, words[2:])
        return ExitRecord(True, ended_ms, code=code, started_ms=started_ms, lost_bytes=lost)
    if len(words) == 5 and words[:2] == ["1", "failed"]:
        stage, error, at_ms = map(int, words[2:])
        return ExitRecord(False, at_ms, stage=stage, error=error)
    return None


def _identity(pid_file: Path) -> tuple[Identity, int] | None:
    """(who the stub is, when its command started in ms)."""
    try:
        words = pid_file.read_text().split()
    except FileNotFoundError:
        return None
    if len(words) != 6 or words[0] != "1":
        return None
    return Identity(words[1], int(words[2]), int(words[3])), int(words[5])


def _has_stub(folder: Path) -> bool:
    wanted = os.fsencode(folder)
    for pid in pids():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2]:
                return True
    return False


def _encode(spec: StubSpec) -> bytes:
    ready = spec.ready
    fields: list[tuple[str, bytes]] = [("arg", word) for word in ready.argv]
    fields += [("env", entry) for entry in to_list(spec.env)]
    fields += [
        ("path", ready.path),
        ("cwd", os.fsencode(spec.sandbox)),
        ("logs", os.fsencode(spec.logs)),
        ("log_max_bytes", str(LOG_MAX_BYTES).encode()),
        ("grace_ms", str(spec.grace_ms).encode()),
        ("uid", str(ready.user.uid).encode()),
        ("gid", str(ready.user.gid).encode()),
    ]
    fields += [("group", str(group).encode()) for group in ready.user.groups]
    fields += [("limit", ":".join(map(str, limit)).encode()) for limit in ready.limits]
    fields += [("cgroup", os.fsencode(path)) for path in spec.cgroups]
    return b"".join(name.encode() + b"\0" + value + b"\0" for name, value in fields)


def _key(container: Container) -> tuple[int, int, int]:
    return container.id, container.attempt, container.at


def _lost(container: Container) -> ContainerChanged:
    return ContainerChanged(
        container.id, container.attempt, container.at, int(State.LOST), NO_EXIT_CODE, int(Reason.NO_EXIT_RECORD),
        time.time_ns() // 1_000_000, container.round, "its process is gone and left no exit record",
    )  # fmt: skip


def _running(container: Container, started_ms: int) -> ContainerChanged:
    return ContainerChanged(
        container.id, container.attempt, container.at, int(State.RUNNING), NO_EXIT_CODE, int(Reason.NONE), started_ms,
        container.round,
    )  # fmt: skip


def _exited(container: Container, code: int, at_ms: int) -> ContainerChanged:
    state, reason = reasons.ended(code)
    return ContainerChanged(
        container.id, container.attempt, container.at, int(state), code, int(reason), at_ms, container.round,
        "" if code == 0 else reasons.ended_sentence(code),
    )  # fmt: skip


def _failed(container: Container, stage: int, error: int, at_ms: int) -> ContainerChanged:
    state, reason = reasons.not_started(stage, error)
    return ContainerChanged(
        container.id, container.attempt, container.at, int(state), NO_EXIT_CODE, int(reason), at_ms, container.round,
        reasons.not_started_sentence(stage, error, container.command),
    )  # fmt: skip
