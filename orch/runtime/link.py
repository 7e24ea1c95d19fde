"""Batches over calls: at once when the link is idle, gathered while it is busy.

One call at a time, because Ray may run two calls to an async actor in either order. And after a call the link rests in
proportion to what the call took: a call costs both ends about a millisecond of processor, whatever it carries, and
a busy machine should spend that on pods. What comes meanwhile goes along with the next call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orch.runtime.spans import WAIT, Spans

Item = tuple[str, bytes]
"""The agent that a message is for or from, and the message's encoded form."""

MAX_CALL_BYTES = 8 << 20
MAX_QUEUED_BYTES = 128 << 20
REST = 2.0
"""Times the duration of the last call."""
MAX_REST_S = 0.02
_PAUSE_S = 0.1
"""After a call that failed."""


class Link:
    """One direction to one receiver. What cannot be delivered is dropped: both ends notice by their numbers and resync.

    call: delivers a batch and raises if that failed. dropped: told of every failure. spans: where calls are noted.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Any]],
        dropped: Callable[[Exception], None],
        spans: Spans | None = None,
    ) -> None:
        self._call, self._dropped = call, dropped
        self._spans = spans or Spans()
        self._queue: list[Item] = []
        self._queued_bytes = 0
        self._busy: asyncio.Task[None] | asyncio.Handle | None = None
        self.calls = 0
        self.items = 0

    def send(self, agent: str, body: bytes) -> None:
        """Queue one message; it leaves with all others of this turn of the loop, if no call is out."""
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._queue.clear()
            self._queued_bytes = 0
            self._dropped(BufferError("the receiver is too slow, its queue was dropped"))
        self._queue.append((agent, body))
        self._queued_bytes += len(body)
        if self._busy is None:
            self._busy = asyncio.get_running_loop().call_soon(self._pump)

    @property
    def idle(self) -> bool:
        """Nothing is queued or under way."""
        return self._busy is None

    def _pump(self) -> None:
        self._busy = asyncio.ensure_future(self._deliver()) if self._queue else None

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        batch = self._take()
        self.calls += 1
        self.items += len(batch)
        rest_s = _PAUSE_S
        try:
            with self._spans.of("messages" + WAIT):
                await self._call(batch)
            rest_s = min(MAX_REST_S, REST * (loop.time() - began))
        except Exception as error:  # noqa: BLE001  whatever went wrong, the message is lost, and that is all
            self._dropped(error)
        self._busy = loop.call_later(rest_s, self._pump)

    def _take(self) -> list[Item]:
        size = count = 0
        while count < len(self._queue) and (count == 0 or size + len(self._queue[count][1]) <= MAX_CALL_BYTES):
            size += len(self._queue[count][1])
            count += 1
        batch, self._queue = self._queue[:count], self._queue[count:]
        self._queued_bytes -= size
        return batch
