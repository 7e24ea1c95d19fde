"""One writer a data dir: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from orch.store.interface import StoreError

_RETRY_S = 0.05


class DirLock:
    """Holds `lock` in a folder from creation until `release` or the end of the process.

    path: the folder. wait_s: how long a predecessor may take to die (its pid is in the file). Raises StoreError.
    """

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        self._file = path / "lock"
        self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self._refuse(path)
                time.sleep(_RETRY_S)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another writer in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _refuse(self, path: Path) -> None:
        holder = os.pread(self._fd, 32, 0).decode(errors="replace") or "another process"
        self.release()
        raise StoreError(
            f"the journal in {path} is being written by process {holder}; stop it first, or use another data dir"
        )
