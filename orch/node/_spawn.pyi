from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STARTED: int
EXITED: int
NOT_STARTED: int
CANCELLED: int
EVENT: np.dtype[np.void]
EVENT_MAGIC: int

Limits = Sequence[tuple[int, int, int]]

class Template:
    def __init__(
        self,
        argv: list[bytes],
        env: list[bytes],
        path: bytes,
        sandbox_root: bytes,
        log_root: bytes,
        name: bytes,
        *,
        uid: int = -1,
        gid: int = -1,
        groups: Sequence[int] = (),
        limits: Limits = (),
        cgroup_fds: Sequence[int] = (),
        mask: int = 0o022,
        log_max_bytes: int = ...,
        mem_limit_kib: int = 0,
        user: int = 0,
    ) -> None: ...

class Engine:
    def __init__(self, workers: int = 2, journal_fd: int = -1) -> None: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    @property
    def live(self) -> int: ...
    @property
    def queued(self) -> int: ...
    @property
    def ended(self) -> int: ...
    def running(self) -> NDArray[np.int64]: ...
    def launch(
        self,
        template: Template,
        ids: NDArray[np.int64],
        attempts: NDArray[np.int32],
        index: NDArray[np.int64],
        env_blob: bytes = b"",
        env_off: NDArray[np.int64] | None = None,
    ) -> None: ...
    def kill(self, ids: NDArray[np.int64], attempts: NDArray[np.int32], signal: int) -> NDArray[np.uint8]: ...
    def take(self) -> NDArray[Any]: ...
    def rotate(self, journal_fd: int) -> None: ...

def crc(data: bytes) -> int: ...
def spawn(
    argv: list[bytes],
    env: list[bytes],
    path: bytes,
    cwd: bytes | None = None,
    *,
    stdin: int = -1,
    stdout: int = -1,
    stderr: int = -1,
    uid: int = -1,
    gid: int = -1,
    groups: Sequence[int] = (),
    limits: Limits = (),
    cgroup_fds: Sequence[int] = (),
    mask: int = 0o022,
    new_session: bool = True,
    death_signal: int = 0,
) -> tuple[int, int, int, int]: ...
def pidfd_signal(pidfd: int, signal: int, value: int | None = None) -> bool: ...
