"""`ray start --head` alone, with the options that a cluster of ours gives it; the peer for start time and memory."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.processes import pss_bytes, with_environment

_READY_S = 60.0


class RayHead:
    """A Ray head of its own for a `with` block; ready when the block begins, gone when it ends.

    block: with `--block`, as our supervisor runs it; without, as a person would start it by hand.
    """

    def __init__(self, block: bool = False) -> None:
        self._block = block
        self._marker = secrets.token_hex(8)
        self._folder = Path(tempfile.mkdtemp(prefix="r-", dir="/tmp"))

    def __enter__(self) -> RayHead:
        from orch.cluster.ray_process import RayNode

        token = self._folder / "token"
        token.write_text(secrets.token_urlsafe(32))
        token.chmod(0o600)
        port = _free_port()
        node = RayNode("bench", "head", "127.0.0.1", self._folder / "r", token, head_port=port)
        environment = {**node.environment(), "ORCH_BENCH": self._marker}
        try:
            self._start(node.command(), environment, port)
        except BaseException:  # interrupted, say: a block that did not begin has no end
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _start(self, node: list[str], environment: dict[str, str], port: int) -> None:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if self._block:
            subprocess.Popen(node, env=environment, start_new_session=True, **quiet)  # type: ignore[call-overload]
            _wait_for_port(port)
        else:
            command = [part for part in node if part != "--block"]
            subprocess.run(command, env=environment, check=True, **quiet)  # type: ignore[call-overload]

    def _end(self) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self._folder, ignore_errors=True)

    def pids(self) -> list[int]:
        """The processes of this Ray."""
        return with_environment(f"ORCH_BENCH={self._marker}")

    def pss_bytes(self) -> int:
        """Proportional memory of all its processes."""
        return sum(pss_bytes(pid) for pid in self.pids())


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
