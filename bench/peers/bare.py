"""The ceiling: one or two processes that spawn and reap the same command, with an output file each."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.peers.work import COMMAND, exit_code, output


def run(n: int, spawners: int) -> tuple[float, bool]:
    """Launch n commands by this many spawners; returns (launches a second, all outputs and codes right)."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        pids = []
        for which in range(spawners):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if _spawn(Path(folder), range(which, n, spawners)) else 1)
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        took = time.perf_counter() - begun
        right = not any(codes) and all((Path(folder) / str(i)).read_bytes() == output(i) for i in range(n))
    return n / took, right


def _spawn(folder: Path, indexes: range) -> bool:
    right = True
    for index in indexes:
        out = os.open(folder / str(index), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        pid = os.posix_spawn(
            "/bin/sh", ["sh", "-c", COMMAND], {"ORCH_INDEX": str(index)}, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)]
        )
        os.close(out)
        right &= os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == exit_code(index)
    return right
