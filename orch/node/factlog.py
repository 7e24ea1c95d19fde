"""What an agent remembers over the death of its supervisor: facts in a file, and a snapshot now and then.

There is no fsync: what must be survived is a killed process, not a power cut, which ends the pods as well. Frames are
length, CRC-32 and the encoded list of facts of one event; a torn one at the end is cut off.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

from orch.model.codec import CodecError, decode, encode

HEAD = struct.Struct("<II")
SNAPSHOT_BYTES = 8 << 20
"""Facts in the log before a snapshot takes their place."""


class FactLog:
    """`facts.N` in a folder, and `snapshot`, which says at which N its facts end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._fd = -1
        self.size = 0

    def read(self) -> tuple[dict[str, Any] | None, list[list[Any]]]:
        """(the snapshot's image or None, the facts of each event since). Then the log is open for `append`."""
        image = None
        path = self._folder / "snapshot"
        if path.exists():
            head = decode(path.read_bytes())
            self._number, image = int(head["number"]), head["image"]
        events, whole = _frames(self._path())
        self._open()
        os.ftruncate(self._fd, whole)
        self.size = whole
        self._remove_old()
        return image, events

    def append(self, facts: list[Any]) -> None:
        """Keep the facts of one event, before anything is done about them. Raises OSError where the disk is full."""
        body = encode(facts)
        frame = HEAD.pack(len(body), zlib.crc32(body)) + body
        wrote = os.write(self._fd, frame)
        if wrote != len(frame):
            os.ftruncate(self._fd, self.size)
            raise OSError(28, f"only {wrote} of {len(frame)} bytes of a fact could be written to {self._path()}")
        self.size += len(frame)

    def wants_snapshot(self) -> bool:
        """Whether the log has grown enough."""
        return self.size > SNAPSHOT_BYTES

    def save(self, image: dict[str, Any]) -> None:
        """Put a snapshot in place of all facts so far."""
        number = self._number + 1
        beside = self._folder / "snapshot.new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(encode({"number": number, "image": image}))
        os.replace(beside, self._folder / "snapshot")
        self._number = number
        self._open()
        os.ftruncate(self._fd, 0)
        self.size = 0
        self._remove_old()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _path(self) -> Path:
        return self._folder / f"facts.{self._number}"

    def _open(self) -> None:
        self.close()
        self._fd = os.open(self._path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _remove_old(self) -> None:
        for path in self._folder.glob("facts.*"):
            if path != self._path():
                path.unlink(missing_ok=True)


def _frames(path: Path) -> tuple[list[list[Any]], int]:
    data = path.read_bytes() if path.exists() else b""
    events: list[list[Any]] = []
    at = 0
    while at + HEAD.size <= len(data):
        size, crc = HEAD.unpack_from(data, at)
        body = data[at + HEAD.size : at + HEAD.size + size]
        if len(body) != size or zlib.crc32(body) != crc:
            break
        try:
            events.append(decode(body))
        except CodecError:
            break
        at += HEAD.size + size
    return events, at
