"""A child of ours, held by a pidfd from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from orch.node import _spawn


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
