"""Virtual time: a queue of what happens next, and the randomness of one seed."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any


class World:
    """The clock, the queue and the dice of one run, and the digest of all that happened in it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_ms = 0
        self.events = 0
        self.trace: list[str] | None = None
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._digest = hashlib.sha256()

    def at(self, when_ms: int, happen: Callable[[], None]) -> None:
        """Let something happen at a time, not before now; what is due at one time happens in the order it was asked."""
        self._count += 1
        heapq.heappush(self._queue, (max(when_ms, self.now_ms), self._count, happen))

    def after(self, delay_ms: int, happen: Callable[[], None]) -> None:
        """Let something happen after a delay."""
        self.at(self.now_ms + delay_ms, happen)

    def step(self, end_ms: int) -> bool:
        """Let the next thing happen; False if there is none before `end_ms`."""
        if not self._queue or self._queue[0][0] > end_ms:
            return False
        self.now_ms, _, happen = heapq.heappop(self._queue)
        self.events += 1
        happen()
        return True

    def record(self, who: str, what: Any, data: bytes = b"") -> None:
        """Add to the digest (and to the trace, if one is kept) that something happened to someone."""
        line = f"{self.now_ms} {who} {what}"
        self._digest.update(line.encode())
        self._digest.update(data)
        if self.trace is not None:
            self.trace.append(line)

    def digest(self) -> str:
        """SHA-256 of everything recorded so far, in hexadecimal."""
        return self._digest.hexdigest()

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.dice.random() < share
