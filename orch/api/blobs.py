"""Payloads of jobs: files named by the sha256 of what they hold, written once, removed by age of last use and size."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from orch.model.errors import NotFoundError, SpecError, TooLargeError

_SHA256 = re.compile(r"^[0-9a-f]{64}$")
CHUNK_BYTES = 1024 * 1024
UNUSED_S = 3600
"""A blob that was used within this time is not removed to make room."""


class BlobStore:
    """A folder of blobs. One process writes it."""

    def __init__(self, folder: Path, blob_bytes: int, total_bytes: int) -> None:
        self._folder, self._blob_bytes, self._total_bytes = folder, blob_bytes, total_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob(".incoming-*"):
            left.unlink(missing_ok=True)

    def size(self, sha256: str) -> int | None:
        """Bytes of a blob, None where there is none. Being asked for is a use."""
        path = self._path(sha256)
        try:
            os.utime(path)
            return path.stat().st_size
        except FileNotFoundError:
            return None

    async def put(self, sha256: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep a blob; returns its size. Raises TooLargeError, and SpecError where its bytes have another sha256."""
        path = self._path(sha256)
        digest, size = hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._blob_bytes:
                        raise TooLargeError(
                            f"the blob has more than the {self._blob_bytes} bytes that this route takes."
                        )
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            if digest.hexdigest() != sha256:
                raise SpecError(f"the bytes have the sha256 {digest.hexdigest()}, not {sha256}. Send them again.")
            self._make_room(size)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
        return size

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The blob in chunks. Raises NotFoundError."""
        try:
            file = open(self._path(sha256), "rb")  # noqa: SIM115  closed below; the generator outlives a with
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no blob {sha256}; it may have been removed to make room. Send it again."
            ) from None
        try:
            os.utime(file.fileno())
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()

    def _path(self, sha256: str) -> Path:
        if not _SHA256.match(sha256):
            raise NotFoundError(f"{sha256[:80]!r} is no sha256: 64 digits of 0-9a-f.")
        return self._folder / sha256

    def _make_room(self, size: int) -> None:
        """Remove the blobs that were not used for longest, until another of `size` fits."""
        found = [(entry.stat(), entry) for entry in self._folder.iterdir() if _SHA256.match(entry.name)]
        found.sort(key=lambda pair: pair[0].st_mtime)
        total = sum(stat.st_size for stat, _ in found) + size
        newest = found[-1][0].st_mtime if found else 0.0
        for stat, entry in found:
            if total <= self._total_bytes or stat.st_mtime > newest - UNUSED_S:
                break
            entry.unlink(missing_ok=True)
            total -= stat.st_size
        if total > self._total_bytes:
            raise TooLargeError(
                f"the blobs in use would have {total} bytes together; the cluster keeps {self._total_bytes}. "
                "Wait until jobs that use them have ended."
            )
