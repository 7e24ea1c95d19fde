"""Payloads of jobs: fetched from the gateway once for all pods of a job on this machine, one copy for each user."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from orch.model.errors import OrchError
from orch.node.users import User

ASKED, GIVEN = "ORCH_BLOB", "ORCH_PAYLOAD"
"""Variables: the sha256 that a spec names, and the path of the copy that its pods find."""
UNUSED_S = 3600
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class Blobs:
    """A folder of copies, named by user and sha256. source: from a sha256 to the bytes, in chunks."""

    def __init__(self, folder: Path, source: Callable[[str], AsyncIterator[bytes]]) -> None:
        self._folder, self._source = folder, source
        self._under_way: dict[Path, asyncio.Task[None]] = {}

    def path(self, sha256: str, user: User) -> Path:
        """Where the copy for a user is, or will be. Raises OrchError where it is no sha256."""
        if not _SHA256.match(sha256):
            raise OrchError(f"{ASKED}={sha256[:80]!r} is no sha256: 64 digits of 0-9a-f")
        return self._folder / f"{max(user.uid, 0)}-{sha256}"

    def is_here(self, path: Path) -> bool:
        """Whether the copy is there; being asked for is a use."""
        with contextlib.suppress(OSError):
            os.utime(path)
            return True
        return False

    async def fetch(self, path: Path, user: User) -> None:
        """Get the copy, unless it is there; those who ask at once share one fetch. Raises OrchError and OSError."""
        if self.is_here(path):
            return
        task = self._under_way.get(path)
        if task is None:
            task = self._under_way[path] = asyncio.get_running_loop().create_task(self._fetch(path, user))
            task.add_done_callback(lambda _: self._under_way.pop(path, None))
        await asyncio.shield(task)

    def tidy(self, now_s: float | None = None) -> None:
        """Remove copies that were not used for `UNUSED_S`."""
        before = (time.time() if now_s is None else now_s) - UNUSED_S
        with contextlib.suppress(FileNotFoundError):
            for entry in self._folder.iterdir():
                if entry.stat().st_mtime < before:
                    entry.unlink(missing_ok=True)

    async def _fetch(self, path: Path, user: User) -> None:
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        wanted = path.name.partition("-")[2]
        beside = path.with_name(f".{path.name}.new")
        digest = hashlib.sha256()
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                async for chunk in self._source(wanted):
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                if user.uid >= 0:
                    os.fchown(file.fileno(), user.uid, user.gid)
                os.fchmod(file.fileno(), 0o400)
            if digest.hexdigest() != wanted:
                raise OrchError(f"the payload that came has the sha256 {digest.hexdigest()}, not {wanted}")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
