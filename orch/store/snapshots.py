"""Snapshots in files of their own: a large blob would block the journal's writer.

A file is `snapshot-<index>`: 8 bytes magic, 8 bytes index, 4 bytes CRC-32, 8 bytes length, then the image. It is
written under another name, synced, renamed, and the folder synced, so it is whole or not there.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from orch.store.interface import StoreError

KEPT = 2
_MAGIC = b"orchsnp1"
_HEAD = struct.Struct("<8sqIq")
_PREFIX = "snapshot-"


def write(folder: Path, index: int, image: bytes) -> None:
    """Write one snapshot and remove all but the newest `KEPT`."""
    final = folder / f"{_PREFIX}{index:020d}"
    draft = folder / f".{final.name}.tmp"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(_HEAD.pack(_MAGIC, index, zlib.crc32(image), len(image)))
        file.write(image)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, final)
    sync_folder(folder)
    for old in indices(folder)[:-KEPT]:
        os.unlink(folder / f"{_PREFIX}{old:020d}")


def indices(folder: Path) -> list[int]:
    """Indices of the snapshots there, ascending."""
    names = (entry.name[len(_PREFIX) :] for entry in folder.glob(f"{_PREFIX}*"))
    return sorted(int(name) for name in names if name.isdigit())


def newest(folder: Path) -> tuple[int, bytes] | None:
    """The newest whole snapshot. A damaged one is passed over if an older one is there, else StoreError."""
    problem = ""
    for index in reversed(indices(folder)):
        path = folder / f"{_PREFIX}{index:020d}"
        try:
            return index, _read(path)
        except (OSError, ValueError) as error:
            problem = f"{path}: {error}"
    if problem:
        raise StoreError(
            f"no snapshot is whole ({problem}); restore the data dir from a copy, or move it away to start empty"
        )
    return None


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) < _HEAD.size:
        raise ValueError("it is cut off")
    magic, _, crc, length = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("it is of another version")
    image = data[_HEAD.size :]
    if len(image) != length:
        raise ValueError("it is cut off")
    if zlib.crc32(image) != crc:
        raise ValueError("its checksum is wrong")
    return image
