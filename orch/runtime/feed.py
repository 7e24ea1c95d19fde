"""The last records, durable and soft, for those who follow the master (the gateway's replica)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from orch.model.codec import encode


class Feed:
    """A ring of encoded records, numbered from 1. A record is shown once its journal index is durable.

    life: names this run of the host; a follower that comes with another one has to take a new image.
    """

    def __init__(self, life: str, max_bytes: int = 8 << 20) -> None:
        self.life = life
        self.added = 0
        """Number of the newest record, shown or not."""
        self.shown = 0
        """Number of the newest record that followers may see."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pending: deque[tuple[int, bytes]] = deque()
        self._ring: deque[bytes] = deque()
        self._moved = asyncio.Event()

    def add(self, index: int, body: bytes) -> None:
        """Queue a record that may be shown once the journal is durable up to `index`."""
        self.added += 1
        self._pending.append((index, body))

    def release(self, durable_index: int) -> None:
        """The journal is durable up to here: show what waited for it."""
        before = self.shown
        while self._pending and self._pending[0][0] <= durable_index:
            body = self._pending.popleft()[1]
            self._ring.append(body)
            self._bytes += len(body)
            self.shown += 1
        while self._bytes > self._max_bytes and len(self._ring) > 1:
            self._bytes -= len(self._ring.popleft())
        if self.shown > before:
            self._wake()

    def end(self) -> None:
        """This life of the host is over: followers get a gap."""
        self.life = ""
        self._ring.clear()
        self._wake()

    async def follow(self, life: str, after: int, timeout_ms: int, max_bytes: int = 4 << 20) -> bytes:
        """Encoded `{"after": n, "records": [encoded record, ...]}`, waiting for the first one; or `{"gap": True}`.

        life, after: as in the image or the answer before. Empty `records` when nothing came in time.
        """
        if life == self.life and after == self.shown:
            await self._wait(after, timeout_ms)
        oldest = self.shown - len(self._ring)
        if life != self.life or not oldest <= after <= self.shown:
            return encode({"gap": True})
        return encode({"after": after, "records": self._slice(after - oldest, max_bytes)})

    async def wait_shown(self, number: int) -> None:
        """Return when record `number` may be seen, or the life is over."""
        while self.shown < number and self.life:
            await self._moved.wait()

    def _slice(self, start: int, max_bytes: int) -> list[bytes]:
        found: list[bytes] = []
        size = 0
        for at in range(start, len(self._ring)):
            body = self._ring[at]
            size += len(body)
            if found and size > max_bytes:
                break
            found.append(body)
        return found

    async def _wait(self, number: int, timeout_ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                while self.shown <= number and self.life:
                    await self._moved.wait()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
