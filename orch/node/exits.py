"""The exit journal: one record for each job that ended, appended by the engine before anybody is told.

It covers the moment between an end and the agent's own note of it. Only what was not taken in by then matters, so the
file is turned over now and then: everything in `.1` was told long ago.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.node import _spawn

ROTATE_BYTES = 4 << 20


def open_journal(path: Path) -> int:
    """A descriptor to append to."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path) -> int:
    """Put the file aside as `.1` (in place of an older one), and open a new one."""
    os.replace(path, _older(path))
    return open_journal(path)


def read(path: Path) -> NDArray[Any]:
    """All whole records, oldest first: an array of `_spawn.EVENT`. What comes after a broken one is not trusted."""
    return np.concatenate([_read(_older(path)), _read(path)])


def clear(path: Path) -> None:
    """Everything in it was told and noted."""
    for file in (_older(path), path):
        file.unlink(missing_ok=True)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _read(path: Path) -> NDArray[Any]:
    data = path.read_bytes() if path.exists() else b""
    size = _spawn.EVENT.itemsize
    records = np.frombuffer(data[: len(data) // size * size], dtype=_spawn.EVENT)
    whole = records["magic"] == _spawn.EVENT_MAGIC
    for row in np.flatnonzero(whole):
        at = int(row) * size
        whole[row] = zlib.crc32(data[at : at + size - 4]) == records["crc"][row]
    return records[: len(records) if whole.all() else int(np.argmin(whole))]
